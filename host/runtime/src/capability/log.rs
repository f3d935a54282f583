//! `jobmill:job/log`: lines that are shown with the run.
//! It never fails a job; the budget is the attempt context's.

use jobmill_core::journal::{LogLevel, LogLine};

use super::printable;
use crate::bindings::since_0_1::jobmill::job::log;
use crate::state::HostState;

impl log::Host for HostState {
    async fn log(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let attempt = self.attempt()?;
        let line = LogLine {
            at: attempt.context.now(),
            level: level.into(),
            message: printable(&message),
            fields: fields.iter().map(|(name, value)| (printable(name), printable(value))).collect(),
        };
        attempt.context.log(line);
        Ok(())
    }
}

impl From<log::Level> for LogLevel {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Trace => Self::Trace,
            log::Level::Debug => Self::Debug,
            log::Level::Info => Self::Info,
            log::Level::Warn => Self::Warn,
            log::Level::Error => Self::Error,
        }
    }
}
