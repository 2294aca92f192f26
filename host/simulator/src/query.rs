//! Encoded queries: the common part of the grammar. What is not understood is dropped without a
//! word, as an instance does: the query then finds more, not less.

use std::cmp::Ordering;

use crate::schema;
use crate::tables::{Record, Tables};
use crate::view::Zone;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    ContainsNot,
    StartsWith,
    EndsWith,
    In,
    NotIn,
    Empty,
    NotEmpty,
    EmptyString,
    Anything,
    Between,
    On,
    NotOn,
    SameAs,
    NotSameAs,
    GreaterField,
    LessField,
    GreaterOrEqualField,
    LessOrEqualField,
    RelativeAfter,
    RelativeFrom,
    RelativeBefore,
    RelativeUntil,
    RelativeOn,
}

/// Longest first, so that `>=` is not `>`.
const OPERATORS: &[(&str, Operator)] = &[
    ("GT_OR_EQUALS_FIELD", Operator::GreaterOrEqualField),
    ("LT_OR_EQUALS_FIELD", Operator::LessOrEqualField),
    ("EMPTYSTRING", Operator::EmptyString),
    ("ISNOTEMPTY", Operator::NotEmpty),
    ("STARTSWITH", Operator::StartsWith),
    ("RELATIVEGT", Operator::RelativeAfter),
    ("RELATIVEGE", Operator::RelativeFrom),
    ("RELATIVELT", Operator::RelativeBefore),
    ("RELATIVELE", Operator::RelativeUntil),
    ("RELATIVEEE", Operator::RelativeOn),
    ("NOT LIKE", Operator::ContainsNot),
    ("ENDSWITH", Operator::EndsWith),
    ("GT_FIELD", Operator::GreaterField),
    ("LT_FIELD", Operator::LessField),
    ("ANYTHING", Operator::Anything),
    ("NSAMEAS", Operator::NotSameAs),
    ("BETWEEN", Operator::Between),
    ("ISEMPTY", Operator::Empty),
    ("NOT IN", Operator::NotIn),
    ("SAMEAS", Operator::SameAs),
    ("NOTON", Operator::NotOn),
    ("LIKE", Operator::Contains),
    ("!=", Operator::NotEqual),
    ("!*", Operator::ContainsNot),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("IN", Operator::In),
    ("ON", Operator::On),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("*", Operator::Contains),
    ("%", Operator::EndsWith),
];

#[derive(Debug, Clone)]
struct Condition {
    field: String,
    operator: Operator,
    value: String,
}

/// An encoded query: any of its clauses, each of which needs all of its groups, each of which
/// needs any of its conditions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    clauses: Vec<Vec<Vec<Condition>>>,
    order: Vec<(String, bool)>,
    /// Something was not understood, and the instance wants no rows then.
    nothing: bool,
}

/// A caret within a value, where `^^` stands for one.
const CARET: char = '\u{1}';

impl Query {
    /// A query of the instance's own: a rule's filter.
    pub(crate) fn parse(text: &str, tables: &Tables, table: &str) -> Query {
        Query::parse_for(text, tables, table, "system", &Zone::default())
    }

    /// A user's query: `javascript:` knows who asks, and dates may be theirs.
    pub(crate) fn parse_for(
        text: &str,
        tables: &Tables,
        table: &str,
        user: &str,
        zone: &Zone,
    ) -> Query {
        let mut query = Query::default();
        let strict = tables
            .first("sys_properties", "name", "glide.invalid_query.returns_no_rows")
            .is_some_and(|row| row.get("value").is_some_and(|value| value == "true"));
        let escaped = tables.quirks.caret_escape.then(|| text.replace("^^", &CARET.to_string()));
        let text = escaped.as_deref().unwrap_or(text);
        let ready = |mut condition: Condition| {
            condition.value = condition.value.replace(CARET, "^");
            let literal = !condition.value.contains("javascript:");
            evaluated(&mut condition, tables, user);
            let theirs = tables.quirks.dates_in_user_zone && literal;
            if theirs && schema::is_date(&condition.field) {
                let read = |one: &str| zone.utc(one).unwrap_or_else(|| one.to_owned());
                condition.value =
                    condition.value.split('@').map(read).collect::<Vec<_>>().join("@");
            }
            condition
        };
        for clause in text.split("^NQ") {
            let mut groups: Vec<Vec<Condition>> = Vec::new();
            for part in clause.split('^') {
                let order = part
                    .strip_prefix("ORDERBYDESC")
                    .map(|field| (field, true))
                    .or_else(|| part.strip_prefix("ORDERBY").map(|field| (field, false)));
                if let Some((field, descending)) = order {
                    query.order.push((field.to_owned(), descending));
                    continue;
                }
                let (or, rest) = part.strip_prefix("OR").map_or((false, part), |rest| (true, rest));
                // A field may begin with OR; then the whole part has to make sense as it is.
                let known = |c: &Condition| tables.has_column(table, &c.field);
                let parsed = condition(rest).filter(known).map(|c| (or, ready(c)));
                let parsed =
                    parsed.or_else(|| condition(part).filter(known).map(|c| (false, ready(c))));
                match parsed {
                    Some((true, condition)) if !groups.is_empty() => {
                        if let Some(group) = groups.last_mut() {
                            group.push(condition);
                        }
                    }
                    Some((_, condition)) => groups.push(vec![condition]),
                    // Dropped without a word, unless the instance is told to be strict.
                    None => query.nothing |= strict && !matches!(part, "" | "EQ"),
                }
            }
            query.clauses.push(groups);
        }
        query
    }

    pub(crate) fn matches(&self, tables: &Tables, record: &Record) -> bool {
        !self.nothing && self.matches_any(tables, record)
    }

    fn matches_any(&self, tables: &Tables, record: &Record) -> bool {
        self.clauses.is_empty()
            || self.clauses.iter().any(|groups| {
                groups.iter().all(|group| group.iter().any(|c| c.matches(tables, record)))
            })
    }

    pub(crate) fn compare(&self, tables: &Tables, a: &Record, b: &Record) -> Ordering {
        for (field, descending) in &self.order {
            let order = values(&tables.walk(a, field), &tables.walk(b, field));
            let order = if *descending { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// A condition on one field: the operator is the first one after a run of field characters.
fn condition(part: &str) -> Option<Condition> {
    let name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.';
    let end = part.bytes().position(|b| !name(b))?;
    let (field, rest) = part.split_at(end);
    let (text, operator) = OPERATORS.iter().find(|(text, _)| rest.starts_with(text))?;
    (!field.is_empty()).then(|| Condition {
        field: field.to_owned(),
        operator: *operator,
        value: rest[text.len()..].to_owned(),
    })
}

/// Numbers as numbers, everything else as text.
fn values(a: &str, b: &str) -> Ordering {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// `javascript:` values: a few functions of an instance are known, and nothing else is run.
fn evaluated(condition: &mut Condition, tables: &Tables, user: &str) {
    let one = |value: &str| -> String {
        let Some(script) = value.strip_prefix("javascript:") else { return value.to_owned() };
        called(script.trim().trim_end_matches(';'), tables, user).unwrap_or_default()
    };
    condition.value = match condition.operator {
        // Label, start and end.
        Operator::On | Operator::NotOn | Operator::Between => {
            condition.value.split('@').map(one).collect::<Vec<_>>().join("@")
        }
        _ => one(&condition.value),
    };
}

fn called(script: &str, tables: &Tables, user: &str) -> Option<String> {
    let (name, rest) = script.strip_prefix("gs.")?.split_once('(')?;
    let arguments: Vec<String> = rest
        .strip_suffix(')')?
        .split(',')
        .map(|a| a.trim().trim_matches(['\'', '"']).to_owned())
        .filter(|a| !a.is_empty())
        .collect();
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let text = |at: &jiff::Zoned| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let number = || arguments.first()?.parse::<i64>().ok();
    let day = |at: &jiff::Zoned| at.start_of_day().ok();
    let last = |at: &jiff::Zoned| {
        day(at)?
            .checked_add(jiff::Span::new().days(1))
            .ok()?
            .checked_sub(jiff::Span::new().seconds(1))
            .ok()
    };
    let back = |span: jiff::Span| now.checked_sub(span).ok();
    Some(match name {
        "getUserID" => {
            let row = tables.first("sys_user", "user_name", user)?;
            row.get("sys_id").cloned()?
        }
        "beginningOfToday" => text(&day(&now)?),
        "endOfToday" => text(&last(&now)?),
        "daysAgoStart" => text(&day(&back(jiff::Span::new().try_days(number()?).ok()?)?)?),
        "daysAgoEnd" => text(&last(&back(jiff::Span::new().try_days(number()?).ok()?)?)?),
        "daysAgo" => text(&back(jiff::Span::new().try_days(number()?).ok()?)?),
        "hoursAgoStart" | "hoursAgo" => text(&back(jiff::Span::new().try_hours(number()?).ok()?)?),
        "minutesAgoStart" | "minutesAgo" => {
            text(&back(jiff::Span::new().try_minutes(number()?).ok()?)?)
        }
        "dateGenerate" => {
            let [date, time] = arguments.as_slice() else { return None };
            let shown = format!("{date} {time}");
            Zone::of(tables, user).utc(&shown).unwrap_or(shown)
        }
        _ => return None,
    })
}

/// `@hour@ago@1`: an instant relative to now.
fn relative(value: &str) -> Option<String> {
    let mut parts = value.trim_start_matches('@').split('@');
    let (unit, way, count) = (parts.next()?, parts.next()?, parts.next()?.parse::<i64>().ok()?);
    let span = jiff::Span::new();
    let span = match unit {
        "minute" => span.try_minutes(count),
        "hour" => span.try_hours(count),
        "dayofweek" | "day" => span.try_days(count),
        "month" => span.try_months(count),
        "quarter" => span.try_months(count.checked_mul(3)?),
        "year" => span.try_years(count),
        _ => return None,
    };
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let at = match way {
        "ago" => now.checked_sub(span.ok()?),
        "ahead" => now.checked_add(span.ok()?),
        _ => return None,
    };
    Some(at.ok()?.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

impl Condition {
    fn matches(&self, tables: &Tables, record: &Record) -> bool {
        self.matches_plainly(tables, record).unwrap_or_else(|| self.matches_any_way(tables, record))
    }

    /// What most queries ask, of a column of the row itself: it is asked of every row of a table, so nothing
    /// is copied for it.
    fn matches_plainly(&self, tables: &Tables, record: &Record) -> Option<bool> {
        if self.field.contains('.') {
            return None;
        }
        let there = record.get(&self.field).map_or("", String::as_str);
        let exact = tables.quirks.case_sensitive;
        let same = |value: &str| match (exact, there.is_ascii() && value.is_ascii()) {
            (true, _) => there == value,
            (false, true) => there.eq_ignore_ascii_case(value),
            (false, false) => there.to_lowercase() == value.to_lowercase(),
        };
        Some(match self.operator {
            Operator::Equal => same(&self.value),
            Operator::NotEqual => !same(&self.value),
            Operator::In => self.value.split(',').any(same),
            Operator::NotIn => !self.value.split(',').any(same),
            Operator::Less => values(there, &self.value) == Ordering::Less,
            Operator::LessOrEqual => values(there, &self.value) != Ordering::Greater,
            Operator::Greater => values(there, &self.value) == Ordering::Greater,
            Operator::GreaterOrEqual => values(there, &self.value) != Ordering::Less,
            _ => return None,
        })
    }

    fn matches_any_way(&self, tables: &Tables, record: &Record) -> bool {
        let there = tables.walk(record, &self.field);
        let exact = tables.quirks.case_sensitive;
        let fold = |text: &str| if exact { text.to_owned() } else { text.to_lowercase() };
        let (plain, value) = (fold(&there), fold(&self.value));
        let shown = || fold(&tables.display_of(record, &self.field));
        let other = || tables.walk(record, &self.value);
        let between = |from: &str, to: &str| {
            values(&there, from) != Ordering::Less && values(&there, to) != Ordering::Greater
        };
        let on = || {
            let mut parts = self.value.split('@').skip(1);
            match (parts.next(), parts.next()) {
                (Some(from), Some(to)) => between(from, to),
                _ => there.starts_with(self.value.as_str()),
            }
        };
        let since = |fits: fn(Ordering) -> bool| {
            relative(&self.value).is_none_or(|at| fits(values(&there, &at)))
        };
        match self.operator {
            Operator::Equal => plain == value,
            Operator::NotEqual => plain != value,
            Operator::Less => values(&there, &self.value) == Ordering::Less,
            Operator::LessOrEqual => values(&there, &self.value) != Ordering::Greater,
            Operator::Greater => values(&there, &self.value) == Ordering::Greater,
            Operator::GreaterOrEqual => values(&there, &self.value) != Ordering::Less,
            Operator::Contains => shown().contains(&value),
            Operator::ContainsNot => !shown().contains(&value),
            Operator::StartsWith => shown().starts_with(&value),
            Operator::EndsWith => shown().ends_with(&value),
            Operator::In => value.split(',').any(|v| v == plain),
            Operator::NotIn => value.split(',').all(|v| v != plain),
            Operator::Empty | Operator::EmptyString => there.is_empty(),
            Operator::NotEmpty => !there.is_empty(),
            Operator::Anything => true,
            Operator::Between => match self.value.split_once('@') {
                Some((from, to)) => between(from, to),
                None => true,
            },
            Operator::On => on(),
            Operator::NotOn => !on(),
            Operator::SameAs => there == other(),
            Operator::NotSameAs => there != other(),
            Operator::GreaterField => values(&there, &other()) == Ordering::Greater,
            Operator::LessField => values(&there, &other()) == Ordering::Less,
            Operator::GreaterOrEqualField => values(&there, &other()) != Ordering::Less,
            Operator::LessOrEqualField => values(&there, &other()) != Ordering::Greater,
            Operator::RelativeAfter => since(|o| o == Ordering::Greater),
            Operator::RelativeFrom => since(|o| o != Ordering::Less),
            Operator::RelativeBefore => since(|o| o == Ordering::Less),
            Operator::RelativeUntil => since(|o| o != Ordering::Greater),
            Operator::RelativeOn => since(|o| o == Ordering::Equal),
        }
    }
}
