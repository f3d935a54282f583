//! The page on webhooks is true: its configurations can be used, and the presets stand there as they are.
//! What a server answers is tested where it answers.

use jobmill_webhooks::{Endpoint, Map, WebhookKind, preset};

use crate::sender::STANDARD_SECRET;

const PAGE: &str = include_str!("../../../../docs/webhooks.md");

fn configurations() -> impl Iterator<Item = toml::Table> {
    let blocks = PAGE.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("toml\n"));
    blocks.map(|block| toml::from_str(block).expect(block))
}

#[test]
fn every_webhook_of_the_page_can_be_used() {
    let mut names = Vec::new();
    for configuration in configurations() {
        let webhooks = configuration.get("webhooks").and_then(toml::Value::as_table);
        for (name, webhook) in webhooks.into_iter().flatten() {
            let kind = webhook["kind"].clone().try_into::<WebhookKind>().expect(name);
            let map = webhook.get("map").map(|map| map.clone().try_into::<Map>().expect(name));
            assert!(webhook["secrets"][0]["env"].is_str(), "{name}");
            Endpoint::new(name, kind, &[STANDARD_SECRET.to_owned()], map).expect(name);
            names.push(name.clone());
        }
    }
    assert_eq!(names, ["shop", "clerk", "mail", "billing"]);
}

#[test]
fn the_page_shows_the_presets() {
    for kind in [WebhookKind::Stripe, WebhookKind::Standard] {
        let preset: Map = toml::from_str(preset(kind)).expect("a map");
        let shown = configurations().any(|shown| toml::Value::Table(shown).try_into::<Map>() == Ok(preset.clone()));
        assert!(shown, "the preset of {kind} is not on the page as it is");
    }
}
