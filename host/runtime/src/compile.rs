//! Compiling one component in a process of its own: what that process does, and the bounds it sets itself.
//! It starts no process and loads nothing; `compiler` does the one, `loader` the other.

use std::{io, panic, process};

use jobmill_core::limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasmtime::Engine;

use crate::engine::{self, AddressSpace};
use crate::outcome::text;

/// The native code of the component, for an engine of this program. The error is a reason.
pub fn compile(component: &[u8], address_space: AddressSpace) -> Result<Vec<u8>, String> {
    let engine = Engine::new(&engine::config(address_space)).map_err(|error| text(&error))?;
    engine.precompile_component(component).map_err(|error| text(&error))
}

/// Bounds what this process may take from now on: the processor time and the memory of one compilation. A panic aborts
/// it.
pub fn confine() -> io::Result<()> {
    let tell = panic::take_hook();
    // The compiler's other threads would finish their work first, for nothing.
    panic::set_hook(Box::new(move |panic| {
        tell(panic);
        process::abort();
    }));
    let seconds = limits::COMPILE_CPU.as_secs();
    // The first bound sends SIGXCPU, by which the parent knows; the second kills.
    lower(Resource::Cpu, seconds, seconds + 1)?;
    lower(Resource::Data, limits::COMPILE_BYTES, limits::COMPILE_BYTES)?;
    // Nobody wants the memory of a compiler on the disk.
    lower(Resource::Core, 0, 0)
}

/// A bound that is lower already stays.
fn lower(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let before = getrlimit(resource);
    let lowest = |bound: u64, before: Option<u64>| Some(before.map_or(bound, |before| before.min(bound)));
    let maximum = lowest(maximum, before.maximum);
    let bounds = Rlimit { current: lowest(current, before.current), maximum };
    Ok(setrlimit(resource, bounds)?)
}

#[cfg(test)]
mod tests {
    use jobmill_core::job::SandboxLimits;

    use super::*;
    use crate::cache::Code;

    const COMPONENT: &[u8] = b"(component (core module (func (export \"f\") (result i32) i32.const 7)))";

    #[test]
    fn what_was_compiled_apart_is_taken_by_the_engine_that_serves() {
        let component = wat::parse_bytes(COMPONENT).expect("a component");
        let (serving, address_space, _ticker) = engine::start(2, &SandboxLimits::default()).expect("it starts");
        let code = Code::compiled(compile(&component, address_space).expect("compiled"));
        assert!(code.load(&serving).is_ok());
    }

    #[test]
    fn code_for_a_scarce_address_space_is_other_code() {
        let component = wat::parse_bytes(COMPONENT).expect("a component");
        let code = Code::compiled(compile(&component, AddressSpace::Scarce).expect("compiled"));
        for (address_space, fits) in [(AddressSpace::Ample, false), (AddressSpace::Scarce, true)] {
            let engine = Engine::new(&engine::config(address_space)).expect("it starts");
            assert_eq!(code.load(&engine).is_ok(), fits, "{address_space:?}");
        }
    }

    #[test]
    fn what_is_no_component_is_refused_with_a_reason() {
        let reason = compile(b"\0asm\x0d\0\x01\0\xff", AddressSpace::Ample).expect_err("no component");
        assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}");
    }
}
