//! Where one member of an event's data is taken from, as it stands in the configuration.
//! It names no rule; which member it is for, the rule knows.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::place::Place;

/// Places that are looked at one after the other: the first where something stands counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places(Vec<Place>);

/// A member, and whether an event can do without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    from: From,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    First(Places),
    /// What stands at these places, with a space between.
    Joined(Places),
}

impl Places {
    pub(crate) fn find<'d>(&self, document: &'d Value) -> Option<&'d Value> {
        self.0.iter().find_map(|place| place.find(document))
    }

    /// Why nothing was found.
    pub(crate) fn nothing(&self) -> String {
        format!("nothing stands at {}", self.listed())
    }

    /// All of them, for people.
    pub(crate) fn listed(&self) -> String {
        self.0.iter().map(Place::as_str).collect::<Vec<_>>().join(" or ")
    }
}

impl Member {
    pub(crate) fn find(&self, document: &Value) -> Option<Value> {
        match &self.from {
            From::First(places) => places.find(document).cloned(),
            From::Joined(places) => {
                let parts: Vec<String> =
                    places.0.iter().filter_map(|place| place.find(document)).filter_map(word).collect();
                (!parts.is_empty()).then(|| Value::String(parts.join(" ")))
            }
        }
    }

    pub(crate) fn nothing(&self) -> String {
        match &self.from {
            From::First(places) => places.nothing(),
            From::Joined(places) => format!("neither a text nor a number stands at {}", places.listed()),
        }
    }
}

/// A text or a number as text.
pub(crate) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Places;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON Pointer like \"/data/id\", or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Places, E> {
                Place::try_from(text.to_owned()).map(|place| Places(vec![place])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Places, A::Error> {
                let places = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                if places.is_empty() {
                    return Err(A::Error::custom("the list is empty; name at least one place like \"/data/id\""));
                }
                Ok(Places(places))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A member in full.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    at: Option<Places>,
    join: Option<Places>,
    #[serde(default)]
    optional: bool,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a JSON Pointer like \"/data/id\", a list of them, { at = \"/data/id\", optional = true } or \
                     { join = [\"/data/first\", \"/data/last\"] }",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Member, E> {
                let place = Place::try_from(text.to_owned()).map_err(E::custom)?;
                Ok(Member { from: From::First(Places(vec![place])), optional: false })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Member, A::Error> {
                let places = Places::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Member { from: From::First(places), optional: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Member, A::Error> {
                let Full { at, join, optional } = Full::deserialize(MapAccessDeserializer::new(table))?;
                let from = match (at, join) {
                    (Some(places), None) => From::First(places),
                    (None, Some(places)) => From::Joined(places),
                    _ => {
                        return Err(A::Error::custom("a member is taken from `at` or from `join`; say one of the two"));
                    }
                };
                Ok(Member { from, optional })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
