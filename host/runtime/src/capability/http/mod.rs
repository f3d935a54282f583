//! `wasi:http/outgoing-handler`: requests to hosts that the operator lists. Nothing comes in by it.
//!
//! `handle` only takes a request's body in, aside from the attempt. It is sent when the guest asks for the answer, by the attempt
//! itself: what a request changes has to be in the journal, which has one owner. So an attempt sends one request at a time, and
//! none that it doesn't ask for the answer of.

mod held;
mod request;
mod secrets;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use jobmill_backends::outgoing::{Request, Response};
use jobmill_core::job::{Limit, SandboxLimits};
use jobmill_core::limits;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::state::HostState;
use held::Room;
pub use secrets::JobSecrets;

/// What `wasi:http` keeps beside one instance.
pub(crate) struct Http {
    context: WasiHttpCtx,
    waiting_room: WaitingRoom,
}

impl Http {
    /// Nothing sent yet.
    pub(crate) fn new(bounds: &SandboxLimits) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(limits::HTTP_HEAD_BYTES);
        let most = limits::HTTP_HELD_BYTES.max(bounds.size(Limit::HttpResponse));
        Self { context, waiting_room: WaitingRoom(Room::new(most)) }
    }
}

/// A request with its whole body, which waits to be sent.
#[derive(Clone)]
struct Waiting {
    request: Request<Bytes>,
    options: RequestOptions,
}

/// Takes requests in.
struct WaitingRoom(Room);

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for WaitingRoom {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let room = self.0.clone();
        Box::new(async move {
            let (parts, body) = request.into_parts();
            let request = Request::from_parts(parts, take_in(body, &room).await?);
            let mut place = Response::new(Empty::new().map_err(Into::into).boxed_unsync());
            place.extensions_mut().insert(Waiting { request, options: options.unwrap_or_default() });
            Ok((place, Box::new(async { Ok(()) }) as Box<_>))
        })
    }
}

/// The whole body, if it keeps within its bounds. Trailers are dropped.
async fn take_in(mut body: WasiBody, room: &Room) -> Result<Bytes, Error> {
    let mut whole = room.begin();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let bytes = whole.len() + data.len();
        if bytes > limits::HTTP_REQUEST_BYTES || data.len() > room.left() {
            return Err(Error::HttpRequestBodySize(Some(bytes as u64)));
        }
        whole.push(&data);
    }
    Ok(whole.into_bytes())
}

/// Links both interfaces, and puts functions in the place of the two by which a request is sent.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let options = wasmtime_wasi_http::p2::bindings::LinkOptions::default();
    types::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), HostState::http)?;
    outgoing_handler::add_to_linker::<_, WasiHttp>(linker, HostState::http)?;
    linker.allow_shadowing(true);
    linker.instance("wasi:http/outgoing-handler@0.2.12")?.func_wrap("handle", handle)?;
    linker
        .instance("wasi:http/types@0.2.12")?
        .func_wrap_async("[method]future-incoming-response.get", |store, (future,)| Box::new(get(store, future)))?;
    linker.allow_shadowing(false);
    Ok(())
}

type Handled = (Result<Resource<HostFutureIncomingResponse>, types::ErrorCode>,);

fn handle(
    mut store: StoreContextMut<'_, HostState>,
    (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>),
) -> wasmtime::Result<Handled> {
    let state = store.data_mut();
    state.attempt()?.count_request()?;
    match outgoing_handler::Host::handle(&mut state.http(), request, options) {
        Ok(future) => Ok((Ok(future),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

type Got = (Option<Result<Result<Resource<HostIncomingResponse>, types::ErrorCode>, ()>>,);

async fn get(
    mut store: StoreContextMut<'_, HostState>,
    future: Resource<HostFutureIncomingResponse>,
) -> wasmtime::Result<Got> {
    let state = store.data_mut();
    let (table, http) = state.http_parts();
    let room = http.waiting_room.0.clone();
    if let HostFutureIncomingResponse::Ready(Ok((place, _))) = table.get_mut(&future)?
        && let Some(waiting) = place.extensions_mut().remove::<Waiting>()
    {
        let answered = state.attempt()?.request(waiting, &room).await?;
        let nothing_to_do = wasmtime_wasi::runtime::spawn(async {});
        let answered = answered.map(|answer| (answer.map(|body| whole(&room.hold(&body))), nothing_to_do));
        *state.http_parts().0.get_mut(&future)? = HostFutureIncomingResponse::Ready(answered);
    }
    Ok((types::HostFutureIncomingResponse::get(&mut state.http(), future)?,))
}

fn whole(body: &Bytes) -> WasiBody {
    Full::new(body.clone()).map_err(Into::into).boxed_unsync()
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (table, http) = self.http_parts();
        WasiHttpCtxView { hooks: &mut http.waiting_room, table, ctx: &mut http.context }
    }
}
