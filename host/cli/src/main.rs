//! The binary `jobmill`: reads the command line, carries the command out, ends with its exit code.
//! Everything else is in the modules; no other place ends the process.

mod args;
mod bulk;
mod client;
mod commands;
mod config;
mod document;
mod examine;
mod failure;
mod follow;
mod machine;
mod operator;
mod output;
mod progress;
mod serve;
mod terminal;
mod watch;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::CommandLine;
use commands::Context;
use failure::{Exit, Failure};

/// Attempts allocate on one thread what the thread that commits frees: the system's allocator makes them wait for each
/// other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let line = CommandLine::try_parse().unwrap_or_else(|error| error.exit());
    let context = Context::new(line.global, leave);
    let ended = match line.command {
        Some(command) => commands::carry_out(command, &context),
        None => print_help(),
    };
    let exit = ended.unwrap_or_else(|failure| {
        if let Failure::Said(report) = &failure {
            output::say(&report.render());
        }
        failure.exit()
    });
    ExitCode::from(exit as u8)
}

fn print_help() -> Result<Exit, Failure> {
    output::data(CommandLine::command().render_help().ansi().to_string().trim_end())?;
    Ok(Exit::Done)
}

/// For a second Ctrl-C: whoever presses it twice has no patience for orderly endings.
#[expect(clippy::disallowed_methods, reason = "destructors wait for what is under way, and this must not")]
fn leave(exit: Exit) -> ! {
    std::process::exit(exit as i32)
}
