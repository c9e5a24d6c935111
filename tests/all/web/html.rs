//! What a browser makes of a page: its elements, and the text in them.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer};

/// An element as it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub tag: String,
    pub attributes: Vec<(String, String)>,
    /// How much text was before it.
    at: usize,
}

/// A page, read.
#[derive(Debug, Default)]
pub struct Html {
    pub elements: Vec<Element>,
    /// All text outside tags, as it is shown.
    pub text: String,
}

#[derive(Default)]
struct Sink(RefCell<Html>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut html = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => html.text.push_str(&text),
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                let attributes =
                    tag.attrs.iter().map(|attr| (attr.name.local.to_string(), attr.value.to_string()));
                let (attributes, at) = (attributes.collect(), html.text.len());
                html.elements.push(Element { tag: tag.name.to_string(), attributes, at });
            }
            Token::CommentToken(text) => panic!("the page has a comment: {text}"),
            Token::ParseError(error) => panic!("the page is not HTML: {error}"),
            Token::DoctypeToken(_) | Token::TagToken(_) | Token::NullCharacterToken | Token::EOFToken => {}
        }
        TokenSinkResult::Continue
    }
}

impl Html {
    pub fn read(text: &str) -> Html {
        let input = BufferQueue::default();
        input.push_back(StrTendril::from(text));
        let tokenizer = Tokenizer::new(Sink::default(), Default::default());
        let _ = tokenizer.feed(&input);
        tokenizer.end();
        tokenizer.sink.0.take()
    }

    /// The tags with the names of their attributes: what hostile text must not change.
    pub fn shape(&self) -> Vec<String> {
        let shape = |element: &Element| {
            let names: Vec<&str> = element.attributes.iter().map(|(name, _)| name.as_str()).collect();
            format!("{} {}", element.tag, names.join(" "))
        };
        self.elements.iter().map(shape).collect()
    }

    /// The value of an attribute of the first element that has `id`.
    pub fn attribute(&self, id: &str, name: &str) -> Option<&str> {
        self.with("id", id).and_then(|element| element.get(name))
    }

    pub fn with(&self, name: &str, value: &str) -> Option<&Element> {
        self.elements.iter().find(|element| element.get(name) == Some(value))
    }

    /// The text from the element with `id` on.
    pub fn text_from(&self, id: &str) -> &str {
        let at = self.with("id", id).map_or(self.text.len(), |element| element.at);
        &self.text[at..]
    }
}

impl Element {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
