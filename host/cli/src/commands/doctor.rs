//! `jobmill doctor`: looks for what is wrong here, and says how to mend it.
//! It mends nothing itself.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jobmill_core::Clock as _;
use jobmill_core::order::OrderError;
use jobmill_forge::Toolchain;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::Context;
use crate::config::arguments::Places;
use crate::config::{Config, MailMode};
use crate::failure::{Exit, Failure};
use crate::machine::SystemClock;
use crate::output;
use crate::serve::{DataDirectory, Holder, is_writable, mailer, open_store, shop_orders, smtp_settings};

/// Look for what is wrong here, and say how to mend it
///
/// Exits with 1 when something is wrong.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    places: Places,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Good,
    /// Not needed to serve, but for something else.
    Notice,
    /// It has to be mended.
    Wrong,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
    fix: Option<String>,
}

/// Room on the disk below which the store's own housekeeping gets tight.
const FREE_BYTES: u64 = 1 << 30;
/// A mail server that takes longer would time out for jobs as well.
const MAIL_TIMEOUT: Duration = Duration::from_secs(5);
/// An order that no shop has.
const NO_ORDER: &str = "jobmill-doctor";
/// How long whatever holds our address gets to say that it is a Jobmill.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

impl Finding {
    fn good(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Good, detail: detail.into(), fix: None }
    }

    fn notice(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Notice, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn wrong(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Wrong, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn line(&self) -> String {
        let icon = match self.verdict {
            Verdict::Good => "✓".green().to_string(),
            Verdict::Notice => "!".yellow().to_string(),
            Verdict::Wrong => "✗".red().to_string(),
        };
        let fix = self.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        format!("{icon} {:10}  {}{fix}", self.check, self.detail)
    }
}

impl Doctor {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let config = self.places.load("doctor", &[])?.config;
        let holder = DataDirectory::holder(&config.data);
        let findings = [
            hopper(&config.hopper.dir),
            listen(config.server.listen, context.global.token.as_deref()),
            doors(&config),
            data(&config.data, &holder),
            store(&config, &holder),
            disk(&config.data),
            mail(&config),
            orders(&config),
            toolchain(),
        ];
        let items: Result<Vec<Box<RawValue>>, _> = findings.iter().map(to_raw_value).collect();
        let items = items.map_err(|error| Failure::new("doctor", format!("the findings can't be written: {error}")))?;
        context
            .output
            .list(&items, None, "", || Ok(findings.iter().map(Finding::line).collect::<Vec<_>>().join("\n")))?;
        let wrong = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
        Ok(if wrong { Exit::Failed } else { Exit::Done })
    }
}

fn hopper(path: &Path) -> Finding {
    let name = path.display();
    match std::fs::read_dir(path) {
        Ok(entries) => {
            let components = entries
                .filter_map(Result::ok)
                .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "wasm"));
            Finding::good("hopper", format!("{name} holds {}", output::count(components.count(), "component")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::good("hopper", format!("{name} is not there yet; it is made at the first start"))
        }
        Err(error) => Finding::wrong(
            "hopper",
            format!("{name} can't be read: {error}"),
            "make it readable, or name another with --hopper",
        ),
    }
}

fn listen(address: SocketAddr, token: Option<&str>) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::good("address", format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => match answers(address, token) {
            Some(who) => Finding::good("address", format!("{who} answers at {address}")),
            None => Finding::wrong(
                "address",
                format!("{address} is in use by another program"),
                "stop it, or listen elsewhere with --listen",
            ),
        },
        Err(error) => Finding::wrong(
            "address",
            format!("{address} can't be listened on: {error}"),
            "listen elsewhere with --listen",
        ),
    }
}

/// The Jobmill that answers there.
fn answers(address: SocketAddr, token: Option<&str>) -> Option<String> {
    let global = crate::args::Global {
        server: format!("http://{address}"),
        token: token.map(str::to_owned),
        output: crate::args::Format::Json,
        quiet: true,
        verbose: 0,
        yes: false,
        no_color: true,
    };
    match crate::client::within(&global, ANSWER_TIMEOUT).ok()?.stats() {
        Ok(stats) => Some(format!("a Jobmill {}", stats.version)),
        Err(error) if matches!(error.code(), Some("token-required" | "scope-missing")) => {
            Some("a Jobmill that wants another token".to_owned())
        }
        Err(_) => None,
    }
}

/// Tokens and webhooks of the configuration, and what jobs' requests carry: whether the secrets can be had.
fn doors(config: &Config) -> Finding {
    let tokens = config.job_secrets().and_then(|_| config.tokens(SystemClock.now()));
    let read = tokens.and_then(|tokens| Ok((tokens.len(), config.webhooks()?.len())));
    match read {
        Ok((tokens, webhooks)) => {
            let (tokens, webhooks) = (output::count(tokens, "token"), output::count(webhooks, "webhook"));
            Finding::good("doors", format!("{tokens} and {webhooks} in the configuration, all with their secrets"))
        }
        Err(Failure::Said(report)) => {
            let fix = report.advice.into_iter().next();
            Finding::wrong("doors", report.message, fix.unwrap_or_else(|| "mend jobmill.toml".to_owned()))
        }
        Err(Failure::ReaderGone) => Finding::good("doors", "were not looked at"),
    }
}

fn data(path: &Path, holder: &std::io::Result<Holder>) -> Finding {
    let name = path.display();
    match holder {
        Ok(Holder::Process { number, .. }) => {
            Finding::good("data", format!("{name} is in use by the process {number}"))
        }
        Err(error) => Finding::wrong(
            "data",
            format!("{name} can't be looked at: {error}"),
            "make it readable for this user, or name another with --data",
        ),
        Ok(Holder::Nobody) => {
            let place = nearest_there(path);
            match is_writable(place) {
                Ok(()) if place == path => Finding::good("data", format!("{name} is writable and free")),
                Ok(()) => Finding::good("data", format!("{name} is not there yet; it is made at the first start")),
                Err(error) => Finding::wrong(
                    "data",
                    format!("{} can't be written to: {error}", place.display()),
                    "make it writable for this user, or name another with --data",
                ),
            }
        }
    }
}

/// The path itself, or the nearest directory above it that is there.
fn nearest_there(path: &Path) -> &Path {
    let above = path.ancestors().find(|above| above.exists());
    above.unwrap_or(Path::new("."))
}

fn store(config: &Config, holder: &std::io::Result<Holder>) -> Finding {
    let path = config.store_path();
    let name = path.display();
    match holder {
        Ok(Holder::Process { .. }) => Finding::good("store", format!("{name} is open in the running Jobmill")),
        _ if !path.exists() => {
            Finding::good("store", format!("{name} is not there yet; it is made at the first start"))
        }
        _ => match open_store(config) {
            Ok(_) => Finding::good("store", format!("{name} opens")),
            Err(Failure::Said(report)) => {
                Finding::wrong("store", report.message, "keep a copy of the directory before anything else")
            }
            Err(Failure::ReaderGone) => Finding::good("store", format!("{name} was not looked at")),
        },
    }
}

fn disk(data: &Path) -> Finding {
    let place = nearest_there(data);
    match rustix::fs::statvfs(place) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let detail = format!("{} free for {}", output::size(free), data.display());
            if free < FREE_BYTES {
                Finding::wrong("disk", detail, format!("make at least {} free", output::size(FREE_BYTES)))
            } else {
                Finding::good("disk", detail)
            }
        }
        Err(error) => {
            Finding::wrong("disk", format!("{} can't be measured: {error}", place.display()), "check the mount")
        }
    }
}

fn mail(config: &Config) -> Finding {
    match (config.mail_said(), &config.mail.smtp) {
        (Err(_), _) => Finding::notice(
            "mail",
            "mail.mode and mail.from are not said",
            "`jobmill dev` captures; `jobmill up` wants both said",
        ),
        (Ok((MailMode::Smtp, _)), Some(smtp)) => match mailer(config, Arc::default()).and_then(|_| smtp_settings(smtp))
        {
            Ok(settings) => reach(&settings.host, settings.port),
            Err(Failure::Said(report)) => Finding::wrong("mail", report.message, "mend jobmill.toml"),
            Err(Failure::ReaderGone) => Finding::good("mail", "was not looked at"),
        },
        (Ok(_), _) => Finding::good("mail", "captured, none is sent"),
    }
}

fn reach(host: &str, port: u16) -> Finding {
    let connected = (host, port).to_socket_addrs().and_then(|addresses| {
        let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, MAIL_TIMEOUT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    });
    match connected {
        Ok(()) => Finding::good("mail", format!("the mail server {host}:{port} accepts connections")),
        Err(error) => Finding::wrong(
            "mail",
            format!("the mail server {host}:{port} can't be reached: {error}"),
            "check mail.smtp.url and the firewall",
        ),
    }
}

/// Asks for an order that is not there: whoever says so can be reached, lets us in, and has the table.
fn orders(config: &Config) -> Finding {
    let source = match shop_orders(&config.orders, Arc::default()) {
        Ok(Some(source)) => source,
        Ok(None) => return Finding::good("orders", "in the order book of Jobmill itself"),
        Err(Failure::Said(report)) => return Finding::wrong("orders", report.message, "mend jobmill.toml"),
        Err(Failure::ReaderGone) => return Finding::good("orders", "were not looked at"),
    };
    let tasks = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(tasks) => tasks,
        Err(error) => return Finding::wrong("orders", format!("can't be asked for: {error}"), "free some memory"),
    };
    match tasks.block_on(source.fetch(NO_ORDER, [], SystemClock.now())) {
        Ok(_) | Err(OrderError::NotFound(_)) => Finding::good("orders", "the order source answers"),
        Err(error) => Finding::wrong("orders", error.to_string(), "docs/orders.md tells what each key means"),
    }
}

fn toolchain() -> Finding {
    match Toolchain::at_hand() {
        Ok(toolchain) => Finding::good("toolchain", toolchain.summary()),
        // A machine that only serves needs no compiler.
        Err(error) => Finding::notice("toolchain", "jobs can't be compiled on this machine", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_by_something_else_is_wrong() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        drop(std::thread::spawn(move || taken.accept().map(drop)));
        assert_eq!(listen(address, None).verdict, Verdict::Wrong);
    }

    #[test]
    fn what_is_not_there_yet_is_nothing_wrong() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deep/data");
        assert_eq!(hopper(&path).verdict, Verdict::Good);
        assert_eq!(data(&path, &DataDirectory::holder(&path)).verdict, Verdict::Good);
        assert_eq!(nearest_there(&path), directory.path());
    }

    #[test]
    fn a_finding_is_one_line_with_its_fix() {
        let line = Finding::wrong("disk", "12 MiB free", "make room").line();
        assert_eq!(anstream::adapter::strip_str(&line).to_string(), "✗ disk        12 MiB free; make room");
    }
}
