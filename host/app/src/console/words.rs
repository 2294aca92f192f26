//! Times, counts and lines of the audit, in words.

use firn_model::{Audit, Side};

/// A span of milliseconds since something, in words.
pub(super) fn since(millis: i64) -> String {
    let (text, ahead) = (millis.unsigned_abs() / 1_000, millis < -999);
    let words = match text {
        0..=1 => return "just now".to_owned(),
        2..=89 => format!("{text} s"),
        90..=5_399 => format!("{} min", (text + 30) / 60),
        5_400..=129_599 => format!("{} h", (text + 1_800) / 3_600),
        _ => format!("{} days", (text + 43_200) / 86_400),
    };
    if ahead { format!("in {words}") } else { format!("{words} ago") }
}

/// `1 link`, `2 links`, `no links`.
pub(super) fn count(n: i64, one: &str, many: Option<&str>) -> String {
    let many = many.map_or_else(|| format!("{one}s"), str::to_owned);
    match n {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    }
}

/// A line of the audit in words.
pub(super) fn of_line(line: &Audit) -> String {
    let side = |side: Side| match side {
        Side::Platform => "the platform",
        Side::External => "ServiceNow",
    };
    let fields: Vec<String> = line
        .fields
        .iter()
        .map(|written| {
            let name = written.field.as_ref().map_or("the record", |field| field.as_str());
            match &written.to {
                Some(to) if written.field.is_some() => {
                    let text = to.to_string();
                    let cut: String = text.chars().take(80).collect();
                    let more = if cut.len() < text.len() { "…" } else { "" };
                    format!("{name} is {cut}{more}")
                }
                _ => name.to_owned(),
            }
        })
        .collect();
    let mut said = fields.join(", ");
    if let Some(to) = line.side {
        let to = side(to);
        said = if said.is_empty() { format!("to {to}") } else { format!("{said}, sent to {to}") };
    }
    match (&line.note, said.is_empty()) {
        (None, _) => said,
        (Some(note), true) => note.clone(),
        (Some(note), false) => format!("{said}: {note}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_words() {
        for (millis, words) in [
            (0, "just now"),
            (1_999, "just now"),
            (2_000, "2 s ago"),
            (89_000, "89 s ago"),
            (90_000, "2 min ago"),
            (3_600_000, "60 min ago"),
            (7_200_000, "2 h ago"),
            (172_800_000, "2 days ago"),
            (-120_000, "in 2 min"),
        ] {
            assert_eq!(since(millis), words);
        }
    }

    #[test]
    fn counts_are_said_in_words() {
        assert_eq!(count(1, "link", None), "1 link");
        assert_eq!(count(0, "reply", Some("replies")), "no replies");
        assert_eq!(count(2, "link", None), "2 links");
    }
}
