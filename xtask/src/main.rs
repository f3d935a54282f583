//! The repository's own commands: `cargo xtask dev`, `test`, `jobs`, `tidy`, `screenshots`.
//! Nothing of it is needed to use Jobmill; the product is the binary `jobmill`.

mod dev;
mod jobs;
mod screenshots;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set up, build and check Jobmill")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything, then serve: the jobs, seeded orders, captured mail, the dashboard
    Dev(dev::Arguments),
    /// Only build the jobs, into the hopper
    Jobs(jobs::Arguments),
    /// Make the README's pictures anew, or pictures of every page
    Screenshots(screenshots::Arguments),
    /// Run every test
    Test(test::Arguments),
    /// Check the invariants of ARCHITECTURE.md
    Tidy,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Jobs(arguments) => jobs::run(&arguments),
        Command::Screenshots(arguments) => screenshots::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Tidy => tidy::check(),
    };
    if let Err(error) = done {
        // Without the backtrace that `{error:?}` brings: what failed has said its part already.
        eprintln!("xtask: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
