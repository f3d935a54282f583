//! API tokens: kept until they are revoked, and then known as revoked.
//! Which requests one opens is the server's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::token::{Scope, SecretDigest, Token};
use jobmill_core::{Timestamp, TokenId};

use super::Subject;
use super::subject::at;
use crate::control::Control;
use crate::log::Record;

fn token(number: u8) -> Token {
    Token {
        id: TokenId::from_bytes([number; 16]),
        name: format!("token {number}"),
        scope: Scope::Enqueue,
        digest: SecretDigest([number; 32]),
        created_at: at(0),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        rate_limit: None,
        max_waiting: Some(5),
    }
}

impl Subject {
    async fn put(&self, token: &Token) {
        self.store().put_token(token.clone()).await.expect("keeps");
    }

    async fn touch(&self, token: &Token, now: Timestamp) {
        self.store().touch_token(token.id, now).await.expect("serves");
    }

    async fn tokens(&self) -> Vec<Token> {
        self.query().tokens().await.expect("reads").to_vec()
    }
}

pub async fn a_token_is_kept_by_its_id(subject: Subject) {
    for number in [2, 1, 3] {
        subject.put(&token(number)).await;
    }
    assert_eq!(subject.tokens().await, [token(1), token(2), token(3)]);
    let named = Token { name: "another name".to_owned(), ..token(2) };
    subject.put(&named).await;
    let subject = subject.reopened();
    assert_eq!(subject.tokens().await, [token(1), named, token(3)]);
}

pub async fn a_revoked_token_stays_revoked(subject: Subject) {
    subject.put(&token(1)).await;
    assert_eq!(subject.store().revoke_token(token(2).id, at(5)).await, Ok(None));
    let revoked = Token { revoked_at: Some(at(5)), ..token(1) };
    assert_eq!(subject.store().revoke_token(revoked.id, at(5)).await, Ok(Some(revoked.clone())));
    assert_eq!(subject.store().revoke_token(revoked.id, at(9)).await, Ok(Some(revoked.clone())), "since it first was");
    subject.put(&token(1)).await;
    let subject = subject.reopened();
    assert_eq!(subject.tokens().await, [revoked]);
}

pub async fn the_last_use_of_a_token_is_told(subject: Subject) {
    subject.put(&token(1)).await;
    subject.touch(&token(1), at(7)).await;
    subject.touch(&token(1), at(3)).await;
    subject.touch(&token(2), at(3)).await;
    let used = Token { last_used_at: Some(at(7)), ..token(1) };
    assert_eq!(subject.tokens().await, std::slice::from_ref(&used));
    assert_eq!(subject.reopened().tokens().await, [used]);
}

pub async fn whoever_holds_the_list_sees_it_as_it_was(subject: Subject) {
    subject.put(&token(1)).await;
    let before = subject.query().tokens().await.expect("reads");
    subject.store().revoke_token(token(1).id, at(5)).await.expect("revokes");
    assert_eq!(*before, [token(1)]);
    assert_eq!(subject.tokens().await[0].revoked_at, Some(at(5)));
}

pub async fn concurrent_uses_and_a_revocation_are_all_told(subject: Subject) {
    subject.put(&token(1)).await;
    let mut tasks = Vec::new();
    for number in 1..=8 {
        let store = std::sync::Arc::clone(&subject.store);
        tasks.push(tokio::spawn(async move {
            if number == 4 {
                store.revoke_token(token(1).id, at(4)).await.map(|_| ())
            } else {
                store.touch_token(token(1).id, at(number)).await
            }
        }));
    }
    for task in tasks {
        task.await.expect("ends").expect("serves");
    }
    let expected = Token { revoked_at: Some(at(4)), last_used_at: Some(at(8)), ..token(1) };
    assert_eq!(subject.tokens().await, [expected]);
}

pub async fn tokens_go_along_to_another_store(subject: Subject) {
    subject.put(&token(1)).await;
    subject.store().revoke_token(token(1).id, at(5)).await.expect("revokes");
    let export = subject.query().export().await.expect("exports");
    let records: Vec<Record> = export.map(|record| record.expect("reads")).collect();
    let kept = Token { revoked_at: Some(at(5)), ..token(1) };
    assert_eq!(records, [Record::Control(Control::Token(Box::new(kept)))]);
    assert_eq!(subject.store().import(records).await, Ok(0), "it is here already");
    let other = Record::Control(Control::Token(Box::new(token(2))));
    assert_eq!(subject.store().import(vec![other]).await, Ok(1));
    assert_eq!(subject.tokens().await[1], token(2));
}
