//! `jobmill jobs versions`: which versions of a job were loaded, and what changed from one to the next.
//! It compares nothing; the server did.

use std::fmt::Write as _;

use jobmill_client::JobVersion;
use jobmill_core::Timestamp;
use owo_colors::OwoColorize as _;

use super::{Context, usage};
use crate::failure::Failure;
use crate::{machine, output};

/// Lists them, the last loaded first.
pub(crate) fn list(job: &str, context: &Context) -> Result<(), Failure> {
    let page = context.client()?.job_versions(job)?;
    let empty =
        "no version of it is on record; the one that is loaded is put on record with the next change in the hopper";
    context.output.list(page.texts(), page.next_cursor(), empty, || {
        let now = machine::now();
        let told: Vec<String> = page.items()?.iter().map(|version| described(version, now)).collect();
        Ok(told.join("\n"))
    })
}

fn described(version: &JobVersion, now: Timestamp) -> String {
    let mut text = version.version.bold().to_string();
    if version.serves {
        let _ = write!(text, "  {}", "✓ serves".green());
    } else if !version.kept {
        let _ = write!(text, "  {}", "not kept".dimmed());
    }
    let size = output::size(version.size);
    let _ = write!(text, "  loaded {}", output::relative(version.last_loaded_at, now));
    if version.first_loaded_at != version.last_loaded_at {
        let _ = write!(text, ", first {}", output::relative(version.first_loaded_at, now));
    }
    let _ = write!(text, "  {}  {size}", output::visible(&version.file));
    match &version.changes {
        None => text.push_str("\n  what was before it is not on record"),
        Some(changes) if changes.is_empty() => text.push_str("\n  describes itself like the one before"),
        Some(changes) => {
            for change in changes {
                let _ = write!(text, "\n  {}", output::visible(&change.text));
            }
        }
    }
    for line in version.usage.iter().flat_map(usage::of_version) {
        let _ = write!(text, "\n  {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_with_what_changed() {
        let mut version: JobVersion = serde_json::from_value(serde_json::json!({
            "version": "b7c012345678", "serves": true, "kept": true, "file": "ship.wasm", "size": 2048, "imports": [],
            "first_loaded_at": "2026-03-01T09:00:00.000Z", "last_loaded_at": "2026-03-01T09:04:00.000Z",
            "changes": [
                { "field": "retries", "before": 3, "after": 5, "gained": [], "lost": [], "schema": null, "text": "retries 3 → 5" },
            ],
        }))
        .expect("a version");
        let now = "2026-03-01T09:05:00.000Z".parse().expect("a time");
        let told = |version: &JobVersion| anstream::adapter::strip_str(&described(version, now)).to_string();
        let first = "b7c012345678  ✓ serves  loaded 1 min ago, first 5 min ago  ship.wasm  2.0 KiB";
        assert_eq!(told(&version), format!("{first}\n  retries 3 → 5"));
        version.changes = Some(Vec::new());
        assert!(told(&version).ends_with("\n  describes itself like the one before"));
        (version.changes, version.serves) = (None, false);
        let oldest = told(&version);
        assert!(oldest.ends_with("\n  what was before it is not on record") && !oldest.contains("serves"), "{oldest}");
    }
}
