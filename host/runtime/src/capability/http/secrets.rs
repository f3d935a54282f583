//! Secrets of jobs: a job writes `{{secret:NAME}}` into the value of a header, and the host puts the secret there on the way out.
//! No job gets to see one here, and no text of the host has one in it.

use std::collections::BTreeMap;

use jobmill_backends::Secret;
use jobmill_backends::outgoing::HeaderMap;
use jobmill_backends::outgoing::header::HeaderValue;
use jobmill_core::{JobId, limits};

/// The secrets of all jobs, by their names.
pub type JobSecrets = BTreeMap<JobId, BTreeMap<String, Secret>>;

const BEGIN: &str = "{{secret:";
const END: &str = "}}";

/// Those that went into a request, with their placeholders.
#[derive(Default)]
pub(super) struct Used(Vec<(String, Secret)>);

/// A secret that is not there, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown(pub(super) String);

/// Puts secrets in the place of their placeholders, in the values of these headers.
pub(super) fn fill(headers: &mut HeaderMap, secrets: Option<&BTreeMap<String, Secret>>) -> Result<Used, Unknown> {
    let mut used = Used::default();
    for value in headers.values_mut() {
        let Ok(text) = value.to_str() else { continue };
        if !text.contains(BEGIN) {
            continue;
        }
        let filled = filled(text, secrets, &mut used)?;
        // Control characters in a secret are refused where it is read, so that its value can be one of a header.
        let mut whole = HeaderValue::try_from(filled).map_err(|_| Unknown(text.to_owned()))?;
        whole.set_sensitive(true);
        *value = whole;
    }
    Ok(used)
}

fn filled(text: &str, secrets: Option<&BTreeMap<String, Secret>>, used: &mut Used) -> Result<String, Unknown> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(END).unwrap_or((after, ""));
        let unknown = || Unknown(limits::truncate(name, limits::KEY_BYTES).to_owned());
        let secret = secrets.and_then(|secrets| secrets.get(name)).ok_or_else(unknown)?;
        whole.push_str(before);
        whole.push_str(secret.expose());
        used.0.push((format!("{BEGIN}{name}{END}"), secret.clone()));
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}

impl Used {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same bytes with placeholders in the place of secrets: what others answer may repeat what they were told.
    pub(super) fn masked(&self, bytes: &[u8]) -> Vec<u8> {
        let mut masked = bytes.to_vec();
        for (placeholder, secret) in &self.0 {
            let secret = secret.expose().as_bytes();
            let mut from = 0;
            while let Some(at) = find(&masked[from..], secret).map(|at| from + at) {
                masked.splice(at..at + secret.len(), placeholder.bytes());
                from = at + placeholder.len();
            }
        }
        masked
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len().max(1)).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> BTreeMap<String, Secret> {
        BTreeMap::from([("token".to_owned(), Secret::new("s3cr3t")), ("user".to_owned(), Secret::new("ada"))])
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([("authorization".parse().expect("a name"), value.parse().expect("a value"))])
    }

    #[test]
    fn placeholders_become_secrets_and_are_not_shown() {
        let mut headers = headers("Basic {{secret:user}}:{{secret:token}}!");
        let used = fill(&mut headers, Some(&secrets())).expect("known");
        assert_eq!(headers["authorization"], "Basic ada:s3cr3t!");
        assert!(!format!("{headers:?}").contains("s3cr3t"));
        assert!(!used.is_empty());
        assert_eq!(used.masked(b"you said s3cr3t and s3cr3t"), b"you said {{secret:token}} and {{secret:token}}");
        assert_eq!(used.masked(b"s3cr3"), b"s3cr3");
        assert_eq!(used.masked(b""), b"");
    }

    #[test]
    fn other_values_stay_as_they_are() {
        let mut headers = headers("Bearer {{token}} }}");
        assert!(fill(&mut headers, None).expect("no secret").is_empty());
        assert_eq!(headers["authorization"], "Bearer {{token}} }}");
    }

    #[test]
    fn a_secret_of_nobody_or_of_another_job_is_unknown() {
        for (value, name) in [("{{secret:other}}", "other"), ("{{secret:token", "token"), ("{{secret:}}", "")] {
            let unknown = fill(&mut headers(value), Some(&BTreeMap::new())).err();
            assert_eq!(unknown, Some(Unknown(name.to_owned())), "{value}");
            assert!(fill(&mut headers(value), None).is_err(), "{value}");
        }
    }

    #[test]
    fn what_a_secret_says_is_not_read_again() {
        let nested =
            BTreeMap::from([("a".to_owned(), Secret::new("{{secret:b}}")), ("b".to_owned(), Secret::new("x"))]);
        let mut headers = headers("{{secret:a}}");
        fill(&mut headers, Some(&nested)).expect("known");
        assert_eq!(headers["authorization"], "{{secret:b}}");
    }
}
