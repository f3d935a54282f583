//! Whatever comes in from outside is shown as the text that it is: nothing of it runs, loads or becomes markup.

use serde_json::json;

use super::browse;
use crate::support::server::Server;
use crate::support::signature;

#[test]
fn thirty_texts_that_would_be_scripts_are_shown_as_text_wherever_they_are_shown() {
    let server = Server::start(&["dev"], Some(signature::CONFIGURATION));
    let told = browse("browser_payloads", &server.url, &[signature::SECRET]);
    assert_eq!(told["texts"], 30);
    assert!(told["pages"].as_u64().is_some_and(|pages| pages > 350), "{told:#}");
    for about in ["said", "outside", "markup", "missing"] {
        assert_eq!(told[about], json!([]), "{about}: {told:#}");
    }
}
