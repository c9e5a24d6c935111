//! Where messages go.

pub mod webhook;
