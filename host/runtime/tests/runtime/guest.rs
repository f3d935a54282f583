//! Components for tests, written as text: a core module with the canonical names, wrapped after the WIT package.
//! Nothing here is compiled Rust, so no toolchain for wasm is needed.

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where a guest's own data may lie: above its descriptor and its result, below its heap.
pub(crate) const DATA: usize = 2048;

/// Where guests keep the result of a host call.
pub(crate) const RESULT: usize = 4096;

/// What a guest does first to fail its first attempt, transiently.
pub(crate) const FAIL_FIRST: &str = "(if (i32.eq (local.get $attempt) (i32.const 1))
    (then (return (call $fail (i32.const 0) (i32.const 2048) (i32.const 2)))))";

/// Interfaces that guests here import beside ours; the parts of them that are used.
const OTHERS: &str = "
package test:others;
world others {
    include jobmill:job/job@VERSION;
    import wasi:cli/exit@0.2.0;
    import wasi:cli/environment@0.2.0;
    import wasi:cli/stdout@0.2.0;
    import wasi:cli/stderr@0.2.0;
    import wasi:clocks/monotonic-clock@0.2.0;
    import wasi:random/random@0.2.0;
    import wasi:filesystem/preopens@0.2.0;
    import wasi:sockets/instance-network@0.2.0;
    import wasi:sockets/ip-name-lookup@0.2.0;
    import wasi:sockets/tcp-create-socket@0.2.0;
    import wasi:sockets/udp-create-socket@0.2.0;
    import acme:kv/store@1.0.0;
}
";
/// Interfaces of which the SDK has the whole text.
const WEB: &str = "
package test:web;
world others {
    include jobmill:job/job@VERSION;
    import wasi:http/outgoing-handler@0.2.12;
    import wasi:config/store@0.2.0-rc.1;
}
";
const WASI_IO: &str = "
package wasi:io@0.2.0;
interface error { resource error; }
interface poll { resource pollable { block: func(); } }
interface streams {
    use error.{error};
    variant stream-error { last-operation-failed(error), closed }
    resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
}
";
const WASI_CLI: &str = "
package wasi:cli@0.2.0;
interface exit { exit: func(status: result); }
interface environment {
    get-environment: func() -> list<tuple<string, string>>;
    get-arguments: func() -> list<string>;
    initial-cwd: func() -> option<string>;
}
interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
interface stderr { use wasi:io/streams@0.2.0.{output-stream}; get-stderr: func() -> output-stream; }
";
const WASI_CLOCKS: &str = "
package wasi:clocks@0.2.0;
interface monotonic-clock {
    use wasi:io/poll@0.2.0.{pollable};
    now: func() -> u64;
    subscribe-duration: func(when: u64) -> pollable;
}
";
const WASI_RANDOM: &str = "
package wasi:random@0.2.0;
interface random { get-random-bytes: func(len: u64) -> list<u8>; }
";
const WASI_FILESYSTEM: &str = "
package wasi:filesystem@0.2.0;
interface types { resource descriptor; }
interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }
";
const WASI_SOCKETS: &str = "
package wasi:sockets@0.2.0;
interface network {
    resource network;
    enum ip-address-family { ipv4, ipv6 }
    enum error-code {
        unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout, concurrency-conflict, not-in-progress,
        would-block, invalid-state, new-socket-limit, address-not-bindable, address-in-use, remote-unreachable,
        connection-refused, connection-reset, connection-aborted, datagram-too-large, name-unresolvable,
        temporary-resolver-failure, permanent-resolver-failure,
    }
}
interface instance-network { use network.{network}; instance-network: func() -> network; }
interface tcp { resource tcp-socket; }
interface udp { resource udp-socket; }
interface tcp-create-socket {
    use network.{error-code, ip-address-family};
    use tcp.{tcp-socket};
    create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
}
interface udp-create-socket {
    use network.{error-code, ip-address-family};
    use udp.{udp-socket};
    create-udp-socket: func(address-family: ip-address-family) -> result<udp-socket, error-code>;
}
interface ip-name-lookup {
    use network.{network, error-code};
    resource resolve-address-stream;
    resolve-addresses: func(network: borrow<network>, name: string) -> result<resolve-address-stream, error-code>;
}
";
const ACME: &str = "
package acme:kv@1.0.0;
interface store { get: func() -> u32; }
";

/// A component in the making. What is not said does nothing: `describe` gives the id `guest`, `run` completes.
///
/// In `run` the parameters are `$attempt`, `$payload`, `$payload_bytes` and the rest of the context; `$output`,
/// `$fail` and `$done` make a result. Failure kinds: 0 transient, 1 permanent.
#[derive(Clone)]
pub(crate) struct Guest {
    imports: String,
    items: String,
    pages: usize,
    describe: String,
    realloc: String,
    run: String,
    version: &'static str,
}

impl Guest {
    /// A guest whose `run` is this body.
    pub(crate) fn new(run: &str) -> Self {
        Self {
            imports: String::new(),
            items: String::new(),
            pages: 2,
            describe: "(i32.const 256)".to_owned(),
            realloc: String::new(),
            run: run.to_owned(),
            version: "0.1.0",
        }
    }

    /// A guest whose functions `$good` and `$bad` give the number n as the output `n` or `-n`.
    pub(crate) fn counting(run: &str) -> Self {
        Self::new(run).item(
            "(func $good (param $n i32) (result i32)
               (i32.store8 (i32.const 2000) (i32.add (i32.const 48) (local.get $n)))
               (call $output (i32.const 2000) (i32.const 1)))
             (func $bad (param $n i32) (result i32)
               (i32.store8 (i32.const 2001) (i32.const 45))
               (i32.store8 (i32.const 2002) (i32.add (i32.const 48) (local.get $n)))
               (call $output (i32.const 2001) (i32.const 2)))",
        )
    }

    /// With another body for `describe`.
    pub(crate) fn describing(mut self, describe: &str) -> Self {
        describe.clone_into(&mut self.describe);
        self
    }

    /// Doing this first whenever the host asks for memory.
    pub(crate) fn reallocating(mut self, realloc: &str) -> Self {
        realloc.clone_into(&mut self.realloc);
        self
    }

    /// With a function of one of our interfaces: `import("log", "log", "$log", "(param i32 i32)")`.
    pub(crate) fn import(self, interface: &str, function: &str, name: &str, types: &str) -> Self {
        let version = self.version;
        self.import_from(&format!("jobmill:job/{interface}@{version}"), function, name, types)
    }

    /// With a function of any interface, by its full name.
    pub(crate) fn import_from(mut self, interface: &str, function: &str, name: &str, types: &str) -> Self {
        writeln!(self.imports, "(import {interface:?} {function:?} (func {name} {types}))").expect("a String");
        self
    }

    /// With more items of the module: functions, globals, tables.
    pub(crate) fn item(mut self, item: &str) -> Self {
        writeln!(self.items, "{item}").expect("a String");
        self
    }

    /// With text in its memory.
    pub(crate) fn data(self, at: usize, text: &str) -> Self {
        self.bytes(at, text.as_bytes())
    }

    /// With 32-bit numbers in its memory.
    pub(crate) fn words(self, at: usize, words: &[usize]) -> Self {
        let bytes: Vec<u8> =
            words.iter().flat_map(|word| u32::try_from(*word).expect("32 bits").to_le_bytes()).collect();
        self.bytes(at, &bytes)
    }

    fn bytes(self, at: usize, bytes: &[u8]) -> Self {
        let escaped = bytes.iter().fold(String::new(), |mut escaped, byte| {
            write!(escaped, "\\{byte:02x}").expect("a String");
            escaped
        });
        self.item(&format!("(data (i32.const {at}) \"{escaped}\")"))
    }

    /// With so many pages of memory from the start.
    pub(crate) fn pages(mut self, pages: usize) -> Self {
        self.pages = pages;
        self
    }

    /// Built against another version of our package.
    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// The core module, as text.
    fn text(&self) -> String {
        let Self { imports, items, pages, describe, realloc, run, version } = self;
        let lifecycle = format!("jobmill:job/lifecycle@{version}");
        format!(
            r#"(module
            {imports}
            (memory (export "memory") {pages})
            (global $heap (mut i32) (i32.const 65536))
            (data (i32.const 16) "guest")
            (data (i32.const 256) "\10\00\00\00\05\00\00\00\10\00\00\00\05\00\00\00")
            (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $bytes i32) (result i32)
              (local $at i32)
              {realloc}
              (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
              (global.set $heap (i32.add (local.get $at) (local.get $bytes)))
              (block $fits
                (br_if $fits (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
                (drop (memory.grow (i32.add (i32.shr_u (local.get $bytes) (i32.const 16)) (i32.const 1)))))
              (local.get $at))
            (func $done (result i32) (i32.const 1024))
            (func $output (param $at i32) (param $bytes i32) (result i32)
              (i32.store8 (i32.const 1032) (i32.const 1))
              (i32.store (i32.const 1036) (local.get $at))
              (i32.store (i32.const 1040) (local.get $bytes))
              (i32.const 1024))
            (func $fail (param $kind i32) (param $at i32) (param $bytes i32) (result i32)
              (i32.store8 (i32.const 1024) (i32.const 1))
              (i32.store8 (i32.const 1032) (local.get $kind))
              (i32.store (i32.const 1040) (local.get $at))
              (i32.store (i32.const 1044) (local.get $bytes))
              (i32.const 1024))
            {items}
            (func (export "{lifecycle}#describe") (result i32) {describe})
            (func (export "{lifecycle}#run")
              (param $job i32) (param $job_bytes i32) (param $run i32) (param $run_bytes i32)
              (param $has_event i32) (param $event i32) (param $event_bytes i32)
              (param $attempt i32) (param $max_attempts i32) (param $enqueued i64) (param $scheduled i64)
              (param $payload i32) (param $payload_bytes i32) (result i32)
              {run})
            )"#
        )
    }

    /// The core module, which is no component.
    pub(crate) fn module(&self) -> Vec<u8> {
        wat::parse_str(self.text()).expect("well-formed text")
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        self.wrapping(self.module())
    }

    /// The component around another core module than its own.
    pub(crate) fn wrapping(&self, mut module: Vec<u8>) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let mut push = |name: &str, text: &str| resolve.push_str(name, text).expect("valid WIT");
        push("job.wit", &job_package().replace("0.1.0", self.version));
        // Parts of an interface and the whole of it can't stand in one world.
        let package = if self.imports.contains("wasi:http/") || self.imports.contains("wasi:config/") {
            for file in ["io", "clocks", "http", "config"] {
                push(&format!("{file}.wit"), &sdk_package(file));
            }
            push("web.wit", &WEB.replace("VERSION", self.version))
        } else {
            push("io.wit", WASI_IO);
            push("cli.wit", WASI_CLI);
            push("clocks.wit", WASI_CLOCKS);
            push("random.wit", WASI_RANDOM);
            push("filesystem.wit", WASI_FILESYSTEM);
            push("sockets.wit", WASI_SOCKETS);
            push("acme.wit", ACME);
            push("others.wit", &OTHERS.replace("VERSION", self.version))
        };
        let world = resolve.select_world(&[package], Some("others")).expect("the world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("fits the world");
        let mut encoder = ComponentEncoder::default();
        encoder.validate(true).module(&module).expect("a module of the world").encode().expect("a component")
    }
}

/// A package of WASI's as the SDK has it.
fn sdk_package(file: &str) -> String {
    let directory = root().join("guest-sdk/wit/deps");
    std::fs::read_to_string(directory.join(file).with_extension("wit")).expect("the WIT package")
}

/// Our package in one text: every file of it but the package's name, which each repeats.
fn job_package() -> String {
    let directory = root().join("wit");
    let mut text = "package jobmill:job@0.1.0;\n".to_owned();
    for file in ["types", "lifecycle", "orders", "email", "steps", "log", "world"] {
        let interface = std::fs::read_to_string(directory.join(file).with_extension("wit")).expect("the WIT package");
        text.push_str(&interface.replace("package jobmill:job@0.1.0;", ""));
    }
    text
}

/// Where everything is. Two crates take this file in, and they lie at different depths.
fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|directory| directory.join("wit").is_dir()).expect("the WIT package")
}
