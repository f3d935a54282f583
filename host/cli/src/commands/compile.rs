//! `jobmill compile`: what a serving Jobmill starts to have one component compiled, away from its own memory.
//! It is no command for people; `jobmill check` tells whether a component loads.

use std::io::{Read as _, Write as _};

use clap::Args;
use jobmill_core::limits;
use jobmill_runtime::AddressSpace;

use crate::failure::Exit;
use crate::output;

/// Compile the component on the standard input to native code on the standard output, within bounds
#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// For an engine without address space to set aside
    #[arg(long)]
    scarce_address_space: bool,
}

impl Compile {
    pub(crate) fn carry_out(&self) -> Exit {
        // The reason alone, without the look of an error: the process that asked puts it into its own.
        if let Err(reason) = self.compile() {
            output::say(limits::truncate(&reason, limits::ERROR_TEXT_BYTES));
            return Exit::Failed;
        }
        Exit::Done
    }

    fn compile(&self) -> Result<(), String> {
        jobmill_runtime::confine().map_err(|error| format!("the compiler can't be bounded: {error}"))?;
        let mut component = Vec::new();
        let read = std::io::stdin().take(limits::COMPONENT_BYTES).read_to_end(&mut component);
        read.map_err(|error| format!("the component can't be read: {error}"))?;
        let address_space = if self.scarce_address_space { AddressSpace::Scarce } else { AddressSpace::Ample };
        let code = jobmill_runtime::compile(&component, address_space)?;
        let written = std::io::stdout().lock().write_all(&code);
        written.map_err(|error| format!("its code can't be handed over: {error}"))
    }
}
