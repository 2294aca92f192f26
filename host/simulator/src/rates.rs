//! Rate rules (`sys_rate_limit_rules`): so many requests an hour, by user, by role, or for all. The
//! rule for a user goes before that for a role, and that before the one for all; of several roles the
//! lowest limit counts. A stock instance has none, and then no header tells of any.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::signin::has_role;
use crate::tables::{Record, Tables};

/// Requests of this hour, by rule and user.
#[derive(Default)]
pub(crate) struct Rates {
    hour: u64,
    counts: BTreeMap<(String, String), u64>,
}

/// What a rule says of a request.
pub(crate) enum Counted {
    /// No rule is about it.
    Free,
    /// It is within the limit.
    Within { limit: u64, reset: u64, rule: String },
    /// It is not.
    Over { limit: u64, reset: u64, rule: String, retry_after: u64 },
}

impl Rates {
    /// Counts a request.
    pub(crate) fn count(&mut self, tables: &Tables, user: &str, path: &str) -> Counted {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let hour = seconds / 3_600;
        if self.hour != hour {
            self.counts.clear();
            self.hour = hour;
        }
        let Some(rule) = rule(tables, user, path) else { return Counted::Free };
        let of = |name: &str| rule.get(name).cloned().unwrap_or_default();
        let limit = of("request_limit").parse().unwrap_or(u64::MAX);
        let (id, reset) = (of("sys_id"), (hour + 1) * 3_600);
        let count = self.counts.entry((id.clone(), user.to_owned())).or_default();
        if *count >= limit {
            let retry_after = reset.saturating_sub(seconds).max(1);
            return Counted::Over { limit, reset, rule: id, retry_after };
        }
        *count += 1;
        Counted::Within { limit, reset, rule: id }
    }
}

fn rule<'t>(tables: &'t Tables, user: &str, path: &str) -> Option<&'t Record> {
    let of = |row: &Record, name: &str| row.get(name).cloned().unwrap_or_default();
    let rules: Vec<&Record> = tables
        .of("sys_rate_limit_rules")
        .filter(|row| of(row, "active") == "true")
        .filter(|row| of(row, "rest_api").is_empty() || path.contains(&of(row, "rest_api")))
        .collect();
    let kind = |name: &str| {
        let name = name.to_owned();
        rules.iter().copied().filter(move |row| of(row, "type") == name)
    };
    let lowest = |row: &&Record| of(row, "request_limit").parse::<u64>().unwrap_or(u64::MAX);
    kind("user")
        .find(|row| of(row, "user") == user)
        .or_else(|| {
            kind("role").filter(|row| has_role(tables, user, &of(row, "role"))).min_by_key(lowest)
        })
        .or_else(|| kind("all").min_by_key(lowest))
}
