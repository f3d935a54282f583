//! The commands, one file each: what each takes and what it does.
//! Serving lives in `serve`; the client, the output and the configuration in modules of their own.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod emit;
pub(crate) mod events;
mod faults;
mod flow_settings;
mod job_versions;
pub(crate) mod jobs;
pub(crate) mod mail;
pub(crate) mod new;
pub(crate) mod orders;
pub(crate) mod queues;
pub(crate) mod run;
pub(crate) mod runs;
mod sandbox_lines;
pub(crate) mod schedule;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod up;
mod usage;
pub(crate) mod webhooks;

use jobmill_client::Client;

use crate::args::{Command, Global};
use crate::client;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// What every command is given.
pub(crate) struct Context {
    /// Where it writes.
    pub(crate) output: Output,
    /// The global options.
    pub(crate) global: Global,
    /// Ends the process at once, whatever is under way.
    pub(crate) leave: fn(Exit) -> !,
}

impl Context {
    /// What the options say.
    pub(crate) fn new(global: Global, leave: fn(Exit) -> !) -> Self {
        Self { output: Output::new(&global), global, leave }
    }

    /// The server that the options name.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        client::connect(&self.global)
    }
}

/// Carries a command out.
pub(crate) fn carry_out(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Dev(dev) => dev.carry_out(context),
        Command::Up(up) => up.carry_out(context),
        Command::New(new) => new.carry_out(context),
        Command::Build(build) => build.carry_out(context),
        Command::Check(check) => check.carry_out(context),
        Command::Compile(compile) => Ok(compile.carry_out()),
        Command::Run(run) => run.carry_out(context),
        Command::Emit(emit) => emit.carry_out(context),
        Command::Events(events) => events.carry_out(context),
        Command::Jobs(jobs) => jobs.carry_out(context),
        Command::Queues(queues) => queues.carry_out(context),
        Command::Runs(runs) => runs.carry_out(context),
        Command::Dead(dead) => dead.carry_out(context),
        Command::Schedule(schedule) => schedule.carry_out(context),
        Command::Mail(mail) => mail.carry_out(context),
        Command::Orders(orders) => orders.carry_out(context),
        Command::Webhooks(webhooks) => webhooks.carry_out(context),
        Command::Token(token) => token.carry_out(context),
        Command::Audit(audit) => audit.carry_out(context),
        Command::Store(store) => store.carry_out(context),
        Command::Bench(bench) => bench.carry_out(context),
        Command::Doctor(doctor) => doctor.carry_out(context),
        Command::Config(config) => config.carry_out(context),
        Command::Completions(completions) => completions.carry_out(),
    }
}
