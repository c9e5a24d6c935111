//! Redmine (`POST /mail_handler`), with its incoming mail API key. `fields` carry its options: `unknown_user`,
//! `issue[project]` and the like, as `rdm-mailhandler.rb` has them.
//!
//! Read in redmine 5.0, app/controllers/mail_handler_controller.rb. 201 is success; 422 is any failure of its own, also one
//! that will pass.

use std::io;

use super::super::seven_bit::Text;
use super::form::Form;
use super::{Credential, Encoded, Format, Letter, MAX_TEXT};

pub const FORMAT: Format = Format {
    name: "redmine",
    credential: Credential::InBody,
    max_bytes: MAX_TEXT,
    can_omit: false,
    form: Some(&["key", "email"]),
    encode: |letter| Box::pin(encode(letter)),
};

async fn encode(letter: &Letter<'_>) -> io::Result<Encoded> {
    let text = Text::of(letter.message()).await?;
    let form = Form::of(letter.message()).field("key", letter.secret()).fields(&letter.settings.fields);
    Ok(form.text("email", text).finish())
}
