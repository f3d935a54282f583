//! `jobmill token create`: makes a token and prints its secret, alone on the standard output.
//! How it is used is said beside it, without the secret: the standard error ends up in logs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jobmill_client::{CreatedToken, NewToken, RequestRate, Token as Shown};
use jobmill_core::flow::RateLimit;
use jobmill_core::time::parse_duration;
use jobmill_core::token::{Scope, Secret, SecretDigest, Token};
use jobmill_core::{Timestamp, TokenId, limits};
use jobmill_store::Store as _;

use super::Context;
use crate::commands::store::keeper::{OwnStore, refuse_in_use};
use crate::config::arguments::{ConfigFile, Places};
use crate::failure::Failure;
use crate::machine::{self, SystemEntropy};
use crate::{client, output};

/// Make a token; its secret is printed this once
///
/// The secret is the only line on the standard output. With the first token the server wants one from everybody.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Create {
    #[command(flatten)]
    file: ConfigFile,
    /// What it may do: enqueue (bring work in), read (see everything), operate (everything)
    #[arg(long, value_name = "enqueue|read|operate")]
    scope: Scope,
    /// What it is for; its scope if absent
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// It opens nothing after this time, such as 90d
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    expires: Option<Duration>,
    /// How many requests it may make, such as 100/1m
    #[arg(long, value_name = "N/SPAN", value_parser = parse_rate)]
    rate_limit: Option<RequestRate>,
    /// Its work is refused while so many runs wait, over all jobs
    #[arg(long, value_name = "N")]
    max_waiting: Option<u32>,
    /// Write it into this data directory, on which no Jobmill runs, instead of asking a server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example:
  jobmill token create --scope enqueue --name shop --expires 90d
  jobmill token create --scope operate --data /var/lib/jobmill";

fn parse_rate(text: &str) -> Result<RequestRate, String> {
    let parts = text.split_once('/').and_then(|(limit, period)| Some((limit.parse().ok()?, period)));
    let (limit, period) = parts.ok_or_else(|| format!("{text:?} is no rate; write it like 100/1m"))?;
    if !(1..=limits::RATE).contains(&limit) {
        return Err(format!("the number of requests is from 1 to {}", limits::RATE));
    }
    match parse_duration(period) {
        Ok(period) if (limits::SPAN_MIN..=limits::RATE_PERIOD_MAX).contains(&period) => {
            Ok(RequestRate { limit, period })
        }
        Ok(_) => Err("the period is from 1ms to 24h".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Create {
    pub(super) fn carry_out(self, context: &Context) -> Result<(), Failure> {
        let now = machine::now();
        let (json, created): (String, CreatedToken) = if let Some(data) = &self.data {
            let json = self.write(data.clone(), now)?.to_string();
            let created = client::read(&json)?;
            (json, created)
        } else {
            let answer = context.client()?.create_token(&NewToken {
                name: self.name.as_deref(),
                scope: self.scope,
                expires_at: self.expires_at(now),
                rate_limit: self.rate_limit,
                max_waiting: self.max_waiting,
            })?;
            (answer.text().to_owned(), answer.into_value())
        };
        context.output.document(&json, || created.secret.clone())?;
        context.output.note(&usage(&created.token, now));
        Ok(())
    }

    fn expires_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.expires.map(|span| now.after(span))
    }

    /// Writes the token into the store, and gives what a server would have answered.
    fn write(&self, data: PathBuf, now: Timestamp) -> Result<serde_json::Value, Failure> {
        let file = ConfigFile { config: self.file.config.clone() };
        let config = Places { file, data: Some(data), ..Places::default() }.load("up", &[])?.config;
        refuse_in_use(&config)
            .map_err(|failure| failure.advise("or leave --data out, and the token is made by the running server"))?;
        let entropy = SystemEntropy::default();
        let secret = Secret::generate(&entropy);
        let rate = |RequestRate { limit, period }| RateLimit { limit, period, key: None };
        let token = Token {
            id: TokenId::generate(now, &entropy),
            name: self.name.clone().unwrap_or_else(|| self.scope.to_string()),
            scope: self.scope,
            digest: SecretDigest::of(secret.as_str()),
            created_at: now,
            expires_at: self.expires_at(now),
            revoked_at: None,
            last_used_at: None,
            rate_limit: self.rate_limit.map(rate),
            max_waiting: self.max_waiting,
        };
        let open = OwnStore::open(&config)?;
        open.ask(open.store.put_token(token.clone()))?;
        open.close()?;
        Ok(serde_json::json!({
            "token": {
                "id": token.id, "name": token.name, "scope": token.scope, "created_at": token.created_at,
                "expires_at": token.expires_at, "revoked_at": token.revoked_at, "last_used_at": token.last_used_at,
                "rate_limit": token.rate_limit, "max_waiting": token.max_waiting, "source": "created",
            },
            "secret": secret.as_str(),
        }))
    }
}

/// What it is, and how programs are given it.
fn usage(token: &Shown, now: Timestamp) -> String {
    let until = match token.expires_at {
        Some(at) => format!("until {}", output::exact(at, now)),
        None => "until it is revoked".to_owned(),
    };
    let (name, scope) = (output::visible(&token.name), token.scope);
    let what = match scope {
        Scope::Enqueue => "brings work in",
        Scope::Read => "sees everything and changes nothing",
        Scope::Operate => "may do everything",
    };
    let mut lines = vec![
        format!("{} {name:?}: scope {scope}, {what}, {until}", token.id),
        "its secret is shown this once; programs take it from a variable:".to_owned(),
        "  JOBMILL_TOKEN        as it is".to_owned(),
    ];
    lines.push(match scope {
        Scope::Enqueue => "  INNGEST_EVENT_KEY    as it is, for Inngest's SDKs".to_owned(),
        Scope::Read | Scope::Operate => {
            "  INNGEST_SIGNING_KEY  with signkey-prod- in place of jm_, for Inngest's SDKs".to_owned()
        }
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Command, CommandLine};
    use crate::commands::token::TokenCommand;

    fn create(words: &[&str]) -> (Create, Context) {
        let line =
            CommandLine::try_parse_from([&["jobmill", "-q", "token", "create"], words].concat()).expect("parses");
        let Some(Command::Token(TokenCommand::Create(create))) = line.command else { panic!("no token is made") };
        (create, Context::new(line.global, |exit| panic!("left with {exit:?}")))
    }

    fn shown(scope: &str, expires: Option<&str>) -> Shown {
        serde_json::from_value(serde_json::json!({
            "id": "tok_01J00000000000000000000000", "name": "shop", "scope": scope,
            "created_at": "2026-03-01T09:00:00.000Z", "expires_at": expires, "revoked_at": null,
            "last_used_at": null, "rate_limit": null, "max_waiting": null, "source": "created",
        }))
        .expect("a token")
    }

    #[test]
    fn what_a_token_is_for_is_told_by_its_scope() {
        let now = "2026-03-01T09:00:00.000Z".parse().expect("a time");
        let enqueue =
            anstream::adapter::strip_str(&usage(&shown("enqueue", Some("2026-03-02T09:00:00.000Z")), now)).to_string();
        assert_eq!(
            enqueue,
            "tok_01J00000000000000000000000 \"shop\": scope enqueue, brings work in, until 2026-03-02T09:00:00.000Z  \
             (in 1 d)\nits secret is shown this once; programs take it from a variable:\n  JOBMILL_TOKEN        as it \
             is\n  INNGEST_EVENT_KEY    as it is, for Inngest's SDKs"
        );
        let operate = usage(&shown("operate", None), now);
        assert!(
            operate.contains("until it is revoked") && operate.contains("signkey-prod- in place of jm_"),
            "{operate}"
        );
    }

    #[test]
    fn a_rate_is_a_number_in_a_span() {
        assert_eq!(parse_rate("100/1m"), Ok(RequestRate { limit: 100, period: Duration::from_mins(1) }));
        for wrong in ["100", "0/1m", "x/1m", "100/soon", "100/48h", "2000000/1m", "1/0s"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_in_the_data_directory_before_the_first_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let file = directory.path().join("jobmill.toml");
        std::fs::write(&file, "").expect("written");
        let (file, path) = (file.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
        let words = ["--scope", "enqueue", "--name", "shop", "--expires", "90d", "--rate-limit", "5/1m"];
        let (create, _) = create(&[&words[..], &["--config", file, "--data", path]].concat());
        let now = machine::now();
        let json = create.write(data.clone(), now).expect("made");
        let created: CreatedToken = serde_json::from_value(json).expect("what a server would answer");
        assert!(created.secret.starts_with("jm_") && created.secret.len() == 67, "{}", created.secret.len());
        let config = Places { data: Some(data), file: ConfigFile { config: Some(file.into()) }, ..Places::default() };
        let open = OwnStore::open(&config.load("up", &[]).expect("a configuration").config).expect("opened");
        let kept = open.ask(jobmill_store::Query::tokens(&open.store)).expect("read");
        let [token] = &*kept else { panic!("{} tokens", kept.len()) };
        assert_eq!((token.id, token.name.as_str(), token.scope), (created.token.id, "shop", Scope::Enqueue));
        assert_eq!(token.digest, SecretDigest::of(&created.secret));
        assert_eq!(token.expires_at, Some(now.after(Duration::from_hours(90 * 24))));
        assert_eq!(token.rate_limit.as_ref().map(|rate| rate.limit), Some(5));
        let held = create.write(config.data.clone().expect("named"), now).expect_err("this process has it open");
        assert_eq!(held.code(), "data-in-use");
    }
}
