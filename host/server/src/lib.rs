//! The HTTP door: the JSON API, the status page, and the listener that serves them.
//! It keeps nothing and decides no transition; it reads and changes through the engine's `Handle` alone.

mod action;
mod api;
mod audit;
mod authentication;
mod body;
mod error;
mod inngest;
mod keyring;
mod listener;
mod origin;
mod pages;
mod path;
mod query;
mod routes;
mod sessions;
mod settings;
mod typescript;
mod webhooks;
mod write_timeout;

pub use action::Action;
pub use api::{SettingsView, openapi_document};
pub use listener::serve;
pub use routes::{Audit, Route, Rule};
pub use settings::{
    Alarm, Alarms, DevelopmentFaults, FaultKind, MailRoute, OnDuty, RawMail, ServerSettings, StoreBytes, StorePlace,
};

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

use crate::api::Feed;
use crate::authentication::Doors;
use crate::error::{Code, Problem};
use crate::keyring::Keyring;
use crate::origin::{AllowedHosts, Guard};
use crate::pages::{FormKeys, Reloads, Requeues};
use crate::routes::{Built, Routes, Rules};
use crate::sessions::Sessions;
use crate::webhooks::Refusals;

/// What every route can reach.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) handle: Handle,
    pub(crate) settings: Arc<ServerSettings>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) form_keys: Arc<FormKeys>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) requeues: Arc<Requeues>,
    pub(crate) started_at: Timestamp,
}

impl Context {
    pub(crate) fn new(handle: Handle, settings: ServerSettings) -> Self {
        let settings = Arc::new(settings);
        let keyring = Arc::new(Keyring::new(handle.clone(), Arc::clone(&settings)));
        let refusals = Arc::new(Refusals::of(&settings.webhooks));
        let (_, secret) = handle.new_secret();
        let form_keys = Arc::new(FormKeys::new(secret.as_str().to_owned()));
        let feed = Arc::new(Feed::default());
        let sessions = Arc::new(Sessions::default());
        let requeues = Arc::new(Requeues::default());
        Self { started_at: handle.now(), handle, settings, keyring, sessions, refusals, form_keys, feed, requeues }
    }
}

/// Every route with its rule: who may use it once a token exists.
pub fn route_table() -> Vec<Route> {
    all_routes().build().table
}

fn all_routes() -> Routes {
    api::routes().merge(inngest::routes()).merge(pages::routes()).merge(webhooks::routes())
}

/// Every route, for requests that are addressed to this machine's loopback.
pub fn router(handle: Handle, settings: ServerSettings) -> Router {
    router_for(Context::new(handle, settings), AllowedHosts::loopback())
}

/// Every route, for a listener that is bound to `listen`.
pub(crate) fn router_at(context: Context, listen: IpAddr) -> Router {
    router_for(context, AllowedHosts::loopback().with(listen))
}

fn router_for(context: Context, hosts: AllowedHosts) -> Router {
    let Built { router, table, .. } = all_routes().build();
    let keyring = Arc::clone(&context.keyring);
    let reloads = Arc::new(Reloads::new(&context, Rules::of(&table)));
    let guard = Guard { hosts: Arc::new(hosts), keyring: Arc::clone(&keyring) };
    let doors = Doors {
        handle: context.handle.clone(),
        keyring,
        sessions: Arc::clone(&context.sessions),
        rules: Arc::new(Rules::of(&table)),
    };
    router
        .fallback(|| async { Problem::new(Code::NotFound, "there is nothing at this path") })
        .method_not_allowed_fallback(|request: Request| async move {
            let detail = format!("{} is not something that this path does", request.method());
            Problem::new(Code::MethodNotAllowed, detail)
        })
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(reloads, pages::share))
        .layer(middleware::from_fn_with_state(doors.clone(), audit::keep))
        .layer(middleware::from_fn_with_state(doors, authentication::authenticate))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(guard, origin::guard))
        .layer(middleware::from_fn_with_state(context.clone(), inngest::speak))
        .layer(middleware::from_fn(pages::speak))
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
