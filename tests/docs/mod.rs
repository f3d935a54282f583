//! The README is read by people who do what it says, so what it says is done here.
//! Its Rust is compiled with the SDK's documentation tests.

use std::process::Command;

use crate::support::server::{Server, jobmill};

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    std::fs::read_to_string(path).expect("the README")
}

/// The lines of all code blocks in this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = readme();
    let blocks = readme.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n")).map(str::to_owned)).collect()
}

#[test]
fn every_curl_of_the_readme_is_answered() {
    let server = Server::dev();
    let lines: Vec<String> =
        blocks("sh").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let curls: Vec<&String> = lines.iter().filter(|line| line.starts_with("curl ")).collect();
    assert!(curls.len() >= 5, "{curls:?}");
    let address = server.url.trim_start_matches("http://");
    for line in curls {
        let line = line.replace("127.0.0.1:8288", address);
        let output = Command::new("sh").args(["-c", &format!("{line} --fail --silent --show-error")]).output();
        let output = output.expect("curl starts");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_command_of_the_readme_exists() {
    let directory = tempfile::tempdir().expect("a directory");
    let readme = readme();
    let mentions = readme.split('`').filter(|text| text.starts_with("jobmill ") && !text.contains('\n'));
    let commands: Vec<Vec<&str>> = mentions
        .map(|text| {
            let words = text.split(' ').skip(1);
            words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())).collect()
        })
        .filter(|words: &Vec<&str>| !words.is_empty())
        .collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let output = jobmill(directory.path()).args(&command).arg("--help").output().expect("it starts");
        assert!(output.status.success(), "jobmill {command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_configuration_of_the_readme_is_accepted() {
    let configurations = blocks("toml");
    assert_eq!(configurations.len(), 3);
    let shown = configurations.iter().map(|configuration| {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("jobmill.toml"), configuration).expect("written");
        let output = jobmill(directory.path()).env("SMTP_PASSWORD", "secret-word").args(["config", "show"]).output();
        let output = output.expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    });
    let shown: String = shown.collect();
    assert!(shown.contains("shop@example.com") && !shown.contains("secret-word"), "{shown}");
    assert!(shown.contains("jobs.purchase-confirmation.unique_key"), "{shown}");
}
