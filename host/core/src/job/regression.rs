//! Whether a new version of a job is worse than the one before it: how its first attempts end, compared with the last ones
//! of the other. It rolls nothing back and reads nothing; the engine does both.

use super::Pin;
use crate::id::Version;
use crate::limits;
use crate::outcome::{FailureKind, Outcome};
use crate::run::{Attempt, AttemptOutcome};

/// Attempts of a new version by which it is judged, the first.
pub const FIRST: usize = 5;
/// So many of them broken, and none completed, make it bad: one may be one bad payload, and three are hardly chance.
pub const BROKEN: usize = 3;
/// Attempts of the version before that are looked at, the last.
pub const LAST: usize = 20;

/// What the end of an attempt says of the code that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It can do its work.
    Completed,
    /// The code itself is at fault: it trapped, or went over a bound.
    Broke {
        /// How.
        kind: FailureKind,
        /// What it said, the first line.
        message: String,
    },
    /// It failed for a reason that may lie elsewhere.
    Failed,
}

impl End {
    /// What an outcome says; none of one that says nothing: the attempt was stopped, put off or kept back.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Completed { .. } => Some(Self::Completed),
            Outcome::Failed { error, .. } => Self::failed(error.kind, &error.message),
            Outcome::Snoozed { .. } | Outcome::Held { .. } | Outcome::Interrupted | Outcome::Cancelled => None,
        }
    }

    /// What an attempt on record says.
    pub fn of_attempt(attempt: &Attempt) -> Option<Self> {
        match (attempt.outcome?, &attempt.error) {
            (AttemptOutcome::Completed, _) => Some(Self::Completed),
            (AttemptOutcome::Failed, Some(error)) => Self::failed(error.kind, &error.message),
            _ => None,
        }
    }

    fn failed(kind: FailureKind, message: &str) -> Option<Self> {
        match kind {
            FailureKind::Trap | FailureKind::Memory | FailureKind::Limit => {
                let first_line = message.lines().next().unwrap_or_default();
                Some(Self::Broke { kind, message: limits::truncate(first_line, MESSAGE_BYTES).to_owned() })
            }
            FailureKind::Host | FailureKind::LeaseExpired => None,
            _ => Some(Self::Failed),
        }
    }

    fn broke(&self) -> Option<(FailureKind, &str)> {
        match self {
            Self::Broke { kind, message } => Some((*kind, message)),
            Self::Completed | Self::Failed => None,
        }
    }
}

/// Bytes of what a broken attempt said that a reason repeats.
const MESSAGE_BYTES: usize = 200;

/// A version that has not shown yet that it can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    version: Version,
    ends: Vec<End>,
}

impl Newcomer {
    /// A version whose attempts have ended so, the first of them first. None where one has completed: it has shown it.
    pub fn new(version: Version, ends: Vec<End>) -> Option<Self> {
        (!ends.contains(&End::Completed)).then_some(Self { version, ends })
    }

    /// Whether its first attempts make it bad. What the version before did then decides.
    pub fn looks_bad(&self) -> bool {
        self.first().iter().filter(|end| end.broke().is_some()).count() >= BROKEN
    }

    /// Whether its first attempts have all ended: what comes later says nothing of a new version.
    pub fn is_over(&self) -> bool {
        self.ends.len() >= FIRST
    }

    fn first(&self) -> &[End] {
        &self.ends[..self.ends.len().min(FIRST)]
    }

    /// Why it is rolled back to `before`, whose last attempts ended so; none where it is not: the other broke too, or has
    /// completed nothing that is known of, or this one is not bad.
    pub fn reason(&self, before: Version, last: &[End]) -> Option<String> {
        let is_sound = last.contains(&End::Completed) && last.iter().all(|end| end.broke().is_none());
        if !self.looks_bad() || !is_sound {
            return None;
        }
        let first = self.first();
        let broken: Vec<(FailureKind, &str)> = first.iter().filter_map(End::broke).collect();
        let &(kind, message) = broken.last()?;
        let (count, all, version) = (broken.len(), first.len(), self.version);
        let which =
            if count == all { format!("all of the first {all}") } else { format!("{count} of the first {all}") };
        Some(format!(
            "{which} attempts of {version} broke ({kind}: {message}); the last {} of {before} did not",
            last.len()
        ))
    }
}

/// The name under which the engine pins a job by itself.
pub const BY: &str = "jobmill";

impl Pin {
    /// Whether the engine did it by itself.
    pub fn is_automatic(&self) -> bool {
        self.by == BY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broke() -> End {
        End::Broke { kind: FailureKind::Trap, message: "unreachable".to_owned() }
    }

    fn versions() -> (Version, Version) {
        (Version::of(b"new"), Version::of(b"old"))
    }

    fn is_bad(ends: &[End]) -> bool {
        Newcomer::new(versions().0, ends.to_vec()).is_some_and(|newcomer| newcomer.looks_bad())
    }

    #[test]
    fn three_broken_attempts_of_the_first_five_make_a_version_bad() {
        assert!(is_bad(&[broke(), broke(), broke()]));
        assert!(is_bad(&[broke(), End::Failed, broke(), End::Failed, broke()]));
        assert!(!is_bad(&[broke(), broke()]));
        assert!(!is_bad(&[broke(), End::Failed, End::Failed, broke(), End::Failed, broke()]), "too late");
    }

    #[test]
    fn one_completed_attempt_clears_it() {
        assert!(!is_bad(&[End::Completed, broke(), broke(), broke(), broke()]));
        assert!(!is_bad(&[broke(), broke(), broke(), broke(), broke(), End::Completed]));
    }

    #[test]
    fn it_is_new_for_its_first_five_attempts() {
        let of = |count| Newcomer::new(versions().0, vec![End::Failed; count]).expect("nothing completed");
        assert!(!of(4).is_over() && of(5).is_over());
    }

    #[test]
    fn the_version_before_must_have_done_better() {
        let (new, old) = versions();
        let of = |ends: &[End]| Newcomer::new(new, ends.to_vec()).expect("nothing completed");
        let newcomer = of(&[broke(), broke(), broke()]);
        let sound = newcomer.reason(old, &[End::Completed, End::Failed]).expect("is rolled back");
        let told =
            format!("all of the first 3 attempts of {new} broke (trap: unreachable); the last 2 of {old} did not");
        assert_eq!(sound, told);
        assert_eq!(newcomer.reason(old, &[End::Completed, broke()]), None, "it broke too");
        assert_eq!(newcomer.reason(old, &[]), None, "nothing is known of it");
        assert_eq!(newcomer.reason(old, &[End::Failed]), None, "it did nothing either");
        let mixed = of(&[broke(), End::Failed, broke(), broke()]);
        assert!(mixed.reason(old, &[End::Completed]).is_some_and(|it| it.starts_with("3 of the first 4 attempts")));
        assert_eq!(of(&[broke(), broke()]).reason(old, &[End::Completed]), None, "it is not bad");
    }

    #[test]
    fn only_what_the_code_did_is_held_against_it() {
        let of = |kind| End::of(&Outcome::failed(kind, "said\nmore"));
        for kind in [FailureKind::Trap, FailureKind::Memory, FailureKind::Limit] {
            assert_eq!(of(kind), Some(End::Broke { kind, message: "said".to_owned() }));
        }
        assert_eq!(of(FailureKind::Transient), Some(End::Failed));
        assert_eq!(of(FailureKind::Host), None);
        assert_eq!(End::of(&Outcome::Interrupted), None);
        assert_eq!(End::of(&Outcome::Completed { output: None }), Some(End::Completed));
    }
}
