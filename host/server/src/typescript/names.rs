//! Names for the types that schemas refer to.
//! Each is given once, whatever the schemas call their parts.

use std::collections::BTreeSet;

/// Longer names are cut: they come from the schemas.
const CHARACTERS: usize = 80;

/// What the file declares or uses itself.
const OWN: [&str; 3] = ["Array", "JobmillEventName", "JobmillEvents"];

/// The names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A name made of the event's and the part's, such as `EmailWelcomeAddress`, with a number where that is taken.
    pub(super) fn give(&mut self, event: &str, part: &str) -> String {
        let wanted = pascal(event) + &pascal(part);
        let mut name = wanted.clone();
        let mut number: usize = 1;
        // Ends: each turn tries another name, and finitely many are taken.
        while OWN.contains(&name.as_str()) || !self.0.insert(name.clone()) {
            number += 1;
            name = format!("{wanted}{number}");
        }
        name
    }
}

/// The letters and digits of `text` as one word in which each part begins with a capital.
fn pascal(text: &str) -> String {
    let mut word = String::new();
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    for character in parts.flat_map(capitalised).take(CHARACTERS) {
        word.push(character);
    }
    if word.chars().next().is_none_or(|first| first.is_ascii_digit()) {
        word.insert_str(0, "Type");
    }
    word
}

fn capitalised(part: &str) -> impl Iterator<Item = char> {
    part.chars().enumerate().map(|(position, c)| if position == 0 { c.to_ascii_uppercase() } else { c })
}
