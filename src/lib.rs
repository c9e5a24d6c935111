pub mod ledger;
pub mod message;
pub mod net;
pub mod printable;
