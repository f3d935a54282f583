//! What is known of the terminal: whether there is one, how large it is, and whether it understands more than lines.
//! It writes nothing.

use std::env;
use std::io::{self, IsTerminal as _};

use rustix::termios::{Winsize, tcgetwinsize};

/// How many columns the standard output has; none where it is no terminal, or one that does not say.
pub(crate) fn width() -> Option<u16> {
    size().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// How many lines it has.
pub(crate) fn height() -> Option<u16> {
    size().map(|size| size.ws_row).filter(|lines| *lines > 0)
}

/// How many columns the standard error has.
pub(crate) fn notes_width() -> Option<u16> {
    tcgetwinsize(io::stderr()).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

fn size() -> Option<Winsize> {
    let stdout = io::stdout();
    if stdout.is_terminal() { tcgetwinsize(stdout).ok() } else { None }
}

/// Whether lines on the standard output can be replaced.
pub(crate) fn can_replace() -> bool {
    io::stdout().is_terminal() && !is_dumb()
}

/// Whether a line on the standard error can be replaced.
pub(crate) fn can_replace_notes() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|kind| kind == "dumb")
}
