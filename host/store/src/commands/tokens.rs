//! API tokens: kept, revoked, used.
//! It compares no secret; the server does.

use jobmill_core::token::Token;
use jobmill_core::{Timestamp, TokenId};

use super::Decision;
use crate::committer::Commit;
use crate::control::{Control, ControlKey};
use crate::log::Record;

/// Keeps a token. One that was revoked stays revoked.
pub(crate) fn put_token(commit: &mut Commit<'_>, token: &Token) -> Decision<()> {
    if let Some(full) = &commit.full {
        return Decision::Refuse(full.clone());
    }
    let kept = change(commit, token.id, |before| {
        let revoked_at = before.and_then(|before| before.revoked_at).or(token.revoked_at);
        Some(Token { revoked_at, ..token.clone() })
    });
    kept.map(|_| ())
}

/// Revokes a token; none when there is none.
pub(crate) fn revoke_token(commit: &mut Commit<'_>, id: TokenId, now: Timestamp) -> Decision<Option<Token>> {
    change(commit, id, |before| {
        let before = before?;
        Some(Token { revoked_at: before.revoked_at.or(Some(now)), ..before.clone() })
    })
}

/// A token was used. It is no news that is worth the last room on the disk.
pub(crate) fn touch_token(commit: &mut Commit<'_>, id: TokenId, now: Timestamp) -> Decision<()> {
    if commit.full.is_some() {
        return Decision::Write(Vec::new(), ());
    }
    let touched = change(commit, id, |before| {
        let before = before?;
        Some(Token { last_used_at: before.last_used_at.max(Some(now)), ..before.clone() })
    });
    touched.map(|_| ())
}

/// Puts what `after` says in the place of the token; answers it.
fn change(
    commit: &mut Commit<'_>,
    id: TokenId,
    after: impl FnOnce(Option<&Token>) -> Option<Token>,
) -> Decision<Option<Token>> {
    let key = ControlKey::Token(id);
    if commit.touched.controls.contains(&key) {
        return Decision::Later;
    }
    let before = match commit.index.control(&key) {
        Some(Control::Token(token)) => Some(&**token),
        _ => None,
    };
    let Some(after) = after(before) else { return Decision::Write(Vec::new(), None) };
    if before == Some(&after) {
        return Decision::Write(Vec::new(), Some(after));
    }
    commit.touched.controls.insert(key);
    Decision::Write(vec![Record::Control(Control::Token(Box::new(after.clone())))], Some(after))
}
