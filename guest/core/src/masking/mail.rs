//! E-mail addresses around an `@`.

use super::scan::Scan;
use super::{Candidate, Kind, Reason};

/// RFC 5321: the most bytes of a local part and of a domain.
const LOCAL: usize = 64;
const DOMAIN: usize = 255;
/// Ends of file names, which follow an `@` in `icon@2x.png`.
const FILES: &[&[u8]] = &[
    b"png",
    b"jpg",
    b"jpeg",
    b"gif",
    b"svg",
    b"webp",
    b"js",
    b"css",
    b"ts",
    b"mjs",
    b"json",
    b"html",
    b"md",
    b"txt",
    b"service",
    b"timer",
    b"socket",
    b"target",
    b"slice",
    b"local",
    b"internal",
];
/// The last ones are used as domains too.
const FILES_ONLY: usize = 14;

pub(super) fn find(scan: &Scan, found: &mut Vec<Candidate>) {
    let mut floor = 0;
    for at in scan.ats {
        if let Some(candidate) = address(scan, *at, floor) {
            floor = candidate.end;
            found.push(candidate);
        }
    }
}

fn is_local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80 || b"._%+-!#$&'/=?^`{|}~".contains(&b)
}

fn is_domain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80 || b == b'-' || b == b'.'
}

/// Where the local part begins, if it is a quoted one: `"ann lee"@example.com` (RFC 5321, 4.1.2).
fn quoted(bytes: &[u8], at: usize, floor: usize) -> Option<usize> {
    let inside = bytes[floor..at].strip_suffix(b"\"")?;
    let floor = inside.len().saturating_sub(LOCAL);
    let quote = floor + inside[floor..].iter().rposition(|b| matches!(b, b'"' | b'\n'))?;
    let before = quote.checked_sub(1).map(|before| inside[before]);
    let opens = before.is_none_or(|b| b.is_ascii_whitespace() || b":<(,;=[".contains(&b));
    (inside[quote] == b'"' && quote + 1 < inside.len() && opens)
        .then_some(at - 1 - (inside.len() - quote))
}

/// In `https://$USER:$PASS@host` no address begins, whether or not what stands there is a password.
fn is_password(bytes: &[u8], start: usize) -> bool {
    const REACH: usize = 80;
    let before = &bytes[start.saturating_sub(REACH)..start];
    let token = before
        .rsplit(|b| b.is_ascii_whitespace() || b"\"'<>(,;?#&=|[]{}".contains(b))
        .next()
        .unwrap_or_default();
    let Some(scheme) = memchr::memmem::rfind(token, b"://") else { return false };
    let user = &token[scheme + 3..];
    user.contains(&b':') && !user.contains(&b'/')
}

fn address(scan: &Scan, at: usize, floor: usize) -> Option<Candidate> {
    let bytes = scan.bytes;
    let mut start = at;
    while start > floor && at - start < LOCAL && is_local(bytes[start - 1]) {
        start -= 1;
    }
    // `key=ann@x.y`, `(ann@x.y`, `mailto/ann@x.y`: what stands in front of a name.
    if let Some(cut) = bytes[start..at].iter().rposition(|b| b"/?&`{|}!#$".contains(b)) {
        start += cut + 1;
    }
    if let Some(cut) = bytes[start..at].iter().position(|b| *b == b'=')
        && bytes[start..start + cut].iter().all(|b| b.is_ascii_alphabetic() || *b == b'_')
    {
        start += cut + 1;
    }
    while start < at && !(bytes[start].is_ascii_alphanumeric() || bytes[start] >= 0xC0) {
        start += 1;
    }
    if let Some(quoted) = quoted(bytes, at, floor) {
        start = quoted;
    }
    if start == at || bytes[at - 1] == b'*' || bytes[at - 1] == b'.' || is_password(bytes, start) {
        return None;
    }
    let push = |end| {
        Some(Candidate {
            kind: Kind::Email,
            rule: "email.address",
            reason: Reason::Shape,
            start,
            end,
        })
    };
    if bytes.get(at + 1) == Some(&b'[') {
        let close = bytes[at + 2..].iter().take(46).position(|b| *b == b']')?;
        let inside = std::str::from_utf8(&bytes[at + 2..at + 2 + close]).ok()?;
        let inside = inside.strip_prefix("IPv6:").unwrap_or(inside);
        return inside.parse::<std::net::IpAddr>().ok().and_then(|_| push(at + 3 + close));
    }
    let mut end = at + 1;
    while end < bytes.len() && end - at <= DOMAIN && is_domain(bytes[end]) {
        if bytes[end] == b'.' && bytes.get(end + 1).is_none_or(|b| !is_domain(*b) || *b == b'.') {
            break; // The end of a sentence.
        }
        end += 1;
    }
    while end > at + 1 && matches!(bytes[end - 1], b'-' | b'.') {
        end -= 1;
    }
    let domain = &bytes[at + 1..end];
    let dot = domain.iter().rposition(|b| *b == b'.')?;
    let top = &domain[dot + 1..];
    let name = &domain[..dot];
    let lower = top.to_ascii_lowercase();
    let punycode = lower.starts_with(b"xn--");
    let letters = top.len() >= 2 && top.iter().all(|b| b.is_ascii_alphabetic() || *b >= 0x80);
    if name.is_empty() || name[0] == b'.' || name[0] == b'-' || !(letters || punycode) {
        return None;
    }
    if FILES[..FILES_ONLY].contains(&lower.as_slice())
        && (name[0].is_ascii_digit() || lower != b"md" && lower != b"ts")
    {
        return None;
    }
    // `getty@tty1.service`, a unit of systemd.
    if FILES[FILES_ONLY..FILES_ONLY + 5].contains(&lower.as_slice()) && !name.contains(&b'.') {
        return None;
    }
    // `git@host:path`, a place.
    if &bytes[start..at] == b"git" && bytes.get(end) == Some(&b':') {
        return None;
    }
    push(end)
}
