//! Idempotency: what makes two things the same thing.

use firn_model::{ConflictId, CorrelationKey, FieldName, IntegrationId, Link, LinkId, PlatformId};
use sha2::{Digest, Sha256};

/// Hexadecimal SHA-256 over parts, each preceded by its length, so that `ab`+`c` is not `a`+`bc`.
#[must_use]
pub fn digest(parts: &[&str]) -> String {
    use std::fmt::Write;
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A short form of [`digest`]: 80 bits, enough to never meet twice within a tenant.
#[must_use]
pub fn short(parts: &[&str]) -> String {
    let mut hex = digest(parts);
    hex.truncate(20);
    hex
}

/// The link of a platform's record: the same record always has the same link.
#[must_use]
pub fn link_id(integration: &IntegrationId, platform: &PlatformId) -> LinkId {
    let text = format!("l-{}", short(&["link", integration.as_str(), platform.as_str()]));
    LinkId::new(text).unwrap_or_else(|_| unreachable!("hexadecimal digits"))
}

/// The key under which the ticket of a platform's record is found again. It is the platform's own
/// id where that fits ServiceNow's 100 characters and cannot change the meaning of an encoded
/// query; otherwise a digest of it.
#[must_use]
pub fn correlation_key(platform: &PlatformId) -> CorrelationKey {
    CorrelationKey::new(platform.as_str()).unwrap_or_else(|_| {
        let text = format!("firn-{}", digest(&["key", platform.as_str()]));
        CorrelationKey::new(text).unwrap_or_else(|_| unreachable!("hexadecimal digits"))
    })
}

/// The id of the conflict on one field, opened by the `n`-th step of its link.
#[must_use]
pub fn conflict_id(link: &Link, field: &FieldName) -> ConflictId {
    let n = link.sequence.to_string();
    let text =
        format!("conflict-{}", &short(&["conflict", link.id.as_str(), field.as_str(), &n])[..10]);
    ConflictId::new(text).unwrap_or_else(|_| unreachable!("hexadecimal digits"))
}

/// The next idempotency key of a link's writes.
pub fn next_key(link: &mut Link) -> String {
    link.sequence += 1;
    format!("{}-{}", link.id, link.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_platforms_id_where_it_can_be() {
        let plain = PlatformId::new("00000000-0000-0000-0000-000000000000").unwrap();
        assert_eq!(correlation_key(&plain).as_str(), plain.as_str());
        let long = PlatformId::new("x".repeat(101)).unwrap();
        assert_eq!(correlation_key(&long).as_str().len(), 69);
        let hostile = PlatformId::new("x^ORnumberISNOTEMPTY").unwrap();
        assert!(!correlation_key(&hostile).as_str().contains('^'));
    }

    #[test]
    fn links_of_two_integrations_differ() {
        let record = PlatformId::new("42").unwrap();
        let a = link_id(&IntegrationId::new("a").unwrap(), &record);
        let b = link_id(&IntegrationId::new("b").unwrap(), &record);
        assert_ne!(a, b);
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
