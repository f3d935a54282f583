//! What may happen to a conversation, and where. It speaks to nobody.

use crate::support::random::Random;

/// Where in a conversation something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Greeting,
    Hello,
    SignIn,
    Sender,
    Recipient,
    Data,
    /// In the middle of the content.
    Content,
    /// After the content's last line.
    End,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// The server answers this line, which is a refusal.
    Say(&'static str),
    /// It answers as ever, and closes the connection.
    AnswerAndCut,
    /// It closes the connection without an answer. A mail that is at its end was taken.
    Cut,
    /// The same, and a mail that is at its end was not taken.
    Lose,
    /// It answers nothing more. A mail that is at its end was taken.
    Silence,
    /// It answers as ever, one byte a second. A mail that is at its end was taken.
    Drip,
}

/// What one connection meets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) stage: Stage,
    pub(super) act: Act,
    /// How many mails it lets pass before. Of no account before the first mail.
    pub(super) spares: u64,
}

impl Fate {
    pub(super) fn at(stage: Stage, act: Act) -> Self {
        Self { stage, act, spares: 0 }
    }
}

/// Fates by chance, of which each comes as often as the others.
#[derive(Debug)]
pub(super) struct Deck {
    random: Random,
    fates: Vec<(Stage, Act)>,
    left: Vec<(Stage, Act)>,
}

impl Deck {
    pub(super) fn new(random: Random, fates: Vec<(Stage, Act)>) -> Self {
        Self { random, fates, left: Vec::new() }
    }

    /// What a connection that has come to this stage meets next.
    pub(super) fn draw(&mut self, from: Stage) -> Fate {
        if !self.left.iter().any(|(stage, _)| *stage >= from) {
            self.left.extend_from_slice(&self.fates);
        }
        let ahead: Vec<usize> = (0..self.left.len()).filter(|place| self.left[*place].0 >= from).collect();
        let drawn = usize::try_from(self.random.below(ahead.len() as u64)).expect("small");
        let (stage, act) = self.left.swap_remove(ahead[drawn]);
        Fate { stage, act, spares: self.random.below(2) }
    }
}

/// Everything that can happen at every stage, without the refusals that end a run or close the way out for all mail.
pub(crate) fn everything_but_refusals_for_good() -> Vec<(Stage, Act)> {
    use Stage::{Content, Data, End, Greeting, Hello, Recipient, Sender, SignIn};
    let mut fates = vec![(Content, Act::Cut), (Content, Act::Silence), (End, Act::Lose)];
    fates.push((SignIn, Act::Say("454 4.7.0 temporary authentication failure")));
    for stage in [Greeting, Hello, SignIn, Sender, Recipient, Data, End] {
        fates.extend([Act::Cut, Act::Silence, Act::Drip, Act::AnswerAndCut].map(|act| (stage, act)));
        fates.push((stage, Act::Say("421 4.3.2 shutting down")));
    }
    for stage in [Sender, Recipient, Data, End] {
        let refusals = ["450 4.2.1 mailbox busy", "451 4.3.0 local error", "452 4.3.1 no room"];
        fates.extend(refusals.map(|line| (stage, Act::Say(line))));
    }
    fates
}
