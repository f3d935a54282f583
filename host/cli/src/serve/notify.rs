//! Who is told of dead runs, as the configuration says: the engine's `Notifier` over the ways out of `backends`.
//! It connects to nothing.

use std::sync::Arc;

use async_trait::async_trait;
use jobmill_backends::{NoticeMail, NoticeWebhook, NotifySettingsError, Secret};
use jobmill_core::Timestamp;
use jobmill_core::notice::{NoticeDelivery, NoticeMessage};
use jobmill_engine::Notifier;
use jobmill_server::OnDuty;

use super::mail::mailer;
use crate::config::{Config, MailMode};
use crate::failure::Failure;

/// Whoever is told.
pub(crate) struct Notify {
    /// One after the other.
    pub(crate) receivers: Vec<Arc<dyn Notifier>>,
    /// Dead runs of one group within ten minutes that are a spike.
    pub(crate) spike: usize,
    /// The same for people.
    pub(crate) on_duty: OnDuty,
}

/// Whoever is told by this configuration; its secret is read.
pub(crate) fn notify(config: &Config) -> Result<Notify, Failure> {
    let section = &config.notify;
    let spike = section.spike.get();
    let refused = |error: NotifySettingsError| Failure::usage("configuration", error.to_string());
    let mut receivers: Vec<Arc<dyn Notifier>> = Vec::new();
    let mut on_duty = OnDuty { receivers: Vec::new(), spike, unreached: Vec::new() };
    if let Some(url) = &section.webhook {
        let secret = section.webhook_secret.as_ref().map(|secret| secret.read("notify.webhook_secret")).transpose()?;
        let webhook = NoticeWebhook::new(url, secret.map(Secret::new).as_ref()).map_err(refused)?;
        on_duty.receivers.push(webhook.place());
        receivers.push(Arc::new(Webhook(webhook)));
    }
    if !section.mail.is_empty() {
        // Failures on demand are for the jobs' own mails.
        let mailer = Arc::new(mailer(config, Arc::default())?);
        let addresses = NoticeMail::to_each(&mailer, &section.mail).map_err(refused)?;
        if config.mail.mode == Some(MailMode::Smtp) {
            on_duty.receivers.extend(section.mail.iter().cloned());
            receivers.extend(addresses.into_iter().map(|address| Arc::new(Address(address)) as Arc<dyn Notifier>));
        } else {
            tracing::warn!(
                addresses = section.mail.len(),
                "notify.mail names who is told of dead runs, and mail.mode is \"capture\": nobody gets mail"
            );
            on_duty.unreached.clone_from(&section.mail);
        }
    }
    Ok(Notify { receivers, spike, on_duty })
}

struct Webhook(NoticeWebhook);

#[async_trait]
impl Notifier for Webhook {
    fn name(&self) -> String {
        self.0.place()
    }

    async fn deliver(&self, message: &NoticeMessage, now: Timestamp) -> NoticeDelivery {
        self.0.deliver(message, now).await
    }
}

struct Address(NoticeMail);

#[async_trait]
impl Notifier for Address {
    fn name(&self) -> String {
        self.0.address().to_owned()
    }

    async fn deliver(&self, message: &NoticeMessage, _: Timestamp) -> NoticeDelivery {
        self.0.deliver(message).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;
    use crate::config::layers::{FILE_NAME, Sources};

    /// What is said of a configuration with these lines in `[notify]`.
    fn said(mode: &str, lines: &str) -> Result<Notify, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!(
            "[mail]\nmode = \"{mode}\"\nfrom = \"shop@shop.example\"\nsmtp = {{ url = \"smtp://127.0.0.1:1\" }}\n\
             [notify]\n{lines}"
        );
        std::fs::write(directory.path().join(FILE_NAME), text).expect("written");
        let sources = Sources { command: "up", directory: directory.path().to_owned(), ..Sources::default() };
        let Ok(Loaded { config, .. }) = Loaded::read(&sources) else { panic!("the file is refused") };
        notify(&config).map_err(|failure| match failure {
            Failure::Said(report) => report.message,
            Failure::ReaderGone => "nobody reads".to_owned(),
        })
    }

    const WEBHOOK: &str = "webhook = \"https://duty.example/T0/hook\"\n";
    const MAIL: &str = "mail = [\"ops@shop.example\", \"ada@shop.example\"]\n";

    #[test]
    fn nobody_is_told_unless_somebody_is_named() {
        let Ok(notify) = said("smtp", "") else { panic!("usable") };
        assert_eq!((notify.receivers.len(), notify.spike), (0, 50));
    }

    #[test]
    fn each_receiver_is_named_without_what_could_be_a_secret() {
        let secret = "webhook_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nspike = 3\n";
        let Ok(notify) = said("smtp", &[WEBHOOK, secret, MAIL].concat()) else { panic!("usable") };
        let names: Vec<String> = notify.receivers.iter().map(|receiver| receiver.name()).collect();
        assert_eq!(names, ["https://duty.example", "ops@shop.example", "ada@shop.example"]);
        assert_eq!((notify.on_duty.receivers, notify.spike), (names, 3));
    }

    #[test]
    fn where_mail_is_captured_nobody_is_said_to_get_any() {
        let Ok(notify) = said("capture", MAIL) else { panic!("usable") };
        assert_eq!((notify.receivers.len(), notify.on_duty.unreached.len()), (0, 2));
    }

    #[test]
    fn what_nobody_could_be_told_by_is_refused_by_its_key() {
        for (lines, wanted) in [
            (WEBHOOK.to_owned(), "notify.webhook_secret is missing"),
            ([WEBHOOK, "webhook_secret = \"hunter2\"\n"].concat(), "notify.webhook_secret is no secret"),
            ([WEBHOOK, "webhook_secret = { env = \"NO_SUCH_VARIABLE_HERE\" }\n"].concat(), "NO_SUCH_VARIABLE_HERE"),
            ("webhook = \"duty\"\nwebhook_secret = \"x\"\n".to_owned(), "notify.webhook "),
            ("mail = [\"ops\"]\n".to_owned(), "notify.mail "),
        ] {
            let Err(message) = said("smtp", &lines) else { panic!("accepted: {lines}") };
            assert!(message.contains(wanted) && !message.contains("hunter2"), "{message}");
        }
    }
}
