//! What nobody is sure of: behaviours of an instance that could not be confirmed, each a switch. A
//! client must be right under both answers. The defaults are what is believed.

use serde::{Deserialize, Serialize};

/// The switches. All off is the believed behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[allow(clippy::struct_excessive_bools)] // A set of switches is what it is.
pub struct Quirks {
    /// `=` and `LIKE` tell upper from lower case.
    pub case_sensitive: bool,
    /// `^^` in a value stands for one caret.
    pub caret_escape: bool,
    /// `X-Total-Count` leaves out rows that access rules hide.
    pub count_leaves_out_hidden: bool,
    /// A write that names an unknown column is refused with 400.
    pub unknown_column_refused: bool,
    /// A comment does not touch `sys_mod_count` and `sys_updated_on` of its record.
    pub comment_leaves_parent: bool,
    /// A new attachment touches its record.
    pub attachment_touches_parent: bool,
    /// OAuth errors have the names of RFC 6749 (`invalid_grant`, ...) and status 400.
    pub rfc_oauth_errors: bool,
    /// `generateMac` reads its text as ISO 8859-1: what is not in it becomes `?`.
    pub mac_in_latin1: bool,
    /// Dates in queries are read in the user's time zone.
    pub dates_in_user_zone: bool,
    /// `sys_journal_field.name` is the base table (`task`), not the record's class.
    pub journal_names_base: bool,
    /// The journal row is not there yet when the record's own after-rules run.
    pub journal_row_late: bool,
    /// A batch counts once against rate rules, not once per request in it.
    pub batch_counts_once: bool,
    /// A negative offset is read as 0 instead of refused.
    pub negative_offset_ignored: bool,
    /// A write that changes nothing counts as a change.
    pub no_change_counts: bool,
    /// So many failed Basic sign-ins in a row lock an account; 0 is never.
    pub lock_out_after: u32,
    /// A number or boolean in a write is refused; only texts are taken.
    pub texts_only: bool,
    /// Rows without an order come in a different one every time.
    pub random_order: bool,
    /// No `Link` header, whatever the page.
    pub no_link_header: bool,
    /// A path that is none is answered 404 instead of 400.
    pub unknown_path_404: bool,
    /// A reference whose row is gone is shown as empty.
    pub dangling_is_empty: bool,
    /// A row of an import set that failed is answered with status 400 instead of 201.
    pub import_error_400: bool,
}

impl Quirks {
    /// Each switch alone: its name and the quirks with just that one on.
    #[must_use]
    pub fn each() -> Vec<(String, Quirks)> {
        let Ok(serde_json::Value::Object(all)) = serde_json::to_value(Quirks::default()) else {
            return Vec::new();
        };
        all.into_iter()
            .filter_map(|(name, off)| {
                let on = if off.is_boolean() { serde_json::json!(true) } else { 20.into() };
                let quirks = serde_json::from_value(serde_json::json!({ name.clone(): on }));
                Some((name, quirks.ok()?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_is_there_once() {
        let each = Quirks::each();
        assert!(each.len() >= 20);
        for (name, quirks) in each {
            assert_ne!(quirks, Quirks::default(), "{name}");
        }
    }
}
