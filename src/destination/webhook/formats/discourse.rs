//! Discourse (`POST /admin/email/handle_mail`), with an API key of scope `email: receive_emails`.
//!
//! Read in discourse/discourse, app/controllers/admin/email_controller.rb: `email_encoded` is the message in base64; the
//! older `email` is on its way out.

use std::io;

use super::form::Form;
use super::{Credential, Encoded, Format, Letter, MAX_BYTES};

pub const FORMAT: Format = Format {
    name: "discourse",
    credential: Credential::Field { name: "Api-Key", user: Some(("Api-Username", "system")) },
    max_bytes: MAX_BYTES,
    can_omit: false,
    form: Some(&["email_encoded"]),
    encode: |letter| Box::pin(encode(letter)),
};

async fn encode(letter: &Letter<'_>) -> io::Result<Encoded> {
    let form = Form::of(letter.message()).fields(&letter.settings.fields);
    Ok(form.base64("email_encoded", letter.message()).finish())
}
