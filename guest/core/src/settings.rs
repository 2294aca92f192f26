//! Settings, checked. [`Rules`] can only be made by [`compile`]; whoever holds them need not check
//! again.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::{
    Attribute, Direction, Fault, FieldMapping, FieldName, Integration, IntegrationId, Mapping,
    PlatformContract, Settings, Side, Strategy,
};

use serde_json::Value as Json;

use crate::mapping;

/// Checked settings of one integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    integration: Integration,
}

impl Rules {
    /// The integration's id.
    #[must_use]
    pub fn id(&self) -> &IntegrationId {
        &self.integration.id
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.integration.settings
    }

    /// The whole integration.
    #[must_use]
    pub fn integration(&self) -> &Integration {
        &self.integration
    }

    /// How the platform is reached.
    #[must_use]
    pub fn platform(&self) -> &PlatformContract {
        &self.integration.platform
    }

    /// The mapping of a field.
    #[must_use]
    pub fn field(&self, name: &FieldName) -> Option<&FieldMapping> {
        self.settings().fields.iter().find(|f| f.name == *name)
    }

    /// The strategy of a field.
    #[must_use]
    pub fn strategy(&self, field: &FieldMapping) -> Strategy {
        field.strategy.unwrap_or(self.settings().strategy)
    }

    /// Whether Firn may write to a side at all.
    #[must_use]
    pub fn may_write(&self, side: Side) -> bool {
        let allowed = match self.settings().direction {
            Direction::Bidirectional => true,
            Direction::ToServicenow => side == Side::External,
            Direction::ToPlatform => side == Side::Platform,
        };
        allowed && (side == Side::External || self.platform().callback_url.is_some())
    }

    /// Whether a side's record can be read.
    #[must_use]
    pub fn may_read(&self, side: Side) -> bool {
        side == Side::External || self.platform().read_url.is_some()
    }

    /// ServiceNow's columns that a read asks for.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let mut columns: BTreeSet<Attribute> =
            ["sys_id", "number", "sys_class_name", "sys_mod_count", "sys_updated_on"]
                .into_iter()
                .map(mapping::attribute)
                .collect();
        columns.insert(self.settings().correlation.column.clone());
        for field in &self.settings().fields {
            columns.extend(mapping::attributes(field, Side::External));
        }
        columns.into_iter().map(String::from).collect()
    }
}

/// Checks settings.
///
/// # Errors
/// Every fault at once, each with where it is and what to do.
pub fn compile(integration: Integration) -> Result<Rules, Vec<Fault>> {
    let mut faults = Vec::new();
    let settings = &integration.settings;
    let mut fault = |at: String, text: String| faults.push(Fault { at, text });

    let mut names = BTreeSet::new();
    for field in &settings.fields {
        let at = format!("fields.{}", field.name);
        if !names.insert(&field.name) {
            fault(at.clone(), "the field is mapped twice; keep one".to_owned());
        }
        match &field.mapping {
            Mapping::Text { max, .. } if *max < 8 => {
                fault(
                    format!("{at}.max"),
                    format!("{max} characters leave no room; use at least 8"),
                );
            }
            Mapping::Choice { pairs, .. } => {
                for (which, text) in value_map_faults(pairs) {
                    fault(format!("{at}.pairs.{which}"), text);
                }
            }
            Mapping::Text { .. } | Mapping::Severity | Mapping::User { .. } => {}
        }
    }
    if settings.external_user.is_empty() {
        fault(
            "external_user".to_owned(),
            "name the user as which Firn signs in to ServiceNow; its own entries are told by it"
                .to_owned(),
        );
    }
    if !settings.webhook.standard && !settings.webhook.servicenow_signature {
        fault(
            "webhook".to_owned(),
            "no way of signing is on, so no webhook could ever be taken".to_owned(),
        );
    }
    if settings.correlation.transaction_limit == 0 {
        fault(
            "correlation.transaction_limit".to_owned(),
            "must be above 0 milliseconds".to_owned(),
        );
    }
    if settings.request_timeout < 50 || settings.request_timeout > 300_000 {
        fault("request_timeout".to_owned(), "must be 50 to 300000 milliseconds".to_owned());
    }
    if let Some(url) = &integration.platform.read_url
        && !url.contains("{id}")
    {
        fault(
            "platform.read_url".to_owned(),
            "must contain {id} where the record's id goes".to_owned(),
        );
    }
    if faults.is_empty() { Ok(Rules { integration }) } else { Err(faults) }
}

/// Applies a JSON merge patch (RFC 7396) to settings. `fields` is an object by field name, so that
/// one field can be changed alone; a new field is added. `work_notes` names the journal: its owner
/// says which way work notes travel.
///
/// # Errors
/// Says what cannot be read.
pub fn overlay(settings: &Settings, patch: &Json) -> Result<Settings, Fault> {
    let fault = |at: &str, text: String| Fault { at: at.to_owned(), text };
    let mut patch = match patch {
        Json::Null => return Ok(settings.clone()),
        Json::Object(patch) => patch.clone(),
        _ => return Err(fault("settings", "settings must be an object".to_owned())),
    };
    let preset = serde_json::to_value(settings.preset).unwrap_or_default();
    if patch.get("preset").is_some_and(|given| *given != preset) {
        let text =
            "the preset is where an integration started from and stays; create another integration";
        return Err(fault("preset", text.to_owned()));
    }
    let fields = patch.remove("fields");
    let mut document =
        serde_json::to_value(settings).map_err(|e| fault("settings", e.to_string()))?;
    merge_patch(&mut document, &Json::Object(patch));
    for (name, change) in fields.as_ref().and_then(Json::as_object).into_iter().flatten() {
        if name == "work_notes" {
            work_notes(&mut document, change)?;
            continue;
        }
        let Some(list) = document["fields"].as_array_mut() else { continue };
        match list.iter_mut().find(|f| f["name"] == name.as_str()) {
            Some(known) => merge_patch(known, change),
            None => {
                let mut field = serde_json::json!({ "name": name });
                merge_patch(&mut field, change);
                list.push(field);
            }
        }
    }
    if fields.as_ref().is_some_and(|f| !f.is_object()) {
        return Err(fault("fields", "fields must be an object by field name".to_owned()));
    }
    serde_json::from_value(document).map_err(|e| fault("settings", e.to_string()))
}

fn work_notes(document: &mut Json, change: &Json) -> Result<(), Fault> {
    let (to_servicenow, to_platform) = match change.get("owner").and_then(Json::as_str) {
        Some("platform") => (true, false),
        Some("external") => (false, true),
        Some("shared") => (true, true),
        _ => {
            return Err(Fault {
                at: "fields.work_notes.owner".to_owned(),
                text: "must be platform, external or shared".to_owned(),
            });
        }
    };
    document["journal"]["work_notes_to_servicenow"] = to_servicenow.into();
    document["journal"]["work_notes_to_platform"] = to_platform.into();
    Ok(())
}

fn merge_patch(target: &mut Json, patch: &Json) {
    let Json::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Json::Object(serde_json::Map::new());
    }
    if let Json::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge_patch(target.entry(name.clone()).or_insert(Json::Null), value);
            }
        }
    }
}

/// The round-trip laws of a value map, with the values that break them.
fn value_map_faults(pairs: &[firn_model::ChoicePair]) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut platform = BTreeSet::new();
    let mut external: BTreeMap<&str, &str> = BTreeMap::new();
    for pair in pairs {
        if !platform.insert(pair.platform.as_str()) {
            faults.push((pair.platform.clone(), "the platform value is there twice".to_owned()));
        }
        if pair.external.is_empty() {
            faults.push((
                pair.platform.clone(),
                "no ServiceNow value: it could never be written".to_owned(),
            ));
        }
        for value in &pair.external {
            if let Some(other) = external.insert(value, &pair.platform) {
                faults.push((
                    pair.platform.clone(),
                    format!("ServiceNow's {value:?} already means {other:?}; it would not read back as {:?}", pair.platform),
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;
    use firn_model::{Preset, TenantId};

    pub(crate) fn integration(preset: Preset) -> Integration {
        Integration {
            id: IntegrationId::new("int-1").unwrap(),
            tenant: TenantId::new("acme").unwrap(),
            slug: "prod-snow".to_owned(),
            name: "Production ServiceNow".to_owned(),
            base_url: "https://example.service-now.com".to_owned(),
            platform: PlatformContract::default(),
            enabled: true,
            settings: preset::settings(preset),
        }
    }

    #[test]
    fn every_preset_is_sound() {
        for preset in [Preset::Incidents, Preset::Genesys, Preset::Bot] {
            assert!(compile(integration(preset)).is_ok(), "{preset:?}");
        }
    }

    #[test]
    fn one_field_can_be_changed_alone() {
        let start = preset::settings(Preset::Incidents);
        let patch = serde_json::json!({ "strategy": "manual-review",
            "fields": { "severity": { "owner": "external", "external_priority": 5 }, "work_notes": { "owner": "platform" } } });
        let changed = overlay(&start, &patch).unwrap();
        assert_eq!(changed.strategy, Strategy::ManualReview);
        let severity = changed.fields.iter().find(|f| f.name.as_str() == "severity").unwrap();
        assert_eq!((severity.owner, severity.external_priority), (firn_model::Owner::External, 5));
        assert_eq!(changed.fields.len(), start.fields.len());
        assert!(!changed.journal.work_notes_to_platform);
        assert_eq!(overlay(&start, &Json::Null).unwrap(), start);
        for bad in [
            serde_json::json!({ "strategy": "coin-toss" }),
            serde_json::json!({ "stratgy": "manual-review" }),
            serde_json::json!({ "journal": { "coments": false } }),
            serde_json::json!({ "preset": "bot" }),
            serde_json::json!({ "fields": [] }),
            serde_json::json!([1]),
        ] {
            assert!(overlay(&start, &bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_map_that_breaks_the_round_trip_is_refused_with_the_value() {
        let mut broken = integration(Preset::Incidents);
        for field in &mut broken.settings.fields {
            if let Mapping::Choice { pairs, .. } = &mut field.mapping {
                pairs[2].external.push("1".to_owned());
            }
        }
        let faults = compile(broken).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].at.contains("status") && faults[0].text.contains("\"1\""), "{faults:?}");
    }
}
