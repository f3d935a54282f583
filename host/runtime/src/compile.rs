//! Compiling one component in a process of its own: what that process does, and the bounds it sets itself.
//! It starts no process and loads nothing; `compiler` does the one, `loader` the other.

use std::path::Path;
use std::{io, panic, process};

use jobmill_core::limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::{self, AddressSpace};
use crate::outcome::text;

/// Compiles the component, so that a runtime that keeps its code in this directory finds it there. The error is a reason.
pub fn compile(component: &[u8], cache_directory: &Path, address_space: AddressSpace) -> Result<(), String> {
    let cache = engine::cache(cache_directory).map_err(|error| error.to_string())?;
    let engine = Engine::new(&engine::config(Some(&cache), address_space)).map_err(|error| text(&error))?;
    Component::new(&engine, component).map(drop).map_err(|error| text(&error))
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
    use super::*;

    const COMPONENT: &[u8] = b"(component (core module (func (export \"f\") (result i32) i32.const 7)))";

    #[test]
    fn what_was_compiled_apart_is_found_by_the_engine_that_serves() {
        let directory = tempfile::tempdir().expect("a directory");
        let component = wat::parse_bytes(COMPONENT).expect("a component");
        let cache = engine::cache(directory.path()).expect("usable");
        let (serving, address_space, _ticker) = engine::start(2, Some(&cache)).expect("it starts");
        compile(&component, directory.path(), address_space).expect("compiled");
        Component::new(&serving, &component).expect("loaded");
        assert_eq!((cache.cache_hits(), cache.cache_misses()), (1, 0));
    }

    #[test]
    fn code_for_a_scarce_address_space_is_other_code() {
        let directory = tempfile::tempdir().expect("a directory");
        let component = wat::parse_bytes(COMPONENT).expect("a component");
        let cache = engine::cache(directory.path()).expect("usable");
        compile(&component, directory.path(), AddressSpace::Scarce).expect("compiled");
        for (address_space, counts) in [(AddressSpace::Ample, (0, 1)), (AddressSpace::Scarce, (1, 1))] {
            let engine = Engine::new(&engine::config(Some(&cache), address_space)).expect("it starts");
            Component::new(&engine, &component).expect("loaded");
            assert_eq!((cache.cache_hits(), cache.cache_misses()), counts, "{address_space:?}");
        }
    }

    #[test]
    fn what_is_no_component_is_refused_with_a_reason() {
        let directory = tempfile::tempdir().expect("a directory");
        let reason =
            compile(b"\0asm\x0d\0\x01\0\xff", directory.path(), AddressSpace::Ample).expect_err("no component");
        assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}");
    }
}
