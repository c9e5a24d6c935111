//! One poll of one account.

use crate::message::{Import, LeaveCopy, Route};

/// What an account wants done with its mail: the config's `leave_copy`, `import` and `deliver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub leave_copy: LeaveCopy,
    pub import: Import,
    pub routes: Vec<Route>,
}
