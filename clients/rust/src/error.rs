//! What can go wrong between a program and a server, as values to match on.
//! It advises nobody: what to do about an error depends on the program.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none; no request was made.
    #[error("{server:?} is not the address of a server: {reason}")]
    BadServer {
        /// What was given.
        server: String,
        /// What is wrong with it, the end of a sentence.
        reason: String,
    },
    /// The request can't be written as JSON; it was not made.
    #[error("the request can't be written: {reason}")]
    BadRequest {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers. Whether the server has taken the request is not known.
    #[error("no Jobmill server answers at {server}: {reason}")]
    Unreachable {
        /// The server's address.
        server: String,
        /// What the operating system or the connection said.
        reason: String,
    },
    /// The server answers no, and has done nothing.
    #[error("{}", refused(detail, errors))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// A stable word for programs, such as `unknown-job`.
        code: String,
        /// A sentence for people.
        detail: String,
        /// What is wrong with single members of the request.
        errors: Vec<Member>,
        /// When it is worth asking again, as far as the server says.
        retry_after: Option<Duration>,
    },
    /// The answer is not what a Jobmill of this version would say.
    #[error("the server's answer is not what was expected: {reason}")]
    UnexpectedAnswer {
        /// The status of a refusal that says nothing else; none where the document has another shape.
        status: Option<u16>,
        /// What is wrong with it.
        reason: String,
    },
}

/// A member of a request that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Where it stands, as a JSON Pointer; empty for the whole document.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Error {
    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the same request may be taken later: nobody answered, or the server has too much to do.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { status: 429 | 503, .. })
    }

    /// A document that has another shape.
    pub(crate) fn unexpected(error: &serde_json::Error) -> Self {
        Self::UnexpectedAnswer { status: None, reason: error.to_string() }
    }
}

fn refused(detail: &str, errors: &[Member]) -> String {
    let mut text = detail.to_owned();
    for Member { pointer, detail } in errors {
        let pointer = if pointer.is_empty() { "the document" } else { pointer };
        let _ = write!(text, "; {pointer}: {detail}");
    }
    text
}

/// `application/problem+json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
    errors: Vec<Member>,
}

/// What a status that is no success means.
pub(crate) fn refusal(status: u16, body: &str, retry_after: Option<Duration>) -> Error {
    let Ok(problem) = serde_json::from_str::<Problem>(body) else {
        let reason = format!("the status is {status}, and the body is not one of a Jobmill");
        return Error::UnexpectedAnswer { status: Some(status), reason };
    };
    let detail = problem.detail.or(problem.title);
    Error::Refused {
        status,
        code: problem.code.unwrap_or_else(|| format!("http-{status}")),
        detail: detail.unwrap_or_else(|| format!("the server answered with status {status}")),
        errors: problem.errors,
        retry_after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_code_and_the_members() {
        let invalid = r#"{"status":422,"code":"payload-invalid","detail":"the payload does not fit",
            "errors":[{"pointer":"/orderId","detail":"is required"},{"pointer":"","detail":"is too long"}]}"#;
        let error = refusal(422, invalid, None);
        assert_eq!(error.code(), Some("payload-invalid"));
        assert_eq!(error.to_string(), "the payload does not fit; /orderId: is required; the document: is too long");
        assert!(!error.is_passing());
    }

    #[test]
    fn a_refusal_without_words_is_told_by_its_status() {
        let error = refusal(503, "{}", Some(Duration::from_secs(10)));
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            (Some("http-503"), "the server answered with status 503")
        );
        assert!(error.is_passing());
    }

    #[test]
    fn what_is_no_problem_document_is_not_a_jobmill() {
        let error = refusal(502, "<html>", None);
        assert!(matches!(error, Error::UnexpectedAnswer { status: Some(502), .. }), "{error:?}");
        assert_eq!(error.code(), None);
    }
}
