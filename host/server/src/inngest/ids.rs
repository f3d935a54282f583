//! Ids as the protocol writes them: ULIDs without our prefixes, and UUIDs where it has them.
//! It looks nothing up.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use jobmill_core::{EventKey, JobId, RunId, limits};
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use crate::error::{Code, Problem};

/// The id of an account, an environment or a source: there are none here.
pub(super) const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// The event in a path.
pub(super) struct EventInPath(pub(super) EventKey);

/// The run in a path.
pub(super) struct RunInPath(pub(super) RunId);

impl<S: Send + Sync> FromRequestParts<S> for EventInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = |text: &str| ulid(text, "evt_").map(EventKey::from);
        in_path(parts, state, "event", read).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RunInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = |text: &str| ulid(text, "run_").map(RunId::from);
        in_path(parts, state, "run", read).await.map(Self)
    }
}

async fn in_path<S: Send + Sync, T>(
    parts: &mut Parts,
    state: &S,
    what: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Problem> {
    let refuse = |text: &str| {
        let detail = format!("Invalid {what} ID: {}", limits::truncate(text, 80));
        Problem::new(Code::InvalidParameter, detail)
    };
    let read_path = Path::<String>::from_request_parts(parts, state).await;
    let Path(text) = read_path.map_err(|rejection: PathRejection| refuse(&rejection.body_text()))?;
    read(&text).ok_or_else(|| refuse(&text))
}

/// A ULID. With our prefix too, so that an id copied from elsewhere works here.
pub(super) fn ulid(text: &str, prefix: &str) -> Option<Ulid> {
    let digits = text.strip_prefix(prefix).unwrap_or(text);
    Ulid::from_string(digits).ok().filter(|_| digits.len() == ulid::ULID_LEN)
}

/// A UUID (RFC 9562, version 8) for a job: the same for the same job everywhere.
pub(super) fn uuid(job: &JobId) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(job.as_str())[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = jobmill_core::id::hex(&bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_with_its_prefix_or_without() {
        let digits = "01JQDAE4RQF8MBCR55T5AK4KXS";
        assert_eq!(ulid(digits, "run_").map(|it| it.to_string()), Some(digits.to_owned()));
        assert_eq!(ulid(&format!("run_{digits}"), "run_"), ulid(digits, "run_"));
        for text in
            ["", "run_", "evt_01JQDAE4RQF8MBCR55T5AK4KXS", "01JQDAE4RQF8MBCR55T5AK4KX", "ü1JQDAE4RQF8MBCR55T5AK4KX"]
        {
            assert_eq!(ulid(text, "run_"), None, "{text}");
        }
    }

    #[test]
    fn a_jobs_uuid_is_a_uuid_and_always_the_same() {
        let job: JobId = "welcome-email".parse().expect("a job id");
        let one = uuid(&job);
        assert_eq!(one, uuid(&job));
        assert_ne!(one, uuid(&"refund".parse().expect("a job id")));
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(one.as_bytes()[14], b'8');
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }
}
