//! Types that are written as one text: ids, times, spans, pointers; and documents, which may be anything.
//! What a text that is none is answered with is each route's to say.

use utoipa::ToSchema;

/// Defines a shape that is a text: its name in the document, what it looks like, and an example.
macro_rules! texts {
    ($($(#[$doc:meta])+ $shape:ident as $name:ident, $pattern:literal, $example:literal;)+) => {
        $(
            $(#[$doc])+
            #[derive(ToSchema)]
            #[schema(as = $name, value_type = String, pattern = $pattern, examples($example))]
            pub(crate) struct $shape(String);
        )+
    };
}

texts! {
    /// The id of an entry of the audit list.
    AuditIdShape as AuditId, "^aud_[0-9A-HJKMNP-TV-Z]{26}$", "aud_01KJMR10000000000000000001";
    /// The id of a webhook delivery.
    DeliveryIdShape as DeliveryId, "^dlv_[0-9A-HJKMNP-TV-Z]{26}$", "dlv_01KJMR10000000000000000001";
    /// A span of time, such as `500ms`, `30s`, `1m30s`, `2h`, `7d`.
    DurationShape as Duration, "^[0-9].*$", "1m30s";
    /// The id of an event: its publisher's, or one that Jobmill made.
    EventIdShape as EventId, "^.{1,256}$", "order-1042-paid";
    /// Under which an event is kept, whatever id its publisher gave it.
    EventKeyShape as EventKey, "^evt_[0-9A-HJKMNP-TV-Z]{26}$", "evt_01KJMR10000000000000000001";
    /// The id of a job: lower-case words with hyphens between.
    JobIdShape as JobId, "^[a-z0-9][a-z0-9-]*$", "welcome-email";
    /// The id of a mail in the e-mail log.
    MailIdShape as MailId, "^mail_[0-9A-HJKMNP-TV-Z]{26}$", "mail_01KJMR10000000000000000001";
    /// A JSON Pointer (RFC 6901).
    PointerShape as Pointer, "^/", "/customer/id";
    /// The id of a run.
    RunIdShape as RunId, "^run_[0-9A-HJKMNP-TV-Z]{26}$", "run_01KJMR10000000000000000001";
    /// The id of an API token. It names the token and opens nothing.
    TokenIdShape as TokenId, "^tok_[0-9A-HJKMNP-TV-Z]{26}$", "tok_01KJMR10000000000000000001";
    /// The version of a component: the first 12 hex digits of the SHA-256 of its bytes.
    VersionShape as Version, "^[0-9a-f]{12}$", "3f9a1c0b7d2e";
}

/// A point in time: RFC 3339. Answers give it in UTC with milliseconds.
#[derive(ToSchema)]
#[schema(as = Timestamp, value_type = String, format = DateTime, examples("2026-03-01T09:00:00.000Z"))]
pub(crate) struct TimestampShape(String);

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(as = File, value_type = String, format = Binary)]
pub(crate) struct FileShape(String);

/// Any JSON value, kept as it was sent.
#[derive(ToSchema)]
#[schema(as = Json, value_type = Value)]
pub(crate) struct JsonShape(String);
