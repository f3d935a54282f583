//! The embedded order book.
//! Orders of a shop's own database are the shop's; these calls do not reach them.

use serde::Serialize;

use crate::answer::{Answer, Page};
use crate::client::Client;
use crate::error::Error;
use crate::shapes::Order;

impl Client {
    /// At most `limit` orders, by id.
    pub fn orders(&self, limit: usize) -> Result<Page<Order>, Error> {
        self.pages(&["orders"], &[], limit)
    }

    /// An order.
    pub fn order(&self, id: &str) -> Result<Answer<Order>, Error> {
        self.get(&["orders", id], &[])
    }

    /// Writes an order, in place of the one that is there: `status`, `customer_email`, `items` and `total`, and perhaps
    /// `customer_name`, `created_at` and `metadata`.
    pub fn put_order(&self, id: &str, order: &impl Serialize) -> Result<Answer<Order>, Error> {
        self.put(&["orders", id], order)
    }
}
