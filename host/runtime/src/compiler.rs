//! Who compiles: this process, or a child of it, which hands its code over through a pipe.
//! What the child does is in `compile`.

use std::fmt::Display;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Once};

use jobmill_core::limits;
use jobmill_core::time::format_duration;
use jobmill_engine::LoadError;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cache::Code;
use crate::capability::printable;
use crate::compile::compile;
use crate::engine::{AddressSpace, COMPILING};

/// The exit code of a child that refused the component and said why.
const REFUSED: i32 = 1;

/// Who compiles components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// This process. What the compiler allocated stays with the allocator, and nothing bounds it.
    Here,
    /// This program, as `PROGRAM compile`, with the component on its standard input and the code on its standard output.
    Child(PathBuf),
}

/// Why a component is not loaded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What is wrong, for people.
    pub(crate) reason: String,
    /// Whether it would be the same with these bytes at any time: then it need not be tried again.
    pub(crate) lasting: bool,
}

impl Refusal {
    fn lasting(reason: impl Display) -> Self {
        Self { reason: format!("can't be compiled: {reason}"), lasting: true }
    }

    fn passing(reason: impl Display) -> Self {
        Self { reason: format!("can't be compiled: {reason}"), lasting: false }
    }
}

impl From<Refusal> for LoadError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.reason)
    }
}

/// Compiles, here or in another process, a few components at once.
pub(crate) struct Compiling {
    by: Compiler,
    address_space: AddressSpace,
    permits: Arc<Semaphore>,
    warned: Once,
}

impl Compiling {
    pub(crate) fn new(by: Compiler, address_space: AddressSpace) -> Self {
        Self { by, address_space, permits: Arc::new(Semaphore::new(COMPILING)), warned: Once::new() }
    }

    /// The code of a component. A child that can't be started is no reason to refuse one: it is compiled here.
    pub(crate) async fn compile(&self, component: &Arc<[u8]>) -> Result<Code, Refusal> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| stopping())?;
        let Compiler::Child(program) = &self.by else { return self.compile_here(component, permit).await };
        let ended = tokio::time::timeout(limits::COMPILE_TIMEOUT, self.run(program, component)).await;
        match ended {
            Ok(Ok(Ended { status, code, .. })) if status.success() => match code {
                Some(code) => Ok(Code::compiled(code)),
                None => {
                    Err(Refusal::lasting(format_args!("its code has more than {} MiB", limits::COMPILED_BYTES >> 20)))
                }
            },
            Ok(Ok(Ended { status, said, .. })) => Err(refusal(status, &said)),
            Ok(Err(error)) => {
                self.warned.call_once(|| {
                    let program = program.display();
                    tracing::warn!(%error, %program, "the compiler can't be started; components are compiled in the engine's own process, which takes more memory");
                });
                self.compile_here(component, permit).await
            }
            Err(_) => {
                let most = format_duration(limits::COMPILE_TIMEOUT);
                Err(Refusal::passing(format_args!("it takes longer than {most}")))
            }
        }
    }

    /// Compiles on a thread of its own, which can't be stopped and so has the permit. A compiler that panics has met its own
    /// bug: the file is refused, no more.
    async fn compile_here(&self, component: &Arc<[u8]>, permit: OwnedSemaphorePermit) -> Result<Code, Refusal> {
        let (component, address_space) = (Arc::clone(component), self.address_space);
        let work = move || {
            let _permit = permit;
            compile(&component, address_space)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(code)) => Ok(Code::compiled(code)),
            Ok(Err(reason)) => Err(Refusal::lasting(reason)),
            Err(stopped) if stopped.is_panic() => {
                Err(Refusal::lasting("the compiler panicked; please report the component"))
            }
            Err(_) => Err(stopping()),
        }
    }

    async fn run(&self, program: &Path, component: &[u8]) -> std::io::Result<Ended> {
        let mut command = Command::new(program);
        command.arg("compile");
        if self.address_space == AddressSpace::Scarce {
            command.arg("--scarce-address-space");
        }
        // In a group of its own it is not reached by a Ctrl-C, which asks this process to stop in order.
        command.env_clear().process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A child that has seen enough does not read to the end.
                let _ = stdin.write_all(component).await;
            }
        };
        let (most_code, most_said) = (limits::COMPILED_BYTES, limits::ERROR_TEXT_BYTES as u64);
        let ((), code, said, status) =
            tokio::join!(feed, read(stdout, most_code), read(stderr, most_said), child.wait());
        let said = printable(String::from_utf8_lossy(&said.bytes).trim()).replace('\n', " ");
        Ok(Ended { status: status?, code: code.whole.then_some(code.bytes), said })
    }
}

/// How a child ended.
struct Ended {
    status: ExitStatus,
    /// What it compiled; none when that is too long.
    code: Option<Vec<u8>>,
    /// What it said.
    said: String,
}

/// What came out of a pipe, up to a bound.
struct Heard {
    bytes: Vec<u8>,
    whole: bool,
}

/// What is too much is read all the same, so that the child goes on. What can't be read was not said.
async fn read(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> Heard {
    let mut bytes = Vec::new();
    let Some(mut pipe) = pipe else { return Heard { bytes, whole: false } };
    let read = (&mut pipe).take(most).read_to_end(&mut bytes).await;
    let rest = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    Heard { bytes, whole: read.is_ok() && rest.is_ok_and(|bytes| bytes == 0) }
}

fn stopping() -> Refusal {
    Refusal::passing("the engine is stopping")
}

/// Why a child that ended like this compiled nothing, as far as can be known.
fn refusal(status: ExitStatus, said: &str) -> Refusal {
    let signal = |signal: Signal| status.signal() == Some(signal.as_raw());
    // The words of the standard library and of the compiler's arenas.
    let no_memory = ["memory allocation of", "out of memory"].iter().any(|words| said.contains(words));
    if status.code() == Some(REFUSED) && !said.is_empty() {
        Refusal::lasting(said)
    } else if signal(Signal::XCPU) {
        let most = format_duration(limits::COMPILE_CPU);
        Refusal::lasting(format_args!("it takes more than {most} of processor time"))
    } else if no_memory && signal(Signal::ABORT) {
        Refusal::lasting(format_args!("it takes more than {} GiB of memory", limits::COMPILE_BYTES >> 30))
    } else if signal(Signal::KILL) {
        Refusal::passing(
            "the compiler was killed, as happens when the machine has no memory left; make room and put the file here again",
        )
    } else {
        Refusal::passing(format_args!(
            "the compiler ended with {status} and said {said:?}; please report the component"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// One test for all of them: while a script is written, no other test may start a process that would hold it open.
    #[tokio::test]
    async fn how_a_child_ends_is_told_as_a_reason() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("compiler");
        let compiling = Compiling::new(Compiler::Child(program.clone()), AddressSpace::Ample);
        // More than a pipe holds, so that a child that reads none of it could block the one that writes.
        let component: Arc<[u8]> = vec![0; 1024 * 1024].into();
        for (script, reason) in [
            ("[ \"$1\" = 'compile' ] && [ $# = 1 ]", None),
            ("[ \"$(wc -c)\" = 1048576 ]", None),
            ("[ -z \"$HOME$USER$CARGO\" ]", None),
            ("echo 'no such thing' >&2; exit 1", Some("can't be compiled: no such thing")),
            ("kill -XCPU $$", Some("more than 1m of processor time")),
            ("echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$", Some("more than 2 GiB of memory")),
            ("echo 'panicked: out of memory' >&2; kill -ABRT $$", Some("more than 2 GiB of memory")),
            ("echo 'panicked: a bug' >&2; kill -ABRT $$", Some("panicked: a bug")),
            ("kill -SEGV $$", Some("please report")),
            ("kill -KILL $$", Some("was killed")),
            ("exit 101", Some("please report")),
            ("exit 1", Some("exit status: 1")),
            ("while echo 'far too much to say'; do n=$((n+1)); [ $n -lt 9999 ] || exit 1; done >&2", Some("far too")),
        ] {
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("executable");
            let refusal = compiling.compile(&component).await.err().map(|refusal| refusal.reason);
            match (&refusal, reason) {
                (None, None) => {}
                (Some(text), Some(part)) if text.contains(part) && text.len() < 5_000 => {}
                _ => panic!("{script}: {refusal:?} instead of {reason:?}"),
            }
        }
    }
}
