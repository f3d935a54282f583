//! The dashboard: pages that are whole without a script, and forms that do what the API does, under the same words.
//! They read and change through the engine's handle, as the API does; nothing is kept here but which runs were put back
//! together last, and when pages were made that many have open.

mod activity;
mod assets;
mod audit;
mod bars;
mod dead;
mod deliveries;
mod events;
mod form;
mod form_keys;
mod frame;
mod job;
mod jobs;
mod links;
mod mail;
mod overview;
mod queues;
mod refusals;
mod reloads;
mod run;
mod runs;
mod schedule;
mod sign_in;
mod suppressions;
mod system;
mod visitor;
mod words;

pub(crate) use dead::Requeues;
pub(crate) use form_keys::FormKeys;
pub(crate) use refusals::{is_for_programs, speak};
pub(crate) use reloads::{Reloads, share};
pub(crate) use sign_in::sign_in_instead;

use axum::http::{HeaderName, HeaderValue, header};

use crate::routes::Routes;

/// Every page and what belongs to it.
pub(crate) fn routes() -> Routes {
    overview::routes()
        .merge(assets::routes())
        .merge(audit::routes())
        .merge(dead::routes())
        .merge(sign_in::routes())
        .merge(job::routes())
        .merge(jobs::routes())
        .merge(queues::routes())
        .merge(run::routes())
        .merge(runs::routes())
        .merge(schedule::routes())
        .merge(deliveries::routes())
        .merge(events::routes())
        .merge(mail::routes())
        .merge(suppressions::routes())
        .merge(system::routes())
}

/// What a page may load and do: its own style sheet, script and pictures, and its own forms.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The headers of every page.
fn page_headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        // With `no-referrer`, browsers would send a form of ours with `Origin: null`, which is refused.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ]
}
