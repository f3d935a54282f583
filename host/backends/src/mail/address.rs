//! Addresses as the mail builder wants them.
//! It sets no policy: `jobmill_core::mail` has refused whatever has more than one reading.

use jobmill_core::mail::Mailbox;
use lettre::Address;

use super::MailError;

/// The address alone, for the envelope.
pub(super) fn envelope(mailbox: &Mailbox) -> Result<Address, MailError> {
    mailbox.address.parse().map_err(|error| MailError::Invalid(format!("the address {:?}: {error}", mailbox.address)))
}

/// The address with its name, for a header.
pub(super) fn header(mailbox: &Mailbox) -> Result<lettre::message::Mailbox, MailError> {
    Ok(lettre::message::Mailbox::new(mailbox.name.clone(), envelope(mailbox)?))
}
