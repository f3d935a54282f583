//! `jobmill token`: API tokens, made at a running server or in a data directory before the first start.
//! It keeps no secret; whoever makes a token keeps it.

mod create;

use clap::Subcommand;
use comfy_table::{Cell, Color};
use jobmill_client::Token;
use jobmill_core::{Timestamp, TokenId};

use super::Context;
use crate::failure::{Exit, Failure};
use crate::{machine, output};

/// API tokens
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its secret is printed this once
    Create(create::Create),
    /// Every token with what it may do and when it was last used
    List,
    /// Let a token open nothing any more
    Revoke {
        /// The token's id
        #[arg(value_name = "TOKEN")]
        id: TokenId,
    },
}

impl TokenCommand {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => create.carry_out(context)?,
            Self::List => list(context)?,
            Self::Revoke { id } => revoke(id, context)?,
        }
        Ok(Exit::Done)
    }
}

/// What is said where there is none.
const NONE: &str = "there is no token, so that everybody on the server's own machine may do everything; make one with \
                    `jobmill token create --scope operate`";

fn list(context: &Context) -> Result<(), Failure> {
    let page = context.client()?.tokens()?;
    context.output.list(page.texts(), page.next_cursor(), NONE, || {
        let now = machine::now();
        let rows = page.items()?.iter().map(|token| row(token, now)).collect();
        Ok(output::table(&["TOKEN", "NAME", "SCOPE", "STATUS", "EXPIRES", "LAST USED", "SOURCE"], rows))
    })
}

fn row(token: &Token, now: Timestamp) -> Vec<Cell> {
    let relative = |at: Option<Timestamp>| at.map_or_else(|| "–".to_owned(), |at| output::relative(at, now));
    vec![
        Cell::new(token.id),
        output::text_cell(&token.name),
        Cell::new(token.scope),
        status_cell(token, now),
        output::number_cell(relative(token.expires_at)),
        output::number_cell(relative(token.last_used_at)),
        output::text_cell(token.source.as_deref().unwrap_or_default()),
    ]
}

fn status_cell(token: &Token, now: Timestamp) -> Cell {
    match (token.revoked_at, token.expires_at) {
        (Some(_), _) => Cell::new("⊘ revoked").fg(Color::DarkGrey),
        (None, Some(at)) if at <= now => Cell::new("⊘ expired").fg(Color::DarkGrey),
        _ => Cell::new("✓ valid").fg(Color::Green),
    }
}

fn revoke(id: TokenId, context: &Context) -> Result<(), Failure> {
    let revoked = context.client()?.revoke_token(id)?;
    context.output.document(revoked.text(), || revoked.id.to_string())?;
    let (name, scope) = (output::visible(&revoked.name), revoked.scope);
    context.output.note(&format!("{name:?} ({scope}) opens nothing any more"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_listed_with_what_became_of_it() {
        let now = "2026-03-01T09:00:00.000Z".parse().expect("a time");
        let shown = |revoked: Option<&str>, expires: Option<&str>| {
            let token: Token = serde_json::from_value(serde_json::json!({
                "id": "tok_01J00000000000000000000000", "name": "shop\u{1b}[2J", "scope": "enqueue",
                "created_at": "2026-01-01T00:00:00.000Z", "expires_at": expires, "revoked_at": revoked,
                "last_used_at": "2026-03-01T08:55:00.000Z", "rate_limit": null, "max_waiting": null,
                "source": "created",
            }))
            .expect("a token");
            row(&token, now).iter().map(Cell::content).collect::<Vec<_>>().join("  ")
        };
        let (past, coming) = (Some("2026-02-01T09:00:00.000Z"), Some("2026-03-02T09:00:00.000Z"));
        let line = |status: &str, expires: &str| {
            format!(
                "tok_01J00000000000000000000000  shop\\u{{1b}}[2J  enqueue  {status}  {expires}  5 min ago  created"
            )
        };
        assert_eq!(shown(None, None), line("✓ valid", "–"));
        assert_eq!(shown(None, coming), line("✓ valid", "in 1 d"));
        assert_eq!(shown(None, past), line("⊘ expired", "28 d ago"));
        assert_eq!(shown(past, coming), line("⊘ revoked", "in 1 d"));
    }
}
