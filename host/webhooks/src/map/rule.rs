//! What deliveries of one kind come to: an event or a suppression, under a condition or none.
//! A rule that says both or neither is refused when the configuration is read.

use std::collections::BTreeMap;
use std::fmt;

use jobmill_core::id::EventId;
use jobmill_core::job::check_event_name;
use jobmill_core::mail::Mailbox;
use jobmill_core::{Json, limits};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Mapped;
use super::member::{Member, Places, word};
use super::place::Place;

/// Addresses that one delivery can stop mail to. A mail has few recipients; a list this long is something else.
const ADDRESSES: usize = 100;

/// One entry of a map.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Rule {
    when: BTreeMap<Place, Wanted>,
    then: Then,
}

#[derive(Debug, Clone, PartialEq)]
enum Then {
    Event { name: String, id: Option<Places>, data: BTreeMap<String, Member> },
    Suppress(Places),
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `event`, or with `suppress`")]
struct Written {
    event: Option<String>,
    id: Option<Places>,
    data: Option<BTreeMap<String, Member>>,
    suppress: Option<Places>,
    #[serde(default)]
    when: BTreeMap<Place, Wanted>,
}

/// A rule that can't be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It says nothing to do.
    #[error("it says neither `event` nor `suppress`; add the event to publish: event = \"email/welcome\"")]
    Neither,
    /// It says two things to do.
    #[error("it says both `event` and `suppress`; a delivery comes to one of them")]
    Both,
    /// `id` or `data` beside `suppress`.
    #[error("`{0}` belongs to `event`, and here mail is stopped; take it out")]
    EventOnly(&'static str),
    /// No name of an event.
    #[error("event: {0}")]
    Name(String),
    /// A member without a name.
    #[error("data: a member has no name")]
    Nameless,
}

impl TryFrom<Written> for Rule {
    type Error = RuleError;

    fn try_from(written: Written) -> Result<Self, RuleError> {
        let Written { event, id, data, suppress, when } = written;
        let then = match (event, suppress) {
            (None, None) => return Err(RuleError::Neither),
            (Some(_), Some(_)) => return Err(RuleError::Both),
            (Some(name), None) => {
                check_event_name(&name).map_err(RuleError::Name)?;
                let data = data.unwrap_or_default();
                if data.contains_key("") {
                    return Err(RuleError::Nameless);
                }
                Then::Event { name, id, data }
            }
            (None, Some(_)) if id.is_some() => return Err(RuleError::EventOnly("id")),
            (None, Some(_)) if data.is_some() => return Err(RuleError::EventOnly("data")),
            (None, Some(places)) => Then::Suppress(places),
        };
        Ok(Self { when, then })
    }
}

impl Rule {
    pub(super) fn apply(&self, webhook: &str, kind: &str, document: &Value) -> Mapped {
        if !self.when.iter().all(|(place, wanted)| wanted.is(place.find(document))) {
            return Mapped::Ignored;
        }
        let mapped = match &self.then {
            Then::Event { name, id, data } => event(name, id.as_ref(), data, document),
            Then::Suppress(places) => addresses(places, document).map(|addresses| {
                let reason = format!("{kind}, told by the webhook {webhook}");
                Mapped::Suppress { addresses, reason }
            }),
        };
        mapped.unwrap_or_else(|reason| Mapped::Unmapped {
            reason: limits::truncate(&reason, limits::ERROR_TEXT_BYTES).to_owned(),
        })
    }
}

fn event(
    name: &str,
    id: Option<&Places>,
    members: &BTreeMap<String, Member>,
    document: &Value,
) -> Result<Mapped, String> {
    let id = id.map(|places| event_id(places, document)).transpose()?;
    let mut data = serde_json::Map::new();
    let mut missing = Vec::new();
    for (member, from) in members {
        match from.find(document) {
            Some(value) => {
                data.insert(member.clone(), value);
            }
            None if from.optional => {}
            None => missing.push(format!("{member:?} is missing: {}", from.nothing())),
        }
    }
    if !missing.is_empty() {
        return Err(missing.join("; "));
    }
    let data = Json::of(&data).map_err(|error| format!("the data can't be written as JSON: {error}"))?;
    let bytes = data.as_str().len();
    if bytes > limits::PAYLOAD_BYTES {
        return Err(format!(
            "the data has {bytes} bytes, and an event takes {}; map less of it",
            limits::PAYLOAD_BYTES
        ));
    }
    Ok(Mapped::Event { name: name.to_owned(), id, data })
}

fn event_id(places: &Places, document: &Value) -> Result<String, String> {
    let found = places.find(document).ok_or_else(|| format!("the event's id is missing: {}", places.nothing()))?;
    let id =
        word(found).ok_or_else(|| format!("the event's id is neither a text nor a number at {}", places.listed()))?;
    id.parse::<EventId>().map(|_| id).map_err(|error| error.to_string())
}

/// The addresses that mail could be sent to. One that is none does not keep the others from being taken.
fn addresses(places: &Places, document: &Value) -> Result<Vec<String>, String> {
    let found = places.find(document).ok_or_else(|| format!("the addresses are missing: {}", places.nothing()))?;
    let listed = match found {
        Value::Array(list) => list.as_slice(),
        other => std::slice::from_ref(other),
    };
    if listed.len() > ADDRESSES {
        return Err(format!("{} addresses at once, and at most {ADDRESSES} are taken", listed.len()));
    }
    let mut addresses: Vec<String> = Vec::with_capacity(listed.len());
    for text in listed.iter().filter_map(Value::as_str) {
        let address = bare(text);
        let is_new = !addresses.iter().any(|known| known.eq_ignore_ascii_case(address));
        if is_new && (Mailbox { address: address.to_owned(), name: None }).check("it").is_ok() {
            addresses.push(address.to_owned());
        }
    }
    if addresses.is_empty() {
        return Err(format!("no address that mail could be sent to stands at {}", places.listed()));
    }
    Ok(addresses)
}

/// `Ada <ada@example.com>` without the name.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_suffix('>').and_then(|text| text.rsplit_once('<'));
    inside.map_or(text, |(_, address)| address.trim())
}

/// The values of which one must stand at a place.
#[derive(Debug, Clone, PartialEq)]
struct Wanted(Vec<Value>);

impl Wanted {
    fn is(&self, found: Option<&Value>) -> bool {
        found.is_some_and(|found| self.0.contains(found))
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = match Value::deserialize(deserializer)? {
            Value::Array(values) => values,
            value => vec![value],
        };
        let single = |value: &Value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
        if values.is_empty() || !values.iter().all(single) {
            return Err(D::Error::custom(Expected));
        }
        Ok(Self(values))
    }
}

/// What a condition looks like.
struct Expected;

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition is a text, a number, true or false, or a list of those, one of which must stand there")
    }
}
