//! Paths of pages with their parameters, written so that whatever a value holds stays a value.
//! It knows no page.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Whatever could end a value or begin another.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path with those of the parameters that have a value.
pub(super) fn link(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value)));
    let pairs: Vec<_> = given.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_a_value_whatever_it_holds() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(link("/mail", &[("to", None)]), "/mail");
        assert_eq!(
            link("/mail", &[("to", some("a+b@c.example&x=1#")), ("run", None), ("cursor", some("mail_1"))]),
            "/mail?to=a%2Bb%40c.example%26x%3D1%23&cursor=mail_1"
        );
    }
}
