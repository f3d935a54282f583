//! API tokens: make, list and revoke them.
//! The secret is in the answer that makes one and nowhere after.

use jobmill_core::TokenId;

use super::Nothing;
use crate::answer::{Answer, Page};
use crate::client::Client;
use crate::error::Error;
use crate::requests::NewToken;
use crate::shapes::{CreatedToken, Token};

impl Client {
    /// Makes a token.
    pub fn create_token(&self, token: &NewToken<'_>) -> Result<Answer<CreatedToken>, Error> {
        self.post(&["tokens"], token)
    }

    /// Every token, revoked ones and those of the server's configuration among them.
    pub fn tokens(&self) -> Result<Page<Token>, Error> {
        self.page(&["tokens"], &[])
    }

    /// Lets a token open nothing any more.
    pub fn revoke_token(&self, id: TokenId) -> Result<Answer<Token>, Error> {
        self.post(&["tokens", &id.to_string(), "revoke"], &Nothing {})
    }
}
