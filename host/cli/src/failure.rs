//! How a command ends when it does not end well: an exit code, a stable code, a sentence, and what to do about it.
//! It prints nothing; `main` does.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// The exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no such run, job, mail or order.
    NotFound = 3,
    /// The run that was waited for ended dead or cancelled.
    EndedBadly = 4,
    /// No server answers.
    Unreachable = 5,
    /// The run was still going when the time to wait ran out.
    StillGoing = 6,
}

/// Why a command stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something that a person has to be told.
    Said(Box<Report>),
    /// Whoever read the standard output went away. Nobody needs to be told.
    ReaderGone,
}

/// What a person is told.
#[derive(Debug)]
pub(crate) struct Report {
    /// The exit code.
    pub(crate) exit: Exit,
    /// Whether the same may go well later: no server answers, or it has too much to do.
    pub(crate) is_passing: bool,
    /// A stable kebab-case word, as the HTTP API has it.
    pub(crate) code: Cow<'static, str>,
    /// What happened, to what.
    pub(crate) message: String,
    /// What to do, a line each.
    pub(crate) advice: Vec<String>,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self::with_exit(Exit::Failed, code, message)
    }

    /// A wrong command line, or a setting that can't be used.
    pub(crate) fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::with_exit(Exit::Usage, code, message)
    }

    /// Something that is not there.
    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::with_exit(Exit::NotFound, code, message)
    }

    /// A failure with an exit code of its own.
    pub(crate) fn with_exit(exit: Exit, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self::Said(Box::new(Report { exit, is_passing: false, code, message, advice: Vec::new() }))
    }

    /// The same failure with one more line of advice.
    #[must_use]
    pub(crate) fn advise(mut self, line: impl Into<String>) -> Self {
        if let Self::Said(report) = &mut self {
            report.advice.push(line.into());
        }
        self
    }

    /// The same failure, of something that may go well later.
    #[must_use]
    pub(crate) fn passing(mut self, is_passing: bool) -> Self {
        if let Self::Said(report) = &mut self {
            report.is_passing = is_passing;
        }
        self
    }

    /// Whether the same may go well later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Said(report) if report.is_passing)
    }

    /// What a person is told, without what to do about it.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Said(report) => &report.message,
            Self::ReaderGone => "",
        }
    }

    /// The exit code; a reader that went away is no failure.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Said(report) => report.exit,
            Self::ReaderGone => Exit::Done,
        }
    }

    /// The code under which a person will look it up.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Said(report) => &report.code,
            Self::ReaderGone => "",
        }
    }
}

/// Errors of writing to the standard output. Everything else that does I/O says what it was doing.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::new("output", format!("the standard output can't be written: {error}"))
        }
    }
}

impl Report {
    /// The text for the standard error: `error[code]: message`, then the advice, indented.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("error[{}]: {}", self.code, self.message);
        for line in self.advice.iter().flat_map(|advice| advice.lines()) {
            let _ = write!(text, "\n  {line}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_and_what_to_do() {
        let failure = Failure::not_found("unknown-job", "there is no job \"a\"").advise("did you mean \"b\"?");
        assert_eq!(failure.exit(), Exit::NotFound);
        let Failure::Said(report) = failure else { panic!("it is said") };
        assert_eq!(report.render(), "error[unknown-job]: there is no job \"a\"\n  did you mean \"b\"?");
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit(), Exit::Done);
    }
}
