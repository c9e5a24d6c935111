//! Whether a server that refuses what it was asked for wants to be left in peace.

use super::error::Refused;

/// So many messages one after the other that are refused in passing are not at fault.
const IN_A_ROW: usize = 2;

/// How a server has answered to one command, for one message after the other.
#[derive(Debug, Default)]
pub(super) struct Patience {
    has_answered: bool,
    /// It has said of anything that its refusal will pass.
    has_put_off: bool,
    /// The latest answers, as far as they said that this will pass.
    in_a_row: usize,
}

impl Patience {
    pub fn note(&mut self, refused: Option<&Refused>) {
        self.has_answered |= refused.is_none();
        let is_passing = refused.is_some_and(Refused::is_passing);
        self.has_put_off |= is_passing;
        self.in_a_row = if is_passing { self.in_a_row + 1 } else { 0 };
    }

    /// Whether it has handed out anything.
    pub fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Whether its last answer was that this will pass: it may hang up behind that, on whoever asks for anything.
    pub fn is_tried(&self) -> bool {
        self.in_a_row > 0
    }

    /// Whether it is of no use to go on asking.
    pub fn is_over(&self) -> bool {
        self.in_a_row >= IN_A_ROW
    }

    /// Whether it is the server that refuses everything now. One message that is refused among others that are handed out
    /// may be at fault itself.
    pub fn is_asked_for(&self) -> bool {
        self.is_over() || self.has_put_off && !self.has_answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_among_others_is_no_throttling() {
        for (answers, over, asked_for) in [
            ("", false, false),
            ("p", false, true),
            ("pp", true, true),
            ("mp", false, false),
            ("mpp", true, true),
            ("pm", false, false),
            ("ppm", false, false),
            ("pmp", false, false),
            ("prp", false, true),
            ("pr", false, true),
            ("rr", false, false),
        ] {
            let mut patience = Patience::default();
            for answer in answers.chars() {
                let text = if answer == 'p' { "try again later" } else { "no such message" };
                let refused = Refused { command: "RETR", code: None, text: text.to_owned() };
                patience.note((answer != 'm').then_some(&refused));
            }
            assert_eq!((patience.is_over(), patience.is_asked_for()), (over, asked_for), "{answers}");
        }
    }
}
