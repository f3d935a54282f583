//! What a file is, from its first bytes: so that a wrong file gets an error that says which file it is.
//! It validates nothing beyond them; the compiler does.

use jobmill_core::limits;
use jobmill_engine::LoadError;

/// Refuses what is too large or not a component.
pub(crate) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > limits::COMPONENT_BYTES {
        let most = limits::COMPONENT_BYTES;
        return refuse(format!("the file has {size} bytes; a component may have {most}"));
    }
    match bytes {
        [] => refuse("not a WebAssembly component: the file is empty"),
        // Component model: version 13, layer 1.
        [0, b'a', b's', b'm', 13, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => refuse(
            "not a WebAssembly component but a core module; build the job for wasm32-wasip2, \
             or wrap the module with `wasm-tools component new`",
        ),
        [0, b'a', b's', b'm', version @ ..] if version.len() >= 4 => refuse(format!(
            "not a WebAssembly component of a version known here: its version is {:02x?}",
            &version[..4]
        )),
        _ if is_text(bytes) => refuse("not a WebAssembly component: it is text; a job is a compiled component"),
        _ => refuse("not a WebAssembly component: it does not begin with \\0asm"),
    }
}

/// Whether the file begins as no binary format does.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(64)];
    let whole = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end within a character.
        Err(error) => str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    head.len() - whole.len() < 4 && !whole.contains(|c: char| c.is_control() && !c.is_ascii_whitespace())
}

fn refuse(reason: impl Into<String>) -> Result<(), LoadError> {
    Err(LoadError(reason.into()))
}
