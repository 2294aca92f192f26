//! The artifacts of an integration: what is installed on its instance, column by column.
//!
//! Every name ends in the integration's id, so that integrations and tenants on one instance do not
//! meet. Every description says whose it is, its version and the digest of its content.

use std::collections::BTreeSet;

use firn_model::{Direction, Integration, IntegrationId, Side};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

/// The version of the scripts. 2: only the integration's own kinds of tickets are told of; ping.
pub(super) const VERSION: u32 = 2;

/// What every description begins with.
const MARK: &str = "Auto-managed by Firn; do not edit.";

/// The property that a ping is written into.
pub(super) fn ping_property(id: &IntegrationId) -> String {
    format!("x_firn.ping.{id}")
}

/// One artifact as it should be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) table: &'static str,
    pub(super) name: String,
    /// Every column, its name among them.
    pub(super) columns: Vec<(&'static str, String)>,
    /// Columns that are written when it is made, and are no drift when they are another way.
    pub(super) loose: &'static [&'static str],
    /// What it is for, in a sentence.
    pub(super) purpose: &'static str,
}

/// The tables that hold artifacts, in the order in which they are installed: rules read properties.
pub(super) const TABLES: [&str; 4] =
    ["sys_properties", "sys_script", "sys_ws_definition", "sys_ws_operation"];

/// The column in which an artifact says whose it is.
pub(super) fn mark_column(table: &str) -> &'static str {
    if table.starts_with("sys_ws_") { "short_description" } else { "description" }
}

/// In the place of the sys_id of a resource's definition, which only the instance knows.
pub(super) const DEFINITION: &str = "@definition@";

/// The name of an integration's resource, by which its definition is found.
pub(super) fn resource_name(id: &IntegrationId) -> String {
    format!("Firn - Tickets ({id})")
}

/// Which integration an artifact says that it is of; `None` if it is none of Firn's.
pub(super) fn owner(description: &str) -> Option<&str> {
    let rest = description.trim_start().strip_prefix(MARK)?;
    rest.split_whitespace().find_map(|word| word.strip_prefix("integration="))
}

/// Where ServiceNow reaches Firn, and what it signs with.
pub(super) struct Webhook<'a> {
    pub(super) callback: &'a str,
    pub(super) key: &'a SecretString,
}

struct Rule<'a> {
    name: &'a str,
    collection: &'a str,
    when: &'a str,
    order: &'a str,
    insert: bool,
    update: bool,
    filter: String,
    script: String,
    purpose: &'static str,
}

/// The artifacts of an integration, in the order in which they are installed.
pub(super) fn wanted(integration: &Integration, webhook: &Webhook<'_>) -> Vec<Wanted> {
    let Integration { id, settings, .. } = integration;
    let described = |content: Option<&str>| {
        // The digest of a key would be something to guess against: only the others have one.
        let digest = content.map_or("-".to_owned(), digest);
        let tenant = &integration.tenant;
        format!("{MARK} integration={id} tenant={tenant} version={VERSION} digest={digest}")
    };
    let property = |name: &str, value: &str, content: Option<&str>, loose, purpose| {
        let name = format!("x_firn.{name}.{id}");
        let ping = ping_property(id);
        let columns = vec![
            ("name", name.clone()),
            ("value", value.to_owned()),
            ("type", "string".to_owned()),
            ("read_roles", "admin".to_owned()),
            ("write_roles", "admin".to_owned()),
            // No update set takes a private property along: a key is one instance's.
            ("is_private", "true".to_owned()),
            // The ping is read by its own rule alone: no cache has to be emptied for it.
            ("ignore_cache", (name == ping).to_string()),
            ("description", described(content)),
        ];
        Wanted { table: "sys_properties", name, columns, loose, purpose }
    };
    let rule = |rule: Rule<'_>| {
        let name = format!("Firn - {} ({id})", rule.name);
        let columns = vec![
            ("name", name.clone()),
            ("collection", rule.collection.to_owned()),
            ("when", rule.when.to_owned()),
            ("order", rule.order.to_owned()),
            ("active", "true".to_owned()),
            ("advanced", "true".to_owned()),
            ("action_insert", rule.insert.to_string()),
            ("action_update", rule.update.to_string()),
            ("action_delete", "false".to_owned()),
            ("condition", String::new()),
            ("filter_condition", rule.filter),
            ("description", described(Some(&rule.script))),
            ("script", rule.script),
        ];
        Wanted { table: "sys_script", name, columns, loose: &[], purpose: rule.purpose }
    };
    // The name was checked: nothing in it ends a JavaScript text.
    let mid = settings.provision.mid_server.as_ref();
    let mid = mid.map_or(String::new(), |name| format!("    request.setMIDServer('{name}');\n"));
    let script = |source: &str| {
        source
            .replace("@ADDRESS@", include_str!("scripts/address.js"))
            .replace("@SEND@", include_str!("scripts/send.js"))
            .replace("@MID@", &mid)
            .replace("@ID@", id.as_str())
    };

    let tables: Vec<&str> = settings.tickets.iter().map(|t| t.table.as_str()).collect();
    let among = |column: &str| format!("{column}IN{}^EQ", tables.join(","));
    // One rule on `task` hears of every kind of ticket; cases alone have a table of their own.
    let bases = || settings.tickets.iter().map(|ticket| ticket.table.base());
    let tasks = bases().any(|base| base == "task");
    let cases = tables == ["sn_customerservice_case"];
    let collection = if cases { "sn_customerservice_case" } else { "task" };
    let records: BTreeSet<&str> = bases().filter(|base| *base != "task").collect();
    let speaks = integration.reads_journal();
    // A journal row names its table by the base or by the class, depending on the release.
    let spoken = format!("nameINtask,{}^elementINcomments,work_notes^EQ", tables.join(","));

    let mut all = vec![
        property(
            "callback_url",
            webhook.callback,
            Some(webhook.callback),
            &["is_private"],
            "where webhooks are sent",
        ),
        property(
            "webhook_key",
            webhook.key.expose_secret(),
            None,
            &["is_private"],
            "what webhooks are signed with",
        ),
        property(
            "ping",
            "",
            Some("ping"),
            &["value", "is_private"],
            "lets firn integration test ask for a ping",
        ),
    ];
    if tasks {
        all.push(rule(Rule {
            name: "Task Webhook",
            collection,
            when: "after",
            order: "1000",
            insert: true,
            update: true,
            filter: among("sys_class_name"),
            script: script(include_str!("scripts/task.js")),
            purpose: "tells of every new ticket and every change of one",
        }));
    }
    if speaks {
        all.push(rule(Rule {
            name: "Journal Webhook",
            collection: "sys_journal_field",
            when: "after",
            order: "1000",
            insert: true,
            update: false,
            filter: spoken.clone(),
            script: script(include_str!("scripts/journal.js")),
            purpose: "tells of every comment and work note",
        }));
    }
    for base in records {
        all.push(rule(Rule {
            name: &format!("Record Webhook, {base}"),
            collection: base,
            when: "after",
            order: "1000",
            insert: true,
            update: true,
            // A rule of a table runs for those that extend it, too. The integration's own user changes by signing in.
            filter: match settings.external_user.as_str() {
                user if base == "sys_user" && is_plain(user) => {
                    format!("user_name!={user}^{}", among("sys_class_name"))
                }
                _ => among("sys_class_name"),
            },
            script: script(include_str!("scripts/record.js")),
            purpose: "tells that a record is new or was changed; what is in it, Firn reads",
        }));
    }
    all.push(rule(Rule {
        name: "Ping",
        collection: "sys_properties",
        when: "after",
        order: "1000",
        insert: false,
        update: true,
        filter: format!("name={}^EQ", ping_property(id)),
        script: script(include_str!("scripts/ping.js")),
        purpose: "answers firn integration test",
    }));
    if settings.provision.attachments || integration.attachments_from(Side::External) {
        all.push(rule(Rule {
            name: "Attachment Webhook",
            collection: "sys_attachment",
            when: "after",
            order: "1000",
            insert: true,
            update: false,
            filter: among("table_name"),
            script: script(include_str!("scripts/attachment.js")),
            purpose: "tells of every new attachment",
        }));
    }
    if settings.provision.redact_on_save && tasks {
        let redact =
            |columns: &str| script(include_str!("scripts/redact.js")).replace("@COLUMNS@", columns);
        all.push(rule(Rule {
            name: "Redact Tickets",
            collection,
            when: "before",
            order: "50",
            insert: true,
            update: true,
            filter: among("sys_class_name"),
            script: redact("['short_description', 'description', 'close_notes']"),
            purpose: "redacts card and social security numbers before a ticket is saved",
        }));
        all.push(rule(Rule {
            name: "Redact Journal",
            collection: "sys_journal_field",
            when: "before",
            order: "50",
            insert: true,
            update: false,
            filter: spoken,
            script: redact("['value']"),
            purpose: "redacts card and social security numbers before a comment is saved",
        }));
    }
    if settings.provision.resource && settings.direction != Direction::ToPlatform {
        all.extend(resource(id, &tables, &settings.external_user, described));
    }
    all
}

/// Whether a name means nothing in an encoded query but itself.
fn is_plain(user: &str) -> bool {
    user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}

/// The Scripted REST resource: its definition, and what it does.
fn resource(
    id: &IntegrationId,
    tables: &[&str],
    user: &str,
    described: impl Fn(Option<&str>) -> String,
) -> Vec<Wanted> {
    let name = resource_name(id);
    let columns = vec![
        ("name", name.clone()),
        ("service_id", format!("firn_{}", id.as_str().replace('-', "_"))),
        ("active", "true".to_owned()),
        ("short_description", described(Some("resource"))),
    ];
    let purpose = "a REST resource of Firn's own, for its writes";
    let definition = Wanted { table: "sys_ws_definition", name, columns, loose: &[], purpose };
    let operation = |what: &str, method: &str, path: &str, source: &str, purpose| {
        let list: Vec<String> = tables.iter().map(|table| format!("'{table}'")).collect();
        let script = source
            .replace("@SHOW@", include_str!("scripts/show.js"))
            .replace("@TABLES@", &format!("[{}]", list.join(", ")))
            .replace("@USER@", &Json::from(user).to_string());
        let name = format!("Firn - {what} ({id})");
        let columns = vec![
            ("name", name.clone()),
            ("web_service_definition", DEFINITION.to_owned()),
            ("http_method", method.to_owned()),
            ("relative_path", path.to_owned()),
            ("active", "true".to_owned()),
            ("requires_authentication", "true".to_owned()),
            ("short_description", described(Some(&script))),
            ("operation_script", script),
        ];
        Wanted { table: "sys_ws_operation", name, columns, loose: &[], purpose }
    };
    vec![
        definition,
        operation(
            "Create Ticket",
            "POST",
            "/{table}",
            include_str!("scripts/create.js"),
            "makes a ticket once per key",
        ),
        operation(
            "Change Ticket",
            "PATCH",
            "/{table}/{id}",
            include_str!("scripts/change.js"),
            "changes a ticket that is as it was last seen",
        ),
    ]
}

fn digest(content: &str) -> String {
    Sha256::digest(content.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_an_artifact_is() {
        let of = |text: &str| owner(text).map(str::to_owned);
        let ours =
            "Auto-managed by Firn; do not edit. integration=int-1 tenant=acme version=1 digest=-";
        assert_eq!(of(ours).as_deref(), Some("int-1"));
        assert_eq!(of("somebody's own, integration=int-1"), None);
        assert_eq!(of("Auto-managed by Firn; do not edit."), None);
    }
}
