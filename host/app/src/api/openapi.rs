//! The OpenAPI 3.1 document, made from the table of routes and the types that they take and give.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

use super::route::{Content, Route, Who};
use crate::access::Right;

/// A problem document (RFC 9457).
#[derive(JsonSchema)]
#[allow(dead_code)] // It stands for what `Problem` prints.
struct Problem {
    /// The HTTP status.
    status: u16,
    /// A word that machines can match.
    r#type: String,
    /// In a few words.
    title: String,
    /// What happened, to what, and what to do.
    detail: String,
}

/// The document of a table.
pub(super) fn document(routes: &[Route]) -> Json {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths = Map::new();
    for route in routes {
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        entry[route.method.name().to_ascii_lowercase()] = operation(route, &mut generator);
    }
    let problem = generator.subschema_for::<Problem>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Firn",
            "summary": "Keeps a platform and ServiceNow in step.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "problem": {
                "description": "What went wrong, and what to do.",
                "content": { "application/problem+json": { "schema": problem } },
            } },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "client": { "type": "oauth2", "flows": {
                    "clientCredentials": { "tokenUrl": "/oauth/token", "scopes": {} } } },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Json {
    let mut parameters = path_parameters(route.path);
    parameters.extend(route.query.map(|of| of(generator)).into_iter().flat_map(|schema| {
        let (schema, known) = (resolved(schema, generator), Vec::new());
        let required = schema["required"].as_array().cloned().unwrap_or(known);
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        properties
            .into_iter()
            .map(move |(name, schema)| {
                let needed = required.iter().any(|r| *r == name);
                json!({ "name": name, "in": "query", "required": needed, "schema": schema })
            })
            .collect::<Vec<_>>()
    }));
    let mut headers = route.headers.to_vec();
    if route.once {
        headers
            .push(("Idempotency-Key", "the same key and request give the same answer for a day"));
    }
    for (name, about) in headers {
        parameters.push(json!({ "name": name, "in": "header", "required": false,
            "description": about, "schema": { "type": "string" } }));
    }
    let mut responses = Map::new();
    for (status, content) in &route.answers {
        responses.insert(
            status.to_string(),
            json!({ "description": phrase(*status), "content": content_of(*content, generator) }),
        );
    }
    for status in &route.problems {
        responses
            .entry(status.to_string())
            .or_insert_with(|| json!({ "$ref": "#/components/responses/problem" }));
    }
    let mut operation = json!({
        "tags": [route.tag], "summary": route.summary, "operationId": name_of(route),
        "parameters": parameters, "responses": responses,
    });
    if let Some(body) = route.body {
        operation["requestBody"] = json!({ "content": content_of(body, generator) });
    }
    match route.who {
        Who::Anybody => operation["security"] = json!([]),
        Who::Holder(right) => {
            operation["security"] = json!([{ "token": [] }, { "client": [] }]);
            let roles = match right {
                Right::Read => "viewer, operator, admin",
                Right::Send => "sender, operator, admin",
                Right::Operate => "operator, admin",
                Right::Administer => "admin",
            };
            operation["description"] = json!(format!("Roles: {roles}."));
        }
    }
    operation
}

fn content_of(content: Content, generator: &mut SchemaGenerator) -> Json {
    match content {
        Content::Json(of) => json!({ "application/json": { "schema": of(generator) } }),
        Content::Form(of) => {
            json!({ "application/x-www-form-urlencoded": { "schema": of(generator) } })
        }
        Content::Bytes(kind) => {
            json!({ kind: { "schema": { "type": "string", "format": "binary" } } })
        }
        Content::Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
    }
}

/// A schema itself, where it is a reference.
fn resolved(schema: Schema, generator: &SchemaGenerator) -> Json {
    let name = schema.get("$ref").and_then(|r| r.as_str()).and_then(|r| r.rsplit('/').next());
    match name.and_then(|name| generator.definitions().get(name)) {
        Some(found) => found.clone(),
        None => schema.to_value(),
    }
}

fn path_parameters(path: &str) -> Vec<Json> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let about = |name: &str| match name {
        "integration" => "its id, slug or exact name",
        "version" => "its number",
        _ => "its id",
    };
    names
        .map(|name| {
            let kind = if name == "version" { "integer" } else { "string" };
            let mut schema = json!({ "type": kind });
            match kind {
                "integer" => schema["minimum"] = json!(0),
                _ => schema["minLength"] = json!(1),
            }
            json!({ "name": name, "in": "path", "required": true, "description": about(name),
                "schema": schema })
        })
        .collect()
}

/// A name for generated clients: `post_integrations_links_resync`.
fn name_of(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1").replace(['/', '.', '-'], "_");
    let parts: Vec<&str> =
        path.split('_').filter(|part| !part.is_empty() && !part.starts_with('{')).collect();
    let last = if route.path.ends_with('}') { "_one" } else { "" };
    format!("{}_{}{last}", route.method.name().to_ascii_lowercase(), parts.join("_"))
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "Done, or as it is.",
        201 => "Made.",
        202 => "Accepted; it goes on.",
        _ => "As said.",
    }
}
