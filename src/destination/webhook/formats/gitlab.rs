//! GitLab's mail_room webhook (`POST /api/v4/internal/mail_room/incoming_email`, or `service_desk_email`).
//!
//! Read in gitlab-org/gitlab, lib/api/internal/mail_room.rs and lib/gitlab/mail_room/authenticator.rs: the token is in this
//! field, of this issuer, and not older than five minutes.

use std::io;

use super::{Body, Credential, Encoded, Format, Letter, MAX_BYTES};

pub const FORMAT: Format = Format {
    name: "gitlab",
    credential: Credential::Token { name: "Gitlab-Mailroom-Api-Request", issuer: "gitlab-mailroom" },
    max_bytes: MAX_BYTES,
    can_omit: false,
    form: None,
    encode: |letter| Box::pin(encode(letter)),
};

async fn encode(letter: &Letter<'_>) -> io::Result<Encoded> {
    Ok(Encoded { content_type: "text/plain".into(), body: Body::raw(letter.message()) })
}
