//! What a webhook's signature is about: which headers carry it, which text it is made over, whether its time
//! is near ours. Whether it is right is for whoever has the key.
//!
//! | scheme | headers | signed |
//! |---|---|---|
//! | Standard Webhooks | `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,...` | `id.timestamp.body` |
//! | seed 004 | `x-servicenow-signature` | the body |

use firn_model::{Millis, Problem, WebhookPolicy};

/// How far a webhook's timestamp may lie from our clock, both ways. In seconds.
const WINDOW: i64 = 300;

/// What a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Standard Webhooks: `id.timestamp.body`.
    Standard,
    /// Seed 004: the body alone.
    BodyOnly,
}

/// What a webhook says of its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What the signature covers.
    pub scheme: Scheme,
    /// The text that it covers.
    pub message: String,
    /// Signatures, in base64 or hexadecimal; one of them must be right.
    pub signatures: Vec<String>,
    /// The webhook's id and timestamp, where the scheme has them.
    pub stamp: Option<Stamp>,
}

/// The id and the time of a webhook, as its headers have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// `webhook-id`: the same webhook again has the same.
    pub id: String,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp: String,
}

impl Stamp {
    /// The text that Standard Webhooks signs.
    #[must_use]
    pub fn message(&self, body: &str) -> String {
        format!("{}.{}.{body}", self.id, self.timestamp)
    }

    /// What makes the webhook the same one again.
    #[must_use]
    pub fn identity(&self) -> String {
        identity(&self.id)
    }
}

/// What makes a webhook with this `webhook-id` the same one again.
#[must_use]
pub fn identity(id: &str) -> String {
    format!("wh-{id}")
}

/// A refusal, with what exactly is wrong.
#[must_use]
pub fn refusal(why: &str) -> Problem {
    Problem::new(401, "bad-signature", "The webhook is not signed as agreed", why)
}

/// Reads what a webhook's headers (names in lower case) say of its signature.
///
/// # Errors
/// A 401: a header that is missing, is there twice, or cannot be one; a time too far from ours.
pub fn read(
    policy: &WebhookPolicy,
    headers: &[(String, String)],
    body: &str,
    now: Millis,
) -> Result<Signed, Problem> {
    let one = |name: &str| {
        let mut values = headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(refusal(&format!("the header {name} is missing"))),
            (Some(_), Some(_)) => {
                Err(refusal(&format!("the header {name} is there more than once")))
            }
        }
    };
    let has = |name: &str| headers.iter().any(|(n, _)| n == name);
    if policy.servicenow_signature && !has("webhook-signature") {
        let signatures = vec![one("x-servicenow-signature")?.trim().to_owned()];
        let message = body.to_owned();
        return Ok(Signed { scheme: Scheme::BodyOnly, message, signatures, stamp: None });
    }
    if !policy.standard {
        return Err(refusal("this integration takes X-ServiceNow-Signature only"));
    }
    let id = one("webhook-id")?;
    let fits =
        (1..=256).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
    if !fits {
        return Err(refusal("webhook-id must be 1 to 256 visible ASCII characters without a dot"));
    }
    let timestamp = one("webhook-timestamp")?;
    let seconds: i64 = timestamp
        .parse()
        .map_err(|_| refusal("webhook-timestamp must be whole seconds since 1970"))?;
    let here = now.0.div_euclid(1000);
    if !here.checked_sub(seconds).is_some_and(|age| (-WINDOW..=WINDOW).contains(&age)) {
        return Err(refusal(
            "webhook-timestamp is more than 300 s from our clock; check both clocks",
        ));
    }
    let signatures = one("webhook-signature")?
        .split(' ')
        .filter_map(|s| s.strip_prefix("v1,"))
        .map(str::to_owned)
        .collect();
    let stamp = Stamp { id: id.to_owned(), timestamp: timestamp.to_owned() };
    let message = stamp.message(body);
    Ok(Signed { scheme: Scheme::Standard, message, signatures, stamp: Some(stamp) })
}
