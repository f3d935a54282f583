//! The composition root: the only place that names sled, SMTP and the runtime together, and starts them in order.
//! It schedules nothing and answers no request; the engine and the server do.

mod data;
mod demo;
mod email_log;
mod host_log;
mod mail;
mod notify;
mod orders;
mod place;
mod rebuild;
mod run_lines;
mod welcome;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jobmill_backends::{EmailLog, Faults, Outgoing, SystemResolver};
use jobmill_engine::{Engine, Handle, Settings};
use jobmill_runtime::{CacheSettings, Compiler, Runtime, RuntimeSettings};
use jobmill_server::{DevelopmentFaults, FaultKind, ServerSettings};
use jobmill_store::LogStore;
use jobmill_store_sled::{Durability, SledOpener};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::commands::Context;
use crate::config::orders::OrderSource;
use crate::config::{self, Config, Loaded};
use crate::failure::{Exit, Failure};
use crate::machine::{self, SystemClock, SystemEntropy};

pub(crate) use data::{DataDirectory, Holder, is_writable};
pub(crate) use host_log::start as start_log;
pub(crate) use mail::{mailer, smtp_settings};
pub(crate) use notify::Notify;
pub(crate) use orders::shop_orders;

/// What it serves for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A person at a terminal: demo orders, injected faults, a line a run, jobs rebuilt when they change.
    Development {
        /// The job crates to build.
        jobs: Option<PathBuf>,
    },
    /// A machine.
    Production,
}

/// Said at each start, so that nobody has it by accident.
const RELAXED: &str = "warning: store.durability is \"relaxed\": a power cut or a crash of the machine can lose about the \
                       last second of what was acknowledged";

/// Everything between the doors and the disk, put together and not started.
pub(crate) struct Mill {
    /// What is to be run.
    pub(crate) engine: Engine,
    /// Its doors.
    pub(crate) handle: Handle,
    /// What its HTTP server is told.
    pub(crate) settings: ServerSettings,
    /// The shop's table of mails, if it is to be kept as ours is.
    pub(crate) email_log: Option<EmailLog>,
    /// Who is told of dead runs.
    pub(crate) notify: Notify,
    /// Released when everything has ended.
    pub(crate) data: DataDirectory,
}

/// Serves until it is asked to stop, or until the store fails.
pub(crate) fn serve(loaded: &Loaded, purpose: Purpose, context: &Context) -> Result<Exit, Failure> {
    host_log::start(&context.global);
    let tasks = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("no-threads", format!("the threads that serve can't be started: {error}")))?;
    let served = tasks.block_on(async {
        let config = &loaded.config;
        // What is refused soonest is tried first: to open the store can take a while, and an answer of no should not.
        config.mail_said()?;
        let data = DataDirectory::open(&config.data)?;
        let listener = bind(config.server.listen)?;
        let mill = compose(config, data, &purpose)?;
        refuse_open_doors(config.server.listen, &mill).await?;
        run(mill, listener, config, purpose, context).await
    });
    // A compilation under way can't be interrupted and nobody waits for it any more.
    tasks.shutdown_background();
    served
}

/// Puts the mill of this configuration together in its data directory.
pub(crate) fn compose(config: &Config, data: DataDirectory, purpose: &Purpose) -> Result<Mill, Failure> {
    let mail_faults = Arc::new(Faults::default());
    let order_faults = Arc::new(Faults::default());
    let mailer = Arc::new(mailer(config, Arc::clone(&mail_faults))?);
    let mail_outlet = mail::outlet(config)?;
    let email_log = orders::email_log(&config.orders)?;
    let tokens = config.tokens(machine::now())?;
    let webhooks = config.webhooks()?;
    let notify = notify::notify(config)?;
    create_hopper(&config.hopper.dir)?;
    let store = Arc::new(open_store(config)?);
    let query: Arc<dyn jobmill_store::Query> = Arc::clone(&store) as _;
    let orders = Arc::new(orders::orders(&config.orders, query, Arc::clone(&order_faults))?);
    let program = std::env::current_exe()
        .map_err(|error| Failure::new("runtime", format!("where this program lies can't be found out: {error}")))?;
    let overrides = config.overrides();
    let secrets = config.job_secrets()?;
    let outgoing = Outgoing::new(Arc::new(SystemResolver))
        .map_err(|error| Failure::new("runtime", format!("no request can be sent: {error}")))?;
    let runtime = Runtime::new(RuntimeSettings {
        concurrency: config.engine.concurrency.get(),
        largest: overrides.largest_limits(),
        cache: Some(CacheSettings { directory: data.cache()?, fresh_key: machine::fresh_key() }),
        compiler: Compiler::Child(program),
        mailer: Arc::clone(&mailer),
        orders,
        in_doubt: config.mail.in_doubt,
        outgoing,
        secrets,
    })
    .map_err(|error| Failure::new("runtime", error.to_string()))?;
    let (engine, handle) = Engine::new(
        Settings {
            hopper: config.hopper.dir.clone(),
            quiet: config.hopper.quiet(),
            concurrency: config.engine.concurrency.get(),
            shutdown_grace: config.engine.shutdown_grace,
            overrides,
            retention: config.retention(),
            event_id_window: config.event_id_window(),
            auto_rollback: config.hopper.auto_rollback,
            queues: config.queue_limits(),
            waiting: config.waiting(),
            in_doubt: config.mail.in_doubt,
        },
        store,
        Arc::new(runtime),
        Arc::new(SystemClock),
        Arc::new(SystemEntropy::default()),
    );
    let faults = InjectedFaults { mail: mail_faults, orders: order_faults };
    let settings = ServerSettings {
        raw_mail: Arc::new(|mail| jobmill_backends::mime::mime(mail).map_err(|error| error.to_string())),
        mail_route: mail::route(config)?,
        mail_outlet,
        alarms: mail::alarms(mailer),
        faults: match purpose {
            Purpose::Development { .. } => Some(Arc::new(faults)),
            Purpose::Production => None,
        },
        tokens,
        webhooks,
        on_duty: notify.on_duty.clone(),
        store_place: Some(place::store_place(&config.data, &config.store_path())),
    };
    Ok(Mill { engine, handle, settings, email_log, notify, data })
}

async fn run(
    mill: Mill,
    listener: TcpListener,
    config: &Config,
    purpose: Purpose,
    context: &Context,
) -> Result<Exit, Failure> {
    let Mill { engine, handle, settings, email_log, notify, mut data } = mill;
    let refused = |error: &std::io::Error| port_refused(config.server.listen, error);
    let address = listener.local_addr().map_err(|error| refused(&error))?;
    data.tell_address(address)?;
    listener.set_nonblocking(true).map_err(|error| refused(&error))?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| refused(&error))?;
    let signals = Signals::listen()?;
    if config.store.durability == config::Durability::Relaxed {
        context.output.note(RELAXED);
    }
    let mut beside = tokio::task::JoinSet::new();
    let stopping = signals.stop(handle.clone(), context.leave, config.engine.shutdown_grace, context.output);
    beside.spawn(stopping);
    beside.spawn(welcome::greet(handle.clone(), welcome::Greeting::new(config, address, &purpose), context.output));
    beside.spawn(handle.clone().tell_of_dead(notify.receivers, notify.spike));
    if let Some(log) = email_log {
        beside.spawn(email_log::follow(handle.clone(), log));
    }
    if let Purpose::Development { jobs } = purpose {
        beside.spawn(run_lines::print(handle.clone(), context.output));
        if config.orders.source == OrderSource::Embedded {
            beside.spawn(demo::seed(handle.clone()));
        }
        if let Some(jobs) = jobs {
            rebuild::start(jobs, config.hopper.dir.clone(), context);
        }
    }
    let server = tokio::spawn(serve_http(listener, handle.clone(), settings));
    let ended = engine.run().await;
    // An engine that could not start has told nobody to stop. Requests under way are still answered.
    handle.shutdown();
    let answered = server.await;
    beside.abort_all();
    ended.map_err(|error| Failure::new("engine-failed", error.to_string()))?;
    match answered {
        Ok(Ok(())) => Ok(Exit::Done),
        Ok(Err(error)) => Err(Failure::new("server-failed", format!("HTTP could not be served: {error}"))),
        Err(error) => Err(Failure::new("server-failed", format!("the HTTP server ended early: {error}"))),
    }
}

/// Serves requests; an engine whose doors are gone is no use, so it stops with them.
pub(crate) async fn serve_http(
    listener: tokio::net::TcpListener,
    handle: Handle,
    settings: ServerSettings,
) -> std::io::Result<()> {
    let served = jobmill_server::serve(listener, handle.clone(), settings).await;
    handle.shutdown();
    served
}

/// Without a token whoever reaches the server may do everything, so that only this machine may.
async fn refuse_open_doors(address: SocketAddr, mill: &Mill) -> Result<(), Failure> {
    if address.ip().to_canonical().is_loopback() || !mill.settings.tokens.is_empty() {
        return Ok(());
    }
    let kept = mill.handle.tokens().await.map_err(|error| Failure::new("store", error.to_string()))?;
    if kept.is_empty() { Err(open_doors(address)) } else { Ok(()) }
}

fn open_doors(address: SocketAddr) -> Failure {
    Failure::usage(
        "public-address",
        format!("{address} can be reached from other machines, and without an API token they could do everything"),
    )
    .advise("make one first: jobmill token create --scope operate --data DIR")
    .advise("or declare one in jobmill.toml: [server] tokens = [{ name = \"shop\", scope = \"enqueue\", secret = { env = \"SHOP_TOKEN\" } }]")
    .advise("or listen on 127.0.0.1")
}

fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| port_refused(address, &error))
}

fn port_refused(address: SocketAddr, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        return Failure::new(
            "address-in-use",
            format!("{address} is in use by another program, perhaps another Jobmill"),
        )
        .advise("choose another with --listen, such as --listen 127.0.0.1:0 for any that is free");
    }
    Failure::new("address-refused", format!("{address} can't be listened on: {error}"))
        .advise("choose another with --listen")
}

fn create_hopper(hopper: &Path) -> Result<(), Failure> {
    fs::create_dir_all(hopper).map_err(|error| {
        Failure::new("hopper", format!("the hopper {} can't be created: {error}", hopper.display()))
            .advise("name another with --hopper")
    })
}

/// Opens or creates the store of this configuration.
pub(crate) fn open_store(config: &Config) -> Result<LogStore, Failure> {
    let path = config.store_path();
    let durability = match config.store.durability {
        config::Durability::Full => Durability::Full,
        config::Durability::Relaxed => Durability::Relaxed,
    };
    let store = LogStore::open(SledOpener::new(path.clone(), durability))
        .map_err(|error| Failure::new("store", format!("{}: {error}", path.display())))?;
    store.keep_captured(config.captured_mails());
    Ok(store)
}

/// Failures on demand, over all jobs.
struct InjectedFaults {
    mail: Arc<Faults>,
    orders: Arc<Faults>,
}

impl DevelopmentFaults for InjectedFaults {
    fn fail_mail(&self, count: u32, kind: FaultKind) {
        self.mail.fail_next(u64::from(count), of_backend(kind));
    }

    fn fail_orders(&self, count: u32, kind: FaultKind) {
        self.orders.fail_next(u64::from(count), of_backend(kind));
    }
}

fn of_backend(kind: FaultKind) -> jobmill_backends::FaultKind {
    match kind {
        FaultKind::Transient => jobmill_backends::FaultKind::Transient,
        FaultKind::Permanent => jobmill_backends::FaultKind::Permanent,
    }
}

/// Ctrl-C, and what a service manager sends.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Receives them from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new("no-signals", format!("signals can't be received: {error}")))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Ends when one comes.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The first signal stops in order, the second at once.
    async fn stop(mut self, handle: Handle, leave: fn(Exit) -> !, grace: Duration, output: crate::output::Output) {
        self.next().await;
        let grace = crate::output::span(grace).replace(".0 s", " s");
        output.note(&format!("stopping; attempts under way get {grace} (again to stop at once)"));
        handle.shutdown();
        self.next().await;
        leave(Exit::Failed);
    }
}
