//! What jobs do: each run has a plan of steps, mails and order changes, and each attempt an end that is drawn.
//! The attempts reach the store through the production `AttemptContext` only.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use jobmill_core::journal::EffectKey;
use jobmill_core::mail::{Mail, MailStatus, Mailbox, Message, message_id};
use jobmill_core::order::{OrderPatch, OrderStatus};
use jobmill_core::outcome::AttemptError;
use jobmill_core::{FailureKind, Json, MailId, Outcome, RunId};
use jobmill_engine::{AttemptContext, RecordError, Runner, StepError, Stop};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::stage::{Answer, Stage};

/// How many orders there are.
pub(crate) const ORDERS: u64 = 3;

/// One thing that a run does.
#[derive(Debug, Clone, Copy)]
enum Act {
    Step(u64),
    /// A mail through a mail server: on record before it is handed over.
    Mail(u64),
    /// A mail that is a write to our own store.
    Capture(u64),
    Order(u64, OrderStatus),
    Wait(Duration),
}

/// How many readers there are.
pub(crate) const READERS: u64 = 6;

/// The address of a reader.
pub(crate) fn reader(number: u64) -> String {
    format!("reader-{}@example.com", number % READERS)
}

/// What the payload of a run with this plan says.
pub(crate) fn document(plan: u64) -> Value {
    let b = (!plan.is_multiple_of(5)).then_some(plan % 3);
    let reader = plan.is_multiple_of(2).then(|| reader(plan / 2));
    json!({ "plan": plan, "a": format!("a-{}", plan % 4), "b": b, "c": plan % 11, "reader": reader })
}

/// The payload of a run with this plan.
pub(crate) fn payload(plan: u64) -> Json {
    Json::of(&document(plan)).expect("a document")
}

/// The plan of a run; one that a schedule made has a plan of its own.
fn plan_of(run: RunId, payload: &Json) -> u64 {
    let plan = payload.to_value().ok().and_then(|document| document.get("plan")?.as_u64());
    plan.unwrap_or_else(|| run.to_bytes().iter().fold(0, |plan, byte| plan * 31 % 100_000 + u64::from(*byte)))
}

/// What a step leaves.
fn value_of(step: u64) -> Json {
    Json::of(&step).expect("a number is a document")
}

/// What every attempt of a run with this payload does, in order.
fn acts(plan: u64) -> Vec<Act> {
    let chance = Chance::new(plan);
    let count = chance.below(5);
    let act = |position| match chance.below(6) {
        0 | 1 => Act::Step(position),
        2 => Act::Mail(position),
        3 => Act::Capture(position),
        4 => {
            let status = [OrderStatus::Paid, OrderStatus::Fulfilled, OrderStatus::Refunded];
            Act::Order(chance.below(ORDERS), chance.one_of(&status).unwrap_or(OrderStatus::Paid))
        }
        _ => Act::Wait(Duration::from_millis(chance.below(3_000))),
    };
    (0..count).map(act).collect()
}

/// Whether each attempt of a run with this plan takes the process down.
pub(crate) fn is_poison(plan: u64) -> bool {
    plan.is_multiple_of(61)
}

/// Runs attempts of every job.
pub(crate) struct Scripted(pub(crate) Arc<Stage>);

#[async_trait]
impl Runner for Scripted {
    async fn run(&self, mut context: AttemptContext, timeout: Duration, stop: Stop) -> (Outcome, AttemptContext) {
        let clock = Arc::clone(context.clock());
        let deadline = clock.sleep(timeout);
        let (run, lease) = (context.run().id, context.run().lease);
        let plan = plan_of(run, context.payload());
        let stopped = async {
            match select(pin!(stop.cancelled.cancelled()), pin!(stop.interrupted.cancelled())).await {
                Either::Left(_) => Outcome::Cancelled,
                Either::Right(_) => Outcome::Interrupted,
            }
        };
        let stopped = pin!(stopped);
        let early = select(stopped, deadline);
        let outcome = match select(early, pin!(self.perform(plan, &mut context))).await {
            Either::Left((Either::Left((outcome, _)), _)) => {
                self.0.cut(run, lease);
                outcome
            }
            Either::Left((Either::Right(_), _)) => {
                self.0.cut(run, lease);
                self.0.timed_out(run, clock.now());
                Outcome::failed(FailureKind::Timeout, "took too long")
            }
            Either::Right((outcome, _)) => outcome,
        };
        (outcome, context)
    }
}

impl Scripted {
    async fn perform(&self, plan: u64, context: &mut AttemptContext) -> Outcome {
        let stage = &self.0;
        if is_poison(plan) && stage.may_kill() {
            stage.kill(context.run().id);
            std::future::pending::<()>().await;
        }
        for act in acts(plan) {
            let done = match act {
                Act::Step(number) => self.step(number, context).await,
                Act::Mail(number) => self.mail(number, context).await,
                Act::Capture(number) => capture(number, context),
                Act::Order(number, status) => self.order(number, status, context).await,
                Act::Wait(span) => {
                    context.clock().sleep(span).await;
                    Ok(())
                }
            };
            if let Err(outcome) = done {
                return outcome;
            }
            breathe().await;
        }
        self.end().await
    }

    async fn step(&self, number: u64, context: &mut AttemptContext) -> Result<(), Outcome> {
        let (run, name) = (context.run().id, format!("step-{number}"));
        let value = value_of(number);
        match context.begin_step(&name) {
            Ok(Some(kept)) if kept == value => Ok(()),
            Ok(Some(_)) => Err(Outcome::failed(FailureKind::Permanent, "the step has another value")),
            Ok(None) => {
                self.0.executes_step(run, &name);
                breathe().await;
                match context.complete_step(&name, value).await {
                    Ok(()) => {
                        self.0.completed_step(run, &name);
                        Ok(())
                    }
                    Err(StepError::Record(error)) => Err(refused(&error)),
                    Err(error) => Err(Outcome::failed(FailureKind::Limit, error.to_string())),
                }
            }
            Err(error) => Err(Outcome::failed(FailureKind::Permanent, error.to_string())),
        }
    }

    async fn mail(&self, number: u64, context: &mut AttemptContext) -> Result<(), Outcome> {
        let (run, lease) = (context.run().id, context.run().lease);
        let key = mail_key(number);
        let mail = match context.remembered_mail(&key) {
            Some(remembered) if remembered.status.is_done() => return Ok(()),
            Some(remembered) => remembered.mail.clone(),
            None => new_mail(run, number, &key, context),
        };
        context.intend_mail(key.clone(), mail.clone()).await.map_err(|error| refused(&error))?;
        let answer = self.0.hand_over(run, lease, &key, &mail.message_id);
        breathe().await;
        let status = match answer {
            Answer::Taken => MailStatus::Sent,
            Answer::Refused => MailStatus::Failed,
            Answer::Lost => MailStatus::InDoubt,
        };
        context.settle_mail(key.clone(), status, None, None).await.map_err(|error| refused(&error))?;
        self.0.settled(run, &key, status);
        match answer {
            Answer::Taken => Ok(()),
            Answer::Refused | Answer::Lost => Err(Outcome::failed(FailureKind::Transient, "the mail is not sent")),
        }
    }

    async fn order(&self, number: u64, status: OrderStatus, context: &mut AttemptContext) -> Result<(), Outcome> {
        let id = format!("order-{number}");
        let patch = OrderPatch { status: Some(status), ..OrderPatch::default() };
        let key = EffectKey::order(&id, &patch, 0);
        if context.remembered_change(&key).is_some() {
            return Ok(());
        }
        // What it reads now may have changed when the attempt ends.
        let Some(order) = self.0.order(&id) else { return Ok(()) };
        breathe().await;
        if order.patched(&patch, context.now()).is_err() {
            return Ok(());
        }
        context.keep_order_update(key, id, patch).map_err(|error| refused(&error))
    }

    async fn end(&self) -> Outcome {
        let chance = self.0.chance();
        let output = Some(Json::empty_object());
        if self.0.is_calm() {
            return Outcome::Completed { output };
        }
        match chance.below(24) {
            0..12 => Outcome::Completed { output },
            12..15 => Outcome::failed(FailureKind::Transient, format!("away since {}", chance.below(9))),
            15 => Outcome::failed(FailureKind::Permanent, "never"),
            16 => {
                let error = AttemptError::new(FailureKind::RetryAfter, "later");
                let retry_after = Some(Duration::from_millis(chance.below(20_000)));
                Outcome::Failed { error, retry_after }
            }
            17 => Outcome::failed(FailureKind::Trap, "unreachable"),
            18 => Outcome::Snoozed { delay: Duration::from_millis(chance.below(30_000)) },
            19 => {
                let delay = Duration::from_millis(chance.below(30_000));
                Outcome::Held { delay, reason: "the mail server is closed".to_owned(), whole_job: false }
            }
            20 => Outcome::Interrupted,
            21 => {
                // Quietly: the hook for panics would print each.
                std::panic::resume_unwind(Box::new("scripted"))
            }
            _ => std::future::pending().await,
        }
    }
}

fn capture(number: u64, context: &mut AttemptContext) -> Result<(), Outcome> {
    let key = mail_key(number);
    if context.remembered_mail(&key).is_some_and(|remembered| remembered.status.is_done()) {
        return Ok(());
    }
    let mail = new_mail(context.run().id, number, &key, context);
    context.keep_mail(key, mail, MailStatus::Captured, None).map_err(|error| refused(&error))
}

/// The attempt can't write.
fn refused(error: &RecordError) -> Outcome {
    Outcome::failed(FailureKind::Host, error.to_string())
}

fn mail_key(number: u64) -> EffectKey {
    EffectKey::mail("note", &reader(number), 0)
}

fn new_mail(run: RunId, number: u64, key: &EffectKey, context: &AttemptContext) -> Arc<Mail> {
    let now = context.now();
    let mailbox = |address: &str| Mailbox { address: address.to_owned(), name: None };
    Arc::new(Mail {
        id: MailId::generate(now, &**context.entropy()),
        message_id: message_id(run, key, "shop.example"),
        from: mailbox("shop@shop.example"),
        created_at: now,
        message: Message {
            kind: "note".to_owned(),
            to: mailbox(&reader(number)),
            reply_to: None,
            subject: "A note".to_owned(),
            text: "Hello".to_owned(),
            html: None,
            attachments: Vec::new(),
            headers: Vec::new(),
        },
    })
}

/// Lets others go on.
async fn breathe() {
    let mut waited = false;
    poll_fn(move |_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}
