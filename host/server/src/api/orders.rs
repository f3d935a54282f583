//! The embedded order book: put, read, list.
//! What a job may change about an order is not decided here: this is the operator's own hand, which may set anything.

use std::str::FromStr;

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::order::{Money, Order, OrderItem, OrderStatus};
use jobmill_core::{Json, Timestamp, limits};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::List;
use crate::api::shapes::OrderShape;
use crate::body::JsonBody;
use crate::error::{Code, Problem};
use crate::path::{Id, PathId};
use crate::query::{NoParameters, Parameters};
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(list, show, put))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/orders", Rule::READ, list)
        .get("/api/v1/orders/{id}", Rule::READ, show)
        .put("/api/v1/orders/{id}", Rule::OPERATE, put)
        .does(Action::OrdersPut)
        .described_by(Document::openapi)
}

/// The id of an order, as the shop says it.
struct OrderId(String);

/// A text that is no order id.
#[derive(Debug, thiserror::Error)]
#[error("an order id has 1 to 128 printable characters; {0:?} does not")]
struct OrderIdError(String);

impl FromStr for OrderId {
    type Err = OrderIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(OrderIdError(text.chars().take(80).collect()))
        }
    }
}

impl PathId for OrderId {
    const REFUSAL: Code = Code::InvalidParameter;
}

/// An order as it is to stand in the book.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewOrder, examples(json!({
    "status": "paid",
    "customer_email": "ada@example.com",
    "items": [{ "sku": "MUG-1", "name": "Mug", "quantity": 2, "unit_price": { "minor": 1800, "currency": "EUR" } }],
    "total": { "minor": 3600, "currency": "EUR" },
})))]
#[serde(deny_unknown_fields)]
struct OrderBody {
    /// Where it stands.
    status: OrderStatus,
    /// The customer's address.
    customer_email: String,
    /// The customer's name.
    customer_name: Option<String>,
    /// What was bought; may be empty.
    items: Vec<OrderItem>,
    /// What it costs in all.
    total: Money,
    /// When it was placed; now if absent.
    created_at: Option<Timestamp>,
    /// Whatever else is kept with it; an object.
    metadata: Option<Json>,
}

impl OrderBody {
    fn check(&self) -> Result<(), Problem> {
        check_text("/customer_email", &self.customer_email)?;
        if let Some(name) = &self.customer_name {
            check_text("/customer_name", name)?;
        }
        for (position, item) in self.items.iter().enumerate() {
            check_text(&format!("/items/{position}/sku"), &item.sku)?;
            check_text(&format!("/items/{position}/name"), &item.name)?;
            check_currency(&format!("/items/{position}/unit_price/currency"), &item.unit_price)?;
        }
        check_currency("/total/currency", &self.total)?;
        if self.total.minor < 0 {
            return Err(Problem::invalid_member("/total/minor", "must not be negative"));
        }
        if self.metadata.as_ref().is_some_and(|metadata| !metadata.as_str().starts_with('{')) {
            return Err(Problem::invalid_member("/metadata", "must be an object"));
        }
        Ok(())
    }

    /// The order, which replaces `earlier`. The times of its changes stay known as long as its status does not contradict them.
    fn order(self, id: String, earlier: Option<&Order>, now: Timestamp) -> Order {
        let (fulfilled, refunded) = earlier.map_or((None, None), |order| (order.fulfilled_at, order.refunded_at));
        let (fulfilled_at, refunded_at) = match self.status {
            OrderStatus::Pending | OrderStatus::Paid | OrderStatus::Cancelled => (None, None),
            OrderStatus::Fulfilled => (fulfilled.or(Some(now)), None),
            OrderStatus::Refunded => (fulfilled, refunded.or(Some(now))),
        };
        Order {
            id,
            status: self.status,
            customer_email: self.customer_email,
            customer_name: self.customer_name,
            items: self.items,
            total: self.total,
            created_at: self.created_at.unwrap_or(now),
            fulfilled_at,
            refunded_at,
            metadata: self.metadata.unwrap_or_else(Json::empty_object),
            revision: 0,
        }
    }
}

fn check_text(pointer: &str, text: &str) -> Result<(), Problem> {
    if text.is_empty() || text.len() > limits::KEY_BYTES || text.chars().any(char::is_control) {
        let reason = format!("must have 1 to {} bytes and no control characters", limits::KEY_BYTES);
        return Err(Problem::invalid_member(pointer, reason));
    }
    Ok(())
}

/// ISO 4217 codes by their form: new ones need no new release.
fn check_currency(pointer: &str, money: &Money) -> Result<(), Problem> {
    let code = money.currency.as_bytes();
    if code.len() == 3 && code.iter().all(u8::is_ascii_uppercase) {
        Ok(())
    } else {
        Err(Problem::invalid_member(pointer, "must be three capital letters such as EUR"))
    }
}

/// Writes an order of the embedded book, whatever its status was: this is the hand of the operator.
#[utoipa::path(
    put,
    path = "/api/v1/orders/{id}",
    tag = "Orders",
    params(
        ("id" = String, Path, description = "the order, as the shop names it"),
    ),
    request_body = OrderBody,
    responses(
        (status = 200, description = "the order as it is now", body = OrderShape),
    )
)]
async fn put(
    State(context): State<Context>,
    Id(OrderId(id)): Id<OrderId>,
    _: NoParameters,
    JsonBody(body): JsonBody<OrderBody>,
) -> Result<JsonResponse<Order>, Problem> {
    body.check()?;
    let earlier = context.handle.query().order(&id).await?;
    let order = body.order(id, earlier.as_ref(), context.handle.now());
    Ok(JsonResponse(context.handle.put_order(order).await?))
}

/// Shows an order of the embedded book.
#[utoipa::path(
    get,
    path = "/api/v1/orders/{id}",
    tag = "Orders",
    params(
        ("id" = String, Path, description = "the order, as the shop names it"),
    ),
    responses(
        (status = 200, description = "the order", body = OrderShape),
    )
)]
async fn show(
    State(context): State<Context>,
    Id(OrderId(id)): Id<OrderId>,
    _: NoParameters,
) -> Result<JsonResponse<Order>, Problem> {
    let order = context.handle.query().order(&id).await?;
    order.map(JsonResponse).ok_or_else(|| {
        let detail = format!("there is no order {id:?}; PUT one to this path");
        Problem::new(Code::UnknownOrder, detail)
    })
}

/// Lists the orders of the embedded book.
#[utoipa::path(
    get,
    path = "/api/v1/orders",
    tag = "Orders",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "items of the page, 1 to 200; 50 if absent"),
    ),
    responses(
        (status = 200, description = "a page of orders", body = List<OrderShape>),
    )
)]
async fn list(State(context): State<Context>, parameters: Parameters) -> Result<JsonResponse<List<Order>>, Problem> {
    let parameters = parameters.only(&["cursor", "limit"])?;
    let limit = parameters.limit()?;
    let page = context.handle.query().orders(parameters.text("cursor"), limit).await?;
    Ok(JsonResponse(List::page(page, |order| order)))
}
