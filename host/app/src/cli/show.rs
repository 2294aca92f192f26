//! What is printed, and what is asked before something that cannot be taken back.
#![allow(clippy::print_stderr)]

use anyhow::{Result, bail};
use serde_json::Value as Json;

use super::Format;

/// Prints a line; a reader that has gone (`| head`) is no reason to complain.
macro_rules! say {
    ($($text:tt)*) => {{
        let written = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*)));
        if let Err(why) = written {
            $crate::cli::show::unwritten(&why);
        }
    }};
}
pub(super) use say;

/// What was to be printed has no place: a reader that has gone wants no more, anything else is told.
pub(crate) fn unwritten(why: &std::io::Error) -> ! {
    if why.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    eprintln!("firn: what was to be printed cannot be written: {why}");
    std::process::exit(1);
}

/// Asks whether something is really to be done.
///
/// # Errors
/// When it is not.
pub(super) fn confirm(question: &str) -> Result<()> {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        bail!("nothing was done (--yes does not ask)")
    }
}

/// A value in a cell.
pub(super) fn cell(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A field's shape in words.
pub(super) fn shape(value: &Json) -> String {
    match value {
        Json::Object(attributes) if attributes.len() == 1 => {
            attributes.values().map(cell).collect()
        }
        Json::Object(attributes) => {
            attributes.iter().map(|(n, v)| format!("{n}={}", cell(v))).collect::<Vec<_>>().join(" ")
        }
        other => cell(other),
    }
}

/// Rows as a table that fits the terminal, or as JSON.
pub(super) fn table(rows: &Json, columns: &[&str], format: Format) {
    if let Format::Json = format {
        say!("{rows:#}");
        return;
    }
    let rows = rows.as_array().cloned().unwrap_or_default();
    if rows.is_empty() {
        say!("none");
        return;
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|c| c.to_uppercase().replace('_', " ")));
    for row in rows {
        table.add_row(columns.iter().map(|c| cell(&row[*c])));
    }
    say!("{table}");
}
