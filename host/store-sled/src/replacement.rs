//! A store that takes the place of another: made beside it, renamed when it is whole, and moved in at the next opening.
//! A cut at any moment leaves the one or the other; what it leaves beside them is cleared away at the next opening.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::components;
use crate::open::{Attempt as _, OpenError, is_there, parent, sync, unlocked};

/// The place beside a store for another with this ending.
fn beside(directory: &Path, ending: &str) -> PathBuf {
    let mut name = directory.file_name().map_or_else(OsString::new, OsString::from);
    name.push(ending);
    parent(directory).join(name)
}

fn unfinished(directory: &Path) -> PathBuf {
    beside(directory, ".rewriting")
}

fn finished(directory: &Path) -> PathBuf {
    beside(directory, ".rewritten")
}

fn replaced(directory: &Path) -> PathBuf {
    beside(directory, ".replaced")
}

/// Where the new store is made. Nothing is there.
pub(crate) fn begin(directory: &Path) -> Result<PathBuf, OpenError> {
    let unfinished = unfinished(&std::path::absolute(directory).to("find", directory)?);
    remove(&unfinished)?;
    Ok(unfinished)
}

/// The new store is whole and closed.
pub(crate) fn finish(directory: &Path) -> Result<(), OpenError> {
    let directory = &std::path::absolute(directory).to("find", directory)?;
    let (unfinished, finished) = (unfinished(directory), finished(directory));
    // sled writes until the last of its threads has ended.
    unlocked(&unfinished)?;
    fs::rename(&unfinished, &finished).to("rename", &unfinished)?;
    sync(parent(directory))
}

/// Moves a new store in, if there is one, and clears away what a cut replacement left.
pub(crate) fn put_in_place(directory: &Path) -> Result<(), OpenError> {
    let (unfinished, finished, replaced) = (unfinished(directory), finished(directory), replaced(directory));
    if ![&unfinished, &finished, &replaced].iter().any(|path| path.exists()) {
        return Ok(());
    }
    let is_there = is_there(directory)?;
    if is_there {
        // Whoever has it open may be about to replace it.
        unlocked(directory)?;
    }
    if finished.exists() {
        if is_there {
            remove(&replaced)?;
            // Cut off after this, the next opening still finds the new store, and moves it in.
            components::move_along(directory, &finished).to("move the components of", directory)?;
            fs::rename(directory, &replaced).to("rename", directory)?;
        }
        fs::rename(&finished, directory).to("rename", &finished)?;
        sync(parent(directory))?;
    }
    remove(&replaced)?;
    remove(&unfinished)
}

fn remove(directory: &Path) -> Result<(), OpenError> {
    if !directory.exists() {
        return Ok(());
    }
    fs::remove_dir_all(directory).to("remove", directory)?;
    sync(parent(directory))
}
