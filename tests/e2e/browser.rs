//! The dashboard in a browser: Debian's Chromium reads every page, works with them, and is shown what must not run.
//! What pages say is checked where they are made; here it is that people can read them and get through with them.

mod first_minutes;
mod following;
mod monday;
mod pages;
mod payloads;

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::node::script;

/// Where the distributions put it.
fn chromium() -> PathBuf {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    let found = named.into_iter().chain(usual).find(|path| path.exists());
    found.expect("Chromium is missing: on Debian `apt-get install chromium`; elsewhere name it in CHROMIUM")
}

/// What a script of `tests/npm` makes of the server with the browser.
fn browse(name: &str, url: &str, arguments: &[&str]) -> Value {
    let chromium = chromium();
    let mut all = vec![OsStr::new(url), chromium.as_os_str()];
    all.extend(arguments.iter().map(OsStr::new));
    script(name, &all, &[])
}
