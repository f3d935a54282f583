//! API tokens as operators and programs meet them: made, used, refused, revoked.

use serde_json::{Value, json};

use crate::support::server::{Answer, Server, jobmill};

const WELCOME: &str = r#"{"payload":{"userId":"u","email":"ada@example.com"}}"#;
const RUNS: &str = "/api/v1/jobs/welcome-email/runs";

fn with(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    server.send(method, path, &[("authorization", &bearer), ("content-type", "application/json")], body.as_bytes())
}

fn create(server: &Server, arguments: &[&str]) -> String {
    let made = server.run(&[&["token", "create"], arguments].concat());
    assert!(made.status.success(), "{made:?}");
    let printed = String::from_utf8(made.stdout).expect("text");
    assert_eq!(printed.lines().count(), 1, "nothing but the token is on stdout: {printed:?}");
    printed.trim().to_owned()
}

#[test]
fn the_first_token_closes_the_doors_and_each_scope_opens_its_own() {
    let server = Server::dev();
    assert_eq!(server.get("/api/v1/runs").status, 200);
    let operate = create(&server, &["--scope", "operate", "--name", "ops"]);
    for path in ["/api/v1/runs", "/api/v1/stats", "/api/v1/openapi.json", "/"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    for path in ["/healthz", "/readyz", "/health", "/dev"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let enqueue = create(&server, &["--scope", "enqueue", "--token", &operate]);
    let read = create(&server, &["--scope", "read", "--token", &operate]);
    let cases = [
        (&enqueue, "POST", RUNS, WELCOME, 202),
        (&enqueue, "GET", "/api/v1/runs", "", 403),
        (&enqueue, "POST", "/api/v1/jobs/welcome-email/pause", "{}", 403),
        (&read, "GET", "/api/v1/runs", "", 200),
        (&read, "POST", RUNS, WELCOME, 403),
        (&read, "POST", "/api/v1/tokens", r#"{"scope":"read"}"#, 403),
        (&operate, "POST", RUNS, WELCOME, 202),
        (&operate, "POST", "/api/v1/jobs/welcome-email/pause", "{}", 200),
        (&operate, "GET", "/api/v1/runs", "", 200),
    ];
    for (token, method, path, body, status) in cases {
        let answer = with(&server, token, method, path, body);
        assert_eq!(answer.status, status, "{method} {path} {answer:?}");
    }
    let none = with(&server, &format!("{operate}0"), "GET", "/api/v1/runs", "");
    assert_eq!((none.status, none.header("www-authenticate")), (401, Some("Bearer")), "{none:?}");
}

#[test]
fn a_revoked_token_opens_nothing_from_that_moment_on_and_after_a_restart() {
    let mut server = Server::dev();
    let operate = create(&server, &["--scope", "operate"]);
    let shop = create(&server, &["--scope", "enqueue", "--name", "shop", "--token", &operate]);
    assert_eq!(with(&server, &shop, "POST", RUNS, WELCOME).status, 202);
    let listed = server.run(&["token", "list", "--token", &operate, "-o", "json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let items = listed["items"].as_array().expect("items").clone();
    let of_shop = items.iter().find(|token| token["name"] == "shop").expect("is there");
    assert!(of_shop["last_used_at"].is_string(), "{of_shop:#}");
    assert!(!listed.to_string().contains(&shop[3..]), "the secret is shown again");
    let id = of_shop["id"].as_str().expect("an id");
    assert!(server.run(&["token", "revoke", id, "--token", &operate]).status.success());
    assert_eq!(with(&server, &shop, "POST", RUNS, WELCOME).status, 401);
    server.kill();
    server.restart();
    assert_eq!(with(&server, &shop, "POST", RUNS, WELCOME).status, 401);
    assert_eq!(with(&server, &operate, "GET", "/api/v1/runs", "").status, 200);
    let kept = std::fs::read_dir(server.data().join("store")).expect("listed").filter_map(Result::ok);
    for file in kept.filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).expect("read");
        let holds = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!holds(&operate[3..]) && !holds(&shop[3..]), "{:?} holds a secret", file.path());
    }
}

#[test]
fn an_address_that_others_can_reach_wants_a_token_first() {
    let mut server = Server::prepared(&["dev", "--listen", "0.0.0.0:0"], None);
    server.begin();
    assert_eq!(server.wait(), Some(2), "wrong usage");
    assert!(server.log().contains("jobmill token create"), "{}", server.log());
    let data = server.data();
    let made = jobmill(server.path())
        .args(["token", "create", "--scope", "operate", "--data", data.to_str().expect("text")])
        .output()
        .expect("it starts");
    assert!(made.status.success(), "{made:?}");
    let token = String::from_utf8(made.stdout).expect("text").trim().to_owned();
    server.begin();
    let started = std::time::Instant::now();
    let address = loop {
        let log = server.log();
        if let Some(at) = log.find("http://0.0.0.0:") {
            let port: String = log[at + 15..].chars().take_while(char::is_ascii_digit).collect();
            break format!("http://127.0.0.1:{port}");
        }
        assert!(started.elapsed() < crate::support::WATCHDOG && server.ended().is_none(), "{log}");
        crate::support::server::pause();
    };
    server.url = address;
    assert_eq!(server.get("/api/v1/runs").status, 401);
    assert_eq!(with(&server, &token, "GET", "/api/v1/runs", "").status, 200);
}

#[test]
fn a_token_may_do_only_so_much() {
    let server = Server::dev();
    let operate = create(&server, &["--scope", "operate"]);
    let slow = create(&server, &["--scope", "enqueue", "--rate-limit", "3/1h", "--token", &operate]);
    let statuses: Vec<u16> = (0..5).map(|_| with(&server, &slow, "POST", RUNS, WELCOME).status).collect();
    assert_eq!(statuses, [202, 202, 202, 429, 429]);
    let refused = with(&server, &slow, "POST", RUNS, WELCOME);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");

    let shallow = create(&server, &["--scope", "enqueue", "--max-waiting", "2", "--token", &operate]);
    assert_eq!(with(&server, &operate, "POST", "/api/v1/jobs/welcome-email/pause", "{}").status, 200);
    let statuses: Vec<u16> = (0..4).map(|_| with(&server, &shallow, "POST", RUNS, WELCOME).status).collect();
    assert_eq!(statuses, [202, 202, 429, 429]);
    assert_eq!(with(&server, &operate, "POST", RUNS, WELCOME).status, 202, "the others go on");
}

#[test]
fn a_token_of_the_configuration_is_as_good_as_one_that_was_made() {
    let configuration = r#"
[server]
tokens = [{ name = "shop", scope = "enqueue", secret = { env = "SHOP_TOKEN" } }]
"#;
    let mut server = Server::prepared(&["dev"], Some(configuration));
    server.set_environment(vec![("SHOP_TOKEN", "a-secret-of-our-own-choice".into())]);
    server.restart();
    assert_eq!(server.send("POST", RUNS, &[("content-type", "application/json")], WELCOME.as_bytes()).status, 401);
    let answer = with(&server, "a-secret-of-our-own-choice", "POST", RUNS, WELCOME);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["job"], json!("welcome-email"));
}
