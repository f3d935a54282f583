//! The real binary, from outside: HTTP in, mail out, files dropped, processes killed.
//! It links none of the host's crates: whatever it sees, a user can see.

mod command_line;
mod crash;
mod e2e;
mod reload;
mod support;
