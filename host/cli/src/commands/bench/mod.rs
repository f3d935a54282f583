//! `jobmill bench`: how fast this machine enqueues, works off and answers, measured on the whole real mill.
//! It tunes nothing, keeps nothing, and compares with nothing but the disk.

mod awake;
mod contrast;
mod disk;
mod drive;
mod http;
mod intake;
mod latency;
mod limited;
mod payload;
mod phases;
mod process;
mod report;
mod samples;
mod site;
mod subject;
mod tally;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jobmill_core::{JobId, limits};

use super::Context;
use crate::config::Config;
use crate::config::arguments::{ConfigFile, DEVELOPMENT, Places};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::serve::{self, Signals};
use contrast::Beside;
use phases::Phases;
use report::Report;
use site::Site;
use subject::Subject;

/// Measure how fast this machine enqueues, drains and answers
///
/// A mill like the one that serves is made in a directory of its own on the disk of the data directory: full durability,
/// the jobs of the hopper, mail that is captured. It is removed in the end. No running server is touched.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Bench {
    /// Runs of each phase
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Clients that enqueue side by side
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// Runs of one request
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=limits::EVENTS_PER_REQUEST as i64))]
    batch: u32,
    /// The job; its example is the payload, each with a number in it
    #[arg(long, value_name = "ID", default_value = "welcome-email")]
    job: JobId,
    /// Enqueue by calls of the engine, as is done without this
    #[arg(long, conflicts_with = "http")]
    in_process: bool,
    /// Enqueue over HTTP at a server in this process
    #[arg(long)]
    http: bool,
    /// The data directory whose disk is measured
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The directory of compiled jobs
    #[arg(long, value_name = "DIR")]
    hopper: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
    /// Put the job under a concurrency limit over 10,000 keys and a rate limit, and drain without them as well by turns
    ///
    /// Neither limit holds anything up: the ratio of the two rates is what limits cost.
    #[arg(long)]
    limits: bool,
    /// Keep a processor awake while one client enqueues and while the latency is measured
    #[arg(long)]
    keep_awake: bool,
}

const EXAMPLE: &str = "\
Example:
  jobmill bench
  jobmill bench -o json > bench.json";

/// How long threads may take to let go of what they hold, so that the directory can be removed.
const PARTING: Duration = Duration::from_secs(5);

impl Bench {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let file = ConfigFile { config: self.file.config.clone() };
        let places = Places { file, listen: None, hopper: self.hopper.clone(), data: self.data.clone() };
        let config = places.load("bench", &DEVELOPMENT)?.config;
        if context.global.verbose > 0 {
            serve::start_log(&context.global);
        }
        let tasks = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
            Failure::new("no-threads", format!("the threads that measure can't be started: {error}"))
        })?;
        let directory = site::directory(&config)?;
        let measured = tasks.block_on(self.measure_in(directory.path(), config, context));
        tasks.shutdown_timeout(PARTING);
        let path = directory.path().to_owned();
        if let Err(error) = directory.close() {
            context.output.note(&format!("the directory {} is left and can be removed: {error}", path.display()));
        }
        let report = measured?;
        let json = serde_json::to_string(&report)
            .map_err(|error| Failure::new("output", format!("the figures can't be written: {error}")))?;
        context.output.document(&json, || report.table())?;
        Ok(Exit::Done)
    }

    async fn measure_in(&self, directory: &Path, mut config: Config, context: &Context) -> Result<Report, Failure> {
        let mut signals = Signals::listen()?;
        let hopper = config.hopper.dir.clone();
        let unlimited = self.limits.then(|| self.contrasted(&mut config));
        let mut site = Site::open(config, directory, self.served())?;
        let mut other_site = None;
        let (handle, address) = (site.handle.clone(), site.address);
        let measuring = async {
            let subject = Subject::find(self, handle, address, &hopper).await?;
            let beside = unlimited.map(|config| Beside { config, site: &mut other_site });
            Phases { bench: self, subject, directory, output: context.output }.all(beside).await
        };
        let measured = tokio::select! {
            measured = measuring => measured,
            failure = site.failed() => Err(failure),
            () = signals.next() => Err(Failure::new("interrupted", "the measurement was interrupted; nothing of it is kept")),
        };
        let closing = async {
            for site in std::iter::once(site).chain(other_site) {
                site.close().await;
            }
        };
        tokio::select! {
            () = closing => {}
            () = signals.next() => {
                // Whoever can't wait gets the directory removed as far as that goes.
                let _ = std::fs::remove_dir_all(directory);
                (context.leave)(Exit::Failed);
            }
        }
        measured
    }

    /// Puts the job under limits; answers the same configuration with none.
    fn contrasted(&self, config: &mut Config) -> Config {
        let mut unlimited = config.clone();
        limited::lift(&mut unlimited, &self.job);
        limited::put(config, &self.job);
        unlimited
    }

    /// Whether runs are handed in over HTTP.
    fn served(&self) -> bool {
        self.http && !self.in_process
    }
}

/// Says what begins.
fn say(output: Output, text: &str) {
    output.note(&format!("· {text}"));
}
