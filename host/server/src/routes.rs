//! The one way to make a route: method, path, rule and handler in one call, so that no route lacks a rule.
//! It checks nobody; `authentication` does, by the table that is kept here.

use std::collections::HashMap;
use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};
use jobmill_core::token::Scope;
use utoipa::openapi::OpenApi;

use crate::Context;
use crate::action::Action;

/// Who may use a route once a token exists. Before, everybody may who reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody.
    Open,
    /// Whoever has a token of this scope, or one that may do everything.
    Scope(Scope),
    /// Whoever signs the body; the handler checks that.
    Signed,
    /// Whoever has a token that may bring work in, written as the last segment of the path.
    EventKey,
}

impl Rule {
    /// To see something.
    pub(crate) const READ: Self = Self::Scope(Scope::Read);
    /// To bring work in.
    pub(crate) const ENQUEUE: Self = Self::Scope(Scope::Enqueue);
    /// To change anything else.
    pub(crate) const OPERATE: Self = Self::Scope(Scope::Operate);
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Scope(scope) => scope.as_str(),
            Self::Signed => "signed",
            Self::EventKey => "event-key",
        })
    }
}

/// A route as it stands in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its method. `GET` answers to `HEAD` too.
    pub method: Method,
    /// Its path, with parameters in braces.
    pub path: &'static str,
    /// Who may use it.
    pub rule: Rule,
    /// What it does for an operator; none of a route that only shows something, or that programs use.
    pub action: Option<Action>,
    /// When the action is put on record.
    pub audit: Audit,
}

/// When what a route does is put on record in the audit list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// Never: it shows something, or it is for programs that bring work in.
    Never,
    /// Before its handler begins.
    AtTheDoor,
    /// Once its handler knows that it is to be done: the same route also tells what would be done.
    ByTheHandler,
}

/// Routes with their rules, and what describes them.
pub(crate) struct Routes {
    router: Router<Context>,
    table: Vec<Route>,
    documents: Vec<fn() -> OpenApi>,
}

/// What is made of routes in the end.
pub(crate) struct Built {
    /// The routes, to be served behind `authentication`.
    pub(crate) router: Router<Context>,
    /// The rule of each.
    pub(crate) table: Vec<Route>,
    /// What describes those under `/api/v1`, without rules. Made when it is asked for: it is large.
    pub(crate) documents: Vec<fn() -> OpenApi>,
}

impl Routes {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { router: Router::new(), table: Vec::new(), documents: Vec::new() }
    }

    /// Adds a `GET`, which answers to `HEAD` too.
    pub(crate) fn get<H: Handler<T, Context>, T: 'static>(self, path: &'static str, rule: Rule, handler: H) -> Self {
        self.add(Method::GET, MethodFilter::GET, path, rule, handler)
    }

    /// Adds a `POST`.
    pub(crate) fn post<H: Handler<T, Context>, T: 'static>(self, path: &'static str, rule: Rule, handler: H) -> Self {
        self.add(Method::POST, MethodFilter::POST, path, rule, handler)
    }

    /// Adds a `PUT`.
    pub(crate) fn put<H: Handler<T, Context>, T: 'static>(self, path: &'static str, rule: Rule, handler: H) -> Self {
        self.add(Method::PUT, MethodFilter::PUT, path, rule, handler)
    }

    /// Adds a `PATCH`.
    pub(crate) fn patch<H: Handler<T, Context>, T: 'static>(self, path: &'static str, rule: Rule, handler: H) -> Self {
        self.add(Method::PATCH, MethodFilter::PATCH, path, rule, handler)
    }

    /// Adds a `DELETE`.
    pub(crate) fn delete<H: Handler<T, Context>, T: 'static>(self, path: &'static str, rule: Rule, handler: H) -> Self {
        self.add(Method::DELETE, MethodFilter::DELETE, path, rule, handler)
    }

    /// Adds an `OPTIONS`, which browsers ask before they send something to another site.
    pub(crate) fn options<H: Handler<T, Context>, T: 'static>(
        self,
        path: &'static str,
        rule: Rule,
        handler: H,
    ) -> Self {
        self.add(Method::OPTIONS, MethodFilter::OPTIONS, path, rule, handler)
    }

    fn add<H: Handler<T, Context>, T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        rule: Rule,
        handler: H,
    ) -> Self {
        self.table.push(Route { method, path, rule, action: None, audit: Audit::Never });
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    /// Says what the route that was added last does for an operator.
    pub(crate) fn does(self, action: Action) -> Self {
        self.acts(action, Audit::AtTheDoor)
    }

    /// The same of a route that, asked otherwise, only tells what it would do: its handler says when it does it.
    pub(crate) fn may_do(self, action: Action) -> Self {
        self.acts(action, Audit::ByTheHandler)
    }

    fn acts(mut self, action: Action, audit: Audit) -> Self {
        if let Some(route) = self.table.last_mut() {
            route.action = Some(action);
            // Whoever may only bring work in is no operator, and what comes in so is on record by itself.
            if route.rule == Rule::OPERATE && route.method != Method::GET {
                route.audit = audit;
            }
        }
        self
    }

    /// Adds what describes routes under `/api/v1`: of each its parameters, its shapes, and what it is for.
    pub(crate) fn described_by(mut self, document: fn() -> OpenApi) -> Self {
        self.documents.push(document);
        self
    }

    /// Adds the routes of another area.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.table.extend(other.table);
        self.documents.extend(other.documents);
        self
    }

    /// All of them.
    pub(crate) fn build(self) -> Built {
        Built { router: self.router, table: self.table, documents: self.documents }
    }
}

/// Each route with its rule, for whoever serves them.
#[derive(Debug, Default)]
pub(crate) struct Rules(HashMap<&'static str, Vec<Route>>);

impl Rules {
    /// Those of a table.
    pub(crate) fn of(table: &[Route]) -> Self {
        let mut rules: HashMap<_, Vec<_>> = HashMap::new();
        for route in table {
            rules.entry(route.path).or_default().push(route.clone());
        }
        Self(rules)
    }

    /// The rule of a path as it was matched; none where the path has no such method.
    pub(crate) fn rule(&self, method: &Method, path: &str) -> Option<Rule> {
        self.route(method, path).map(|route| route.rule)
    }

    /// The route of a path as it was matched; none where the path has no such method.
    pub(crate) fn route(&self, method: &Method, path: &str) -> Option<&Route> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.0.get(path)?.iter().find(|route| route.method == *method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_the_rule_of_its_get_and_a_method_that_is_none_has_none() {
        let routes = Routes::new().get("/a/{id}", Rule::READ, || async {}).merge(Routes::new().post(
            "/a/{id}",
            Rule::OPERATE,
            || async {},
        ));
        let rules = Rules::of(&routes.build().table);
        assert_eq!(rules.rule(&Method::HEAD, "/a/{id}"), Some(Rule::READ));
        assert_eq!(rules.rule(&Method::POST, "/a/{id}"), Some(Rule::OPERATE));
        assert_eq!(rules.rule(&Method::DELETE, "/a/{id}"), None);
        assert_eq!(rules.rule(&Method::GET, "/a/b"), None);
    }
}
