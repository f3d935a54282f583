//! Pages that many have open: what the script of an open page asks for again is made once for everybody who waits for it.
//! It keeps no page. A reload is made after it was asked for, so it always shows the change that it is about.
//!
//! For reloads a page is made at most once in `PACE`; whoever asks in between waits for the next time, together. A page that
//! a reader goes to is made for that reader, at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header, response};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::future::{BoxFuture, FutureExt as _, Shared, WeakShared};
use http_body_util::BodyExt as _;
use jobmill_core::TokenId;
use jobmill_engine::Handle;
use tokio::time::Instant;

use crate::Context;
use crate::authentication::Caller;
use crate::error::{Code, Problem};
use crate::pages::{FormKeys, is_for_programs};
use crate::routes::{Rule, Rules};

/// What the script of a page sends along when it loads the page's own address again.
const RELOAD: HeaderName = HeaderName::from_static("x-jobmill-reload");
/// The least time between two makings of one page for reloads: nobody who watches a page misses more than that.
const PACE: Duration = Duration::from_millis(250);
/// Pages of which it is known when they were made last: one for each stream that may be open. Others are not shared.
const PAGES: usize = 256;
/// Bytes of an address and a host of which that is known: more than any link of a page has. Others are not shared.
const ADDRESS_BYTES: usize = 2_000;

/// Which requests are reloads, and what is made for them.
pub(crate) struct Reloads {
    handle: Handle,
    form_keys: Arc<FormKeys>,
    rules: Rules,
    lately: Mutex<Lately>,
}

/// The pages that will be made, or were made lately.
#[derive(Default)]
struct Lately(HashMap<Address, Making>);

/// What a page is made of, beside the key of the visitor's forms.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Address {
    path: String,
    /// What the visitor calls the server, which some pages show.
    host: Option<HeaderValue>,
    /// What says the visitor's name, and what they may do.
    token: Option<TokenId>,
}

/// A page that will be made, or was made lately.
struct Making {
    at: Instant,
    has_begun: Arc<AtomicBool>,
    /// There while somebody waits for it.
    page: WeakShared<BoxFuture<'static, Made>>,
}

/// A page for whoever waits for it.
type Page = Shared<BoxFuture<'static, Made>>;

/// A page as it was made for one visitor.
#[derive(Clone)]
struct Made {
    parts: response::Parts,
    body: Bytes,
    form_key: Arc<str>,
}

/// Answers reloads, and lets everything else through.
pub(crate) async fn share(State(reloads): State<Arc<Reloads>>, request: Request, next: Next) -> Response {
    let Some(address) = reloads.address(&request) else { return next.run(request).await };
    let form_key: Arc<str> = reloads.form_keys.of(&caller(&request)).into();
    let page = make(plain(request), next, Arc::clone(&form_key)).boxed();
    reloads.join(address, page).await.answer(&form_key)
}

impl Reloads {
    /// None asked for yet.
    pub(crate) fn new(context: &Context, rules: Rules) -> Self {
        let (handle, form_keys) = (context.handle.clone(), Arc::clone(&context.form_keys));
        Self { handle, form_keys, rules, lately: Mutex::default() }
    }

    /// What is to be made for a reload; none where the request is something else.
    fn address(&self, request: &Request) -> Option<Address> {
        let (uri, headers) = (request.uri(), request.headers());
        let route = request.extensions().get::<MatchedPath>()?.as_str();
        let is_page = request.method() == Method::GET
            && self.rules.rule(&Method::GET, route) == Some(Rule::READ)
            && !is_for_programs(uri.path());
        if !is_page || !headers.contains_key(RELOAD) {
            return None;
        }
        let path = uri.path_and_query()?.to_string();
        let host = headers.get(header::HOST).cloned();
        let bytes = path.len() + host.as_ref().map_or(0, HeaderValue::len);
        (bytes <= ADDRESS_BYTES).then(|| Address { path, host, token: caller(request).id() })
    }

    /// The page that will be made next at this address, which is this one where none is waited for yet.
    fn join(&self, address: Address, page: BoxFuture<'static, Made>) -> Page {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.join(address, Instant::now(), |at, has_begun| begun_at(at, self.handle.clone(), has_begun, page).boxed())
    }
}

impl Lately {
    /// The page to come at this address. Where there is none, one is made that begins at the time it is told, and then says so.
    fn join(
        &mut self,
        address: Address,
        now: Instant,
        make: impl FnOnce(Instant, Arc<AtomicBool>) -> BoxFuture<'static, Made>,
    ) -> Page {
        let known = self.0.get(&address);
        // One that was begun may not show what its asker was told of since.
        if let Some(page) = known.and_then(Making::to_come) {
            return page;
        }
        let at = known.map_or(now, |making| now.max(making.at + PACE));
        if known.is_none() && self.0.len() >= PAGES {
            self.0.retain(|_, making| making.at + PACE > now || making.to_come().is_some());
        }
        let has_begun = Arc::new(AtomicBool::new(false));
        let page = make(at, Arc::clone(&has_begun)).shared();
        let is_kept = self.0.len() < PAGES || self.0.contains_key(&address);
        if let Some(page) = page.downgrade().filter(|_| is_kept) {
            self.0.insert(address, Making { at, has_begun, page });
        }
        page
    }
}

impl Making {
    /// The page, if somebody waits for it and it was not begun.
    fn to_come(&self) -> Option<Page> {
        let page = self.page.upgrade()?;
        (!self.has_begun.load(Ordering::SeqCst)).then_some(page)
    }
}

impl Made {
    /// The page for a visitor, whose forms have this key.
    fn answer(self, form_key: &str) -> Response {
        let Self { parts, body, form_key: made_for } = self;
        let body = if *made_for == *form_key {
            body
        } else {
            // A key is 64 digits of a hash that nobody else knows, so nothing else is replaced.
            Bytes::from(String::from_utf8_lossy(&body).replace(&*made_for, form_key))
        };
        Response::from_parts(parts, Body::from(body))
    }
}

fn caller(request: &Request) -> Caller {
    request.extensions().get().cloned().unwrap_or_default()
}

/// The request without what the page is not to be made of, such as cookies.
fn plain(mut request: Request) -> Request {
    let host = request.headers().get(header::HOST).cloned();
    *request.headers_mut() = HeaderMap::from_iter(host.map(|host| (header::HOST, host)));
    *request.body_mut() = Body::empty();
    request
}

/// Begins when it is time, or when the engine stops: then nobody is kept waiting.
async fn begun_at(at: Instant, handle: Handle, has_begun: Arc<AtomicBool>, page: BoxFuture<'static, Made>) -> Made {
    // Ends early only when the engine stops.
    let _ = tokio::time::timeout_at(at, handle.shutting_down()).await;
    has_begun.store(true, Ordering::SeqCst);
    page.await
}

async fn make(request: Request, next: Next, form_key: Arc<str>) -> Made {
    let (parts, body) = next.run(request).await.into_parts();
    // A page is whole in memory already.
    match body.collect().await {
        Ok(body) => Made { parts, body: body.to_bytes(), form_key },
        Err(error) => {
            // A browser is shown the problem in place of this body.
            let (parts, _) = Problem::new(Code::Internal, error.to_string()).into_response().into_parts();
            Made { parts, body: Bytes::new(), form_key }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn address(path: usize) -> Address {
        Address { path: format!("/runs/{path}"), host: None, token: None }
    }

    fn made(text: &'static str, form_key: &str) -> Made {
        let (parts, ()) = StatusCode::OK.into_response().map(|_| ()).into_parts();
        Made { parts, body: Bytes::from_static(text.as_bytes()), form_key: form_key.into() }
    }

    /// Asks for a page; answers it with when it begins.
    fn ask(lately: &mut Lately, path: usize, now: Instant, text: &'static str) -> (Page, Option<Instant>) {
        let mut begins = None;
        let page = lately.join(address(path), now, |at, has_begun| {
            begins = Some(at);
            async move {
                has_begun.store(true, Ordering::SeqCst);
                made(text, "")
            }
            .boxed()
        });
        (page, begins)
    }

    #[tokio::test]
    async fn who_asks_before_a_page_is_begun_gets_it_and_who_asks_later_waits_for_the_next() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        let (first, begins) = ask(&mut lately, 1, now, "first");
        assert_eq!(begins, Some(now), "nobody asked lately");
        // Somebody who has not read it yet.
        let slow = first.clone();
        let (same, begins) = ask(&mut lately, 1, now, "not made");
        assert_eq!((same.await.body, begins), (first.await.body, None));
        let (second, begins) = ask(&mut lately, 1, now + PACE / 2, "second");
        assert_eq!(begins, Some(now + PACE));
        assert_eq!((second.await.body, slow.await.body), (Bytes::from("second"), Bytes::from("first")));
        let (_, begins) = ask(&mut lately, 1, now + PACE * 5, "third");
        assert_eq!(begins, Some(now + PACE * 5));
    }

    #[tokio::test]
    async fn a_page_that_everybody_left_is_made_again() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        drop(ask(&mut lately, 1, now, "left"));
        assert_eq!(ask(&mut lately, 1, now, "again").0.await.body, "again");
    }

    #[tokio::test]
    async fn only_so_many_pages_are_known_and_those_of_earlier_make_room() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        let asked: Vec<Page> = (0..PAGES + 50).map(|path| ask(&mut lately, path, now, "page").0).collect();
        assert_eq!(lately.0.len(), PAGES);
        for page in asked {
            assert_eq!(page.await.body, "page", "those beyond are made too");
        }
        drop(ask(&mut lately, PAGES, now + PACE, "page"));
        assert_eq!(lately.0.len(), 1);
    }

    #[tokio::test]
    async fn everybody_gets_the_key_of_their_own_forms() {
        for (visitor, text) in [("aaaa", "key aaaa, aaaa"), ("bbbb", "key bbbb, bbbb")] {
            let answer = made("key aaaa, aaaa", "aaaa").answer(visitor);
            assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), text);
        }
    }
}
