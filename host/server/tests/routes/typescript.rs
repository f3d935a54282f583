//! `events.d.ts`: what the loaded jobs listen to, as programs in TypeScript take it.

use crate::world::World;

#[tokio::test]
async fn the_events_of_the_loaded_jobs_are_declared_and_no_others() {
    let world = World::start().await;
    let answer = world.get("/api/v1/events.d.ts").await;
    assert_eq!(answer.headers["content-type"], "application/typescript; charset=utf-8");
    assert!(answer.body.contains("export interface JobmillEvents {"), "{}", answer.body);
    assert!(answer.body.contains("\"email/welcome\": {"), "{}", answer.body);
    assert!(answer.body.contains("userId: string"), "{}", answer.body);
    let (silent, _engine) = World::prepare(&[]);
    let nothing = silent.get("/api/v1/events.d.ts").await.body;
    assert!(nothing.contains("JobmillEvents") && !nothing.contains("email/welcome"), "{nothing}");
}
