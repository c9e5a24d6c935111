pub mod demo;
pub mod destination;
pub mod message;
pub mod net;
pub mod pop3;
pub mod printable;
