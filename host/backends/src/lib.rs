//! What a job's capabilities talk to, the mail server and the order book; and whoever is told of dead runs.
//! It knows no wasm and keeps no journal: the runtime records what was done here.

pub mod faults;
mod http_client;
pub mod mail;
pub mod notify;
pub mod orders;
pub mod outgoing;
pub mod secret;

pub use faults::{FaultKind, Faults};
pub use mail::{
    Credentials, Delivery, DkimSettings, DkimSettingsError, Hold, MailError, MailMode, MailOutage, MailSettings,
    MailSettingsError, Mailer, Security, SmtpSettings, SmtpUrlError, mime,
};
pub use notify::{NoticeMail, NoticeWebhook, NotifySettingsError};
pub use orders::{
    Amounts, Asked, EmailLog, EmailLogColumns, EmailLogError, HttpOrders, ItemColumns, OrderColumns, OrderFields,
    OrderSettingsError, Orders, PostgresOrders, PostgresSettings, RefusedMail,
};
pub use outgoing::{Outgoing, OutgoingError, Resolve, SystemResolver};
pub use secret::Secret;
