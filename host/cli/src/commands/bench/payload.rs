//! Payloads that differ by a number and still fit the job: made from the job's own example.
//! It knows no job; the schema says what fits.

use jobmill_core::Json;
use jobmill_engine::LoadedJob;
use serde_json::Value;

/// Stands where the number will be while a payload is tried.
const MARK: &str = "7305529184";

/// A payload with a place for a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payloads {
    before: String,
    /// After the number; none when the job takes no number anywhere.
    after: Option<String>,
}

impl Payloads {
    /// Those of this job.
    pub(super) fn of(loaded: &LoadedJob) -> Self {
        let example = loaded.job.payload_example.clone().unwrap_or_else(Json::empty_object);
        Self::numbered(&example, |value| loaded.schema.as_ref().is_none_or(|schema| schema.problems(value).is_empty()))
    }

    fn numbered(example: &Json, fits: impl Fn(&Value) -> bool) -> Self {
        let marked = example.to_value().ok().and_then(|value| variants(&value).into_iter().find(|it| fits(it)));
        let text = marked.map(|value| value.to_string());
        match text.as_deref().and_then(|text| text.split_once(MARK)) {
            Some((before, after)) => Self { before: before.to_owned(), after: Some(after.to_owned()) },
            None => Self { before: example.as_str().to_owned(), after: None },
        }
    }

    /// The payload with this number, as JSON text.
    pub(super) fn text(&self, number: u64) -> String {
        match &self.after {
            Some(after) => format!("{}{number}{after}", self.before),
            None => self.before.clone(),
        }
    }
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
    let unknown = std::iter::once(with("bench", MARK.to_owned())).filter(|_| !members.contains_key("bench"));
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
}
