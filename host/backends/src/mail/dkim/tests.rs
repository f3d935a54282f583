//! Signatures are checked by a verifier that is written here from RFC 6376, apart from the signer, and that verifies the
//! example of RFC 8463 first. It asks no DNS.

use std::collections::BTreeMap;
use std::sync::Arc;

use jobmill_core::mail::{Attachment, Mailbox};
use ring::signature::{ED25519, KeyPair as _, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};

use super::super::mime::mime;
use super::super::mime::tests::mail;
use super::super::sink::Sink;
use super::super::smtp::tests::smtp;
use super::super::{MailMode, MailSettings, Mailer, SmtpSettings};
use super::*;

/// RSA of 2048 bits in PKCS#8, made for these tests by `openssl genrsa`.
const RSA_KEY: &str = include_str!("test_key.pem");

/// RFC 8463, appendix A.3, which has two signatures.
const PUBLISHED: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
";
/// Appendix A.2.
const PUBLISHED_ED25519: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const PUBLISHED_ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLISHED_RSA: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0\
                             Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2k\
                             ryOTIKT+l/K4w3QIDAQAB";
/// What comes before the key itself in a `SubjectPublicKeyInfo` of RSA with 1024 bits.
const PUBLISHED_RSA_PREFIX: usize = 22;

fn bytes(base64: &str) -> Vec<u8> {
    BASE64.decode(base64).expect("base64")
}

/// Collapses white space.
fn collapsed(text: &str) -> String {
    let mut text = text.replace('\t', " ");
    while text.contains("  ") {
        text = text.replace("  ", " ");
    }
    text
}

/// Whether the signature at this place of the mail is that of this key.
fn verifies(mail: &str, place: usize, public: &[u8]) -> bool {
    let (head, body) = mail.split_once("\r\n\r\n").expect("a body");
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let mut fields: Vec<(String, &str)> = head
        .split("\r\n")
        .map(|line| line.split_once(':').expect("a field"))
        .map(|(name, value)| (name.trim().to_lowercase(), value))
        .collect();
    let signatures: Vec<usize> = (0..fields.len()).filter(|at| fields[*at].0 == "dkim-signature").collect();
    let (_, signature) = fields[signatures[place]];
    let tags: BTreeMap<&str, String> = signature
        .split(';')
        .map(|tag| tag.split_once('=').expect("a tag"))
        .map(|(name, value)| (name.trim(), value.split_whitespace().collect()))
        .collect();
    assert_eq!((tags["v"].as_str(), tags["c"].as_str()), ("1", "relaxed/relaxed"));

    let lines: Vec<String> = body.split("\r\n").map(|line| collapsed(line).trim_end().to_owned()).collect();
    let mut body = lines.join("\r\n").trim_end_matches("\r\n").to_owned();
    if !body.is_empty() {
        body.push_str("\r\n");
    }
    if digest::digest(&digest::SHA256, body.as_bytes()).as_ref() != bytes(&tags["bh"]) {
        return false;
    }

    let mut text = String::new();
    for name in tags["h"].split(':') {
        if let Some(at) = fields.iter().rposition(|(other, _)| *other == name.to_lowercase()) {
            let (name, value) = fields.remove(at);
            text.extend([&name, ":", collapsed(value).trim(), "\r\n"]);
        }
    }
    let unsigned: Vec<&str> =
        signature.split(';').map(|tag| if tag.trim().starts_with("b=") { " b=" } else { tag }).collect();
    text.extend(["dkim-signature:", collapsed(&unsigned.join(";")).trim()]);

    let signed = bytes(&tags["b"]);
    match tags["a"].as_str() {
        "ed25519-sha256" => {
            let digest = digest::digest(&digest::SHA256, text.as_bytes());
            UnparsedPublicKey::new(&ED25519, public).verify(digest.as_ref(), &signed).is_ok()
        }
        "rsa-sha256" => UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, public)
            .verify(text.as_bytes(), &signed)
            .is_ok(),
        other => panic!("{other}"),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

fn rsa_der() -> Vec<u8> {
    let lines: String = RSA_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    bytes(&lines)
}

fn ed25519_der() -> Vec<u8> {
    // PKCS#8 of the first version, as OpenSSL writes it: a fixed prefix, and the seed.
    let mut der = bytes("MC4CAQAwBQYDK2VwBCIEIA==");
    der.extend(bytes(PUBLISHED_ED25519_SEED));
    der
}

fn rsa_public() -> Vec<u8> {
    RsaKeyPair::from_pkcs8(&rsa_der()).expect("a key").public_key().as_ref().to_vec()
}

/// Every form that keys are written in, with its public half.
fn keys() -> [(String, Vec<u8>); 3] {
    // In PKCS#8, an RSA key of 2048 bits comes after 26 bytes that say what it is.
    let pkcs1 = rsa_der().split_off(26);
    [
        (RSA_KEY.to_owned(), rsa_public()),
        (pem("RSA PRIVATE KEY", &pkcs1), rsa_public()),
        (pem("PRIVATE KEY", &ed25519_der()), bytes(PUBLISHED_ED25519)),
    ]
}

fn settings(key: &str) -> DkimSettings {
    DkimSettings { domain: "shop.example".to_owned(), selector: "jobmill".to_owned(), key: Secret::new(key) }
}

fn signed(key: &str, mail: &jobmill_core::mail::Mail) -> String {
    let signer = Signer::new(&settings(key), "shop.example").expect("usable");
    let bytes = signer.sign(&mime(mail).expect("can be written"), mail.created_at).expect("signs");
    String::from_utf8(bytes).expect("ASCII")
}

#[test]
fn the_verifier_verifies_the_published_example_and_nothing_else() {
    let published = PUBLISHED.replace('\n', "\r\n");
    let rsa = bytes(PUBLISHED_RSA).split_off(PUBLISHED_RSA_PREFIX);
    assert!(verifies(&published, 0, &bytes(PUBLISHED_ED25519)));
    assert!(verifies(&published, 1, &rsa));
    for (from, to) in [("hungry", "angry"), ("dinner ready", "lunch ready"), ("t=1528637909", "t=1528637908")] {
        let changed = published.replace(from, to);
        assert!(!verifies(&changed, 0, &bytes(PUBLISHED_ED25519)) && !verifies(&changed, 1, &rsa), "{to}");
    }
}

#[test]
fn the_published_signature_comes_from_the_published_key() {
    let published = PUBLISHED.replace('\n', "\r\n");
    let (fields, _) = parts(published.as_bytes());
    let (unsigned, signature) = std::str::from_utf8(fields[0]).expect("text").rsplit_once("b=").expect("a signature");
    let names = ["from", "to", "subject", "date", "message-id", "from", "subject", "date"];
    let text = signed_text(&fields[2..], &names, &format!("{unsigned}b="));
    let key = Key::from_pem(&pem("PRIVATE KEY", &ed25519_der())).expect("a key");
    let expected: String = signature.split_whitespace().collect();
    assert_eq!(BASE64.encode(key.sign(&text, &SystemRandom::new()).expect("signs")), expected);
}

#[test]
fn mails_are_signed_by_every_kind_of_key() {
    let mut full = mail();
    full.message.subject = "Grüße aus Köln, und ein langer Betreff, der über mehrere Zeilen geht".to_owned();
    full.message.reply_to =
        Some(Mailbox { address: "help@shop.example".to_owned(), name: Some("Hilfe, sofort".to_owned()) });
    full.message.headers = vec![
        ("List-Unsubscribe".to_owned(), "<https://shop.example/u/1>".to_owned()),
        ("List-Unsubscribe".to_owned(), "<https://shop.example/u/2>".to_owned()),
        ("X-Shop".to_owned(), "1".to_owned()),
    ];
    full.message.text = " leading \t and trailing space \n\n.\n\n\n".to_owned();
    full.message.attachments = vec![Attachment {
        file_name: "a.bin".to_owned(),
        content_type: "application/octet-stream".to_owned(),
        content: (0..=255).collect(),
    }];
    for (key, public) in keys() {
        for mail in [&mail(), &full] {
            let signed = signed(&key, mail);
            assert!(signed.starts_with("DKIM-Signature: v=1; "), "{signed}");
            assert!(signed.split("\r\n").all(|line| line.len() <= 78), "{signed}");
            assert!(signed.contains(" d=shop.example;") && signed.contains(" s=jobmill;"), "{signed}");
            assert!(verifies(&signed, 0, &public), "{signed}");
        }
    }
}

#[test]
fn a_signed_mail_can_be_neither_changed_nor_added_to() {
    let [(key, public), ..] = keys();
    let signed = signed(&key, &mail());
    for (from, to) in [
        ("Hello Ada,", "Hello Eve,"),
        ("Subject: Welcome", "Subject: Farewell"),
        ("To: ", "To: eve@example.com, "),
        ("MIME-Version: 1.0\r\n", "MIME-Version: 1.0\r\nSubject: Farewell\r\n"),
        ("MIME-Version: 1.0\r\n", "MIME-Version: 1.0\r\nFrom: eve@example.com\r\n"),
        ("MIME-Version: 1.0\r\n", "MIME-Version: 1.0\r\nReply-To: eve@example.com\r\n"),
        ("MIME-Version: 1.0\r\n", "MIME-Version: 1.0\r\nCc: eve@example.com\r\n"),
    ] {
        let changed = signed.replacen(from, to, 1);
        assert!(changed != signed && !verifies(&changed, 0, &public), "{to}");
    }
}

#[test]
fn a_mail_that_is_sent_again_has_the_same_signature() {
    for (key, _) in keys() {
        assert_eq!(signed(&key, &mail()), signed(&key, &mail()));
    }
}

#[tokio::test]
async fn every_mail_leaves_with_a_signature_that_holds_on_arrival() {
    for (key, public) in keys() {
        let sink = Sink::start([]).await;
        let smtp = smtp(SmtpSettings { dkim: Some(settings(&key)), ..sink.settings() });
        for _ in 0..2 {
            smtp.deliver(&mail()).await.expect("taken");
        }
        let taken = sink.taken();
        assert_eq!(taken.len(), 2);
        assert_eq!(taken[0], taken[1]);
        assert!(taken.iter().all(|mail| verifies(&mail.content, 0, &public)), "{}", taken[0].content);
    }
}

#[test]
fn settings_that_sign_nothing_are_refused_at_the_start() {
    let refused = |settings: DkimSettings| Signer::new(&settings, "mail.shop.example").err().expect("refused");
    for domain in ["example", "other.example", "ail.shop.example", "x.mail.shop.example"] {
        let error = refused(DkimSettings { domain: domain.to_owned(), ..settings(RSA_KEY) });
        assert!(matches!(error, DkimSettingsError::Foreign { .. }), "{error}");
    }
    for domain in ["", "shop..example", "shop.example;", "shop example", ".example"] {
        let error = refused(DkimSettings { domain: domain.to_owned(), ..settings(RSA_KEY) });
        assert!(matches!(error, DkimSettingsError::Domain(_)), "{error}");
    }
    for selector in ["", "a b", "a;b=c", "a\r\nb"] {
        let error = refused(DkimSettings { selector: selector.to_owned(), ..settings(RSA_KEY) });
        assert!(matches!(error, DkimSettingsError::Selector(_)), "{error}");
    }
    let cut = &rsa_der()[..100];
    for key in ["", "hunter2", &pem("CERTIFICATE", b"hunter2"), &pem("PRIVATE KEY", cut), &pem("RSA PRIVATE KEY", cut)]
    {
        let error = refused(settings(key));
        assert!(matches!(error, DkimSettingsError::Key(_)) && !error.to_string().contains("hunter2"), "{error}");
    }
    for domain in ["mail.shop.example", "shop.example", "Shop.Example"] {
        assert!(
            Signer::new(&DkimSettings { domain: domain.to_owned(), ..settings(RSA_KEY) }, "Mail.Shop.Example").is_ok()
        );
    }
}

#[test]
fn a_key_is_shown_in_no_debug_text() {
    assert!(!format!("{:?}", settings("hunter2")).contains("hunter2"));
}

#[tokio::test]
async fn a_mailer_names_the_setting_that_is_wrong() {
    let sink = Sink::start([]).await;
    let smtp = SmtpSettings { dkim: Some(settings("hunter2")), ..sink.settings() };
    let settings = MailSettings { mode: MailMode::Smtp(smtp), from: mail().from };
    let error = Mailer::new(settings, Arc::default()).err().expect("refused").to_string();
    assert!(error.starts_with("mail.dkim: the key is no private key in PEM"), "{error}");
}
