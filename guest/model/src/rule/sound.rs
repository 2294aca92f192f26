//! Whether what rules answer can be taken at all, whatever the settings are: sizes, names, characters.

use std::collections::BTreeMap;

use super::{Class, Question, Said, Verdict, Winner};
use crate::{Attribute, SysId, TableName};

/// The most characters of one value that rules may give.
const LONGEST: usize = 32_768;
/// The most columns that rules may give a ticket.
const COLUMNS: usize = 64;
/// Columns that no rule may set: they are how a ticket is found, and how people are told things.
const OURS: [&str; 4] = ["number", "comments", "work_notes", "approval_history"];

/// Whether an answer is one that can be taken at all, whatever the settings are.
///
/// # Errors
/// Why it is not, as a person is told.
pub fn sound(question: &Question, said: &Said) -> Result<(), String> {
    match (question, said) {
        (Question::Classify { tables }, Said::Classify(class)) => {
            let table = class.table.as_deref();
            table.map(|name| ticket(name, |table| tables.contains(table))).transpose()?;
            columns(&columns_of(class.clone())?).map(drop)
        }
        (_, Said::Draft(given)) => columns(given).map(drop),
        (_, Said::Value(Verdict::Instead(value)) | Said::Conflict(Winner::Value(value))) => {
            checked(value)
        }
        _ => Ok(()),
    }
}

/// A kind of ticket that there is.
///
/// # Errors
/// When there is none of the name that `takes` takes.
pub fn ticket(name: &str, takes: impl Fn(&TableName) -> bool) -> Result<TableName, String> {
    let table = TableName::new(name.to_owned()).ok().filter(takes);
    table.ok_or_else(|| format!("{:?} is no kind of ticket of the settings", shortened(name)))
}

/// The columns that a class is written to.
///
/// # Errors
/// When the group is no `sys_id`.
pub fn columns_of(class: Class) -> Result<BTreeMap<String, String>, String> {
    let Class { table: _, category, subcategory, assignment_group } = class;
    if let Some(group) = &assignment_group
        && SysId::new(group.clone()).is_err()
    {
        return Err(format!(
            "{:?} is no sys_id: an assignment group is named by its 32 hexadecimal digits",
            shortened(group)
        ));
    }
    let columns = [
        ("category", category),
        ("subcategory", subcategory),
        ("assignment_group", assignment_group),
    ];
    Ok(columns.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// Columns that rules may set, and what to.
///
/// # Errors
/// Names the first that is not for them, or whose value cannot be taken.
pub fn columns(given: &BTreeMap<String, String>) -> Result<BTreeMap<Attribute, &str>, String> {
    if given.len() > COLUMNS {
        return Err(format!("it set {} columns; {COLUMNS} are the most", given.len()));
    }
    let mut columns = BTreeMap::new();
    for (name, value) in given {
        let column = Attribute::new(name.to_ascii_lowercase())
            .map_err(|_| format!("{:?} is no column", shortened(name)))?;
        let text = column.as_str();
        if text.starts_with("sys_") || OURS.contains(&text) || text.contains('.') {
            return Err(not_theirs(&column));
        }
        checked(value)?;
        columns.insert(column, value.as_str());
    }
    Ok(columns)
}

/// What is said of a column that rules may not set.
#[must_use]
pub fn not_theirs(column: &Attribute) -> String {
    format!("{column} is not for rules to set")
}

/// What rules gave must be a text that any side can be given.
///
/// # Errors
/// Why it is none.
pub fn checked(value: &str) -> Result<(), String> {
    let characters = value.chars().count();
    if characters > LONGEST {
        return Err(format!("it gave a value of {characters} characters; {LONGEST} are the most"));
    }
    if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err("it gave a value with control characters".to_owned());
    }
    Ok(())
}

/// As much of a text as an error says.
#[must_use]
pub fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
