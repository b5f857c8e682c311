//! Stable names for random ids, tokens and keys, so that transcripts can be compared.
//!
//! Invariant: within one transcript equal values have equal names and different values different ones.
//! Names are numbered in order of appearance.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use goat_core::key::{KeyPrefix, PresentedKey};

/// The ids, keys and tokens of a transcript so far.
#[derive(Default)]
pub(crate) struct Names {
    ids: HashMap<String, usize>,
    keys: HashMap<String, usize>,
    tokens: HashMap<String, usize>,
    /// Descriptions of new tokens.
    described: Vec<String>,
}

impl Names {
    /// Replaces ids and tokens in a text by their names. Times stay: they are those of the test's clock.
    pub(crate) fn replace_in(&mut self, text: &str) -> String {
        let is_part = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '.');
        let mut named = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let length = rest.find(|one| !is_part(one)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(length);
            named.push_str(&self.name(word));
            let next = after.find(is_part).unwrap_or(after.len());
            named.push_str(&after[..next]);
            rest = &after[next..];
        }
        named
    }

    /// Takes the descriptions of the tokens that were named since the last call.
    pub(crate) fn take_new_tokens(&mut self) -> Vec<String> {
        std::mem::take(&mut self.described)
    }

    fn name(&mut self, word: &str) -> String {
        if is_id(word) {
            let next = self.ids.len() + 1;
            return format!("<id {}>", self.ids.entry(word.to_owned()).or_insert(next));
        }
        if PresentedKey::parse(&KeyPrefix::default(), word).is_some() {
            let next = self.keys.len() + 1;
            return format!("<key {}>", self.keys.entry(word.to_owned()).or_insert(next));
        }
        let Some([header, claims]) = token(word) else { return word.to_owned() };
        let next = self.tokens.len() + 1;
        let number = *self.tokens.entry(word.to_owned()).or_insert(next);
        if number == next {
            let description = format!("<token {number}> = {header} {claims}");
            let description = self.replace_in(&description);
            self.described.push(description);
        }
        format!("<token {number}>")
    }
}

/// Whether a word has the form of a ULID, of the secret of a pending sign-in, or of the token of a link.
fn is_id(word: &str) -> bool {
    let is_digit = |one: u8| one.is_ascii_digit() || b"ABCDEFGHJKMNPQRSTVWXYZ".contains(&one);
    let is_ulid = word.len() == 26 && word.as_bytes()[0] <= b'7';
    (is_ulid || [52, 78].contains(&word.len())) && word.bytes().all(is_digit)
}

/// The header and the claims of a JSON Web Token.
fn token(word: &str) -> Option<[String; 2]> {
    let parts: Vec<&str> = word.split('.').collect();
    let [header, claims, _signature] = parts[..] else { return None };
    let decode = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let header = decode(header).filter(|header| header.starts_with('{'))?;
    Some([header, decode(claims)?])
}

#[test]
fn equal_values_have_equal_names_and_other_text_stays() {
    let (one, other) = ("01KDVDNA00GRWW3VTSM22P7MMD", "01KDVDNA00JPZZ7QB5VTX0MX61");
    let mut names = Names::default();
    let text =
        format!("/{one}/{other}?{one}, 2026-01-01T00:00:00.000Z, 01kdvdna00grww3vtsm22p7mmd");
    assert_eq!(
        names.replace_in(&text),
        "/<id 1>/<id 2>?<id 1>, 2026-01-01T00:00:00.000Z, 01kdvdna00grww3vtsm22p7mmd"
    );
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = |id: &str| {
        format!("{}.{}.c2ln", part(r#"{"alg":"x"}"#), part(&format!(r#"{{"sub":"{id}"}}"#)))
    };
    let text = format!("{} {} {}", token(other), token("nobody"), token(other));
    assert_eq!(names.replace_in(&text), "<token 1> <token 2> <token 1>");
    assert_eq!(
        names.take_new_tokens(),
        [
            r#"<token 1> = {"alg":"x"} {"sub":"<id 2>"}"#,
            r#"<token 2> = {"alg":"x"} {"sub":"nobody"}"#
        ]
    );
}
