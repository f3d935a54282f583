use jobmill_sdk::prelude::*;

#[payload]
struct Welcome {
    email: Email,
}

#[job(title = "Welcome", example = r#"{ "email": }"#)]
fn welcome(_context: &Context, payload: Welcome) -> Result<(), Failure> {
    info!("welcome", email = payload.email);
    Ok(())
}

fn main() {}
