//! The server as the crash tests run it: many retries, none of them late, and compiled jobs at hand from the first start.
//! It knows nothing of what lies in the store.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::server::Server;
use crate::support::smtp::MailServer;
use crate::support::target_directory;

/// So many kills may hit one run that it needs more attempts than its job gives it.
const RETRIES: &str = "retries = 90, backoff = { kind = \"fixed\", delay = \"20ms\" }";

fn many_retries() -> String {
    ["welcome-email", "purchase-confirmation"].map(|job| format!("{job} = {{ {RETRIES} }}\n")).concat()
}

/// Captures mail, and keeps all of it; a run survives as many kills as there are.
pub(crate) fn captures() -> Server {
    let mail = "[mail]\nmode = \"capture\"\nfrom = \"shop@example.com\"\n\n[retention]\ncaptured = 1_000_000\n";
    prepared(&format!("{mail}\n[jobs]\n{}", many_retries()))
}

/// Hands mail to a server; a run survives as many kills as there are.
pub(crate) fn sends(mail: &MailServer) -> Server {
    prepared(&format!("{}\n[jobs]\n{}", smtp(mail), many_retries()))
}

/// Hands mail to a server; the jobs' own retries.
pub(crate) fn sends_with_few_retries(mail: &MailServer) -> Server {
    prepared(&smtp(mail))
}

fn smtp(mail: &MailServer) -> String {
    let address = mail.address;
    format!("[mail]\nmode = \"smtp\"\nfrom = \"shop@example.com\"\nsmtp = {{ url = \"smtp://{address}\" }}\n")
}

/// As this configuration has it; nothing runs yet.
pub(crate) fn prepared(configuration: &str) -> Server {
    let server = Server::prepared(&["up"], Some(configuration));
    copy(compiled_jobs(), &server.data().join("cache"));
    server
}

/// The cache of compiled jobs, kept from run to run: compiling takes longer than all the rest of a start.
fn compiled_jobs() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let kept = target_directory().join("tmp/compiled-jobs");
        std::fs::create_dir_all(&kept).expect("created");
        let mut server = Server::prepared(&["dev"], None);
        let cache = server.data().join("cache");
        copy(&kept, &cache);
        server.restart();
        server.stop();
        copy(&cache, &kept);
        kept
    })
}

/// Copies what is in a directory and not yet in the other. Each file comes whole: another test process may read it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("readable").map(|entry| entry.expect("readable")) {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else if !target.exists() {
            let unfinished = to.join(format!(".{}.{}", std::process::id(), entry.file_name().display()));
            std::fs::copy(entry.path(), &unfinished).expect("copied");
            std::fs::rename(unfinished, target).expect("renamed");
        }
    }
}
