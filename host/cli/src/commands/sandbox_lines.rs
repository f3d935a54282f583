//! What a job's code may reach and take in words, for people: of a component before it is loaded, and of a job that is.
//! It judges nothing; `jobmill_core::job` does.

use jobmill_core::job::{Allowed, Limit};

use crate::output;

/// What a job may reach by the interfaces that its component imports, a line each; none of those that reach nothing.
pub(super) fn reach<'a>(capabilities: impl IntoIterator<Item = (&'a str, &'a str, Option<&'a str>)>) -> Option<String> {
    let lines: Vec<String> = capabilities.into_iter().filter_map(line).collect();
    let mut told: Vec<String> = Vec::new();
    for line in lines {
        // What several interfaces are for is told once.
        if !told.contains(&line) {
            told.push(line);
        }
    }
    (!told.is_empty()).then(|| told.join("\n"))
}

fn line((what, allowed, detail): (&str, &str, Option<&str>)) -> Option<String> {
    let known = [Allowed::All, Allowed::Narrowed, Allowed::Denied, Allowed::NoneNeeded];
    let words = match known.into_iter().find(|known| known.as_str() == allowed) {
        Some(Allowed::NoneNeeded) => return None,
        Some(known) => known.told(),
        // A server of another version may say what is not known here.
        None => allowed,
    };
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    Some(output::visible(&format!("{what}: {words}{detail}")))
}

/// How much an attempt may take, a line each, with who says so.
pub(super) fn limits(of: impl Fn(Limit) -> Option<(u64, String)>) -> Option<String> {
    let wide = Limit::ALL.iter().map(|limit| limit.name().len()).max().unwrap_or_default();
    let line = |limit: Limit| {
        let (value, source) = of(limit)?;
        Some(format!("{:wide$}  {}  ({})", limit.name(), limit.shown(value), output::visible(&source)))
    };
    let lines: Vec<String> = Limit::ALL.into_iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_outside_is_told_once_with_the_line_that_would_allow_it() {
        let told = reach([
            ("sends mail", "all", None),
            ("writes to the run's log", "none-needed", None),
            ("sends HTTP requests", "denied", Some("add to jobmill.toml: http")),
            ("opens files", "denied", Some("always empty")),
            ("opens files", "denied", Some("always empty")),
            ("sings", "sometimes", None),
        ]);
        let expected = "sends mail: allowed\nsends HTTP requests: denied (add to jobmill.toml: http)\n\
                        opens files: denied (always empty)\nsings: sometimes";
        assert_eq!(told.as_deref(), Some(expected));
        assert_eq!(reach([("writes to the run's log", "none-needed", None)]), None);
    }

    #[test]
    fn limits_are_told_with_who_says_so() {
        let said = |limit| (limit == Limit::Memory).then(|| (16 << 20, "configuration".to_owned()));
        assert_eq!(limits(said).as_deref(), Some("memory           16 MiB  (configuration)"));
        assert_eq!(limits(|_| None), None);
    }
}
