//! The events of a request as Inngest's SDKs send them, one or many, checked whole before any of them is published.
//! It publishes nothing, and knows no job; whether a job takes the data is the engine's to say.

use std::fmt;

use jobmill_core::job::check_event_name;
use jobmill_core::{EventId, Json, Timestamp, limits};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::body::parse;
use crate::error::{Code, Problem};

/// 1980-01-01 and 2100-01-01, between which the protocol lets an event happen; milliseconds since the Unix epoch.
const TIMES: std::ops::RangeInclusive<i64> = 315_532_800_000..=4_102_444_800_000;
/// What names begin with that only the engine publishes.
const RESERVED: [&str; 2] = ["inngest/", "jobmill/"];
/// The member that Inngest keeps for itself.
const INTERNAL: &str = "_inngest";

/// The events of a request.
#[derive(Debug, PartialEq)]
pub(super) struct Batch {
    /// In their order.
    pub(super) events: Vec<SentEvent>,
    /// They came in an array.
    pub(super) many: bool,
}

/// An event as it was sent.
#[derive(Debug, PartialEq)]
pub(super) struct SentEvent {
    pub(super) name: String,
    /// An object.
    pub(super) data: Json,
    pub(super) id: Option<EventId>,
    pub(super) ts: Option<Timestamp>,
}

/// What is looked at; `v`, `user`, `meta` and whatever else there is are not kept.
#[derive(Deserialize)]
struct WireEvent {
    name: Option<String>,
    data: Option<Json>,
    id: Option<String>,
    ts: Option<i64>,
}

impl Batch {
    /// The events that a body says: all of them, or the first thing that is wrong with any.
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let (many, sent) = match text.trim_start().as_bytes().first() {
            Some(b'{') => (false, vec![parse::<WireEvent>(text)?]),
            Some(b'[') => (true, parse::<Bounded>(text)?.0),
            _ => {
                let detail = "Request body must contain an event object or an array of event objects";
                return Err(Problem::new(Code::WrongType, detail));
            }
        };
        if sent.len() > limits::EVENTS_PER_REQUEST {
            let detail = format!("Cannot have more than {} events in a batch", limits::EVENTS_PER_REQUEST);
            return Err(Problem::new(Code::InvalidMember, detail));
        }
        let mut batch = Self { events: Vec::with_capacity(sent.len()), many };
        for (place, event) in sent.into_iter().enumerate() {
            let event = event.check().map_err(|reason| batch.refusal(place, &reason))?;
            batch.events.push(event);
        }
        Ok(batch)
    }

    fn refusal(&self, place: usize, reason: &str) -> Problem {
        let of_which = if self.many { format!(" (event /{place})") } else { String::new() };
        Problem::new(Code::InvalidMember, format!("{reason}{of_which}"))
    }
}

/// The JSON Pointer to a place in the data of an event, from the root of a request with many events or one.
pub(super) fn pointer(many: bool, place: usize, within: &str) -> String {
    if many { format!("/{place}/data{within}") } else { format!("/data{within}") }
}

impl WireEvent {
    fn check(self) -> Result<SentEvent, String> {
        let name = self.name.filter(|name| !name.is_empty()).ok_or("event name is empty")?;
        let starts_with = |prefix: &&str| name.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix));
        if RESERVED.iter().any(starts_with) {
            let name = limits::truncate(&name, limits::EVENT_NAME_BYTES);
            return Err(format!("event name is reserved for internal use: {name}"));
        }
        check_event_name(&name).map_err(|reason| format!("event name is refused: {reason}"))?;
        let data = self.data.map_or_else(|| Ok(Json::empty_object()), without_internal)?;
        if data.as_str().len() > limits::PAYLOAD_BYTES {
            return Err(format!("event data is larger than {} bytes", limits::PAYLOAD_BYTES));
        }
        let id = self.id.filter(|id| !id.is_empty()).map(|id| id.parse::<EventId>()).transpose();
        let id = id.map_err(|reason| format!("event id is refused: {reason}"))?;
        Ok(SentEvent { name, data, id, ts: self.ts.map_or(Ok(None), time)? })
    }
}

/// When an event happened; 0 is now.
fn time(millis: i64) -> Result<Option<Timestamp>, String> {
    if millis == 0 {
        return Ok(None);
    }
    let fits = TIMES.contains(&millis).then(|| u64::try_from(millis).ok()).flatten();
    let millis = fits.ok_or_else(|| {
        format!("event ts {millis} is not between 1980-01-01 and 2100-01-01; send milliseconds since 1970")
    })?;
    Ok(Some(Timestamp::from_millis(millis)))
}

/// The same object without the member that Inngest keeps for itself; as it was sent, byte for byte, where it has none.
fn without_internal(data: Json) -> Result<Json, String> {
    if !data.as_str().starts_with('{') {
        return Err("event data must be an object".to_owned());
    }
    let refuse = |error: serde_json::Error| format!("event data can't be read: {error}");
    let Members(mut members) = serde_json::from_str(data.as_str()).map_err(refuse)?;
    let before = members.len();
    members.retain(|(name, _)| name != INTERNAL);
    if members.len() == before { Ok(data) } else { Json::of(&Members(members)).map_err(refuse) }
}

/// The members of an object in their order, each value as it was sent.
struct Members(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                // No more than the body has room for.
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// As many events as a request may have, and one more where there are more: the rest is skipped, not kept.
struct Bounded(Vec<WireEvent>);

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;

        impl<'de> Visitor<'de> for Array {
            type Value = Bounded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of event objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bounded, A::Error> {
                let mut events = Vec::new();
                while events.len() <= limits::EVENTS_PER_REQUEST {
                    let Some(event) = seq.next_element()? else { return Ok(Bounded(events)) };
                    events.push(event);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Bounded(events))
            }
        }

        deserializer.deserialize_seq(Array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> SentEvent {
        Batch::read(text).expect("an event").events.pop().expect("one")
    }

    fn refused(text: &str) -> String {
        Batch::read(text).expect_err(text).detail().to_owned()
    }

    #[test]
    fn an_object_is_one_event_and_an_array_is_many() {
        let one = Batch::read(" {\"name\":\"a\"}").expect("one");
        assert_eq!((one.events.len(), one.many), (1, false));
        assert_eq!(pointer(one.many, 0, "/x"), "/data/x");
        let many = Batch::read("\n[{\"name\":\"a\"},{\"name\":\"b\"}]").expect("many");
        assert_eq!((many.events.len(), many.many), (2, true));
        assert_eq!(pointer(many.many, 1, "/x"), "/1/data/x");
        assert_eq!(Batch::read("[]").expect("none").events, []);
    }

    #[test]
    fn what_the_protocol_leaves_out_has_its_defaults() {
        let sent = event("{\"name\":\"a\",\"id\":\"\",\"ts\":0,\"v\":1,\"user\":[],\"meta\":null,\"more\":{}}");
        assert_eq!(sent, SentEvent { name: "a".to_owned(), data: Json::empty_object(), id: None, ts: None });
        assert_eq!(event("{\"name\":\"a\",\"data\":null,\"id\":null,\"ts\":null}"), sent);
    }

    #[test]
    fn data_is_kept_as_it_was_sent_but_for_what_inngest_keeps_for_itself() {
        let kept = "{ \"b\":1.50, \"a\" : {\"_inngest\":1} }";
        assert_eq!(event(&format!("{{\"name\":\"a\",\"data\":{kept}}}")).data.as_str(), kept);
        for internal in ["_inngest", "\\u005finngest"] {
            let sent = format!("{{\"name\":\"a\",\"data\":{{\"b\":1.50,\"{internal}\":{{}},\"a\\u0022\":[ 1 ]}}}}");
            assert_eq!(event(&sent).data.as_str(), "{\"b\":1.50,\"a\\\"\":[ 1 ]}");
        }
    }

    #[test]
    fn a_time_is_milliseconds_of_this_age() {
        assert_eq!(event("{\"name\":\"a\",\"ts\":1743130137367}").ts, Some(Timestamp::from_millis(1_743_130_137_367)));
        for wrong in ["1", "-1", "1743130137", "315532799999", "4102444800001", "9223372036854775807"] {
            let refused = refused(&format!("{{\"name\":\"a\",\"ts\":{wrong}}}"));
            assert!(refused.contains(wrong) && refused.contains("1980-01-01"), "{refused}");
        }
        for wrong in ["1.5", "\"now\"", "true"] {
            assert!(refused(&format!("[{{\"name\":\"a\",\"ts\":{wrong}}}]")).starts_with("0/ts is "));
        }
    }

    #[test]
    fn what_is_no_event_is_refused_in_the_protocols_words() {
        for text in ["", "7", "\"a\"", "null", "name=a"] {
            assert_eq!(
                refused(text),
                "Request body must contain an event object or an array of event objects",
                "{text}"
            );
        }
        assert_eq!(refused("{}"), "event name is empty");
        assert_eq!(refused("[{\"name\":\"a\"},{\"name\":\"\"}]"), "event name is empty (event /1)");
        let reserved = "event name is reserved for internal use: Inngest/function.failed";
        assert_eq!(refused("{\"name\":\"Inngest/function.failed\"}"), reserved);
        assert_eq!(refused("{\"name\":\"a\",\"data\":[]}"), "event data must be an object");
        assert!(refused("{\"name\":\"a b\"}").contains("white space"));
        assert!(refused("{\"name\":\"a\",\"id\":\"\\n\"}").starts_with("event id is refused"));
        assert!(refused("[{\"name\":\"a\"}").starts_with("the body is not JSON"));
    }

    #[test]
    fn more_events_than_a_request_may_have_are_skipped_and_refused() {
        let many = |count: usize| format!("[{}]", vec!["{\"name\":\"a\"}"; count].join(","));
        assert_eq!(Batch::read(&many(5_000)).expect("as many as may be").events.len(), 5_000);
        assert_eq!(refused(&many(5_001)), "Cannot have more than 5000 events in a batch");
        assert_eq!(refused(&many(50_000)), "Cannot have more than 5000 events in a batch");
    }
}
