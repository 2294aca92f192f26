//! Artifacts written down: as an update set that an administrator imports, or as instructions to
//! copy and paste. For instances whose administrators give nobody the right to write rules by REST.

use std::fmt::Write as _;

use firn_model::Integration;
use quick_xml::escape::escape;
use sha2::{Digest, Sha256};

use super::artifacts::{DEFINITION, Wanted};

/// How artifacts are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An update set (XML): *Retrieved Update Sets*, *Import Update Set from XML*.
    UpdateSet,
    /// Instructions (Markdown).
    Instructions,
}

pub(super) fn write(
    format: Format,
    integration: &Integration,
    base: &url::Url,
    artifacts: &[Wanted],
) -> String {
    match format {
        Format::UpdateSet => update_set(integration, artifacts),
        Format::Instructions => instructions(integration, base, artifacts),
    }
}

/// The same sys_id for the same artifact every time, so that importing twice is importing once.
fn sys_id(of: &str) -> String {
    Sha256::digest(format!("firn/{of}")).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn update_set(integration: &Integration, artifacts: &[Wanted]) -> String {
    let name = format!("Firn - {} ({})", integration.name, integration.id);
    let set = sys_id(&name);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<unload>\n");
    element(
        &mut xml,
        "sys_remote_update_set",
        &[
            ("name", &name),
            (
                "description",
                "Business rules and properties of Firn. See its docs/servicenow-setup.md.",
            ),
            ("application", "global"),
            ("application_name", "Global"),
            ("application_scope", "global"),
            ("state", "loaded"),
            ("remote_sys_id", &set),
            ("sys_id", &set),
        ],
    );
    for artifact in artifacts {
        let id = sys_id(&artifact.name);
        let key = format!("{}_{id}", artifact.table);
        let mut payload = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><record_update table=\"{}\">",
            artifact.table
        );
        let definition = sys_id(&super::artifacts::resource_name(&integration.id));
        let mut columns: Vec<(&str, &str)> = artifact
            .columns
            .iter()
            .map(|(n, v)| match (*n, v.as_str()) {
                (n, DEFINITION) => (n, definition.as_str()),
                // A private property would not be imported.
                ("is_private", _) => ("is_private", "false"),
                column => column,
            })
            .collect();
        let class = [
            ("sys_class_name", artifact.table),
            ("sys_id", &id),
            ("sys_name", &artifact.name),
            ("sys_scope", "global"),
            ("sys_update_name", &key),
        ];
        columns.extend(class);
        element(&mut payload, artifact.table, &columns);
        payload.push_str("</record_update>");
        let kind = match artifact.table {
            "sys_script" => "Business Rule",
            "sys_properties" => "System Property",
            "sys_ws_definition" => "Scripted REST Service",
            _ => "Scripted REST Resource",
        };
        element(
            &mut xml,
            "sys_update_xml",
            &[
                ("action", "INSERT_OR_UPDATE"),
                ("application", "global"),
                ("category", "customer"),
                ("name", &key),
                ("payload", &payload),
                ("remote_update_set", &set),
                ("sys_id", &sys_id(&key)),
                ("target_name", &artifact.name),
                ("type", kind),
                ("update_domain", "global"),
            ],
        );
    }
    xml.push_str("</unload>\n");
    xml
}

/// A row: an element for each column.
fn element(xml: &mut String, table: &str, columns: &[(&str, &str)]) {
    let _ = write!(xml, "<{table} action=\"INSERT_OR_UPDATE\">");
    for (name, value) in columns {
        // A carriage return or a line feed would be changed by whoever reads the XML.
        let value = escape(*value).replace('\n', "&#10;").replace('\r', "&#13;");
        let _ = write!(xml, "<{name}>{value}</{name}>");
    }
    let _ = writeln!(xml, "</{table}>");
}

fn instructions(integration: &Integration, base: &url::Url, artifacts: &[Wanted]) -> String {
    let mut out = format!(
        "# Firn's webhooks on {base}, by hand\n\nFor the integration {} ({}). Sign in as an administrator, in the scope *Global*. The key below is a\nsecret: whoever has it can send webhooks in the instance's name.\n\nWhen all is there: `firn integration test {}`.\n",
        integration.name, integration.id, integration.slug
    );
    for (i, artifact) in artifacts.iter().enumerate() {
        let (what, place) = match artifact.table {
            "sys_script" => (
                "Business rule",
                "*System Definition > Business Rules* (`sys_script.list`), *New*, tick *Advanced*",
            ),
            "sys_ws_definition" => (
                "Scripted REST API",
                "*System Web Services > Scripted REST APIs* (`sys_ws_definition.list`), *New*",
            ),
            "sys_ws_operation" => {
                ("Scripted REST resource", "in the API above, *Resources*, *New*")
            }
            _ => (
                "System property",
                "*System Properties > All Properties* (`sys_properties.list`), *New*",
            ),
        };
        let _ = write!(
            out,
            "\n## {}. {what}: {}\n\nWhat for: {}. Where: {place}.\n\n| column | value |\n|---|---|\n",
            i + 1,
            artifact.name,
            artifact.purpose
        );
        let is_script = |name: &str| matches!(name, "script" | "operation_script");
        for (name, value) in artifact.columns.iter().filter(|(n, _)| !is_script(n)) {
            let shown = match value.as_str() {
                "" => "(empty)".to_owned(),
                DEFINITION => "the API above".to_owned(),
                value => format!("`{value}`"),
            };
            let _ = writeln!(out, "| {} | {shown} |", label(name));
        }
        if let Some((_, script)) = artifact.columns.iter().find(|(n, _)| is_script(n)) {
            let _ = write!(out, "\nScript:\n\n```js\n{script}```\n");
        }
    }
    out
}

/// A column as the form calls it.
fn label(column: &str) -> &str {
    match column {
        "name" => "Name",
        "value" => "Value",
        "type" => "Type",
        "read_roles" => "Read roles",
        "write_roles" => "Write roles",
        "description" => "Description",
        "collection" => "Table",
        "when" => "When",
        "order" => "Order",
        "active" => "Active",
        "advanced" => "Advanced",
        "action_insert" => "Insert",
        "action_update" => "Update",
        "is_private" => "Private",
        "ignore_cache" => "Ignore cache",
        "action_delete" => "Delete",
        "condition" => "Condition",
        "requires_authentication" => "Requires authentication",
        "service_id" => "API ID",
        "short_description" => "Short description",
        "web_service_definition" => "API definition",
        "http_method" => "HTTP method",
        "relative_path" => "Relative path",
        "filter_condition" => "Filter condition (paste it as an encoded query)",
        other => other,
    }
}
