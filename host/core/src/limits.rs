//! Every bound of the engine in one place, each with its reason.
//! It enforces nothing: whoever owns the queue, buffer or loop compares with these.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes of a run's payload. Payloads are names of things, not the things: a quarter of a megabyte holds any order.
pub const PAYLOAD_BYTES: usize = 256 * KIB;
/// Bytes of a run's output; the same reason.
pub const OUTPUT_BYTES: usize = 256 * KIB;
/// Entries of a run's journal: a run that takes more steps than this is several runs.
pub const JOURNAL_ENTRIES: usize = 1_000;
/// Bytes of a run's journal, so that one run can be read back in one go.
pub const JOURNAL_BYTES: usize = 4 * MIB;
/// Bytes of a step's name: names are keys.
pub const STEP_NAME_BYTES: usize = 128;
/// Log lines kept of a run; what exceeds them is counted and dropped.
pub const LOG_LINES: usize = 500;
/// Bytes of log kept of a run.
pub const LOG_BYTES: usize = 64 * KIB;
/// Bytes of an error's text or trace, long enough for a backtrace and short enough for a list.
pub const ERROR_TEXT_BYTES: usize = 4 * KIB;
/// Retries after the first attempt.
pub const RETRIES: u32 = 100;
/// Wall-clock budget of one attempt, when the job names none.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The longest wall-clock budget a job may name: longer work belongs into several runs.
pub const TIMEOUT_MAX: Duration = Duration::from_hours(1);
/// The farthest a run can be put off, by delay, snooze or retry-after: a year.
pub const DELAY_MAX: Duration = Duration::from_hours(8784);
/// Bytes of a component file: room for components made from JavaScript and Python.
pub const COMPONENT_BYTES: u64 = 64 * MIB as u64;
/// Processor time of compiling one component, over all cores: large ones take seconds, so that whatever takes longer is no job.
pub const COMPILE_CPU: Duration = Duration::from_mins(1);
/// Bytes of memory of compiling one component: ten times what the largest jobs take, and less than a small machine has.
pub const COMPILE_BYTES: u64 = 2 * 1024 * MIB as u64;
/// Wall-clock budget of compiling one component: its processor time on a machine that is busy with other things.
pub const COMPILE_TIMEOUT: Duration = Duration::from_mins(5);
/// Bytes of the compiled code of one component: eight times the largest component.
pub const COMPILED_BYTES: u64 = 512 * MIB as u64;
/// Bytes of compiled code that are kept between starts.
pub const CODE_CACHE_BYTES: u64 = 2 * COMPILED_BYTES;
/// Components whose code is kept: more than a hopper has, with some versions of each.
pub const COMPILED_FILES: usize = 500;
/// Components of which it is kept that they can't be compiled.
pub const REFUSED_FILES: usize = 500;
/// Wall-clock budget of `describe` with its instantiation: it only returns constants.
pub const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of linear memory of one attempt.
pub const MEMORY_BYTES: usize = 64 * MIB;
/// Elements of a table of one attempt.
pub const TABLE_ELEMENTS: usize = 20_000;
/// Core instances, memories and tables of one attempt.
pub const INSTANCES: usize = 50;
/// Trials at once: each takes the memory of an attempt beside those that the engine has permits for, and people ask for them.
pub const TRIALS: usize = 2;
/// Host calls of one attempt.
pub const HOST_CALLS: u64 = 10_000;
/// Mails of one run, unless the operator says otherwise: a run is about one thing that happened.
pub const MAILS: u32 = 10;
/// Mails that an operator may allow a run: each takes two entries of its journal.
pub const MAILS_MAX: u32 = 200;
/// Bytes that one host call may lift out of the guest.
pub const HOST_CALL_BYTES: usize = MIB;
/// Random bytes that one WASI call may ask for.
pub const RANDOM_BYTES: u64 = 64 * KIB as u64;
/// Resources that a guest may hold at once.
pub const RESOURCE_HANDLES: usize = 1_000;
/// The most of each that an operator may allow a job: what one attempt may cost the machine without the others noticing.
pub const MEMORY_BYTES_MAX: usize = 1024 * MIB;
/// Elements of a table, at most: each takes eight bytes beside the linear memory.
pub const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// Host calls of an attempt, at most: more is a loop.
pub const HOST_CALLS_MAX: u64 = 1_000_000;
/// Bytes that one host call may lift, at most: an attempt holds them twice for a moment.
pub const HOST_CALL_BYTES_MAX: usize = 16 * MIB;
/// Resources, at most.
pub const RESOURCE_HANDLES_MAX: usize = 100_000;
/// Lines of a run's log, at most.
pub const LOG_LINES_MAX: usize = 10_000;
/// Bytes of a run's log, at most: it is stored and shown in one go.
pub const LOG_BYTES_MAX: usize = MIB;
/// HTTP requests of one attempt, unless the operator says otherwise.
pub const HTTP_REQUESTS: u64 = 100;
/// Bytes of the body of one HTTP response: jobs read answers, and no files.
pub const HTTP_RESPONSE_BYTES: u64 = MIB as u64;
/// Bytes of the body of one HTTP response, at most.
pub const HTTP_RESPONSE_BYTES_MAX: u64 = 64 * MIB as u64;
/// Bytes of the body of one HTTP request: what a job tells others is of the size of what it is told.
pub const HTTP_REQUEST_BYTES: usize = MIB;
/// Bytes of an HTTP request's URL, as long as servers commonly take.
pub const HTTP_URL_BYTES: usize = 8 * KIB;
/// Bytes of the head of an HTTP answer, as servers and their clients commonly have it.
pub const HTTP_HEAD_BYTES: usize = 64 * KIB;
/// Headers of an HTTP request or answer; the same reason.
pub const HTTP_HEADERS: usize = 100;
/// The longest that an HTTP request may take, from looking its host up to the last byte of the answer: less than an attempt may.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(30);
/// Addresses of a host that are tried: the first of them that answers is taken, and most hosts have one or two.
pub const HTTP_ADDRESSES: usize = 4;
/// Bytes of HTTP bodies that an attempt may hold at once outside of its memory, if one of them alone may not have more.
pub const HTTP_HELD_BYTES: usize = 8 * MIB;
/// Bytes of an HTTP answer that the journal keeps for later attempts: an answer to a change is a confirmation.
pub const HTTP_KEPT_BYTES: usize = 64 * KIB;
/// Secrets of a job.
pub const JOB_SECRETS: usize = 100;
/// Bytes of a secret of a job, at least: what answers repeat of it is masked, which shorter ones would do to words.
pub const JOB_SECRET_BYTES_MIN: usize = 8;
/// Hosts that a job may be allowed to reach: each is looked at for every request.
pub const ALLOWED_HOSTS: usize = 100;
/// Settings of a job.
pub const JOB_SETTINGS: usize = 100;
/// Bytes of a setting of a job, with its name.
pub const JOB_SETTING_BYTES: usize = 4 * KIB;
/// Host calls that an attempt's bill lists; more are counted.
pub const BILLED_CALLS: usize = 50;
/// Attempts of a version of which is known what they used, the newest: enough for a percentile, and at most 12 KiB a version.
pub const BILLED_ATTEMPTS: usize = 500;
/// Versions of a job of which that is known: what serves is compared with what served before.
pub const BILLED_VERSIONS: usize = 5;
/// Jobs of which that is known; of more, those that did nothing for longest are dropped.
pub const BILLED_JOBS: usize = 1_000;
/// Bytes of a request body.
pub const REQUEST_BYTES: usize = 4 * MIB;
/// Events of one request.
pub const EVENTS_PER_REQUEST: usize = 5_000;
/// Items of one page of a list.
pub const PAGE_ITEMS: usize = 200;
/// Items of one page when the request names no limit.
pub const PAGE_ITEMS_DEFAULT: usize = 50;
/// The longest that a request may wait for its run's end.
pub const WAIT_MAX: Duration = Duration::from_mins(5);
/// Tags of a run.
pub const TAGS: usize = 20;
/// Bytes of a tag, a unique key, or an idempotency key.
pub const KEY_BYTES: usize = 256;
/// Bytes of a job's title.
pub const TITLE_BYTES: usize = 200;
/// Bytes of a job's description.
pub const DESCRIPTION_BYTES: usize = 4 * KIB;
/// Triggers of a job.
pub const TRIGGERS: usize = 50;
/// Bytes of a cron expression: the longest zone name and five fields with lists.
pub const CRON_BYTES: usize = 200;
/// Bytes of an event's name, as Inngest has it.
pub const EVENT_NAME_BYTES: usize = 512;
/// How long an idempotency or unique key names its first run: what hosted services promise.
pub const UNIQUE_WINDOW: Duration = Duration::from_hours(24);
/// How long the id that its sender gave a webhook delivery is remembered: Stripe tries for three days, and people replay by
/// hand after a weekend.
pub const DELIVERY_WINDOW: Duration = Duration::from_hours(7 * 24);
/// The shortest span that a setting may name: time is told in milliseconds.
pub const SPAN_MIN: Duration = Duration::from_millis(1);
/// The longest that a unique key is remembered: each is kept in memory as long, and a month is a billing period.
pub const UNIQUE_FOR_MAX: Duration = Duration::from_hours(30 * 24);
/// Runs at once of a concurrency limit: far above what one machine has under way, so that larger ones are typing errors.
pub const CONCURRENCY: u32 = 100_000;
/// Concurrency limits of a job: every claim asks each of them.
pub const CONCURRENCY_LIMITS: usize = 4;
/// Starts in one period of a rate limit: more than a machine can start in most periods.
pub const RATE: u32 = 1_000_000;
/// The longest period of a rate limit: what others allow is told by the day at most.
pub const RATE_PERIOD_MAX: Duration = Duration::from_hours(24);
/// The longest quiet that a debounced run waits for: what has not become quiet in a week is a schedule.
pub const DEBOUNCE_MAX: Duration = Duration::from_hours(7 * 24);
/// The longest that a debounced run is put off in all, however restless the enqueues.
pub const DEBOUNCE_WAIT_MAX: Duration = Duration::from_hours(30 * 24);
/// The latest that a run may expire after it was due: no run is put off for longer than about a year.
pub const EXPIRES_MAX: Duration = Duration::from_hours(365 * 24);
/// Events that cancel a job's runs: each is looked up for every event that is published.
pub const CANCEL_ON: usize = 10;
/// Cron expressions of a job: one has lists and ranges of its own.
pub const CRONS: usize = 10;
/// The shortest window and pause of a breaker: below, one slow attempt decides.
pub const BREAKER_SPAN_MIN: Duration = Duration::from_secs(1);
/// The longest window and pause of a breaker: a day after, it is another day's trouble.
pub const BREAKER_SPAN_MAX: Duration = Duration::from_hours(24);
/// Attempts that a breaker may want to see before it judges; it keeps count of no more.
pub const BREAKER_ATTEMPTS: u32 = 10_000;
/// Runs that may wait, over all jobs, when the configuration names no number: each takes about 0.9 KB of memory.
pub const WAITING_DEFAULT: u32 = 2_000_000;
/// Idempotency keys that a debounced run remembers of the requests that it took in.
pub const DEBOUNCED_KEYS: usize = 100;
/// Runs whose time to begin is over that one commit cancels.
pub const EXPIRED_AT_ONCE: usize = 1_000;
/// Bytes of a whole mail, attachments included, as large as providers take after encoding.
pub const MAIL_BYTES: usize = MIB;
/// Captured mails that the e-mail log shows, unless the operator says otherwise: more than a person looks through after a
/// change, and few enough for a page.
pub const CAPTURED_MAILS: usize = 500;
/// Bytes of a mail's subject.
pub const SUBJECT_BYTES: usize = 998;
/// Commands that may wait for the store's next commit; a sender beyond them waits for room.
pub const COMMITS_WAITING: usize = 8_192;
/// Commands of one commit, so that a flood does not make the first in it wait for all of it.
pub const COMMANDS_PER_COMMIT: usize = 4_096;
/// Bytes of payloads that are kept at hand for the claims to come.
pub const PAYLOADS_KEPT_BYTES: usize = 32 * MIB;
/// Due runs that one claim moves to where claims look: a flood that becomes due at once must not hold everybody up.
pub const DUE_PER_CLAIM: usize = 8_192;
/// Runs that are counted to tell one its position; beyond them a number would help nobody.
pub const POSITION_COUNTED: usize = 10_000;
/// Runs, and events without runs, that one step of pruning takes out.
pub const PRUNED_AT_ONCE: usize = 2_000;
/// Bytes that are left free on the disk, so that what was accepted can end: new work is refused before.
pub const DISK_RESERVE_BYTES: u64 = 32 * MIB as u64;
/// Runs changed by one bulk action.
pub const BULK_RUNS: usize = 10_000;
/// Groups of dead runs that are on record as told of: with more of them, what is wrong is not one of them.
pub const NOTICES: usize = 10_000;
/// Groups that one message tells of: more than a person reads, and few enough for a mail.
pub const NOTICE_GROUPS: usize = 50;
/// Messages on their way at once. What is news beyond them waits, and goes into one message.
pub const NOTICES_UNDER_WAY: usize = 8;
/// Bytes of an error's first line in a message.
pub const NOTICE_ERROR_BYTES: usize = 500;
/// Mail addresses that are told of dead runs: a team has a list of its own.
pub const NOTICE_ADDRESSES: usize = 10;
/// Within what time so many runs make a group a spike.
pub const SPIKE_WINDOW: Duration = Duration::from_mins(10);
/// Entries of the audit list, the newest: more than a team adds in months, and some MiB of memory.
pub const AUDIT_ENTRIES: usize = 10_000;
/// Bytes of what an operator's action was done to: an address, a queue, an id.
pub const AUDIT_TARGET_BYTES: usize = 512;
/// Bytes of what is told of an operator's action: a filter, counts and a reason.
pub const AUDIT_DETAIL_BYTES: usize = KIB;
/// Versions of a job that are kept, the newest: more than anybody compares, and months of work on a job.
pub const VERSIONS: usize = 20;
/// Bytes of what those versions of a job say of themselves, but for the newest, which is kept however long it is.
pub const VERSIONS_BYTES: usize = MIB;
/// Jobs whose versions are kept, those that were loaded last: they are in memory, and no hopper has as many.
pub const VERSIONS_JOBS: usize = 1_000;
/// Versions of a job whose components are kept, the newest: one that is bad is seldom found out after four others.
pub const VERSIONS_WITH_BYTES: usize = 5;
/// Bytes of all components that are kept; those that serve or are pinned are kept however many they have.
pub const COMPONENTS_KEPT_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of the reason why a job is held to a version: a sentence or two.
pub const PIN_REASON_BYTES: usize = KIB;
/// Rollbacks that may wait for the hopper: operators ask for them one at a time.
pub const ROLLBACKS_WAITING: usize = 16;
/// Ends of attempts that may wait to be looked at for whether a new version is bad. One that is dropped is one end less seen.
pub const ENDS_WAITING: usize = 1_024;
/// Runs of a job that are read to find the last attempts of a version of it.
pub const VERSION_RUNS_READ: usize = 100;

/// The longest head of `text` within `bytes` that ends at a character.
pub fn truncate(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
