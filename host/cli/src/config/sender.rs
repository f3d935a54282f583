//! The sender of every mail as a person writes it: `Demo Shop <shop@example.com>`, or an address alone.
//! It checks the sender as far as mail can be sent from it, not whether the mailbox exists.

use jobmill_core::mail::Mailbox;

/// The mailbox; the error is the end of a sentence.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (Some(name.trim().trim_matches('"').trim()), address.trim()),
        None => (None, text.trim()),
    };
    let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
    let mailbox = Mailbox { address: address.to_owned(), name };
    mailbox.check("the sender").map_err(|error| error.to_string())?;
    Ok(mailbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_an_address_and_perhaps_a_name() {
        let parts = |text: &str| mailbox(text).map(|mailbox| (mailbox.name, mailbox.address));
        let address = "shop@example.com".to_owned();
        assert_eq!(parts("shop@example.com"), Ok((None, address.clone())));
        assert_eq!(parts("Demo Shop <shop@example.com>"), Ok((Some("Demo Shop".to_owned()), address.clone())));
        assert_eq!(parts("\"Shop, Demo\" <shop@example.com>"), Ok((Some("Shop, Demo".to_owned()), address)));
        for text in ["", "nobody", "Shop <nobody>", "Shop <shop@example.com", "a\nb <shop@example.com>"] {
            assert!(mailbox(text).is_err(), "{text:?}");
        }
    }
}
