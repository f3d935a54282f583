//! From HTTP to a delivered mail: the jobs, their retries, their effects.

mod doors;
mod effects;
mod flow;
mod forget;
mod jobs;
mod mail;
mod mailbox;
mod orders_http;
mod orders_postgres;
mod retries;
mod schedule;
