//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md that no compiler checks.
//! Each finding names the file and the rule; it changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::workspace::root;

/// Which crates of the workspace each crate may name.
const ARROWS: [(&str, &[&str]); 13] = [
    ("jobmill-core", &[]),
    ("jobmill-store", &["jobmill-core"]),
    ("jobmill-store-sled", &["jobmill-core", "jobmill-store"]),
    ("jobmill-engine", &["jobmill-core", "jobmill-store"]),
    ("jobmill-backends", &["jobmill-core", "jobmill-store", "jobmill-webhooks"]),
    ("jobmill-runtime", &["jobmill-core", "jobmill-engine", "jobmill-backends"]),
    ("jobmill-webhooks", &["jobmill-core"]),
    ("jobmill-server", &["jobmill-core", "jobmill-engine", "jobmill-store", "jobmill-webhooks"]),
    ("jobmill-forge", &[]),
    ("jobmill-client", &["jobmill-core"]),
    ("jobmill-sdk", &["jobmill-sdk-macros"]),
    ("jobmill-sdk-macros", &[]),
    ("jobmill-tests", &[]),
];

/// Crates from outside that only these crates may name.
const OWNERS: [(&str, &[&str]); 10] = [
    ("wasmtime", &["jobmill-runtime"]),
    ("wasmtime-wasi", &["jobmill-runtime"]),
    ("wasmtime-wasi-config", &["jobmill-runtime"]),
    ("wasmtime-wasi-http", &["jobmill-runtime"]),
    ("sled", &["jobmill-store-sled"]),
    ("axum", &["jobmill-server"]),
    ("lettre", &["jobmill-backends"]),
    ("wit-bindgen", &["jobmill-sdk"]),
    ("ureq", &["jobmill-client"]),
    ("anyhow", &["jobmill-cli", "xtask"]),
];

/// Crates that the pure core must do without.
const NOT_IN_CORE: [&str; 4] = ["tokio", "tracing", "futures", "async-trait"];

const LINES: usize = 500;

/// The one file that may hold unsafe code, and how often the word stands in it beside comments: the expectation, and the block.
const UNSAFE: (&str, usize) = ("host/runtime/src/cache.rs", 2);

pub(crate) fn check() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let mut findings = Vec::new();
    check_arrows(&metadata, &mut findings);
    check_reasons(&mut findings)?;
    for path in tracked()? {
        check_file(&path, &mut findings)?;
    }
    check_changelog(&mut findings)?;
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    bail!("{} findings; ARCHITECTURE.md tells the reasons", findings.len());
}

fn check_arrows(metadata: &Metadata, findings: &mut Vec<String>) {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        for dependency in package.dependencies.iter().filter(|it| it.kind != DependencyKind::Development) {
            let on = dependency.name.as_str();
            if let Some(allowed) = arrows.get(name)
                && on.starts_with("jobmill-")
                && !allowed.contains(&on)
            {
                findings.push(format!("{name}: must not depend on {on}"));
            }
            for (owned, owners) in OWNERS {
                if on == owned && !owners.contains(&name) {
                    findings.push(format!("{name}: only {} may name {owned}", owners.join(" and ")));
                }
            }
            if name == "jobmill-core" && NOT_IN_CORE.contains(&on) {
                findings.push(format!("{name}: is pure and must do without {on}"));
            }
        }
    }
}

/// Each dependency of the workspace says why it is there.
fn check_reasons(findings: &mut Vec<String>) -> anyhow::Result<()> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let section = manifest.split("\n[").find(|section| section.starts_with("workspace.dependencies]"));
    for line in section.context("Cargo.toml has no [workspace.dependencies]")?.lines().skip(1) {
        let own = line.is_empty() || line.starts_with('#') || line.contains("path = ");
        if !own && !line.contains(" # ") {
            findings.push(format!("Cargo.toml: {line:?} has no reason beside it"));
        }
    }
    Ok(())
}

/// Files of the checkout that git knows or would take in.
fn tracked() -> anyhow::Result<Vec<PathBuf>> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("git could not be started")?;
    let names = String::from_utf8(listing.stdout)?;
    Ok(names.lines().map(PathBuf::from).filter(|path| root().join(path).is_file()).collect())
}

fn check_file(path: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if !matches!(extension, "rs" | "toml" | "md" | "wit" | "html" | "css") {
        return Ok(());
    }
    let text = fs::read_to_string(root().join(path)).with_context(|| path.display().to_string())?;
    let mut find = |line: usize, rule: &str| findings.push(format!("{}:{line}: {rule}", path.display()));
    for (number, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            find(number + 1, "white space at the end of the line");
        }
        // Spelled apart, so that this file passes.
        for mark in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX:"), concat!("HA", "CK:")] {
            if line.contains(mark) {
                find(number + 1, "a mark that something is left to do; do it or leave it out");
            }
        }
        if path.starts_with("host/core") && line.contains("async fn") {
            find(number + 1, "the core is pure: no async");
        }
    }
    if extension == "rs" {
        let compile_fail = path.components().any(|part| part.as_os_str() == "refusals");
        if !text.starts_with("//!") && !compile_fail {
            find(1, "a module begins with a //! line that says what it is for");
        }
        let unsafe_lines = unsafe_lines(&text);
        let (file, expected) = UNSAFE;
        let allowed = if path == Path::new(file) { expected } else { 0 };
        if unsafe_lines.len() > allowed {
            let line = unsafe_lines.last().copied().unwrap_or(1);
            find(line, "unsafe code stands in one place only, where code is taken from the cache");
        }
        if text.lines().count() > LINES {
            find(LINES, "a file has at most 500 lines");
        }
    }
    Ok(())
}

/// The lines with unsafe code, or with leave to have some.
fn unsafe_lines(text: &str) -> Vec<usize> {
    // Spelled apart, so that this file passes.
    let marks =
        [concat!("uns", "afe_code"), concat!("uns", "afe {"), concat!("uns", "afe fn"), concat!("uns", "afe impl")];
    let is_code = |line: &str| !line.trim_start().starts_with("//") && marks.iter().any(|mark| line.contains(mark));
    text.lines().enumerate().filter(|(_, line)| is_code(line)).map(|(number, _)| number + 1).collect()
}

/// Keep a Changelog: an Unreleased section first, then versions with their dates.
fn check_changelog(findings: &mut Vec<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).context("CHANGELOG.md is missing")?;
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    if headings.first() != Some(&"[Unreleased]") {
        findings.push("CHANGELOG.md: the first section must be [Unreleased]".to_owned());
    }
    for heading in headings.iter().skip(1) {
        let dated = heading.starts_with('[') && heading.split_once("] - ").is_some_and(|(_, date)| date.len() == 10);
        if !dated {
            findings.push(format!("CHANGELOG.md: {heading:?} should look like [1.2.3] - 2026-03-01"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_is_not_safe_is_found_and_comments_are_not() {
        let block = concat!("    uns", "afe { call() }");
        let expectation = concat!("#[expect(uns", "afe_code, reason = \"one place\")]");
        let comment = concat!("// never uns", "afe { }");
        let text = [comment, expectation, "fn safe() {", block, "}"].join("\n");
        assert_eq!(unsafe_lines(&text), [2, 4]);
    }
}
