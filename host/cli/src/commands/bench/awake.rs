//! Keeps the processors from falling asleep: some machines answer a sync many times later when a core has to wake first.
//! It does no work, and yields to everything that does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The kindest there is: it takes what nobody else wants.
const NICENESS: i32 = 19;

/// A thread that spins as long as this lives.
pub(super) struct Awake {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Awake {
    /// Begins to spin.
    pub(super) fn start() -> std::io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::Builder::new().name("awake".to_owned()).spawn(move || {
            // For this thread alone. Where it is refused the thread spins all the same, at everybody's cost.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            while !until.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
