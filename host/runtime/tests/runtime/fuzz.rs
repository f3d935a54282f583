//! Random components: good ones that were damaged, and ones whose code is random. Each is refused or runs; none makes the host
//! panic or hang. What is refused, and by which words, is in `load`; what a generator of valid modules makes is in `smith`.
//!
//! `COMPONENTS` says how many, `SEED` takes back what a test printed.

use std::time::Duration;

use jobmill_core::Outcome;
use jobmill_engine::{Loaded, Stop};

use crate::bench::{Bench, TIMEOUT};
use crate::guest::Guest;
use crate::random::{Random, rounds};

/// Random components, unless said otherwise.
pub(crate) const COMPONENTS: u64 = 300;
/// Real time that random code gets before its clock runs out. Most of it ends at once or never.
const PATIENCE: Duration = Duration::from_millis(20);

/// Numbers at which something changes.
const EDGES: [i64; 14] = [0, 1, 2, 7, 8, 16, 255, 65_535, 65_536, 131_071, 131_072, 0x7fff_ffff, -1, -0x8000_0000];

/// One attempt, which ends by itself or when its clock runs out.
#[expect(
    clippy::disallowed_methods,
    reason = "random code computes for as long as the machine lets it, whatever the bench's clock says"
)]
async fn run(bench: &Bench, loaded: &Loaded) -> Outcome {
    bench.enqueue("{}").await;
    let context = bench.claim().await;
    let running = loaded.runner.run(context, TIMEOUT, Stop::default());
    let passing = async {
        loop {
            tokio::time::sleep(PATIENCE).await;
            bench.clock.advance(TIMEOUT);
        }
    };
    let bounded = async {
        tokio::select! {
            (outcome, _) = running => outcome,
            () = passing => unreachable!("time does not end"),
        }
    };
    tokio::time::timeout(Duration::from_mins(1), bounded).await.expect("an attempt is bounded")
}

/// What became of so many components.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) refused: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
}

impl Ends {
    /// Loads the component and, if it is a job, runs it once.
    pub(crate) async fn of(&mut self, bench: &Bench, component: Vec<u8>) {
        match bench.try_load(component).await {
            Err(reason) => {
                assert!(!reason.contains("panicked"), "{reason}");
                self.refused += 1;
            }
            Ok(loaded) => match run(bench, &loaded).await {
                Outcome::Completed { .. } => self.completed += 1,
                Outcome::Failed { error, .. } => {
                    assert!(!error.message.contains("panicked"), "{error:?}");
                    self.failed += 1;
                }
                Outcome::Snoozed { .. } => {}
                other => panic!("{other:?}"),
            },
        }
    }
}

/// A job that uses some of everything, so that damage finds something to damage.
fn good() -> Vec<u8> {
    let log = "(call $log (i32.const 2) (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0))";
    Guest::new(&format!("{log} (drop (call $timer (i64.const 5))) (call $output (i32.const 2052) (i32.const 2))"))
        .data(2048, "told{}")
        .import("log", "log", "$log", "(param i32 i32 i32 i32 i32)")
        .import_from("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration", "$timer", "(param i64) (result i32)")
        .item("(table $t 4 funcref) (elem (i32.const 0) $done)")
        .component()
}

/// Where the core module of a component begins.
fn module_of(component: &[u8]) -> usize {
    component.windows(5).position(|bytes| bytes == b"\0asm\x01").expect("it has one")
}

#[tokio::test]
async fn a_good_job_with_one_bit_flipped_or_its_end_cut_off_is_refused_or_runs() {
    let bench = Bench::new();
    let good = good();
    let mut ends = Ends::default();
    for number in 0..200 {
        let mut flipped = good.clone();
        // A stride that is prime to eight meets each bit of a byte.
        let bit = number * (good.len() * 8 / 200) + number % 8;
        flipped[bit / 8 % good.len()] ^= 1 << (bit % 8);
        ends.of(&bench, flipped).await;
        ends.of(&bench, good[..number * good.len() / 200].to_vec()).await;
    }
    let Ends { refused, completed, failed } = ends;
    // Where no code lies, in names for example, a flip changes nothing.
    assert!(refused > 200 && completed > 0, "{refused} refused, {completed} completed, {failed} failed");
    assert!(matches!(run(&bench, &bench.try_load(good).await.expect("good")).await, Outcome::Completed { .. }));
}

/// Damages it in a few places.
fn damaged(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(6) {
        // Half of the damage is done to the code and what belongs to it.
        let first = if random.percent(50) { module_of(good) + 8 } else { 8 };
        let below = |random: &mut Random, bound: usize| {
            usize::try_from(random.below(bound.max(1) as u64)).expect("smaller than what it is below")
        };
        let at = first + below(random, bytes.len().saturating_sub(first));
        let end = (at + below(random, 24)).min(bytes.len());
        let at = at.min(end);
        let byte = u8::try_from(random.below(256)).expect("a byte");
        match random.below(5) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|it| *it ^= 1 << (byte % 8)),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|it| *it = byte),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ => drop(bytes.splice(at..at, vec![byte; end - at])),
        }
    }
    bytes
}

#[tokio::test]
async fn damaged_jobs_are_refused_or_run() {
    let mut random = Random::of_this_run("damaged_jobs_are_refused_or_run");
    let (bench, good) = (Bench::new(), good());
    let mut ends = Ends::default();
    for _ in 0..rounds("COMPONENTS", COMPONENTS) {
        ends.of(&bench, damaged(&good, &mut random.split())).await;
    }
    println!("{ends:?}");
    assert!(ends.refused > 0);
}

/// An expression of the type i32.
fn expression(random: &mut Random, depth: u32) -> String {
    let edge = EDGES[usize::try_from(random.below(EDGES.len() as u64)).expect("small")];
    if depth == 0 {
        return match random.below(3) {
            0 => format!("(local.get $v{})", random.below(4)),
            1 => "(local.get $payload_bytes)".to_owned(),
            _ => format!("(i32.const {edge})"),
        };
    }
    let mut next = || expression(random, depth - 1);
    let (left, right) = (next(), next());
    let operators = ["add", "sub", "mul", "div_s", "rem_u", "and", "xor", "shl", "rotr", "lt_s", "eq"];
    match random.below(16) {
        0 => format!("(i32.load offset={} {left})", random.below(70_000)),
        1 => format!("(i32.load8_s {left})"),
        2 => "(memory.size)".to_owned(),
        3 => format!("(memory.grow {left})"),
        4 => format!("(select {left} {right} (i32.const {edge}))"),
        5 => format!("(i32.trunc_f64_s (f64.div (f64.convert_i32_s {left}) (f64.convert_i32_u {right})))"),
        6 => format!("(i32.wrap_i64 (i64.mul (i64.extend_i32_s {left}) (i64.extend_i32_u {right})))"),
        7 => format!("(call $timer (i64.extend_i32_u {left}))"),
        8 => format!("(call_indirect (result i32) {left})"),
        9 => format!("(i32x4.extract_lane 1 (i32x4.add (i32x4.splat {left}) (v128.load {right})))"),
        _ => {
            let operator = operators[usize::try_from(random.below(operators.len() as u64)).expect("small")];
            format!("(i32.{operator} {left} {right})")
        }
    }
}

/// Some statements, one after the other.
fn statements(random: &mut Random, depth: u32) -> String {
    (0..=random.below(4)).map(|_| statement(random, depth)).collect::<Vec<_>>().join("\n")
}

fn statement(random: &mut Random, depth: u32) -> String {
    let mut next = || expression(random, 2);
    let (one, two, three) = (next(), next(), next());
    let kind = random.below(if depth == 0 { 9 } else { 12 });
    match kind {
        0 | 1 => format!("(local.set $v{} {one})", random.below(4)),
        2 => format!("(i32.store offset={} {one} {two})", random.below(70_000)),
        3 => format!("(call $log (i32.const {}) {one} {two} (i32.const 0) (i32.const 0))", random.below(6)),
        4 => format!("(call $log (i32.const 1) (i32.const 16) (i32.const 5) {one} {two})"),
        5 => format!("(memory.fill {one} {two} {three})"),
        6 => format!("(memory.copy {one} {two} {three})"),
        7 => format!("(call $random (i64.extend_i32_u {one}) {two})"),
        8 if random.percent(10) => format!("(return {one})"),
        8 => format!("(table.set $t {one} (ref.func $done))"),
        9 => format!("(if {one} (then {}) (else {}))", statements(random, depth - 1), statements(random, depth - 1)),
        10 => format!("(block $l (br_if $l {one}) {})", statements(random, depth - 1)),
        _ => format!("(loop $l {} (br_if $l {one}))", statements(random, depth - 1)),
    }
}

/// A job whose attempt is random.
fn of_random_code(random: &mut Random) -> Guest {
    let locals = "(local $v0 i32) (local $v1 i32) (local $v2 i32) (local $v3 i32)";
    let body = statements(random, 3);
    let end = match random.below(3) {
        0 => "(call $done)".to_owned(),
        1 => format!("(call $output {} {})", expression(random, 1), expression(random, 1)),
        _ => format!("(call $fail (i32.const {}) {} (i32.const 2))", random.below(4), expression(random, 1)),
    };
    Guest::new(&format!("{locals} {body} {end}"))
        .import("log", "log", "$log", "(param i32 i32 i32 i32 i32)")
        .import_from("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration", "$timer", "(param i64) (result i32)")
        .import_from("wasi:random/random@0.2.0", "get-random-bytes", "$random", "(param i64 i32)")
        .item("(table $t 4 funcref) (elem (i32.const 0) $done)")
}

#[tokio::test]
async fn jobs_of_random_code_load_and_end() {
    let mut random = Random::of_this_run("jobs_of_random_code_load_and_end");
    let bench = Bench::new();
    let mut ends = Ends::default();
    for _ in 0..rounds("COMPONENTS", COMPONENTS) {
        ends.of(&bench, of_random_code(&mut random.split()).component()).await;
    }
    println!("{ends:?}");
    assert_eq!(ends.refused, 0, "only what they do is random");
    assert!(ends.completed > 0 && ends.failed > 0, "{ends:?}");
}
