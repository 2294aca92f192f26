//! Which side a field belongs to: seed 004's `field-ownership`, as a resource of an integration.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{Configure, OffOwner, Owner};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::at::{At, Named, not_found, unknown};
use super::{failed, json, ok, problem};

/// A field, and whose it is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Field {
    field: String,
    owner: Owner,
    platform_priority: i32,
    external_priority: i32,
    /// What becomes of a change by the side that does not own it.
    off_owner: OffOwner,
}

/// The mapped fields.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Fields {
    fields: Vec<Field>,
}

pub(crate) async fn list(at: At) -> Response {
    ok(shown(&at.known.integration.settings.fields))
}

fn shown<'a>(
    fields: impl IntoIterator<Item = (&'a firn_model::FieldName, &'a firn_model::FieldSettings)>,
) -> Fields {
    let fields = fields.into_iter().map(|(name, mapping)| Field {
        field: name.to_string(),
        owner: mapping.owner.unwrap_or_default(),
        platform_priority: mapping.platform_priority.unwrap_or_default(),
        external_priority: mapping.external_priority.unwrap_or_default(),
        off_owner: mapping.off_owner.unwrap_or_default(),
    });
    Fields { fields: fields.collect() }
}

/// The body of `POST …/field-ownership/{field}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Own {
    owner: Owner,
    /// The owner's; of a shared field there is none.
    #[serde(default)]
    priority: i32,
}

pub(crate) async fn set(at: At, Named(field): Named, headers: HeaderMap, raw: Body) -> Response {
    let Own { owner, priority } = match json(&headers, raw).await {
        Ok(given) => given,
        Err(response) => return response,
    };
    let change = match owner {
        Owner::Platform => json!({ "owner": owner, "platform_priority": priority }),
        Owner::External => json!({ "owner": owner, "external_priority": priority }),
        Owner::Shared => json!({ "owner": owner }),
    };
    change_field(&at, &field, change).await
}

/// Makes a field shared again.
pub(crate) async fn delete(at: At, Named(field): Named) -> Response {
    let change = json!({ "owner": "shared", "platform_priority": 0, "external_priority": 0 });
    change_field(&at, &field, change).await
}

async fn change_field(at: &At, field: &str, change: Json) -> Response {
    let host = &at.shared.host;
    let _naming = match host.naming().await {
        Ok(naming) => naming,
        Err(why) => return failed(&why),
    };
    let Some(known) = host.vault().get(at.id()) else { return unknown(at.id().as_str()) };
    // The journal is named like a field: its owner says which way work notes travel.
    let mapped = known.integration.settings.fields.keys().any(|name| name.as_str() == field);
    if !mapped && field != "work_notes" {
        return not_found("mapped field", field);
    }
    let given = Configure {
        id: at.id().clone(),
        create: false,
        slug: None,
        name: None,
        base_url: None,
        platform: None,
        enabled: None,
        preset: None,
        settings: json!({ "fields": { field: change } }),
    };
    let secrets = known.secrets.clone();
    match host.configure(at.tenant(), given, secrets, &at.caller.name).await {
        Ok(asked) if asked.status < 300 => match host.vault().get(at.id()) {
            Some(known) => ok(shown(&known.integration.settings.fields)),
            None => unknown(at.id().as_str()),
        },
        Ok(asked) => super::respond(asked),
        Err(why) => problem(422, "not-configured", "The field was not changed", format!("{why:#}")),
    }
}
