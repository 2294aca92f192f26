//! Idempotency: what makes two things the same thing.

use firn_model::{
    ConflictId, CorrelationKey, EntryOrigin, FieldName, IntegrationId, Link, LinkId, PlatformId,
    Restored, SysId, Verb, Write,
};
use sha2::{Digest, Sha256};

/// Hexadecimal SHA-256 over parts, each preceded by its length, so that `ab`+`c` is not `a`+`bc`.
#[must_use]
pub fn digest(parts: &[&str]) -> String {
    use std::fmt::Write as _;
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

/// The link of a platform's record: the same record always has the same link. A further generation
/// (the ticket was closed, and the policy is `new`) is a link of its own.
#[must_use]
pub fn link_id(integration: &IntegrationId, platform: &PlatformId, generation: u32) -> LinkId {
    let n = generation.to_string();
    let mut parts = vec!["link", integration.as_str(), platform.as_str()];
    if generation > 1 {
        parts.push(&n);
    }
    let text = format!("l-{}", short(&parts));
    LinkId::new(text).unwrap_or_else(|_| unreachable!("hexadecimal digits"))
}

/// The key under which the ticket of a platform's record is found again: the platform's own id, and
/// `id~2`, `id~3` for further generations, where that fits ServiceNow's 100 characters and cannot
/// change the meaning of an encoded query; otherwise a digest of it. An id that ends like a further
/// generation is digested too, so that it cannot pass for one.
#[must_use]
pub fn correlation_key(platform: &PlatformId, generation: u32) -> CorrelationKey {
    let id = platform.as_str();
    let plain = if generation > 1 { format!("{id}~{generation}") } else { id.to_owned() };
    let looks_later = id.rsplit_once('~').is_some_and(|(head, tail)| {
        !head.is_empty() && !tail.is_empty() && tail.bytes().all(|b| b.is_ascii_digit())
    });
    let key = (!looks_later).then(|| CorrelationKey::new(plain).ok()).flatten();
    key.unwrap_or_else(|| {
        let n = generation.to_string();
        let mut parts = vec!["key", id];
        if generation > 1 {
            parts.push(&n);
        }
        let text = format!("firn-{}", digest(&parts));
        CorrelationKey::new(text).unwrap_or_else(|_| unreachable!("hexadecimal digits"))
    })
}

/// The record whose first ticket has this key, where the key tells: not every one can be read back.
#[must_use]
pub fn record_of(key: &CorrelationKey) -> Option<PlatformId> {
    let record = PlatformId::new(key.as_str()).ok()?;
    let digest = key.as_str().strip_prefix("firn-").filter(|digest| digest.len() == 64);
    if digest.is_some_and(|digest| digest.bytes().all(|b| b.is_ascii_hexdigit())) {
        return None;
    }
    (correlation_key(&record, 1) == *key).then_some(record)
}

/// The id of the conflict on one field, opened by the `n`-th step of its link.
#[must_use]
pub fn conflict_id(link: &Link, field: &FieldName) -> ConflictId {
    let n = link.sequence.to_string();
    let text =
        format!("conflict-{}", &short(&["conflict", link.id.as_str(), field.as_str(), &n])[..10]);
    ConflictId::new(text).unwrap_or_else(|_| unreachable!("hexadecimal digits"))
}

/// The next idempotency key of a link's writes. A store that was put back counts from where it was: its keys are
/// others than those that it gave before.
pub fn next_key(link: &mut Link, restored: Option<&Restored>) -> String {
    link.sequence += 1;
    match restored {
        None => format!("{}-{}", link.id, link.sequence),
        Some(Restored { until, .. }) => format!("{}-{:x}-{}", link.id, until.0, link.sequence),
    }
}

/// The key of an entry's way to the platform: the same entry has the same one, whatever is known of it.
#[must_use]
pub fn entry_key(link: &LinkId, entry: &EntryOrigin) -> String {
    format!("{link}-{}", short(&["entry", &entry.side().to_string(), entry.id()]))
}

/// The id of a dead letter: one for each thing that is to be done on a side of a link.
#[must_use]
pub fn dead_letter(link: &LinkId, write: &Write) -> String {
    let what = match &write.verb {
        Verb::Create { key, .. } => key.to_string(),
        Verb::Update { set, .. } => set.keys().map(FieldName::as_str).collect::<Vec<_>>().join(","),
        Verb::Append { entry, .. } => serde_json::to_string(entry).unwrap_or_default(),
        Verb::Retire { twin, .. } => twin.sys_id.to_string(),
    };
    let side = write.side.to_string();
    format!("entry-{}", &short(&["dead", link.as_str(), &side, &what])[..10])
}

/// The `sys_id` of a ticket that the instance's resource makes: it follows from the link's key, so that
/// the instance's own primary key refuses a second one.
#[must_use]
pub fn ticket(link: &Link) -> SysId {
    let digest = digest(&[link.integration.as_str(), link.key.as_str()]);
    SysId::new(&digest[..32]).unwrap_or_else(|_| unreachable!("32 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> PlatformId {
        PlatformId::new(text).unwrap()
    }

    #[test]
    fn a_key_is_the_platforms_id_where_it_can_be() {
        let plain = record("00000000-0000-0000-0000-000000000000");
        assert_eq!(correlation_key(&plain, 1).as_str(), plain.as_str());
        assert_eq!(correlation_key(&record("call-7"), 2).as_str(), "call-7~2");
        let back = |id: &str, generation| record_of(&correlation_key(&record(id), generation));
        assert_eq!(back("call-7", 1), Some(record("call-7")));
        assert_eq!(back(&"x".repeat(101), 1), None);
        assert_eq!((back("call-7", 2), back("call-7~2", 1)), (None, None));
        assert_eq!(correlation_key(&record(&"x".repeat(101)), 1).as_str().len(), 69);
        assert_eq!(correlation_key(&record(&"x".repeat(100)), 1).as_str().len(), 100);
        assert_eq!(correlation_key(&record(&"x".repeat(100)), 2).as_str().len(), 69);
        let hostile = record("x^ORnumberISNOTEMPTY");
        assert!(!correlation_key(&hostile, 1).as_str().contains('^'));
    }

    #[test]
    fn no_two_records_or_generations_share_a_key() {
        let mut keys = std::collections::BTreeSet::new();
        let mut links = std::collections::BTreeSet::new();
        let integration = IntegrationId::new("int-1").unwrap();
        let ids = ["call-7", "call-7~2", "call-7~", "~2", "call-7~2~2", &"x".repeat(101), "a^b"];
        for id in ids {
            for generation in 1..5 {
                assert!(keys.insert(correlation_key(&record(id), generation)), "{id} {generation}");
                assert!(links.insert(link_id(&integration, &record(id), generation)));
            }
        }
    }

    /// Stored links and tickets are found by them: they may never change.
    #[test]
    fn identities_stay_what_they_were() {
        let int = IntegrationId::new("int-1").unwrap();
        let call = record("call-7");
        assert_eq!(link_id(&int, &call, 1).as_str(), "l-cd74c3ee610340afd0d7");
        assert_eq!(link_id(&int, &call, 2).as_str(), "l-83b34abe2de79b2c8647");
        assert_eq!(
            correlation_key(&record("a^b"), 1).as_str(),
            "firn-fd30c18da69fdc9f26a4b807082f6c52633153cc15c99630a078c580e3002457"
        );
        assert_eq!(
            correlation_key(&record("a^b"), 2).as_str(),
            "firn-d0b66009c6bd5828f7571af07c0c01d1045df5375ca6143238a674f4f28fff34"
        );
        // Only an end like a further generation's is in the way.
        for id in ["call-7~", "~2", "call~x", "a~2b"] {
            assert_eq!(correlation_key(&record(id), 1).as_str(), id);
        }
        assert_ne!(correlation_key(&record("call-7~2"), 1).as_str(), "call-7~2");
    }

    #[test]
    fn no_two_writes_of_a_link_share_a_key() {
        let mut link = crate::sample::link();
        let keys: Vec<String> = (0..3).map(|_| next_key(&mut link, None)).collect();
        assert_eq!(keys, (1..=3).map(|n| format!("{}-{n}", link.id)).collect::<Vec<_>>());
    }

    #[test]
    fn links_of_two_integrations_differ() {
        let a = link_id(&IntegrationId::new("a").unwrap(), &record("42"), 1);
        let b = link_id(&IntegrationId::new("b").unwrap(), &record("42"), 1);
        assert_ne!(a, b);
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
