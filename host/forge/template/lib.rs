//! The job `__name__`: say here what it is for.

use jobmill_sdk::prelude::*;

#[payload]
struct Payload {
    email: Email,
    name: Option<String>,
}

/// Says hello by mail.
#[job(
    title = "__title__",
    event = "__name__",
    retries = 3,
    example = r#"{ "email": "ada@example.com", "name": "Ada" }"#
)]
fn __function__(context: &Context, payload: Payload) -> Result<Receipt, Failure> {
    let name = payload.name.as_deref().unwrap_or("there");
    let message = Message::new("__name__", &payload.email)
        .subject(format!("Hello, {name}!"))
        .text(format!("Hello, {name}!\n\nThis is attempt {} of run {}.\n", context.attempt, context.run_id));
    let receipt = send_email(&message)?;
    info!("said hello", message_id = receipt.message_id);
    Ok(receipt)
}

#[cfg(test)]
mod tests {
    use super::__function__;
    use jobmill_sdk::prelude::*;
    use jobmill_sdk::testing::TestHost;

    #[test]
    fn says_hello_once_however_often_it_is_tried() {
        let host = TestHost::new();
        let payload = json!({ "email": "ada@example.com", "name": "Ada" });

        let output = host.run(__function__, &payload).unwrap().unwrap();
        assert_eq!(output["delivery"], "sent");
        assert_eq!(host.mails()[0].subject, "Hello, Ada!");

        let output = host.run(__function__, &payload).unwrap().unwrap();
        assert_eq!(output["delivery"], "already-sent");
        assert_eq!(host.mails().len(), 1);
    }
}
