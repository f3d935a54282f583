//! Components that are checked in, as they were once built: they load and run for ever.
//! What the jobs do is their own tests'.

use std::path::Path;

use jobmill_core::Outcome;

use crate::bench::Bench;

const BUILT_WITH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/components/0.1.0");

#[tokio::test]
async fn components_that_were_built_with_the_first_interface_load_and_run() {
    for job in ["purchase-confirmation", "refund-notification", "welcome-email"] {
        let bench = Bench::new();
        bench.put_order("order_123").await;
        let bytes = std::fs::read(Path::new(BUILT_WITH).join(job).with_extension("wasm")).expect("is checked in");
        let loaded = bench.load_bytes(bytes).await;
        assert_eq!(loaded.descriptor.id, job);
        let ours: Vec<&String> = loaded.imports.iter().filter(|import| import.starts_with("jobmill:job/")).collect();
        assert!(!ours.is_empty() && ours.iter().all(|import| import.ends_with("@0.1.0")), "{ours:?}");
        bench.enqueue(&loaded.descriptor.payload_example.clone().expect("an example")).await;
        let outcome = bench.attempt(&loaded).await;
        assert!(matches!(outcome, Outcome::Completed { output: Some(_) }), "{job}: {outcome:?}");
    }
}
