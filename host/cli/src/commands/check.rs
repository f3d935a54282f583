//! `jobmill check`: what a component is, and what would change if it went into the hopper.
//! It asks a server only for the comparison, and does without one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use jobmill_client::{Answer, Job as Serving, Setting as SettingView};
use jobmill_core::job::difference::{Change, Members, changes};
use jobmill_core::job::{Capability, Limit, Setting, capabilities};
use jobmill_core::time::format_duration;
use jobmill_core::{Job, Source};
use jobmill_server::SettingsView;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::Value;

use super::jobs::delays;
use super::{Context, flow_settings, sandbox_lines};
use crate::config::arguments::{ConfigFile, Places};
use crate::examine::{Examined, Examiner};
use crate::failure::{Exit, Failure};
use crate::output;

/// Check a component: what it is, what it imports, what would change
///
/// Exits with 1 when the engine would not load it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Check {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigFile,
}

const EXAMPLE: &str = "\
Example:
  jobmill check target/guests/wasm32-wasip2/debug/welcome_email.wasm";

/// The settings by their name, as a server would show them.
type Settings = BTreeMap<String, SettingView>;

#[derive(Serialize)]
struct Report {
    id: String,
    version: String,
    size: u64,
    imports: Vec<String>,
    /// What each of those is for, and how much of it the configuration lets the job have.
    capabilities: Vec<Capability>,
    /// How much an attempt may take: each limit in bytes or as a count.
    limits: BTreeMap<&'static str, u64>,
    members: Members,
    #[serde(skip)]
    settings: Settings,
    /// The loaded version; null when there is none, or no server to ask.
    loaded_version: Option<String>,
    changes: Vec<Change>,
}

impl Check {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let loaded = Places { file: self.config, ..Places::default() }.load("check", &[])?;
        let examined = Examiner::new(loaded.config.overrides())?.examine(&self.file)?;
        let serving = serving(context, examined.job.id.as_str());
        let settings = settings(&examined.job)?;
        let members = members(&examined, &settings);
        let changes = serving.as_ref().map(|view| changes(&members_of(view), &members)).unwrap_or_default();
        let report = Report {
            id: examined.job.id.to_string(),
            version: examined.version.to_string(),
            size: examined.size,
            imports: examined.imports.clone(),
            capabilities: capabilities(&examined.job.id, &examined.imports, &examined.job.allow.value),
            limits: Limit::ALL.map(|limit| (limit.name(), examined.job.limits.get(limit).value)).into(),
            members,
            settings,
            loaded_version: serving.and_then(|view| view.version),
            changes,
        };
        let json = serde_json::to_string(&report)
            .map_err(|error| Failure::new("check", format!("the report can't be written: {error}")))?;
        context.output.document(&json, || described(&examined, &report))?;
        Ok(Exit::Done)
    }
}

/// What serves under this id; none without a server.
fn serving(context: &Context, id: &str) -> Option<Serving> {
    context.client().ok()?.job(id).ok().map(Answer::into_value)
}

fn settings(job: &Job) -> Result<Settings, Failure> {
    let view = serde_json::to_value(SettingsView::from(job)).and_then(serde_json::from_value);
    view.map_err(|error| Failure::new("check", format!("the settings can't be shown: {error}")))
}

fn members(examined: &Examined, settings: &Settings) -> Members {
    let job = &examined.job;
    let triggers: Vec<String> = job.triggers.iter().map(ToString::to_string).collect();
    let document = |json: &Option<jobmill_core::Json>| json.as_ref().and_then(|json| json.to_value().ok()).into();
    let described = [
        ("title", job.title.clone().into()),
        ("description", job.description.clone().into()),
        ("triggers", triggers.into()),
        ("imports", examined.imports.clone().into()),
        ("payload-schema", document(&job.payload_schema)),
        ("payload-example", document(&job.payload_example)),
    ];
    with_settings(described, settings)
}

fn members_of(view: &Serving) -> Members {
    let triggers: Vec<String> = view.triggers.iter().map(ToString::to_string).collect();
    let document = |json: &Option<jobmill_core::Json>| json.as_ref().and_then(|json| json.to_value().ok()).into();
    let described = [
        ("title", view.title.clone().into()),
        ("description", view.description.clone().into()),
        ("triggers", triggers.into()),
        ("imports", view.imports.clone().into()),
        ("payload-schema", document(&view.payload_schema)),
        ("payload-example", document(&view.payload_example)),
    ];
    with_settings(described, view.settings.as_ref().unwrap_or(&Settings::new()))
}

fn with_settings<const N: usize>(described: [(&str, Value); N], settings: &Settings) -> Members {
    let settings = settings.iter().map(|(name, setting)| (name.clone(), setting.value.clone()));
    described.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(settings).collect()
}

fn described(examined: &Examined, report: &Report) -> String {
    let job = &examined.job;
    let lines = |words: Vec<String>| (!words.is_empty()).then(|| words.join("\n"));
    let size = output::size(examined.size);
    let mut text = format!("{}  {}  ({size}, version {})\n", job.id.bold(), "✓ valid".green(), examined.version);
    let mut pairs = vec![
        ("  title", Some(output::visible(&job.title))),
        ("  imports", lines(examined.imports.clone())),
        ("  triggers", lines(job.triggers.iter().map(ToString::to_string).collect())),
        ("  queue", Some(with_source(&job.queue, &format!("{}, priority {}", job.queue.value, job.priority.value)))),
        ("  retries", Some(retries(job))),
        ("  timeout", Some(with_source(&job.timeout, &format_duration(job.timeout.value)))),
    ];
    let flow: Vec<_> = flow_settings::lines(&report.settings).into_iter().map(indented).collect();
    pairs.extend(flow.iter().map(|(label, words)| (label.as_str(), words.clone())));
    pairs.push((
        "  limits",
        sandbox_lines::limits(|limit| {
            let setting = job.limits.get(limit);
            Some((setting.value, source_word(setting.source)))
        }),
    ));
    let reach = report.capabilities.iter();
    pairs.push((
        "  may reach",
        sandbox_lines::reach(
            reach.map(|capability| (capability.what, capability.allowed.as_str(), capability.detail.as_deref())),
        ),
    ));
    text.push_str(&output::pairs(&pairs));
    match &report.loaded_version {
        None => {}
        Some(version) if *version == report.version => text.push_str("\n  this version is loaded"),
        Some(version) if report.changes.is_empty() => {
            let _ = write!(text, "\n  describes itself like the loaded version {version}");
        }
        Some(version) => {
            let _ = write!(text, "\n  changes against {version}");
            for change in &report.changes {
                let _ = write!(text, "\n  {}", output::visible(&change.to_string()));
            }
        }
    }
    text
}

fn indented((label, words): (&str, Option<String>)) -> (String, Option<String>) {
    (format!("  {label}"), words)
}

fn retries(job: &Job) -> String {
    format!(
        "{}: {}",
        with_source(&job.retries, &job.retries.value.to_string()),
        delays(&job.backoff.value, job.retries.value)
    )
}

fn with_source<T>(setting: &Setting<T>, value: &str) -> String {
    format!("{value} ({})", source_word(setting.source))
}

fn source_word(source: Source) -> String {
    let word = serde_json::to_value(source).ok();
    word.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use jobmill_core::job::descriptor::Concurrency;
    use jobmill_core::{Descriptor, JobOverrides};

    use super::*;

    #[test]
    fn only_what_differs_is_a_change() {
        let title = [("title", "Welcome".into())];
        let setting = |name: &str, value| (name.to_owned(), SettingView { value, source: "component".to_owned() });
        let before = Settings::from([setting("retries", 3.into()), setting("queue", "default".into())]);
        let after = Settings::from([setting("retries", 5.into())]);
        let expected = [
            Change { field: "queue".to_owned(), before: "default".into(), after: Value::Null },
            Change { field: "retries".to_owned(), before: 3.into(), after: 5.into() },
        ];
        assert_eq!(changes(&with_settings(title.clone(), &before), &with_settings(title, &after)), expected);
    }

    #[test]
    fn a_limit_that_a_component_asks_for_is_a_change() {
        let descriptor = Descriptor { id: "ship".to_owned(), title: "Ship".to_owned(), ..Descriptor::default() };
        let limited = Descriptor { concurrency: vec![Concurrency { limit: 2, key: None }], ..descriptor.clone() };
        let members = |descriptor: Descriptor| {
            let job = Job::new(descriptor, &JobOverrides::default()).expect("a job");
            with_settings([], &settings(&job).expect("they can be shown"))
        };
        let after = serde_json::json!([{ "limit": 2 }]);
        let expected = Change { field: "concurrency".to_owned(), before: Value::Array(vec![]), after };
        assert_eq!(changes(&members(descriptor), &members(limited)), [expected]);
    }
}
