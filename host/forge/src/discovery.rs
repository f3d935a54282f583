//! Finds job crates: a job is a crate that depends on `jobmill-sdk`.
//! It asks no cargo, so that looking costs nothing and works on a manifest that does not resolve yet.

use crate::ForgeError;
use std::fs;
use std::path::{Path, PathBuf};
use toml::Table;

const SDK: &str = "jobmill-sdk";

/// The crate of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCrate {
    /// The package's name, which is also the name of its file in the hopper.
    pub name: String,
    /// Where its manifest lies.
    pub directory: PathBuf,
}

/// The job crates at `directory`: the directory itself, or those right below it, by name.
pub fn discover(directory: &Path) -> Result<Vec<JobCrate>, ForgeError> {
    if let Some(job) = job_at(directory)? {
        return Ok(vec![job]);
    }
    let mut jobs = Vec::new();
    let unreadable = |source| ForgeError::File { action: "read", path: directory.to_owned(), source };
    for entry in directory.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            jobs.extend(job_at(&path)?);
        }
    }
    jobs.sort_by(|one, other| one.name.cmp(&other.name));
    if jobs.is_empty() {
        return Err(ForgeError::NoJobs { directory: directory.to_owned() });
    }
    Ok(jobs)
}

fn job_at(directory: &Path) -> Result<Option<JobCrate>, ForgeError> {
    let path = directory.join("Cargo.toml");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ForgeError::File { action: "read", path, source });
        }
    };
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => {
            return Err(ForgeError::BadManifest { path, reason: error.to_string() });
        }
    };
    if !manifest
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .is_some_and(|dependencies| dependencies.contains_key(SDK))
    {
        return Ok(None);
    }
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    match name {
        Some(name) => Ok(Some(JobCrate { name: name.to_owned(), directory: directory.to_owned() })),
        None => Err(ForgeError::BadManifest { path, reason: "it has no package.name".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::{JobCrate, discover};
    use crate::ForgeError;
    use std::fs;
    use std::path::Path;
    use tempfile::tempdir;

    fn write_crate(directory: &Path, name: &str, dependencies: &str) {
        fs::create_dir_all(directory).unwrap();
        let manifest = format!("[package]\nname = \"{name}\"\n\n[dependencies]\n{dependencies}\n");
        fs::write(directory.join("Cargo.toml"), manifest).unwrap();
    }

    #[test]
    fn a_crate_that_depends_on_the_sdk_is_a_job() {
        let root = tempdir().unwrap();
        write_crate(root.path(), "reminder", "jobmill-sdk.workspace = true");
        let expected = JobCrate { name: "reminder".into(), directory: root.path().into() };
        assert_eq!(discover(root.path()).unwrap(), [expected]);
    }

    #[test]
    fn a_directory_of_crates_gives_its_jobs_by_name_and_leaves_out_the_rest() {
        let root = tempdir().unwrap();
        write_crate(&root.path().join("b"), "zebra", "jobmill-sdk = { path = \"../sdk\" }");
        write_crate(&root.path().join("z"), "antelope", "jobmill-sdk = \"0.1\"");
        write_crate(&root.path().join("c"), "shared-words", "serde = \"1\"");
        fs::create_dir(root.path().join("target")).unwrap();
        let names: Vec<String> = discover(root.path()).unwrap().into_iter().map(|job| job.name).collect();
        assert_eq!(names, ["antelope", "zebra"]);
    }

    #[test]
    fn a_directory_without_jobs_is_an_error_that_says_how_to_make_one() {
        let root = tempdir().unwrap();
        let error = discover(root.path()).unwrap_err();
        assert!(error.to_string().contains("make one by `jobmill new NAME`"), "{error}");
    }

    #[test]
    fn a_manifest_that_is_not_toml_is_named() {
        let root = tempdir().unwrap();
        fs::write(root.path().join("Cargo.toml"), "[package").unwrap();
        assert!(matches!(discover(root.path()), Err(ForgeError::BadManifest { .. })));
    }
}
