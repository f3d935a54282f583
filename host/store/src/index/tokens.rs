//! The API tokens in the index, as one list that whoever asks shares.
//! It compares no secret; the server does.

use std::sync::Arc;

use jobmill_core::token::Token;

use super::Index;

impl Index {
    /// A token as it is from now on.
    pub(super) fn put_token(&mut self, token: &Token) {
        let found = self.tokens.binary_search_by_key(&token.id, |other| other.id);
        // In place where nobody looks at the list: a log tells of each use.
        if let (Ok(at), Some(tokens)) = (found, Arc::get_mut(&mut self.tokens)) {
            tokens[at] = token.clone();
            return;
        }
        let (before, after) = match found {
            Ok(at) => (&self.tokens[..at], &self.tokens[at + 1..]),
            Err(at) => self.tokens.split_at(at),
        };
        self.tokens = before.iter().chain([token]).chain(after).cloned().collect();
    }
}
