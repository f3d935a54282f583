//! Webhook deliveries on their way in: published as events, or put onto the suppression list, and kept whichever it was.
//! It verifies no signature and knows no map; whoever has verified a delivery says what it comes to.

use std::time::Duration;

use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_core::{DeliveryId, Timestamp, limits};
use jobmill_store::{NewDelivery, NewEvent, Received, StoreError};

use crate::announcements::is_reserved;
use crate::handle::Handle;
use crate::intake::{EnqueueError, EventRequest};

/// Bytes of the reason why a delivery was not used.
const REASON_BYTES: usize = 500;

/// A delivery whose signature was good.
#[derive(Debug, Clone)]
pub struct DeliveryRequest {
    /// The webhook that it came in by.
    pub endpoint: String,
    /// The sender's own id of it.
    pub sender_id: String,
    /// What it tells of, in the sender's words.
    pub kind: String,
    /// The body, as it was signed.
    pub body: String,
    /// What it comes to.
    pub meaning: DeliveryMeaning,
}

/// What a delivery comes to.
#[derive(Debug, Clone)]
pub enum DeliveryMeaning {
    /// This event.
    Event(EventRequest),
    /// No more mail to these addresses.
    Suppress {
        /// The addresses.
        addresses: Vec<String>,
        /// Why, for people.
        reason: String,
    },
    /// Nothing.
    Ignored,
    /// Nothing, because something is missing.
    Unmapped {
        /// What is missing, for people.
        reason: String,
    },
}

impl Handle {
    /// Takes a delivery in; durable when this returns. One that its sender had delivered before does nothing.
    pub async fn receive(&self, request: DeliveryRequest) -> Result<Received, StoreError> {
        let now = self.clock.now();
        let DeliveryRequest { endpoint, sender_id, kind, body, meaning } = request;
        let id = DeliveryId::generate(now, &*self.entropy);
        let outcome = DeliveryOutcome::Ignored;
        let delivery = Delivery { id, endpoint, sender_id, kind, received_at: now, body, outcome, replays: 0 };
        let received = self.new_delivery(delivery, meaning, now);
        self.store.receive(received, now).await
    }

    /// Takes a delivery in once more, as it is understood now; none when there is none. What its event started before is
    /// started again.
    pub async fn replay(
        &self,
        id: DeliveryId,
        understand: impl FnOnce(&Delivery) -> DeliveryMeaning,
    ) -> Result<Option<Received>, StoreError> {
        let Some(delivery) = self.store.delivery(id).await? else { return Ok(None) };
        let now = self.clock.now();
        let mut meaning = understand(&delivery);
        if let (DeliveryMeaning::Event(event), DeliveryOutcome::Published { .. }) = (&mut meaning, &delivery.outcome) {
            // Under its own id it would be the event that was published already.
            event.id = None;
        }
        let replays = delivery.replays.saturating_add(1);
        let again = self.new_delivery(Delivery { replays, ..delivery }, meaning, now);
        let received = self.store.receive(NewDelivery { replay: true, ..again }, now).await?;
        // It was pruned or forgotten meanwhile.
        Ok(Some(received).filter(|received| !received.is_repeat))
    }

    fn new_delivery(&self, delivery: Delivery, meaning: DeliveryMeaning, now: Timestamp) -> NewDelivery {
        let (mut event, mut suppressions) = (None, Vec::new());
        let outcome = match meaning {
            DeliveryMeaning::Event(request) => match self.event_of(request, now) {
                Ok(new) => {
                    let key = new.reference.key;
                    event = Some(new);
                    DeliveryOutcome::Published { event: key }
                }
                Err(reason) => DeliveryOutcome::Unmapped { reason },
            },
            DeliveryMeaning::Suppress { addresses, reason } => {
                let source = SuppressionSource::Webhook(delivery.endpoint.clone());
                let made = addresses.iter().map(|it| Suppression::new(it, Some(reason.clone()), source.clone(), now));
                suppressions.extend(made.filter_map(Result::ok));
                if suppressions.is_empty() {
                    DeliveryOutcome::Unmapped { reason: "it names no address that mail could be sent to".to_owned() }
                } else {
                    let addresses = suppressions.iter().filter_map(|it| it.address.clone()).collect();
                    DeliveryOutcome::Suppressed { addresses }
                }
            }
            DeliveryMeaning::Ignored => DeliveryOutcome::Ignored,
            DeliveryMeaning::Unmapped { reason } => {
                DeliveryOutcome::Unmapped { reason: limits::truncate(&reason, REASON_BYTES).to_owned() }
            }
        };
        // A clock that is set back must not make the sender's id free too early.
        let window = limits::DELIVERY_WINDOW + Duration::from_hours(1);
        NewDelivery { delivery: Delivery { outcome, ..delivery }, event, suppressions, window, replay: false }
    }

    /// The event, or why no job would take it: the sender can't mend that, and must not try for days.
    fn event_of(&self, request: EventRequest, now: Timestamp) -> Result<NewEvent, String> {
        if is_reserved(&request.name) {
            return Err(format!("{:?} is reserved: only the engine publishes it", request.name));
        }
        let refused = match self.new_event(&self.catalog(), 0, request, now) {
            Ok(event) => return Ok(event),
            Err(refused) => refused,
        };
        let problems = if let EnqueueError::Payload { problems, .. } = &refused { problems.as_slice() } else { &[] };
        let problems = problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.detail));
        let reason = std::iter::once(refused.to_string()).chain(problems).collect::<Vec<_>>().join("; ");
        Err(limits::truncate(&reason, REASON_BYTES).to_owned())
    }
}
