//! Structured log lines, shown with the run.
//! It filters nothing and never fails: what exceeds the run's budget is counted and dropped by the host.

use crate::host;
use core::fmt;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every detail.
    Trace,
    /// For whoever looks for a bug.
    Debug,
    /// What happened.
    Info,
    /// Worth a look.
    Warn,
    /// Went wrong.
    Error,
}

/// Write one line; the macros call it.
pub fn write(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, &dyn fmt::Display)]) {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    host::log(level, message.to_string(), fields);
}

/// Write a log line of the run: a message, as in `format!`, then fields.
///
/// ```no_run
/// # use jobmill_sdk::info;
/// # let order = 1042;
/// info!("confirmed {order}", items = 3, currency = "EUR");
/// ```
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::__log!(Info, $($line)+) };
}

/// Write a log line that is worth a look; see [`info!`](crate::info).
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::__log!(Warn, $($line)+) };
}

/// Write a log line about something that went wrong; see [`info!`](crate::info).
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::__log!(Error, $($line)+) };
}

/// Write a log line for whoever looks for a bug; see [`info!`](crate::info).
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::__log!(Debug, $($line)+) };
}

/// Write a log line of every detail; see [`info!`](crate::info).
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => { $crate::__log!(Trace, $($line)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $message:literal $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::macro_support::log(
            $crate::Level::$level,
            ::core::format_args!($message),
            &[$((::core::stringify!($name), &$value as &dyn ::core::fmt::Display)),*],
        )
    };
}
