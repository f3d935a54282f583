//! `GET /api/v1/events.d.ts`: the events that the loaded jobs listen to, as TypeScript types made from their payload schemas.
//! It reads no catalog and answers no request: it makes one text from the schemas that it is given.

mod comment;
mod names;
mod schema;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;

use serde_json::Value;

use self::names::Names;
use self::schema::{Declaration, declare};
use self::types::{Type, key, write_comment};

/// Beyond so much text the remaining events are listed without what they carry.
const TEXT_BYTES: usize = 1024 * 1024;

const HEADER: &str = "\
// The events that the jobs of this Jobmill listen to, as the server made them from the loaded jobs. Fetch the file again when a job has changed.
//
// Jobmill's client:  new Jobmill<JobmillEvents>().send({ name, data })
// Inngest's SDK:     eventType(name, { schema: staticSchema<JobmillEvents[typeof name][\"data\"]>() })

";

/// The text of `events.d.ts`: for each event its name and the payload schema of a job that listens to it, if the job has one.
/// An event that several jobs listen to is given once for each, and its data has to fit them all. What a schema says that has no
/// type becomes `unknown`.
pub(crate) fn declarations<'a>(events: impl Iterator<Item = (&'a str, Option<&'a Value>)>) -> String {
    let mut schemas: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (event, schema) in events {
        let known = schemas.entry(event).or_default();
        if let Some(schema) = schema
            && !known.contains(&schema)
        {
            known.push(schema);
        }
    }
    let mut names = Names::default();
    let (mut members, mut types) = (String::new(), String::new());
    for (event, schemas) in &schemas {
        let room = members.len() + types.len() < TEXT_BYTES;
        let schemas = if room { schemas.as_slice() } else { &[] };
        write_event(event, schemas, &mut names, &mut members, &mut types);
    }
    format!(
        "{HEADER}/** What each event carries, by the event's name. */\nexport interface JobmillEvents {{\n{members}}}\n\n\
         /** The name of an event that a job listens to. */\nexport type JobmillEventName = keyof JobmillEvents;\n{types}"
    )
}

/// One event's member of the interface, and the named types that it needs.
fn write_event(event: &str, schemas: &[&Value], names: &mut Names, members: &mut String, types: &mut String) {
    let (mut data, mut comment) = (Vec::new(), Vec::new());
    for schema in schemas {
        let declared = declare(event, schema, names);
        data.push(declared.data);
        if comment.is_empty() {
            comment = declared.comment;
        }
        for declaration in &declared.types {
            write_type(declaration, types);
        }
    }
    let says_nothing = schemas.iter().all(|schema| matches!(schema, Value::Bool(true)) || is_empty_object(schema));
    let data = if says_nothing { Type::any_object() } else { Type::intersection(data) };
    write_comment(&comment, members, 1);
    members.push_str("  ");
    members.push_str(&key(event));
    members.push_str(": {\n    data: ");
    data.write(members, 2);
    members.push_str(";\n  };\n");
}

fn is_empty_object(schema: &Value) -> bool {
    schema.as_object().is_some_and(serde_json::Map::is_empty)
}

fn write_type(declaration: &Declaration, types: &mut String) {
    types.push('\n');
    write_comment(&declaration.comment, types, 0);
    types.push_str("export type ");
    types.push_str(&declaration.name);
    types.push_str(" = ");
    declaration.is.write(types, 0);
    types.push_str(";\n");
}
