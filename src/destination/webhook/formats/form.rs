//! `multipart/form-data` (RFC 7578): a message in it costs no more room than by itself.

use crate::message::Message;

use super::super::seven_bit::Text;
use super::{Body, Encoded};

/// A form that is being filled in.
pub struct Form {
    boundary: String,
    body: Body,
}

impl Form {
    /// For one message, whose digest makes the boundary: nobody can write a message that holds its own.
    pub fn of(message: &Message) -> Form {
        let digest = super::super::hex(&message.content.0);
        Form { boundary: format!("mailferry-{}", &digest[..40]), body: Body::default() }
    }

    /// `name` is ours, or from the config, which has checked it.
    pub fn field(self, name: &str, value: &str) -> Form {
        let body = self.body.and(format!("{}{value}\r\n", part(&self.boundary, name)));
        Form { boundary: self.boundary, body }
    }

    pub fn fields(self, fields: &[(String, String)]) -> Form {
        fields.iter().fold(self, |form, (name, value)| form.field(name, value))
    }

    pub fn text(self, name: &str, text: Text) -> Form {
        let body = text.after(self.body.and(part(&self.boundary, name))).and("\r\n");
        Form { boundary: self.boundary, body }
    }

    pub fn base64(self, name: &str, message: &Message) -> Form {
        let body = self.body.and(part(&self.boundary, name)).and_base64(message).and("\r\n");
        Form { boundary: self.boundary, body }
    }

    pub fn finish(self) -> Encoded {
        Encoded {
            content_type: format!("multipart/form-data; boundary={}", self.boundary).into(),
            body: self.body.and(format!("--{}--\r\n", self.boundary)).joined(),
        }
    }
}

fn part(boundary: &str, name: &str) -> String {
    format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n")
}
