//! The SDK's source, which the binary carries: it is on no registry, and a job crate has to build anywhere.
//! It changes only the manifests, so that they stand without the workspace that they come from.

use crate::ForgeError;
use crate::scaffold::write;
use include_dir::{Dir, include_dir};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/src");
static MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/macros/src");
static SDK_WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/wit");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");
const SDK_MANIFEST: &str = include_str!("../../../guest-sdk/Cargo.toml");
const MACROS_MANIFEST: &str = include_str!("../../../guest-sdk/macros/Cargo.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../Cargo.toml");

/// Where a path of the workspace lies seen from the SDK, which keeps its macros below itself.
const SDK_IN_WORKSPACE: &str = "guest-sdk/";

/// Copy the SDK into the crate at `directory`; answers its place relative to the crate.
pub(crate) fn vendor(directory: &Path) -> Result<PathBuf, ForgeError> {
    let place = PathBuf::from("vendor/jobmill-sdk");
    let sdk = directory.join(&place);
    write(&sdk.join("Cargo.toml"), standalone(SDK_MANIFEST)?.as_bytes())?;
    write(&sdk.join("macros/Cargo.toml"), standalone(MACROS_MANIFEST)?.as_bytes())?;
    copy(&SDK, &sdk.join("src"))?;
    copy(&MACROS, &sdk.join("macros/src"))?;
    copy(&SDK_WIT, &sdk.join("wit"))?;
    // The bindings are generated from `../wit`, as in the repository.
    copy(&WIT, &directory.join("vendor/wit"))?;
    Ok(place)
}

fn copy(source: &Dir<'_>, target: &Path) -> Result<(), ForgeError> {
    for file in source.files() {
        write(&target.join(file.path()), file.contents())?;
    }
    // The path of an entry is relative to the outermost directory.
    source.dirs().try_for_each(|directory| copy(directory, target))
}

/// The manifest with everything that it inherits from the workspace written out; without what only the repository needs.
fn standalone(manifest: &str) -> Result<String, ForgeError> {
    let workspace = parse(WORKSPACE_MANIFEST)?;
    let section = |name| workspace.get("workspace").and_then(|table| table.get(name)).and_then(Value::as_table);
    let (Some(package), Some(dependencies)) = (section("package"), section("dependencies")) else {
        return Err(unusable("the workspace has no package or no dependencies"));
    };
    let mut manifest = parse(manifest)?;
    manifest.remove("dev-dependencies");
    manifest.remove("lints");
    if let Some(Value::Table(own)) = manifest.get_mut("package") {
        inherit(own, package)?;
    }
    if let Some(Value::Table(own)) = manifest.get_mut("dependencies") {
        inherit(own, dependencies)?;
    }
    if let Some(Value::Table(targets)) = manifest.get_mut("target") {
        for (_, target) in targets.iter_mut() {
            if let Some(Value::Table(own)) = target.get_mut("dependencies") {
                inherit(own, dependencies)?;
            }
        }
    }
    toml::to_string(&manifest).map_err(|error| unusable(&error.to_string()))
}

/// Replace each `name = { workspace = true }` by the workspace's value of that name.
fn inherit(own: &mut Table, shared: &Table) -> Result<(), ForgeError> {
    for (name, value) in own.iter_mut() {
        if value.get("workspace").and_then(Value::as_bool) != Some(true) {
            continue;
        }
        let mut inherited =
            shared.get(name).cloned().ok_or_else(|| unusable(&format!("{name} is not in the workspace")))?;
        if let Some(Value::String(path)) = inherited.get_mut("path") {
            *path = path.trim_start_matches(SDK_IN_WORKSPACE).to_owned();
        }
        *value = inherited;
    }
    Ok(())
}

fn parse(manifest: &str) -> Result<Table, ForgeError> {
    manifest.parse().map_err(|error: toml::de::Error| unusable(&error.to_string()))
}

/// The manifests are part of the binary, so this is a fault of its build.
fn unusable(reason: &str) -> ForgeError {
    ForgeError::BadManifest { path: "guest-sdk/Cargo.toml".into(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{MACROS_MANIFEST, SDK_MANIFEST, standalone, vendor};
    use std::fs;
    use tempfile::tempdir;

    #[test]
    fn a_vendored_manifest_needs_no_workspace() {
        for manifest in [SDK_MANIFEST, MACROS_MANIFEST] {
            let text = standalone(manifest).unwrap();
            assert!(!text.contains("workspace"), "{text}");
            assert!(!text.contains("dev-dependencies"), "{text}");
        }
        let sdk: toml::Table = standalone(SDK_MANIFEST).unwrap().parse().unwrap();
        assert_eq!(sdk["dependencies"]["jobmill-sdk-macros"]["path"].as_str(), Some("macros"));
        assert_eq!(sdk["package"]["edition"].as_str(), Some("2024"));
        let for_wasm = &sdk["target"]["cfg(target_family = \"wasm\")"]["dependencies"];
        assert!(for_wasm["wit-bindgen"]["version"].is_str(), "{for_wasm}");
    }

    #[test]
    fn every_source_file_comes_along() {
        let root = tempdir().unwrap();
        vendor(root.path()).unwrap();
        for file in
            ["src/lib.rs", "src/testing/mod.rs", "src/testing/world.rs", "macros/src/job.rs", "wit/deps/http.wit"]
        {
            let vendored = fs::read(root.path().join("vendor/jobmill-sdk").join(file)).unwrap();
            let original = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-sdk/").to_owned() + file;
            assert_eq!(vendored, fs::read(original).unwrap(), "{file}");
        }
        assert!(root.path().join("vendor/wit/world.wit").is_file());
    }
}
