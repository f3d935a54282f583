//! Payloads that differ by a number and still fit the job: made from the job's own example.
//! It knows no job; the schema says what fits.

use jobmill_core::Json;
use jobmill_engine::LoadedJob;
use serde_json::Value;

use super::limited;

/// Stands where the number will be while a payload is tried.
const MARK: &str = "7305529184";
/// Stands where the key of a limit will be.
const KEY_MARK: &str = "4819255037";

/// A payload with a place for a number, and one for the key of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payloads(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Another one in each payload.
    Number,
    /// One of `limited::KEYS`, in turn.
    Key,
}

impl Payloads {
    /// Those of this job.
    pub(super) fn of(loaded: &LoadedJob) -> Self {
        Self::numbered(&example(loaded), |value| fits(loaded, value))
    }

    /// Those of this job with the key of a limit; none when its schema takes no member that it does not know.
    pub(super) fn keyed(loaded: &LoadedJob) -> Option<Self> {
        Self::numbered_and_keyed(&example(loaded), |value| fits(loaded, value))
    }

    fn numbered(example: &Json, fits: impl Fn(&Value) -> bool) -> Self {
        let marked = example.to_value().ok().and_then(|value| variants(&value).into_iter().find(|it| fits(it)));
        marked
            .map_or_else(|| Self(vec![Part::Text(example.as_str().to_owned())]), |value| Self::read(&value.to_string()))
    }

    fn numbered_and_keyed(example: &Json, fits: impl Fn(&Value) -> bool) -> Option<Self> {
        let Ok(Value::Object(mut members)) = example.to_value() else {
            return None;
        };
        members.insert(limited::MEMBER.to_owned(), Value::String(KEY_MARK.to_owned()));
        let keyed = Value::Object(members);
        let numbered = variants(&keyed).into_iter().filter(|it| it[limited::MEMBER] == KEY_MARK).find(|it| fits(it));
        numbered.or_else(|| fits(&keyed).then_some(keyed)).map(|value| Self::read(&value.to_string()))
    }

    /// Takes a text apart at its marks.
    fn read(mut text: &str) -> Self {
        let mut parts = Vec::new();
        while let Some((at, mark, part)) = [(MARK, Part::Number), (KEY_MARK, Part::Key)]
            .into_iter()
            .filter_map(|(mark, part)| Some((text.find(mark)?, mark, part)))
            .min_by_key(|(at, _, _)| *at)
        {
            parts.extend([Part::Text(text[..at].to_owned()), part]);
            text = &text[at + mark.len()..];
        }
        parts.push(Part::Text(text.to_owned()));
        Self(parts)
    }

    /// The payload with this number, as JSON text.
    pub(super) fn text(&self, number: u64) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Number => text.push_str(&number.to_string()),
                Part::Key => text.push_str(&(number % limited::KEYS).to_string()),
            }
        }
        text
    }
}

fn example(loaded: &LoadedJob) -> Json {
    loaded.job.payload_example.clone().unwrap_or_else(Json::empty_object)
}

fn fits(loaded: &LoadedJob, value: &Value) -> bool {
    loaded.schema.as_ref().is_none_or(|schema| schema.problems(value).is_empty())
}

/// The example with the mark in one of its members, the most harmless first: an address can carry a tag, a member that
/// the job does not know is ignored, and a text may be a name that means something.
fn variants(example: &Value) -> Vec<Value> {
    let Value::Object(members) = example else {
        return Vec::new();
    };
    let with = |name: &str, text: String| {
        let mut variant = members.clone();
        variant.insert(name.to_owned(), Value::String(text));
        Value::Object(variant)
    };
    let texts = || members.iter().filter_map(|(name, value)| value.as_str().map(|text| (name, text)));
    let tagged = texts().filter_map(|(name, text)| {
        let (mailbox, domain) = text.split_once('@')?;
        Some(with(name, format!("{mailbox}+{MARK}@{domain}")))
    });
    let unknown =
        std::iter::once(with(limited::MEMBER, MARK.to_owned())).filter(|_| !members.contains_key(limited::MEMBER));
    let longer = texts().map(|(name, text)| with(name, format!("{text}{MARK}")));
    tagged.chain(unknown).chain(longer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(example: &str, fits: impl Fn(&Value) -> bool) -> String {
        Payloads::numbered(&Json::parse(example).expect("JSON"), fits).text(17)
    }

    #[test]
    fn an_address_carries_the_number_as_a_tag() {
        let text = numbered(r#"{"userId":"u","email":"ada@example.com"}"#, |_| true);
        assert_eq!(text, r#"{"email":"ada+17@example.com","userId":"u"}"#);
    }

    #[test]
    fn without_an_address_a_member_of_its_own_carries_it_where_the_schema_lets_it() {
        let text = numbered(r#"{"orderId":"order_1"}"#, |_| true);
        assert_eq!(text, r#"{"bench":"17","orderId":"order_1"}"#);
        let closed = |value: &Value| value.get("bench").is_none();
        assert_eq!(numbered(r#"{"orderId":"order_1"}"#, closed), r#"{"orderId":"order_117"}"#);
    }

    #[test]
    fn a_payload_that_can_not_carry_it_stays_the_example() {
        assert_eq!(numbered(r#"{ "a": 1 }"#, |_| false), r#"{ "a": 1 }"#);
        assert_eq!(numbered("[1]", |_| true), "[1]");
    }

    #[test]
    fn with_limits_ten_thousand_keys_come_in_turn_beside_the_number() {
        let keyed = |example: &str, fits: fn(&Value) -> bool| {
            let payloads = Payloads::numbered_and_keyed(&Json::parse(example).expect("JSON"), fits);
            payloads.map(|payloads| payloads.text(10_017))
        };
        let text = r#"{"bench":"17","email":"ada+10017@example.com"}"#;
        assert_eq!(keyed(r#"{"email":"ada@example.com"}"#, |_| true).as_deref(), Some(text));
        assert_eq!(keyed("{}", |_| true).as_deref(), Some(r#"{"bench":"17"}"#));
        assert_eq!(keyed(r#"{"email":"ada@example.com"}"#, |value| value.get("bench").is_none()), None);
        assert_eq!(keyed("[1]", |_| true), None);
    }
}
