//! Values as texts that PostgreSQL reads by the type of the column they are compared with or written to.
//! So a text, an enum, a uuid, a number and a time need no knowledge of the shop's types.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

/// A text for a parameter of a type that the server finds out; none is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter(pub(super) Option<String>);

impl Parameter {
    pub(super) fn of(text: impl Into<String>) -> Self {
        Self(Some(text.into()))
    }

    /// Parameters as a statement takes them.
    pub(super) fn typed(parameters: &[Self]) -> Vec<(&(dyn ToSql + Sync), Type)> {
        parameters.iter().map(|parameter| (parameter as &(dyn ToSql + Sync), Type::UNKNOWN)).collect()
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
