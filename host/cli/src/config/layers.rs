//! The layers of the configuration: defaults, file, variables, flags. Each is checked for unknown keys as it is read.
//! It does not know what the values mean.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::keys::{self, Kind};
use crate::failure::Failure;

/// What the layers are read from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// What the command sets when nobody says otherwise: path and text.
    pub(crate) command_defaults: Vec<(&'static str, &'static str)>,
    /// The command, for naming the source of those.
    pub(crate) command: &'static str,
    /// The file that was asked for; `./jobmill.toml` is read without being asked for.
    pub(crate) file: Option<PathBuf>,
    /// Where `jobmill.toml` is looked for.
    pub(crate) directory: PathBuf,
    /// The process's variables.
    pub(crate) variables: Vec<(String, String)>,
    /// Flags that were given: path, flag and text.
    pub(crate) flags: Vec<(&'static str, &'static str, String)>,
}

/// One layer, or one value of a layer, with the name of where it is from.
struct Layer {
    name: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// The file that is looked for in the working directory.
pub(crate) const FILE_NAME: &str = "jobmill.toml";

impl Sources {
    /// All layers, later ones over earlier ones.
    pub(crate) fn read(&self) -> Result<figment::Figment, Failure> {
        let mut figment = figment::Figment::new();
        for key in keys::KEYS {
            if let Some(default) = key.default {
                let value = toml_value(default).ok_or_else(|| unusable_default(key.path))?;
                figment = figment.merge(Layer::of("default", key.path, value));
            }
        }
        for (path, text) in &self.command_defaults {
            let name = format!("default of jobmill {}", self.command);
            figment = figment.merge(Layer::of(&name, path, Value::from(*text)));
        }
        let mut secrets_in_variables = Vec::new();
        if let Some((path, text)) = self.file_text()? {
            let layer = file_layer(&path, &text)?;
            named_variables(&layer.values, &mut secrets_in_variables);
            figment = figment.merge(layer);
        }
        for layer in self.variable_layers(&secrets_in_variables)? {
            figment = figment.merge(layer);
        }
        for (path, flag, text) in &self.flags {
            figment = figment.merge(Layer::of(&format!("flag {flag}"), path, Value::from(text.as_str())));
        }
        Ok(figment)
    }

    fn file_text(&self) -> Result<Option<(PathBuf, String)>, Failure> {
        let path = self.file.clone().unwrap_or_else(|| self.directory.join(FILE_NAME));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.file.is_none() => Ok(None),
            Err(error) => {
                let name = path.display();
                Err(Failure::usage("configuration", format!("the configuration {name} can't be read: {error}"))
                    .advise("`jobmill config init` writes one with every default"))
            }
        }
    }

    fn variable_layers(&self, secrets_in_variables: &[String]) -> Result<Vec<Layer>, Failure> {
        let mut layers = Vec::new();
        for (name, text) in &self.variables {
            if !name.starts_with(keys::PREFIX) || secrets_in_variables.contains(name) {
                continue;
            }
            let short = keys::SHORT_VARIABLES.iter().find(|(short, _)| short == name);
            let path: Vec<String> = match short {
                Some((_, None)) => continue,
                Some((_, Some(path))) => path.split('.').map(str::to_owned).collect(),
                None => variable_path(name),
            };
            let Some(key) = keys::find(&path) else {
                let failure =
                    Failure::usage("unknown-variable", format!("the variable {name} is not a setting of Jobmill"));
                return Err(match keys::nearest_variable(name) {
                    Some(nearest) => failure.advise(format!("did you mean {nearest}?")),
                    None => failure.advise("`jobmill config show` lists every setting"),
                });
            };
            if key.path.ends_with(".*") {
                let reason = format!("the variable {name} can't tell upper from lower case, which {} do", key.path);
                return Err(Failure::usage("configuration", reason).advise("say it in jobmill.toml"));
            }
            let value = variable_value(name, text, key.kind)?;
            layers.push(Layer::of(&format!("variable {name}"), &path.join("."), value));
        }
        Ok(layers)
    }
}

impl Layer {
    fn of(name: &str, path: &str, value: Value) -> Self {
        let values =
            path.rsplit('.').fold(value, |inner, segment| Value::from(Dict::from([(segment.to_owned(), inner)])));
        Self { name: name.to_owned(), values: values.into_dict().unwrap_or_default() }
    }
}

/// `JOBMILL_JOBS__WELCOME_EMAIL__RETRIES` is `jobs.welcome-email.retries`: ids of jobs and names of queues have no underscore.
fn variable_path(name: &str) -> Vec<String> {
    let path = name.trim_start_matches(keys::PREFIX).to_lowercase();
    let mut path: Vec<String> = path.split("__").map(str::to_owned).collect();
    if path.first().is_some_and(|section| ["jobs", "queues"].contains(&section.as_str()))
        && let Some(name) = path.get_mut(1)
    {
        *name = name.replace('_', "-");
    }
    path
}

fn variable_value(name: &str, text: &str, kind: Kind) -> Result<Value, Failure> {
    let refuse = |what: &str| Failure::usage("configuration", format!("the variable {name} is {text:?}, not {what}"));
    let no_list = format!("the variable {name} is not a list as jobmill.toml would write it");
    match kind {
        Kind::Text | Kind::Secret => Ok(Value::from(text)),
        Kind::Whole => text.trim().parse::<i64>().map(Value::from).map_err(|_| refuse("a whole number")),
        Kind::Number => text.trim().parse::<f64>().map(Value::from).map_err(|_| refuse("a number")),
        Kind::Truth => text.trim().parse::<bool>().map(Value::from).map_err(|_| refuse("true or false")),
        Kind::List | Kind::SecretList => match toml_value(text) {
            Some(list @ Value::Array(..)) => Ok(list),
            _ if kind == Kind::SecretList => Err(Failure::usage("configuration", no_list)),
            _ => Err(refuse("a list as jobmill.toml would write it")),
        },
        Kind::Table => {
            let reason = format!("the variable {name} would have to hold a table");
            Err(Failure::usage("configuration", reason).advise("say it in jobmill.toml"))
        }
    }
}

fn toml_value(text: &str) -> Option<Value> {
    let table: toml::Table = format!("value = {text}").parse().ok()?;
    Value::serialize(table.get("value")?).ok()
}

fn unusable_default(path: &str) -> Failure {
    Failure::new("configuration", format!("the default of {path} can't be read; this is a bug"))
}

fn file_layer(path: &Path, text: &str) -> Result<Layer, Failure> {
    let name = path.display().to_string();
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::usage("configuration", format!("{name} is not TOML: {}", error.to_string().trim_end()))
    })?;
    check_table(&table, &mut Vec::new(), &name)?;
    let values = Value::serialize(table)
        .map_err(|error| Failure::usage("configuration", format!("{name}: {error}")))?
        .into_dict()
        .unwrap_or_default();
    Ok(Layer { name, values })
}

/// Refuses keys that nobody would read.
fn check_table(table: &toml::Table, path: &mut Vec<String>, file: &str) -> Result<(), Failure> {
    for (name, value) in table {
        path.push(name.clone());
        match value {
            toml::Value::Table(inner) if keys::is_table(path) => check_table(inner, path, file)?,
            // What is not as deep as it should be has the wrong type, which is said later and better.
            _ if keys::find(path).is_some() || keys::is_table(path) => {}
            _ => {
                let failure = Failure::usage("unknown-key", format!("{file}: there is no key {}", path.join(".")));
                return Err(match keys::nearest(path) {
                    Some(nearest) => failure.advise(format!("did you mean {nearest}?")),
                    None => failure.advise("`jobmill config show` lists every key"),
                });
            }
        }
        path.pop();
    }
    Ok(())
}

/// Variables that hold secrets, as the file says: theirs is any name.
fn named_variables(values: &Dict, found: &mut Vec<String>) {
    for (name, value) in values {
        match value {
            Value::String(_, variable) if name == "env" => found.push(variable.clone()),
            Value::Dict(_, inner) => named_variables(inner, found),
            Value::Array(_, items) => {
                items.iter().filter_map(Value::as_dict).for_each(|item| named_variables(item, found));
            }
            _ => {}
        }
    }
}
