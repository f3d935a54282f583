//! JSON that a person hands to a command: written out, in a file, or on the standard input.
//! It checks that it is JSON and changes nothing in it; the server checks the rest.

use std::convert::Infallible;
use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

use jobmill_core::{Json, limits};

use crate::failure::Failure;

/// Where a document is: `JSON`, `@FILE` or `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DocumentSource {
    /// Written out.
    Inline(String),
    /// In a file.
    File(PathBuf),
    /// On the standard input.
    StandardInput,
}

impl FromStr for DocumentSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix('@') {
            Some(path) => Self::File(path.into()),
            None if text == "-" => Self::StandardInput,
            None => Self::Inline(text.to_owned()),
        })
    }
}

impl DocumentSource {
    /// The document.
    pub(crate) fn read(&self) -> Result<Json, Failure> {
        let unreadable =
            |what: &str, error: std::io::Error| Failure::usage("unreadable", format!("{what} can't be read: {error}"));
        let (name, text) = match self {
            Self::Inline(text) => ("the JSON on the command line".to_owned(), text.clone()),
            Self::File(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|error| unreadable(&name, error))?;
                (name, text)
            }
            Self::StandardInput => {
                let name = "the standard input";
                // One byte more than any server takes: enough to be refused there, without filling memory here.
                let bound = limits::REQUEST_BYTES as u64 + 1;
                let mut text = String::new();
                let read = std::io::stdin().lock().take(bound).read_to_string(&mut text);
                read.map_err(|error| unreadable(name, error))?;
                (name.to_owned(), text)
            }
        };
        Json::parse(&text).map_err(|error| {
            let failure = Failure::usage("malformed-json", format!("{name} is not one JSON document: {error}"));
            let quoted = text.trim_start().starts_with(['{', '[', '"']);
            if matches!(self, Self::Inline(_)) && !quoted {
                return failure
                    .advise("quote it for the shell, as in '{\"orderId\":\"order_123\"}', or use @FILE or -");
            }
            failure
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Json, Failure> {
        let source: DocumentSource = text.parse().unwrap_or_else(|never| match never {});
        source.read()
    }

    #[test]
    fn a_document_keeps_its_own_spelling() {
        let document = read("{ \"b\":1.00, \"a\":9007199254740993 }").expect("JSON");
        assert_eq!(document.as_str(), "{ \"b\":1.00, \"a\":9007199254740993 }");
    }

    #[test]
    fn a_file_is_named_by_its_at_sign() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("payload.json");
        std::fs::write(&path, "{\"a\":1}\n").expect("written");
        assert_eq!(read(&format!("@{}", path.display())).expect("JSON").as_str(), "{\"a\":1}");
        assert_eq!(read("@no/such/file").expect_err("missing").code(), "unreadable");
    }

    #[test]
    fn what_is_not_json_is_wrong_usage() {
        for text in ["{", "order_123", "{}{}"] {
            assert_eq!(read(text).expect_err(text).exit(), crate::failure::Exit::Usage);
        }
    }
}
