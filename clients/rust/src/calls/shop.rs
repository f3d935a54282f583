//! The three jobs of a web shop by name.
//! What they do is in the components; these are enqueues like any other.

use crate::answer::Answer;
use crate::client::Client;
use crate::error::Error;
use crate::requests::{Enqueue, PurchaseConfirmation, RefundNotification, WelcomeEmail};
use crate::shapes::Run;

impl Client {
    /// Confirms a purchase: the mail goes out and the order becomes `fulfilled`.
    pub fn enqueue_purchase_confirmation(&self, payload: &PurchaseConfirmation<'_>) -> Result<Answer<Run>, Error> {
        self.enqueue(&Enqueue::new("purchase-confirmation", payload))
    }

    /// Tells of a refund: the mail goes out and the order becomes `refunded`.
    pub fn enqueue_refund_notification(&self, payload: &RefundNotification<'_>) -> Result<Answer<Run>, Error> {
        self.enqueue(&Enqueue::new("refund-notification", payload))
    }

    /// Welcomes a new user by mail.
    pub fn enqueue_welcome_email(&self, payload: &WelcomeEmail<'_>) -> Result<Answer<Run>, Error> {
        self.enqueue(&Enqueue::new("welcome-email", payload))
    }
}
