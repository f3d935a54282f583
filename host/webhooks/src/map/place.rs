//! Places in a delivery: JSON Pointers, with one more way to go down a list.
//! They are parsed when the configuration is read; finding something takes no more than walking there.

use std::cmp::Ordering;
use std::fmt;

use jobmill_core::flow::Pointer;
use serde::Deserialize;
use serde_json::Value;

/// Bytes of a place, picks included.
const PLACE_BYTES: usize = 1_024;

/// A JSON Pointer (RFC 6901) into a delivery, in which a segment `[member=/pointer]` picks, of a list of objects, the first
/// whose `member` equals what stands at `/pointer` from the document's root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Place {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Down(Pointer),
    /// `member` is a pointer of one segment, so that the escapes of RFC 6901 hold in it too.
    Pick {
        member: Pointer,
        equals: Pointer,
    },
}

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Not a pointer.
    #[error("{0:?} is no JSON Pointer; write it like \"/data/object/id\"")]
    Pointer(String),
    /// A pick that can't be read.
    #[error("{0:?} is no JSON Pointer: a segment in brackets is written like [id=/data/primary_id]")]
    Pick(String),
    /// Too long.
    #[error("a place in a delivery has at most 1024 bytes; this one has {0}")]
    Long(usize),
}

impl TryFrom<String> for Place {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Self, PlaceError> {
        if text.len() > PLACE_BYTES {
            return Err(PlaceError::Long(text.len()));
        }
        let pointer = |part: &str| Pointer::try_from(part.to_owned()).map_err(|_| PlaceError::Pointer(text.clone()));
        let mut steps = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            match rest.find("/[") {
                Some(0) => {
                    let (pick, after) = pick(rest).ok_or_else(|| PlaceError::Pick(text.clone()))?;
                    steps.push(pick);
                    rest = after;
                }
                Some(at) => {
                    steps.push(Step::Down(pointer(&rest[..at])?));
                    rest = &rest[at..];
                }
                None => {
                    steps.push(Step::Down(pointer(rest)?));
                    rest = "";
                }
            }
        }
        if steps.is_empty() { Err(PlaceError::Pointer(text)) } else { Ok(Self { text, steps }) }
    }
}

/// The pick that `rest` begins with, and what follows it.
fn pick(rest: &str) -> Option<(Step, &str)> {
    let (inside, after) = rest.strip_prefix("/[")?.split_once(']')?;
    let (member, equals) = inside.split_once('=')?;
    let whole = !member.is_empty() && !member.contains('/') && (after.is_empty() || after.starts_with('/'));
    let member = Pointer::try_from(format!("/{member}")).ok().filter(|_| whole)?;
    let equals = Pointer::try_from(equals.to_owned()).ok()?;
    Some((Step::Pick { member, equals }, after))
}

impl Place {
    /// The place as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands there; nothing also where `null` or the empty text does.
    pub(crate) fn find<'d>(&self, document: &'d Value) -> Option<&'d Value> {
        let mut found = document;
        for step in &self.steps {
            found = match step {
                Step::Down(pointer) => found.pointer(pointer.as_str())?,
                Step::Pick { member, equals } => {
                    let wanted = document.pointer(equals.as_str()).filter(|wanted| stands(wanted))?;
                    found.as_array()?.iter().find(|element| element.pointer(member.as_str()) == Some(wanted))?
                }
            };
        }
        Some(found).filter(|found| stands(found))
    }
}

fn stands(value: &Value) -> bool {
    !value.is_null() && value.as_str() != Some("")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(text: &str) -> Place {
        Place::try_from(text.to_owned()).expect(text)
    }

    #[test]
    fn a_place_is_a_json_pointer() {
        let document = json!({ "a": { "b/c": [1, { "~": "x" }] }, "": 7, "[odd": 1 });
        for (text, wanted) in [
            ("/a/b~1c/0", Some(json!(1))),
            ("/a/b~1c/1/~0", Some(json!("x"))),
            ("/a/b~1c/01", None),
            ("/a/b~1c/-", None),
            ("/a/b~1c/2", None),
            ("/a/none/b", None),
            ("/", Some(json!(7))),
        ] {
            assert_eq!(place(text).find(&document), wanted.as_ref(), "{text}");
        }
    }

    #[test]
    fn null_and_the_empty_text_are_nothing_and_zero_and_false_are_something() {
        let document = json!({ "null": null, "empty": "", "zero": 0, "no": false, "list": [] });
        for text in ["/null", "/empty"] {
            assert_eq!(place(text).find(&document), None, "{text}");
        }
        for text in ["/zero", "/no", "/list"] {
            assert!(place(text).find(&document).is_some(), "{text}");
        }
    }

    #[test]
    fn a_pick_takes_the_element_that_another_place_names() {
        let text = "/d/mails/[id=/d/primary]/address";
        let mails = json!([{ "id": null, "address": "none@x.example" }, { "id": "a", "address": "first@x.example" }, 7, { "id": "b", "address": "second@x.example" }]);
        for (primary, wanted) in [
            (json!("b"), Some(json!("second@x.example"))),
            (json!("a"), Some(json!("first@x.example"))),
            (json!("c"), None),
            (json!(null), None),
            (json!(""), None),
        ] {
            let document = json!({ "d": { "mails": mails, "primary": primary } });
            assert_eq!(place(text).find(&document), wanted.as_ref(), "{primary}");
        }
        // An element without the member is not one whose member is nothing.
        assert_eq!(place(text).find(&json!({ "d": { "mails": [{ "address": "x" }] } })), None);
        assert_eq!(place(text).find(&json!({ "d": { "mails": { "id": 1 }, "primary": 1 } })), None);
    }

    #[test]
    fn picks_can_follow_each_other_and_end_a_place() {
        let document = json!({ "rows": [{ "k": 1, "inner": [{ "k~/": 2, "v": true }] }], "one": 1, "two": 2 });
        assert_eq!(place("/rows/[k=/one]/inner/[k~0~1=/two]/v").find(&document), Some(&json!(true)));
        assert_eq!(place("/rows/[k=/one]/inner/[k~0~1=/two]").find(&document), Some(&json!({ "k~/": 2, "v": true })));
        assert_eq!(place("/[0=/0/0]").find(&json!([[5]])), Some(&json!([5])));
    }

    #[test]
    fn a_text_that_names_no_place_is_refused() {
        for text in ["", "data", "data/id", "/a~", "/a~2b", "$.data.id"] {
            assert_eq!(Place::try_from(text.to_owned()), Err(PlaceError::Pointer(text.to_owned())), "{text}");
        }
        for text in ["/[", "/a/[id]", "/a/[id=]", "/a/[=/b]", "/a/[id=b]", "/a/[id=/b", "/a/[id=/b]c", "/a/[x/y=/b]"] {
            assert_eq!(Place::try_from(text.to_owned()), Err(PlaceError::Pick(text.to_owned())), "{text}");
        }
        assert_eq!(Place::try_from("/a".repeat(600)), Err(PlaceError::Long(1_200)));
    }
}
