use jobmill_sdk::prelude::*;

#[payload]
struct Welcome {
    email: Email,
}

#[job(id = "Welcome_Mail")]
fn welcome(_context: &Context, payload: Welcome) -> Result<(), Failure> {
    info!("welcome", email = payload.email);
    Ok(())
}

fn main() {}
