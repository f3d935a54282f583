//! `jobmill store export`: everything that is kept, as lines of JSON, to the standard output or into a file.
//! What the lines say is the store's to know.

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;

use jobmill_store::{Query as _, portable};

use super::DataPlace;
use super::keeper::{Keeper, failed};
use super::progress::Progress;
use crate::commands::Context;
use crate::failure::Failure;
use crate::machine;
use crate::output::{count, size};

/// How the last line begins. An export without it was cut off.
const END: &[u8] = b"{\"end\":";
/// The first and the last line, which are no records.
const FRAME_LINES: usize = 2;

pub(super) fn export(place: &DataPlace, file: Option<&Path>, context: &Context) -> Result<(), Failure> {
    let keeper = Keeper::find(place, &place.config()?, context)?;
    let mut progress = Progress::begin("exporting", None, context.output);
    match file {
        None => {
            let mut stdout = BufWriter::new(io::stdout().lock());
            copy(keeper, &mut stdout, &mut progress, Failure::from)?;
            stdout.flush()?;
        }
        Some(path) => {
            // It appears under its name when it is whole, readable for its owner alone: mails and payloads are in it.
            let refused = |error: io::Error| unwritable(path, &error);
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut unfinished =
                tempfile::Builder::new().prefix(".jobmill-export-").tempfile_in(directory).map_err(refused)?;
            let mut writer = BufWriter::new(unfinished.as_file_mut());
            copy(keeper, &mut writer, &mut progress, refused)?;
            writer.flush().map_err(refused)?;
            drop(writer);
            unfinished.as_file().sync_all().map_err(refused)?;
            unfinished.persist(path).map_err(|error| refused(error.error))?;
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(refused)?;
        }
    }
    progress.end();
    let records = count(progress.lines.saturating_sub(FRAME_LINES), "record");
    let to = file.map(|path| format!(" to {}", path.display())).unwrap_or_default();
    context.output.note(&format!("exported {records}, {}{to}", size(progress.bytes)));
    Ok(())
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new("unwritable", format!("{} can't be written: {error}", path.display()))
}

/// Writes the lines as they come.
fn copy(
    keeper: Keeper,
    writer: &mut impl Write,
    progress: &mut Progress,
    refused: impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    match keeper {
        Keeper::Here(open) => {
            let export = open.ask(open.store.export())?;
            for line in portable::lines(export, machine::now()) {
                let line = line.map_err(failed)?;
                writer.write_all(line.as_bytes()).map_err(&refused)?;
                progress.add(line.as_bytes());
            }
            open.close()
        }
        Keeper::Server(client) => {
            let cut_off = |reason: &str| Failure::new("export-cut-off", format!("the export is not whole: {reason}"));
            let mut answer = client.export_store()?;
            let mut line = Vec::new();
            let mut is_whole = false;
            loop {
                line.clear();
                if answer.read_until(b'\n', &mut line).map_err(|error| cut_off(&error.to_string()))? == 0 {
                    break;
                }
                is_whole = line.starts_with(END);
                writer.write_all(&line).map_err(&refused)?;
                progress.add(&line);
            }
            if is_whole { Ok(()) } else { Err(cut_off("the server ended it early; its log says why")) }
        }
    }
}
