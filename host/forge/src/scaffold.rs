//! Writes the crate of a new job, with a test that passes.
//! It neither builds nor runs it.

use crate::{ForgeError, JobName, sdk_source};
use std::fs;
use std::path::{Path, PathBuf};

const MANIFEST: &str = include_str!("../template/manifest.toml");
const OWN_WORKSPACE: &str = include_str!("../template/workspace.toml");
const LIBRARY: &str = include_str!("../template/lib.rs");
const IGNORED: &str = "/target\n";
/// Where cargo looks for the settings of a crate.
const SETTINGS: &str = ".cargo/config.toml";

/// A new job crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaffold {
    /// Where it lies.
    pub directory: PathBuf,
    /// Where it gets the SDK from.
    pub sdk: SdkDependency,
    /// The files that were written for people to edit, relative to the directory.
    pub files: Vec<PathBuf>,
}

/// Where a new job crate gets the SDK from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdkDependency {
    /// The checkout of Jobmill that the crate lies in; the path is relative to the crate.
    Checkout(PathBuf),
    /// A copy of the SDK's source in the crate; the path is relative to the crate.
    Vendored(PathBuf),
}

/// Write the crate of the job `name` to `directory`, which must not exist yet.
pub fn scaffold(name: &JobName, directory: &Path) -> Result<Scaffold, ForgeError> {
    if directory.symlink_metadata().is_ok() {
        return Err(ForgeError::Exists { path: directory.to_owned() });
    }
    fs::create_dir_all(directory).map_err(ForgeError::file("create", directory))?;
    let place = directory.canonicalize().map_err(ForgeError::file("find", directory))?;
    let checkout = Checkout::around(&place);

    let sdk = match &checkout {
        Some(checkout) => SdkDependency::Checkout(checkout.sdk_seen_from_the_crate.clone()),
        None => SdkDependency::Vendored(sdk_source::vendor(directory)?),
    };
    let (SdkDependency::Checkout(path) | SdkDependency::Vendored(path)) = &sdk;
    let mut manifest = filled(MANIFEST, name).replace("__sdk__", &path.to_string_lossy().replace('\\', "/"));
    // A crate among the checkout's jobs belongs to its workspace already.
    if !checkout.as_ref().is_some_and(|checkout| checkout.is_place_of_jobs) {
        manifest.push_str(OWN_WORKSPACE);
        if let Some(checkout) = &checkout {
            checkout.share_builds_with(directory)?;
        }
    }

    let mut files = Vec::new();
    let library = filled(LIBRARY, name);
    for (file, text) in [("Cargo.toml", &*manifest), ("src/lib.rs", &*library), (".gitignore", IGNORED)] {
        write(&directory.join(file), text.as_bytes())?;
        files.push(file.into());
    }
    Ok(Scaffold { directory: directory.to_owned(), sdk, files })
}

/// Write a file and the directories that lead to it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ForgeError> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(ForgeError::file("create", directory))?;
    }
    fs::write(path, bytes).map_err(ForgeError::file("write", path))
}

fn filled(template: &str, name: &JobName) -> String {
    template
        .replace("__name__", name.as_str())
        .replace("__title__", &name.title())
        .replace("__function__", &name.function())
}

/// A checkout of this repository around a new crate.
struct Checkout {
    root: PathBuf,
    root_seen_from_the_crate: PathBuf,
    sdk_seen_from_the_crate: PathBuf,
    is_place_of_jobs: bool,
}

impl Checkout {
    fn around(place: &Path) -> Option<Self> {
        let depth = place.ancestors().skip(1).position(is_checkout)? + 1;
        let root = place.ancestors().nth(depth)?;
        let root_seen_from_the_crate: PathBuf = std::iter::repeat_n("..", depth).collect();
        Some(Self {
            root: root.to_owned(),
            sdk_seen_from_the_crate: root_seen_from_the_crate.join("guest-sdk"),
            root_seen_from_the_crate,
            is_place_of_jobs: place.parent() == Some(&root.join("jobs")),
        })
    }

    /// What the checkout has compiled already, the standard library above all, need not be compiled again: the crate gets
    /// the same target directory and begins with the same versions of everything.
    fn share_builds_with(&self, directory: &Path) -> Result<(), ForgeError> {
        let target = self.root_seen_from_the_crate.join("target");
        let settings = format!("[build]\ntarget-dir = \"{}\"\n", target.to_string_lossy().replace('\\', "/"));
        write(&directory.join(SETTINGS), settings.as_bytes())?;
        let locked = self.root.join("Cargo.lock");
        match fs::read(&locked) {
            Ok(bytes) => write(&directory.join("Cargo.lock"), &bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(ForgeError::file("read", &locked)(error)),
        }
    }
}

fn is_checkout(directory: &Path) -> bool {
    let manifest = fs::read_to_string(directory.join("guest-sdk/Cargo.toml"));
    manifest.is_ok_and(|text| text.contains("name = \"jobmill-sdk\"")) && directory.join("wit/world.wit").is_file()
}

#[cfg(test)]
mod tests {
    use super::{SdkDependency, scaffold};
    use crate::{ForgeError, JobName, discover};
    use std::fs;
    use std::path::Path;
    use tempfile::tempdir;

    fn name() -> JobName {
        "order-reminder".parse().unwrap()
    }

    fn write_checkout(root: &Path) {
        for (file, text) in [("guest-sdk/Cargo.toml", "name = \"jobmill-sdk\"\n"), ("wit/world.wit", "")] {
            super::write(&root.join(file), text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_new_crate_is_found_as_a_job_and_bears_its_name_everywhere() {
        let root = tempdir().unwrap();
        let directory = root.path().join("order-reminder");
        let made = scaffold(&name(), &directory).unwrap();
        assert_eq!(made.files, [Path::new("Cargo.toml"), Path::new("src/lib.rs"), Path::new(".gitignore")]);
        assert_eq!(discover(&directory).unwrap()[0].name, "order-reminder");

        let library = fs::read_to_string(directory.join("src/lib.rs")).unwrap();
        for part in [
            "fn order_reminder(context: &Context",
            "title = \"Order reminder\"",
            "event = \"order-reminder\"",
            "Message::new(\"order-reminder\"",
            "format!(\"Hello, {name}!\")",
        ] {
            assert!(library.contains(part), "{part} is missing in {library}");
        }
        assert!(!library.contains("__"), "{library}");
    }

    #[test]
    fn outside_of_a_checkout_the_sdk_comes_along() {
        let root = tempdir().unwrap();
        let directory = root.path().join("order-reminder");
        let made = scaffold(&name(), &directory).unwrap();
        assert_eq!(made.sdk, SdkDependency::Vendored("vendor/jobmill-sdk".into()));
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("jobmill-sdk = { path = \"vendor/jobmill-sdk\" }"), "{manifest}");
        assert!(manifest.contains("[workspace]"), "{manifest}");
    }

    #[test]
    fn inside_of_a_checkout_its_sdk_is_used() {
        let root = tempdir().unwrap();
        write_checkout(root.path());
        let directory = root.path().join("scratch/deep/order-reminder");
        let made = scaffold(&name(), &directory).unwrap();
        assert_eq!(made.sdk, SdkDependency::Checkout("../../../guest-sdk".into()));
        assert!(fs::read_to_string(directory.join("Cargo.toml")).unwrap().contains("[workspace]"));
        assert!(!directory.join("vendor").exists());
        let settings = fs::read_to_string(directory.join(".cargo/config.toml")).unwrap();
        assert_eq!(settings, "[build]\ntarget-dir = \"../../../target\"\n");
    }

    #[test]
    fn among_the_jobs_of_a_checkout_the_crate_joins_its_workspace() {
        let root = tempdir().unwrap();
        write_checkout(root.path());
        let directory = root.path().join("jobs/order-reminder");
        let made = scaffold(&name(), &directory).unwrap();
        assert_eq!(made.sdk, SdkDependency::Checkout("../../guest-sdk".into()));
        assert!(!fs::read_to_string(directory.join("Cargo.toml")).unwrap().contains("[workspace]"));
    }

    #[test]
    fn what_exists_is_left_alone() {
        let root = tempdir().unwrap();
        assert!(matches!(scaffold(&name(), root.path()), Err(ForgeError::Exists { .. })));
        assert_eq!(root.path().read_dir().unwrap().count(), 0);
    }
}
