//! Runs the programs that the forge asks: their output as text, and an end to those that take too long.
//! It knows nothing about what the programs are.

use crate::ForgeError;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What the program wrote to stdout, trimmed; an error unless it succeeded.
pub(crate) fn answer(command: &mut Command) -> Result<String, ForgeError> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| missing(command, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ForgeError::ProgramFailed { command: shown(command), output: said })
}

/// Run the program to its end, or kill it when it takes longer than `patience`. `Err` says why it did not succeed.
pub(crate) fn run_within(command: &mut Command, patience: Duration) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let Some(mut stderr) = child.stderr.take() else {
        return Err("its output is lost".to_owned());
    };
    // The pipe ends with the program, so its end is what to wait for.
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut said = String::new();
        let read = stderr.read_to_string(&mut said).map(|_| said);
        // Nobody listens any more when the program was killed.
        let _ = sender.send(read.unwrap_or_default());
    });
    let Ok(said) = receiver.recv_timeout(patience) else {
        // It may have ended by itself just now; either way it is gone afterwards.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("no end after {} s", patience.as_secs()));
    };
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(first_error(&said).unwrap_or_else(|| status.to_string())),
        Err(error) => Err(error.to_string()),
    }
}

/// The error for a program that could not be started.
pub(crate) fn missing(command: &Command, source: std::io::Error) -> ForgeError {
    ForgeError::ProgramMissing { program: command.get_program().to_string_lossy().into_owned(), source }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn first_error(said: &str) -> Option<String> {
    said.lines().find_map(|line| line.strip_prefix("error: ")).map(str::to_owned)
}

#[cfg(all(test, unix))]
mod tests {
    use super::{answer, run_within};
    use std::process::Command;
    use std::time::Duration;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_answer_is_trimmed_and_a_failure_says_what_the_program_said() {
        assert_eq!(answer(&mut shell("echo ' yes '")).expect("succeeds"), "yes");
        let error = answer(&mut shell("echo 'no such toolchain' >&2; exit 1")).expect_err("fails");
        assert_eq!(error.to_string(), "`sh -c echo 'no such toolchain' >&2; exit 1` failed: no such toolchain");
    }

    #[test]
    fn a_program_that_hangs_is_given_up() {
        assert_eq!(
            run_within(&mut shell("exec cat /dev/zero"), Duration::from_millis(1)),
            Err("no end after 0 s".into())
        );
    }

    #[test]
    fn a_program_that_fails_is_reported_by_its_first_error() {
        let script = "echo 'info: downloading' >&2; echo 'error: could not connect' >&2; exit 1";
        assert_eq!(run_within(&mut shell(script), Duration::from_mins(1)), Err("could not connect".into()));
        assert_eq!(run_within(&mut shell("exit 0"), Duration::from_mins(1)), Ok(()));
    }
}
