//! Types that are one of a few words. The words come from the types themselves, so that they are always those that are sent.
//! What each word means is in its type's own comments, which the document sums up.

use std::borrow::Cow;

use jobmill_core::flow::{CatchUp, UniqueStates};
use jobmill_core::job::Allowed;
use jobmill_core::journal::LogLevel;
use jobmill_core::mail::{InDoubtChoice, MailStatus};
use jobmill_core::order::OrderStatus;
use jobmill_core::run::AttemptOutcome;
use jobmill_core::token::Scope;
use jobmill_core::{FailureKind, RunState, Source};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Defines the shape of an enum without data. A variant that is left out does not compile.
macro_rules! words {
    ($($description:literal $shape:ident of $type:ident: $($variant:ident)+;)+) => {
        $(
            #[doc = $description]
            pub(crate) struct $shape;

            impl PartialSchema for $shape {
                fn schema() -> RefOr<Schema> {
                    let word = |it: $type| match it {
                        $($type::$variant => serde_json::to_value(it).ok(),)+
                    };
                    words_of($description, [$($type::$variant),+].into_iter().filter_map(word))
                }
            }

            impl ToSchema for $shape {
                fn name() -> Cow<'static, str> {
                    stringify!($type).into()
                }
            }
        )+
    };
}

fn words_of(description: &str, words: impl Iterator<Item = serde_json::Value>) -> RefOr<Schema> {
    let schema = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .description(Some(description))
        .enum_values(Some(words));
    RefOr::T(schema.into())
}

words! {
    "How much of an interface a job has: all of it, what the operator lists, nothing, or none-needed because it reaches nothing beyond the sandbox."
    AllowedShape of Allowed: All Narrowed Denied NoneNeeded;
    "How an attempt ended: held means that something outside kept its effect back, which costs none."
    AttemptOutcomeShape of AttemptOutcome: Completed Failed Snoozed Interrupted Cancelled Held;
    "What happens to the minutes of a schedule that passed while nobody could fire them: one run for all of them, or none."
    CatchUpShape of CatchUp: Once Skip;
    "Why an attempt did not succeed."
    FailureKindShape of FailureKind:
        Transient Permanent RetryAfter Timeout Trap Memory Limit Denied BadPayload BadOutput Host LeaseExpired;
    "What a person decided about mails that may have been sent: send them again, or count them as sent."
    InDoubtChoiceShape of InDoubtChoice: Resend Sent;
    "How loud a log line is, or which standard stream it came from."
    LogLevelShape of LogLevel: Trace Debug Info Warn Error Stdout Stderr;
    "Where a mail stands: in-doubt means that it may have been sent, but the mail server's answer was lost."
    MailStatusShape of MailStatus: Sending Sent Captured Failed Suppressed InDoubt;
    "Where an order stands."
    OrderStatusShape of OrderStatus: Pending Paid Fulfilled Refunded Cancelled;
    "Where a run stands. The last three are final."
    RunStateShape of RunState: Scheduled Available Running Retryable Completed Cancelled Dead;
    "What a token may do: bring work in, see everything, or everything."
    ScopeShape of Scope: Enqueue Read Operate;
    "Who said what a setting is: the component, the operator, or nobody."
    SourceShape of Source: Component Configuration Default;
    "Which runs hold a unique key: all, or only those that are not final."
    UniqueStatesShape of UniqueStates: All Unfinished;
}
