//! Fields of forms, and the complaints at them.

use super::words::shown;

/// One field, as a template shows it.
#[derive(Clone, Debug)]
pub struct Field {
    /// Also the id of its element.
    pub name: &'static str,
    pub label: &'static str,
    pub value: String,
    pub hint: String,
    /// A sentence; empty where all is well.
    pub complaint: String,
    /// The first that has one: there a person goes on.
    pub is_first_fault: bool,
    /// What a browser may fill in (the HTML attribute of this name).
    pub autocomplete: &'static str,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Text,
    /// Its value is never shown.
    Password,
    Number,
    /// One of these.
    Choice(Vec<Choice>),
    /// Checked or not.
    Check(bool),
}

#[derive(Clone, Debug)]
pub struct Choice {
    pub value: String,
    pub label: String,
    pub is_chosen: bool,
}

impl Field {
    fn new(name: &'static str, label: &'static str, value: &str, kind: Kind) -> Field {
        let (hint, complaint) = (String::new(), String::new());
        // What no keyboard types would not come back the same.
        let value = value.chars().filter(|c| !c.is_control()).collect();
        Field { name, label, value, hint, complaint, is_first_fault: false, autocomplete: "off", kind }
    }

    pub fn text(name: &'static str, label: &'static str, value: &str) -> Field {
        Field::new(name, label, value, Kind::Text)
    }

    pub fn number(name: &'static str, label: &'static str, value: &str) -> Field {
        Field::new(name, label, value, Kind::Number)
    }

    pub fn password(name: &'static str, label: &'static str, autocomplete: &'static str) -> Field {
        Field { autocomplete, ..Field::new(name, label, "", Kind::Password) }
    }

    pub fn check(name: &'static str, label: &'static str, is_checked: bool) -> Field {
        Field::new(name, label, "yes", Kind::Check(is_checked))
    }

    /// `choices` are values and labels. What is chosen is `value`, or else the first.
    pub fn choice(
        name: &'static str,
        label: &'static str,
        value: &str,
        choices: Vec<(String, String)>,
    ) -> Field {
        let at = choices.iter().position(|(known, _)| known == value).unwrap_or(0);
        let choice =
            |(n, (value, label)): (usize, (String, String))| Choice { value, label, is_chosen: n == at };
        Field::new(name, label, value, Kind::Choice(choices.into_iter().enumerate().map(choice).collect()))
    }

    pub fn hint(mut self, hint: &str) -> Field {
        hint.clone_into(&mut self.hint);
        self
    }
}

/// What the title of a form begins with where something in it is wrong: it is what is heard first.
pub fn alarm(complaints: &[String], fields: &[Field]) -> &'static str {
    let is_wrong = !complaints.is_empty() || fields.iter().any(|field| field.is_first_fault);
    if is_wrong { "Error: " } else { "" }
}

/// What is wrong with what was typed: a field and a sentence each. Those of no field of the form stand above it.
#[derive(Clone, Debug, Default)]
pub struct Complaints(Vec<(String, String)>);

impl Complaints {
    pub fn one(field: &str, text: impl Into<String>) -> Complaints {
        let mut complaints = Complaints::default();
        complaints.add(field, text);
        complaints
    }

    pub fn add(&mut self, field: &str, text: impl Into<String>) {
        self.0.push((field.to_owned(), text.into()));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts each complaint at its field; returns those that have none.
    pub fn at(&self, fields: &mut [Field]) -> Vec<String> {
        let mut rest = Vec::new();
        for (name, text) in &self.0 {
            match fields.iter_mut().find(|field| field.name == name) {
                Some(field) => field.complaint = shown(text),
                None => rest.push(shown(text)),
            }
        }
        if let Some(first) = fields.iter_mut().find(|field| !field.complaint.is_empty()) {
            first.is_first_fault = true;
        }
        rest
    }
}
