//! What leads from a run to its relatives: those that repeat it, the others of its event, and those of its job next to it.
//! Where each is found is the store's; its conformance suite tests that.

use std::time::Duration;

use crate::page_forms::shown;
use crate::world::{World, number_ids};

const ADA: &str = r#"{ "userId": "user_1", "email": "ada@example.com" }"#;

async fn rerun(world: &World, run: &str) -> String {
    world.clock.advance(Duration::from_millis(1));
    world.post(&format!("/api/v1/runs/{run}/rerun"), "").await.id()
}

async fn listed(world: &World, query: &str) -> Vec<String> {
    let items = world.get(&format!("/api/v1/runs?{query}")).await.json()["items"].as_array().expect("items").clone();
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn runs_that_repeat_one_are_listed_and_linked() {
    let world = World::start().await;
    let first = world.finish("flaky", "{}").await;
    let (second, third) = (rerun(&world, &first).await, rerun(&world, &first).await);
    assert_eq!(listed(&world, &format!("rerun_of={first}")).await, [third.clone(), second.clone()]);
    assert_eq!(listed(&world, &format!("rerun_of={second}")).await, Vec::<String>::new());
    assert_eq!(listed(&world, &format!("rerun_of={first}&job=welcome-email")).await, Vec::<String>::new());
    assert_eq!(world.get("/api/v1/runs?rerun_of=7").await.refusal(), "400 invalid-parameter");
    let page = world.get(&format!("/runs/{first}")).await.body;
    assert!(page.contains("<dt>Repeated by</dt>"), "{page}");
    for run in [&second, &third] {
        assert!(page.contains(&format!("<a href=\"/runs/{run}\" data-run=\"{run}\">")), "{page}");
    }
    let page = world.get(&format!("/runs/{second}")).await.body;
    assert!(page.contains("<dt>Rerun of</dt>") && !page.contains("<dt>Repeated by</dt>"), "{page}");
    let list = world.get(&format!("/runs?rerun_of={first}")).await.body;
    assert!(list.contains(&second) && list.contains(&third), "{list}");
}

#[tokio::test]
async fn of_many_the_newest_are_linked_and_the_way_to_all() {
    let world = World::start().await;
    let first = world.finish("flaky", "{}").await;
    let mut reruns = Vec::new();
    for _ in 0..11 {
        reruns.push(rerun(&world, &first).await);
    }
    let page = shown(&world, &format!("/runs/{first}")).await;
    assert_eq!(page.matches("data-run=").count(), 11, "the run itself and ten of them: {page}");
    assert!(page.contains("<a href=\"/runs?rerun_of=run_1\">All of them</a>"), "{page}");
}

#[tokio::test]
async fn the_others_of_its_event_are_linked() {
    let world = World::with(&["welcome-email", "audience"]).await;
    let event = format!(r#"{{ "id": "e-1", "name": "email/welcome", "data": {ADA} }}"#);
    let published = world.post("/api/v1/events", &event).await.json();
    let runs = published["events"][0]["runs"].as_array().expect("runs").iter();
    let runs: Vec<&str> = runs.filter_map(|run| run.as_str()).collect();
    assert_eq!(runs.len(), 2, "{published}");
    for (run, other) in [(runs[0], runs[1]), (runs[1], runs[0])] {
        let page = world.get(&format!("/runs/{run}")).await.body;
        let (_, relatives) = page.split_once("<dt>Also started by it</dt>").expect("there is another");
        assert!(relatives.contains(&format!("<dd><a href=\"/runs/{other}\" data-run=\"{other}\">")), "{page}");
    }
    let alone = world.finish("welcome-email", ADA).await;
    assert!(!world.get(&format!("/runs/{alone}")).await.body.contains("Also started by it"));
}

#[tokio::test]
async fn the_runs_of_its_job_next_to_it_are_linked() {
    let world = World::start().await;
    let mut runs = Vec::new();
    for job in ["flaky", "stuck", "flaky", "flaky"] {
        runs.push(world.enqueue(job, "{}").await);
        world.clock.advance(Duration::from_millis(1));
    }
    let links = async |run: &str| {
        let page = world.get(&format!("/runs/{run}")).await.body;
        let link = |rel: &str| {
            let (before, _) = page.split_once(&format!("\" rel=\"{rel}\" title="))?;
            before.rsplit_once("href=\"/runs/").map(|(_, run)| run.to_owned())
        };
        (link("prev"), link("next"))
    };
    let run = |at: usize| Some(runs[at].clone());
    assert_eq!(links(&runs[0]).await, (None, run(2)));
    assert_eq!(links(&runs[2]).await, (run(0), run(3)));
    assert_eq!(links(&runs[3]).await, (run(2), None));
    let alone = number_ids(&world.get(&format!("/runs/{}", runs[1])).await.body);
    assert!(!alone.contains("rel=\"prev\"") && !alone.contains("rel=\"next\""), "{alone}");
}
