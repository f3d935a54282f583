//! The name of a new job: its id, its package and its file in the hopper at once.
//! It does not ask whether the name is taken.

use crate::ForgeError;
use std::fmt;
use std::str::FromStr;

/// A name that can be both a job's id (`[a-z0-9][a-z0-9-]{0,63}`) and the name of a Cargo package and of a Rust function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobName(String);

/// Words that Rust keeps for itself; the job's function bears the job's name.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// Crates that a job's code may name, and the package names that cargo refuses.
const CRATES: &[&str] = &["test", "core", "std", "alloc", "proc-macro", "jobmill-sdk", "build", "deps"];
/// Functions of the SDK that the job's own would hide.
const FUNCTIONS: &[&str] = &["send-email", "fetch-order", "update-order", "step"];

impl JobName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its function and of its library.
    pub(crate) fn function(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `order-reminder` as `Order reminder`.
    pub(crate) fn title(&self) -> String {
        let mut letters = self.0.chars().map(|letter| if letter == '-' { ' ' } else { letter });
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    }
}

impl FromStr for JobName {
    type Err = ForgeError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let refuse = |rule| Err(ForgeError::BadName { name: name.to_owned(), rule });
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 64 {
            return refuse("it has to have 1 to 64 characters");
        }
        if !name.bytes().all(allowed) {
            return refuse("it may hold only a-z, 0-9 and `-`");
        }
        if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
            return refuse("it has to start with a letter, as a Cargo package does");
        }
        if KEYWORDS.contains(&name) {
            return refuse("Rust keeps this word for itself");
        }
        if CRATES.contains(&name) {
            return refuse("Rust or cargo uses this name itself");
        }
        if FUNCTIONS.contains(&name) {
            return refuse("the SDK has a function of this name");
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::JobName;

    #[test]
    fn accepts_what_is_a_job_id_and_a_package_name() {
        for name in ["a", "order-reminder", "step-2", &"x".repeat(64)] {
            assert!(name.parse::<JobName>().is_ok(), "{name}");
        }
        assert_eq!("order-reminder".parse::<JobName>().unwrap().title(), "Order reminder");
        assert_eq!("order-reminder".parse::<JobName>().unwrap().function(), "order_reminder");
    }

    #[test]
    fn a_refusal_names_the_rule() {
        for (name, rule) in [
            ("", "1 to 64 characters"),
            (&*"x".repeat(65), "1 to 64 characters"),
            ("Order", "only a-z"),
            ("order_reminder", "only a-z"),
            ("../escape", "only a-z"),
            ("2nd-mail", "start with a letter"),
            ("-mail", "start with a letter"),
            ("match", "keeps this word"),
            ("std", "uses this name"),
            ("send-email", "function of this name"),
        ] {
            let error = name.parse::<JobName>().unwrap_err().to_string();
            assert!(error.contains(rule), "{name:?}: {error}");
        }
    }
}
