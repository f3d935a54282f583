//! The mailer that the configuration describes.
//! It connects to nothing.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jobmill_backends::{Credentials, DkimSettings, Faults, MailError, MailSettings, Mailer, Secret, SmtpSettings};
use jobmill_core::mail::{Mail, MailStatus};
use jobmill_engine::MailOutlet;
use jobmill_server::{Alarm, Alarms, MailRoute};
use jobmill_store::Settlement;
use tokio::time::Instant;

use crate::config::{AllowedAddress, Config, DkimSection, MailMode, SmtpSection};
use crate::failure::Failure;

/// The mailer of this configuration.
pub(crate) fn mailer(config: &Config, faults: Arc<Faults>) -> Result<Mailer, Failure> {
    let (mode, from) = config.mail_said()?;
    let mode = match (mode, &config.mail.smtp) {
        (MailMode::Smtp, Some(smtp)) => {
            let dkim = config.mail.dkim.as_ref().map(dkim_settings).transpose()?;
            jobmill_backends::MailMode::Smtp(SmtpSettings { dkim, ..smtp_settings(smtp)? })
        }
        // The configuration refuses smtp without a server.
        _ => jobmill_backends::MailMode::Capture,
    };
    Mailer::new(MailSettings { mode, from }, faults).map_err(|error| Failure::usage("configuration", error.to_string()))
}

/// What becomes of mails, for people.
pub(super) fn route(config: &Config) -> Result<MailRoute, Failure> {
    let (mode, _) = config.mail_said()?;
    match (mode, &config.mail.smtp) {
        (MailMode::Smtp, Some(smtp)) => {
            let SmtpSettings { host, port, .. } = smtp_settings(smtp)?;
            Ok(MailRoute::Server(format!("{host}:{port}")))
        }
        _ => Ok(MailRoute::Captured),
    }
}

/// What is wrong with mail just now.
pub(super) fn alarms(mailer: Arc<Mailer>) -> Alarms {
    Arc::new(move |now| {
        let alarm = mailer.outage().map(|outage| Alarm {
            kind: "mail",
            detail: format!("mail is kept back: {}", outage.reason),
            since: now.before(outage.since.elapsed()).unwrap_or_default(),
            next_try: now.after(outage.next_try.saturating_duration_since(Instant::now())),
        });
        alarm.into_iter().collect()
    })
}

/// The way out of the development mailbox; none when the configuration lets no captured mail leave.
pub(super) fn outlet(config: &Config) -> Result<Option<Arc<dyn MailOutlet>>, Failure> {
    let Some(release) = &config.mail.release else { return Ok(None) };
    let mut sending = config.clone();
    sending.mail.mode = Some(MailMode::Smtp);
    // Failures on demand are for the jobs' own mails.
    let mailer = mailer(&sending, Arc::default())?;
    Ok(Some(Arc::new(Outlet { mailer, allow: release.allow.clone() })))
}

/// Hands captured mails to the mail server, for those who may get them.
struct Outlet {
    mailer: Mailer,
    allow: Vec<AllowedAddress>,
}

#[async_trait]
impl MailOutlet for Outlet {
    fn allows(&self, address: &str) -> bool {
        self.allow.iter().any(|allowed| allowed.names(address))
    }

    async fn deliver(&self, mail: &Mail) -> Settlement {
        match self.mailer.deliver(mail).await {
            Ok(delivery) => Settlement { status: delivery.status, reply: delivery.reply, error: None },
            Err(error) => {
                let in_doubt = matches!(error, MailError::InDoubt { .. });
                let status = if in_doubt { MailStatus::InDoubt } else { MailStatus::Failed };
                Settlement { status, reply: error.reply().map(str::to_owned), error: Some(error.to_string()) }
            }
        }
    }
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
    settings.authority = smtp.ca.as_deref().map(authority).transpose()?;
    settings.command_timeout = smtp.command_timeout.unwrap_or(settings.command_timeout);
    settings.delivery_timeout = smtp.delivery_timeout.unwrap_or(settings.delivery_timeout);
    Ok(settings)
}

fn authority(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::usage("configuration", format!("mail.smtp.ca: {} can't be read: {error}", file.display()))
            .advise("name a file of certificates in PEM, or leave ca out to trust the public authorities")
    })
}

/// How mails are signed, the key read.
fn dkim_settings(dkim: &DkimSection) -> Result<DkimSettings, Failure> {
    let key = Secret::new(dkim.key.read("mail.dkim.key")?);
    Ok(DkimSettings { domain: dkim.domain.clone(), selector: dkim.selector.clone(), key })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::secret::SecretSource;

    fn smtp(username: Option<&str>, password: Option<&str>) -> SmtpSection {
        SmtpSection {
            url: SecretSource::Text("smtps://mail.example.com".to_owned()),
            username: username.map(str::to_owned),
            password: password.map(|text| SecretSource::Text(text.to_owned())),
            ca: None,
            command_timeout: None,
            delivery_timeout: None,
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

    #[test]
    fn what_is_said_takes_the_place_of_the_defaults() {
        let defaults = smtp_settings(&smtp(None, None)).expect("usable");
        let said = SmtpSection { delivery_timeout: Some(Duration::from_mins(2)), ..smtp(None, None) };
        let settings = smtp_settings(&said).expect("usable");
        assert_eq!(settings.delivery_timeout, Duration::from_mins(2));
        assert_eq!(settings.command_timeout, defaults.command_timeout);
    }

    #[test]
    fn files_that_are_not_there_are_named_with_their_key() {
        let missing = SmtpSection { ca: Some("/nowhere/ca.pem".into()), ..smtp(None, None) };
        let Err(Failure::Said(report)) = smtp_settings(&missing) else { panic!("accepted") };
        assert!(report.message.contains("mail.smtp.ca") && report.message.contains("/nowhere/ca.pem"));
        let key = SecretSource::File { file: "/nowhere/dkim.pem".into() };
        let dkim = DkimSection { domain: "example.com".to_owned(), selector: "jobmill".to_owned(), key };
        let Err(Failure::Said(report)) = dkim_settings(&dkim) else { panic!("accepted") };
        assert!(report.message.contains("mail.dkim.key") && report.message.contains("/nowhere/dkim.pem"));
    }
}
