//! `--watch`: lists that go on until Ctrl-C. What changes is told by the server's stream; nothing is asked for in vain.
//! `stream` hears, `screen` replaces what was written; which lists there are is the commands' to know.

mod screen;
mod stream;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clap::Args;
use jobmill_client::{Client, Page};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use self::screen::Screen;
pub(crate) use self::stream::Stream;
use crate::args::Format;
use crate::commands::Context;
use crate::failure::Failure;
use crate::machine;

/// The least time between two tables: nobody reads faster.
const PACE: Duration = Duration::from_secs(1);

/// Whether a list goes on.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Watch {
    /// Go on and show what changes as it happens, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

/// A list as it was looked at.
pub(crate) struct Looked<T> {
    /// Its items as the server sent them.
    pub(crate) texts: Vec<Box<RawValue>>,
    /// Its items; an error where one has another shape, which concerns tables alone.
    pub(crate) items: Result<Vec<T>, Failure>,
    /// Where the next page begins.
    pub(crate) next_cursor: Option<String>,
}

impl<T: DeserializeOwned> From<Page<T>> for Looked<T> {
    fn from(page: Page<T>) -> Self {
        Self {
            texts: page.texts().to_vec(),
            next_cursor: page.next_cursor().map(str::to_owned),
            items: page.items().map_err(Failure::from),
        }
    }
}

impl Watch {
    /// Whether it does. A list that goes on is no one document.
    pub(crate) fn goes_on(self, context: &Context) -> Result<bool, Failure> {
        if self.watch && context.output.format == Format::Json {
            return Err(Failure::usage(
                "endless-document",
                "a list that is watched has no end, so it is no one JSON document",
            )
            .advise("take -o jsonl, one item a line"));
        }
        Ok(self.watch)
    }

    /// Shows a list once, or again whenever it is another. `empty` is said instead of an empty table.
    pub(crate) fn show<T>(
        self,
        context: &Context,
        empty: &str,
        look: impl Fn(&Client) -> Result<Looked<T>, Failure>,
        table: impl Fn(&[T]) -> String,
    ) -> Result<(), Failure> {
        if !self.goes_on(context)? {
            let Looked { texts, items, next_cursor } = look(&context.client()?)?;
            return context.output.list(&texts, next_cursor.as_deref(), empty, || Ok(table(&items?)));
        }
        let mut stream = Stream::open(context)?;
        let mut screen = Screen::default();
        let mut shown = None;
        loop {
            let looked = stream.patiently(&look)?;
            let looked_at = machine::moment();
            let texts: Vec<String> = looked.texts.iter().map(|text| text.get().to_owned()).collect();
            if shown.as_ref() != Some(&texts) {
                if context.output.format == Format::Jsonl {
                    changed_items(context, &looked.texts, shown.as_deref().unwrap_or_default())?;
                } else if stream.has_spoken() {
                    screen.forget();
                }
                if context.output.format == Format::Table {
                    let text = if texts.is_empty() { empty.to_owned() } else { table(&looked.items?) };
                    screen.write(&text)?;
                }
                shown = Some(texts);
            }
            stream.wait()?;
            until(&mut stream, looked_at + PACE)?;
        }
    }
}

/// Writes the items that are not as they were.
fn changed_items(context: &Context, items: &[Box<RawValue>], before: &[String]) -> Result<(), Failure> {
    let before: HashSet<&str> = before.iter().map(String::as_str).collect();
    let changed: Vec<Box<RawValue>> = items.iter().filter(|item| !before.contains(item.get())).cloned().collect();
    context.output.list(&changed, None, "", || Ok(String::new()))
}

/// Takes in what happens until then: one look is enough for all of it.
fn until(stream: &mut Stream, at: Instant) -> Result<(), Failure> {
    loop {
        let left = at.saturating_duration_since(machine::moment());
        if left.is_zero() {
            return Ok(());
        }
        stream.next(left)?;
    }
}
