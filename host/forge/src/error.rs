//! What can go wrong while a job is made.
//! It decides no exit code: the command line does.

use std::path::PathBuf;

/// Why a job could not be scaffolded, built or installed. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// A program that is needed could not be started.
    #[error(
        "{program} could not be started ({source}); install Rust from https://rustup.rs and make sure that it is on the PATH"
    )]
    ProgramMissing {
        /// The program.
        program: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A program that was asked a question answered nothing of use.
    #[error("`{command}` failed: {output}")]
    ProgramFailed {
        /// The command with its arguments.
        command: String,
        /// What it said.
        output: String,
    },
    /// This machine can't compile for `wasm32-wasip2`.
    #[error(
        "this machine can't compile jobs yet: {reasons}.\nDo one of these, then try again:\n{advice}",
        reasons = .reasons.join("; "),
        advice = .advice.iter().map(|line| format!("  * {line}")).collect::<Vec<_>>().join("\n")
    )]
    NoToolchain {
        /// What was tried, and what each attempt lacked.
        reasons: Vec<String>,
        /// Commands that would help.
        advice: Vec<String>,
    },
    /// Neither a job crate nor a directory of such crates.
    #[error("{} holds no job: a job is a crate that depends on jobmill-sdk; make one by `jobmill new NAME`", .directory.display())]
    NoJobs {
        /// Where a job was looked for.
        directory: PathBuf,
    },
    /// A manifest that can't be read.
    #[error("{} can't be read as a Cargo manifest: {reason}", .path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Cargo could not make sense of the crate or its workspace.
    #[error("cargo could not read {}: {reason}", .manifest.display())]
    Metadata {
        /// The manifest.
        manifest: PathBuf,
        /// What cargo said.
        reason: String,
    },
    /// The code does not compile.
    #[error("the build of {crates} failed:\n{diagnostics}")]
    Compile {
        /// The crates that were built together.
        crates: String,
        /// The errors of rustc, or what cargo said last.
        diagnostics: String,
    },
    /// The crate compiles, but not to a component.
    #[error(
        "{name} was built, but made no component; its Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\", \"rlib\"]`"
    )]
    NoComponent {
        /// The crate.
        name: String,
    },
    /// A name that can't be a job's.
    #[error("{name:?} can't be the name of a job: {rule}")]
    BadName {
        /// The name.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Something is in the way of a new job crate.
    #[error("{} exists already; choose another name or another `--path`, nothing was changed", .path.display())]
    Exists {
        /// What is in the way.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("can't {action} {}: {source}", .path.display())]
    File {
        /// What was tried, such as `write`.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl ForgeError {
    /// For `map_err` of a file operation.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
