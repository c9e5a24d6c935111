pub mod config;
pub mod destination;
pub mod message;
pub mod net;
pub mod poll;
pub mod pop3;
pub mod printable;
pub mod schedule;
