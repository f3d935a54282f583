//! Puts a component into the hopper, so that whoever watches it sees the old file or the new one and nothing between.
//! It does not look into the component.

use crate::{Component, ForgeError};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::Builder;

/// A component in the hopper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Where it lies.
    pub path: PathBuf,
    /// Whether the file is new or has new bytes.
    pub changed: bool,
    /// Its size in bytes.
    pub size: u64,
}

/// Put the component into the hopper under its package's name. A file with the same bytes is left alone.
pub fn install(component: &Component, hopper: &Path) -> Result<Installed, ForgeError> {
    let bytes = fs::read(&component.path).map_err(ForgeError::file("read", &component.path))?;
    let path = hopper.join(format!("{}.wasm", component.name));
    let size = bytes.len() as u64;
    if fs::read(&path).is_ok_and(|present| present == bytes) {
        return Ok(Installed { path, changed: false, size });
    }
    fs::create_dir_all(hopper).map_err(ForgeError::file("create", hopper))?;
    replace(hopper, &path, &bytes).map_err(ForgeError::file("write", &path))?;
    Ok(Installed { path, changed: true, size })
}

fn replace(hopper: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Hidden, so that the hopper does not take it for a job.
    let mut builder = Builder::new();
    builder.prefix(".").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The engine may run as somebody else.
        builder.permissions(fs::Permissions::from_mode(0o644));
    }
    let mut file = builder.tempfile_in(hopper)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The new name is durable once its directory is.
    #[cfg(unix)]
    File::open(hopper)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::install;
    use crate::Component;
    use std::fs;
    use tempfile::tempdir;

    #[test]
    fn the_hopper_is_made_and_holds_nothing_but_the_component() {
        let root = tempdir().unwrap();
        let component = Component { name: "reminder".into(), path: root.path().join("reminder.wasm") };
        fs::write(&component.path, b"one").unwrap();
        let hopper = root.path().join("deep/hopper");

        let installed = install(&component, &hopper).unwrap();
        assert_eq!((installed.changed, installed.size), (true, 3));
        assert_eq!(installed.path, hopper.join("reminder.wasm"));
        assert_eq!(fs::read(&installed.path).unwrap(), b"one");
        assert_eq!(hopper.read_dir().unwrap().count(), 1);
    }

    #[test]
    fn the_same_bytes_are_left_alone_and_new_ones_replace() {
        let root = tempdir().unwrap();
        let component = Component { name: "reminder".into(), path: root.path().join("reminder.wasm") };
        fs::write(&component.path, b"one").unwrap();
        install(&component, root.path().join("hopper").as_path()).unwrap();
        let again = install(&component, root.path().join("hopper").as_path()).unwrap();
        assert!(!again.changed);

        fs::write(&component.path, b"two").unwrap();
        let replaced = install(&component, root.path().join("hopper").as_path()).unwrap();
        assert!(replaced.changed);
        assert_eq!(fs::read(replaced.path).unwrap(), b"two");
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_the_component() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempdir().unwrap();
        let component = Component { name: "reminder".into(), path: root.path().join("reminder.wasm") };
        fs::write(&component.path, b"one").unwrap();
        let installed = install(&component, &root.path().join("hopper")).unwrap();
        assert_eq!(fs::metadata(installed.path).unwrap().permissions().mode() & 0o044, 0o044);
    }
}
