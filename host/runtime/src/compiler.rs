//! Who compiles: this process, or a child of it, which hands its code over through the cache.
//! What the child does is in `compile`.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Once;

use jobmill_core::limits;
use jobmill_core::time::format_duration;
use jobmill_engine::LoadError;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use wasmtime::Cache;

use crate::capability::printable;
use crate::engine::AddressSpace;

/// The exit code of a child that refused the component and said why.
const REFUSED: i32 = 1;

/// Who compiles components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// This process. What the compiler allocated stays with the allocator, and nothing bounds it.
    Here,
    /// This program, as `PROGRAM compile --cache DIR`, with the component on its standard input. Needs a cache.
    Child(PathBuf),
}

/// Compiles in another process.
pub(crate) struct Child {
    program: PathBuf,
    cache: Cache,
    address_space: AddressSpace,
    warned: Once,
}

impl Child {
    pub(crate) fn new(program: PathBuf, cache: Cache, address_space: AddressSpace) -> Self {
        Self { program, cache, address_space, warned: Once::new() }
    }

    /// Has the component compiled into the cache. Says why, when it can't be compiled; a child that can't be started is
    /// no reason.
    pub(crate) async fn compile(&self, component: &[u8]) -> Result<(), LoadError> {
        let ended = tokio::time::timeout(limits::COMPILE_TIMEOUT, self.run(component)).await;
        let reason = match ended {
            Ok(Ok((status, _))) if status.success() => return Ok(()),
            Ok(Ok((status, said))) => reason(status, &said),
            Ok(Err(error)) => {
                self.warn(&format!("{} can't be started: {error}", self.program.display()));
                return Ok(());
            }
            Err(_) => format!("it takes longer than {}", format_duration(limits::COMPILE_TIMEOUT)),
        };
        Err(LoadError(format!("can't be compiled: {reason}")))
    }

    /// How the child ended, and what it said.
    async fn run(&self, component: &[u8]) -> std::io::Result<(ExitStatus, String)> {
        let mut command = Command::new(&self.program);
        command.arg("compile").arg("--cache").arg(self.cache.directory());
        if self.address_space == AddressSpace::Scarce {
            command.arg("--scarce-address-space");
        }
        // In a group of its own it is not reached by a Ctrl-C, which asks this process to stop in order.
        command.env_clear().process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A child that has seen enough does not read to the end.
                let _ = stdin.write_all(component).await;
            }
        };
        let listen = async {
            let mut said = Vec::new();
            if let Some(mut stderr) = stderr {
                // What can't be read was not said; what is too much is read all the same, so that the child goes on.
                let _ = (&mut stderr).take(limits::ERROR_TEXT_BYTES as u64).read_to_end(&mut said).await;
                let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            }
            printable(String::from_utf8_lossy(&said).trim()).replace('\n', " ")
        };
        let ((), said, status) = tokio::join!(feed, listen, child.wait());
        Ok((status?, said))
    }

    /// How often code was found in the cache.
    pub(crate) fn hits(&self) -> usize {
        self.cache.cache_hits()
    }

    /// After a component was loaded: warns if its code was not in the cache, so that this process compiled as well.
    pub(crate) fn expect_a_hit_since(&self, hits: usize) {
        // The hit of another component, loaded meanwhile, can hide a miss of this one; the next miss will tell.
        if self.hits() == hits {
            self.warn(&format!("compiled code is not kept in {}", self.cache.directory().display()));
        }
    }

    fn warn(&self, reason: &str) {
        self.warned.call_once(|| {
            tracing::warn!(reason, "components are compiled in the engine's own process, which takes more memory");
        });
    }
}

/// Why a child that ended like this compiled nothing, as far as can be known.
fn reason(status: ExitStatus, said: &str) -> String {
    let signal = |signal: Signal| status.signal() == Some(signal.as_raw());
    // The words of the standard library and of the compiler's arenas.
    let no_memory = ["memory allocation of", "out of memory"].iter().any(|words| said.contains(words));
    if status.code() == Some(REFUSED) && !said.is_empty() {
        said.to_owned()
    } else if signal(Signal::XCPU) {
        format!("it takes more than {} of processor time", format_duration(limits::COMPILE_CPU))
    } else if no_memory && signal(Signal::ABORT) {
        format!("it takes more than {} GiB of memory", limits::COMPILE_BYTES >> 30)
    } else if signal(Signal::KILL) {
        "the compiler was killed, as happens when the machine has no memory left; make room and put the file here again"
            .to_owned()
    } else {
        format!("the compiler ended with {status} and said {said:?}; please report the component")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::engine;

    /// One test for all of them: while a script is written, no other test may start a process that would hold it open.
    #[tokio::test]
    async fn how_a_child_ends_is_told_as_a_reason() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("compiler");
        let cache = engine::cache(&directory.path().join("cache")).expect("usable");
        let child = Child::new(program.clone(), cache, AddressSpace::Ample);
        // More than a pipe holds, so that a child that reads none of it could block the one that writes.
        let component = vec![0; 1024 * 1024];
        for (script, reason) in [
            ("[ \"$1 $2\" = 'compile --cache' ] && [ -d \"$3\" ] && [ $# = 3 ]", None),
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
            let refusal = child.compile(&component).await.err().map(|error| error.to_string());
            match (&refusal, reason) {
                (None, None) => {}
                (Some(text), Some(part)) if text.contains(part) && text.len() < 5_000 => {}
                _ => panic!("{script}: {refusal:?} instead of {reason:?}"),
            }
        }
    }
}
