//! What a page's form sends: read within a bound, and only with the key that the page was given.
//! It knows no field; each handler asks for its own.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{Form, FromRequest, FromRequestParts as _, Request};
use subtle::ConstantTimeEq as _;

use crate::Context;
use crate::audit::Audited;
use crate::error::{Code, Problem};
use crate::pages::visitor::Visitor;

/// The fields of a form, and who sent it.
pub(super) struct Posted {
    pub(super) visitor: Visitor,
    /// What it does, for the audit list.
    pub(super) audited: Audited,
    fields: Vec<(String, String)>,
}

impl FromRequest<Context> for Posted {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Context) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, context).await?;
        let audited = Audited::of(&parts);
        let Form(fields) = Form::from_request(Request::from_parts(parts, body), context)
            .await
            .map_err(|error| Problem::new(Code::BodyUnreadable, format!("the form could not be read: {error}")))?;
        let posted = Self { visitor, audited, fields };
        let key = posted.text("form_key").unwrap_or_default();
        if !bool::from(key.as_bytes().ct_eq(posted.visitor.form_key.as_bytes())) {
            let detail =
                "the page that this form was on is no longer valid; load it again, and send the form once more";
            return Err(Problem::new(Code::ForbiddenOrigin, detail));
        }
        Ok(posted)
    }
}

impl Posted {
    /// A field that was filled in.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_str()).filter(|value| !value.trim().is_empty())
    }

    /// Every value of a field, such as the rows that were selected.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// A field that was filled in, as what it should be.
    pub(super) fn value<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let read = |text: &str| {
            text.trim().parse().map_err(|error: T::Err| Problem::invalid_member(&format!("/{name}"), error.to_string()))
        };
        self.text(name).map(read).transpose()
    }
}
