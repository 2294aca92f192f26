//! Bodies as texts: which of them can be masked, and how.

use super::Message;
use crate::masking::{DROPPED, Masker};

/// A body without personal data; nothing if there was none to mask.
///
/// # Errors
/// Why it cannot be read, in a few words: what cannot be read cannot be masked.
pub(super) fn masked(masker: &Masker, message: Message<'_>) -> Result<Option<String>, String> {
    let kind = kind(message.headers)?;
    let body = message.body.ok_or("it is not UTF-8")?;
    // Some readers take text with NULs for UTF-16, whatever it is called.
    if body.contains('\0') {
        return Err("it holds NUL, as no text does".to_owned());
    }
    // `curl -d` calls everything a form; taken for one, JSON would be broken.
    let form = kind == "application/x-www-form-urlencoded" && !is_json(body);
    if !form {
        return Ok(json(masker, body));
    }
    let changed = self::form(masker, body);
    Ok((changed != body).then_some(changed))
}

/// Text, perhaps JSON, without personal data; nothing if there was none to mask. JSON stays JSON: of a bare number
/// becomes a text.
pub(super) fn json(masker: &Masker, body: &str) -> Option<String> {
    let masked = masker.mask(body).text;
    if masked == body {
        return None;
    }
    let number = serde_json::from_str::<serde_json::Number>(body).is_ok();
    Some(if number { serde_json::json!(masked.trim()).to_string() } else { masked })
}

fn is_json(body: &str) -> bool {
    body.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok()
}

/// What a body is, in lower case, if it is something that can be masked.
///
/// # Errors
/// Why not, in a few words.
pub(super) fn kind(headers: &[(String, String)]) -> Result<String, String> {
    if let Some(why) = packed(headers) {
        return Err(why);
    }
    let mut kinds = headers.iter().filter(|(n, _)| n == "content-type").map(|(_, v)| v);
    let kind = kinds.next().map(|kind| kind.to_ascii_lowercase()).unwrap_or_default();
    if kinds.next().is_some() || kind.contains(',') {
        return Err("it has more than one content-type".to_owned());
    }
    let mut parts = kind.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches(['"', '\'']);
        if name.trim() == "charset" && !matches!(value, "utf-8" | "utf8" | "us-ascii") {
            return Err(format!("its charset {value} is not UTF-8"));
        }
    }
    if !readable(kind) {
        return Err(format!("{kind} is no text"));
    }
    Ok(kind.to_owned())
}

/// Why a body cannot be read as it is, if it is packed.
pub(super) fn packed(headers: &[(String, String)]) -> Option<String> {
    let values = headers.iter().filter(|(n, _)| n == "content-encoding");
    let mut values = values.flat_map(|(_, v)| v.split(',')).map(|v| v.trim().to_ascii_lowercase());
    let encoding = values.find(|v| !matches!(v.as_str(), "" | "identity"))?;
    Some(format!("its content-encoding is {encoding}"))
}

fn readable(kind: &str) -> bool {
    // Who says nothing sends text, most of the time; if not, it is no UTF-8, or masked as text is.
    kind.is_empty()
        || kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind,
            "application/json"
                | "application/x-ndjson"
                | "application/xml"
                | "application/javascript"
                | "application/graphql"
                | "application/x-www-form-urlencoded"
        )
}

/// A form's values, each masked under its name. A form in which nothing is found stays as it was written.
fn form(masker: &Masker, body: &str) -> String {
    let mut changed = false;
    let mut made = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(body.as_bytes()) {
        let masked = under(masker, &name, &value);
        let shown = masker.mask(&name).text;
        changed |= masked.is_some() || shown != name;
        made.append_pair(&shown, masked.as_deref().unwrap_or(&value));
    }
    if changed { made.finish() } else { body.to_owned() }
}

/// A value as it is masked beside its name, as in JSON; nothing if it stays.
fn under(masker: &Masker, name: &str, value: &str) -> Option<String> {
    let pair = serde_json::json!({ name: value }).to_string();
    let masked = masker.mask(&pair);
    if masked.spans.is_empty() {
        return None;
    }
    let read: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(&masked.text).ok();
    let value = read.and_then(|map| map.into_iter().next().map(|(_, value)| value));
    match value {
        Some(serde_json::Value::String(text)) => Some(text),
        _ => Some(DROPPED.to_owned()),
    }
}
