//! The host's own log: structured lines on the standard error.
//! What runs and jobs write is kept with the runs; none of it goes through here.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::args::Global;

/// Starts the log. `RUST_LOG` goes before the options.
pub(crate) fn start(global: &Global) {
    let said = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn,jobmill=info",
        (false, 1) => "info,jobmill=debug",
        (false, _) => "debug,jobmill=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(said));
    let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_target(global.verbose > 0)
        .with_writer(io::stderr);
    // A second log can only come from a second start in one process, which has one already.
    let _ = log.try_init();
}
