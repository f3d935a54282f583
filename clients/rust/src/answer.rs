//! What a server answered, read, with the text as it was sent.
//! It asks nothing.

use std::marker::PhantomData;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::Error;

/// A document of the server. It dereferences to what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    value: T,
    text: String,
    replayed: bool,
}

impl<T: DeserializeOwned> Answer<T> {
    pub(crate) fn read(text: String, replayed: bool) -> Result<Self, Error> {
        let value = serde_json::from_str(&text).map_err(|error| Error::unexpected(&error))?;
        Ok(Self { value, text, replayed })
    }
}

impl<T> Answer<T> {
    /// The JSON as the server sent it, with members that this version does not know.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same request was made before, and this is its first answer.
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// What it says, without the text.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> Deref for Answer<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A page of a list, or many in a row. Items are read when they are asked for.
#[derive(Debug, Deserialize)]
#[serde(bound = "")]
pub struct Page<T> {
    #[serde(rename = "items")]
    texts: Vec<Box<RawValue>>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(skip)]
    kind: PhantomData<fn() -> T>,
}

impl<T> Page<T> {
    pub(crate) fn empty() -> Self {
        Self { texts: Vec::new(), next_cursor: None, kind: PhantomData }
    }

    /// Adds the page that follows.
    pub(crate) fn extend(&mut self, page: Self) {
        self.texts.extend(page.texts);
        self.next_cursor = page.next_cursor;
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The items as the server sent them.
    pub fn texts(&self) -> &[Box<RawValue>] {
        &self.texts
    }

    /// Where the next page begins; none after the last.
    pub fn next_cursor(&self) -> Option<&str> {
        self.next_cursor.as_deref()
    }
}

impl<T: DeserializeOwned> Page<T> {
    /// The items; an error where one has another shape.
    pub fn items(&self) -> Result<Vec<T>, Error> {
        read_all(&self.texts)
    }
}

/// Documents, each as what it should be.
pub(crate) fn read_all<T: DeserializeOwned>(texts: &[Box<RawValue>]) -> Result<Vec<T>, Error> {
    texts.iter().map(|text| serde_json::from_str(text.get()).map_err(|error| Error::unexpected(&error))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_the_text_and_reads_items_when_asked() {
        let page: Page<u32> = serde_json::from_str(r#"{"items":[1, 2,"three"],"next_cursor":"x"}"#).expect("a page");
        assert_eq!((page.len(), page.next_cursor(), page.texts()[2].get()), (3, Some("x"), "\"three\""));
        assert!(matches!(page.items(), Err(Error::UnexpectedAnswer { status: None, .. })));
    }

    #[test]
    fn an_answer_is_what_it_says_and_keeps_how_it_was_said() {
        let answer: Answer<Vec<u32>> = Answer::read("[ 1,2 ]".to_owned(), true).expect("numbers");
        assert_eq!((answer.len(), answer.text(), answer.is_replayed()), (2, "[ 1,2 ]", true));
        assert_eq!(answer.into_value(), [1, 2]);
    }
}
