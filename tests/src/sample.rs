//! A record of 20 mapped fields in step with its ticket: what plans are measured on.

use anyhow::{Context, Result};
use firn_core::plan::{Input, advance};
use firn_core::settings::Rules;
use firn_core::{identity, mapping, settings};
use firn_model::{
    Attribute, ExternalRecord, Integration, IntegrationId, Link, Millis, Observation,
    ObservationSource, ObservedRecord, PlatformId, Revision, Side, SysId, TenantId, Value,
};
use serde_json::json;

/// When it all is.
pub const NOW: Millis = Millis(1_777_472_000_000);

/// 20 fields: 16 texts, two value maps, a severity, a reference; all of the platform.
fn document() -> serde_json::Value {
    let mut fields = serde_json::Map::new();
    for i in 0..16 {
        let field = json!({ "kind": "text", "column": format!("u_text_{i}"), "owner": "platform", "max": 400 });
        fields.insert(format!("text{i}"), field);
    }
    fields.insert("extra".to_owned(), json!({ "kind": "choice", "column": "u_choice", "owner": "platform",
        "pairs": [{ "platform": "a", "external": ["1", "2"] }, { "platform": "b", "external": ["3"] }] }));
    for name in ["title", "description"] {
        fields.insert(name.to_owned(), json!(null));
    }
    json!({ "preset": "incidents", "platform": { "callback_url": "https://p.example/c" }, "fields": fields })
}

/// The platform's record at a version, with this as its first text.
#[must_use]
pub fn record(version: u64, first: &str) -> Observation {
    let text = |i: usize| {
        format!("The {i}th text of a record, as long as such texts are, with INC0010001 in it")
    };
    let mut attributes: Vec<(String, Value)> =
        (1..16).map(|i| (format!("text{i}"), Value::text(text(i)))).collect();
    attributes.push(("text0".to_owned(), Value::text(first)));
    for (name, value) in
        [("extra", "a"), ("severity", "high"), ("status", "open"), ("assigned_to", "")]
    {
        attributes.push((name.to_owned(), Value::text(value)));
    }
    observation(
        Side::Platform,
        "PAY-1",
        Revision::Platform { version: Some(version), at: NOW },
        attributes,
    )
}

/// The ticket that is in step with the record at version 1, whose first text is "first".
#[must_use]
pub fn ticket() -> Observation {
    let record = record(1, "first");
    let mut attributes: Vec<(String, Value)> = Vec::new();
    for (name, value) in record.record.attributes {
        if let Some(i) = name.as_str().strip_prefix("text") {
            attributes.push((format!("u_text_{i}"), value));
        }
    }
    for (name, value) in [
        ("u_choice", "1"),
        ("impact", "2"),
        ("priority", "2"),
        ("state", "1"),
        ("assigned_to", ""),
        ("assigned_to.email", ""),
    ] {
        attributes.push((name.to_owned(), Value::text(value)));
    }
    let revision = Revision::External { updated: NOW, mod_count: Some(1) };
    observation(Side::External, "a1b2c3d4e5f60718293a4b5c6d7e8f90", revision, attributes)
}

fn observation(
    side: Side,
    id: &str,
    revision: Revision,
    attributes: Vec<(String, Value)>,
) -> Observation {
    Observation {
        side,
        source: ObservationSource::Message,
        record: ObservedRecord {
            id: id.to_owned(),
            revision: Some(revision),
            attributes: attributes
                .into_iter()
                .filter_map(|(n, v)| Some((Attribute::new(n).ok()?, v)))
                .collect(),
            ..ObservedRecord::default()
        },
        entries: Vec::new(),
    }
}

/// The integration, its rules, and the link in step.
///
/// # Errors
/// When its settings are not sound.
pub fn in_step() -> Result<(Integration, Rules, Link)> {
    let (id, tenant) = (IntegrationId::new("int-1")?, TenantId::new("acme")?);
    let integration =
        settings::apply(None, &id, &tenant, &document()).integration.context("no integration")?;
    let rules =
        settings::compile(integration.clone()).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    let platform = PlatformId::new("PAY-1")?;
    let mut link = Link::new(
        identity::link_id(&id, &platform, 1),
        id,
        platform.clone(),
        identity::correlation_key(&platform, 1),
        mapping::incident(),
        NOW,
    );
    link.external = Some(ExternalRecord {
        table: mapping::incident(),
        sys_id: SysId::new("a1b2c3d4e5f60718293a4b5c6d7e8f90")?,
        number: Some("INC0010001".to_owned()),
        adopted: false,
    });
    let both = [Input::Seen(record(1, "first")), Input::Seen(ticket())];
    let settled = advance(&rules, link, &both, NOW).link;
    Ok((integration, rules, settled))
}
