//! Every record reads back as it was written, and no other bytes read as a record.
//! Samples are drawn from every variant and member, so that a member that does not survive its encoding shows.

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::bill::{Bill, HostCall};
use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::flow::{FlowKey, FullAt, Mark, Pointer, RateLimit, UniqueStates};
use jobmill_core::job::{JobVersion, Pin, descriptor};
use jobmill_core::journal::{
    DebounceTerms, EarlierKey, EffectKey, Enqueued, EntryKind, Finished, KeptAnswer, LogLevel, LogLine, Started, Terms,
    UniqueTerms,
};
use jobmill_core::mail::{Attachment, Mail, MailStatus, Mailbox, Message};
use jobmill_core::notice::{News, Notice};
use jobmill_core::order::{Money, Order, OrderItem, OrderPatch, OrderStatus};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::suppression::{AddressDigest, Suppression, SuppressionSource};
use jobmill_core::token::{Scope, SecretDigest, Token};
use jobmill_core::{
    AttemptError, Backoff, Descriptor, EventId, FailureKind, JobId, NoticeId, RunState, TokenId, Trigger, Version,
};
use jobmill_store::{Control, JobControl, Pause, QueueControl, Schedule};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;

fn text() -> BoxedStrategy<String> {
    prop_oneof![any::<String>(), "[a-z0-9 ]{0,40}", Just("x".repeat(300))].boxed()
}

fn json() -> BoxedStrategy<Json> {
    prop_oneof![
        text().prop_map(|text| Json::of(&text).expect("a document")),
        any::<i64>().prop_map(|number| Json::of(&number).expect("a document")),
        Just(Json::parse("{ \"b\":1.00, \"a\" : [ null ] }").expect("a document")),
        Just(Json::of(&"y".repeat(70_000)).expect("a document")),
    ]
    .boxed()
}

fn time() -> BoxedStrategy<Timestamp> {
    any::<u64>().prop_map(Timestamp::from_millis).boxed()
}

fn run_id() -> BoxedStrategy<RunId> {
    any::<[u8; 16]>().prop_map(RunId::from_bytes).boxed()
}

fn event_id() -> BoxedStrategy<EventId> {
    "[ -~äöü€]{1,64}".prop_map(|id| id.parse().expect("an event id")).boxed()
}

fn event_key() -> BoxedStrategy<EventKey> {
    any::<[u8; 16]>().prop_map(EventKey::from_bytes).boxed()
}

fn reference() -> BoxedStrategy<EventReference> {
    (event_key(), event_id(), text(), time())
        .prop_map(|(key, id, name, ts)| EventReference { key, id, name: name.into(), ts })
        .boxed()
}

fn job() -> BoxedStrategy<JobId> {
    "[a-z0-9][a-z0-9-]{0,63}".prop_map(|id| id.parse().expect("a job id")).boxed()
}

fn pointer() -> BoxedStrategy<Pointer> {
    "/[a-zäö]{0,9}".prop_map(|text| Pointer::try_from(text).expect("a pointer")).boxed()
}

fn mark() -> BoxedStrategy<Mark> {
    let of_value = |(job, event, pointer, value): (JobId, String, Pointer, String)| {
        let name = pointer.as_str().trim_start_matches('/');
        let document = serde_json::json!({ name: value });
        Mark::of(&job, &event, &pointer, &document).expect("something stands there")
    };
    (job(), text(), pointer(), text()).prop_map(of_value).boxed()
}

fn bucket() -> BoxedStrategy<FullAt> {
    let rate = |limit| RateLimit { limit, period: Duration::from_mins(1), key: None };
    (1..u32::MAX, time()).prop_map(move |(limit, at)| rate(limit).take(FullAt::default(), at)).boxed()
}

fn terms() -> BoxedStrategy<Terms> {
    let keys = vec((pointer(), text()).prop_map(|(pointer, value)| FlowKey { pointer, value }), 0..3);
    let states = prop_oneof![Just(UniqueStates::All), Just(UniqueStates::Unfinished)];
    let window = any::<u32>().prop_map(|millis| Duration::from_millis(u64::from(millis)));
    let unique = (window, states).prop_map(|(window, states)| UniqueTerms { window, states });
    let earlier = (text(), of(any::<[u8; 32]>()), time()).prop_map(|(key, digest, at)| EarlierKey { key, digest, at });
    let debounce = (of(text()), vec(earlier, 0..3)).prop_map(|(value, earlier)| DebounceTerms { value, earlier });
    let terms = (keys, of(unique), of(debounce), of(time()), vec(mark(), 0..3))
        .prop_map(|(keys, unique, debounce, expires_at, marks)| Terms { keys, unique, debounce, expires_at, marks });
    terms.boxed()
}

fn enqueued() -> BoxedStrategy<EntryKind> {
    let first = (job(), text(), any::<u8>(), json(), any::<u32>(), time());
    let keys = (of(text()), of(text()), of(any::<[u8; 32]>()));
    let second = (of(reference()), vec(text(), 0..4), keys, of(run_id()), of(terms()));
    let enqueued = (first, second).prop_map(|((job, queue, priority, payload, max_attempts, scheduled_at), second)| {
        let (event, tags, (unique_key, idempotency_key, request_digest), rerun_of, terms) = second;
        EntryKind::Enqueued(Box::new(Enqueued {
            job,
            queue,
            priority,
            payload,
            max_attempts,
            scheduled_at,
            event,
            tags,
            unique_key,
            idempotency_key,
            request_digest,
            rerun_of,
            terms: terms.map(Box::new),
        }))
    });
    enqueued.boxed()
}

fn mailbox() -> BoxedStrategy<Mailbox> {
    (text(), of(text())).prop_map(|(address, name)| Mailbox { address, name }).boxed()
}

fn mail() -> BoxedStrategy<std::sync::Arc<Mail>> {
    let attachment = (text(), text(), vec(any::<u8>(), 0..300))
        .prop_map(|(file_name, content_type, content)| Attachment { file_name, content_type, content });
    let parts = (text(), mailbox(), of(mailbox()), text(), text(), of(text()), vec(attachment, 0..3));
    let headers = vec((text(), text()), 0..3);
    let message = (parts, headers).prop_map(|(parts, headers)| {
        let (kind, to, reply_to, subject, text, html, attachments) = parts;
        Message { kind, to, reply_to, subject, text, html, attachments, headers }
    });
    let mail = (any::<[u8; 16]>(), text(), mailbox(), time(), message);
    mail.prop_map(|(id, message_id, from, created_at, message)| {
        std::sync::Arc::new(Mail { id: MailId::from_bytes(id), message_id, from, created_at, message })
    })
    .boxed()
}

fn mail_status() -> BoxedStrategy<MailStatus> {
    use MailStatus::{Captured, Failed, InDoubt, Sending, Sent, Suppressed};
    proptest::sample::select(vec![Sending, Sent, Captured, Failed, Suppressed, InDoubt]).boxed()
}

fn order_status() -> BoxedStrategy<OrderStatus> {
    use OrderStatus::{Cancelled, Fulfilled, Paid, Pending, Refunded};
    proptest::sample::select(vec![Pending, Paid, Fulfilled, Refunded, Cancelled]).boxed()
}

fn patch() -> BoxedStrategy<OrderPatch> {
    (of(order_status()), of(json()), of(any::<u64>()))
        .prop_map(|(status, metadata, expected_revision)| OrderPatch { status, metadata, expected_revision })
        .boxed()
}

fn money() -> BoxedStrategy<Money> {
    (any::<i64>(), "[A-Z]{3}").prop_map(|(minor, currency)| Money { minor, currency }).boxed()
}

fn order() -> BoxedStrategy<Order> {
    let item = (text(), text(), any::<u32>(), money()).prop_map(|(sku, name, quantity, unit_price)| OrderItem {
        sku,
        name,
        quantity,
        unit_price,
    });
    let first = (text(), order_status(), text(), of(text()), vec(item, 0..4), money());
    let second = (time(), of(time()), of(time()), json(), any::<u64>());
    let order = (first, second).prop_map(|((id, status, customer_email, customer_name, items, total), second)| {
        let (created_at, fulfilled_at, refunded_at, metadata, revision) = second;
        Order {
            id,
            status,
            customer_email,
            customer_name,
            items,
            total,
            created_at,
            fulfilled_at,
            refunded_at,
            metadata,
            revision,
        }
    });
    order.boxed()
}

fn failure_kind() -> BoxedStrategy<FailureKind> {
    use FailureKind::{
        BadOutput, BadPayload, Denied, Host, LeaseExpired, Limit, Memory, Permanent, RetryAfter, Timeout, Transient,
        Trap,
    };
    let kinds = vec![
        Transient,
        Permanent,
        RetryAfter,
        Timeout,
        Trap,
        Memory,
        Limit,
        Denied,
        BadPayload,
        BadOutput,
        Host,
        LeaseExpired,
    ];
    proptest::sample::select(kinds).boxed()
}

fn log_line() -> BoxedStrategy<LogLine> {
    use LogLevel::{Debug, Error, Info, Stderr, Stdout, Trace, Warn};
    let level = proptest::sample::select(vec![Trace, Debug, Info, Warn, Error, Stdout, Stderr]);
    (time(), level, text(), vec((text(), text()), 0..3))
        .prop_map(|(at, level, message, fields)| LogLine { at, level, message, fields })
        .boxed()
}

fn bill() -> BoxedStrategy<Box<Bill>> {
    let call =
        (text(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(name, at_micros, took_micros, failed)| {
            HostCall { name: name.into(), at_micros, took_micros, failed }
        });
    let bill =
        (any::<[u64; 4]>(), vec(call, 0..3)).prop_map(|([wall_micros, cpu_micros, memory, host_calls], calls)| {
            Box::new(Bill { wall_micros, cpu_micros, memory, host_calls, calls })
        });
    bill.boxed()
}

fn finished() -> BoxedStrategy<EntryKind> {
    use AttemptOutcome::{Cancelled, Completed, Failed, Held, Interrupted, Snoozed};
    let outcome = proptest::sample::select(vec![Completed, Failed, Snoozed, Interrupted, Cancelled, Held]);
    let error =
        (failure_kind(), text(), of(text())).prop_map(|(kind, message, trace)| AttemptError { kind, message, trace });
    let to = proptest::sample::select(RunState::ALL.to_vec());
    let first = (outcome, of(error), of(json()), to, time(), any::<bool>());
    let rest = (vec(log_line(), 0..4), any::<u64>(), of(bill()));
    let finished = (first, rest).prop_map(|(first, (log, log_dropped, bill))| {
        let (outcome, error, output, to, scheduled_at, counted) = first;
        EntryKind::Finished(Box::new(Finished {
            outcome,
            error,
            output,
            to,
            scheduled_at,
            counted,
            log,
            log_dropped,
            bill,
        }))
    });
    finished.boxed()
}

fn effect() -> BoxedStrategy<EffectKey> {
    (text(), text(), 0..9_usize).prop_map(|(kind, to, occurrence)| EffectKey::mail(&kind, &to, occurrence)).boxed()
}

fn answer() -> BoxedStrategy<Arc<KeptAnswer>> {
    let answer = (vec((text(), text()), 0..3), vec(any::<u8>(), 0..20));
    answer.prop_map(|(headers, body)| Arc::new(KeptAnswer { headers, body })).boxed()
}

fn kind() -> BoxedStrategy<EntryKind> {
    let started = (any::<u32>(), any::<[u8; 8]>(), any::<u64>(), of(bucket()));
    let started = started.prop_map(|(attempt, bytes, lease, bucket)| {
        EntryKind::Started(Started { attempt, version: Version::of(&bytes), lease, bucket })
    });
    let settled = (effect(), mail_status(), of(text()), of(text()))
        .prop_map(|(key, status, reply, error)| EntryKind::MailSettled { key, status, reply, error });
    prop_oneof![
        enqueued(),
        started,
        (text(), json()).prop_map(|(name, value)| EntryKind::StepCompleted { name, value }),
        (effect(), mail()).prop_map(|(key, mail)| EntryKind::MailIntended { key, mail }),
        settled,
        (effect(), text(), patch()).prop_map(|(key, order, patch)| EntryKind::OrderUpdated { key, order, patch }),
        finished(),
        text().prop_map(|reason| EntryKind::CancelRequested { reason }),
        text().prop_map(|reason| EntryKind::Cancelled { reason }),
        (time(), any::<u32>())
            .prop_map(|(scheduled_at, max_attempts)| EntryKind::Requeued { scheduled_at, max_attempts }),
        (effect(), text(), patch()).prop_map(|(key, order, patch)| EntryKind::OrderIntended { key, order, patch }),
        (effect(), of(text())).prop_map(|(key, error)| EntryKind::OrderSettled { key, error }),
        time().prop_map(|instead_of| EntryKind::MadeDue { instead_of }),
        (effect(), text(), text()).prop_map(|(key, method, url)| EntryKind::HttpIntended { key, method, url }),
        (effect(), of(any::<u16>()), of(text()), of(answer()))
            .prop_map(|(key, status, error, answer)| EntryKind::HttpSettled { key, status, error, answer }),
    ]
    .boxed()
}

fn source() -> BoxedStrategy<SuppressionSource> {
    prop_oneof![
        Just(SuppressionSource::Bounce),
        text().prop_map(SuppressionSource::Operator),
        text().prop_map(SuppressionSource::Webhook),
    ]
    .boxed()
}

fn token() -> BoxedStrategy<Token> {
    let scope = proptest::sample::select(vec![Scope::Enqueue, Scope::Read, Scope::Operate]);
    let rate =
        (1..u32::MAX, of(pointer())).prop_map(|(limit, key)| RateLimit { limit, period: Duration::from_mins(1), key });
    let first = (any::<[u8; 16]>(), text(), scope, any::<[u8; 32]>(), time());
    let second = (of(time()), of(time()), of(time()), of(rate), of(any::<u32>()));
    let token = (first, second).prop_map(|((id, name, scope, digest, created_at), second)| {
        let (expires_at, revoked_at, last_used_at, rate_limit, max_waiting) = second;
        let (id, digest) = (TokenId::from_bytes(id), SecretDigest(digest));
        Token { id, name, scope, digest, created_at, expires_at, revoked_at, last_used_at, rate_limit, max_waiting }
    });
    token.boxed()
}

fn delivery_id() -> BoxedStrategy<DeliveryId> {
    any::<[u8; 16]>().prop_map(DeliveryId::from_bytes).boxed()
}

fn delivery() -> BoxedStrategy<Delivery> {
    let outcome = prop_oneof![
        event_key().prop_map(|event| DeliveryOutcome::Published { event }),
        vec(text(), 0..3).prop_map(|addresses| DeliveryOutcome::Suppressed { addresses }),
        Just(DeliveryOutcome::Ignored),
        text().prop_map(|reason| DeliveryOutcome::Unmapped { reason }),
    ];
    let first = (delivery_id(), text(), text(), text());
    let delivery =
        (first, time(), text(), outcome, any::<u32>()).prop_map(|(first, received_at, body, outcome, replays)| {
            let (id, endpoint, sender_id, kind) = first;
            Delivery { id, endpoint, sender_id, kind, received_at, body, outcome, replays }
        });
    delivery.boxed()
}

fn descriptor() -> BoxedStrategy<Descriptor> {
    // Components say spans in whole milliseconds.
    let span = || (0..u64::from(u32::MAX)).prop_map(Duration::from_millis);
    let trigger = prop_oneof![text().prop_map(Trigger::Event), text().prop_map(Trigger::Cron)];
    let backoff = prop_oneof![
        span().prop_map(|delay| Backoff::Fixed { delay }),
        (span(), 1.0..9.0, span(), 0.0..1.0).prop_map(|(base, factor, max, jitter)| Backoff::Exponential {
            base,
            factor,
            max,
            jitter
        }),
    ];
    let said = (text(), text(), of(text()), vec(trigger, 0..3), of(text()), of(any::<u8>()), of(any::<u32>()));
    let concurrency = (any::<u32>(), of(text())).prop_map(|(limit, key)| descriptor::Concurrency { limit, key });
    let rate_limit = (any::<u32>(), span(), of(text())).prop_map(|(limit, period, key)| descriptor::RateLimit {
        limit,
        period,
        key,
    });
    let debounce = (span(), of(span()), of(text())).prop_map(|(period, max_wait, key)| descriptor::Debounce {
        period,
        max_wait,
        key,
    });
    let flow = (vec(concurrency, 0..3), of(rate_limit), of(debounce), of(text()), of(span()), of(text()), of(text()));
    (said, of(backoff), of(span()), flow)
        .prop_map(|(said, backoff, timeout, flow)| {
            let (id, title, description, triggers, queue, priority, retries) = said;
            let (concurrency, rate_limit, debounce, unique_key, unique_for, payload_schema, payload_example) = flow;
            Descriptor {
                id,
                title,
                description,
                triggers,
                queue,
                priority,
                retries,
                backoff,
                timeout,
                concurrency,
                rate_limit,
                debounce,
                unique_key,
                unique_for,
                payload_schema,
                payload_example,
            }
        })
        .boxed()
}

fn job_version() -> BoxedStrategy<JobVersion> {
    let of_file = (text(), vec(text(), 0..3), any::<u64>());
    (job(), any::<[u8; 8]>(), of_file, descriptor(), time(), time())
        .prop_map(|(job, bytes, (file, imports, size), descriptor, first_loaded_at, last_loaded_at)| {
            let version = Version::of(&bytes);
            JobVersion { job, version, file, descriptor, imports, size, first_loaded_at, last_loaded_at }
        })
        .boxed()
}

fn notice() -> BoxedStrategy<Notice> {
    let news = prop_oneof![Just(News::Appeared), Just(News::Spiked)];
    let times = (time(), of(time()), of(time()));
    (job(), any::<u64>(), any::<[u8; 16]>(), news, times, any::<bool>())
        .prop_map(|(job, fingerprint, message, news, (begun_at, ended_at, told_at), emptied)| {
            let message = NoticeId::from_bytes(message);
            Notice { job, fingerprint, message, news, begun_at, ended_at, told_at, emptied }
        })
        .boxed()
}

fn control() -> BoxedStrategy<Control> {
    let pause = || of((text(), time()).prop_map(|(by, at)| Pause { by, at }));
    prop_oneof![
        (text(), of(any::<u32>()), pause()).prop_map(|(name, concurrency, paused)| {
            Control::Queue { name, control: QueueControl { concurrency, paused } }
        }),
        (job(), pause()).prop_map(|(job, paused)| Control::Job { job, control: JobControl { paused } }),
        (job(), text(), time(), of(run_id()), any::<bool>()).prop_map(|(job, cron, up_to, last_run, ended)| {
            Control::Schedule(Schedule { job, cron, up_to, last_run, ended })
        }),
        (of(text()), text(), of(text()), source(), time()).prop_map(|(address, digest, reason, source, at)| {
            Control::Suppression(Suppression { address, digest: AddressDigest::of(&digest), reason, source, at })
        }),
        text().prop_map(|text| Control::SuppressionLifted(AddressDigest::of(&text))),
        token().prop_map(|token| Control::Token(Box::new(token))),
        notice().prop_map(|notice| Control::Notice(Box::new(notice))),
        (job(), any::<u64>()).prop_map(|(job, fingerprint)| Control::NoticeGone { job, fingerprint }),
        job_version().prop_map(|version| Control::Version(Box::new(version))),
        (job(), any::<[u8; 8]>(), time(), text(), of(text())).prop_map(|(job, bytes, at, by, reason)| {
            Control::Pinned(Box::new(Pin { job, version: Version::of(&bytes), at, by, reason }))
        }),
        job().prop_map(Control::Unpinned),
    ]
    .boxed()
}

fn record() -> BoxedStrategy<Record> {
    let entries = vec((time(), kind()).prop_map(|(at, kind)| Entry { at, kind }), 1..6);
    prop_oneof![
        4 => (run_id(), any::<u32>(), entries).prop_map(|(run, first, entries)| Record::Journal { run, first, entries }),
        1 => (reference(), json(), time(), vec(run_id(), 0..3))
            .prop_map(|(reference, data, received_at, runs)| Record::Event { reference, data, received_at, runs }),
        1 => control().prop_map(Record::Control),
        1 => order().prop_map(Record::Order),
        1 => any::<[u8; 16]>().prop_map(|up_to| Record::MailCleared { up_to: MailId::from_bytes(up_to) }),
        1 => vec(run_id(), 0..4).prop_map(|runs| Record::Pruned { runs }),
        1 => vec(event_key(), 0..4).prop_map(|events| Record::PrunedEvents { events }),
        1 => delivery().prop_map(Record::Delivery),
        1 => vec(delivery_id(), 0..4).prop_map(|deliveries| Record::PrunedDeliveries { deliveries }),
        1 => any::<u64>().prop_map(|block| Record::Floor { block }),
    ]
    .boxed()
}

fn bytes_of(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(record, &mut bytes).expect("encodes");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_record_reads_back_as_it_was_written(record in record()) {
        prop_assert_eq!(decode(&bytes_of(&record)), Ok(record));
    }

    #[test]
    fn a_record_that_was_cut_is_none(record in record(), place in any::<proptest::sample::Index>()) {
        let bytes = bytes_of(&record);
        prop_assert!(decode(&bytes[..place.index(bytes.len())]).is_err());
    }
}

#[test]
fn an_unknown_kind_is_named() {
    let reason = decode(&[0xff, 0xc0]).expect_err("is none");
    assert!(reason.contains("unknown kind 0xff"), "{reason}");
}

#[test]
fn a_journal_without_entries_is_none() {
    let empty = Record::Journal { run: RunId::from_bytes([7; 16]), first: 0, entries: Vec::new() };
    assert_eq!(decode(&bytes_of(&empty)), Err("a journal without entries".to_owned()));
}

/// Ids, versions and contents are bytes, not lists of numbers.
#[test]
fn bytes_are_kept_as_bytes() {
    let cleared = Record::MailCleared { up_to: MailId::from_bytes([200; 16]) };
    assert_eq!(bytes_of(&cleared).len(), 1 + 18);
}
