//! What changes, told as it happens: the server's stream, read as values.
//! It asks for the stream once; whoever wants to go on when it ends asks again, and looks once at what it missed.

use std::io::{BufRead, Read as _};

use jobmill_core::{JobId, RunId, RunState, Timestamp};
use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;

/// The longest line that is read: far above what the server tells in one.
const LINE_BYTES: u64 = 1024 * 1024;

/// Something that the server tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// These runs changed, each as it stands now.
    Runs(Vec<ChangedRun>),
    /// More changed than was told: look again.
    Missed,
    /// Other jobs are loaded: look again.
    Catalog,
    /// Nothing happened, and the server is there.
    Nothing,
}

/// A run that changed, as the stream tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ChangedRun {
    /// Its id.
    pub id: RunId,
    /// Its job.
    pub job: JobId,
    /// Its state.
    pub state: RunState,
    /// The number of its latest attempt; 0 before the first.
    pub attempt: u32,
    /// When it is, or was, due.
    pub scheduled_at: Timestamp,
}

/// The server's stream. It ends when the server ends it, after 15 minutes for instance; an error where the connection broke.
#[derive(Debug)]
pub struct Changes<R> {
    lines: R,
    server: String,
    /// The event that the lines since the last empty one are of.
    event: String,
    data: String,
}

impl Client {
    /// Begins to tell what changes from now on.
    pub fn changes(&self) -> Result<Changes<impl BufRead + use<>>, Error> {
        Ok(Changes::of(self.endless(&["stream"])?, self.server()))
    }
}

impl<R: BufRead> Changes<R> {
    fn of(lines: R, server: &str) -> Self {
        Self { lines, server: server.to_owned(), event: String::new(), data: String::new() }
    }

    /// The next line without its end; none where the stream ends.
    fn line(&mut self) -> Result<Option<String>, Error> {
        let mut line = String::new();
        let unreachable = |reason: String| Error::Unreachable { server: self.server.clone(), reason };
        let read = (&mut self.lines).take(LINE_BYTES).read_line(&mut line);
        match read.map_err(|error| unreachable(error.to_string()))? {
            0 => Ok(None),
            _ if line.ends_with('\n') => Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned())),
            _ => Err(unreachable("the stream breaks off in a line".to_owned())),
        }
    }

    /// What the lines up to the next empty one say; none where the stream ends, or where it is nothing that is known.
    fn told(&mut self) -> Result<Option<Change>, Error> {
        while let Some(line) = self.line()? {
            if line.is_empty() {
                let (event, data) = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
                match event.as_str() {
                    "run" => {
                        let runs = serde_json::from_str(&data).map_err(|error| Error::unexpected(&error))?;
                        return Ok(Some(Change::Runs(runs)));
                    }
                    "missed" => return Ok(Some(Change::Missed)),
                    "catalog" => return Ok(Some(Change::Catalog)),
                    // A later version may tell more.
                    _ => {}
                }
            } else if line.starts_with(':') {
                return Ok(Some(Change::Nothing));
            } else if let Some(event) = line.strip_prefix("event:") {
                event.trim_start().clone_into(&mut self.event);
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.trim_start());
            }
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for Changes<R> {
    type Item = Result<Change, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.told().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(text: &str) -> Vec<Result<Change, Error>> {
        Changes::of(text.as_bytes(), "http://127.0.0.1:1").collect()
    }

    #[test]
    fn a_stream_is_read_as_what_it_tells() {
        let text = "retry: 2000\n\n: still here\n\nevent: run\ndata: [{\"id\":\"run_01J00000000000000000000000\",\
                    \"job\":\"a\",\"state\":\"dead\",\"attempt\":2,\"scheduled_at\":\"2026-03-01T09:00:00.000Z\"}]\n\n\
                    event: later\ndata: {}\n\nevent: catalog\ndata: {}\n\nevent: missed\ndata: {}\n\n";
        let told: Vec<Change> = changes(text).into_iter().map(|change| change.expect("understood")).collect();
        let [Change::Nothing, Change::Runs(runs), Change::Catalog, Change::Missed] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!((runs[0].job.as_str(), runs[0].state, runs[0].attempt), ("a", RunState::Dead, 2));
    }

    #[test]
    fn a_stream_that_breaks_off_is_a_server_that_went_away() {
        let told = changes("event: missed\ndata: {}\n\nevent: ru");
        assert!(matches!(told.as_slice(), [Ok(Change::Missed), Err(error)] if error.is_passing()), "{told:?}");
        let told = changes("event: run\ndata: {}\n\n");
        assert!(matches!(told.as_slice(), [Err(Error::UnexpectedAnswer { .. })]), "{told:?}");
    }
}
