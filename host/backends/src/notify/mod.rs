//! Messages about dead runs leave here: to a webhook, signed, and by mail.
//! Each is handed over once; what is told, and when it is tried again, is the engine's.

mod mail;
#[cfg(test)]
mod tests;
mod webhook;

pub use mail::NoticeMail;
pub use webhook::NoticeWebhook;

/// A setting by which nobody can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {reason}")]
pub struct NotifySettingsError {
    /// Its key in the configuration.
    pub key: &'static str,
    /// What is wrong with it; the end of a sentence.
    pub reason: String,
}

impl NotifySettingsError {
    fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }
}
