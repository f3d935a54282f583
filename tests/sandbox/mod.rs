//! Hostile components, files and callers against the real binary, beside a well-behaved job that must not notice.
//! What one attempt may take is tested close up in `host/runtime/tests`; here it is whether the server lives on.
//!
//! | Attack | Where it is made |
//! |---|---|
//! | S1 an endless loop; more loops than cores | `guests::running`; `loops` |
//! | S2 a loop while it is instantiated, once and before each run | `guests::refused`, `guests::running` |
//! | S3, S4 a loop while the payload is handed over; after the result | `guests::running` |
//! | S5, S6 memory and tables: grown, declared | `guests::running`, `guests::refused` |
//! | S7 deep recursion | `guests::running` |
//! | S8, S9, S10 huge, overlapping, and lying texts | `guests::running` |
//! | S11 control characters and markup in an output | `guests::running`, `rows` |
//! | S12, S13, S14, S15 floods of calls, of mails, of prints, of handles, of randomness | `guests::running` |
//! | S16, S17, S22 a sleep in a host call, long instructions, a spin on the clock | `guests::running` |
//! | S18, S19, S20, S21 files, environment, network, exit | `guests::running` |
//! | S23 what a component says of itself | `guests::refused` |
//! | S24, S26, S28 large files, other files, and what is no file | `files` |
//! | S25 components that are made to be hard to compile | `guests::refused` |
//! | S27, S29, S30 half a copy, two files of one id, a directory that is gone | `hopper` |
//! | S31 very many replacements | `replacements` |
//! | S32, S33 imports that nobody offers, another version of the interfaces | `guests::refused` |
//! | S34 markup and control characters in names | `guests::running`, `rows` |
//! | S35 what an earlier run left in memory | `guests::running` |
//!
//! S36, keys and ids of other jobs, has no place to begin: no host function takes the name of a job or a run. S37, mail that is made
//! to deceive, is in `host/runtime/tests/runtime/mails.rs` and `tests/e2e/mail.rs`; the host builds every message itself.
//! No file can be opened because no directory is handed over; that is S18.

mod bytes;
mod canary;
mod files;
mod guests;
mod hopper;
mod loops;
mod replacements;
mod rows;
mod secrets;

use std::ffi::OsString;

use crate::support::server::Server;

/// What the server's own environment has, and no guest may see.
const ENVIRONMENT: (&str, &str) = ("SHOP_SECRET", "environment-canary-4711");

/// A server with nothing but the canary in its hopper.
fn server(configuration: &str) -> Server {
    let mail = "[mail]\nmode = \"capture\"\nfrom = \"shop@shop.example\"\n";
    let mut server = Server::prepared(&["up"], Some(&format!("{mail}{configuration}")));
    for job in crate::support::component::JOBS {
        std::fs::remove_file(server.hopper().join(format!("{job}.wasm"))).expect("removed");
    }
    server.set_environment(vec![(ENVIRONMENT.0, OsString::from(ENVIRONMENT.1))]);
    server.restart();
    canary::put(&server);
    server
}
