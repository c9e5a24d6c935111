//! What Mailgun's routes post to a URL that ends in `mime`: django-anymail (`/anymail/mailgun/inbound_mime/`), Action
//! Mailbox (`/rails/action_mailbox/mailgun/inbound_emails/mime`), Sentry, and whatever else takes mail from Mailgun.
//!
//! <https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-http>. The signature is in the
//! body, and Action Mailbox takes none that is older than two minutes: so `timestamp` and `signature` are new at each
//! attempt. `token` stays, so that Anymail, which calls it the id of the event, knows the message again.

use std::io;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::super::envelope::text;
use super::super::seven_bit::Text;
use super::form::Form;
use super::{Credential, Encoded, Format, Letter, MAX_TEXT};
use crate::message::subject;

pub const FORMAT: Format = Format {
    name: "mailgun-mime",
    credential: Credential::InBody,
    max_bytes: MAX_TEXT,
    can_omit: false,
    form: Some(&["recipient", "sender", "from", "subject", "timestamp", "token", "signature", "body-mime"]),
    encode: |letter| Box::pin(encode(letter)),
};

/// Characters in a token.
const TOKEN: usize = 50;

async fn encode(letter: &Letter<'_>) -> io::Result<Encoded> {
    let mime = Text::of(letter.message()).await?;
    let timestamp = letter.timestamp.to_string();
    let token = letter.digits().get(..TOKEN).unwrap_or_default();
    let head = letter.message().head();
    let from = letter.message().field("From").map(|from| text(&from)).unwrap_or_default();
    let (sender, recipients) = letter.envelope_in_full();
    let form = Form::of(letter.message())
        .field("recipient", recipients.first().map(String::as_str).unwrap_or_default())
        .field("sender", &sender)
        .field("from", &from)
        .field("subject", &subject(head).unwrap_or_default())
        .field("timestamp", &timestamp)
        .field("token", token)
        .field("signature", &signature(letter.secret(), &timestamp, token)?)
        .fields(&letter.settings.fields);
    Ok(form.text("body-mime", mime).finish())
}

/// <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>
fn signature(key: &str, timestamp: &str, token: &str) -> io::Result<String> {
    let mut signer = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(io::Error::other)?;
    signer.update(timestamp.as_bytes());
    signer.update(token.as_bytes());
    Ok(super::super::hex(&signer.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac`, as Mailgun's page shows it.
    #[test]
    fn a_signature_is_the_digest_of_time_and_token() {
        let signature = signature("key", "1700000000", &"a".repeat(TOKEN)).unwrap();
        assert_eq!(signature, "79a982c6ccfe274422cb1c0eb730b4ac061a64ee7df50c17a4a6bbfe732308ce");
    }
}
