//! From HTTP to a delivered mail: the jobs, their retries, their effects.

mod allow;
mod browser;
mod dead_letters;
mod doors;
mod effects;
mod flow;
mod forget;
mod front_doors;
mod fuzz;
mod inngest;
mod jobs;
mod mail;
mod mailbox;
mod notices;
mod openapi;
mod orders_http;
mod orders_postgres;
mod retries;
mod schedule;
mod tokens;
mod typescript;
mod webhooks;
