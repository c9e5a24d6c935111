//! Rails Action Mailbox, its ingress "relay" (`POST /rails/action_mailbox/relay/inbound_emails`): Chatwoot, and any Rails
//! application.
//!
//! Read in rails/rails, actionmailbox/app/controllers/action_mailbox/ingresses/relay: the content type must be this, the
//! user `actionmailbox`. It keeps messages apart by Message-ID and SHA-1 of the bytes.

use super::{Credential, Format, raw};

pub const FORMAT: Format =
    Format { name: "actionmailbox", credential: Credential::Basic { user: "actionmailbox" }, ..raw::FORMAT };
