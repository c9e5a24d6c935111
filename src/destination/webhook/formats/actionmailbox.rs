//! Rails Action Mailbox, its ingress "relay" (`POST /rails/action_mailbox/relay/inbound_emails`): Chatwoot, and any Rails
//! application.
//!
//! Read in rails/rails, actionmailbox/app/controllers/action_mailbox/ingresses/relay: the content type must be this, the
//! user `actionmailbox`. It keeps messages apart by Message-ID and SHA-1 of the bytes.

use std::io;

use super::{Body, Credential, Encoded, Format, Letter, MAX_BYTES};

pub const FORMAT: Format = Format {
    name: "actionmailbox",
    credential: Credential::Basic { user: "actionmailbox" },
    max_bytes: MAX_BYTES,
    can_omit: false,
    takes_fields: false,
    encode: |letter| Box::pin(encode(letter)),
};

async fn encode(letter: &Letter<'_>) -> io::Result<Encoded> {
    Ok(Encoded { content_type: "message/rfc822".into(), body: Body::raw(letter.message()) })
}
