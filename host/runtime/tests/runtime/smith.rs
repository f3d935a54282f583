//! Components and core modules as `wasm-smith` makes them: valid, of every shape, and meaningless. Whole components are handed to the
//! loader; core modules get the two functions without which no job is described, and run. Damaged components are in `fuzz`.

use arbitrary::{Arbitrary, Unstructured};
use wasm_smith::{Component, Config, Module};

use crate::bench::Bench;
use crate::fuzz::{COMPONENTS, Ends};
use crate::guest::Guest;
use crate::random::{Random, rounds};

/// What a component is made from, at most.
const BYTES: u64 = 16 << 10;

/// The exports that a job's core module needs.
const EXPORTS: &str = r#"(module
    (memory (export "memory") 2)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
    (func (export "jobmill:job/lifecycle@0.1.0#describe") (result i32) (unreachable))
    (func (export "jobmill:job/lifecycle@0.1.0#run")
      (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (unreachable)))"#;

/// What it may import.
const IMPORTS: &str = r#"(module
    (import "jobmill:job/log@0.1.0" "log" (func (param i32 i32 i32 i32 i32)))
    (import "jobmill:job/email@0.1.0" "send-email" (func (param i32 i32)))
    (import "jobmill:job/steps@0.1.0" "begin" (func (param i32 i32 i32)))
    (import "jobmill:job/steps@0.1.0" "complete" (func (param i32 i32 i32 i32 i32)))
    (import "jobmill:job/orders@0.1.0" "fetch-order" (func (param i32 i32 i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func (param i64) (result i32)))
    (import "wasi:random/random@0.2.0" "get-random-bytes" (func (param i64 i32))))"#;

/// The two functions that are not left to chance: one that describes the job `guest`, in whatever state the memory is, and one that gives
/// each text of the host pages of its own.
const GIVEN: &str = r"(module
    (memory 2)
    (func (param i32 i32 i32 i32) (result i32)
      (i32.shl
        (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1)))
        (i32.const 16)))
    (func (result i32)
      (memory.fill (i32.const 0) (i32.const 0) (i32.const 1024))
      (i64.store (i32.const 16) (i64.const 0x7473657567))
      (i32.store (i32.const 256) (i32.const 16))
      (i32.store (i32.const 260) (i32.const 5))
      (i32.store (i32.const 264) (i32.const 16))
      (i32.store (i32.const 268) (i32.const 5))
      (i32.const 256)))";

/// Bytes to make something from.
fn bytes(random: &mut Random) -> Vec<u8> {
    let length = 64 + random.below(BYTES - 64);
    (0..length).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect()
}

/// A whole component, of parts that the generator chooses.
fn component(random: &mut Random) -> arbitrary::Result<Vec<u8>> {
    let bytes = bytes(random);
    let mut source = Unstructured::new(&bytes);
    let mut config = Config::arbitrary(&mut source)?;
    // None of these unless said, and then a component would be types alone.
    (config.max_modules, config.max_components, config.max_instances, config.max_values) = (5, 5, 5, 5);
    // Half of them stay within what the engine has, so that more than the parser sees them.
    if random.percent(50) {
        config.max_memories = config.max_memories.min(1);
        config.compact_imports_enabled = false;
        config.exceptions_enabled = false;
        config.gc_enabled = false;
        config.memory64_enabled = false;
        config.threads_enabled = false;
    }
    Ok(Component::new(config, &mut source)?.to_bytes())
}

/// A core module with the exports of a job, of random code but for what is given.
fn job(random: &mut Random) -> arbitrary::Result<Vec<u8>> {
    let bytes = bytes(random);
    let mut source = Unstructured::new(&bytes);
    let config = Config {
        exports: Some(wat::parse_str(EXPORTS).expect("well-formed text")),
        available_imports: Some(wat::parse_str(IMPORTS).expect("well-formed text")),
        // A function that runs before `describe` mostly keeps it from being reached.
        allow_start_export: random.percent(5),
        disallow_traps: random.percent(70),
        max_data_segments: 4,
        max_element_segments: 4,
        max_table_elements: 1_000,
        // The one that is exported is made in any case.
        max_memories: 0,
        // References to what is the host's need a heap that the engine has not.
        reference_types_enabled: random.percent(20),
        memory_offset_choices: wasm_smith::MemoryOffsetChoices(99, 1, 0),
        // What the engine is built without.
        compact_imports_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    };
    Ok(with_given(&Module::new(config, &mut source)?.to_bytes()))
}

/// What is left to read of a module.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// A number, as the binary format writes it.
    fn number(&mut self) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return number;
            }
        }
    }

    /// Bytes, with how many before them.
    fn bytes(&mut self) -> &'a [u8] {
        let length = self.number();
        self.take(length)
    }
}

/// How the binary format writes a number, in five bytes always.
fn number(number: usize) -> [u8; 5] {
    let mut bytes = [0, 1, 2, 3, 4].map(|at| u8::try_from(number >> (7 * at) & 0x7f).expect("seven bits") | 0x80);
    bytes[4] &= 0x7f;
    bytes
}

/// The sections of a module, each with its number.
fn sections(module: &[u8]) -> Vec<(u8, &[u8])> {
    let mut reader = Reader(&module[8..]);
    let mut sections = Vec::new();
    while !reader.0.is_empty() {
        sections.push((reader.byte(), reader.bytes()));
    }
    sections
}

/// The bodies in a code section.
fn bodies(section: &[u8]) -> Vec<&[u8]> {
    let mut reader = Reader(section);
    (0..reader.number()).map(|_| reader.bytes()).collect()
}

fn section(module: &[u8], id: u8) -> Option<&[u8]> {
    sections(module).into_iter().find(|(own, _)| *own == id).map(|(_, content)| content)
}

/// The module with the given functions in place of its own.
fn with_given(module: &[u8]) -> Vec<u8> {
    let given = wat::parse_str(GIVEN).expect("well-formed text");
    let given = bodies(section(&given, 10).expect("code"));
    // Nothing but functions is imported, and they are counted first.
    let imported = section(module, 2).map_or(0, |imports| Reader(imports).number());
    let mut exports = Reader(section(module, 7).expect("exports"));
    let mut code = bodies(section(module, 10).expect("code"));
    for _ in 0..exports.number() {
        let (name, _kind, index) = (exports.bytes(), exports.byte(), exports.number());
        if name == b"cabi_realloc" {
            code[index - imported] = given[0];
        } else if name.ends_with(b"#describe") {
            code[index - imported] = given[1];
        }
    }
    let mut whole = module[..8].to_vec();
    for (id, content) in sections(module) {
        let content = match id {
            10 => {
                let bodies = code.iter().map(|body| [number(body.len()).as_slice(), body].concat());
                number(code.len()).into_iter().chain(bodies.flatten()).collect()
            }
            _ => content.to_vec(),
        };
        whole.extend([&[id], number(content.len()).as_slice(), &content].concat());
    }
    whole
}

#[tokio::test]
async fn random_components_are_refused_or_run() {
    let mut random = Random::of_this_run("random_components_are_refused_or_run");
    let bench = Bench::new();
    let (mut ends, mut unmade) = (Ends::default(), 0);
    for _ in 0..rounds("COMPONENTS", COMPONENTS) {
        match component(&mut random.split()) {
            Ok(component) => ends.of(&bench, component).await,
            // The bytes were not enough.
            Err(_) => unmade += 1,
        }
    }
    println!("{ends:?}, {unmade} not made");
    assert!(ends.refused > unmade, "{ends:?}, {unmade} not made");
}

#[tokio::test]
async fn jobs_of_random_modules_are_refused_or_run() {
    let mut random = Random::of_this_run("jobs_of_random_modules_are_refused_or_run");
    let bench = Bench::new();
    let wrapper = Guest::new("(call $done)");
    let (mut ends, mut unmade) = (Ends::default(), 0);
    for _ in 0..rounds("COMPONENTS", COMPONENTS) {
        match job(&mut random.split()) {
            Ok(module) => ends.of(&bench, wrapper.wrapping(module)).await,
            Err(_) => unmade += 1,
        }
    }
    println!("{ends:?}, {unmade} not made");
    assert!(ends.completed > 0 && ends.failed > 0, "{ends:?}, {unmade} not made");
}
