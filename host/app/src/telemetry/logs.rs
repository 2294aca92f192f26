//! The log: one event a line, to standard error, as text for people or as JSON (`FIRN_LOG_FORMAT=json`). Only
//! the fields that are listed here are written; whoever adds another by mistake adds nothing to the log.

use std::fmt::Write;
use std::io::IsTerminal;

use firn_model::{Millis, rfc3339_text};
use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What may be said beside the message: names, kinds, counts and outcomes, never what a record says.
const FIELDS: &[&str] = &[
    "by",
    "bytes",
    "count",
    "event",
    "integration",
    "kind",
    "link",
    "method",
    "number",
    "outcome",
    "remote",
    "route",
    "row",
    "side",
    "status",
    "table",
    "tenant",
    "ticket",
    "took_ms",
    "why",
];

/// The longest that one field may be.
const LONGEST: usize = 2_000;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Logs {
    /// For people.
    #[default]
    Text,
    /// For what reads logs.
    Json,
}

/// Begins to write the log.
pub(crate) fn init(filter: EnvFilter, logs: Logs) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .event_format(Line(logs))
        .try_init();
}

struct Line(Logs);

#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Json>,
}

impl Said {
    fn keep(&mut self, field: &Field, value: impl Into<Json>) {
        if FIELDS.contains(&field.name()) {
            self.fields.insert(field.name().to_owned(), value.into());
        }
    }
}

/// Cut, and on one line: nobody forges a line by what they send.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len().min(LONGEST));
    for c in text.chars() {
        if plain.len() >= LONGEST {
            plain.push('…');
            break;
        }
        match c {
            '\n' => plain.push_str("\\n"),
            // Neither what moves the cursor nor what turns the line around.
            c if c.is_control() => plain.extend(c.escape_default()),
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                plain.extend(c.escape_unicode());
            }
            c => plain.push(c),
        }
    }
    plain
}

impl Visit for Said {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = plain(value);
        } else {
            self.keep(field, plain(value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default();
        let (time, level) = (rfc3339_text(Millis(now)), *event.metadata().level());
        let target = event.metadata().target();
        if self.0 == Logs::Json {
            let mut line = Map::new();
            line.insert("time".to_owned(), time.into());
            line.insert("level".to_owned(), level.as_str().to_ascii_lowercase().into());
            line.insert("target".to_owned(), target.into());
            line.insert("message".to_owned(), said.message.into());
            line.extend(said.fields);
            return writeln!(writer, "{}", Json::Object(line));
        }
        let ansi = writer.has_ansi_escapes();
        let (colour, dim, end) = match level {
            _ if !ansi => ("", "", ""),
            Level::ERROR => ("\u{1b}[31m", "\u{1b}[2m", "\u{1b}[0m"),
            Level::WARN => ("\u{1b}[33m", "\u{1b}[2m", "\u{1b}[0m"),
            Level::INFO => ("\u{1b}[32m", "\u{1b}[2m", "\u{1b}[0m"),
            _ => ("\u{1b}[34m", "\u{1b}[2m", "\u{1b}[0m"),
        };
        write!(
            writer,
            "{dim}{time}{end} {colour}{level:>5}{end} {dim}{target}:{end} {}",
            said.message
        )?;
        for (name, value) in &said.fields {
            let mut shown = String::new();
            match value {
                // A value that looks like two is quoted.
                Json::String(text) if text.contains([' ', '=', '"']) => write!(shown, "{text:?}")?,
                Json::String(text) => shown.push_str(text),
                other => write!(shown, "{other}")?,
            }
            write!(writer, " {dim}{name}={end}{shown}")?;
        }
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(logs: Logs, say: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .event_format(Line(logs))
            .finish();
        tracing::subscriber::with_default(subscriber, say);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn only_listed_fields_are_written_each_event_on_one_line() {
        let say = || {
            let password = "hunter2";
            tracing::warn!(integration = "genesys", status = 401, why = "no status=200\u{2028}", password, card = %"4111111111111111", "refused\nFAKE");
        };
        let json = written(Logs::Json, say);
        let line: Json = serde_json::from_str(&json).unwrap();
        assert_eq!(line["level"], "warn");
        assert_eq!(line["message"], "refused\\nFAKE");
        assert_eq!((&line["integration"], &line["status"]), (&"genesys".into(), &401.into()));
        let text = written(Logs::Text, say);
        let end =
            "refused\\nFAKE integration=genesys status=401 why=\"no status=200\\\\u{2028}\"\n";
        assert!(text.ends_with(end), "{text}");
        for said in [json, text] {
            assert!(!said.contains("hunter2") && !said.contains("4111"), "{said}");
            assert_eq!(said.lines().count(), 1);
        }
    }
}
