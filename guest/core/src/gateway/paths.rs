//! Paths as servers may read them. What one server takes for two addresses another takes for one: with or without
//! decoding (once or again), dots, doubled slashes, backslashes, parameters behind a semicolon, case. A route is
//! found if any of these readings is its path.

/// How often a path is decoded at most: some servers stand behind others.
const ROUNDS: usize = 3;

/// A path as a route's: without query, doubled or last slashes, and case.
pub(super) fn plain(path: &str) -> String {
    steps(path, false, false, false)
}

/// Every reading of a path, without its query; most have one. What names a host (`http://host/path`, `//host/path`)
/// is read without it too: some servers take it for an address.
pub(super) fn readings(path: &str) -> Vec<String> {
    let mut readings = within(path);
    let named = without_scheme(path);
    // `http:///path` names no host, and `scheme:/path` has none.
    for rest in named.into_iter().chain(without_host(named.unwrap_or(path))) {
        for reading in within(rest) {
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
    readings
}

/// What follows the scheme, if an address begins with one.
fn without_scheme(path: &str) -> Option<&str> {
    let (scheme, rest) = path.split_once(':')?;
    let odd = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.');
    (!scheme.contains(odd)).then_some(rest)
}

/// What follows the host, if a path names one.
fn without_host(named: &str) -> Option<&str> {
    let slash = |c: char| matches!(c, '/' | '\\');
    let host = named.strip_prefix(slash)?.strip_prefix(slash)?.trim_start_matches(slash);
    Some(host.find(slash).map_or("", |at| &host[at..]))
}

fn within(path: &str) -> Vec<String> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut readings = vec![plain(path)];
    let odd = |c: char| matches!(c, '%' | '\\' | ';') || c.is_control() || c == ' ';
    if !path.contains(odd) && !path.contains("/.") {
        return readings;
    }
    let mut decoded = path.to_owned();
    for _ in 0..=ROUNDS {
        for backslashes in [false, true] {
            for parameters in [false, true] {
                for dots in [false, true] {
                    let reading = steps(&decoded, backslashes, parameters, dots);
                    if !readings.contains(&reading) {
                        readings.push(reading);
                    }
                }
            }
        }
        decoded = once(&decoded);
    }
    readings
}

/// A path step by step; with backslashes as slashes, without parameters, with dots followed, each if it is to be.
fn steps(path: &str, backslashes: bool, parameters: bool, dots: bool) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split(|c| c == '/' || (backslashes && c == '\\')) {
        let step = if parameters { step.split(';').next().unwrap_or_default() } else { step };
        let bare = step.trim_matches(|c: char| c == ' ' || c.is_control());
        match if dots { bare } else { step } {
            "" => {}
            "." if dots => {}
            ".." if dots => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    steps.iter().map(|step| format!("/{}", step.to_ascii_lowercase())).collect()
}

/// Decoded once; what is no `%xx` stays.
fn once(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let hex = path.get(i + 1..i + 3).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = hex.and_then(|h| u8::from_str_radix(h, 16).ok()).filter(|_| byte == b'%');
        out.push(code.unwrap_or(byte));
        i += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
