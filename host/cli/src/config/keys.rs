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
    /// `true` or `false`.
    Truth,
    /// A list, as the file would write it.
    List,
    /// Text, or where the text is: `{ file = "…" }`, `{ env = "…" }`. Never shown.
    Secret,
    /// A list with such secrets in it.
    SecretList,
    /// A table whose keys are not ours to know.
    Table,
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
    key("server.tokens", Kind::SecretList, None),
    key("hopper.dir", Kind::Text, Some("\"./hopper\"")),
    key("hopper.quiet_ms", Kind::Whole, Some("300")),
    key("hopper.auto_rollback", Kind::Truth, Some("false")),
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
    key("mail.smtp.ca", Kind::Text, None),
    key("mail.smtp.command_timeout", Kind::Text, None),
    key("mail.smtp.delivery_timeout", Kind::Text, None),
    key("mail.dkim.domain", Kind::Text, None),
    key("mail.dkim.selector", Kind::Text, None),
    key("mail.dkim.key", Kind::Secret, None),
    key("mail.release.allow", Kind::List, None),
    key("mail.in_doubt", Kind::Text, Some("\"resend\"")),
    key("orders.source", Kind::Text, Some("\"embedded\"")),
    key("orders.http.base_url", Kind::Text, None),
    key("orders.http.token", Kind::Secret, None),
    key("orders.http.timeout", Kind::Text, Some("\"5s\"")),
    key("orders.http.statuses.*", Kind::Text, None),
    key("orders.http.fields.status", Kind::Text, Some("\"/status\"")),
    key("orders.http.fields.customer_email", Kind::Text, Some("\"/customer_email\"")),
    key("orders.http.fields.customer_name", Kind::Text, Some("\"/customer_name\"")),
    key("orders.http.fields.items", Kind::Text, Some("\"/items\"")),
    key("orders.http.fields.total", Kind::Text, Some("\"/total/minor\"")),
    key("orders.http.fields.currency", Kind::Text, Some("\"/total/currency\"")),
    key("orders.http.fields.created_at", Kind::Text, Some("\"/created_at\"")),
    key("orders.http.fields.fulfilled_at", Kind::Text, Some("\"/fulfilled_at\"")),
    key("orders.http.fields.refunded_at", Kind::Text, Some("\"/refunded_at\"")),
    key("orders.http.fields.metadata", Kind::Text, Some("\"/metadata\"")),
    key("orders.http.fields.revision", Kind::Text, Some("\"/revision\"")),
    key("orders.http.fields.item_sku", Kind::Text, Some("\"/sku\"")),
    key("orders.http.fields.item_name", Kind::Text, Some("\"/name\"")),
    key("orders.http.fields.item_quantity", Kind::Text, Some("\"/quantity\"")),
    key("orders.http.fields.item_unit_price", Kind::Text, Some("\"/unit_price/minor\"")),
    key("orders.http.fields.item_currency", Kind::Text, Some("\"/unit_price/currency\"")),
    key("orders.postgres.url", Kind::Secret, None),
    key("orders.postgres.timeout", Kind::Text, Some("\"5s\"")),
    key("orders.postgres.connections", Kind::Whole, Some("8")),
    key("orders.postgres.amounts", Kind::Text, Some("\"minor\"")),
    key("orders.postgres.currency", Kind::Text, None),
    key("orders.postgres.statuses.*", Kind::Text, None),
    key("orders.postgres.orders.table", Kind::Text, Some("\"Order\"")),
    key("orders.postgres.orders.id", Kind::Text, Some("\"id\"")),
    key("orders.postgres.orders.status", Kind::Text, Some("\"status\"")),
    key("orders.postgres.orders.customer_email", Kind::Text, Some("\"customerEmail\"")),
    key("orders.postgres.orders.customer_name", Kind::Text, Some("\"customerName\"")),
    key("orders.postgres.orders.total", Kind::Text, Some("\"total\"")),
    key("orders.postgres.orders.currency", Kind::Text, Some("\"currency\"")),
    key("orders.postgres.orders.created_at", Kind::Text, Some("\"createdAt\"")),
    key("orders.postgres.orders.updated_at", Kind::Text, Some("\"updatedAt\"")),
    key("orders.postgres.orders.fulfilled_at", Kind::Text, Some("\"fulfilledAt\"")),
    key("orders.postgres.orders.refunded_at", Kind::Text, Some("\"refundedAt\"")),
    key("orders.postgres.orders.metadata", Kind::Text, Some("\"metadata\"")),
    key("orders.postgres.orders.revision", Kind::Text, Some("\"\"")),
    key("orders.postgres.items.table", Kind::Text, Some("\"OrderItem\"")),
    key("orders.postgres.items.id", Kind::Text, Some("\"id\"")),
    key("orders.postgres.items.order", Kind::Text, Some("\"orderId\"")),
    key("orders.postgres.items.sku", Kind::Text, Some("\"sku\"")),
    key("orders.postgres.items.name", Kind::Text, Some("\"name\"")),
    key("orders.postgres.items.quantity", Kind::Text, Some("\"quantity\"")),
    key("orders.postgres.items.unit_price", Kind::Text, Some("\"unitPrice\"")),
    key("orders.postgres.email_log.table", Kind::Text, None),
    key("orders.postgres.email_log.id", Kind::Text, Some("\"id\"")),
    key("orders.postgres.email_log.run", Kind::Text, Some("\"runId\"")),
    key("orders.postgres.email_log.job", Kind::Text, Some("\"jobId\"")),
    key("orders.postgres.email_log.kind", Kind::Text, Some("\"kind\"")),
    key("orders.postgres.email_log.to", Kind::Text, Some("\"to\"")),
    key("orders.postgres.email_log.subject", Kind::Text, Some("\"subject\"")),
    key("orders.postgres.email_log.status", Kind::Text, Some("\"status\"")),
    key("orders.postgres.email_log.message_id", Kind::Text, Some("\"messageId\"")),
    key("orders.postgres.email_log.error", Kind::Text, Some("\"error\"")),
    key("orders.postgres.email_log.attempts", Kind::Text, Some("\"attempts\"")),
    key("orders.postgres.email_log.created_at", Kind::Text, Some("\"createdAt\"")),
    key("orders.postgres.email_log.sent_at", Kind::Text, Some("\"sentAt\"")),
    key("notify.webhook", Kind::Text, None),
    key("notify.webhook_secret", Kind::Secret, None),
    key("notify.mail", Kind::List, None),
    key("notify.spike", Kind::Whole, Some("50")),
    key("events.id_window", Kind::Text, Some("\"24h\"")),
    key("retention.completed", Kind::Text, Some("\"30d\"")),
    key("retention.cancelled", Kind::Text, Some("\"30d\"")),
    key("retention.dead", Kind::Text, Some("\"180d\"")),
    key("retention.mail", Kind::Text, Some("\"never\"")),
    key("retention.deliveries", Kind::Text, Some("\"30d\"")),
    key("retention.audit", Kind::Text, Some("\"90d\"")),
    key("retention.captured", Kind::Whole, Some("500")),
    key("limits.waiting", Kind::Whole, Some("2_000_000")),
    key("limits.memory", Kind::Text, Some("\"64 MiB\"")),
    key("limits.table_elements", Kind::Whole, Some("20_000")),
    key("limits.host_calls", Kind::Whole, Some("10_000")),
    key("limits.host_call", Kind::Text, Some("\"1 MiB\"")),
    key("limits.handles", Kind::Whole, Some("1_000")),
    key("limits.random", Kind::Text, Some("\"64 KiB\"")),
    key("limits.log_lines", Kind::Whole, Some("500")),
    key("limits.log", Kind::Text, Some("\"64 KiB\"")),
    key("limits.output", Kind::Text, Some("\"256 KiB\"")),
    key("limits.journal_entries", Kind::Whole, Some("1_000")),
    key("limits.journal", Kind::Text, Some("\"4 MiB\"")),
    key("limits.http_requests", Kind::Whole, Some("100")),
    key("limits.http_response", Kind::Text, Some("\"1 MiB\"")),
    key("webhooks.*.kind", Kind::Text, None),
    key("webhooks.*.secrets", Kind::SecretList, None),
    key("webhooks.*.map", Kind::Table, None),
    key("secrets.*.*", Kind::Secret, None),
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
    key("jobs.*.mails_per_run", Kind::Whole, None),
    key("jobs.*.mail_limit.limit", Kind::Whole, None),
    key("jobs.*.mail_limit.period", Kind::Text, None),
    key("jobs.*.limits.memory", Kind::Text, None),
    key("jobs.*.limits.table_elements", Kind::Whole, None),
    key("jobs.*.limits.host_calls", Kind::Whole, None),
    key("jobs.*.limits.host_call", Kind::Text, None),
    key("jobs.*.limits.handles", Kind::Whole, None),
    key("jobs.*.limits.random", Kind::Text, None),
    key("jobs.*.limits.log_lines", Kind::Whole, None),
    key("jobs.*.limits.log", Kind::Text, None),
    key("jobs.*.limits.output", Kind::Text, None),
    key("jobs.*.limits.journal_entries", Kind::Whole, None),
    key("jobs.*.limits.journal", Kind::Text, None),
    key("jobs.*.limits.http_requests", Kind::Whole, None),
    key("jobs.*.limits.http_response", Kind::Text, None),
    key("jobs.*.allow.orders", Kind::List, None),
    key("jobs.*.allow.mail.kinds", Kind::List, None),
    key("jobs.*.allow.mail.to", Kind::List, None),
    key("jobs.*.allow.mail.reply_to", Kind::List, None),
    key("jobs.*.allow.http", Kind::List, None),
    key("jobs.*.config.*", Kind::Text, None),
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

/// Whether what stands there is a secret, or has one in it.
pub(crate) fn is_secret(path: &[String]) -> bool {
    let secrets = KEYS.iter().filter(|key| matches!(key.kind, Kind::Secret | Kind::SecretList));
    secrets.map(|key| key.path.split('.').collect::<Vec<_>>()).any(|pattern| {
        // What stands where a table of secrets belongs is one that was written too far out.
        let shared = pattern.len().min(path.len());
        shared > 0 && matches(&pattern[..shared], &path[..shared])
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
        assert!(is_secret(&path("mail.smtp.password.file")) && is_secret(&path("webhooks.shop.secrets.0")));
        assert!(!is_secret(&path("mail.from")) && !is_secret(&path("webhooks.shop.kind")));
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
