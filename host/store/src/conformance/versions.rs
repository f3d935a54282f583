//! Which versions of jobs were loaded: each once, from when to when, and of many the newest.
//! What changed from one to the next is worked out elsewhere.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::job::JobVersion;
use jobmill_core::{Descriptor, Timestamp, limits};

use super::Subject;
use super::subject::{at, job, version};
use crate::control::Control;
use crate::forgetting::Forget;
use crate::log::Record;
use crate::portable;

fn loaded(name: &str, of: &str, now: Timestamp) -> JobVersion {
    JobVersion {
        job: job(name),
        version: version(of),
        file: format!("{name}.wasm"),
        descriptor: Descriptor { id: name.to_owned(), title: of.to_owned(), retries: Some(5), ..Descriptor::default() },
        imports: vec!["jobmill:job/log@0.1.0".to_owned()],
        size: 7,
        first_loaded_at: now,
        last_loaded_at: now,
    }
}

impl Subject {
    async fn load(&self, version: JobVersion) {
        self.store().put_version(version).await.expect("keeps");
    }

    async fn versions(&self, name: &str) -> Vec<JobVersion> {
        self.query().versions(&job(name)).await.expect("reads")
    }

    async fn titles(&self, name: &str) -> Vec<String> {
        self.versions(name).await.into_iter().map(|version| version.descriptor.title).collect()
    }
}

pub async fn a_version_is_kept_from_its_first_load_on(subject: Subject) {
    for now in [3, 9, 5] {
        subject.load(loaded("welcome", "one", at(now))).await;
    }
    let moved = JobVersion { file: "other.wasm".to_owned(), ..loaded("welcome", "one", at(12)) };
    let expected = JobVersion { first_loaded_at: at(3), ..moved.clone() };
    subject.load(moved).await;
    assert_eq!(subject.versions("welcome").await, std::slice::from_ref(&expected));
    assert_eq!(subject.reopened().versions("welcome").await, [expected]);
}

pub async fn the_last_loaded_comes_first_of_each_job(subject: Subject) {
    for (of, now) in [("one", 1), ("two", 2), ("three", 3), ("one", 4)] {
        subject.load(loaded("welcome", of, at(now))).await;
    }
    subject.load(loaded("report", "other", at(9))).await;
    assert_eq!(subject.titles("welcome").await, ["one", "three", "two"]);
    assert_eq!(subject.titles("nobody").await, Vec::<String>::new());
    let subject = subject.reopened();
    assert_eq!(subject.titles("welcome").await, ["one", "three", "two"]);
    assert_eq!(subject.titles("report").await, ["other"]);
}

pub async fn of_many_versions_the_newest_are_kept(subject: Subject) {
    let many = limits::VERSIONS as u64 + 5;
    for number in 0..many {
        subject.load(loaded("welcome", &format!("v{number}"), at(number))).await;
    }
    let newest: Vec<String> = (5..many).rev().map(|number| format!("v{number}")).collect();
    assert_eq!(subject.titles("welcome").await, newest);
    // One that was let go and is loaded again begins anew.
    subject.load(loaded("welcome", "v0", at(many))).await;
    let first = subject.versions("welcome").await.swap_remove(0);
    assert_eq!((first.descriptor.title.as_str(), first.first_loaded_at), ("v0", at(many)));
    let before = subject.titles("welcome").await;
    assert_eq!(before.len(), limits::VERSIONS);
    assert_eq!(subject.reopened().titles("welcome").await, before);
}

pub async fn of_long_versions_fewer_are_kept_and_always_the_newest(subject: Subject) {
    let long = |of: &str, now, bytes| {
        let mut version = loaded("welcome", of, at(now));
        version.descriptor.payload_schema = Some("s".repeat(bytes));
        version
    };
    for (of, now) in [("one", 1), ("two", 2), ("three", 3)] {
        subject.load(long(of, now, limits::VERSIONS_BYTES * 2 / 5)).await;
    }
    assert_eq!(subject.titles("welcome").await, ["three", "two"]);
    subject.load(long("four", 4, limits::VERSIONS_BYTES * 2)).await;
    assert_eq!(subject.titles("welcome").await, ["four"]);
    assert_eq!(subject.reopened().titles("welcome").await, ["four"]);
}

pub async fn concurrent_loads_of_a_version_are_one(subject: Subject) {
    let mut tasks = Vec::new();
    for now in [4, 2, 8, 6] {
        let store = std::sync::Arc::clone(&subject.store);
        tasks.push(tokio::spawn(async move { store.put_version(loaded("welcome", "one", at(now))).await }));
    }
    for task in tasks {
        task.await.expect("ends").expect("keeps");
    }
    let expected = JobVersion { first_loaded_at: at(2), ..loaded("welcome", "one", at(8)) };
    assert_eq!(subject.versions("welcome").await, [expected]);
}

pub async fn versions_survive_a_log_that_is_written_anew(subject: Subject) {
    for (of, now) in [("one", 1), ("two", 2), ("one", 3)] {
        subject.load(loaded("welcome", of, at(now))).await;
    }
    let before = subject.versions("welcome").await;
    let nobody = Forget { email: Some("nobody@example.com".to_owned()), value: None };
    subject.store().forget(nobody, false).await.expect("forgets");
    assert_eq!(subject.versions("welcome").await, before);
    assert_eq!(subject.reopened().versions("welcome").await, before);
}

pub async fn versions_go_along_to_another_store(subject: Subject) {
    subject.load(loaded("welcome", "one", at(1))).await;
    let expected = Record::Control(Control::Version(Box::new(loaded("welcome", "one", at(1)))));
    let mut reading = portable::Reading::default();
    let mut records = Vec::new();
    for line in portable::lines(subject.query().export().await.expect("exports"), at(9)) {
        records.extend(reading.take(&line.expect("reads")).expect("is a record"));
    }
    assert_eq!(records, [expected]);
    subject.load(loaded("welcome", "one", at(5))).await;
    assert_eq!(subject.store().import(records).await, Ok(0), "it is here already");
    let other = Record::Control(Control::Version(Box::new(loaded("welcome", "two", at(2)))));
    assert_eq!(subject.store().import(vec![other]).await, Ok(1));
    assert_eq!(subject.titles("welcome").await, ["one", "two"]);
}
