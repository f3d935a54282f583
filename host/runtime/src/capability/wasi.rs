//! WASI as a job gets it: no files, no environment, no arguments, no sockets; clocks and randomness work.
//! Its standard streams go to the run's log, line by line and bounded; they never reach the engine's own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jobmill_core::job::{Limit, SandboxLimits};
use jobmill_core::journal::{LogLevel, LogLine};
use jobmill_core::{Clock, Timestamp, limits};
use jobmill_engine::AttemptContext;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use super::printable;
use crate::bounds::HostCalls;

/// What one write may bring: WASI's own customary size.
const PERMIT: usize = 64 * 1024;

/// A WASI whose standard streams lead nowhere.
pub(crate) fn silent() -> WasiCtx {
    builder(&SandboxLimits::default()).build()
}

/// A WASI whose standard streams are `output`.
pub(crate) fn captured(output: &Output, limits: &SandboxLimits) -> WasiCtx {
    builder(limits).stdout(output.stream(LogLevel::Stdout)).stderr(output.stream(LogLevel::Stderr)).build()
}

/// Nothing is inherited and nothing is preopened: a builder begins with no files, no variables and no arguments. `network` says no
/// to sockets before they are made; that no address is allowed holds even so.
fn builder(limits: &SandboxLimits) -> WasiCtxBuilder {
    let mut builder = WasiCtxBuilder::new();
    builder
        .max_random_size(limits.get(Limit::Random))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .socket_addr_check(|_, _| Box::pin(async { false }));
    builder
}

/// What a guest has printed and the log has not taken yet.
pub(crate) struct Output {
    lines: Arc<Mutex<Lines>>,
    clock: Arc<dyn Clock>,
    calls: HostCalls,
}

struct Lines {
    whole: Vec<LogLine>,
    dropped: u64,
    bytes: usize,
    most_whole: usize,
    most_bytes: usize,
    /// The unfinished line of each stream.
    open: [Vec<u8>; 2],
    /// What was said last on standard error.
    last_words: Option<String>,
}

impl Output {
    /// Nothing printed yet. Each write costs one of `calls`.
    pub(crate) fn new(clock: Arc<dyn Clock>, calls: HostCalls, limits: &SandboxLimits) -> Self {
        Self { lines: Arc::new(Mutex::new(Lines::new(limits))), clock, calls }
    }

    fn stream(&self, level: LogLevel) -> Stream {
        Stream { lines: Arc::clone(&self.lines), clock: Arc::clone(&self.clock), calls: self.calls.clone(), level }
    }

    /// Moves finished lines to the log.
    pub(crate) fn move_lines(&self, context: &mut AttemptContext) {
        lock(&self.lines).drain(context);
    }

    /// Moves everything to the log. Answers what was said last on standard error: a guest that gives up says why.
    pub(crate) fn move_rest(self, context: &mut AttemptContext) -> Option<String> {
        let mut lines = lock(&self.lines);
        let now = self.clock.now();
        for level in [LogLevel::Stdout, LogLevel::Stderr] {
            if !lines.open(level).is_empty() {
                lines.finish_line(level, now);
            }
        }
        lines.drain(context);
        lines.last_words.take()
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lines {
    fn new(limits: &SandboxLimits) -> Self {
        Self {
            whole: Vec::new(),
            dropped: 0,
            bytes: 0,
            most_whole: limits.size(Limit::LogLines),
            most_bytes: limits.size(Limit::Log),
            open: <[Vec<u8>; 2]>::default(),
            last_words: None,
        }
    }

    fn open(&mut self, level: LogLevel) -> &mut Vec<u8> {
        &mut self.open[usize::from(level == LogLevel::Stderr)]
    }

    fn write(&mut self, level: LogLevel, bytes: &[u8], now: Timestamp) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |line| (line, true));
            // What exceeds the whole log's budget would be cut there anyway.
            let room = self.most_bytes.saturating_sub(self.open(level).len());
            self.open(level).extend_from_slice(&line[..line.len().min(room)]);
            if ends {
                self.finish_line(level, now);
            }
        }
    }

    fn finish_line(&mut self, level: LogLevel, now: Timestamp) {
        let line = std::mem::take(self.open(level));
        let text = String::from_utf8_lossy(&line);
        let message = printable(text.strip_suffix('\r').unwrap_or(&text));
        if level == LogLevel::Stderr && is_telling(&message) {
            self.last_words = Some(limits::truncate(&message, limits::ERROR_TEXT_BYTES).to_owned());
        }
        if self.whole.len() >= self.most_whole || self.bytes >= self.most_bytes {
            self.dropped += 1;
            return;
        }
        self.bytes += message.len();
        self.whole.push(LogLine { at: now, level, message, fields: Vec::new() });
    }

    fn drain(&mut self, context: &mut AttemptContext) {
        self.bytes = 0;
        self.whole.drain(..).for_each(|line| context.log(line));
        context.drop_log_lines(std::mem::take(&mut self.dropped));
    }
}

/// Whether a line may be the reason why a guest gave up: not a frame of a stack, which languages indent, and not
/// Rust's note on how to see one.
fn is_telling(line: &str) -> bool {
    !line.is_empty() && !line.starts_with([' ', '\t']) && !line.starts_with("note: ")
}

/// One standard stream.
///
/// wasmtime's own stream for asynchronous writers grows without bound under empty writes (GHSA-5m8g-xhq4-4h93), and
/// its pipe in memory ends the guest when it is full; this one is always ready and drops what it can't keep.
#[derive(Clone)]
struct Stream {
    lines: Arc<Mutex<Lines>>,
    clock: Arc<dyn Clock>,
    calls: HostCalls,
    level: LogLevel,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Asked for by later versions of WASI only, which are not linked.
        Box::new(tokio::io::sink())
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.calls.charge().map_err(|stopped| StreamError::Trap(stopped.into()))?;
        lock(&self.lines).write(self.level, &bytes, self.clock.now());
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}
