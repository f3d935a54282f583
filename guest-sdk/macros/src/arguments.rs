//! Reads the arguments of `#[job(…)]`; every refusal points at the argument that is wrong.
//! It writes no code but the values of the descriptor's fields.

use crate::duration;
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Error, Ident, LitFloat, LitInt, LitStr, Result};

const KNOWN: &[&str] = &[
    "id",
    "title",
    "event",
    "cron",
    "queue",
    "priority",
    "retries",
    "timeout",
    "backoff",
    "concurrency",
    "rate_limit",
    "debounce",
    "unique_key",
    "unique_for",
    "example",
];

/// What stands in `#[job(…)]`; the tokens are expressions of the descriptor's types.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) id: Option<LitStr>,
    pub(crate) title: Option<LitStr>,
    pub(crate) queue: Option<LitStr>,
    pub(crate) priority: Option<LitInt>,
    pub(crate) retries: Option<LitInt>,
    pub(crate) timeout: Option<TokenStream>,
    pub(crate) backoff: Option<TokenStream>,
    pub(crate) rate_limit: Option<TokenStream>,
    pub(crate) debounce: Option<TokenStream>,
    pub(crate) unique_key: Option<LitStr>,
    pub(crate) unique_for: Option<TokenStream>,
    pub(crate) example: Option<LitStr>,
    pub(crate) triggers: Vec<TokenStream>,
    pub(crate) concurrency: Vec<TokenStream>,
}

impl Arguments {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut arguments = Self::default();
        syn::meta::parser(|meta| arguments.read(&meta)).parse2(tokens)?;
        if let (Some(unique_for), None) = (&arguments.unique_for, &arguments.unique_key) {
            return Err(Error::new_spanned(unique_for, "`unique_for` needs a `unique_key` to remember"));
        }
        Ok(arguments)
    }

    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = name_of(meta)?;
        match name.as_str() {
            "id" => set(&mut self.id, meta, job_id(meta.value()?.parse()?)?),
            "title" => set(&mut self.title, meta, text(meta)?),
            "event" => {
                let event = text(meta)?;
                self.triggers.push(quote!(::jobmill_sdk::Trigger::Event(#event.to_owned())));
                Ok(())
            }
            "cron" => {
                let cron = cron(meta)?;
                self.triggers.push(quote!(::jobmill_sdk::Trigger::Cron(#cron.to_owned())));
                Ok(())
            }
            "queue" => set(&mut self.queue, meta, text(meta)?),
            "priority" => set(&mut self.priority, meta, number(meta, 9)?),
            "retries" => set(&mut self.retries, meta, number(meta, 100)?),
            "timeout" => set(&mut self.timeout, meta, time(meta)?),
            "backoff" => set(&mut self.backoff, meta, backoff(meta)?),
            "concurrency" => {
                self.concurrency.push(concurrency(meta)?);
                Ok(())
            }
            "rate_limit" => set(&mut self.rate_limit, meta, rate_limit(meta)?),
            "debounce" => set(&mut self.debounce, meta, debounce(meta)?),
            "unique_key" => set(&mut self.unique_key, meta, pointer(meta)?),
            "unique_for" => set(&mut self.unique_for, meta, time(meta)?),
            "example" => set(&mut self.example, meta, json(meta)?),
            _ => Err(meta.error(format!("`{name}` is not an argument of `#[job]`; there are {}", list(KNOWN)))),
        }
    }
}

/// Refuses an id that the engine would refuse.
pub(crate) fn job_id(id: LitStr) -> Result<LitStr> {
    let text = id.value();
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > 64 || text.starts_with('-') || !text.bytes().all(allowed) {
        let message = format!(
            "{text:?} can't be a job's id: 1 to 64 of a-z, 0-9 and `-`, the first not a `-`; set it by `id = \"…\"`"
        );
        return Err(Error::new(id.span(), message));
    }
    Ok(id)
}

fn name_of(meta: &ParseNestedMeta<'_>) -> Result<String> {
    let name = meta.path.get_ident().map(Ident::to_string);
    name.ok_or_else(|| meta.error("an argument is a single word, such as `retries = 3`"))
}

fn set<T>(slot: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        let name = name_of(meta)?;
        return Err(meta.error(format!("`{name}` is given twice; it may stand here once")));
    }
    Ok(())
}

fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let text: LitStr = meta.value()?.parse()?;
    if text.value().trim().is_empty() {
        return Err(Error::new(text.span(), "may not be empty"));
    }
    Ok(text)
}

fn number(meta: &ParseNestedMeta<'_>, most: u32) -> Result<LitInt> {
    let number: LitInt = meta.value()?.parse()?;
    match number.base10_parse::<u32>() {
        Ok(value) if value <= most => Ok(LitInt::new(&value.to_string(), number.span())),
        _ => Err(Error::new(number.span(), format!("has to be a whole number from 0 to {most}"))),
    }
}

fn limit(meta: &ParseNestedMeta<'_>) -> Result<LitInt> {
    let number: LitInt = meta.value()?.parse()?;
    match number.base10_parse::<u32>() {
        Ok(value) if value > 0 => Ok(LitInt::new(&value.to_string(), number.span())),
        _ => Err(Error::new(number.span(), "has to be a whole number above 0")),
    }
}

fn time(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    duration_of(&meta.value()?.parse()?)
}

fn duration_of(text: &LitStr) -> Result<TokenStream> {
    match duration::millis(&text.value()) {
        Ok(0) => Err(Error::new(text.span(), "has to be longer than nothing")),
        Ok(millis) => {
            let millis = LitInt::new(&format!("{millis}u64"), text.span());
            Ok(quote!(::jobmill_sdk::macro_support::Duration::from_millis(#millis)))
        }
        Err(message) => Err(Error::new(text.span(), message)),
    }
}

fn pointer(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let pointer: LitStr = meta.value()?.parse()?;
    if pointer.value().starts_with('/') {
        return Ok(pointer);
    }
    Err(Error::new(pointer.span(), "has to be a JSON Pointer into the payload, such as \"/orderId\""))
}

fn cron(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let cron = text(meta)?;
    let fields = cron.value().split_whitespace().filter(|field| !field.starts_with("TZ=")).count();
    if fields == 5 {
        return Ok(cron);
    }
    let message = format!(
        "this has {fields} fields; a cron expression has five, such as \"0 9 * * MON\" or \"TZ=Europe/Berlin 0 9 * * *\""
    );
    Err(Error::new(cron.span(), message))
}

fn json(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let example: LitStr = meta.value()?.parse()?;
    match serde_json::from_str::<serde_json::Value>(&example.value()) {
        Ok(_) => Ok(example),
        Err(error) => Err(Error::new(example.span(), format!("the example is not JSON: {error}"))),
    }
}

/// `"5s"`, or the members of an exponential one.
enum Factor {
    Whole(LitInt),
    Fraction(LitFloat),
}

impl Parse for Factor {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitInt) { input.parse().map(Self::Whole) } else { input.parse().map(Self::Fraction) }
    }
}

impl Factor {
    fn within(self, low: f64, high: f64) -> Result<f64> {
        let (value, span): (Result<f64>, Span) = match &self {
            Self::Whole(literal) => (literal.base10_parse(), literal.span()),
            Self::Fraction(literal) => (literal.base10_parse(), literal.span()),
        };
        match value {
            Ok(value) if (low..=high).contains(&value) => Ok(value),
            _ => Err(Error::new(span, format!("has to be a number from {low} to {high}"))),
        }
    }
}

fn backoff(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    if meta.input.peek(syn::Token![=]) {
        let delay = time(meta)?;
        return Ok(quote!(::jobmill_sdk::Backoff::Fixed(#delay)));
    }
    let (mut base, mut factor, mut max, mut jitter) = (None, None, None, None);
    meta.parse_nested_meta(|inner| match name_of(&inner)?.as_str() {
        "base" => set(&mut base, &inner, time(&inner)?),
        "factor" => set(&mut factor, &inner, inner.value()?.parse::<Factor>()?.within(1.0, 100.0)?),
        "max" => set(&mut max, &inner, time(&inner)?),
        "jitter" => set(&mut jitter, &inner, inner.value()?.parse::<Factor>()?.within(0.0, 1.0)?),
        _ => Err(inner.error("`backoff` has base, factor, max and jitter")),
    })?;
    let seconds = |count: u64| quote!(::jobmill_sdk::macro_support::Duration::from_secs(#count));
    let (base, max) = (base.unwrap_or_else(|| seconds(1)), max.unwrap_or_else(|| seconds(3_600)));
    let (factor, jitter) = (factor.unwrap_or(2.0), jitter.unwrap_or(0.0));
    Ok(quote!(::jobmill_sdk::Backoff::Exponential { base: #base, factor: #factor, max: #max, jitter: #jitter }))
}

fn concurrency(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let (mut most, mut key) = (None, None);
    meta.parse_nested_meta(|inner| match name_of(&inner)?.as_str() {
        "limit" => set(&mut most, &inner, limit(&inner)?),
        "key" => set(&mut key, &inner, pointer(&inner)?),
        _ => Err(inner.error("`concurrency` has limit and key")),
    })?;
    let limit = most.ok_or_else(|| meta.error("`concurrency` needs a `limit`"))?;
    let key = optional_text(key.as_ref());
    Ok(quote!(::jobmill_sdk::Concurrency { limit: #limit, key: #key }))
}

fn rate_limit(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let (mut most, mut period, mut key) = (None, None, None);
    meta.parse_nested_meta(|inner| match name_of(&inner)?.as_str() {
        "limit" => set(&mut most, &inner, limit(&inner)?),
        "period" => set(&mut period, &inner, time(&inner)?),
        "key" => set(&mut key, &inner, pointer(&inner)?),
        _ => Err(inner.error("`rate_limit` has limit, period and key")),
    })?;
    let limit = most.ok_or_else(|| meta.error("`rate_limit` needs a `limit`"))?;
    let period = period.ok_or_else(|| meta.error("`rate_limit` needs a `period`"))?;
    let key = optional_text(key.as_ref());
    Ok(quote!(::jobmill_sdk::RateLimit { limit: #limit, period: #period, key: #key }))
}

fn debounce(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let (mut period, mut max_wait, mut key) = (None, None, None);
    meta.parse_nested_meta(|inner| match name_of(&inner)?.as_str() {
        "period" => set(&mut period, &inner, time(&inner)?),
        "max_wait" => set(&mut max_wait, &inner, time(&inner)?),
        "key" => set(&mut key, &inner, pointer(&inner)?),
        _ => Err(inner.error("`debounce` has period, max_wait and key")),
    })?;
    let period = period.ok_or_else(|| meta.error("`debounce` needs a `period`"))?;
    let max_wait = optional(max_wait.as_ref());
    let key = optional_text(key.as_ref());
    Ok(quote!(::jobmill_sdk::Debounce { period: #period, max_wait: #max_wait, key: #key }))
}

/// The expression of an `Option` of the value.
pub(crate) fn optional(value: Option<&impl quote::ToTokens>) -> TokenStream {
    value.map_or_else(|| quote!(::core::option::Option::None), |value| quote!(::core::option::Option::Some(#value)))
}

/// The expression of an `Option<String>` of the literal.
pub(crate) fn optional_text(value: Option<&LitStr>) -> TokenStream {
    optional(value.map(|text| quote!(#text.to_owned())).as_ref())
}

fn list(words: &[&str]) -> String {
    words.join(", ")
}
