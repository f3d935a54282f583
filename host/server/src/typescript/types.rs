//! A TypeScript type as a tree, and its text.
//! It knows nothing of JSON Schema.

use std::fmt::{self, Write as _};

/// A type. Unions and intersections are made by [`Type::union`] and [`Type::intersection`], which leave out what says nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Unknown,
    Never,
    /// A keyword such as `string`, or a literal.
    Word(String),
    /// A declared type, by its name.
    Named(String),
    List(Box<Type>),
    Tuple {
        /// Each with whether it may be missing; what may be missing comes last.
        items: Vec<(Type, bool)>,
        rest: Option<Box<Type>>,
    },
    Object {
        members: Vec<Member>,
        /// The type of members with other names.
        others: Option<Box<Type>>,
    },
    Union(Vec<Type>),
    Intersection(Vec<Type>),
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) optional: bool,
    /// Lines of its comment, not yet escaped.
    pub(super) comment: Vec<String>,
    pub(super) is: Type,
}

impl Type {
    pub(super) fn word(word: impl Into<String>) -> Self {
        Self::Word(word.into())
    }

    /// An object of which nothing is known.
    pub(super) fn any_object() -> Self {
        Self::Object { members: Vec::new(), others: Some(Box::new(Self::Unknown)) }
    }

    /// What is one of these.
    pub(super) fn union(types: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Vec<Self> = Vec::new();
        let each = types.into_iter().flat_map(|it| if let Self::Union(inner) = it { inner } else { vec![it] });
        for one in each {
            match one {
                Self::Unknown => return Self::Unknown,
                Self::Never => {}
                one if all.contains(&one) => {}
                one => all.push(one),
            }
        }
        match all.len() {
            0 => Self::Never,
            1 => all.remove(0),
            _ => Self::Union(all),
        }
    }

    /// What is all of these.
    pub(super) fn intersection(types: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Vec<Self> = Vec::new();
        let each = types.into_iter().flat_map(|it| if let Self::Intersection(inner) = it { inner } else { vec![it] });
        for one in each {
            match one {
                Self::Never => return Self::Never,
                Self::Unknown => {}
                one if all.contains(&one) => {}
                one => all.push(one),
            }
        }
        match all.len() {
            0 => Self::Unknown,
            1 => all.remove(0),
            _ => Self::Intersection(all),
        }
    }

    /// Whether a copy of it is small.
    pub(super) fn is_small(&self) -> bool {
        matches!(self, Self::Unknown | Self::Never | Self::Word(_) | Self::Named(_))
    }

    /// Writes it where the line is indented by `indent` steps.
    pub(super) fn write(&self, text: &mut String, indent: usize) {
        match self {
            Self::Unknown => text.push_str("unknown"),
            Self::Never => text.push_str("never"),
            Self::Word(word) | Self::Named(word) => text.push_str(word),
            Self::List(item) => item.write_list(text, indent),
            Self::Tuple { items, rest } => write_tuple(items, rest.as_deref(), text, indent),
            Self::Object { members, others } => write_object(members, others.as_deref(), text, indent),
            Self::Union(types) => {
                for (position, one) in types.iter().enumerate() {
                    text.push_str(if position == 0 { "" } else { " | " });
                    one.write(text, indent);
                }
            }
            Self::Intersection(types) => {
                for (position, one) in types.iter().enumerate() {
                    text.push_str(if position == 0 { "" } else { " & " });
                    one.write_in_brackets(matches!(one, Self::Union(_)), text, indent);
                }
            }
        }
    }

    fn write_list(&self, text: &mut String, indent: usize) {
        if matches!(self, Self::Unknown | Self::Named(_) | Self::Word(_)) {
            self.write(text, indent);
            text.push_str("[]");
        } else {
            text.push_str("Array<");
            self.write(text, indent);
            text.push('>');
        }
    }

    fn write_in_brackets(&self, brackets: bool, text: &mut String, indent: usize) {
        text.push_str(if brackets { "(" } else { "" });
        self.write(text, indent);
        text.push_str(if brackets { ")" } else { "" });
    }
}

fn write_tuple(items: &[(Type, bool)], rest: Option<&Type>, text: &mut String, indent: usize) {
    text.push('[');
    for (position, (item, optional)) in items.iter().enumerate() {
        text.push_str(if position == 0 { "" } else { ", " });
        let compound = matches!(item, Type::Union(_) | Type::Intersection(_));
        item.write_in_brackets(*optional && compound, text, indent);
        text.push_str(if *optional { "?" } else { "" });
    }
    if let Some(rest) = rest {
        text.push_str(if items.is_empty() { "..." } else { ", ..." });
        rest.write_list(text, indent);
    }
    text.push(']');
}

fn write_object(members: &[Member], others: Option<&Type>, text: &mut String, indent: usize) {
    match (members, others) {
        ([], None) => return text.push_str("{}"),
        ([], Some(others)) => {
            text.push_str("{ [key: string]: ");
            others.write(text, indent);
            return text.push_str(" }");
        }
        _ => text.push_str("{\n"),
    }
    for member in members {
        write_comment(&member.comment, text, indent + 1);
        write_indent(text, indent + 1);
        text.push_str(&key(&member.name));
        text.push_str(if member.optional { "?: " } else { ": " });
        member.is.write(text, indent + 1);
        text.push_str(";\n");
    }
    if let Some(others) = others {
        write_indent(text, indent + 1);
        text.push_str("[key: string]: ");
        others.write(text, indent + 1);
        text.push_str(";\n");
    }
    write_indent(text, indent);
    text.push('}');
}

/// A comment before what stands at this indent; nothing for no lines.
pub(super) fn write_comment(lines: &[String], text: &mut String, indent: usize) {
    if lines.is_empty() {
        return;
    }
    write_indent(text, indent);
    if let [line] = lines {
        let _ = writeln!(text, "/** {} */", Escaped(line));
        return;
    }
    text.push_str("/**\n");
    for line in lines {
        write_indent(text, indent);
        let line = Escaped(line);
        let _ = if line.0.is_empty() { writeln!(text, " *") } else { writeln!(text, " * {line}") };
    }
    write_indent(text, indent);
    text.push_str(" */\n");
}

fn write_indent(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n("  ", indent));
}

/// A line inside of a comment, which it can't end.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.replace("*/", "*\\/");
        line.chars().try_for_each(|c| f.write_char(if breaks_lines(c) { ' ' } else { c }))
    }
}

/// Control characters, and the two separators that end a line in TypeScript.
fn breaks_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The name of a member as it is declared.
pub(super) fn key(name: &str) -> String {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '$');
    let plain = begins && characters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if plain { name.to_owned() } else { literal(name) }
}

/// A text as a literal: as in JSON, but for two separators that some compilers take for the end of the line.
pub(super) fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}
