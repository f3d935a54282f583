//! The mailer that the configuration describes.
//! It connects to nothing.

use std::sync::Arc;

use jobmill_backends::{Credentials, Faults, MailSettings, Mailer, Secret, SmtpSettings};

use crate::config::{Config, MailMode, SmtpSection};
use crate::failure::Failure;

/// The mailer of this configuration.
pub(super) fn mailer(config: &Config, faults: Arc<Faults>) -> Result<Mailer, Failure> {
    let (mode, from) = config.mail_said()?;
    let mode = match (mode, &config.mail.smtp) {
        (MailMode::Smtp, Some(smtp)) => jobmill_backends::MailMode::Smtp(smtp_settings(smtp)?),
        // The configuration refuses smtp without a server.
        _ => jobmill_backends::MailMode::Capture,
    };
    Mailer::new(MailSettings { mode, from }, faults).map_err(|error| Failure::usage("configuration", error.to_string()))
}

/// How the mail server is reached, its secrets read.
pub(crate) fn smtp_settings(smtp: &SmtpSection) -> Result<SmtpSettings, Failure> {
    let url = smtp.url.read("mail.smtp.url")?;
    let mut settings = SmtpSettings::from_url(&url)
        .map_err(|error| Failure::usage("configuration", format!("mail.smtp.url: {error}")))?;
    match (&smtp.username, &smtp.password) {
        (Some(user), Some(password)) => {
            let password = Secret::new(password.read("mail.smtp.password")?);
            settings.credentials = Some(Credentials { user: user.clone(), password });
        }
        (None, None) => {}
        _ => {
            return Err(Failure::usage("configuration", "mail.smtp: username and password go together")
                .advise("say both, or neither"));
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::SecretSource;

    fn smtp(username: Option<&str>, password: Option<&str>) -> SmtpSection {
        SmtpSection {
            url: SecretSource::Text("smtps://mail.example.com".to_owned()),
            username: username.map(str::to_owned),
            password: password.map(|text| SecretSource::Text(text.to_owned())),
        }
    }

    #[test]
    fn a_user_needs_a_password() {
        let settings = smtp_settings(&smtp(Some("shop"), Some("hunter2"))).expect("usable");
        assert_eq!(settings.credentials.map(|credentials| credentials.user).as_deref(), Some("shop"));
        assert!(smtp_settings(&smtp(None, None)).expect("usable").credentials.is_none());
        assert!(smtp_settings(&smtp(Some("shop"), None)).is_err());
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_being_repeated() {
        let smtp = SmtpSection { url: SecretSource::Text("http://u:hunter2@mail".to_owned()), ..smtp(None, None) };
        let Err(Failure::Said(report)) = smtp_settings(&smtp) else { panic!("accepted") };
        assert!(report.message.contains("mail.smtp.url") && !report.message.contains("hunter2"), "{}", report.message);
    }
}
