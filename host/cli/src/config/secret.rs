//! Secrets in the configuration: written out, in a file, or in a variable.
//! It shows them to nobody: their debug output names the place only.

use std::fmt;
use std::path::PathBuf;

use figment::value::Value;
use serde::Deserialize;

use crate::failure::Failure;

/// Where a secret is.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "expected a text, { file = \"…\" } or { env = \"…\" }")]
pub(crate) enum SecretSource {
    /// Here.
    Text(String),
    /// In a file, whose last line break is not part of it.
    File {
        /// The file.
        file: PathBuf,
    },
    /// In a variable.
    Environment {
        /// The variable's name.
        env: String,
    },
}

impl SecretSource {
    /// The secret. `key` is named when it can't be had.
    pub(crate) fn read(&self, key: &str) -> Result<String, Failure> {
        let missing = |reason: String| Failure::usage("secret-missing", format!("{key} can't be read: {reason}"));
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File { file } => {
                let text =
                    std::fs::read_to_string(file).map_err(|error| missing(format!("{}: {error}", file.display())))?;
                Ok(text.strip_suffix('\n').map_or(text.as_str(), |line| line.trim_end_matches('\r')).to_owned())
            }
            Self::Environment { env } => {
                std::env::var(env).map_err(|error| missing(format!("the variable {env}: {error}")))
            }
        }
    }
}

/// A list with secrets in it as it may be shown: with the places of secrets, and not those that are written out.
pub(super) fn masked(value: &Value) -> Value {
    let text = || Value::from("(secret)");
    match value {
        Value::Array(tag, items) => {
            let item = |item: &Value| if matches!(item, Value::String(..)) { text() } else { masked(item) };
            Value::Array(*tag, items.iter().map(item).collect())
        }
        Value::Dict(tag, members) => {
            let member = |(name, value): (&String, &Value)| match value {
                Value::String(..) if name == "secret" => (name.clone(), text()),
                other => (name.clone(), masked(other)),
            };
            Value::Dict(*tag, members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("(secret)"),
            Self::File { file } => write!(f, "{{ file = {:?} }}", file.display().to_string()),
            Self::Environment { env } => write!(f, "{{ env = {env:?} }}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = SecretSource::Text("hunter2".to_owned());
        assert_eq!(format!("{secret} {secret:?}"), "(secret) (secret)");
        assert_eq!(secret.read("mail.smtp.password").expect("there"), "hunter2");
    }

    #[test]
    fn a_file_gives_its_text_without_the_last_line_break() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("password");
        std::fs::write(&file, "hun ter2 \r\n").expect("written");
        assert_eq!(SecretSource::File { file }.read("mail.smtp.password").expect("there"), "hun ter2 ");
    }

    #[test]
    fn a_secret_that_is_not_there_is_named_by_its_key_and_place() {
        let source = SecretSource::Environment { env: "NO_SUCH_VARIABLE_HERE".to_owned() };
        let Err(Failure::Said(report)) = source.read("mail.smtp.password") else { panic!("missing") };
        assert!(report.message.contains("mail.smtp.password") && report.message.contains("NO_SUCH_VARIABLE_HERE"));
    }
}
