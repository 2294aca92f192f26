//! What a stock instance knows: tables and their parents, defaults, references, choices, users.

/// A table and the one that it extends.
pub(crate) const TABLES: &[(&str, &str)] = &[
    ("task", ""),
    ("incident", "task"),
    ("problem", "task"),
    ("change_request", "task"),
    ("sc_request", "task"),
    ("sc_req_item", "task"),
    ("sc_task", "task"),
    ("sn_customerservice_case", "task"),
    ("sys_user", ""),
    ("sys_user_group", ""),
    ("core_company", ""),
    ("sys_choice", ""),
    ("sys_dictionary", ""),
    ("sys_properties", ""),
    ("sys_script", ""),
    ("sys_journal_field", ""),
    ("sys_attachment", ""),
    ("sys_audit_delete", ""),
    ("syslog", ""),
    ("sys_outbound_http_log", ""),
    ("sys_audit", ""),
    ("sys_db_object", ""),
    ("sys_user_role", ""),
    ("sys_user_has_role", ""),
    ("sys_security_acl", ""),
    ("sys_security_acl_role", ""),
    ("sys_rate_limit_rules", ""),
    ("sys_ws_definition", ""),
    ("sys_ws_operation", ""),
    ("sys_transform_map", ""),
    ("sys_transform_entry", ""),
    ("imp_incident", ""),
    ("customer_contact", "sys_user"),
    ("customer_account", "core_company"),
    ("sn_customerservice_escalation", ""),
    ("kb_knowledge", ""),
    ("kb_knowledge_base", ""),
    ("kb_category", ""),
    ("cmdb_ci", ""),
    ("cmn_location", ""),
];

pub(crate) fn parent(table: &str) -> Option<&'static str> {
    TABLES.iter().find(|(name, _)| *name == table).map(|(_, parent)| *parent)
}

/// A table and all that it extends, nearest first.
pub(crate) fn ancestry(table: &str) -> Vec<&'static str> {
    let mut line = Vec::new();
    let mut at = TABLES.iter().find(|(name, _)| *name == table);
    while let Some((name, parent)) = at {
        line.push(*name);
        at = TABLES.iter().find(|(name, _)| name == parent);
    }
    line
}

pub(crate) fn is_task(table: &str) -> bool {
    ancestry(table).contains(&"task")
}

/// The table that a reference column points to.
pub(crate) fn reference(column: &str) -> Option<&'static str> {
    Some(match column {
        "author" | "caller_id" | "assigned_to" | "opened_by" | "resolved_by" | "closed_by"
        | "reopened_by" | "manager" => "sys_user",
        "assignment_group" => "sys_user_group",
        "company" => "core_company",
        "parent" | "parent_incident" => "incident",
        "problem_id" => "problem",
        "rfc" => "change_request",
        "account" => "customer_account",
        "contact" | "consumer" => "customer_contact",
        "cmdb_ci" | "business_service" | "service_offering" => "cmdb_ci",
        "location" => "cmn_location",
        "active_escalation" => "sn_customerservice_escalation",
        "kb_knowledge_base" => "kb_knowledge_base",
        "kb_category" => "kb_category",
        "sys_user_role" => "sys_user_role",
        "sys_security_acl" => "sys_security_acl",
        "web_service_definition" => "sys_ws_definition",
        "map" => "sys_transform_map",
        _ => return None,
    })
}

/// Whether a column holds a date and time.
pub(crate) fn is_date(column: &str) -> bool {
    column.ends_with("_on")
        || column.ends_with("_at")
        || matches!(
            column,
            "due_date"
                | "follow_up"
                | "activity_due"
                | "expected_start"
                | "work_start"
                | "work_end"
                | "sla_due"
                | "reopened_time"
        )
}

pub(crate) const JOURNALS: [&str; 2] = ["comments", "work_notes"];

/// Columns that are there and empty on a fresh task.
const EMPTY: &str = "activity_due additional_assignee_list approval_history approval_set assigned_to \
    assignment_group business_duration business_service calendar_duration calendar_stc caller_id \
    caused_by close_code close_notes closed_at closed_by cmdb_ci comments comments_and_work_notes \
    company contact_type contract correlation_display correlation_id delivery_plan delivery_task \
    description due_date expected_start follow_up group_list hold_reason location order parent \
    parent_incident problem_id reopened_by reopened_time resolved_at resolved_by rfc service_offering \
    short_description sla_due subcategory sys_tags time_worked user_input watch_list work_end \
    work_notes work_notes_list work_start";

const TASK: &[(&str, &str)] = &[
    ("active", "true"),
    ("approval", "not requested"),
    ("escalation", "0"),
    ("impact", "3"),
    ("knowledge", "false"),
    ("made_sla", "true"),
    ("priority", "4"),
    ("reassignment_count", "0"),
    ("state", "1"),
    ("sys_domain", "global"),
    ("sys_domain_path", "/"),
    ("upon_approval", "proceed"),
    ("upon_reject", "cancel"),
    ("urgency", "3"),
];

const INCIDENT: &[(&str, &str)] = &[
    ("category", "inquiry"),
    ("child_incidents", "0"),
    ("incident_state", "1"),
    ("notify", "1"),
    ("reopen_count", "0"),
    ("severity", "3"),
];

/// Columns of a customer service case besides those of a task.
const CASE: &[(&str, &str)] = &[
    ("account", ""),
    ("active_escalation", ""),
    ("category", ""),
    ("close_code", ""),
    ("contact", ""),
    ("consumer", ""),
    ("resolution_code", ""),
    ("severity", "3"),
    ("subcategory", ""),
];

/// Columns of a problem besides those of a task. Its states begin at 101.
const PROBLEM: &[(&str, &str)] =
    &[("state", "101"), ("resolution_code", ""), ("fix_notes", ""), ("cause_notes", "")];

/// Columns of a change besides those of a task. Its states begin at -5.
const CHANGE: &[(&str, &str)] = &[("state", "-5"), ("type", "normal"), ("close_code", "")];

/// Columns that exist on incidents only; other classes answer them as empty.
const OF_INCIDENT: &[&str] = &["caller_id", "category", "subcategory", "close_code", "hold_reason"];

/// The columns of a fresh row.
pub(crate) fn defaults(table: &str) -> Vec<(String, String)> {
    let mut columns: Vec<(String, String)> = Vec::new();
    let mut put = |pairs: &[(&str, &str)]| {
        columns.extend(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    };
    if is_task(table) {
        let empty =
            EMPTY.split_whitespace().filter(|c| table == "incident" || !OF_INCIDENT.contains(c));
        put(&empty.map(|c| (c, "")).collect::<Vec<_>>());
        put(TASK);
        match table {
            "incident" => put(INCIDENT),
            "sn_customerservice_case" => put(CASE),
            "problem" => put(PROBLEM),
            "change_request" => put(CHANGE),
            _ => {}
        }
    }
    let rest: &[(&str, &str)] = match table {
        "sys_user" => &[
            ("user_name", ""),
            ("name", ""),
            ("email", ""),
            ("phone", ""),
            ("mobile_phone", ""),
            ("title", ""),
            ("company", ""),
            ("active", "true"),
            ("time_zone", "GMT"),
            ("date_format", "yyyy-MM-dd"),
            ("locked_out", "false"),
            ("web_service_access_only", "false"),
        ],
        "sys_user_group" | "core_company" => &[("name", ""), ("active", "true")],
        "sys_choice" => &[
            ("name", ""),
            ("element", ""),
            ("value", ""),
            ("label", ""),
            ("sequence", "0"),
            ("inactive", "false"),
            ("language", "en"),
        ],
        "sys_dictionary" => &[
            ("name", ""),
            ("element", ""),
            ("internal_type", "string"),
            ("max_length", "40"),
            ("mandatory", "false"),
            ("read_only", "false"),
            ("reference", ""),
            ("unique", "false"),
            ("active", "true"),
        ],
        "sys_properties" => &[
            ("name", ""),
            ("value", ""),
            ("type", "string"),
            ("description", ""),
            ("read_roles", ""),
            ("write_roles", ""),
            ("is_private", "false"),
            ("ignore_cache", "false"),
        ],
        "sys_script" => &[
            ("name", ""),
            ("collection", ""),
            ("when", "after"),
            ("order", "100"),
            ("priority", "100"),
            ("active", "true"),
            ("advanced", "true"),
            ("action_insert", "false"),
            ("action_update", "false"),
            ("action_delete", "false"),
            ("action_query", "false"),
            ("condition", ""),
            ("filter_condition", ""),
            ("script", ""),
            ("description", ""),
        ],
        "sys_journal_field" => {
            &[("element_id", ""), ("element", ""), ("name", ""), ("value", ""), ("sys_tags", "")]
        }
        "syslog" => &[("level", ""), ("message", ""), ("source", "")],
        "sys_outbound_http_log" => &[("url", ""), ("method", ""), ("response_status", "")],
        "sys_audit_delete" => &[("tablename", ""), ("documentkey", "")],
        "sys_audit" => &[
            ("tablename", ""),
            ("documentkey", ""),
            ("fieldname", ""),
            ("oldvalue", ""),
            ("newvalue", ""),
            ("user", ""),
            ("record_checkpoint", "0"),
        ],
        "sys_attachment" => &[
            ("file_name", ""),
            ("content_type", ""),
            ("size_bytes", "0"),
            ("size_compressed", "0"),
            ("compressed", "true"),
            ("table_name", ""),
            ("table_sys_id", ""),
            ("download_link", ""),
            ("hash", ""),
            ("image_width", ""),
            ("image_height", ""),
            ("average_image_color", ""),
            ("sys_tags", ""),
        ],
        "sys_db_object" => &[("name", ""), ("label", ""), ("super_class", "")],
        "sys_user_role" => &[("name", ""), ("description", "")],
        "sys_user_has_role" => &[("user", ""), ("role", ""), ("state", "active")],
        "sys_security_acl" => {
            &[("name", ""), ("operation", "read"), ("type", "record"), ("active", "true")]
        }
        "sys_security_acl_role" => &[("sys_security_acl", ""), ("sys_user_role", "")],
        "sys_rate_limit_rules" => &[
            ("name", ""),
            ("type", "all"),
            ("user", ""),
            ("role", ""),
            ("rest_api", ""),
            ("request_limit", ""),
            ("active", "true"),
        ],
        "sys_ws_definition" => &[
            ("name", ""),
            ("service_id", ""),
            ("namespace", "global"),
            ("base_uri", ""),
            ("short_description", ""),
            ("active", "true"),
            ("is_versioned", "false"),
            ("enforce_acl", ""),
        ],
        "sys_ws_operation" => &[
            ("name", ""),
            ("web_service_definition", ""),
            ("http_method", "GET"),
            ("relative_path", "/"),
            ("operation_script", ""),
            ("operation_uri", ""),
            ("short_description", ""),
            ("active", "true"),
            ("requires_authentication", "true"),
            ("requires_acl_authorization", "false"),
        ],
        "sys_transform_map" => {
            &[("name", ""), ("source_table", ""), ("target_table", ""), ("active", "true")]
        }
        "sys_transform_entry" => {
            &[("map", ""), ("source_field", ""), ("target_field", ""), ("coalesce", "false")]
        }
        "imp_incident" => &[
            ("short_description", ""),
            ("description", ""),
            ("correlation_id", ""),
            ("correlation_display", ""),
            ("caller_id", ""),
            ("category", ""),
            ("subcategory", ""),
            ("impact", ""),
            ("urgency", ""),
            ("state", ""),
            ("work_notes", ""),
            ("comments", ""),
        ],
        "customer_contact" => &[
            ("user_name", ""),
            ("name", ""),
            ("email", ""),
            ("phone", ""),
            ("mobile_phone", ""),
            ("title", ""),
            ("account", ""),
            ("active", "true"),
        ],
        "customer_account" => &[
            ("name", ""),
            ("number", ""),
            ("account_code", ""),
            ("phone", ""),
            ("website", ""),
            ("city", ""),
            ("country", ""),
            ("active", "true"),
        ],
        "sn_customerservice_escalation" => {
            &[("number", ""), ("source_record", ""), ("state", "1"), ("reason", "")]
        }
        "kb_knowledge" => &[
            ("short_description", ""),
            ("text", ""),
            ("workflow_state", "draft"),
            ("kb_knowledge_base", ""),
            ("kb_category", ""),
            ("author", ""),
            ("valid_to", ""),
            ("active", "true"),
            // What a task was made an article of, key words, and what versions are told apart by.
            ("source", ""),
            ("meta", ""),
            ("article_id", ""),
            ("display_number", ""),
            ("latest", "true"),
        ],
        "kb_knowledge_base" => &[("title", ""), ("active", "true")],
        "kb_category" => &[("label", ""), ("value", ""), ("active", "true")],
        "cmdb_ci" | "cmn_location" => &[("name", ""), ("active", "true")],
        _ => &[],
    };
    put(rest);
    columns
}

/// The dictionary of tasks: table, column, length.
pub(crate) fn dictionary() -> Vec<(&'static str, String, &'static str)> {
    let of = |table: &'static str, column: &str| {
        let length = match column {
            "short_description" => "160",
            "description" | "close_notes" | "comments" | "work_notes" => "4000",
            "correlation_id" | "correlation_display" => "100",
            _ => "40",
        };
        (table, column.to_owned(), length)
    };
    let task = EMPTY.split_whitespace().filter(|column| !OF_INCIDENT.contains(column));
    let mut all: Vec<_> =
        task.chain(TASK.iter().map(|(name, _)| *name)).map(|column| of("task", column)).collect();
    all.extend(OF_INCIDENT.iter().map(|column| of("incident", column)));
    all.extend(INCIDENT.iter().map(|(column, _)| of("incident", column)));
    all.extend(CASE.iter().map(|(column, _)| of("sn_customerservice_case", column)));
    all
}

pub(crate) fn number_prefix(table: &str) -> Option<&'static str> {
    Some(match table {
        "incident" => "INC",
        "problem" => "PRB",
        "change_request" => "CHG",
        "sc_request" => "REQ",
        "sc_req_item" => "RITM",
        "sc_task" => "SCTASK",
        "sn_customerservice_case" => "CS",
        "kb_knowledge" => "KB",
        "sn_customerservice_escalation" => "ESC",
        "task" => "TASK",
        _ => return None,
    })
}

/// Choices: table, element, value and label.
#[allow(clippy::type_complexity)] // A table of tables, read once.
pub(crate) const CHOICES: &[(&str, &str, &[(&str, &str)])] = &[
    (
        "incident",
        "state",
        &[
            ("1", "New"),
            ("2", "In Progress"),
            ("3", "On Hold"),
            ("6", "Resolved"),
            ("7", "Closed"),
            ("8", "Canceled"),
        ],
    ),
    (
        "incident",
        "incident_state",
        &[
            ("1", "New"),
            ("2", "In Progress"),
            ("3", "On Hold"),
            ("6", "Resolved"),
            ("7", "Closed"),
            ("8", "Canceled"),
        ],
    ),
    ("incident", "severity", &[("1", "1 - High"), ("2", "2 - Medium"), ("3", "3 - Low")]),
    (
        "sn_customerservice_case",
        "state",
        &[
            ("1", "New"),
            ("10", "Open"),
            ("18", "Awaiting Info"),
            ("6", "Resolved"),
            ("3", "Closed"),
        ],
    ),
    ("task", "impact", &[("1", "1 - High"), ("2", "2 - Medium"), ("3", "3 - Low")]),
    ("task", "urgency", &[("1", "1 - High"), ("2", "2 - Medium"), ("3", "3 - Low")]),
    (
        "task",
        "priority",
        &[
            ("1", "1 - Critical"),
            ("2", "2 - High"),
            ("3", "3 - Moderate"),
            ("4", "4 - Low"),
            ("5", "5 - Planning"),
        ],
    ),
    (
        "incident",
        "hold_reason",
        &[
            ("1", "Awaiting Caller"),
            ("3", "Awaiting Problem"),
            ("4", "Awaiting Vendor"),
            ("5", "Awaiting Change"),
        ],
    ),
    (
        "incident",
        "close_code",
        &[
            ("Duplicate", "Duplicate"),
            ("Known error", "Known error"),
            ("No resolution provided", "No resolution provided"),
            ("Resolved by caller", "Resolved by caller"),
            ("Resolved by change", "Resolved by change"),
            ("Resolved by problem", "Resolved by problem"),
            ("Resolved by request", "Resolved by request"),
            ("Solution provided", "Solution provided"),
            ("Workaround provided", "Workaround provided"),
            ("User error", "User error"),
        ],
    ),
    (
        "incident",
        "category",
        &[
            ("inquiry", "Inquiry / Help"),
            ("software", "Software"),
            ("hardware", "Hardware"),
            ("network", "Network"),
            ("database", "Database"),
        ],
    ),
];

/// Users: name for sign-in, password (empty: cannot sign in), display name, e-mail, roles.
pub(crate) const USERS: &[(&str, &str, &str, &str, &str)] = &[
    ("admin", "admin", "System Administrator", "admin@example.com", "admin"),
    ("integration", "integration", "Firn Integration", "integration@example.com", "itil,knowledge"),
    ("ann.lee", "ann.lee", "Ann Lee", "ann.lee@example.com", "itil"),
    ("bob.ray", "bob.ray", "Bob Ray", "bob.ray@example.com", "itil"),
    ("caller", "", "Cara Caller", "cara.caller@example.com", ""),
];

/// Priority from impact and urgency.
pub(crate) fn priority(impact: &str, urgency: &str) -> &'static str {
    match (impact, urgency) {
        ("1", "1") => "1",
        ("1", "2") | ("2", "1") => "2",
        ("1", "3") | ("2", "2") | ("3", "1") => "3",
        ("2", "3") | ("3", "2") => "4",
        _ => "5",
    }
}
