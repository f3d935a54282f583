//! The real binary, from outside: HTTP in, mail out, files dropped, processes killed.
//! It links none of the host's crates: whatever it sees, a user can see.

#![allow(
    clippy::disallowed_methods,
    reason = "from outside, only the machine's own clock tells how long something took"
)]

mod command_line;
mod crash;
mod docs;
mod e2e;
mod reload;
mod rollback;
mod sandbox;
mod support;
