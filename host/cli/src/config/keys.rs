//! Every key of the configuration, once: for refusing unknown keys, reading variables, and `config show`.
//! It holds no values but the defaults.

/// What a key's value is; how the text of a variable is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, spans of time and words included.
    Text,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// A list, as the file would write it.
    List,
    /// Text, or where the text is: `{ file = "…" }`, `{ env = "…" }`. Never shown.
    Secret,
}

/// A key; `*` in its path stands for any one name.
#[derive(Debug)]
pub(crate) struct Key {
    /// The path, with dots.
    pub(crate) path: &'static str,
    /// What its value is.
    pub(crate) kind: Kind,
    /// What holds when nobody says otherwise, whatever the command; in TOML.
    pub(crate) default: Option<&'static str>,
}

const fn key(path: &'static str, kind: Kind, default: Option<&'static str>) -> Key {
    Key { path, kind, default }
}

/// Every key, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    key("data", Kind::Text, Some("\"./.jobmill\"")),
    key("server.listen", Kind::Text, Some("\"127.0.0.1:8288\"")),
    key("hopper.dir", Kind::Text, Some("\"./hopper\"")),
    key("hopper.quiet_ms", Kind::Whole, Some("300")),
    key("store.kind", Kind::Text, Some("\"sled\"")),
    key("store.path", Kind::Text, None),
    key("store.durability", Kind::Text, Some("\"full\"")),
    key("engine.concurrency", Kind::Whole, Some("64")),
    key("engine.shutdown_grace", Kind::Text, Some("\"30s\"")),
    key("mail.mode", Kind::Text, None),
    key("mail.from", Kind::Text, None),
    key("mail.smtp.url", Kind::Secret, None),
    key("mail.smtp.username", Kind::Text, None),
    key("mail.smtp.password", Kind::Secret, None),
    key("mail.in_doubt", Kind::Text, Some("\"resend\"")),
    key("orders.source", Kind::Text, Some("\"embedded\"")),
    key("retention.completed", Kind::Text, Some("\"30d\"")),
    key("retention.cancelled", Kind::Text, Some("\"30d\"")),
    key("retention.dead", Kind::Text, Some("\"180d\"")),
    key("limits.waiting", Kind::Whole, Some("2_000_000")),
    key("queues.*.concurrency", Kind::Whole, None),
    key("jobs.*.queue", Kind::Text, None),
    key("jobs.*.priority", Kind::Whole, None),
    key("jobs.*.retries", Kind::Whole, None),
    key("jobs.*.timeout", Kind::Text, None),
    key("jobs.*.backoff.kind", Kind::Text, None),
    key("jobs.*.backoff.delay", Kind::Text, None),
    key("jobs.*.backoff.base", Kind::Text, None),
    key("jobs.*.backoff.factor", Kind::Number, None),
    key("jobs.*.backoff.max", Kind::Text, None),
    key("jobs.*.backoff.jitter", Kind::Number, None),
    key("jobs.*.concurrency", Kind::List, None),
    key("jobs.*.rate_limit", Kind::Text, None),
    key("jobs.*.rate_limit.limit", Kind::Whole, None),
    key("jobs.*.rate_limit.period", Kind::Text, None),
    key("jobs.*.rate_limit.key", Kind::Text, None),
    key("jobs.*.debounce", Kind::Text, None),
    key("jobs.*.debounce.period", Kind::Text, None),
    key("jobs.*.debounce.max_wait", Kind::Text, None),
    key("jobs.*.debounce.key", Kind::Text, None),
    key("jobs.*.unique_key", Kind::Text, None),
    key("jobs.*.unique_for", Kind::Text, None),
    key("jobs.*.unique_states", Kind::Text, None),
    key("jobs.*.cron", Kind::List, None),
    key("jobs.*.cron_catch_up", Kind::Text, None),
    key("jobs.*.expires", Kind::Text, None),
    key("jobs.*.cancel_on", Kind::List, None),
    key("jobs.*.max_waiting", Kind::Whole, None),
    key("jobs.*.breaker.failures", Kind::Number, None),
    key("jobs.*.breaker.window", Kind::Text, None),
    key("jobs.*.breaker.min_attempts", Kind::Whole, None),
    key("jobs.*.breaker.pause", Kind::Text, None),
];

/// What every variable begins with.
pub(crate) const PREFIX: &str = "JOBMILL_";

/// Where a secret may be instead of in the file.
pub(crate) const SECRET_PLACES: [&str; 2] = ["file", "env"];

/// The variables that stand for a flag rather than for a key, and the key that some of them set.
pub(crate) const SHORT_VARIABLES: [(&str, Option<&str>); 5] = [
    ("JOBMILL_SERVER", None),
    ("JOBMILL_TOKEN", None),
    ("JOBMILL_CONFIG", None),
    ("JOBMILL_HOPPER", Some("hopper.dir")),
    ("JOBMILL_DATA", Some("data")),
];

/// The key that this path is, or whose place for a secret it is.
pub(crate) fn find(path: &[String]) -> Option<&'static Key> {
    KEYS.iter().find(|key| {
        let pattern: Vec<&str> = key.path.split('.').collect();
        let place = || match path.split_last() {
            Some((last, rest)) => SECRET_PLACES.contains(&last.as_str()) && matches(&pattern, rest),
            None => false,
        };
        matches(&pattern, path) || (key.kind == Kind::Secret && place())
    })
}

/// Whether keys lie below this path, so that a table belongs there.
pub(crate) fn is_table(path: &[String]) -> bool {
    KEYS.iter().any(|key| {
        let pattern: Vec<&str> = key.path.split('.').collect();
        let deeper = pattern.len() > path.len() && matches(&pattern[..path.len()], path);
        deeper || (key.kind == Kind::Secret && matches(&pattern, path))
    })
}

fn matches(pattern: &[&str], path: &[String]) -> bool {
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(one, other)| *one == "*" || one == other)
}

/// The known key that a person most likely meant.
pub(crate) fn nearest(path: &[String]) -> Option<String> {
    let wanted = path.join(".");
    let known = KEYS.iter().map(|key| {
        let segments = key.path.split('.').enumerate();
        let named = segments.map(|(at, segment)| match path.get(at) {
            Some(name) if segment == "*" => name.as_str(),
            _ => segment,
        });
        named.collect::<Vec<_>>().join(".")
    });
    most_alike(&wanted, known)
}

/// The known variable that a person most likely meant.
pub(crate) fn nearest_variable(variable: &str) -> Option<String> {
    let short = SHORT_VARIABLES.iter().map(|(name, _)| (*name).to_owned());
    let known = short.chain(KEYS.iter().map(|key| variable_of(key.path)));
    // Without what they all begin with, which would make anything look alike.
    let rest = |name: &str| name.trim_start_matches(PREFIX).to_owned();
    most_alike(&rest(variable), known.map(|name| rest(&name))).map(|nearest| format!("{PREFIX}{nearest}"))
}

/// `JOBMILL_SECTION__KEY`.
pub(crate) fn variable_of(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('-', "_").replace('.', "__").to_uppercase())
}

fn most_alike(wanted: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|known| (strsim::damerau_levenshtein(&known, wanted), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= wanted.len() / 3)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn keys_of_jobs_take_any_job() {
        assert_eq!(find(&path("jobs.welcome-email.retries")).map(|key| key.kind), Some(Kind::Whole));
        assert!(find(&path("jobs.welcome-email.retrys")).is_none());
        assert!(is_table(&path("jobs.welcome-email")) && is_table(&path("mail.smtp.url")));
        assert!(!is_table(&path("server.listen")));
    }

    #[test]
    fn a_secret_may_be_somewhere_else() {
        assert!(find(&path("mail.smtp.password.file")).is_some());
        assert!(find(&path("mail.from.file")).is_none());
    }

    #[test]
    fn the_nearest_key_is_named_within_its_job() {
        assert_eq!(nearest(&path("server.lisen")).as_deref(), Some("server.listen"));
        assert_eq!(nearest(&path("jobs.a.retrys")).as_deref(), Some("jobs.a.retries"));
        assert_eq!(nearest(&path("x")), None);
        assert_eq!(nearest_variable("JOBMILL_HOPER").as_deref(), Some("JOBMILL_HOPPER"));
        assert_eq!(nearest_variable("JOBMILL_FOO"), None);
    }
}
