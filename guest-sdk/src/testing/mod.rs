//! A stand-in for the engine in the unit tests of a job: orders, a mailbox and a journal in memory, without WebAssembly.
//! It has no clock, no limits and no retries of its own: each [`TestHost::run`] is the next attempt of one run.
//!
//! ```
//! use jobmill_sdk::{prelude::*, testing::{self, TestHost}};
//!
//! #[payload]
//! struct Thanks { order_id: String }
//!
//! #[job(title = "Thanks")]
//! fn thanks(_context: &Context, payload: Thanks) -> Result<Receipt, Failure> {
//!     let order = fetch_order(&payload.order_id)?;
//!     let message = Message::new("thanks", order.customer_email).subject("Thank you").text("Thank you!");
//!     Ok(send_email(&message)?)
//! }
//!
//! # fn main() {
//! let host = TestHost::new().with_order(testing::order("1042"));
//! let output = host.run(thanks, json!({ "orderId": "1042" })).unwrap().unwrap();
//! assert_eq!(output["delivery"], "sent");
//! assert_eq!(host.mails()[0].subject, "Thank you");
//! # }
//! ```

mod world;

use crate::http::{HttpError, Request, Response};
use crate::{
    Context, Descriptor, EmailError, Failure, Job, Level, Message, Money, Order, OrderError, OrderItem, OrderStatus,
    Timestamp,
};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;
use world::World;

thread_local! {
    static CURRENT: RefCell<Option<Rc<RefCell<World>>>> = const { RefCell::new(None) };
}

/// Run `call` against the world of the attempt that is going on in this thread.
pub(crate) fn current<T>(function: &str, call: impl FnOnce(&mut World) -> T) -> T {
    let world = CURRENT.with_borrow(Clone::clone);
    let Some(world) = world else {
        panic!(
            "{function} was called outside of a job: on this machine there is no engine to answer it. \
             Call the job through `jobmill_sdk::testing::TestHost::run`."
        );
    };
    let mut world = world.borrow_mut();
    call(&mut world)
}

/// One run of a job, and everything around it. Effects and steps are kept from one attempt to the next, as the engine does.
#[derive(Debug, Default)]
pub struct TestHost {
    world: Rc<RefCell<World>>,
}

/// A line that the job logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// Its fields.
    pub fields: Vec<(String, String)>,
}

impl TestHost {
    /// A host without orders whose mail server accepts everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same host with this order in its order book; see [`order`] for one to start from.
    #[must_use]
    pub fn with_order(self, order: Order) -> Self {
        self.world.borrow_mut().put_order(order);
        self
    }

    /// The same host with this setting for the job.
    #[must_use]
    pub fn with_setting(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.world.borrow_mut().settings.insert(name.into(), value.into());
        self
    }

    /// Answer the next HTTP request that is sent. Called repeatedly, as many are answered, in this order; others are denied.
    pub fn answer_next_request(&self, answer: Result<Response, HttpError>) -> &Self {
        self.world.borrow_mut().scripted.push_back(answer);
        self
    }

    /// Make the next mail that would be sent fail. Called repeatedly, as many fail, in this order.
    pub fn fail_next_email(&self, error: EmailError) -> &Self {
        self.world.borrow_mut().email_faults.push_back(error);
        self
    }

    /// Make the next change of an order fail. Called repeatedly, as many fail, in this order.
    pub fn fail_next_update(&self, error: OrderError) -> &Self {
        self.world.borrow_mut().update_faults.push_back(error);
        self
    }

    /// Make the next read of an order fail. Called repeatedly, as many fail, in this order.
    pub fn fail_next_fetch(&self, error: OrderError) -> &Self {
        self.world.borrow_mut().fetch_faults.push_back(error);
        self
    }

    /// Perform the next attempt of the run with this payload: a `json!` value, or JSON as text.
    #[expect(clippy::needless_pass_by_value, reason = "a payload is written in place, by `json!` or as text")]
    pub fn run<J: Job>(&self, _job: J, payload: impl ToString) -> Result<Option<Value>, Failure> {
        let attempt = self.world.borrow_mut().begin_attempt();
        let descriptor = J::descriptor();
        let context = Context {
            job_id: descriptor.id,
            run_id: "run_test".to_owned(),
            event_id: None,
            attempt,
            max_attempts: descriptor.retries.unwrap_or(3) + 1,
            enqueued_at: Timestamp::default(),
            scheduled_at: Timestamp::default(),
        };
        let _current = Installed::replacing(CURRENT.replace(Some(Rc::clone(&self.world))));
        let output = J::perform(&context, &payload.to_string())?;
        Ok(output.map(|json| serde_json::from_str(&json).expect("a job's output is JSON that this crate wrote")))
    }

    /// What the job tells the engine about itself.
    pub fn describe<J: Job>(&self, _job: J) -> Descriptor {
        J::descriptor()
    }

    /// The mails that were sent, in order.
    pub fn mails(&self) -> Vec<Message> {
        self.world.borrow().mails.clone()
    }

    /// The HTTP requests that were sent, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.world.borrow().requests.clone()
    }

    /// The order as it is now.
    pub fn order(&self, id: &str) -> Option<Order> {
        self.world.borrow().order(id)
    }

    /// What was logged, in order.
    pub fn logs(&self) -> Vec<LogLine> {
        self.world.borrow().logs.clone()
    }
}

/// Puts back what was current before, also when the job panics.
struct Installed {
    before: Option<Rc<RefCell<World>>>,
}

impl Installed {
    fn replacing(before: Option<Rc<RefCell<World>>>) -> Self {
        Self { before }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

/// A paid order of two items over EUR 44.90 by Ada Lovelace, to start from: change what a test is about.
pub fn order(id: &str) -> Order {
    let item = |sku: &str, name: &str, quantity, minor| OrderItem {
        sku: sku.to_owned(),
        name: name.to_owned(),
        quantity,
        unit_price: Money::new(minor, "EUR"),
    };
    Order {
        id: id.to_owned(),
        status: OrderStatus::Paid,
        customer_email: "ada@example.com".to_owned(),
        customer_name: Some("Ada Lovelace".to_owned()),
        items: vec![item("TEA-01", "Earl Grey, 250 g", 2, 1250), item("CUP-07", "Porcelain cup", 1, 1990)],
        total: Money::new(4490, "EUR"),
        created_at: Timestamp::from_millis(1_772_530_200_000),
        fulfilled_at: None,
        refunded_at: None,
        metadata: json!({}),
        revision: 1,
    }
}
