//! The shop's own words for where an order stands, both ways.
//! It decides no step from one status to another; the core does.

use std::collections::BTreeMap;

use jobmill_core::order::{OrderError, OrderStatus};

/// How a status is spelled that the configuration does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `fulfilled`
    Lower,
    /// `FULFILLED`
    Upper,
}

/// The words of one source.
#[derive(Debug, Clone)]
pub(super) struct Words {
    statuses: BTreeMap<String, OrderStatus>,
    spelling: Spelling,
    /// The configuration key that holds them.
    key: &'static str,
}

impl Words {
    pub(super) fn new(statuses: BTreeMap<String, OrderStatus>, spelling: Spelling, key: &'static str) -> Self {
        Self { statuses, spelling, key }
    }

    /// What the shop means by `word`: what the configuration says, or our own word in any case.
    pub(super) fn read(&self, word: &str) -> Result<OrderStatus, OrderError> {
        let ours = || ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(word));
        self.statuses.get(word).copied().or_else(ours).ok_or_else(|| {
            OrderError::Unavailable(format!("the order's status is {word:?}, which {} does not name", self.key))
        })
    }

    /// The shop's word for `status`. Of several the one that is our own in another case.
    pub(super) fn write(&self, status: OrderStatus) -> Result<String, OrderError> {
        let words: Vec<&String> = self.statuses.iter().filter(|(_, of)| **of == status).map(|(word, _)| word).collect();
        let ours = words.iter().find(|word| status.as_str().eq_ignore_ascii_case(word));
        match (words.as_slice(), ours) {
            ([], _) => Ok(match self.spelling {
                Spelling::Lower => status.as_str().to_owned(),
                Spelling::Upper => status.as_str().to_uppercase(),
            }),
            ([word], _) | (_, Some(word)) => Ok((*word).clone()),
            _ => Err(OrderError::Denied(format!(
                "{} names {} words for {}, {words:?}, so that none of them can be written",
                self.key,
                words.len(),
                status.as_str()
            ))),
        }
    }
}

const ALL: [OrderStatus; 5] =
    [OrderStatus::Pending, OrderStatus::Paid, OrderStatus::Fulfilled, OrderStatus::Refunded, OrderStatus::Cancelled];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[(&str, OrderStatus)], spelling: Spelling) -> Words {
        let statuses = pairs.iter().map(|(word, status)| ((*word).to_owned(), *status)).collect();
        Words::new(statuses, spelling, "orders.http.statuses")
    }

    #[test]
    fn the_shop_s_word_goes_before_our_own() {
        let words = words(&[("COMPLETE", OrderStatus::Fulfilled), ("paid", OrderStatus::Pending)], Spelling::Lower);
        assert_eq!(words.read("COMPLETE"), Ok(OrderStatus::Fulfilled));
        assert_eq!(words.read("paid"), Ok(OrderStatus::Pending));
        assert_eq!(words.read("PAID"), Ok(OrderStatus::Paid));
        assert_eq!(words.write(OrderStatus::Fulfilled), Ok("COMPLETE".to_owned()));
        assert_eq!(words.write(OrderStatus::Refunded), Ok("refunded".to_owned()));
    }

    #[test]
    fn what_is_not_named_is_spelled_as_the_source_does() {
        assert_eq!(words(&[], Spelling::Upper).write(OrderStatus::Fulfilled), Ok("FULFILLED".to_owned()));
        assert_eq!(words(&[], Spelling::Lower).write(OrderStatus::Fulfilled), Ok("fulfilled".to_owned()));
    }

    #[test]
    fn of_several_words_only_our_own_can_be_written() {
        let packed = [("PACKED", OrderStatus::Paid), ("PRINTED", OrderStatus::Paid)];
        let Err(OrderError::Denied(text)) = words(&packed, Spelling::Upper).write(OrderStatus::Paid) else {
            panic!("it chose one")
        };
        assert!(text.contains("orders.http.statuses") && text.contains("PRINTED"), "{text}");
        let with_ours = [packed[0], packed[1], ("Paid", OrderStatus::Paid)];
        assert_eq!(words(&with_ours, Spelling::Upper).write(OrderStatus::Paid), Ok("Paid".to_owned()));
    }

    #[test]
    fn a_word_that_nobody_knows_is_told_with_the_key_that_would_name_it() {
        let Err(OrderError::Unavailable(text)) = words(&[], Spelling::Lower).read("on hold") else { panic!("known") };
        assert!(text.contains("\"on hold\"") && text.contains("orders.http.statuses"), "{text}");
    }
}
