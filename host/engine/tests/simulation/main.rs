//! The simulator: production scheduler, executor and store on simulated time, a disk that loses and fails, and clients
//! that cancel, repeat and come late. One seed draws a whole scenario, and draws the same one each time.
//!
//! `SEED=7 cargo test -p jobmill-engine --test simulation replay -- --nocapture` shows one seed step by step, and
//! `SEEDS=20000 cargo test -p jobmill-engine --test simulation every_promise` looks longer than the tests do.

mod arrivals;
mod asks;
mod chance;
mod checkers;
mod clients;
mod clock;
mod controls;
mod crons;
mod faults;
mod findings;
mod flow_checkers;
mod flow_model;
mod forgets;
mod happenings;
mod life;
mod planted;
mod planted_query;
mod planted_store;
mod policies;
mod scenario;
mod schedule_checkers;
mod schedules;
mod script;
mod stage;
mod standing;
mod truth;
mod watched_log;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use findings::Findings;
use planted::Plant;
use world::World;

const STEPS: usize = 2_000;
const SEEDS: u64 = 500;
/// A planted bug that is found in none of so many seeds is not found.
const PLANTED_SEEDS: u64 = 2_000;
const THREADS: usize = 2;

/// What is wrong in this seed's world.
fn finding(seed: u64, plant: Option<Plant>, steps: usize) -> Option<String> {
    let findings = Findings::default();
    World::new(seed, plant, findings.clone()).run(steps);
    findings.first()
}

/// The first of these seeds, in their order, in whose world something is wrong.
fn first_finding(seeds: u64, plant: Option<Plant>, steps: usize) -> Option<(u64, String)> {
    let next = AtomicU64::new(0);
    let look = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return None;
            }
            if let Some(finding) = finding(seed, plant, steps) {
                next.fetch_max(seeds, Ordering::Relaxed);
                return Some((seed, finding));
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(look)).collect();
        let found = threads.into_iter().filter_map(|thread| thread.join().expect("a simulation does not panic"));
        found.min()
    })
}

fn replay_command(seed: u64) -> String {
    format!("SEED={seed} cargo test -p jobmill-engine --test simulation replay -- --nocapture")
}

#[test]
fn every_promise_holds_in_every_seed() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    let found = first_finding(seeds, None, STEPS);
    if let Some((seed, finding)) = found {
        panic!("seed {seed}: {finding}\nreplay it: {}", replay_command(seed));
    }
}

#[test]
fn seeds_that_ever_failed_hold() {
    for line in include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().and_then(|seed| seed.parse().ok()).expect("a seed");
        let finding = finding(seed, None, STEPS);
        assert_eq!(finding, None, "seed {seed}; replay it: {}", replay_command(seed));
    }
}

#[test]
fn a_seed_replays_to_the_byte() {
    let trace = |seed| {
        let findings = Findings::traced();
        World::new(seed, None, findings.clone()).run(STEPS);
        findings.trace()
    };
    for seed in 0..3 {
        let (first, second) = (trace(seed), trace(seed));
        assert!(first.len() > STEPS / 10, "the trace of seed {seed} has {} lines only", first.len());
        let differs = first.iter().zip(&second).position(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed} went another way the second time");
        assert_eq!(first.len(), second.len());
    }
}

#[test]
fn every_planted_bug_is_found() {
    for plant in Plant::ALL {
        let found = first_finding(PLANTED_SEEDS, Some(plant), STEPS);
        let (seed, finding) = found.unwrap_or_else(|| panic!("{plant:?} was not found in {PLANTED_SEEDS} seeds"));
        println!("{plant:?}: seed {seed}: {finding}");
    }
}

#[test]
fn replay() {
    let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let findings = Findings::traced();
    World::new(seed, None, findings.clone()).run(STEPS);
    findings.trace().iter().for_each(|line| println!("{line}"));
    let finding = findings.first();
    assert_eq!(finding, None, "seed {seed}");
}
