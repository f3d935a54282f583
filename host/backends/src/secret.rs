//! A text that must not be shown: passwords and tokens.
//! It does not encrypt; it keeps the text out of logs and of error messages.

use std::fmt;

/// A secret text. `Debug` shows that there is one, not what it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to send it on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
        assert_eq!(format!("{:#?}", Some(Secret::new("hunter2"))), "Some(\n    [secret],\n)");
    }
}
