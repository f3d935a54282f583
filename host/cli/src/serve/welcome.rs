//! What a person reads once everything serves: the address, the jobs, the places, the mail.
//! It starts nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jobmill_core::{Clock as _, JobId};
use jobmill_engine::Handle;
use owo_colors::OwoColorize as _;

use super::Purpose;
use crate::args::DEFAULT_ADDRESS;
use crate::config::{Config, MailMode};
use crate::machine::SystemClock;
use crate::output::{Output, pairs};

/// What is said beside the jobs.
pub(super) struct Greeting {
    address: SocketAddr,
    hopper: PathBuf,
    data: PathBuf,
    mail: &'static str,
    development: bool,
}

impl Greeting {
    pub(super) fn new(config: &Config, address: SocketAddr, purpose: &Purpose) -> Self {
        Self {
            address,
            hopper: config.hopper.dir.clone(),
            data: config.data.clone(),
            mail: match config.mail.mode {
                Some(MailMode::Smtp) => "sent by SMTP",
                _ => "captured, none is sent; see `jobmill mail list`",
            },
            development: matches!(purpose, Purpose::Development { .. }),
        }
    }
}

/// How long a greeting waits for jobs that were put into the hopper just before the start.
const PATIENCE: Duration = Duration::from_secs(5);

/// Greets once work is taken.
pub(super) async fn greet(handle: Handle, greeting: Greeting, output: Output) {
    handle.ready().await;
    greeting.wait_for_fresh_files(&handle).await;
    if handle.is_ready() {
        output.note(&greeting.text(&handle));
    }
}

impl Greeting {
    /// A file is loaded once it has been left alone for a moment; "no jobs" would be said too early.
    async fn wait_for_fresh_files(&self, handle: &Handle) {
        let mut catalog = handle.catalog_changes();
        let files = std::fs::read_dir(&self.hopper).into_iter().flatten().filter_map(Result::ok);
        let components = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "wasm")).count();
        if components > 0 && handle.catalog().listings().next().is_none() {
            tokio::select! {
                _ = catalog.changed() => {}
                () = SystemClock.sleep(PATIENCE) => {}
            }
        }
    }

    fn text(&self, handle: &Handle) -> String {
        let catalog = handle.catalog();
        let jobs: Vec<String> =
            catalog.all_serving().map(|loaded| format!("{} {}", loaded.job.id, loaded.version.dimmed())).collect();
        let jobs = if jobs.is_empty() { "none yet; put a .wasm into the hopper".to_owned() } else { jobs.join("\n") };
        let example = catalog.all_serving().find(|loaded| loaded.job.payload_example.is_some());
        let example = example.filter(|_| self.development).map(|loaded| self.example(&loaded.job.id));
        let url = format!("http://{}", self.address);
        let members = pairs(&[
            ("  jobs", Some(jobs)),
            ("  hopper", Some(self.hopper.display().to_string())),
            ("  data", Some(self.data.display().to_string())),
            ("  mail", Some(self.mail.to_owned())),
            ("  try", example),
        ]);
        format!("{} {}  {}\n{members}", "jobmill".bold(), env!("CARGO_PKG_VERSION"), url.underline())
    }

    /// A command that can be copied as it is.
    fn example(&self, job: &JobId) -> String {
        if self.address.to_string() == DEFAULT_ADDRESS {
            format!("jobmill run {job} --example --wait")
        } else {
            format!("jobmill --server http://{} run {job} --example --wait", self.address)
        }
    }
}
