//! Scripted jobs: a component's bytes are the name of its script.
//! They do what the payload says, through the context that real jobs have.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::job::descriptor::Concurrency;
use jobmill_core::journal::{EffectKey, LogLevel, LogLine};
use jobmill_core::mail::{Attachment, Mail, MailStatus, Mailbox, Message, message_id};
use jobmill_core::{Descriptor, FailureKind, Json, MailId, Outcome, Trigger};
use jobmill_engine::{AttemptContext, LoadError, Loaded, Loader, Runner, Stop};

use crate::letters::Letter;
use crate::usage::Billed;

/// Makes jobs of scripts.
pub(crate) struct Scripts;

#[async_trait]
impl Loader for Scripts {
    async fn load(&self, component: Vec<u8>) -> Result<Loaded, LoadError> {
        let script = String::from_utf8_lossy(&component).trim().to_owned();
        let (descriptor, runner): (Descriptor, Arc<dyn Runner>) = match script.as_str() {
            "welcome-email" => (welcome_descriptor(), Arc::new(Welcome)),
            "flaky" => (flaky_descriptor(), Arc::new(Flaky)),
            "mended" => (flaky_descriptor(), Arc::new(crate::trials::Mended)),
            "patient" => (patient_descriptor(), Arc::new(Flaky)),
            "doubtful" => (named("doubtful", "Its mail may have been sent"), Arc::new(Doubtful)),
            "hostile" => (crate::pages_job::hostile(), Arc::new(Stuck)),
            "letter" => (named("letter", "Sends what its payload says"), Arc::new(Letter)),
            "audience" => (audience_descriptor(), Arc::new(Flaky)),
            "billed" => (named("billed", "Says what it used"), Arc::new(Billed(12_400))),
            "slow" => (named("billed", "Uses more"), Arc::new(Billed(28_520))),
            "stuck" => (named("stuck", "Waits until it is stopped"), Arc::new(Stuck)),
            other => return Err(LoadError(format!("is not a WebAssembly component: it begins with {other:?}"))),
        };
        Ok(Loaded {
            descriptor,
            imports: vec!["jobmill:job/email@0.1.0".to_owned(), "jobmill:job/log@0.1.0".to_owned()],
            runner,
        })
    }
}

fn named(id: &str, title: &str) -> Descriptor {
    Descriptor { id: id.to_owned(), title: title.to_owned(), ..Descriptor::default() }
}

fn welcome_descriptor() -> Descriptor {
    let schema = r#"{
  "type": "object",
  "properties": { "userId": { "type": "string" }, "email": { "type": "string", "format": "email" } },
  "required": ["userId", "email"]
}"#;
    Descriptor {
        description: Some("Greets a new customer by e-mail.".to_owned()),
        triggers: vec![Trigger::Event("email/welcome".to_owned())],
        retries: Some(1),
        payload_schema: Some(schema.to_owned()),
        payload_example: Some(r#"{ "userId": "user_1", "email": "ada@example.com" }"#.to_owned()),
        ..named("welcome-email", "Welcome e-mail")
    }
}

fn audience_descriptor() -> Descriptor {
    Descriptor {
        triggers: vec![Trigger::Event("email/welcome".to_owned())],
        ..named("audience", "Listens to what the welcome e-mail listens to")
    }
}

fn flaky_descriptor() -> Descriptor {
    Descriptor {
        queue: Some("slow".to_owned()),
        retries: Some(1),
        timeout: Some(Duration::from_secs(90)),
        concurrency: vec![
            Concurrency { limit: 2, key: Some("/customer/id".to_owned()) },
            Concurrency { limit: 10, key: None },
        ],
        ..named("flaky", "Fails as it is told")
    }
}

/// A newer version of `flaky`.
fn patient_descriptor() -> Descriptor {
    let schema = r#"{ "properties": { "fail": { "type": "string" } }, "required": ["fail"] }"#;
    Descriptor {
        retries: Some(5),
        timeout: None,
        triggers: vec![Trigger::Event("order/<late>".to_owned())],
        payload_schema: Some(schema.to_owned()),
        ..flaky_descriptor()
    }
}

/// Sends a mail, and logs that it did.
struct Welcome;

#[async_trait]
impl Runner for Welcome {
    async fn run(&self, mut context: AttemptContext, _: Duration, _: Stop) -> (Outcome, AttemptContext) {
        let payload = context.payload().to_value().expect("a payload");
        if payload["userId"] == "nobody" {
            return (Outcome::failed(FailureKind::Permanent, "there is no user nobody"), context);
        }
        let to = payload["email"].as_str().expect("an address").to_owned();
        context.log(LogLine {
            at: context.now(),
            level: LogLevel::Info,
            message: "sending".to_owned(),
            fields: vec![("to".to_owned(), to.clone())],
        });
        let (key, mail) = mail(&context, &to);
        context.keep_mail(key, mail.into(), MailStatus::Captured, None).expect("there is room");
        let output = Json::parse(r#"{ "delivery":"captured" }"#).expect("valid JSON");
        (Outcome::Completed { output: Some(output) }, context)
    }
}

/// A mail of the run to this address, and the key of its effect.
pub(crate) fn mail(context: &AttemptContext, to: &str) -> (EffectKey, Mail) {
    let key = EffectKey::mail("welcome", to, 0);
    let mail = Mail {
        id: MailId::generate(context.now(), &**context.entropy()),
        message_id: message_id(context.run().id, &key, "shop.example"),
        from: mailbox("shop@shop.example", Some("Demo Shop")),
        created_at: context.now(),
        message: Message {
            kind: "welcome".to_owned(),
            to: mailbox(to, Some("Ada <Lovelace>")),
            reply_to: None,
            subject: "Welcome & <b>hello</b>".to_owned(),
            text: "Hello Ada".to_owned(),
            html: Some("<p>Hello Ada</p>".to_owned()),
            attachments: vec![Attachment {
                file_name: "terms.pdf".to_owned(),
                content_type: "application/pdf".to_owned(),
                content: vec![0; 1_234],
            }],
            headers: vec![("X-Shop".to_owned(), "demo".to_owned())],
        },
    };
    (key, mail)
}

fn mailbox(address: &str, name: Option<&str>) -> Mailbox {
    Mailbox { address: address.to_owned(), name: name.map(str::to_owned) }
}

/// Fails with the kind that its payload names.
struct Flaky;

#[async_trait]
impl Runner for Flaky {
    async fn run(&self, context: AttemptContext, _: Duration, _: Stop) -> (Outcome, AttemptContext) {
        let payload = context.payload().to_value().expect("a payload");
        let outcome = match payload["fail"].as_str() {
            Some("transient") => Outcome::failed(FailureKind::Transient, "order 42 is locked\nby another hand"),
            Some("permanent") => {
                Outcome::failed(FailureKind::Permanent, payload["error"].as_str().unwrap_or("there is no order <42>"))
            }
            _ => Outcome::Completed { output: None },
        };
        (outcome, context)
    }
}

/// Sends a mail of which the answer is lost, unless it was sent before.
struct Doubtful;

#[async_trait]
impl Runner for Doubtful {
    async fn run(&self, mut context: AttemptContext, _: Duration, _: Stop) -> (Outcome, AttemptContext) {
        let (key, mail) = mail(&context, "ada@example.com");
        let before = context.remembered_mail(&key).map(|remembered| remembered.status.as_str().to_owned());
        if let Some(before) = before {
            let output = Json::of(&serde_json::json!({ "before": before })).expect("valid JSON");
            return (Outcome::Completed { output: Some(output) }, context);
        }
        context.keep_mail(key, mail.into(), MailStatus::InDoubt, None).expect("there is room");
        (Outcome::failed(FailureKind::Permanent, "the answer was lost"), context)
    }
}

/// Ends only when it is stopped.
struct Stuck;

#[async_trait]
impl Runner for Stuck {
    async fn run(&self, context: AttemptContext, _: Duration, stop: Stop) -> (Outcome, AttemptContext) {
        tokio::select! {
            () = stop.cancelled.cancelled() => (Outcome::Cancelled, context),
            () = stop.interrupted.cancelled() => (Outcome::Interrupted, context),
        }
    }
}
