//! The page, through HTTP, as a browser would use it: beside the real daemon and real servers.

mod adding;
pub mod browser;
pub mod chromium;
mod destinations;
mod guarded;
mod hostile;
mod html;
mod journey;
mod keyboard;
mod looking;
mod mending;
mod speed;
