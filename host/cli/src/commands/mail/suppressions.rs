//! `jobmill mail suppressions`, `suppress` and `lift`: addresses that get no mail.
//! It checks no address; the server does.

use comfy_table::Cell;
use jobmill_client::Suppression;
use jobmill_core::Timestamp;

use super::Context;
use crate::failure::Failure;
use crate::{machine, operator, output};

pub(super) fn list(limit: u32, context: &Context) -> Result<(), Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = context.client()?.suppressions(limit)?;
    context.output.list(page.texts(), page.next_cursor(), "no address is suppressed", || {
        let now = machine::now();
        let items = page.items()?;
        let rows = items.iter().map(|item| {
            vec![
                output::text_cell(address(item)),
                Cell::new(source(item)),
                output::number_cell(output::relative(item.since, now)),
                Cell::new(item.reason.as_deref().map(output::first_line).unwrap_or_default()),
            ]
        });
        Ok(output::table(&["ADDRESS", "SOURCE", "SINCE", "REASON"], rows.collect()))
    })
}

fn address(item: &Suppression) -> &str {
    item.address.as_deref().unwrap_or("(forgotten)")
}

/// Who said so.
fn source(item: &Suppression) -> String {
    item.by.as_deref().map_or_else(|| item.source.clone(), output::visible)
}

pub(super) fn suppress(address: &str, reason: Option<&str>, context: &Context) -> Result<(), Failure> {
    let suppression = context.client()?.suppress(address, reason, &operator::name())?;
    context.output.document(suppression.text(), || described(&suppression, machine::now()))
}

pub(super) fn lift(address: &str, context: &Context) -> Result<(), Failure> {
    context.client()?.lift_suppression(address)?;
    context.output.note(&format!("{} gets mail again", output::visible(address)));
    Ok(())
}

fn described(item: &Suppression, now: Timestamp) -> String {
    output::pairs(&[
        ("address", Some(output::visible(address(item)))),
        ("suppressed", Some(format!("by {}, {}", source(item), output::relative(item.since, now)))),
        ("reason", item.reason.as_deref().map(output::visible)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_says_who_said_so_and_a_forgotten_one_names_nobody() {
        let view: Suppression = serde_json::from_str(
            r#"{ "address": null, "reason": "550 5.1.1 no such user", "source": "bounce", "by": null,
                "since": "2026-03-01T09:00:00.000Z" }"#,
        )
        .expect("a suppression");
        let now = "2026-03-01T09:05:00.000Z".parse().expect("a time");
        let text = anstream::adapter::strip_str(&described(&view, now)).to_string();
        assert_eq!(
            text,
            "address     (forgotten)\nsuppressed  by bounce, 5 min ago\nreason      550 5.1.1 no such user"
        );
    }
}
