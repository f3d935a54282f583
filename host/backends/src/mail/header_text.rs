//! Header text as it goes over the wire: as it is where that is safe, else in encoded words (RFC 2047).
//! It refuses nothing: `jobmill_core::mail` has refused line breaks and control characters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Bytes in one encoded word: its line stays within 76 columns, the longest header name before it included.
const WORD_BYTES: usize = 36;
/// Columns of a line of a parameter, its `;` not counted.
const LINE: usize = 75;
/// The longest word that can stand in a line as it is.
const LONGEST_PLAIN: usize = 60;

/// The text in encoded words, folded; none where it can stand as it is.
///
/// Words of their own lose what is between two of them, so a text is encoded as a whole or not at all. Spaces that
/// folding would take away, and what reads like an encoded word, are encoded too.
pub(super) fn encoded(text: &str) -> Option<String> {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !text.contains("=?")
        && text.split(' ').all(|word| !word.is_empty() && word.len() <= LONGEST_PLAIN);
    if plain || text.is_empty() {
        return None;
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        words.push(format!("=?utf-8?b?{}?=", BASE64.encode(word)));
        rest = after;
    }
    Some(words.join("\r\n "))
}

/// A parameter with this value, as it follows a `;`: quoted where every reader takes that as it is, else percent-encoded
/// (RFC 2231). Readers differ about backslashes, and some decode encoded words between quotes.
pub(super) fn parameter(name: &str, value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" ._-+()[]@,&!#'".contains(&byte);
    if value.len() <= LONGEST_PLAIN && value.bytes().all(plain) && value.trim() == value {
        return format!(" {name}=\"{value}\"");
    }
    let mut parameter = format!("\r\n {name}*0*=utf-8''");
    let (mut line, mut part) = (parameter.len() - 2, 0);
    for character in value.chars() {
        let mut piece = String::new();
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            match byte {
                b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => piece.push(char::from(byte)),
                _ => piece.extend(['%', digit(byte >> 4), digit(byte & 15)]),
            }
        }
        // Some readers decode each part by itself, so no character is cut.
        if line + piece.len() > LINE {
            part += 1;
            let next = format!(";\r\n {name}*{part}*=");
            line = next.len() - 3;
            parameter.push_str(&next);
        }
        line += piece.len();
        parameter.push_str(&piece);
    }
    parameter
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stands_as_it_is() {
        for text in ["", "Welcome", "Order 42 has shipped", "a; b, <c> (d) \"e\" @f", "word ".repeat(50).trim_end()] {
            assert_eq!(encoded(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_would_be_read_differently_is_encoded_whole() {
        assert_eq!(encoded("Grüße aus Köln").as_deref(), Some("=?utf-8?b?R3LDvMOfZSBhdXMgS8O2bG4=?="));
        for text in ["a  b", " a", "a ", "=?utf-8?q?x?=", &"x".repeat(61), "\u{202e}gnp.exe"] {
            assert!(encoded(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn parameters_are_quoted_where_all_readers_agree_and_percent_encoded_elsewhere() {
        assert_eq!(parameter("filename", "Invoice 42 (copy).pdf"), " filename=\"Invoice 42 (copy).pdf\"");
        assert_eq!(parameter("filename", "a\"b"), "\r\n filename*0*=utf-8''a%22b");
        assert_eq!(parameter("filename", "é=?"), "\r\n filename*0*=utf-8''%C3%A9%3D%3F");
        let long = parameter("filename", &"ü".repeat(100));
        assert!(long.split("\r\n").all(|line| line.len() <= 76), "{long}");
        assert!(long.contains(";\r\n filename*1*=%"), "{long}");
    }

    #[test]
    fn words_break_between_characters_and_lines_stay_short() {
        let text = "注文の確認🎉".repeat(20);
        let encoded = encoded(&text).expect("not ASCII");
        let mut decoded = String::new();
        for line in encoded.split("\r\n ") {
            assert!(line.len() <= 64, "{line}");
            let word = line.strip_prefix("=?utf-8?b?").and_then(|word| word.strip_suffix("?=")).expect("a word");
            decoded += std::str::from_utf8(&BASE64.decode(word).expect("base64")).expect("whole characters");
        }
        assert_eq!(decoded, text);
    }
}
