//! What a tenant's rules see of a link: values in the platform's words, masked as they leave for the other side.

use std::collections::BTreeMap;

use firn_model::rule::Subject;
use firn_model::{Attribute, Link, Shape, Side, TableName, Value};

use crate::mapping;
use crate::settings::{FieldMapping, Mapping, Rules};

/// Whether a field has one value that can be said in the platform's words.
pub(crate) fn has_word(field: &FieldMapping) -> bool {
    !matches!(field.mapping, Mapping::ToServicenow { .. } | Mapping::ToPlatform { .. })
}

/// A field's value on a side in the platform's words, as rules may see it: a text without its markup and
/// masked, as it leaves for the other side.
pub(crate) fn word(field: &FieldMapping, side: Side, shape: &Shape) -> Option<String> {
    match &field.mapping {
        Mapping::Text { mask, .. } | Mapping::Markup { mask, .. } => {
            let value = shape.0.values().next().cloned().unwrap_or_default();
            let text = mapping::spoken(field, side, &value);
            Some(mask.as_ref().map_or_else(|| text.clone(), |m| m.mask(side.other(), &text)))
        }
        _ => mapping::word(field, side, shape),
    }
}

/// The columns of a new ticket, before rules are asked about them: constants, and what is set beside the fields.
pub(crate) fn begins_with(
    rules: &Rules,
    table: &TableName,
    set: &BTreeMap<Attribute, Value>,
) -> BTreeMap<String, String> {
    let mut columns = rules.constants(table);
    columns.extend(set.clone());
    columns.iter().map(|(column, value)| (column.to_string(), value.to_text())).collect()
}

/// What rules see of a link. Each text is as the other side would be given it.
#[must_use]
pub fn subject(rules: &Rules, link: &Link) -> Subject {
    let values = |side: Side| {
        let mut values = BTreeMap::new();
        for field in rules.fields(&link.table) {
            let Some(shape) = link.fields.get(&field.name).and_then(|s| s.shape(side)) else {
                continue;
            };
            let mask = match &field.mapping {
                Mapping::Text { mask, .. }
                | Mapping::Markup { mask, .. }
                | Mapping::ToServicenow { mask, .. }
                | Mapping::ToPlatform { mask, .. } => mask.as_ref(),
                _ => None,
            };
            for (attribute, value) in &shape.0 {
                let text = mapping::spoken(field, side, value);
                let text = mask.map_or_else(|| text.clone(), |m| m.mask(side.other(), &text));
                values.insert(attribute.to_string(), text);
            }
        }
        values
    };
    Subject {
        integration: rules.integration().slug.clone(),
        record: link.platform_id.to_string(),
        table: link.table.clone(),
        number: link.external.as_ref().and_then(|e| e.number.clone()),
        began: link.origin,
        platform: values(Side::Platform),
        ticket: values(Side::External),
        payload: link.draft.as_ref().and_then(|draft| draft.payload.clone()),
    }
}
