//! Lists of events: each once, newest first, whatever tells of it.
//! What an event starts is in `events`.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::journal::EventReference;
use jobmill_core::{EventKey, Timestamp};

use super::Subject;
use super::subject::at;
use crate::query::{EventFilter, EventRecord};
use crate::store::NewEvent;

impl Subject {
    /// Eight events at eight times, of which every second started a run, and every third has another name.
    async fn eight_events(&self) -> Vec<EventKey> {
        let mut keys = Vec::new();
        for number in 0..8_u64 {
            let jobs = if number % 2 == 0 { &["welcome"][..] } else { &[] };
            let name = if number % 3 == 0 { "order/paid" } else { "order/shipped" };
            let event = self.new_event(&format!("event-{number}"), jobs);
            let reference = EventReference { name: name.into(), ..event.reference.clone() };
            keys.push(reference.key);
            self.store().publish(vec![NewEvent { reference, ..event }], at(number)).await.expect("publishes");
        }
        keys
    }

    async fn listed(&self, filter: &EventFilter, limit: usize) -> Vec<EventRecord> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let page = self.query().events(filter, after, limit).await.expect("reads");
            assert!(page.items.len() <= limit);
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return items;
            }
        }
    }
}

fn keys(records: &[EventRecord]) -> Vec<EventKey> {
    records.iter().map(|record| record.reference.key).collect()
}

pub async fn pages_of_events_have_no_gap_and_no_repeat(subject: Subject) {
    let mut expected = subject.eight_events().await;
    expected.reverse();
    let subject = subject.reopened();
    for limit in [1, 3, 8, 9] {
        let listed = subject.listed(&EventFilter::default(), limit).await;
        assert_eq!(keys(&listed), expected, "pages of {limit}");
        for record in listed {
            let one = subject.query().event_by_key(record.reference.key).await.expect("reads");
            assert_eq!(one.as_ref(), Some(&record), "a list and a look show the same");
        }
    }
}

pub async fn a_filter_names_events_by_each_of_its_members(subject: Subject) {
    let all = subject.eight_events().await;
    let named = |positions: &[usize]| positions.iter().map(|at| all[*at]).collect::<Vec<_>>();
    let (since, until): (Option<Timestamp>, _) = (Some(at(2)), Some(at(7)));
    let paid = EventFilter { name: Some("order/paid".to_owned()), ..EventFilter::default() };
    let span = EventFilter { since, until, ..EventFilter::default() };
    let both = EventFilter { since, until, ..paid.clone() };
    let other = EventFilter { name: Some("order".to_owned()), ..EventFilter::default() };
    for (filter, expected) in [(paid, &[6, 3, 0][..]), (span, &[6, 5, 4, 3, 2]), (both, &[6, 3]), (other, &[])] {
        assert_eq!(keys(&subject.listed(&filter, 2).await), named(expected), "{filter:?}");
    }
}
