//! Which errors are the same error: the fingerprint by which dead letters are grouped.
//! It groups within a job and a kind; it does not try to understand the text.

use sha2::{Digest, Sha256};

use crate::id::JobId;
use crate::outcome::AttemptError;

/// The same for errors of a job that differ only in numbers, ids, addresses and quoted text.
pub fn fingerprint(job: &JobId, error: &AttemptError) -> u64 {
    let digest = Sha256::new()
        .chain_update(job.as_str())
        .chain_update([0])
        .chain_update(error.kind.as_str())
        .chain_update([0])
        .chain_update(normalise(error.message.lines().next().unwrap_or_default()))
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// The text with whatever names one particular thing replaced by `#`.
fn normalise(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let quote = matches!(first, '"' | '`' | '\'').then(|| rest[1..].find(first)).flatten();
        if let Some(end) = quote {
            normal.push('#');
            rest = &rest[end + 2..];
            continue;
        }
        let word = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '`' | '\'' | ',' | ';' | '(' | ')'));
        let length = word.unwrap_or(rest.len()).max(first.len_utf8());
        let (token, after) = rest.split_at(length);
        let particular = token.contains('@') || token.chars().any(|c| c.is_ascii_digit());
        normal.push_str(if particular { "#" } else { token });
        rest = after;
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::FailureKind;

    #[test]
    fn numbers_ids_addresses_and_quotes_do_not_tell_errors_apart() {
        for (text, normal) in [
            ("the mail server said 451 4.7.1 try later", "the mail server said # # try later"),
            ("order order_123 is not found", "order # is not found"),
            ("no order \"a b\", giving up", "no order #, giving up"),
            ("ada@example.com was refused", "# was refused"),
            ("it's broken", "it's broken"),
            ("", ""),
            ("ü", "ü"),
        ] {
            assert_eq!(normalise(text), normal);
        }
    }

    #[test]
    fn job_and_kind_tell_errors_apart() {
        let job = |text: &str| text.parse::<JobId>().expect("a job id");
        let error = |kind| AttemptError::new(kind, "refused");
        let first = fingerprint(&job("a"), &error(FailureKind::Transient));
        assert_eq!(first, fingerprint(&job("a"), &error(FailureKind::Transient)));
        assert_ne!(first, fingerprint(&job("b"), &error(FailureKind::Transient)));
        assert_ne!(first, fingerprint(&job("a"), &error(FailureKind::Trap)));
    }
}
