//! Asking somebody at a terminal; where there is none, saying which option would have answered.

use std::io::IsTerminal;

use dialoguer::theme::ColorfulTheme;
use dialoguer::{Confirm, Input, Password, Select};
use secrecy::SecretString;

use super::{exit, plain};

/// Whoever runs this command.
pub struct Person {
    /// Why nobody can be asked: a clause.
    absence: Option<&'static str>,
    theme: ColorfulTheme,
}

/// A question, and the option that answers it.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub text: &'a str,
    pub option: &'a str,
}

impl Person {
    /// `quiet`: nothing is asked, whatever has a default takes it.
    pub fn new(quiet: bool) -> Person {
        let is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let absence = match (quiet, is_there) {
            (true, _) => Some("--yes asks nothing"),
            (_, false) => Some("there is no terminal to ask at"),
            (_, true) => None,
        };
        Person { absence, theme: ColorfulTheme::default() }
    }

    /// Nobody to ask: a script.
    pub fn is_absent(&self) -> bool {
        self.absence.is_some()
    }

    /// A line of text; an empty answer takes `default`.
    pub fn line(&self, question: Question<'_>, default: Option<&str>) -> anyhow::Result<String> {
        match (self.is_absent(), default) {
            (true, Some(default)) => Ok(default.to_owned()),
            (true, None) => Err(self.missing(question)),
            (false, default) => {
                let mut input = Input::with_theme(&self.theme).with_prompt(question.text);
                if let Some(default) = default {
                    input = input.default(default.to_owned());
                }
                let line: String = input.interact_text()?;
                Ok(line.trim().to_owned())
            }
        }
    }

    /// As [`Person::line`], but what was answered `before` is there to be changed, and an empty answer is one.
    pub fn changed_line(&self, text: &str, before: &str) -> anyhow::Result<String> {
        if self.is_absent() {
            return Ok(before.to_owned());
        }
        let input = Input::with_theme(&self.theme).with_prompt(text).with_initial_text(before);
        let line: String = input.allow_empty(true).interact_text()?;
        Ok(line.trim().to_owned())
    }

    /// One of the choices; the first is the default.
    pub fn choose<T: Copy>(&self, question: Question<'_>, choices: &[(String, T)]) -> anyhow::Result<T> {
        let texts: Vec<&str> = choices.iter().map(|(text, _)| text.as_str()).collect();
        let at = match (self.is_absent(), choices.len()) {
            (true, 0) => return Err(self.missing(question)),
            (true, _) => 0,
            (false, _) => {
                let select = Select::with_theme(&self.theme).with_prompt(question.text);
                select.items(&texts).default(0).interact()?
            }
        };
        choices.get(at).map(|(_, choice)| *choice).ok_or_else(|| self.missing(question))
    }

    pub fn confirm(&self, question: &str, default: bool) -> anyhow::Result<bool> {
        if self.is_absent() {
            return Ok(default);
        }
        Ok(Confirm::with_theme(&self.theme).with_prompt(question).default(default).interact()?)
    }

    /// Typed unseen.
    pub fn password(&self, question: Question<'_>) -> anyhow::Result<SecretString> {
        if self.is_absent() {
            return Err(self.missing(question));
        }
        Ok(Password::with_theme(&self.theme).with_prompt(question.text).interact()?.into())
    }

    /// As [`Person::password`], but an empty answer is none.
    pub fn password_if_new(&self, text: &str) -> anyhow::Result<Option<SecretString>> {
        let asked = Password::with_theme(&self.theme).with_prompt(text).allow_empty_password(true);
        let typed = asked.interact()?;
        Ok(Some(typed).filter(|typed| !typed.is_empty()).map(SecretString::from))
    }

    fn missing(&self, question: Question<'_>) -> anyhow::Error {
        let Question { text, option } = question;
        let absence = self.absence.unwrap_or("there was no answer");
        plain(exit::USAGE, format!("{text}: {absence}; answer with {option}"))
    }
}
