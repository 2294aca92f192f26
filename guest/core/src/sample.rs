//! Settings for tests.
#![allow(clippy::unwrap_used)]

use firn_model::{
    ExternalRecord, FieldName, Integration, IntegrationId, Link, LinkId, Millis, PlatformId,
    Preset, SysId, TenantId,
};
use serde_json::{Value as Json, json};

use crate::settings::{self, FieldMapping, Rules};
use crate::{identity, mapping};

/// Rules of a preset.
pub(crate) fn rules(preset: Preset) -> Rules {
    rules_of(&json!({ "preset": preset }))
}

/// Rules of a document.
pub(crate) fn rules_of(document: &Json) -> Rules {
    let id = IntegrationId::new("int-1").unwrap();
    let applied = settings::apply(None, &id, &TenantId::new("acme").unwrap(), document);
    let integration: Integration =
        applied.integration.unwrap_or_else(|| unreachable!("{:?}", applied.faults));
    settings::compile(integration).unwrap_or_else(|faults| unreachable!("{faults:?}"))
}

/// A field of the incidents preset.
pub(crate) fn field(name: &str) -> FieldMapping {
    field_of(&rules(Preset::Incidents), name)
}

/// A field of incidents.
pub(crate) fn field_of(rules: &Rules, name: &str) -> FieldMapping {
    rules.field(&mapping::incident(), &FieldName::new(name).unwrap()).unwrap().clone()
}

/// A fresh link.
pub(crate) fn link() -> Link {
    let integration = IntegrationId::new("int-1").unwrap();
    let record = PlatformId::new("42").unwrap();
    let id: LinkId = identity::link_id(&integration, &record, 1);
    let key = identity::correlation_key(&record, 1);
    Link::new(id, integration, record, key, mapping::incident(), Millis(1_777_472_000_000))
}

/// A link with its ticket.
pub(crate) fn linked() -> Link {
    let mut link = link();
    link.external = Some(ExternalRecord {
        table: link.table.clone(),
        sys_id: SysId::new("0123456789abcdef0123456789abcdef").unwrap(),
        number: Some("INC0000001".to_owned()),
        adopted: false,
    });
    link
}
