//! What a person reads once everything serves: the address, the jobs, the places, the mail.
//! It starts nothing.

use std::net::SocketAddr;

use jobmill_engine::Handle;
use owo_colors::OwoColorize as _;

use super::Purpose;
use crate::config::{Config, MailMode};
use crate::output::{Output, pairs};

/// What is said beside the jobs.
pub(super) struct Greeting {
    address: SocketAddr,
    hopper: String,
    data: String,
    mail: &'static str,
    development: bool,
}

impl Greeting {
    pub(super) fn new(config: &Config, address: SocketAddr, purpose: &Purpose) -> Self {
        Self {
            address,
            hopper: config.hopper.dir.display().to_string(),
            data: config.data.display().to_string(),
            mail: match config.mail.mode {
                Some(MailMode::Smtp) => "sent by SMTP",
                _ => "captured, none is sent; see `jobmill mail list`",
            },
            development: matches!(purpose, Purpose::Development { .. }),
        }
    }
}

/// Greets once work is taken.
pub(super) async fn greet(handle: Handle, greeting: Greeting, output: Output) {
    handle.ready().await;
    if !handle.is_ready() {
        return;
    }
    let jobs: Vec<String> =
        handle.catalog().all_serving().map(|loaded| format!("{} {}", loaded.job.id, loaded.version.dimmed())).collect();
    let example = handle.catalog().all_serving().next().map(|loaded| loaded.job.id.to_string());
    let jobs = if jobs.is_empty() { "none yet; put a .wasm into the hopper".to_owned() } else { jobs.join("\n") };
    let url = format!("http://{}", greeting.address);
    output.note(&format!("{} {}  {}", "jobmill".bold(), env!("CARGO_PKG_VERSION"), url.underline()));
    output.note(&pairs(&[
        ("  jobs", Some(jobs)),
        ("  hopper", Some(greeting.hopper)),
        ("  data", Some(greeting.data)),
        ("  mail", Some(greeting.mail.to_owned())),
        ("  try", example.filter(|_| greeting.development).map(|job| format!("jobmill run {job} --example --wait"))),
    ]));
}
