//! Finds a way to compile for `wasm32-wasip2` on this machine, and says which.
//! It builds no job and changes no default: at most it adds the target to the toolchain in use.

use crate::ForgeError;
use crate::process::{answer, run_within};
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The target of every job.
const TARGET: &str = "wasm32-wasip2";

/// How long rustup may take when there is another way: long enough for a download, short enough for a closed network.
const PATIENCE_WITH_ALTERNATIVE: Duration = Duration::from_secs(15);
/// And when there is none, so that a slow line is no reason to give up.
const PATIENCE_WITHOUT_ALTERNATIVE: Duration = Duration::from_mins(5);
const PATIENCE_WITH_APT: Duration = Duration::from_mins(10);

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "wasi-libc"];
/// Debian's rustc, which its source package matches; a rustup toolchain may stand before it on the PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// Where Debian's `wasi-libc` puts the C library that `std` is linked with.
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";

/// Whether packages of the operating system may be installed to get a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packages {
    /// Use what is there.
    Keep,
    /// On Debian, as root, install what is missing.
    Install,
}

/// The way by which jobs are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The target's standard library was there.
    Present,
    /// rustup added it just now.
    Added,
    /// The standard library is compiled along, from sources that match the compiler.
    FromSource,
    /// The same, with packages that were installed just now.
    FromPackages,
}

/// A way to compile jobs, ready to use for any number of builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    way: Way,
    sources: Option<Sources>,
}

/// A compiler with the sources of its standard library, and what is needed to link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sources {
    rustc: PathBuf,
    version: String,
    /// Holds `wasm-component-ld` and `rust-lld`.
    linkers: PathBuf,
    libc: PathBuf,
}

/// The compiler that a plain `cargo build` would use.
struct Compiler {
    sysroot: PathBuf,
    host: String,
}

impl Toolchain {
    /// Find a way; `progress` hears what takes time.
    pub fn find(packages: Packages, progress: &mut dyn FnMut(&str)) -> Result<Self, ForgeError> {
        let compiler = Compiler::in_use()?;
        if compiler.has_target() {
            return Ok(Self { way: Way::Present, sources: None });
        }
        let sources = Sources::find(&compiler);
        let patience = if sources.is_ok() { PATIENCE_WITH_ALTERNATIVE } else { PATIENCE_WITHOUT_ALTERNATIVE };
        let no_rustup = match compiler.add_target(patience, progress) {
            Ok(()) => {
                return Ok(Self { way: Way::Added, sources: None });
            }
            Err(reason) => format!("rustup can't add {TARGET} ({reason})"),
        };
        let no_sources = match sources {
            Ok(sources) => {
                return Ok(Self { way: Way::FromSource, sources: Some(sources) });
            }
            Err(reason) => reason,
        };
        let no_packages = match packages {
            Packages::Keep => None,
            Packages::Install => match install_packages(progress).and_then(|()| Sources::find(&compiler)) {
                Ok(sources) => {
                    return Ok(Self { way: Way::FromPackages, sources: Some(sources) });
                }
                Err(reason) => Some(reason),
            },
        };
        let reasons = [Some(no_rustup), Some(no_sources), no_packages].into_iter().flatten().collect();
        Err(ForgeError::NoToolchain { reasons, advice: advice() })
    }

    /// The way that is there already: nothing is added, and no network is asked.
    pub fn at_hand() -> Result<Self, ForgeError> {
        let compiler = Compiler::in_use()?;
        if compiler.has_target() {
            return Ok(Self { way: Way::Present, sources: None });
        }
        match Sources::find(&compiler) {
            Ok(sources) => Ok(Self { way: Way::FromSource, sources: Some(sources) }),
            Err(reason) => {
                let reasons = vec![format!("{TARGET} is not installed"), reason];
                Err(ForgeError::NoToolchain { reasons, advice: advice() })
            }
        }
    }

    /// Which way it is.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Which way it is, in one line for people.
    pub fn summary(&self) -> String {
        let version = self.sources.as_ref().map_or("", |sources| sources.version.as_str());
        match self.way {
            Way::Present => format!("jobs are compiled with the installed target {TARGET}"),
            Way::Added => format!("jobs are compiled with the target {TARGET}, which rustup added just now"),
            Way::FromSource => format!("jobs are compiled by rustc {version} with std from its own sources"),
            Way::FromPackages => {
                let packages = DEBIAN_PACKAGES.join(", ");
                format!(
                    "jobs are compiled by rustc {version} with std from its own sources (installed {packages} just now)"
                )
            }
        }
    }

    /// The way of a machine that needs nothing.
    #[cfg(test)]
    pub(crate) fn present() -> Self {
        Self { way: Way::Present, sources: None }
    }

    /// Make a `cargo` command build for the target.
    ///
    /// `rustflags` are the caller's; flags from the environment are meant for the host's code and are left out.
    pub(crate) fn configure(&self, command: &mut Command, rustflags: &[&str]) {
        let mut flags: Vec<OsString> = rustflags.iter().map(OsString::from).collect();
        command.args(["--target", TARGET]).env_remove("RUSTFLAGS");
        if let Some(sources) = &self.sources {
            let mut search: OsString = "-L".into();
            search.push(&sources.libc);
            flags.push(search);
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", &sources.rustc)
                // Building `std` is an unstable feature of cargo; the sources are exactly those of this compiler.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("PATH", sources.path_with_linkers());
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\u{1f}")));
    }
}

impl Compiler {
    fn in_use() -> Result<Self, ForgeError> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let sysroot = answer(Command::new(&rustc).args(["--print", "sysroot"]))?;
        let host = answer(Command::new(&rustc).args(["--print", "host-tuple"]))?;
        Ok(Self { sysroot: sysroot.into(), host })
    }

    fn has_target(&self) -> bool {
        let libraries = self.sysroot.join("lib/rustlib").join(TARGET).join("lib");
        let Ok(mut entries) = libraries.read_dir() else {
            return false;
        };
        entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
    }

    fn linkers(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(&self.host).join("bin")
    }

    fn add_target(&self, patience: Duration, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
        // rustup keeps each toolchain in a directory of its name; by that name the target goes to the one in use.
        let toolchain = self.sysroot.file_name().filter(|_| is_rustups(&self.sysroot));
        let toolchain = toolchain.ok_or("the toolchain in use is not rustup's")?;
        progress(&format!("adding the target {TARGET} by rustup"));
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", TARGET, "--toolchain"]).arg(toolchain);
        run_within(&mut rustup, patience)
    }
}

impl Sources {
    /// The first compiler whose sources are here: the one in use, then the distribution's. `Err` says what is missing.
    fn find(compiler: &Compiler) -> Result<Self, String> {
        let libc = PathBuf::from(DEBIAN_LIBC);
        if !libc.join("libc.a").is_file() {
            return Err(format!("std can't be built from source, {DEBIAN_LIBC} holds no C library"));
        }
        let candidates = [compiler.sysroot.join("bin/rustc"), PathBuf::from(DEBIAN_RUSTC)];
        let (rustc, sysroot, version) = candidates.into_iter().find_map(with_matching_sources).ok_or_else(|| {
            let oldest = env!("CARGO_PKG_RUST_VERSION");
            format!("std can't be built from source, no compiler here of {oldest} or newer has its sources")
        })?;
        let own = Compiler { sysroot, host: compiler.host.clone() }.linkers();
        let linkers = [own, compiler.linkers()]
            .into_iter()
            .find(|directory| directory.join("wasm-component-ld").is_file() && directory.join("rust-lld").is_file())
            .ok_or("std can't be built from source, no toolchain here has wasm-component-ld")?;
        Ok(Self { rustc, version, linkers, libc })
    }

    /// `PATH` with the linkers in front; `gcc-ld` holds `rust-lld` under the name `wasm-ld` that is asked for.
    fn path_with_linkers(&self) -> OsString {
        let inherited = env::var_os("PATH").unwrap_or_default();
        let directories = [self.linkers.clone(), self.linkers.join("gcc-ld")];
        // Both directories exist, so neither can hold the separator that would make this fail.
        env::join_paths(directories.into_iter().chain(env::split_paths(&inherited))).unwrap_or(inherited)
    }
}

/// The compiler with its sysroot and version, if the sources of that very version are in the sysroot.
fn with_matching_sources(rustc: PathBuf) -> Option<(PathBuf, PathBuf, String)> {
    let sysroot = PathBuf::from(answer(Command::new(&rustc).args(["--print", "sysroot"])).ok()?);
    let sources = sysroot.join("lib/rustlib/src/rust");
    if !sources.join("library/Cargo.lock").is_file() {
        return None;
    }
    // `rustc 1.96.0 (…)`
    let version = answer(Command::new(&rustc).arg("--version")).ok()?.split(' ').nth(1)?.to_owned();
    // A distribution's sources carry their version and can be newer than its compiler. rustup's don't, and never are.
    let of_sources = std::fs::read_to_string(sources.join("src/version")).ok();
    let matches = of_sources.is_none_or(|of_sources| of_sources.trim() == version);
    (matches && is_new_enough(&version)).then_some((rustc, sysroot, version))
}

/// Whether a compiler of this version takes the SDK, whose Rust is that of the workspace.
fn is_new_enough(version: &str) -> bool {
    let numbers = |text: &str| text.split(['.', '-']).map_while(|number| number.parse().ok()).collect::<Vec<u32>>();
    numbers(version) >= numbers(env!("CARGO_PKG_RUST_VERSION"))
}

fn is_rustups(sysroot: &Path) -> bool {
    sysroot.parent().and_then(Path::file_name).is_some_and(|parent| parent == "toolchains")
}

fn install_packages(progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    if !Path::new("/etc/debian_version").is_file() {
        return Err("packages can be installed on Debian only".to_owned());
    }
    if !answer(Command::new("id").arg("-u")).is_ok_and(|user| user == "0") {
        return Err("packages can be installed by root only".to_owned());
    }
    progress(&format!("installing the packages {}", DEBIAN_PACKAGES.join(", ")));
    // A fresh machine has no package lists yet, or some from before the compiler was renewed. Without a network to renew
    // them, those that are there may do.
    let updated = run_within(Command::new("apt-get").args(["update"]), PATIENCE_WITH_APT);
    run_within(&mut apt_install(), PATIENCE_WITH_APT)
        .or_else(|reason| updated.and(Err(reason)))
        .map_err(|reason| format!("apt-get can't install {} ({reason})", DEBIAN_PACKAGES.join(", ")))
}

fn apt_install() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["install", "-y", "--no-install-recommends"]).args(DEBIAN_PACKAGES);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn advice() -> Vec<String> {
    vec![
        format!("with rustup and a network: rustup target add {TARGET}"),
        format!("on Debian, as root: apt-get install {}", DEBIAN_PACKAGES.join(" ")),
        "build the job on another machine and copy its .wasm file into the hopper".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Sources, Toolchain, Way, advice, is_new_enough, is_rustups};
    use crate::ForgeError;
    use std::ffi::OsStr;
    use std::path::Path;
    use std::process::Command;

    fn from_source() -> Toolchain {
        let sources = Sources {
            rustc: "/usr/bin/rustc".into(),
            version: "1.96.0".into(),
            linkers: "/rustlib/bin".into(),
            libc: "/usr/lib/wasm32-wasi".into(),
        };
        Toolchain { way: Way::FromSource, sources: Some(sources) }
    }

    fn variable<'a>(command: &'a Command, name: &str) -> Option<&'a OsStr> {
        command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value)
    }

    #[test]
    fn an_installed_target_needs_nothing_but_its_name() {
        let mut command = Command::new("cargo");
        Toolchain::present().configure(&mut command, &["-C", "link-arg=-zstack-size=65536"]);
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["--target", "wasm32-wasip2"]);
        assert_eq!(variable(&command, "CARGO_ENCODED_RUSTFLAGS").unwrap(), "-C\u{1f}link-arg=-zstack-size=65536");
        assert_eq!(variable(&command, "RUSTC"), None);
    }

    #[test]
    fn std_is_built_by_the_compiler_whose_sources_they_are() {
        let mut command = Command::new("cargo");
        from_source().configure(&mut command, &[]);
        assert!(command.get_args().any(|argument| argument == "-Zbuild-std=std,panic_abort"));
        assert_eq!(variable(&command, "RUSTC").unwrap(), "/usr/bin/rustc");
        assert_eq!(variable(&command, "CARGO_ENCODED_RUSTFLAGS").unwrap(), "-L/usr/lib/wasm32-wasi");
        assert!(variable(&command, "PATH").unwrap().to_string_lossy().starts_with("/rustlib/bin:/rustlib/bin/gcc-ld"));
    }

    #[test]
    fn a_compiler_that_is_older_than_the_sdk_is_none() {
        for version in ["1.95.0", "1.96.0", "2.0.0", "1.100.1", "1.97.0-nightly"] {
            assert!(is_new_enough(version), "{version}");
        }
        for version in ["1.85.0", "1.94.9", "1.9.0", "", "unknown"] {
            assert!(!is_new_enough(version), "{version}");
        }
    }

    #[test]
    fn the_summary_is_one_line() {
        let summary = from_source().summary();
        assert_eq!(summary, "jobs are compiled by rustc 1.96.0 with std from its own sources");
    }

    #[test]
    fn only_a_toolchain_of_rustups_is_extended() {
        assert!(is_rustups(Path::new("/opt/.rustup/toolchains/stable-x86_64-unknown-linux-gnu")));
        assert!(!is_rustups(Path::new("/usr")));
    }

    #[test]
    fn no_way_at_all_says_what_was_tried_and_what_would_help() {
        let reasons = vec!["rustup can't add it (offline)".to_owned(), "no sources".to_owned()];
        let text = ForgeError::NoToolchain { reasons, advice: advice() }.to_string();
        assert!(text.starts_with("this machine can't compile jobs yet: rustup can't add it (offline); no sources.\n"));
        assert!(text.contains("\n  * with rustup and a network: rustup target add wasm32-wasip2\n"));
    }
}
