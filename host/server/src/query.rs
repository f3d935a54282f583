//! Query parameters: read by name, with unknown, repeated and unreadable ones refused by name.
//! It knows no route: each handler says which parameters it takes.

use std::convert::Infallible;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use jobmill_core::limits;

use crate::error::{Code, Problem};

/// The parameters of a request, as they were sent.
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.uri))
    }
}

/// No parameters at all: any that is given is refused by name.
pub(crate) struct NoParameters;

impl<S: Send + Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Parameters::of(&parts.uri).only(&[]).map(|_| Self)
    }
}

impl Parameters {
    fn of(uri: &Uri) -> Self {
        // A list of pairs takes whatever a query can say, so there is nothing to refuse yet.
        Query::try_from_uri(uri).map_or_else(|_| Self(Vec::new()), |Query(pairs)| Self(pairs))
    }

    /// Refuses every parameter but these, each given at most once.
    pub(crate) fn only(self, known: &[&str]) -> Result<Self, Problem> {
        for (position, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let hint = match nearest(name, known) {
                    Some(likely) => format!("; did you mean {likely:?}?"),
                    None if known.is_empty() => "; this path takes none".to_owned(),
                    None => format!("; known are {}", known.join(", ")),
                };
                let shown = limits::truncate(name, 80);
                let detail = format!("the parameter {shown:?} is not known here{hint}");
                return Err(Problem::new(Code::UnknownParameter, detail));
            }
            if self.0[..position].iter().any(|(earlier, _)| earlier == name) {
                let detail = format!("the parameter {name:?} is given twice");
                return Err(Problem::new(Code::InvalidParameter, detail));
            }
        }
        Ok(self)
    }

    /// The text of a parameter that was given. An empty one was not: forms send those.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let given = self.0.iter().find(|(given, value)| given == name && !value.is_empty());
        given.map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that was given.
    pub(crate) fn value<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.read(name, str::parse)
    }

    /// The value of a parameter that was given, by a reader of one's own.
    pub(crate) fn read<T, E: Display>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let read = self.text(name).map(read).transpose();
        read.map_err(|error| Problem::new(Code::InvalidParameter, format!("{name}: {error}")))
    }

    /// `limit`: how many items a page has.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        self.read("limit", |text| match text.parse() {
            Ok(limit) if (1..=limits::PAGE_ITEMS).contains(&limit) => Ok(limit),
            _ => Err(format!("{:?} is not a number from 1 to {}", limits::truncate(text, 80), limits::PAGE_ITEMS)),
        })
        .map(|limit| limit.unwrap_or(limits::PAGE_ITEMS_DEFAULT))
    }
}

/// The known name that a mistyped one probably means.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        Parameters::of(&format!("/?{query}").parse().expect("a URI"))
    }

    #[test]
    fn unknown_parameters_are_named_with_the_nearest_known() {
        let refused = parameters("sate=dead").only(&["state", "job"]).err().expect("refused");
        assert_eq!(refused.code(), Code::UnknownParameter);
        assert_eq!(refused.detail(), "the parameter \"sate\" is not known here; did you mean \"state\"?");
        assert!(parameters("x=1").only(&[]).is_err());
        assert!(parameters("job=a&job=b").only(&["job"]).is_err());
        assert!(parameters("").only(&["job"]).is_ok());
    }

    #[test]
    fn values_are_read_and_bad_ones_named() {
        let given = parameters("state=dead&job=&error=no+such%20order");
        assert_eq!(given.value("state").ok(), Some(Some(jobmill_core::RunState::Dead)));
        assert_eq!(given.text("job"), None);
        assert_eq!(given.text("error"), Some("no such order"));
        let refused = parameters("state=ded").value::<jobmill_core::RunState>("state").expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidParameter);
        assert!(refused.detail().starts_with("state: \"ded\" is not a run state"), "{}", refused.detail());
    }

    #[test]
    fn a_page_has_1_to_200_items_and_50_unless_told() {
        assert_eq!(parameters("").limit().ok(), Some(50));
        assert_eq!(parameters("limit=200").limit().ok(), Some(200));
        for wrong in ["0", "201", "-1", "x", "99999999999999999999"] {
            assert!(parameters(&format!("limit={wrong}")).limit().is_err(), "{wrong}");
        }
    }
}
