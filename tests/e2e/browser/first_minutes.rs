//! The first five minutes: what somebody meets who has just started `jobmill dev`, up to the first dead letter put right.

use std::net::TcpListener;

use serde_json::json;

use super::browse;
use crate::support::component;
use crate::support::server::Server;

#[test]
fn the_first_five_minutes_lead_from_a_button_to_a_dead_letter_put_right() {
    // The same address after the kill, so that the page that is open finds its server again.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let mut server = Server::start(&["dev", "--listen", &format!("127.0.0.1:{port}")], None);
    let (file, hopper) = (server.path().join("other.wasm"), server.hopper());
    std::fs::write(&file, component::version("welcome-email", 2)).expect("written");
    let process = server.process_id().to_string();
    let url = server.url.clone();
    let told = std::thread::scope(|scope| {
        let arguments = [&process, file.to_str().expect("text"), hopper.to_str().expect("text")];
        let browsing = scope.spawn(move || browse("browser_first_minutes", &url, &arguments));
        // The script kills it at the time that suits it.
        while server.ended().is_none() && !browsing.is_finished() {
            crate::support::server::pause();
        }
        if !browsing.is_finished() {
            server.restart();
        }
        browsing.join()
    });
    let told = told.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let steps = &told["steps"];
    let first = json!({
        "offered": ["Run purchase-confirmation"],
        "rows": [
            "Attempt 1",
            "mail purchase-confirmation to user@example.com",
            "order order_123 to fulfilled",
            "fetch-order",
            "send-email",
            "update-order",
        ],
        "mail": "Your order order_123 is confirmed",
    });
    assert_eq!(steps["first_run"], first, "{told:#}");
    let three = ["Attempt 1", "Attempt 2", "Attempt 3"];
    let of_attempts = |rows: &serde_json::Value| {
        let rows = rows.as_array().expect("rows").iter().filter_map(|row| row.as_str());
        rows.filter(|row| row.starts_with("Attempt")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(steps["retries"]["waits"], "Waiting N s for attempt 3 of 4", "{told:#}");
    for rows in [&steps["retries"]["planned"], &steps["retries"]["rows"], &steps["kill"]["rows"]] {
        assert_eq!(of_attempts(rows), three, "{told:#}");
    }
    assert_eq!(steps["kill"]["live"], "live", "the page found its server again: {told:#}");
    assert_eq!(steps["new_version"], json!({ "versions": [true, true], "same_page": true }), "{told:#}");
    assert_eq!(steps["dead_letter"]["dead"], 0, "nothing is dead any more: {told:#}");
    assert_eq!((&told["said"], &told["outside"]), (&json!([]), &json!([])));
}
