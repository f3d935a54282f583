//! Secrets of jobs: read at the start, named by their keys when they can't be, and shown by their place only.
//! What becomes of them in a request is the runtime's to test.

use super::*;

#[test]
fn secrets_of_a_job_are_read_and_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    std::fs::write(&file, "hunter-one\n").expect("written");
    let text = format!("[secrets.crm-sync]\ntoken = {{ file = {file:?} }}\nuser = \"hunter-two\"\n");
    let loaded = Setup::new(&text).load();
    let secrets = loaded.config.job_secrets().expect("readable");
    let job: JobId = "crm-sync".parse().expect("an id");
    let of_job =
        |name: &str| secrets.get(&job).and_then(|secrets| secrets.get(name)).map(jobmill_backends::Secret::expose);
    assert_eq!((of_job("token"), of_job("user"), of_job("other")), (Some("hunter-one"), Some("hunter-two"), None));
    assert_eq!(source(&loaded, "secrets.crm-sync.user").0.as_deref(), Some("(secret)"));
    assert!(source(&loaded, "secrets.crm-sync.token").0.is_some_and(|place| place.contains("file = ")));
    let everything = format!("{:?} {:?} {secrets:?}", loaded.config, loaded.shown());
    assert!(!everything.contains("hunter"), "{everything}");
}

#[test]
fn a_secret_that_cannot_be_used_is_named_by_its_key() {
    for (said, told) in [
        ("token = { env = \"NO_SUCH_VARIABLE_HERE\" }", "NO_SUCH_VARIABLE_HERE"),
        ("token = \"hunter2\\r\\nX: y\"", "8 to 4096 bytes"),
        ("token = \"hunter2\"", "8 to 4096 bytes"),
    ] {
        let result = Setup::new(&format!("[secrets.crm-sync]\n{said}\n")).load().config.job_secrets();
        let Err(Failure::Said(report)) = result else { panic!("it was accepted: {said}") };
        let text = report.render();
        assert!(text.contains("secrets.crm-sync.token") && text.contains(told) && !text.contains("hunter"), "{text}");
    }
    for said in [
        "[secrets.crm-sync]\n\"a b\" = \"hunter2\"\n",
        "[secrets.crm-sync]\ntoken = 7\n",
        "[secrets]\ntoken = \"hunter2\"\n",
    ] {
        let text = Setup::new(said).refused();
        assert!(text.contains("secrets") && !text.contains("hunter"), "{text}");
    }
}
