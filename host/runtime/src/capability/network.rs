//! The parts of `wasi:sockets` by which a network would be reached: no job gets a socket or looks a name up.
//! What else is in those interfaces needs a socket first. Requests go by `wasi:http`, to hosts that the operator lists.

use jobmill_core::job::allow::Denied;
use jobmill_core::limits;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, Network};
use wasmtime_wasi::p2::{TcpSocket, UdpSocket};

use crate::state::HostState;

/// Puts these functions in the place of wasmtime's, which would refuse too, and tell nobody.
pub(crate) fn close(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, HostState>, (_,): (IpAddressFamily,)| {
            refused::<TcpSocket>(store.data_mut(), "a TCP socket".to_owned(), "HOST")
        },
    )?;
    linker.instance("wasi:sockets/udp-create-socket@0.2.12")?.func_wrap(
        "create-udp-socket",
        |mut store: StoreContextMut<'_, HostState>, (_,): (IpAddressFamily,)| {
            refused::<UdpSocket>(store.data_mut(), "a UDP socket".to_owned(), "HOST")
        },
    )?;
    linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, HostState>, (_, name): (Resource<Network>, String)| {
            let name = limits::truncate(&name, limits::KEY_BYTES);
            refused::<ResolveAddressStream>(store.data_mut(), format!("a look-up of {name:?}"), name)
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn refused<T>(state: &mut HostState, what: String, host: &str) -> wasmtime::Result<(Result<Resource<T>, ErrorCode>,)> {
    let attempt = state.attempt()?;
    let line = format!("http = [{host:?}], and have the job ask by wasi:http: no job gets a socket");
    attempt.deny(Denied { job: attempt.context.run().job.clone(), what, line });
    Ok((Err(ErrorCode::AccessDenied),))
}
