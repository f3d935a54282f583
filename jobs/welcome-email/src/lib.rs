//! The welcome mail that a new customer gets.
//! It creates no account and checks no address: whoever emits the event has done both.

use jobmill_sdk::prelude::*;

#[payload]
struct Welcome {
    user_id: String,
    email: Email,
    name: Option<String>,
}

#[derive(Template)]
#[template(path = "welcome.html", askama = jobmill_sdk::askama)]
struct Html<'a> {
    name: &'a str,
}

#[derive(Template)]
#[template(path = "welcome.txt", askama = jobmill_sdk::askama)]
struct Text<'a> {
    name: &'a str,
}

/// Welcomes a new customer by mail.
#[job(
    title = "Welcome email",
    event = "email/welcome",
    retries = 1,
    example = r#"{ "userId": "user_1", "email": "ada@example.com", "name": "Ada" }"#
)]
fn welcome_email(_context: &Context, payload: Welcome) -> Result<Receipt, Failure> {
    let name = payload.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("there");
    let message = Message::new("welcome", Mailbox::from(&payload.email).named(payload.name.as_deref()))
        .subject(format!("Welcome, {name}!"))
        .text(Text { name }.render()?)
        .html(Html { name }.render()?);
    let receipt = send_email(&message)?;
    info!("welcome mail handed over", user = payload.user_id, message_id = receipt.message_id);
    Ok(receipt)
}

#[cfg(test)]
mod tests;
