pub mod demo;
pub mod destination;
pub mod message;
pub mod net;
pub mod printable;
