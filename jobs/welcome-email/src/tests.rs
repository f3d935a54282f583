//! What the welcome mail promises, on the native test host.
//! It tests neither the engine nor the sandbox.

use super::welcome_email;
use jobmill_sdk::Trigger;
use jobmill_sdk::prelude::*;
use jobmill_sdk::testing::TestHost;

fn payload() -> Value {
    json!({ "userId": "user_1", "email": "ada@example.com", "name": "Ada" })
}

#[test]
fn welcomes_the_customer_by_name() {
    let host = TestHost::new();
    let output = host.run(welcome_email, payload()).unwrap().unwrap();
    assert_eq!(output["delivery"], "sent");
    assert!(output["messageId"].is_string());

    let [mail] = &host.mails()[..] else { panic!("expected one mail") };
    assert_eq!((mail.kind.as_str(), mail.to.address.as_str()), ("welcome", "ada@example.com"));
    assert_eq!(mail.to.name.as_deref(), Some("Ada"));
    assert_eq!(mail.subject, "Welcome, Ada!");
    assert!(mail.text.starts_with("Hi Ada,"));
    assert!(mail.html.as_ref().unwrap().contains("Welcome, Ada!"));
}

#[test]
fn the_name_is_optional() {
    let host = TestHost::new();
    host.run(welcome_email, json!({ "userId": "user_1", "email": "ada@example.com" })).unwrap();
    assert_eq!(host.mails()[0].subject, "Welcome, there!");
    assert_eq!(host.mails()[0].to.name, None);
}

#[test]
fn a_name_can_not_smuggle_markup_into_the_mail() {
    let host = TestHost::new();
    let payload = json!({ "userId": "user_1", "email": "ada@example.com", "name": "<script>alert('1')</script>" });
    host.run(welcome_email, payload).unwrap();
    let mail = &host.mails()[0];
    assert!(!mail.html.as_ref().unwrap().contains("<script>"));
    assert!(mail.text.contains("<script>alert('1')</script>"), "plain text stays as written");
}

#[test]
fn a_second_attempt_sends_no_second_mail() {
    let host = TestHost::new();
    host.run(welcome_email, payload()).unwrap();
    let output = host.run(welcome_email, payload()).unwrap().unwrap();
    assert_eq!(output["delivery"], "already-sent");
    assert_eq!(host.mails().len(), 1);
}

#[test]
fn a_mail_server_that_is_down_is_worth_a_retry() {
    let host = TestHost::new();
    host.fail_next_email(EmailError::Unavailable("connection refused".into()));
    assert!(matches!(host.run(welcome_email, payload()), Err(Failure::Transient(_))));
    assert!(host.run(welcome_email, payload()).is_ok());
}

#[test]
fn a_bad_payload_is_permanent_and_names_the_member() {
    let failure = TestHost::new().run(welcome_email, json!({ "userId": "user_1" })).unwrap_err();
    assert_eq!(failure, Failure::permanent("the payload does not fit: /email: is required"));
}

#[test]
fn the_descriptor_says_what_the_engine_has_to_know() {
    let descriptor = TestHost::new().describe(welcome_email);
    assert_eq!(descriptor.id, "welcome-email");
    assert_eq!(descriptor.description.as_deref(), Some("Welcomes a new customer by mail."));
    assert_eq!(descriptor.triggers, [Trigger::Event("email/welcome".into())]);
    assert_eq!(descriptor.retries, Some(1));
    let schema = descriptor.payload_schema.unwrap();
    assert_eq!(schema["required"], json!(["userId", "email"]));
    assert_eq!(schema["properties"]["email"]["format"], "email");
}

#[test]
fn the_example_is_a_payload_that_works() {
    let host = TestHost::new();
    let example = host.describe(welcome_email).payload_example.unwrap();
    assert!(host.run(welcome_email, example).is_ok());
}
