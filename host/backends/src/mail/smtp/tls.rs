//! TLS with the mail server: what is believed, and what is refused before a password or a mail is sent.
//! The certificates are made for each test; no authority of the world is asked.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use super::super::mime::tests::mail;
use super::super::sink::{Act, At, Sink};
use super::super::{Credentials, MailError, MailMode, MailSettings, MailSettingsError, Mailer, Security, SmtpSettings};
use super::Refusal;
use super::tests::smtp;
use crate::secret::Secret;

/// A server's certificate and the authority that it leads back to.
pub(super) struct Certified {
    authority: String,
    server: ServerConfig,
}

impl Certified {
    /// For a server of these names, valid now.
    pub(super) fn new<const N: usize>(names: [&str; N]) -> Self {
        Self::until(names, 2100)
    }

    fn until<const N: usize>(names: [&str; N], year: i32) -> Self {
        let mut authority = CertificateParams::new([]).expect("no names");
        authority.distinguished_name.push(DnType::CommonName, format!("The authority of {names:?}, {year}"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("signed");
        let mut certificate = CertificateParams::new(names.map(str::to_owned)).expect("names");
        certificate.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = certificate.signed_by(&key, &authority).expect("signed");
        let provider = rustls::crypto::ring::default_provider();
        let server = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
            )
            .expect("fits");
        Self { authority: authority.pem(), server }
    }

    /// The authority, in PEM.
    pub(super) fn authority(&self) -> String {
        self.authority.clone()
    }

    /// What the server needs.
    pub(super) fn server(&self) -> ServerConfig {
        self.server.clone()
    }
}

fn settings(sink: &Sink, certified: &Certified) -> SmtpSettings {
    let password = Secret::new("hunter2");
    SmtpSettings {
        authority: Some(certified.authority()),
        credentials: Some(Credentials { user: "shop".to_owned(), password }),
        ..sink.settings()
    }
}

/// Neither a password nor a mail has been sent.
fn nothing_said(sink: &Sink) -> bool {
    sink.commands().iter().all(|command| command.starts_with("EHLO") || command == "STARTTLS" || command == "QUIT")
}

fn misconfigured(result: Result<String, Refusal>) -> Option<String> {
    match result.map_err(|refusal| refusal.error) {
        Err(MailError::Misconfigured { reason, .. }) => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn mail_goes_through_tls_from_the_first_byte_or_after_starttls() {
    let certified = Certified::new(["127.0.0.1"]);
    for security in [Security::Tls, Security::StartTls] {
        let sink = Sink::start_secure([], security, certified.server()).await;
        let smtp = smtp(settings(&sink, &certified));
        for _ in 0..3 {
            smtp.deliver(&mail()).await.expect("taken");
        }
        assert_eq!((sink.connections(), sink.taken().len()), (1, 3), "{security:?}");
        let auth = sink.commands().iter().position(|command| command.starts_with("AUTH")).expect("signs in");
        let starttls = sink.commands().iter().position(|command| command == "STARTTLS");
        assert_eq!(starttls.is_some(), security == Security::StartTls);
        assert!(starttls.is_none_or(|starttls| starttls < auth));
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_for_the_operator_and_gets_neither_password_nor_mail() {
    let good = Certified::new(["127.0.0.1"]);
    let elsewhere = Certified::new(["mail.example.com"]);
    let expired = Certified::until(["127.0.0.1"], 2020);
    for security in [Security::Tls, Security::StartTls] {
        for (server, trusted, named) in [
            (&elsewhere, &elsewhere, "not valid for name"),
            (&expired, &expired, "expired"),
            (&good, &elsewhere, "UnknownIssuer"),
        ] {
            let sink = Sink::start_secure([], security, server.server()).await;
            let reason = misconfigured(smtp(settings(&sink, trusted)).deliver(&mail()).await).expect(named);
            assert!(reason.contains("certificate") && reason.contains(named), "{reason}");
            assert!(nothing_said(&sink), "{:?}", sink.commands());
        }
        // Without an authority of its own, only those of the world are believed.
        let sink = Sink::start_secure([], security, good.server()).await;
        let worldly = SmtpSettings { authority: None, ..settings(&sink, &good) };
        assert!(misconfigured(smtp(worldly).deliver(&mail()).await).is_some(), "{security:?}");
        assert!(nothing_said(&sink), "{:?}", sink.commands());
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_neither_password_nor_mail() {
    let certified = Certified::new(["127.0.0.1"]);
    let sink = Sink::start([]).await;
    let stripped = SmtpSettings { security: Security::StartTls, ..settings(&sink, &certified) };
    let reason = misconfigured(smtp(stripped).deliver(&mail()).await).expect("refused");
    assert!(reason.contains("STARTTLS"), "{reason}");
    assert!(nothing_said(&sink), "{:?}", sink.commands());
}

#[tokio::test]
async fn words_that_were_slipped_in_before_tls_are_not_taken_for_the_servers() {
    let certified = Certified::new(["127.0.0.1"]);
    let slipped = "220 go on\r\n250-slipped\r\n250 AUTH PLAIN\r\n235 welcome";
    let sink = Sink::start_secure([(At::StartTls, Act::Say(slipped))], Security::StartTls, certified.server()).await;
    let result = smtp(settings(&sink, &certified)).deliver(&mail()).await;
    assert!(result.is_err());
    assert!(nothing_said(&sink), "{:?}", sink.commands());
}

#[tokio::test]
async fn an_authority_that_is_no_certificate_is_refused_at_the_start() {
    let sink = Sink::start([]).await;
    for text in ["", "hunter2", "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n"] {
        let smtp = SmtpSettings { authority: Some(text.to_owned()), security: Security::Tls, ..sink.settings() };
        let settings = MailSettings { mode: MailMode::Smtp(smtp), from: mail().from };
        let error = Mailer::new(settings, Arc::default()).err().expect("refused");
        assert!(matches!(error, MailSettingsError::Authority(_)), "{error}");
        assert!(error.to_string().starts_with("mail.smtp.ca has no certificate"), "{error}");
    }
}
