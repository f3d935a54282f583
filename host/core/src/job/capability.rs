//! What the interfaces that a component imports are for, and how much of each the operator lets it have.
//! It decides nothing: `Allow` does, and the runtime asks it at each call.

use std::fmt;

use serde::Serialize;

use super::allow::{Allow, OrderOperation};
use crate::id::JobId;

/// An interface that a component imports, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// Its name, with its version.
    pub interface: String,
    /// What a component does by it.
    pub what: &'static str,
    /// How much of it the job has.
    pub allowed: Allowed,
    /// What it is narrowed to, or the line that would allow it.
    pub detail: Option<String>,
}

/// How much of an interface a job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// All of it.
    All,
    /// What the operator lists.
    Narrowed,
    /// Nothing.
    Denied,
    /// It reaches nothing beyond the sandbox, so that nobody has to allow it.
    NoneNeeded,
}

impl Allowed {
    /// The word for it in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Narrowed => "narrowed",
            Self::Denied => "denied",
            Self::NoneNeeded => "none-needed",
        }
    }

    /// The words for it, for people.
    pub fn told(self) -> &'static str {
        match self {
            Self::All => "allowed",
            Self::Narrowed => "narrowed",
            Self::Denied => "denied",
            Self::NoneNeeded => "needs no permission",
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the job of this id may reach by each of its imports, in their order.
pub fn capabilities(job: &JobId, imports: &[String], allow: &Allow) -> Vec<Capability> {
    let told = |interface: &String| {
        let (what, allowed, detail) = judged(job, interface.split('@').next().unwrap_or_default(), allow);
        Capability { interface: interface.clone(), what, allowed, detail }
    };
    imports.iter().map(told).collect()
}

type Judged = (&'static str, Allowed, Option<String>);

fn judged(job: &JobId, interface: &str, allow: &Allow) -> Judged {
    let never = |what, detail: &str| (what, Allowed::Denied, Some(detail.to_owned()));
    let free = |what| (what, Allowed::NoneNeeded, None);
    match interface {
        "jobmill:job/orders" => orders(job, allow),
        "jobmill:job/email" => mail(job, allow),
        "jobmill:job/steps" => free("remembers what it has done"),
        "jobmill:job/log" => free("writes to the run's log"),
        "wasi:http/outgoing-handler" => http(job, allow),
        "wasi:cli/environment" => never("reads variables and arguments", "always empty"),
        "wasi:cli/stdin" => never("reads its standard input", "always empty"),
        "wasi:cli/exit" => free("ends its attempt"),
        _ => match interface.split('/').next().unwrap_or_default() {
            "wasi:http" => free("composes requests and reads answers"),
            "wasi:config" => free("reads the settings that the operator gives it"),
            "wasi:cli" => free("prints to the run's log"),
            "wasi:clocks" => free("reads the clock and waits"),
            "wasi:io" => free("waits for streams and timers"),
            "wasi:random" => free("draws random numbers"),
            "wasi:filesystem" => never("opens files", "always empty"),
            "wasi:sockets" => never("opens sockets, looks names up", "never; HTTP requests go by wasi:http"),
            _ => free("is not known here"),
        },
    }
}

fn orders(job: &JobId, allow: &Allow) -> Judged {
    let what = "fetches and changes orders";
    match &allow.orders {
        None => (what, Allowed::All, None),
        Some(listed) if listed.is_empty() => {
            (what, Allowed::Denied, Some(added(job, "orders = [\"fetch\", \"update\"]")))
        }
        Some(listed) if [OrderOperation::Fetch, OrderOperation::Update].iter().all(|it| listed.contains(it)) => {
            (what, Allowed::All, None)
        }
        Some(_) => (what, Allowed::Narrowed, Some(lines(allow, "orders"))),
    }
}

fn mail(job: &JobId, allow: &Allow) -> Judged {
    let what = "sends mail";
    let Some(narrowed) = &allow.mail else { return (what, Allowed::All, None) };
    let is_none = |list: bool, name: &str, some: &str| list.then(|| added(job, &format!("mail.{name} = [{some:?}]")));
    let none = is_none(narrowed.kinds.as_ref().is_some_and(Vec::is_empty), "kinds", "KIND")
        .or_else(|| is_none(narrowed.to.as_ref().is_some_and(Vec::is_empty), "to", "@DOMAIN"));
    match none {
        Some(line) => (what, Allowed::Denied, Some(line)),
        None if lines(allow, "mail").is_empty() => (what, Allowed::All, None),
        None => (what, Allowed::Narrowed, Some(lines(allow, "mail"))),
    }
}

fn http(job: &JobId, allow: &Allow) -> Judged {
    let what = "sends HTTP requests";
    if allow.http.is_empty() {
        return (what, Allowed::Denied, Some(added(job, "http = [\"HOST\"]")));
    }
    (what, Allowed::Narrowed, Some(lines(allow, "http")))
}

fn added(job: &JobId, line: &str) -> String {
    format!("add to jobmill.toml: [jobs.{job}.allow] {line}")
}

/// What the configuration says of this.
fn lines(allow: &Allow, of: &str) -> String {
    allow.lines().into_iter().filter(|line| line.starts_with(of)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(imports: &[&str], allow: serde_json::Value) -> Vec<(Allowed, String)> {
        let allow: Allow = serde_json::from_value(allow).expect("valid");
        let imports: Vec<String> = imports.iter().map(|import| (*import).to_owned()).collect();
        let capabilities = capabilities(&"sync".parse().expect("an id"), &imports, &allow);
        capabilities.into_iter().map(|one| (one.allowed, one.detail.unwrap_or_default())).collect()
    }

    const OURS: [&str; 3] = ["jobmill:job/orders@0.1.0", "jobmill:job/email@0.1.0", "wasi:http/outgoing-handler@0.2.4"];

    #[test]
    fn nothing_said_allows_orders_and_mail_and_names_the_line_for_hosts() {
        let line = "add to jobmill.toml: [jobs.sync.allow] http = [\"HOST\"]".to_owned();
        let expected = [(Allowed::All, String::new()), (Allowed::All, String::new()), (Allowed::Denied, line)];
        assert_eq!(told(&OURS, json!({})), expected);
        let everything = json!({ "orders": ["update", "fetch"], "mail": {} });
        assert_eq!(told(&OURS, everything), expected);
    }

    #[test]
    fn what_is_narrowed_is_told_as_the_configuration_says_it() {
        let allow = json!({
            "orders": ["fetch"],
            "mail": { "kinds": ["welcome"], "to": ["@example.com"] },
            "http": ["api.example.com"],
        });
        let expected = [
            (Allowed::Narrowed, "orders = [\"fetch\"]".to_owned()),
            (Allowed::Narrowed, "mail.kinds = [\"welcome\"], mail.to = [\"@example.com\"]".to_owned()),
            (Allowed::Narrowed, "http = [\"api.example.com\"]".to_owned()),
        ];
        assert_eq!(told(&OURS, allow), expected);
    }

    #[test]
    fn an_empty_list_denies() {
        let denied = told(&OURS, json!({ "orders": [], "mail": { "kinds": ["a"], "to": [] } }));
        assert!(denied.iter().all(|(allowed, _)| *allowed == Allowed::Denied), "{denied:?}");
        assert!(denied[1].1.ends_with("mail.to = [\"@DOMAIN\"]"), "{denied:?}");
    }

    #[test]
    fn of_wasi_what_leads_outside_is_never_there() {
        let wasi = ["filesystem/preopens", "sockets/tcp", "cli/environment", "cli/stdin"];
        let imports = wasi.map(|name| format!("wasi:{name}@0.2.0"));
        let imports: Vec<&str> = imports.iter().map(String::as_str).collect();
        assert!(told(&imports, json!({})).iter().all(|(allowed, _)| *allowed == Allowed::Denied));
        let free = [
            "wasi:cli/stdout@0.2.0",
            "wasi:clocks/wall-clock@0.2.0",
            "wasi:random/random@0.2.0",
            "jobmill:job/log@0.1.0",
        ];
        assert!(told(&free, json!({})).iter().all(|(allowed, _)| *allowed == Allowed::NoneNeeded));
    }
}
