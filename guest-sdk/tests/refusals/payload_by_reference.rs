use jobmill_sdk::prelude::*;

#[payload]
struct Welcome {
    email: Email,
}

#[job(title = "Welcome")]
fn welcome(_context: &Context, payload: &Welcome) -> Result<(), Failure> {
    Ok(())
}

fn main() {}
