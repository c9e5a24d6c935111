pub mod destination;
pub mod imap;
pub mod message;
pub mod net;
pub mod printable;
