//! The server that the options name, and what its errors mean for a command.
//! Requests and answers are those of `jobmill_client`.

use std::time::Duration;

use jobmill_client::{Builder, Client, Error, Member};
use jobmill_core::time::format_duration;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Global;
use crate::failure::{Exit, Failure};
use crate::output::visible;

/// A client of the server that the options name.
pub(crate) fn connect(global: &Global) -> Result<Client, Failure> {
    Ok(named(global).build()?)
}

/// The same, for which a server has only so long to answer.
pub(crate) fn within(global: &Global, limit: Duration) -> Result<Client, Failure> {
    Ok(named(global).timeout(Some(limit)).build()?)
}

/// The same, for answers that take as long as the store is large.
pub(crate) fn patient(global: &Global) -> Result<Client, Failure> {
    Ok(named(global).timeout(None).build()?)
}

fn named(global: &Global) -> Builder {
    let builder = Client::builder(&global.server).user_agent(concat!("jobmill/", env!("CARGO_PKG_VERSION")));
    match &global.token {
        Some(token) => builder.token(token),
        None => builder,
    }
}

/// A document of the server that no call of the client reads.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| another_shape(&error.to_string()))
}

/// A document of ours as JSON.
pub(crate) fn json(body: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(body).map_err(|error| unwritable(&error.to_string()))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let is_passing = error.is_passing();
        let failure = match error {
            Error::BadServer { server, reason } => {
                Self::usage("bad-server", format!("{server:?} is not the address of a server: {reason}"))
                    .advise("write it like http://127.0.0.1:8288")
            }
            Error::BadRequest { reason } => unwritable(&reason),
            Error::Unreachable { server, reason } => {
                let text = format!("no Jobmill server answers at {server}: {reason}");
                Self::with_exit(Exit::Unreachable, "server-unreachable", text)
                    .advise("start one with `jobmill dev`, or name another with --server or JOBMILL_SERVER")
            }
            Error::Refused { status, code, detail, errors, retry_after } => {
                refused(status, code, detail, &errors, retry_after)
            }
            Error::UnexpectedAnswer { status: Some(status), .. } => {
                let text = format!("the server answered with status {status}, and not as a Jobmill does");
                Self::new("unexpected-answer", text).advise("is --server the address of a Jobmill?")
            }
            Error::UnexpectedAnswer { status: None, reason } => another_shape(&reason),
            other => Self::new("client", other.to_string()),
        };
        failure.passing(is_passing)
    }
}

fn unwritable(reason: &str) -> Failure {
    Failure::new("request", format!("the request can't be written: {reason}"))
}

fn another_shape(reason: &str) -> Failure {
    Failure::new("unexpected-answer", format!("the server's answer is not what this command expects: {reason}"))
        .advise("is --server the address of a Jobmill of the same version?")
}

/// What the server's refusal means here.
fn refused(status: u16, code: String, detail: String, errors: &[Member], later: Option<Duration>) -> Failure {
    let exit = if status == 404 { Exit::NotFound } else { Exit::Failed };
    let (message, suggestion) = match detail.split_once("; did you mean ") {
        Some((message, nearest)) => (message.to_owned(), Some(format!("did you mean {nearest}"))),
        None => (detail, None),
    };
    let mut failure = Failure::with_exit(exit, code, visible(&message));
    if let Some(line) = suggestion {
        failure = failure.advise(line);
    }
    for Member { pointer, detail } in errors {
        let pointer = if pointer.is_empty() { "the document" } else { pointer };
        failure = failure.advise(visible(&format!("{pointer}: {detail}")));
    }
    if status == 401 {
        failure = failure.advise("the command line shows it with --token, or takes it from JOBMILL_TOKEN");
    }
    if let Some(later) = later {
        failure = failure.advise(format!("the server says to try again in {}", format_duration(later)));
    }
    failure
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn client(server: &str) -> Result<Client, Failure> {
        let line = crate::args::CommandLine::try_parse_from(["jobmill", "--server", server]).expect("parses");
        connect(&line.global)
    }

    fn said(failure: Failure) -> (Exit, String) {
        let Failure::Said(report) = failure else { panic!("it is said") };
        (report.exit, report.render())
    }

    fn refusal(status: u16, code: &str, detail: &str) -> Error {
        let (code, detail) = (code.to_owned(), detail.to_owned());
        Error::Refused { status, code, detail, errors: Vec::new(), retry_after: None }
    }

    #[test]
    fn what_is_no_server_address_is_wrong_usage() {
        for server in ["", "127.0.0.1:8288", "ftp://shop.example", "http://"] {
            let Err(failure) = client(server) else { panic!("{server}") };
            assert_eq!(failure.exit(), Exit::Usage, "{server}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_said_with_how_to_start_one() {
        // Nothing listens on the port that was just given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let client = client(&format!("http://127.0.0.1:{port}")).unwrap_or_else(|_| panic!("a good address"));
        let (exit, text) = said(client.jobs().expect_err("nobody there").into());
        assert_eq!(exit, Exit::Unreachable);
        assert!(text.contains("jobmill dev"), "{text}");
    }

    #[test]
    fn a_refusal_names_the_members_and_the_nearest_job() {
        let detail = "there is no job \"welcome-emial\"; did you mean \"welcome-email\"?";
        let text = "error[unknown-job]: there is no job \"welcome-emial\"\n  did you mean \"welcome-email\"?";
        assert_eq!(said(refusal(404, "unknown-job", detail).into()), (Exit::NotFound, text.to_owned()));
        let mut invalid = refusal(422, "payload-invalid", "the payload does not fit");
        if let Error::Refused { errors, .. } = &mut invalid {
            errors.push(Member { pointer: "/orderId".to_owned(), detail: "is required".to_owned() });
        }
        let text = "error[payload-invalid]: the payload does not fit\n  /orderId: is required";
        assert_eq!(said(invalid.into()), (Exit::Failed, text.to_owned()));
        let gateway = Error::UnexpectedAnswer { status: Some(502), reason: "<html>".to_owned() };
        let text = "error[unexpected-answer]: the server answered with status 502, and not as a Jobmill does\n  \
                    is --server the address of a Jobmill?";
        assert_eq!(said(gateway.into()), (Exit::Failed, text.to_owned()));
    }

    #[test]
    fn a_refusal_for_now_says_when_to_try_again() {
        let mut crowded = refusal(429, "too-many-waiting", "500 runs wait already");
        if let Error::Refused { retry_after, .. } = &mut crowded {
            *retry_after = Some(Duration::from_secs(10));
        }
        let text = "error[too-many-waiting]: 500 runs wait already\n  the server says to try again in 10s";
        assert_eq!(said(crowded.into()), (Exit::Failed, text.to_owned()));
    }
}
