//! How requests and answers write the types of `jobmill-core`, as the OpenAPI document describes them.
//! Nothing is made of these shapes: `build.rs` says which type each stands for, and the tests of the routes hold answers against them.

#![expect(dead_code, reason = "shapes are described, never made")]

mod text;
mod words;

use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::text::*;
pub(crate) use self::words::*;

/// What a job may reach, as `[jobs.ID.allow]` says it.
#[derive(ToSchema)]
#[schema(as = Allow)]
pub(crate) struct AllowShape {
    /// `fetch`, `update`; null: both.
    orders: Option<Vec<String>>,
    /// Which mails it may send; null: all.
    mail: Option<MailAllowShape>,
    /// Hosts that its HTTP requests may go to.
    http: Vec<String>,
}

/// Which mails a job may send. What is absent is not narrowed; an empty list allows none.
#[derive(ToSchema)]
#[schema(as = MailAllow)]
pub(crate) struct MailAllowShape {
    /// What they are.
    #[schema(nullable = false)]
    kinds: Option<Vec<String>>,
    /// Recipients: addresses, and domains such as `@example.com`.
    #[schema(nullable = false)]
    to: Option<Vec<String>>,
    /// Where answers go.
    #[schema(nullable = false)]
    reply_to: Option<Vec<String>>,
}

/// The error of an attempt.
#[derive(ToSchema)]
#[schema(as = AttemptError)]
pub(crate) struct AttemptErrorShape {
    /// Its class.
    kind: FailureKindShape,
    /// What happened, for people.
    message: String,
    /// The WebAssembly backtrace of a trap.
    trace: Option<String>,
}

/// How the delay grows from one retry to the next.
#[derive(Serialize, ToSchema)]
#[schema(as = Backoff)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum BackoffShape {
    /// The same delay each time.
    Fixed {
        /// The delay.
        #[schema(value_type = DurationShape)]
        delay: String,
    },
    /// `min(max, base × factor^n)` before retry n, n = 0 for the first, then jitter.
    Exponential {
        /// The delay before the first retry.
        #[schema(value_type = DurationShape)]
        base: String,
        /// What each delay is multiplied with to give the next.
        factor: f64,
        /// No delay is longer.
        #[schema(value_type = DurationShape)]
        max: String,
        /// The share of the delay that is drawn at random: 0 none, 1 all of it.
        jitter: f64,
    },
}

/// When a job is paused by itself because too many of its attempts fail.
#[derive(ToSchema)]
#[schema(as = BreakerSettings)]
pub(crate) struct BreakerSettingsShape {
    /// The share of failed attempts, above 0 and at most 1.
    failures: f64,
    /// Over this span.
    window: DurationShape,
    /// Of at least so many attempts.
    min_attempts: u32,
    /// How long it pauses before it tries one run.
    pause: DurationShape,
}

/// A later event that takes a waiting run back.
#[derive(Serialize, ToSchema)]
#[schema(as = CancelOn)]
pub(crate) struct CancelOnShape {
    /// The event's name.
    event: String,
    /// Where the event's data and the run's payload have to have the same value.
    #[serde(rename = "match")]
    #[schema(value_type = PointerShape)]
    pointer: String,
}

/// At most so many runs at once.
#[derive(ToSchema)]
#[schema(as = Concurrency)]
pub(crate) struct ConcurrencyShape {
    /// How many.
    #[schema(minimum = 1)]
    limit: u32,
    /// One limit for each value found there; without it one for the job.
    #[schema(nullable = false)]
    key: Option<PointerShape>,
}

/// At most so many in each period: a token bucket that holds `limit` and refills over `period`.
#[derive(ToSchema)]
#[schema(as = RateLimit)]
pub(crate) struct RateLimitShape {
    /// How many.
    #[schema(minimum = 1)]
    limit: u32,
    /// From empty to full.
    period: DurationShape,
    /// One bucket for each value found there; without it one for the job.
    #[schema(nullable = false)]
    key: Option<PointerShape>,
}

/// A run starts once enqueues have been quiet for a while, with the last payload.
#[derive(ToSchema)]
#[schema(as = Debounce)]
pub(crate) struct DebounceShape {
    /// How long it has to be quiet.
    period: DurationShape,
    /// It starts at the latest this long after the first enqueue.
    #[schema(nullable = false)]
    max_wait: Option<DurationShape>,
    /// One quiet period for each value found there; without it one for the job.
    #[schema(nullable = false)]
    key: Option<PointerShape>,
}

/// The event that started a run.
#[derive(ToSchema)]
#[schema(as = EventReference)]
pub(crate) struct EventReferenceShape {
    /// Under which it is kept.
    key: EventKeyShape,
    /// Its id: its publisher's, or one that says the key.
    id: EventIdShape,
    /// Its name.
    name: String,
    /// When it happened, as its publisher says.
    ts: TimestampShape,
}

/// An address with the name that belongs to it.
#[derive(ToSchema)]
#[schema(as = Mailbox)]
pub(crate) struct MailboxShape {
    /// The address, `local@domain`.
    address: String,
    /// The name shown beside it.
    name: Option<String>,
}

/// An amount of money.
#[derive(ToSchema)]
#[schema(as = Money)]
pub(crate) struct MoneyShape {
    /// The amount in the currency's minor unit, such as cents.
    #[schema(examples(3600))]
    minor: i64,
    /// ISO 4217, upper case.
    #[schema(pattern = "^[A-Z]{3}$", examples("EUR"))]
    currency: String,
}

/// One line of an order.
#[derive(ToSchema)]
#[schema(as = OrderItem)]
pub(crate) struct OrderItemShape {
    /// The shop's own number of the article.
    sku: String,
    /// Its name, as the customer reads it.
    name: String,
    /// How many.
    quantity: u32,
    /// The price of one.
    unit_price: MoneyShape,
}

/// An order of the embedded book, with its items.
#[derive(ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderShape {
    /// Its id, as the shop says it.
    id: String,
    /// Where it stands.
    status: OrderStatusShape,
    /// The customer's address.
    customer_email: String,
    /// The customer's name.
    customer_name: Option<String>,
    /// What was bought.
    items: Vec<OrderItemShape>,
    /// What it costs in all.
    total: MoneyShape,
    /// When it was placed.
    created_at: TimestampShape,
    /// When it became fulfilled.
    fulfilled_at: Option<TimestampShape>,
    /// When it became refunded.
    refunded_at: Option<TimestampShape>,
    /// Whatever else the order's owner keeps with it.
    #[schema(value_type = Object)]
    metadata: String,
    /// Rises by one with each change.
    revision: u64,
}

/// What a job changes about an order; null stays as it is.
#[derive(ToSchema)]
#[schema(as = OrderPatch)]
pub(crate) struct OrderPatchShape {
    /// The new status.
    status: Option<OrderStatusShape>,
    /// Merged into `metadata` (JSON Merge Patch, RFC 7396).
    #[schema(value_type = Option<Object>)]
    metadata: Option<String>,
    /// Refuse unless the order has this revision.
    expected_revision: Option<u64>,
}

/// What starts a run of a job, beside enqueueing one.
#[derive(Serialize, ToSchema)]
#[schema(as = Trigger)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TriggerShape {
    /// An event published under this name.
    Event(String),
    /// A five-field cron expression.
    Cron(String),
}
