//! A guest that sends a request by `wasi:http`.
//! Who answers is not known here, and neither is what a test is about.

use super::guest::{Guest, RESULT};

const TYPES: &str = "wasi:http/types@0.2.12";
const IO: &str = "wasi:io/streams@0.2.12";

/// Asks, and makes an output of what came of it.
const ANSWER: &str = "(func $answer (result i32)
               (local $error i32)
               (local.set $error (call $ask))
               (if (local.get $error) (then (return (call $number (i32.add (local.get $error) (i32.const 999))))))
               (if (global.get $bytes) (then (return (call $output (global.get $body) (global.get $bytes)))))
               (call $number (global.get $status)))
             (func $number (param $n i32) (result i32)
               (local $at i32)
               (local.set $at (i32.const 2040))
               (loop $next
                 (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                 (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
                 (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
                 (br_if $next (local.get $n)))
               (call $output (local.get $at) (i32.sub (i32.const 2040) (local.get $at))))";

/// A request for a guest to send.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) is_tls: bool,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) header: Option<(&'a str, &'a str)>,
    pub(crate) body: &'a str,
}

/// By their numbers in WIT.
#[derive(Clone, Copy)]
pub(crate) enum Method {
    Get = 0,
    Post = 2,
    Trace = 7,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(authority: &'a str) -> Self {
        Self { method: Method::Get, is_tls: false, authority, path: "/", header: None, body: "" }
    }

    pub(crate) fn post(authority: &'a str, body: &'a str) -> Self {
        Self { method: Method::Post, body, ..Self::get(authority) }
    }

    /// A guest with the function `$ask`: 0 when there is an answer, else one more than the number of the error; and `$answer`, which
    /// asks and makes an output of the body, else of the status, else of 1000 and the number of the error.
    pub(crate) fn guest(&self, run: &str) -> Guest {
        let (authority, path, body) = (self.authority.len(), self.path.len(), self.body.len());
        let (name, value) = self.header.unwrap_or_default();
        let header = match self.header {
            Some(_) => format!(
                "(call $append (local.get $fields) (i32.const 2560) (i32.const {}) (i32.const 2624) (i32.const {}) (i32.const 4096))",
                name.len(),
                value.len()
            ),
            None => String::new(),
        };
        let write = match body {
            0 => String::new(),
            bytes => format!("(call $write (local.get $stream) (i32.const 2816) (i32.const {bytes}) (i32.const 4096))"),
        };
        let (method, scheme) = (self.method as i32, i32::from(self.is_tls));
        let ask = format!(
            "(global $status (mut i32) (i32.const 0))
             (global $body (mut i32) (i32.const 0))
             (global $bytes (mut i32) (i32.const 0))
             (func $ask (result i32)
               (local $fields i32) (local $request i32) (local $body i32) (local $stream i32) (local $future i32)
               (local.set $fields (call $fields))
               {header}
               (local.set $request (call $request (local.get $fields)))
               (drop (call $method (local.get $request) (i32.const {method}) (i32.const 0) (i32.const 0)))
               (drop (call $scheme (local.get $request) (i32.const 1) (i32.const {scheme}) (i32.const 0) (i32.const 0)))
               (drop (call $authority (local.get $request) (i32.const 1) (i32.const 2048) (i32.const {authority})))
               (drop (call $path (local.get $request) (i32.const 1) (i32.const 2304) (i32.const {path})))
               (call $body (local.get $request) (i32.const 4096))
               (local.set $body (i32.load (i32.const 4100)))
               (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 4096))
               (if (i32.load8_u (i32.const 4096)) (then (return (i32.add (i32.load8_u (i32.const 4104)) (i32.const 1)))))
               (local.set $future (i32.load (i32.const 4104)))
               (call $open (local.get $body) (i32.const 4096))
               (local.set $stream (i32.load (i32.const 4100)))
               {write}
               (call $close (local.get $stream))
               (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 4096))
               (call $block (call $subscribe (local.get $future)))
               (call $get (local.get $future) (i32.const 4096))
               (if (i32.load8_u (i32.const 4112)) (then (return (i32.add (i32.load8_u (i32.const 4120)) (i32.const 1)))))
               (local.set $request (i32.load (i32.const 4120)))
               (global.set $status (call $status (local.get $request)))
               (call $consume (local.get $request) (i32.const 4096))
               (call $stream (i32.load (i32.const 4100)) (i32.const 4096))
               (call $read (i32.load (i32.const 4100)) (i64.const 65536) (i32.const 4096))
               (global.set $bytes (i32.const 0))
               (if (i32.eqz (i32.load8_u (i32.const 4096))) (then
                 (global.set $body (i32.load (i32.const 4100)))
                 (global.set $bytes (i32.load (i32.const 4104)))))
               (i32.const 0))"
        );
        let guest = Guest::new(run)
            .item(&ask)
            .item(ANSWER)
            .data(2048, self.authority)
            .data(2304, self.path)
            .data(2560, name)
            .data(2624, value)
            .data(2816, self.body);
        with_imports(guest)
    }
}

fn with_imports(guest: Guest) -> Guest {
    guest
        .import_from(TYPES, "[constructor]fields", "$fields", "(result i32)")
        .import_from(TYPES, "[method]fields.append", "$append", "(param i32 i32 i32 i32 i32 i32)")
        .import_from(TYPES, "[constructor]outgoing-request", "$request", "(param i32) (result i32)")
        .import_from(TYPES, "[method]outgoing-request.set-method", "$method", "(param i32 i32 i32 i32) (result i32)")
        .import_from(
            TYPES,
            "[method]outgoing-request.set-scheme",
            "$scheme",
            "(param i32 i32 i32 i32 i32) (result i32)",
        )
        .import_from(
            TYPES,
            "[method]outgoing-request.set-authority",
            "$authority",
            "(param i32 i32 i32 i32) (result i32)",
        )
        .import_from(
            TYPES,
            "[method]outgoing-request.set-path-with-query",
            "$path",
            "(param i32 i32 i32 i32) (result i32)",
        )
        .import_from(TYPES, "[method]outgoing-request.body", "$body", "(param i32 i32)")
        .import_from(TYPES, "[method]outgoing-body.write", "$open", "(param i32 i32)")
        .import_from(TYPES, "[static]outgoing-body.finish", "$finish", "(param i32 i32 i32 i32)")
        .import_from(TYPES, "[method]future-incoming-response.subscribe", "$subscribe", "(param i32) (result i32)")
        .import_from(TYPES, "[method]future-incoming-response.get", "$get", "(param i32 i32)")
        .import_from(TYPES, "[method]incoming-response.status", "$status", "(param i32) (result i32)")
        .import_from(TYPES, "[method]incoming-response.consume", "$consume", "(param i32 i32)")
        .import_from(TYPES, "[method]incoming-body.stream", "$stream", "(param i32 i32)")
        .import_from("wasi:http/outgoing-handler@0.2.12", "handle", "$handle", "(param i32 i32 i32 i32)")
        .import_from("wasi:io/poll@0.2.12", "[method]pollable.block", "$block", "(param i32)")
        .import_from(IO, "[method]output-stream.blocking-write-and-flush", "$write", "(param i32 i32 i32 i32)")
        .import_from(IO, "[method]input-stream.blocking-read", "$read", "(param i32 i64 i32)")
        .import_from(IO, "[resource-drop]output-stream", "$close", "(param i32)")
}

const _: () = assert!(RESULT == 4096, "the guest's code has it written out");
