//! What SendGrid's Inbound Parse posts with "POST the raw, full MIME message": django-anymail
//! (`/anymail/sendgrid/inbound/`), Action Mailbox (`/rails/action_mailbox/sendgrid/inbound_emails`), Tryton.
//!
//! <https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook>. It has no id of
//! an event: whoever must know a message again goes by the `webhook-id`.

use std::io;

use serde_json::json;

use super::super::seven_bit::Text;
use super::form::Form;
use super::{Credential, Encoded, Format, Letter, MAX_TEXT};
use crate::message::subject;

pub const FORMAT: Format = Format {
    name: "sendgrid-raw",
    credential: Credential::Basic { user: "actionmailbox" },
    max_bytes: MAX_TEXT,
    can_omit: false,
    form: Some(&["to", "from", "subject", "envelope", "email"]),
    encode: |letter| Box::pin(encode(letter)),
};

async fn encode(letter: &Letter<'_>) -> io::Result<Encoded> {
    let mime = Text::of(letter.message()).await?;
    let (sender, recipients) = letter.envelope_in_full();
    let envelope = json!({ "to": recipients, "from": sender });
    let subject = subject(letter.message().head()).unwrap_or_default();
    let form = Form::of(letter.message())
        .field("to", &recipients.join(", "))
        .field("from", &sender)
        .field("subject", &subject)
        .field("envelope", &envelope.to_string())
        .fields(&letter.settings.fields);
    Ok(form.text("email", mime).finish())
}
