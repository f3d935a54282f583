//! Where two attempts of a run ran different versions of its job: which, and what had changed between them.
//! It compares nothing; core does.

use jobmill_core::job::JobVersion;
use jobmill_core::{Attempt, Version};

/// Replacements that the page tells of, the newest.
const REPLACEMENTS: usize = 20;

/// A version that another one took the place of between two attempts.
pub(super) struct Replacement {
    /// The numbers of the attempts.
    pub(super) before: u32,
    pub(super) after: u32,
    /// The second is the first one after the run was put back.
    pub(super) is_put_back: bool,
    pub(super) old: Version,
    pub(super) new: Version,
    /// In words, or why they are not known.
    pub(super) changes: Result<Vec<String>, String>,
}

/// The replacements in the order of the attempts.
pub(super) fn replacements(attempts: &[Attempt], versions: &[JobVersion]) -> Vec<Replacement> {
    let pairs = attempts.iter().zip(attempts.iter().skip(1));
    let mut found: Vec<Replacement> = pairs
        .rev()
        .filter(|(before, after)| before.version != after.version)
        .take(REPLACEMENTS)
        .map(|(before, after)| Replacement {
            before: before.number,
            after: after.number,
            is_put_back: after.number <= before.number,
            old: before.version,
            new: after.version,
            changes: changes(before.version, after.version, versions),
        })
        .collect();
    found.reverse();
    found
}

fn changes(old: Version, new: Version, versions: &[JobVersion]) -> Result<Vec<String>, String> {
    let known = |wanted: Version| versions.iter().find(|version| version.version == wanted);
    match (known(old), known(new)) {
        (Some(old), Some(new)) => Ok(new.changes_since(old).iter().map(ToString::to_string).collect()),
        (None, None) => Err("neither is on record any more".to_owned()),
        (None, Some(_)) => Err(format!("{old} is not on record any more")),
        (Some(_), None) => Err(format!("{new} is not on record any more")),
    }
}

#[cfg(test)]
mod tests {
    use jobmill_core::{Descriptor, Timestamp};

    use super::*;

    fn version(name: &str) -> Version {
        Version::of(name.as_bytes())
    }

    fn attempt(number: u32, name: &str) -> Attempt {
        Attempt {
            number,
            version: version(name),
            started_at: Timestamp::from_millis(1),
            finished_at: None,
            outcome: None,
            error: None,
            next_at: None,
            bill: None,
        }
    }

    fn loaded(name: &str, retries: u32) -> JobVersion {
        JobVersion {
            job: "ship".parse().expect("a job id"),
            version: version(name),
            file: "ship.wasm".to_owned(),
            descriptor: Descriptor { retries: Some(retries), ..Descriptor::default() },
            imports: Vec::new(),
            size: 1,
            first_loaded_at: Timestamp::from_millis(1),
            last_loaded_at: Timestamp::from_millis(1),
        }
    }

    #[test]
    fn only_where_the_version_differs_something_was_replaced() {
        let versions = [loaded("b", 5), loaded("a", 3), loaded("c", 5)];
        let attempts = [attempt(1, "a"), attempt(2, "a"), attempt(3, "b"), attempt(1, "c")];
        let told: Vec<_> = replacements(&attempts, &versions)
            .into_iter()
            .map(|it| (it.before, it.after, it.is_put_back, it.changes))
            .collect();
        let expected = [(2, 3, false, Ok(vec!["retries 3 → 5".to_owned()])), (3, 1, true, Ok(Vec::new()))];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_older_than_the_record_is_said_to_be_unknown() {
        let reason = |versions: &[JobVersion]| {
            let told = replacements(&[attempt(1, "a"), attempt(2, "b")], versions).swap_remove(0);
            told.changes.expect_err("is not known")
        };
        assert_eq!(reason(&[]), "neither is on record any more");
        assert_eq!(reason(&[loaded("b", 5)]), format!("{} is not on record any more", version("a")));
        assert_eq!(reason(&[loaded("a", 5)]), format!("{} is not on record any more", version("b")));
    }

    #[test]
    fn of_many_replacements_the_newest_are_told_in_order() {
        let names = ["a", "b"].into_iter().cycle();
        let attempts: Vec<Attempt> = (1..=50).zip(names).map(|(number, name)| attempt(number, name)).collect();
        let told = replacements(&attempts, &[]);
        assert_eq!((told.len(), told[0].before, told[REPLACEMENTS - 1].after), (REPLACEMENTS, 30, 50));
    }
}
