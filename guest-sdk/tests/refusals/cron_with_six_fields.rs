use jobmill_sdk::prelude::*;

#[payload]
struct Welcome {
    email: Email,
}

#[job(cron = "0 0 9 * * MON")]
fn welcome(_context: &Context, payload: Welcome) -> Result<(), Failure> {
    info!("welcome", email = payload.email);
    Ok(())
}

fn main() {}
