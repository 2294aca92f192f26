//! Encoded queries: the common part of the grammar. What is not understood is dropped without a
//! word, as an instance does: the query then finds more, not less.

use std::cmp::Ordering;

use crate::tables::{Record, Tables};

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
    Between,
}

/// Longest first, so that `>=` is not `>`.
const OPERATORS: &[(&str, Operator)] = &[
    ("ISNOTEMPTY", Operator::NotEmpty),
    ("STARTSWITH", Operator::StartsWith),
    ("NOT LIKE", Operator::ContainsNot),
    ("ENDSWITH", Operator::EndsWith),
    ("BETWEEN", Operator::Between),
    ("ISEMPTY", Operator::Empty),
    ("NOT IN", Operator::NotIn),
    ("LIKE", Operator::Contains),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("IN", Operator::In),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
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
}

impl Query {
    pub(crate) fn parse(text: &str, tables: &Tables, table: &str) -> Query {
        let mut query = Query::default();
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
                let parsed = condition(rest).filter(known).map(|c| (or, c));
                let parsed = parsed.or_else(|| condition(part).filter(known).map(|c| (false, c)));
                match parsed {
                    Some((true, condition)) if !groups.is_empty() => {
                        if let Some(group) = groups.last_mut() {
                            group.push(condition);
                        }
                    }
                    Some((_, condition)) => groups.push(vec![condition]),
                    None => {} // Dropped, `EQ` and what nobody understands alike.
                }
            }
            query.clauses.push(groups);
        }
        query
    }

    pub(crate) fn matches(&self, tables: &Tables, record: &Record) -> bool {
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

impl Condition {
    fn matches(&self, tables: &Tables, record: &Record) -> bool {
        let there = tables.walk(record, &self.field);
        let lower = there.to_lowercase();
        let value = self.value.to_lowercase();
        let shown = || tables.display_of(record, &self.field).to_lowercase();
        match self.operator {
            Operator::Equal => lower == value,
            Operator::NotEqual => lower != value,
            Operator::Less => values(&there, &self.value) == Ordering::Less,
            Operator::LessOrEqual => values(&there, &self.value) != Ordering::Greater,
            Operator::Greater => values(&there, &self.value) == Ordering::Greater,
            Operator::GreaterOrEqual => values(&there, &self.value) != Ordering::Less,
            Operator::Contains => shown().contains(&value),
            Operator::ContainsNot => !shown().contains(&value),
            Operator::StartsWith => shown().starts_with(&value),
            Operator::EndsWith => shown().ends_with(&value),
            Operator::In => value.split(',').any(|v| v == lower),
            Operator::NotIn => value.split(',').all(|v| v != lower),
            Operator::Empty => there.is_empty(),
            Operator::NotEmpty => !there.is_empty(),
            Operator::Between => match self.value.split_once('@') {
                Some((from, to)) => {
                    values(&there, from) != Ordering::Less
                        && values(&there, to) != Ordering::Greater
                }
                None => true,
            },
        }
    }
}
