//! Request bodies: read within bounds of size and time, then parsed so that a refusal names the member at fault.
//! It keeps documents inside the body as they were sent, and does not check them against any schema.

use std::error::Error as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError};
use jobmill_core::limits;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::error::{Code, Problem};
use crate::query::nearest;

/// How long a client may take to send a body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a refused body that are taken in and dropped, so that a client still sending gets to read why.
const DRAINED_BYTES: u64 = 4 * limits::REQUEST_BYTES as u64;
/// Objects and arrays within each other: as deep as the documents can still be checked against a schema.
const DEPTH: usize = 127;

/// Bytes of refused text that a message repeats.
const SHOWN_BYTES: usize = 80;
/// Bytes of a reason that may repeat refused text.
const REASON_BYTES: usize = 500;

/// A JSON body that must be there.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A JSON body that may be left out, which is the same as the empty object.
pub(crate) struct OptionalJsonBody<T>(pub(crate) T);

/// A JSON body that is parsed by its handler.
pub(crate) struct JsonText(pub(crate) String);

/// The same, whatever content type it says it has: what a plain `curl -d` sends, and protocols that don't look.
pub(crate) struct AnyText(pub(crate) String);

/// A body byte for byte as it was sent.
pub(crate) struct RawBody(pub(crate) Bytes);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        parse(&read_json(request).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let text = read(body).await?;
        if text.trim().is_empty() {
            return Ok(Self(T::default()));
        }
        check_content_type(&parts.headers)?;
        check_depth(&text)?;
        parse(&text).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read_json(request).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for AnyText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        check_encoding(request.headers())?;
        let text = read(request.into_body()).await?;
        check_depth(&text)?;
        Ok(Self(text))
    }
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read_bytes(request.into_body()).await.map(Self)
    }
}

async fn read_json(request: Request) -> Result<String, Problem> {
    check_content_type(request.headers())?;
    let text = read(request.into_body()).await?;
    check_depth(&text)?;
    Ok(text)
}

/// Not compressed.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let detail = format!("the body has the encoding {encoding:?}; send it as it is");
            Err(Problem::new(Code::UnsupportedMediaType, detail))
        }
        _ => Ok(()),
    }
}

/// `application/json`, with `charset=utf-8` or without, and not compressed.
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::new(Code::UnsupportedMediaType, detail));
    check_encoding(headers)?;
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return refuse("the body has no content type; send Content-Type: application/json".to_owned());
    };
    let text = value.to_str().unwrap_or_default();
    let (media_type, parameters) = text.split_once(';').unwrap_or((text, ""));
    let charset = parameters
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("charset"))
        .map_or("utf-8", |(_, value)| value.trim_matches('"'));
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        return refuse(format!("the body is {value:?}; send Content-Type: application/json"));
    }
    if !charset.eq_ignore_ascii_case("utf-8") {
        return refuse(format!("the body's charset is {charset:?}; JSON is sent as UTF-8"));
    }
    Ok(())
}

async fn drain(mut body: Body) {
    let draining = async { while let Some(Ok(_)) = body.frame().await {} };
    // A client that stops sending is refused all the same.
    let _ = tokio::time::timeout(READ_TIMEOUT, draining).await;
}

async fn read(body: Body) -> Result<String, Problem> {
    String::from_utf8(read_bytes(body).await?.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::new(Code::MalformedJson, format!("the body is not UTF-8 at byte {at}"))
    })
}

async fn read_bytes(body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {} bytes", limits::REQUEST_BYTES);
        Problem::new(Code::BodyTooLarge, detail)
    };
    // A declared length is refused before anything of the body is kept.
    let declared = axum::body::HttpBody::size_hint(&body).lower();
    if declared > limits::REQUEST_BYTES as u64 {
        if declared <= DRAINED_BYTES {
            drain(body).await;
        }
        return Err(too_large());
    }
    tokio::time::timeout(READ_TIMEOUT, axum::body::to_bytes(body, limits::REQUEST_BYTES))
        .await
        .map_err(|_| {
            let detail = format!("the body did not arrive within {} seconds", READ_TIMEOUT.as_secs());
            Problem::new(Code::Timeout, detail)
        })?
        .map_err(|error| {
            if error.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) {
                too_large()
            } else {
                Problem::new(Code::BodyUnreadable, format!("the body could not be read: {error}"))
            }
        })
}

/// Documents inside the body are kept unparsed, so the parser's own bound does not see their depth.
pub(crate) fn check_depth(text: &str) -> Result<(), Problem> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > DEPTH {
                    let detail = format!("the body nests deeper than {DEPTH} objects and arrays");
                    return Err(Problem::new(Code::MalformedJson, detail));
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Parses a body; a refusal names the member at fault by its pointer.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| refusal(&error))?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Code::MalformedJson, format!("the body is not JSON: {error}"))
}

/// The parser has only its text to tell these apart. Its words are fixed by serde and held by the tests below.
fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    if !inner.is_data() {
        return malformed(inner);
    }
    let text = inner.to_string();
    let reason = text.rfind(" at line ").map_or(text.as_str(), |position| &text[..position]);
    let pointer = pointer(error.path());
    if let Some(rest) = reason.strip_prefix("unknown field `") {
        return unknown_member(&pointer, rest);
    }
    if let Some(member) = reason.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let pointer = format!("{pointer}/{member}");
        return Problem::member(Code::MissingMember, &pointer, "is required");
    }
    let (code, reason) = if let Some(mismatch) = reason.strip_prefix("invalid type: ") {
        (Code::WrongType, mismatched(mismatch))
    } else if let Some(mismatch) = reason.strip_prefix("invalid value: ") {
        (Code::InvalidMember, mismatched(mismatch))
    } else if let Some(rest) = reason.strip_prefix("unknown variant `") {
        let (given, known) = quoted(rest);
        let reason = format!("is {given:?}, which is none of {}", known.join(", "));
        (Code::InvalidMember, reason)
    } else if reason.starts_with("duplicate field `") {
        (Code::InvalidMember, "is given twice".to_owned())
    } else {
        (Code::InvalidMember, format!("is refused: {}", limits::truncate(reason, REASON_BYTES)))
    };
    Problem::member(code, &pointer, reason)
}

/// `mismatch` is what follows in "invalid type: string "x", expected u8". Rust's own names are put into JSON's.
fn mismatched(mismatch: &str) -> String {
    let (given, expected) = mismatch.rsplit_once(", expected ").unwrap_or((mismatch, "something else"));
    let expected = match expected {
        "u8" => "a whole number from 0 to 255",
        "u32" => "a whole number from 0 to 4294967295",
        "i64" | "u64" => "a whole number",
        "a sequence" => "an array",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    format!("is {}, not {expected}", limits::truncate(given, SHOWN_BYTES).replace('`', ""))
}

/// The refused name, and the known ones, of a message that quotes them in backticks. `rest` begins with the refused name.
fn quoted(rest: &str) -> (&str, Vec<&str>) {
    // The first word is the caller's own and may hold anything; the later ones are names of ours.
    let (given, known) = rest.rsplit_once("`, expected ").unwrap_or((rest.trim_end_matches('`'), ""));
    (limits::truncate(given, SHOWN_BYTES), known.split('`').skip(1).step_by(2).collect())
}

/// `rest` is what follows in "unknown field `x`, expected one of `a`, `b`".
fn unknown_member(pointer: &str, rest: &str) -> Problem {
    let (member, known) = quoted(rest);
    let hint = match nearest(member, &known) {
        Some(likely) => format!("; did you mean {likely:?}?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are {}", known.join(", ")),
    };
    Problem::member(Code::UnknownMember, pointer, format!("is not known here{hint}"))
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let segments = path.iter().map(|segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        // A known member's name is short; an unknown one may be anything.
        Segment::Map { key } => {
            format!("/{}", limits::truncate(key, SHOWN_BYTES).replace('~', "~0").replace('/', "~1"))
        }
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    });
    segments.collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use jobmill_core::Json;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        payload: Option<Json>,
        #[serde(default)]
        filter: Filter,
        #[serde(default)]
        list: Vec<Filter>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        priority: Option<u8>,
        run: Option<jobmill_core::RunId>,
    }

    #[derive(Debug, Deserialize)]
    struct Required {
        #[expect(dead_code, reason = "only its absence matters")]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only its absence matters")]
        payload: Json,
    }

    fn refused(text: &str) -> (Code, String, String) {
        let problem = parse::<Example>(text).expect_err("must be refused");
        let pointer = problem.members().first().map(|member| member.pointer.clone());
        (problem.code(), pointer.unwrap_or_default(), problem.detail().to_owned())
    }

    #[test]
    fn a_document_inside_the_body_is_kept_byte_for_byte() {
        for document in ["{ \"b\" : 1.50,\t\"a\":12345678901234567890123 }", "\"\\u00e9\"", "[1e400 , -0.0]"] {
            let example: Example = parse(&format!(" {{\"payload\": {document} }}\n")).expect("fits");
            assert_eq!(example.payload.as_ref().map(Json::as_str), Some(document));
        }
    }

    #[test]
    fn an_unknown_member_is_named_with_the_nearest_known() {
        let (code, pointer, detail) = refused("{\"payloda\": 1}");
        assert_eq!((code, pointer.as_str()), (Code::UnknownMember, "/payloda"));
        assert_eq!(detail, "payloda is not known here; did you mean \"payload\"?");
        let (code, pointer, detail) = refused("{\"list\": [{}, {\"x/y\": 1}]}");
        assert_eq!((code, pointer.as_str()), (Code::UnknownMember, "/list/1/x~1y"));
        assert_eq!(detail, "list/1/x~1y is not known here; known are priority, run");
    }

    #[test]
    fn a_missing_member_is_reported_at_its_own_pointer() {
        let problem = parse::<Required>("{\"inner\": {}}").expect_err("must be refused");
        assert_eq!(problem.code(), Code::MissingMember);
        assert_eq!(problem.detail(), "inner/payload is required");
        assert_eq!(problem.members()[0].pointer, "/inner/payload");
    }

    #[test]
    fn a_wrong_type_or_value_is_reported_at_its_pointer() {
        let (code, pointer, detail) = refused("{\"filter\": {\"priority\": \"high\"}}");
        assert_eq!((code, pointer.as_str()), (Code::WrongType, "/filter/priority"));
        assert_eq!(detail, "filter/priority is string \"high\", not a whole number from 0 to 255");
        let (code, pointer, _) = refused("{\"filter\": {\"priority\": 300}}");
        assert_eq!((code, pointer.as_str()), (Code::InvalidMember, "/filter/priority"));
        let (code, pointer, detail) = refused("{\"filter\": {\"run\": \"7\"}}");
        assert_eq!((code, pointer.as_str()), (Code::InvalidMember, "/filter/run"));
        assert_eq!(detail, "filter/run is refused: \"7\" is not a run id; it looks like run_01J…");
        let (code, _, detail) = refused("7");
        assert_eq!(code, Code::WrongType);
        assert_eq!(detail, "the body is integer 7, not an object");
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for text in ["", "{", "{}{}", "{\"payload\": nul}", "{\"payload\": NaN}", "\u{feff}{}", "{'a': 1}", "{} x"] {
            let (code, _, detail) = refused(text);
            assert_eq!(code, Code::MalformedJson, "{text}");
            assert!(detail.contains("line 1 column"), "{detail}");
        }
    }

    #[test]
    fn refused_text_is_repeated_in_part_only() {
        let long = "x".repeat(100_000);
        for text in
            [format!("{{\"{long}\": 1}}"), format!("{{\"filter\": {{\"run\": \"{long}\"}}}}"), format!("\"{long}\"")]
        {
            let (_, pointer, detail) = refused(&text);
            assert!(pointer.len() + detail.len() < 1_000, "{pointer} {detail}");
        }
    }

    #[test]
    fn depth_is_bounded_and_strings_do_not_count() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check_depth(&nested(DEPTH)).is_ok());
        assert!(check_depth(&nested(DEPTH + 1)).is_err());
        assert!(check_depth(&nested(100_000)).is_err());
        assert!(check_depth(&format!("\"\\\"{}\"", "[".repeat(1_000))).is_ok());
        serde_json::from_str::<serde_json::Value>(&nested(DEPTH)).expect("the parser can go as deep");
    }

    #[test]
    fn only_plain_utf_8_json_is_taken() {
        let headers = |name: header::HeaderName, value: &'static str| {
            let mut headers =
                HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
            headers.insert(name, HeaderValue::from_static(value));
            headers
        };
        for fine in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            assert!(check_content_type(&headers(header::CONTENT_TYPE, fine)).is_ok(), "{fine}");
        }
        for strange in ["text/plain", "application/json; charset=latin1", "application/jsonp", ""] {
            assert!(check_content_type(&headers(header::CONTENT_TYPE, strange)).is_err(), "{strange}");
        }
        assert!(check_content_type(&headers(header::CONTENT_ENCODING, "gzip")).is_err());
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }
}
