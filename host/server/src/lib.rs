//! The HTTP door: the JSON API, the status page, and the listener that serves them.
//! It keeps nothing and decides no transition; it reads and changes through the engine's `Handle` alone.

mod api;
mod body;
mod error;
mod listener;
mod origin;
mod pages;
mod path;
mod query;
mod settings;
mod write_timeout;

pub use api::SettingsView;
pub use listener::serve;
pub use settings::{Alarm, Alarms, DevelopmentFaults, FaultKind, RawMail, ServerSettings};

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use jobmill_core::Timestamp;
use jobmill_engine::Handle;
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::{Code, Problem};
use crate::origin::AllowedHosts;

/// What every route can reach.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) handle: Handle,
    pub(crate) settings: Arc<ServerSettings>,
    pub(crate) started_at: Timestamp,
}

/// Every route, for requests that are addressed to this machine's loopback.
pub fn router(handle: Handle, settings: ServerSettings) -> Router {
    router_for(handle, settings, AllowedHosts::loopback())
}

/// Every route, for a listener that is bound to `listen`.
pub(crate) fn router_at(handle: Handle, settings: ServerSettings, listen: IpAddr) -> Router {
    router_for(handle, settings, AllowedHosts::loopback().with(listen))
}

fn router_for(handle: Handle, settings: ServerSettings, hosts: AllowedHosts) -> Router {
    let context = Context { started_at: handle.now(), handle, settings: Arc::new(settings) };
    Router::new()
        .merge(api::routes())
        .merge(pages::routes())
        .fallback(|| async { Problem::new(Code::NotFound, "there is nothing at this path") })
        .method_not_allowed_fallback(|request: Request| async move {
            let detail = format!("{} is not something that this path does", request.method());
            Problem::new(Code::MethodNotAllowed, detail)
        })
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(Arc::new(hosts), origin::guard))
        .layer(middleware::from_fn(harden))
        .with_state(context)
}

/// What browsers should not do with any answer: guess its type, keep it, or let another site embed it.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
