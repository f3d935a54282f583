//! The command line: the global options and the list of commands.
//! What a command takes stands with the command; nothing here carries anything out.

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::commands;

/// Where a server listens and a client asks, unless told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8288";
/// The server that is asked unless another is named.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:8288";

/// Durable jobs from WebAssembly components, in one binary.
#[derive(Debug, Parser)]
#[command(name = "jobmill", version, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The server to ask
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "JOBMILL_SERVER",
        default_value = DEFAULT_SERVER,
        hide_env_values = true
    )]
    pub(crate) server: String,
    /// The API token to show it
    #[arg(long, global = true, value_name = "TOKEN", env = "JOBMILL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The format of the standard output; json is the server's own answer, jsonl one item a line
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Table, hide_possible_values = false)]
    pub(crate) output: Format,
    /// Say nothing but data and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Answer every question with yes
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// No colours, as with `NO_COLOR`
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// How data is written to the standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve with development defaults: captured mail, demo orders, jobs rebuilt when they change
    Dev(commands::dev::Dev),
    /// Serve with production defaults
    Up(commands::up::Up),
    /// Start a job crate, with a passing test
    New(commands::new::New),
    /// Compile job crates to components, check them, and put them into the hopper
    Build(commands::build::Build),
    /// Check a component: what it is, what it imports, what would change
    Check(commands::check::Check),
    /// Compile the component on the standard input to native code on the standard output, within bounds
    #[command(hide = true)]
    Compile(commands::compile::Compile),
    /// Enqueue a run of a job
    Run(commands::run::RunCommand),
    /// Publish an event
    Emit(commands::emit::Emit),
    /// Events that were published, and the runs that they started
    #[command(subcommand, arg_required_else_help = true)]
    Events(commands::events::Events),
    /// The loaded jobs
    #[command(subcommand, arg_required_else_help = true)]
    Jobs(commands::jobs::Jobs),
    /// Runs: find, follow and change them
    #[command(subcommand, arg_required_else_help = true)]
    Runs(commands::runs::Runs),
    /// Queues: look at them, pause them, limit them
    #[command(subcommand, arg_required_else_help = true)]
    Queues(commands::queues::Queues),
    /// Dead letters, grouped by job and error
    #[command(subcommand, arg_required_else_help = true)]
    Dead(commands::dead::Dead),
    /// Schedules: which jobs start by themselves, and when
    #[command(subcommand, arg_required_else_help = true)]
    Schedule(commands::schedule::Schedule),
    /// The e-mail log
    #[command(subcommand, arg_required_else_help = true)]
    Mail(commands::mail::Mail),
    /// The embedded order book
    #[command(subcommand, arg_required_else_help = true)]
    Orders(commands::orders::Orders),
    /// Webhook deliveries: what came in, what became of it, and once more
    #[command(subcommand, arg_required_else_help = true)]
    Webhooks(commands::webhooks::Webhooks),
    /// API tokens: who may bring work in, look, and change things
    #[command(subcommand, arg_required_else_help = true)]
    Token(commands::token::TokenCommand),
    /// What operators did, when, on what, and how it ended
    #[command(subcommand, arg_required_else_help = true)]
    Audit(commands::audit::Audit),
    /// The store as a whole: check, export, import, prune
    #[command(subcommand, arg_required_else_help = true)]
    Store(commands::store::StoreCommand),
    /// Measure how fast this machine enqueues, drains and answers
    Bench(commands::bench::Bench),
    /// Look for what is wrong here, and say how to mend it
    Doctor(commands::doctor::Doctor),
    /// The configuration
    #[command(subcommand, arg_required_else_help = true)]
    Config(commands::config::ConfigCommand),
    /// Print the completions of a shell
    Completions(commands::completions::Completions),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    /// A command and those below it, with their full names.
    fn with_subcommands(name: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
        found.push((name.to_owned(), command.clone()));
        for inner in command.get_subcommands() {
            with_subcommands(&format!("{name} {}", inner.get_name()), inner, found);
        }
    }

    #[test]
    fn every_command_and_every_option_says_what_it_does() {
        let mut commands = Vec::new();
        with_subcommands("jobmill", &CommandLine::command(), &mut commands);
        for (name, command) in &commands {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.'), "{name}: {about:?}");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty() && !help.ends_with('.'), "{name} {}: {help:?}", argument.get_id());
            }
        }
        let names: Vec<&str> = commands.iter().filter_map(|(name, _)| name.strip_prefix("jobmill ")).collect();
        for name in [
            "jobs show",
            "jobs pause",
            "queues set",
            "schedule trigger",
            "runs rerun",
            "dead requeue",
            "mail clear",
            "orders put",
            "events show",
            "webhooks replay",
            "token create",
            "token revoke",
            "store prune",
            "config init",
        ] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    }

    /// The command of these words, as a shell would find it.
    fn resolves(words: &str) -> bool {
        let root = CommandLine::command();
        let found = words.split(' ').try_fold(&root, |command, word| command.find_subcommand(word));
        found.is_some_and(|command| !command.has_subcommands())
    }

    #[test]
    fn whatever_a_page_does_the_api_and_a_command_do_under_the_same_word() {
        use std::collections::BTreeSet;

        let table = jobmill_server::route_table();
        let actions = |is_meant: &dyn Fn(&str) -> bool| -> BTreeSet<jobmill_server::Action> {
            table.iter().filter(|route| is_meant(route.path)).filter_map(|route| route.action).collect()
        };
        let of_api = actions(&|path| path.starts_with("/api/v1/"));
        // Inngest's own routes are for its clients.
        let of_pages = actions(&|path| !path.starts_with("/api/") && !path.starts_with("/v1/"));
        assert!(of_pages.len() > 10 && of_api.len() > 10, "the table says what routes do");
        let missing: Vec<&str> = of_pages.difference(&of_api).map(|action| action.as_str()).collect();
        assert!(missing.is_empty(), "pages do what no route of the API does: {missing:?}");
        let unknown: Vec<&str> =
            of_api.union(&of_pages).map(|action| action.as_str()).filter(|word| !resolves(word)).collect();
        assert!(unknown.is_empty(), "no such commands: {unknown:?}");
        assert!(!resolves("runs") && !resolves("runs nothing") && !resolves("run nothing"));
    }

    #[test]
    fn lists_that_a_person_watches_can_go_on() {
        for list in ["runs", "dead", "queues", "jobs", "mail", "events"] {
            for option in ["-w", "--watch"] {
                CommandLine::try_parse_from(["jobmill", list, "list", option]).expect(list);
            }
        }
    }

    #[test]
    fn no_command_has_an_argument_named_like_a_global_option() {
        let root = CommandLine::command();
        let mut commands = Vec::new();
        root.get_subcommands().for_each(|inner| with_subcommands(inner.get_name(), inner, &mut commands));
        for (name, command) in &commands {
            for argument in command.get_arguments() {
                let clash = root.get_arguments().any(|global| global.get_id() == argument.get_id());
                assert!(!clash, "{name} {}", argument.get_id());
            }
        }
    }

    #[test]
    fn a_client_asks_where_a_server_listens() {
        assert_eq!(DEFAULT_SERVER, format!("http://{DEFAULT_ADDRESS}"));
        let key = crate::config::keys::KEYS.iter().find(|key| key.path == "server.listen").expect("a key");
        assert_eq!(key.default, Some(format!("\"{DEFAULT_ADDRESS}\"").as_str()));
    }

    #[test]
    fn global_options_may_follow_the_command() {
        let line = CommandLine::try_parse_from(["jobmill", "runs", "list", "-o", "jsonl", "-y"]).expect("parses");
        assert_eq!(line.global.output, Format::Jsonl);
        assert!(line.global.yes);
    }

    #[test]
    fn wait_takes_its_time_only_after_an_equals_sign() {
        use commands::run::Patience;

        let parse = |words: &[&str]| match CommandLine::try_parse_from(words).expect("parses").command {
            Some(Command::Run(run)) => (run.job.to_string(), run.wait),
            other => panic!("not a run: {other:?}"),
        };
        assert_eq!(parse(&["jobmill", "run", "a"]), ("a".to_owned(), None));
        assert_eq!(parse(&["jobmill", "run", "--wait", "a"]), ("a".to_owned(), Some(Patience::Endless)));
        let half_a_minute = Some(Patience::AtMost(std::time::Duration::from_secs(30)));
        assert_eq!(parse(&["jobmill", "run", "a", "--wait=30s"]), ("a".to_owned(), half_a_minute));
    }

    #[test]
    fn wrong_usage_is_refused_before_anything_is_asked() {
        for words in [
            vec!["jobmill", "run"],
            vec!["jobmill", "run", "Not A Job"],
            vec!["jobmill", "run", "a", "--at", "soon"],
            vec!["jobmill", "run", "a", "--at", "2026-03-01T09:00:00Z", "--in", "5m"],
            vec!["jobmill", "run", "a", "--payload", "{}", "--example"],
            vec!["jobmill", "run", "a", "--priority", "10"],
            vec!["jobmill", "run", "a", "--wait=soon"],
            vec!["jobmill", "runs", "list", "--state", "busy"],
            vec!["jobmill", "runs", "show", "42"],
            vec!["jobmill", "dead", "requeue", "--spread", "wide"],
            vec!["jobmill", "dead", "requeue", "--in-doubt", "maybe"],
            vec!["jobmill", "mail", "list", "--since", "yesterday"],
            vec!["jobmill", "mail", "suppress"],
            vec!["jobmill", "queues", "set", "mail"],
            vec!["jobmill", "queues", "set", "mail", "--concurrency", "0"],
            vec!["jobmill", "jobs", "pause"],
            vec!["jobmill", "schedule", "trigger"],
            vec!["jobmill", "schedule", "trigger", "Not A Job"],
            vec!["jobmill", "token", "create"],
            vec!["jobmill", "token", "create", "--scope", "everything"],
            vec!["jobmill", "token", "create", "--scope", "read", "--rate-limit", "100"],
            vec!["jobmill", "token", "revoke", "shop"],
            vec!["jobmill", "webhooks", "list", "--outcome", "lost"],
            vec!["jobmill", "webhooks", "replay", "evt_1"],
            vec!["jobmill", "mail", "fail"],
            vec!["jobmill", "orders", "fail", "2", "--kind", "odd"],
            vec!["jobmill", "runs", "retry", "--since", "yesterday"],
            vec!["jobmill", "nothing"],
        ] {
            let error = CommandLine::try_parse_from(&words).expect_err(&words.join(" "));
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
