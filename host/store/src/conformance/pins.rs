//! Components of versions are kept beside the log, as many as have room; and jobs are held to versions.
//! What is loaded because of that is the engine's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::collections::BTreeSet;

use jobmill_core::job::{JobVersion, Pin};
use jobmill_core::{Descriptor, Version, limits};

use super::Subject;
use super::subject::{at, job, version};
use crate::control::Control;
use crate::forgetting::Forget;
use crate::log::Record;
use crate::portable;
use crate::store::StoreError;

fn pinned(name: &str, of: &str, since: u64) -> Pin {
    let reason = Some("it traps".to_owned());
    Pin { job: job(name), version: version(of), at: at(since), by: "ada".to_owned(), reason }
}

impl Subject {
    /// A version with these bytes is loaded, and its component kept.
    async fn keep(&self, name: &str, of: &str, now: u64, size: u64) {
        self.store().put_component(version(of), of.as_bytes().to_vec()).await.expect("keeps");
        let loaded = JobVersion {
            job: job(name),
            version: version(of),
            file: format!("{name}.wasm"),
            descriptor: Descriptor { id: name.to_owned(), ..Descriptor::default() },
            imports: Vec::new(),
            size,
            first_loaded_at: at(now),
            last_loaded_at: at(now),
        };
        self.store().put_version(loaded).await.expect("keeps");
    }

    async fn trim(&self, serving: &[&str]) {
        let serving = serving.iter().map(|of| version(of)).collect();
        self.store().trim_components(serving).await.expect("trims");
    }

    async fn kept(&self) -> BTreeSet<Version> {
        self.store().components().await.expect("reads")
    }

    async fn pins(&self) -> Vec<Pin> {
        self.store().pins().await.expect("reads")
    }
}

fn versions(of: &[&str]) -> BTreeSet<Version> {
    of.iter().map(|of| version(of)).collect()
}

pub async fn a_component_is_kept_and_read_back(subject: Subject) {
    assert_eq!(subject.store().component(version("one")).await, Ok(None));
    subject.keep("welcome", "one", 1, 3).await;
    subject.keep("welcome", "one", 2, 3).await;
    let subject = subject.reopened();
    assert_eq!(subject.store().component(version("one")).await, Ok(Some(b"one".to_vec())));
    assert_eq!(subject.kept().await, versions(&["one"]));
}

pub async fn bytes_of_another_version_are_refused(subject: Subject) {
    let refused = subject.store().put_component(version("one"), b"two".to_vec()).await;
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
    assert_eq!(subject.kept().await, versions(&[]));
}

pub async fn of_many_components_of_a_job_the_newest_stay(subject: Subject) {
    for (now, of) in (1..).zip(["one", "two", "three", "four", "five", "six", "seven"]) {
        subject.keep("welcome", of, now, 3).await;
    }
    subject.keep("refund", "other", 1, 3).await;
    subject.trim(&["seven", "other"]).await;
    assert_eq!(limits::VERSIONS_WITH_BYTES, 5, "the test is written for five");
    assert_eq!(subject.kept().await, versions(&["three", "four", "five", "six", "seven", "other"]));
    assert_eq!(subject.query().versions(&job("welcome")).await.expect("reads").len(), 7, "their records stay");
}

pub async fn what_serves_or_is_pinned_stays_however_old_it_is(subject: Subject) {
    for (now, of) in (1..).zip(["one", "two", "three", "four", "five", "six", "seven"]) {
        subject.keep("welcome", of, now, 3).await;
    }
    subject.store().pin(pinned("welcome", "one", 9)).await.expect("pins");
    subject.trim(&["two"]).await;
    assert_eq!(subject.kept().await, versions(&["one", "two", "three", "four", "five", "six", "seven"]));
    subject.store().unpin(job("welcome")).await.expect("unpins");
    subject.trim(&["seven"]).await;
    assert_eq!(subject.kept().await, versions(&["three", "four", "five", "six", "seven"]));
}

pub async fn of_large_components_the_last_loaded_stay(subject: Subject) {
    let third = limits::COMPONENTS_KEPT_BYTES / 3;
    for (now, (name, of)) in
        (1..).zip([("welcome", "one"), ("refund", "two"), ("welcome", "three"), ("refund", "four")])
    {
        subject.keep(name, of, now, third).await;
    }
    subject.trim(&["one"]).await;
    assert_eq!(subject.kept().await, versions(&["one", "three", "four"]));
}

pub async fn what_no_record_tells_of_is_let_go(subject: Subject) {
    subject.store().put_component(version("lost"), b"lost".to_vec()).await.expect("keeps");
    subject.keep("welcome", "one", 1, 3).await;
    subject.trim(&["one"]).await;
    assert_eq!(subject.kept().await, versions(&["one"]));
}

pub async fn a_job_is_held_to_the_version_that_was_said_last(subject: Subject) {
    subject.store().pin(pinned("welcome", "one", 1)).await.expect("pins");
    subject.store().pin(pinned("refund", "other", 2)).await.expect("pins");
    subject.store().pin(pinned("welcome", "two", 3)).await.expect("pins");
    let expected = [pinned("refund", "other", 2), pinned("welcome", "two", 3)];
    assert_eq!(subject.pins().await, expected);
    let subject = subject.reopened();
    assert_eq!(subject.pins().await, expected);
    assert_eq!(subject.store().unpin(job("welcome")).await, Ok(Some(pinned("welcome", "two", 3))));
    assert_eq!(subject.store().unpin(job("welcome")).await, Ok(None), "once");
    assert_eq!(subject.reopened().pins().await, expected[..1]);
}

pub async fn components_and_pins_survive_a_log_that_is_written_anew(subject: Subject) {
    subject.keep("welcome", "one", 1, 3).await;
    subject.keep("welcome", "two", 2, 3).await;
    subject.store().pin(pinned("welcome", "one", 3)).await.expect("pins");
    let nobody = Forget { email: Some("nobody@example.com".to_owned()), value: None };
    subject.store().forget(nobody.clone(), false).await.expect("forgets");
    assert_eq!(subject.kept().await, versions(&["one", "two"]));
    subject.keep("welcome", "three", 4, 3).await;
    subject.store().forget(nobody, false).await.expect("forgets");
    let subject = subject.reopened();
    assert_eq!(subject.store().component(version("three")).await, Ok(Some(b"three".to_vec())));
    assert_eq!(subject.kept().await, versions(&["one", "two", "three"]));
    assert_eq!(subject.pins().await, [pinned("welcome", "one", 3)]);
}

pub async fn pins_go_along_to_another_store(subject: Subject) {
    subject.store().pin(pinned("welcome", "one", 3)).await.expect("pins");
    let mut reading = portable::Reading::default();
    let mut records = Vec::new();
    for line in portable::lines(subject.query().export().await.expect("exports"), at(9)) {
        records.extend(reading.take(&line.expect("reads")).expect("is a record"));
    }
    assert_eq!(records, [Record::Control(Control::Pinned(Box::new(pinned("welcome", "one", 3))))]);
    let other = Record::Control(Control::Pinned(Box::new(pinned("welcome", "two", 5))));
    assert_eq!(subject.store().import(vec![other]).await, Ok(0), "what is said here stays");
}
