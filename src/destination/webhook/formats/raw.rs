//! The message itself, as `message/rfc822`, signed as Standard Webhooks asks.

use std::io;

use super::{Body, Credential, Encoded, Format, Letter, MAX_BYTES};

pub const FORMAT: Format = Format {
    name: "raw",
    credential: Credential::Signature,
    max_bytes: MAX_BYTES,
    can_omit: false,
    form: None,
    encode: |letter| Box::pin(encode(letter)),
};

async fn encode(letter: &Letter<'_>) -> io::Result<Encoded> {
    Ok(Encoded { content_type: "message/rfc822".into(), body: Body::raw(letter.message()) })
}
