//! The server's stream as a list follows it: a server that goes away is said, and asked again until it is back.
//! What happened meanwhile is not told; whoever follows looks again.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use jobmill_client::{Change, Client, Error};
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::machine;
use crate::output::Output;

/// Changes that wait to be shown. While none has room, the stream is not read on, and the server lets a slow reader go.
const WAITING: usize = 64;
/// The server says something at least every 15 seconds; one that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// Before the server is asked again, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What changes, from the time it was opened on.
pub(crate) struct Stream {
    client: Client,
    output: Output,
    heard: Receiver<Result<Change, Error>>,
    /// How long nothing was heard.
    silence: Duration,
    has_spoken: bool,
}

impl Stream {
    /// Begins to hear. From now on Ctrl-C is the end that was wanted.
    pub(crate) fn open(context: &Context) -> Result<Self, Failure> {
        end_well_when_interrupted(context.leave)?;
        let client = context.client()?;
        let heard = hear(&client)?;
        Ok(Self { client, output: context.output, heard, silence: Duration::ZERO, has_spoken: false })
    }

    /// Whether something was said about the server since that was last asked.
    pub(super) fn has_spoken(&mut self) -> bool {
        std::mem::take(&mut self.has_spoken)
    }

    /// What happens next.
    pub(crate) fn wait(&mut self) -> Result<Change, Failure> {
        loop {
            if let Some(change) = self.next(SILENCE)? {
                return Ok(change);
            }
        }
    }

    /// What happens within so much time. A stream that was begun anew missed something.
    pub(crate) fn next(&mut self, within: Duration) -> Result<Option<Change>, Failure> {
        match self.heard.recv_timeout(within) {
            Ok(Ok(change)) => {
                self.silence = Duration::ZERO;
                Ok(Some(change).filter(|change| *change != Change::Nothing))
            }
            Ok(Err(error)) if !error.is_passing() => Err(error.into()),
            Err(RecvTimeoutError::Timeout) if self.silence + within < SILENCE => {
                self.silence += within;
                Ok(None)
            }
            Ok(Err(_)) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                machine::pause(FIRST_PAUSE);
                self.heard = self.patiently(|client| Ok(hear(client)?))?;
                self.silence = Duration::ZERO;
                Ok(Some(Change::Missed))
            }
        }
    }

    /// Asks the server until it answers. That it does not is said once.
    pub(crate) fn patiently<T>(&mut self, ask: impl Fn(&Client) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut pause = FIRST_PAUSE;
        let mut is_said = false;
        loop {
            match ask(&self.client) {
                Ok(answer) => {
                    if is_said {
                        self.say("the server is back");
                    }
                    return Ok(answer);
                }
                Err(failure) if failure.is_passing() => {
                    if !is_said {
                        is_said = true;
                        self.say(&format!("{}; it is asked again until it answers", failure.message()));
                    }
                    machine::pause(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.has_spoken = true;
        self.output.note(text);
    }
}

/// Reads the stream on a thread of its own, which ends with it or when nobody listens.
fn hear(client: &Client) -> Result<Receiver<Result<Change, Error>>, Error> {
    let changes = client.changes()?;
    let (sender, heard) = sync_channel(WAITING);
    thread::spawn(move || {
        for change in changes {
            if sender.send(change).is_err() {
                return;
            }
        }
    });
    Ok(heard)
}

/// Ends the process with code 0 on Ctrl-C: nothing is under way that could be lost.
fn end_well_when_interrupted(leave: fn(Exit) -> !) -> Result<(), Failure> {
    let impossible =
        |error: std::io::Error| Failure::new("no-signals", format!("Ctrl-C can't be listened to: {error}"));
    let tasks = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(impossible)?;
    let mut interrupts = {
        let _entered = tasks.enter();
        signal(SignalKind::interrupt()).map_err(impossible)?
    };
    thread::spawn::<_, ()>(move || {
        tasks.block_on(interrupts.recv());
        leave(Exit::Done)
    });
    Ok(())
}
