//! The hostile components: those that load and what their runs must end as, and those that must not load and why.
//! Nothing here runs them.

use crate::sandbox::bytes;
use crate::support::guest::{DATA, Guest};

/// The function by which a guest prints.
const WRITE: &str = "[method]output-stream.blocking-write-and-flush";
const LOG: &str = "(param i32 i32 i32 i32 i32)";
const LOG_CALL: &str = "(call $log (i32.const 2) (i32.const 2048) (i32.const 1) (i32.const 0) (i32.const 0))";
const FOREVER: &str = "(loop $l (br $l)) (unreachable)";
/// Where an id lies that a guest was given: where nothing else lies.
const ID: usize = 32_768;

/// It loops where it has the setting `loop`.
pub(crate) const LOOPS_AT_EACH_START: &str = "s02-loop-at-each-start";

/// The guest under another id, which is its title too.
pub(crate) fn named(guest: Guest, id: &str) -> Guest {
    guest.data(ID, id).words(256, &[ID, id.len(), ID, id.len()])
}

/// What a run must end as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Dead, with a failure of this kind whose message has this in it.
    Failed(&'static str, &'static str),
    /// Completed with this output.
    Output(&'static str),
}

/// A component that loads.
pub(crate) struct Running {
    /// Its number in the list of attacks, and what it does; the job's id.
    pub(crate) id: &'static str,
    pub(crate) guest: Guest,
    pub(crate) end: End,
}

fn timeout() -> End {
    End::Failed("timeout", "took longer than 1s")
}

fn timer(guest: Guest) -> Guest {
    guest
        .import_from("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration", "$timer", "(param i64) (result i32)")
        .import_from("wasi:io/poll@0.2.0", "[method]pollable.block", "$block", "(param i32)")
}

/// A guest that loops while it is instantiated, if it has a setting. `describe` has none, so it loads.
fn looping_at_each_start() -> Guest {
    let initialize = "(func (export \"_initialize\")
        (call $setting (i32.const 2048) (i32.const 4) (i32.const 4096))
        (if (i32.load8_u (i32.const 4100)) (then (loop $l (br $l)))))";
    Guest::new("(call $done)").data(DATA, "loop").item(initialize).import_from(
        "wasi:config/store@0.2.0-rc.1",
        "get",
        "$setting",
        "(param i32 i32 i32)",
    )
}

/// A guest that sends one mail after the other and takes no refusal for an answer.
fn flooding_mailboxes() -> Guest {
    Guest::new("(loop $l (call $send (i32.const 3072) (i32.const 4096)) (br $l)) (unreachable)")
        .import("email", "send-email", "$send", "(param i32 i32)")
        .data(DATA, "welcome")
        .data(DATA + 16, "a@example.com")
        .data(DATA + 48, "Hello")
        .words(3072, &[DATA, 7, DATA + 16, 13])
        .words(3072 + 52, &[DATA + 48, 5, DATA + 48, 5])
}

fn random(run: &str) -> Guest {
    Guest::new(run).import_from("wasi:random/random@0.2.0", "get-random-bytes", "$random", "(param i64 i32)")
}

/// Those that load.
pub(crate) fn running() -> Vec<Running> {
    let row = |id, guest: Guest, end| Running { id, guest: named(guest, id), end };
    let mut rows = loops();
    rows.extend(hoarders());
    rows.extend(liars());
    rows.extend(snoopers());
    rows.into_iter().map(|(id, guest, end)| row(id, guest, end)).collect()
}

/// What takes time.
fn loops() -> Vec<(&'static str, Guest, End)> {
    vec![
        ("s01-loop", Guest::new(FOREVER), timeout()),
        (LOOPS_AT_EACH_START, looping_at_each_start(), timeout()),
        ("s03-loop-in-realloc", Guest::new("(call $done)").reallocating("(loop $l (br $l))"), timeout()),
        (
            "s04-loop-after-the-result",
            Guest::new("(call $done)")
                .item("(func (export \"cabi_post_jobmill:job/lifecycle@0.1.0#run\") (param i32) (loop $l (br $l)))"),
            timeout(),
        ),
        (
            "s16-sleep-for-centuries",
            timer(Guest::new("(call $block (call $timer (i64.const 9000000000000000000))) (call $done)")),
            timeout(),
        ),
        (
            "s17-long-instructions",
            Guest::new(
                "(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 60000000)) (br $l)) (unreachable)",
            )
            .pages(960),
            timeout(),
        ),
        (
            "s22-spin-on-the-clock",
            Guest::new("(loop $l (drop (call $now)) (br $l)) (unreachable)").import_from(
                "wasi:clocks/monotonic-clock@0.2.0",
                "now",
                "$now",
                "(result i64)",
            ),
            timeout(),
        ),
        (
            "s15-random-for-ever",
            random(
                "(loop $l (call $random (i64.const 60000) (i32.const 4096)) (global.set $heap (i32.const 65536)) (br $l)) (unreachable)",
            ),
            timeout(),
        ),
    ]
}

/// What takes memory, stack, and the host's own memory.
fn hoarders() -> Vec<(&'static str, Guest, End)> {
    let printing = Guest::new(
        "(local $stdout i32) (local.set $stdout (call $stdout))
         (loop $l (call $write (local.get $stdout) (i32.const 2048) (i32.const 4000) (i32.const 1024)) (br $l))
         (unreachable)",
    )
    .import_from("wasi:cli/stdout@0.2.0", "get-stdout", "$stdout", "(result i32)")
    .import_from("wasi:io/streams@0.2.0", WRITE, "$write", "(param i32 i32 i32 i32)");
    let overlapping: Vec<usize> = (0..1_000).flat_map(|_| [65_536, 1_000_000, 65_536, 1_000_000]).collect();
    let amplified = Guest::new(
        "(call $log (i32.const 2) (i32.const 2048) (i32.const 1) (i32.const 4096) (i32.const 1000)) (call $done)",
    );
    // Each page is touched, or it would be a promise alone.
    let growing = "(local $at i32)
        (loop $l
          (local.set $at (i32.shl (memory.size) (i32.const 16)))
          (drop (memory.grow (i32.const 16)))
          (memory.fill (local.get $at) (i32.const 1) (i32.const 1048576))
          (br $l))
        (unreachable)";
    let logging = |run: &str| Guest::new(run).data(DATA, "x").import("log", "log", "$log", LOG);
    vec![
        ("s05-memory", Guest::new(growing), End::Failed("memory", "64 MiB (limits.memory)")),
        (
            "s06-table",
            Guest::new("(drop (table.grow $t (ref.null func) (i32.const 30000))) (call $done)")
                .item("(table $t 0 funcref)"),
            End::Failed("limit", "limits.table_elements"),
        ),
        (
            "s07-recursion",
            Guest::new("(call $again) (call $done)").item("(func $again (call $again))"),
            End::Failed("trap", "call stack exhausted"),
        ),
        (
            "s08-huge-log-line",
            logging("(call $log (i32.const 2) (i32.const 65536) (i32.const 60000000) (i32.const 0) (i32.const 0)) (call $done)")
                .pages(1_000),
            End::Failed("limit", "limits.host_call"),
        ),
        (
            "s08-huge-output",
            Guest::new("(call $output (i32.const 65536) (i32.const 50000000))").pages(1_000),
            End::Failed("limit", "limits."),
        ),
        (
            "s09-overlapping-texts",
            amplified.pages(24).words(4096, &overlapping).import("log", "log", "$log", LOG),
            End::Failed("limit", "limits.host_call"),
        ),
        (
            "s12-log-flood",
            logging(&format!("(loop $l {LOG_CALL} (br $l)) (unreachable)")),
            End::Failed("limit", "limits.host_calls"),
        ),
        ("s12-mail-flood", flooding_mailboxes(), End::Failed("limit", "limits.host_calls")),
        ("s13-print-flood", printing, End::Failed("limit", "limits.host_calls")),
        (
            "s14-timers",
            timer(Guest::new("(loop $l (drop (call $timer (i64.const 1))) (br $l)) (unreachable)")),
            End::Failed("limit", "limits.handles"),
        ),
        (
            "s15-much-random",
            random("(call $random (i64.const 60000000) (i32.const 4096)) (call $done)"),
            End::Failed("limit", "limits.random"),
        ),
    ]
}

/// What hands over what it should not.
fn liars() -> Vec<(&'static str, Guest, End)> {
    let markup = "\"\\u0000\\u001b[2J\u{202e}\\r\\n<script>alert('output')</script>\"";
    let length = markup.len();
    vec![
        (
            "s10-beyond-its-memory",
            Guest::new("(call $output (i32.const 2147483632) (i32.const 100))"),
            End::Failed("trap", ""),
        ),
        (
            "s10-not-utf-8",
            Guest::new("(i32.store8 (i32.const 2048) (i32.const 255)) (call $output (i32.const 2048) (i32.const 1))"),
            End::Failed("trap", ""),
        ),
        ("s10-result-nowhere", Guest::new("(i32.const -16)"), End::Failed("trap", "")),
        (
            "s10-realloc-nowhere",
            Guest::new("(call $done)").reallocating("(return (i32.const -16))"),
            End::Failed("trap", ""),
        ),
        (
            "s11-no-json",
            Guest::new("(call $output (i32.const 2048) (i32.const 8))").data(DATA, "<script>"),
            End::Failed("bad-output", ""),
        ),
        (
            "s11-control-characters",
            Guest::new(&format!("(call $output (i32.const 2048) (i32.const {length}))")).data(DATA, markup),
            End::Output("\u{0}\u{1b}[2J\u{202e}\r\n<script>alert('output')</script>"),
        ),
        (
            "s34-names",
            Guest::new("(call $\"x\\1b[2J\\0a<script>alert('name')</script>\") (call $done)")
                .item("(func $\"x\\1b[2J\\0a<script>alert('name')</script>\" (unreachable))"),
            End::Failed("trap", "unreachable"),
        ),
    ]
}

/// What looks around.
fn snoopers() -> Vec<(&'static str, Guest, End)> {
    let count = |call: &str| {
        Guest::counting(&format!("(call {call} (i32.const 4096)) (call $good (i32.load (i32.const 4100)))"))
    };
    // The output is 1 plus a byte of the memory plus a global; both are changed afterwards.
    let remembering = Guest::new(
        "(i32.store8 (i32.const 2048)
           (i32.add (i32.const 49) (i32.add (global.get $seen) (i32.load8_u (i32.const 100000)))))
         (memory.fill (i32.const 65536) (i32.const 1) (i32.const 65536))
         (global.set $seen (i32.const 1))
         (call $output (i32.const 2048) (i32.const 1))",
    )
    .item("(global $seen (mut i32) (i32.const 0))");
    let socket = |interface: &str, function: &str| {
        Guest::new("(call $socket (i32.const 0) (i32.const 4096)) (unreachable)").import_from(
            interface,
            function,
            "$socket",
            "(param i32 i32)",
        )
    };
    let resolving =
        Guest::new("(call $resolve (call $network) (i32.const 2048) (i32.const 9) (i32.const 4096)) (unreachable)")
            .data(DATA, "localhost")
            .import_from("wasi:sockets/instance-network@0.2.0", "instance-network", "$network", "(result i32)")
            .import_from(
                "wasi:sockets/ip-name-lookup@0.2.0",
                "resolve-addresses",
                "$resolve",
                "(param i32 i32 i32 i32)",
            );
    vec![
        (
            "s18-files",
            count("$files").import_from("wasi:filesystem/preopens@0.2.0", "get-directories", "$files", "(param i32)"),
            End::Output("0"),
        ),
        (
            "s19-environment",
            count("$all").import_from("wasi:cli/environment@0.2.0", "get-environment", "$all", "(param i32)"),
            End::Output("0"),
        ),
        (
            "s19-arguments",
            count("$all").import_from("wasi:cli/environment@0.2.0", "get-arguments", "$all", "(param i32)"),
            End::Output("0"),
        ),
        (
            "s20-tcp",
            socket("wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket"),
            End::Failed("denied", "a TCP socket"),
        ),
        (
            "s20-udp",
            socket("wasi:sockets/udp-create-socket@0.2.0", "create-udp-socket"),
            End::Failed("denied", "a UDP socket"),
        ),
        ("s20-names", resolving, End::Failed("denied", "a look-up of \"localhost\"")),
        (
            "s21-exit",
            Guest::new("(call $exit (i32.const 0)) (call $done)").import_from(
                "wasi:cli/exit@0.2.0",
                "exit",
                "$exit",
                "(param i32)",
            ),
            End::Failed("trap", "exited with status 0"),
        ),
        ("s35-memory-of-another-run", remembering, End::Output("1")),
    ]
}

/// A component that must not load.
pub(crate) struct Refused {
    /// Its file, without the ending.
    pub(crate) file: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// What the reason must have in it.
    pub(crate) reason: &'static str,
}

/// Those that must not load.
pub(crate) fn refused() -> Vec<Refused> {
    let of = |file, guest: Guest, reason| Refused { file, bytes: guest.component(), reason };
    let done = || Guest::new("(call $done)");
    let mut rows = vec![
        of("s02-loop-at-start", done().item("(func $s (loop $l (br $l))) (start $s)"), "describe: took longer than 1s"),
        of("s05-4-gib", done().pages(65_535), "memory"),
        of("s06-all-elements", done().item("(table 4294967295 funcref)"), "table"),
        of("s23-loop", done().describing(FOREVER), "describe: took longer than 1s"),
        of("s23-trap", done().describing("(unreachable)"), "describe: wasm trap"),
        of("s23-48-mib", named_by_memory(48_000_000), "describe: "),
        of(
            "s32-import",
            done().import_from("acme:kv/store@1.0.0", "get", "$get", "(result i32)"),
            "acme:kv/store@1.0.0",
        ),
        of("s33-newer", done().version("0.2.0"), "version 0.2.0"),
        of("s33-older", done().version("0.0.9"), "version 0.0.9"),
    ];
    rows.extend(badly_described());
    rows.extend(bytes::hard_to_compile());
    rows.extend(bytes::of_wrong_types());
    rows
}

/// A guest whose id is so many zero bytes.
fn named_by_memory(length: usize) -> Guest {
    Guest::new("(call $done)").pages(1_000).words(256, &[65_536, length, 16, 5])
}

/// What a component may not say of itself.
fn badly_described() -> Vec<Refused> {
    let of = |file, guest: Guest, reason| Refused { file, bytes: guest.component(), reason };
    let called = |file, id: &str| of(file, named(Guest::new("(call $done)"), id), "id");
    let done = || named(Guest::new("(call $done)"), "s23-bad");
    vec![
        called("s23-slash", "../etc/passwd"),
        called("s23-nul", "a\0b"),
        called("s23-long", &"a".repeat(10_000)),
        called("s23-right-to-left", "a\u{202e}b"),
        called("s23-markup", "<script>alert('id')</script>"),
        called("s23-empty", ""),
        // retries at 308 and 312: some, all that fit.
        of("s23-retries", done().words(308, &[1, 4_294_967_295]), "retries"),
        // timeout at 368: some, none at all.
        of("s23-no-time", done().words(368, &[1, 0, 0, 0]), "timeout"),
        // triggers at 284: one cron.
        of(
            "s23-cron",
            done().words(284, &[DATA, 1]).words(DATA, &[1, DATA + 64, 9]).data(DATA + 64, "* * * * x"),
            "cron",
        ),
    ]
}
