//! Secrets that are known by their own looks: private keys, tokens with a beginning of their own, passwords in
//! addresses. What is known by a word for a secret in front of it: `said`.

mod said;

pub(super) use self::said::names_secret;
use super::scan::Scan;
use super::words::{Topic, Topics};
use super::{Candidate, Kind, Reason};

/// A token that its maker gave a beginning of its own.
pub(super) struct Prefix {
    /// The beginning, in lower case, as it is searched.
    pub(super) begins: &'static str,
    /// The beginning as it is written.
    exact: &'static str,
    kind: Kind,
    /// The least and the most characters that follow.
    rest: (usize, usize),
    /// Which.
    of: fn(u8) -> bool,
}

const fn vendor(
    begins: &'static str,
    exact: &'static str,
    least: usize,
    of: fn(u8) -> bool,
) -> Prefix {
    Prefix { begins, exact, kind: Kind::ApiKeyGeneric, rest: (least, 4_096), of }
}

const fn github(begins: &'static str) -> Prefix {
    Prefix { begins, exact: begins, kind: Kind::GithubToken, rest: (30, 255), of: is_word }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn is_dashed(b: u8) -> bool {
    is_word(b) || b == b'-'
}

fn is_dotted(b: u8) -> bool {
    is_dashed(b) || b == b'.'
}

fn is_upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

/// Makers' prefixes, as they publish them (GitHub, AWS, Slack, Stripe, Google, SendGrid, GitLab, npm,
/// PyPI, OpenAI, Anthropic, Vault, DigitalOcean, Shopify, Twilio, Square, Docker, Hugging Face).
#[rustfmt::skip]
pub(super) const PREFIXES: &[Prefix] = &[
    github("ghp_"),
    github("gho_"),
    github("ghu_"),
    github("ghs_"),
    github("ghr_"),
    github("github_pat_"),
    Prefix { begins: "akia", exact: "AKIA", kind: Kind::AwsKey, rest: (16, 16), of: is_upper },
    Prefix { begins: "asia", exact: "ASIA", kind: Kind::AwsKey, rest: (16, 16), of: is_upper },
    vendor("xoxa-", "xoxa-", 10, is_dashed),
    vendor("xoxb-", "xoxb-", 10, is_dashed),
    vendor("xoxp-", "xoxp-", 10, is_dashed),
    vendor("xoxr-", "xoxr-", 10, is_dashed),
    vendor("xoxs-", "xoxs-", 10, is_dashed),
    vendor("xoxe-", "xoxe-", 10, is_dashed),
    vendor("xoxe.", "xoxe.", 10, is_dashed),
    vendor("xapp-", "xapp-", 10, is_dashed),
    vendor("hooks.slack.com/services/", "hooks.slack.com/services/", 20, |b| {
        is_word(b) || b == b'/'
    }),
    vendor("sk_live_", "sk_live_", 10, is_word),
    vendor("sk_test_", "sk_test_", 10, is_word),
    vendor("rk_live_", "rk_live_", 10, is_word),
    vendor("rk_test_", "rk_test_", 10, is_word),
    vendor("whsec_", "whsec_", 16, |b| is_word(b) || matches!(b, b'+' | b'/' | b'=')),
    vendor("aiza", "AIza", 35, is_dashed),
    vendor("ya29.", "ya29.", 20, is_dotted),
    vendor("gocspx-", "GOCSPX-", 20, is_dashed),
    vendor("sg.", "SG.", 30, is_dotted),
    vendor("glpat-", "glpat-", 16, is_dotted),
    vendor("gldt-", "gldt-", 16, is_dashed),
    vendor("glrt-", "glrt-", 16, is_dashed),
    vendor("glptt-", "glptt-", 16, is_dashed),
    vendor("npm_", "npm_", 30, is_word),
    vendor("pypi-", "pypi-", 30, is_dashed),
    vendor("sk-ant-", "sk-ant-", 16, is_dashed),
    vendor("sk-proj-", "sk-proj-", 16, is_dashed),
    vendor("sk-svcacct-", "sk-svcacct-", 16, is_dashed),
    vendor("sk-", "sk-", 20, is_word),
    vendor("hvs.", "hvs.", 20, is_dashed),
    vendor("hvb.", "hvb.", 20, is_dashed),
    vendor("hvr.", "hvr.", 20, is_dashed),
    vendor("dop_v1_", "dop_v1_", 32, is_word),
    vendor("doo_v1_", "doo_v1_", 32, is_word),
    vendor("dor_v1_", "dor_v1_", 32, is_word),
    vendor("shpat_", "shpat_", 20, is_word),
    vendor("shpca_", "shpca_", 20, is_word),
    vendor("shppa_", "shppa_", 20, is_word),
    vendor("shpss_", "shpss_", 20, is_word),
    vendor("sq0atp-", "sq0atp-", 20, is_dashed),
    vendor("sq0csp-", "sq0csp-", 20, is_dashed),
    vendor("dckr_pat_", "dckr_pat_", 20, is_dashed),
    vendor("hf_", "hf_", 30, is_word),
];

pub(super) fn find(scan: &Scan, found: &mut Vec<Candidate>) {
    const SECRETS: Topics = Topics::of(&[
        Topic::Pem,
        Topic::Jwt,
        Topic::Prefix,
        Topic::Url,
        Topic::Secret,
        Topic::Scheme,
    ]);
    if !scan.speaks_of(SECRETS) {
        return;
    }
    let mut pem_until = 0;
    for (index, hit) in scan.hits.iter().enumerate() {
        match hit.topic {
            Topic::Pem if hit.start >= pem_until => {
                if let Some(end) = pem(scan, index, found) {
                    pem_until = end;
                }
            }
            Topic::Jwt => jwt(scan, hit.start, found),
            Topic::Prefix => prefixed(scan, usize::from(hit.prefix), hit.start, hit.end, found),
            Topic::Url => url(scan, hit.start, hit.end, found),
            Topic::Secret if hit.start >= pem_until => said::named(scan, hit.start, hit.end, found),
            Topic::Scheme => said::scheme(scan, hit.end, found),
            _ => {}
        }
    }
    if scan.key == Some(Topic::Secret) {
        said::whole(scan, found);
    }
}

/// From `-----BEGIN ... PRIVATE KEY-----` to its end, or as far as it looks like one.
fn pem(scan: &Scan, index: usize, found: &mut Vec<Candidate>) -> Option<usize> {
    let bytes = scan.bytes;
    let hit = scan.hits[index];
    let label_end = hit.end + bytes[hit.end..].iter().take(64).position(|b| *b == b'-')?;
    let label = &bytes[hit.end..label_end];
    if !label.windows(11).any(|w| w.eq_ignore_ascii_case(b"private key")) {
        return None;
    }
    let closing = scan.hits[index + 1..]
        .iter()
        .take_while(|h| h.topic != Topic::Pem)
        .find(|h| h.topic == Topic::PemEnd);
    let end = match closing {
        Some(closing) => {
            let tail = &bytes[closing.end..];
            let label = tail.iter().take(64).position(|b| *b == b'-').unwrap_or(0);
            closing.end + label + tail[label..].iter().take_while(|b| **b == b'-').take(5).count()
        }
        None => {
            let dashes =
                label_end + bytes[label_end..].iter().take_while(|b| **b == b'-').take(5).count();
            let body = bytes[dashes..].iter().take_while(|b| {
                b.is_ascii_alphanumeric()
                    || matches!(b, b'+' | b'/' | b'=' | b'\n' | b'\r' | b' ' | b'\\' | b':' | b',')
            });
            dashes + body.count()
        }
    };
    found.push(Candidate {
        kind: Kind::PrivateKey,
        rule: "pem.private",
        reason: Reason::Prefix,
        start: hit.start,
        end,
    });
    Some(end)
}

/// Three parts in base64url, the first two objects.
fn jwt(scan: &Scan, start: usize, found: &mut Vec<Candidate>) {
    let bytes = scan.bytes;
    if !bytes[start..].starts_with(b"eyJ") || matches!(scan.byte_before(start), Some(b'-' | b'.')) {
        return;
    }
    let part =
        |at: usize| at + bytes[at.min(bytes.len())..].iter().take_while(|b| is_dashed(**b)).count();
    let first = part(start);
    if first - start < 10 || bytes.get(first) != Some(&b'.') {
        return;
    }
    let second = part(first + 1);
    if second - first < 6 {
        return;
    }
    // An unsigned one ends after the second dot, a cut one before it.
    let mut end = if bytes.get(second) == Some(&b'.') { part(second + 1) } else { second };
    // An encrypted one has five.
    for _ in 0..2 {
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(|b| is_dashed(*b)) {
            end = part(end + 1);
        }
    }
    found.push(Candidate { kind: Kind::Jwt, rule: "jwt.parts", reason: Reason::Shape, start, end });
}

fn prefixed(scan: &Scan, number: usize, start: usize, end: usize, found: &mut Vec<Candidate>) {
    let prefix = &PREFIXES[number];
    let bytes = scan.bytes;
    if &bytes[start..end] != prefix.exact.as_bytes()
        || ((prefix.of)(b'-') && scan.byte_before(start) == Some(b'-'))
    {
        return;
    }
    let mut length = bytes[end..].iter().take_while(|b| (prefix.of)(**b)).count();
    while length > 0 && matches!(bytes[end + length - 1], b'.' | b'-') {
        length -= 1;
    }
    let rest = &bytes[end..end + length];
    let digits = rest.iter().any(u8::is_ascii_digit) || prefix.kind == Kind::AwsKey;
    // By chance one in fifty has none.
    let mixed = length >= 20
        && rest.iter().any(u8::is_ascii_uppercase)
        && rest.iter().any(u8::is_ascii_lowercase);
    if length < prefix.rest.0 || length > prefix.rest.1 || !digits && !mixed {
        return;
    }
    found.push(Candidate {
        kind: prefix.kind,
        rule: "token.prefix",
        reason: Reason::Prefix,
        start,
        end: end + length,
    });
}

/// The password of `scheme://user:password@host`.
fn url(scan: &Scan, colon: usize, from: usize, found: &mut Vec<Candidate>) {
    let bytes = scan.bytes;
    if !scan.byte_before(colon).is_some_and(|b| b.is_ascii_alphanumeric()) {
        return;
    }
    let authority = bytes[from..]
        .iter()
        .zip(from..)
        .take(1_024)
        .take_while(|(b, at)| match b {
            b' ' | b'\n' | b'\t' | b'\r' => scan.is_inner(*at),
            b => !matches!(b, b'/' | b'"' | b'<' | b'>' | b'`' | b'\\'),
        })
        .count();
    let authority = &bytes[from..from + authority];
    let Some(at) = authority.iter().rposition(|b| *b == b'@') else { return };
    let Some(sign) = authority[..at].iter().position(|b| *b == b':') else { return };
    let (start, end) = (from + sign + 1, from + at);
    // `docker://nginx:1.25@sha256:...`
    if bytes[end + 1..].starts_with(b"sha256:") {
        return;
    }
    if start < end && !said::is_placeholder(&bytes[start..end]) {
        found.push(Candidate {
            kind: Kind::UrlCredentials,
            rule: "url.password",
            reason: Reason::Shape,
            start,
            end,
        });
    }
}
