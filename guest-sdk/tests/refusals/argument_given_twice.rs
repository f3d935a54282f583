use jobmill_sdk::prelude::*;

#[payload]
struct Welcome {
    email: Email,
}

#[job(retries = 3, event = "email/welcome", retries = 1)]
fn welcome(_context: &Context, payload: Welcome) -> Result<(), Failure> {
    info!("welcome", email = payload.email);
    Ok(())
}

fn main() {}
