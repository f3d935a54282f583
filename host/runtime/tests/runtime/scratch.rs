use crate::bench::*;
use crate::guest::*;
use jobmill_engine::*;
#[tokio::test]
async fn scratch_errors() {
    let b = Bench::new();
    for bytes in [
        vec![],
        b"(component)".to_vec(),
        b"\0asm\x63\x00\x01\x00".to_vec(),
        Guest::new("(call $done)").module(),
        b"\0asm\x0d\x00\x01\x00\x07\xff\xff\xff\xff\x0f".to_vec(),
        Guest::new("(drop (call $get)) (call $done)")
            .import_from("acme:kv/store@1.0.0", "get", "$get", "(result i32)")
            .component(),
        Guest::new("(call $done)").version("0.2.0").component(),
        wat::parse_str("(component)").unwrap(),
        Guest::new("(call $done)").describing("(unreachable)").component(),
        Guest::new("(call $done)").describing("(i32.const -16)").component(),
        Guest::new("(call $done)").pages(64).words(256, &[65_536, 3_000_000]).component(),
        Guest::new("(call $done)").pages(2000).component(),
        Guest::new("(call $done)").item("(table 30000 funcref)").component(),
        Guest::new("(call $done)").item("(func $s (unreachable)) (start $s)").component(),
    ] {
        println!("* {}", b.refusal(bytes).await);
    }
    for g in [
        "(i32.const -16)",
        "(i32.const 1025)",
        "(call $output (i32.const 2147483632) (i32.const 100))",
        "(call $output (i32.const 2048) (i32.const 1))",
    ] {
        println!("- {:?}", b.first_attempt(&Guest::new(g).data(DATA, "\u{e4}")).await);
    }
}
#[tokio::test]
async fn scratch_jobs() {
    let b = Bench::new();
    for name in ["welcome-email", "purchase-confirmation", "refund-notification"] {
        let bytes = std::fs::read(format!("../../hopper/{name}.wasm")).unwrap();
        let t = std::time::Instant::now();
        let l = b.load_bytes(bytes).await;
        println!("{name} {:?} {:?} {:?}", t.elapsed(), l.imports, l.descriptor);
        if name == "welcome-email" {
            for i in 0..3 {
                b.enqueue(r#"{"userId":"u1","email":"a@example.com","name":"Ada"}"#).await;
                println!("{:?}", b.attempt(&l).await);
            }
            let n = 2000;
            let t = std::time::Instant::now();
            for _ in 0..n {
                b.enqueue(r#"{"userId":"u1","email":"a@example.com","name":"Ada"}"#).await;
                let c = b.claim().await;
                let (o, _c) = l.runner.run(c, TIMEOUT, Stop::default()).await;
                assert!(matches!(o, jobmill_core::Outcome::Completed { .. }));
            }
            println!("{:?} per attempt (with enqueue and claim)", t.elapsed() / n);
        }
    }
}
