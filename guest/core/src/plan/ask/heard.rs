//! What a tenant's rules say, taken in. Nothing of it is believed: it is checked like whatever comes from
//! outside, and what does not pass counts as a failure of theirs.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::rule::sound::{checked, columns, columns_of, not_theirs, shortened, ticket};
use firn_model::rule::{
    Admission, Answer, Arbitrated, Arbitration, Failing, Question, Ruled, Ruling, Said, Turn,
    Verdict, Winner,
};
use firn_model::{
    Attribute, Audit, Decision, Ended, FieldName, FindingKind, Hook, Link, Millis, OnRuleFailure,
    Shape, Side, TableName, Tombstone, Value,
};

use super::shown::word;
use super::{Planner, SOON};
use crate::journal::Neighbours;
use crate::mapping::{self, Untranslatable};
use crate::merge;
use crate::observe;
use crate::plan::Effects;
use crate::settings::{FieldMapping, Mapping, Rules};

/// The most characters of a reason that is kept.
const REASON: usize = 300;
/// How late rules that failed are asked again, at the latest. In milliseconds.
const LATEST: u64 = 60_000;

/// What came of a question.
enum Heard {
    Said(Said),
    /// It goes on as if there were no rules.
    Skipped,
    Waits(Failing),
}

impl Planner<'_> {
    /// Takes an answer in.
    pub(in crate::plan) fn hear(&mut self, question: &Question, answer: &Answer) {
        match question {
            Question::Admit => {
                let turn = self.link.beginning.admit.clone();
                self.link.beginning.admit = self.turn(Hook::Admit, &turn, answer, Planner::admit);
            }
            Question::Classify { .. } => {
                let turn = self.link.beginning.classify.clone();
                let turn = self.turn(Hook::Classify, &turn, answer, Planner::classify);
                self.link.beginning.classify = turn;
            }
            Question::Draft { .. } => {
                let turn = self.link.beginning.draft.clone();
                self.link.beginning.draft = self.turn(Hook::Draft, &turn, answer, Planner::draft);
            }
            Question::Value { field, from, .. } => self.hear_value(field, *from, answer),
            Question::Conflict { field, .. } => self.hear_winner(field, answer),
            // No step of a pair: it is asked when a ticket is over.
            Question::Summary { .. } => {}
        }
    }

    fn turn(
        &mut self,
        hook: Hook,
        turn: &Turn,
        answer: &Answer,
        take: impl FnOnce(&mut Self, Said) -> Result<(), String>,
    ) -> Turn {
        let tries = match turn {
            Turn::Failing(failing) => failing.tries,
            Turn::Over | Turn::Open => 0,
        };
        let heard = match self.heard(hook, tries, answer) {
            Heard::Said(said) => match take(self, said) {
                Ok(()) => return Turn::Over,
                Err(why) => self.heard(hook, tries, &Answer::Failed(why)),
            },
            heard => heard,
        };
        match heard {
            Heard::Waits(failing) => Turn::Failing(failing),
            Heard::Said(_) | Heard::Skipped => Turn::Over,
        }
    }

    fn heard(&mut self, hook: Hook, tries: u32, answer: &Answer) -> Heard {
        let skips = self.rules.settings().on_rule_failure == OnRuleFailure::Skip;
        let version = self.version();
        let waits = |again| Heard::Waits(Failing { why: None, tries, again, version });
        let why = match answer {
            Answer::Said(said) if said.hook() == hook => return Heard::Said(said.clone()),
            Answer::Said(_) => "it answered another question",
            Answer::Resting(_) if skips => return Heard::Skipped,
            Answer::Resting(again) | Answer::Later(again) => {
                return waits((*again).max(self.now.plus(50)));
            }
            Answer::Failed(why) => why,
        };
        let why = self.reason(why);
        self.failures.push(why.clone());
        let then = if skips {
            "what it was about went on without them"
        } else {
            "what it was about waits, and they are asked again; mend them, or set on_rule_failure to skip"
        };
        let hook = hook.name();
        self.find_of_all(
            FindingKind::RulesFailed,
            format!("the rules (version {version}) failed at {hook}: {why}; {then}"),
        );
        if skips {
            return Heard::Skipped;
        }
        let pause = SOON.saturating_mul(1 << tries.min(10)).min(LATEST);
        Heard::Waits(Failing {
            why: Some(format!("{hook}: {why}")),
            tries: tries.saturating_add(1),
            again: self.now.plus(pause),
            version,
        })
    }

    /// A reason as it may be kept and shown.
    fn reason(&self, why: &str) -> String {
        let plain: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.rules.masks().shown(&mapping::cut(plain.trim().to_owned(), REASON))
    }

    fn admit(&mut self, said: Said) -> Result<(), String> {
        let Said::Admit(Admission::No(why)) = said else { return Ok(()) };
        let why = self.reason(&why);
        self.noted("filtered", format!("the rules do not want it: {why}"));
        self.link.draft = None;
        self.link.tombstone = Some(Tombstone { why: Ended::Declined { why }, at: self.now });
        Ok(())
    }

    fn noted(&mut self, event: &str, note: String) {
        self.effects.audit.push(Audit {
            integration: self.link.integration.clone(),
            link: Some(self.link.id.clone()),
            at: self.now,
            event: event.to_owned(),
            key: None,
            side: None,
            fields: Vec::new(),
            note: Some(note),
        });
    }

    /// Notes what rules chose for a new ticket: the names of columns, as their values are what people said. Those
    /// of mapped fields are set by the mapping, whatever rules chose.
    fn chosen(&mut self, hook: Hook, table: Option<&TableName>, columns: &[Attribute]) {
        let fields = self.rules.fields(table.unwrap_or(&self.link.table));
        let mapped: BTreeSet<Attribute> =
            fields.iter().flat_map(|field| mapping::attributes(field, Side::External)).collect();
        let mut what: Vec<String> =
            table.map(|table| format!("the table {table}")).into_iter().collect();
        what.extend(columns.iter().map(|column| {
            let own = if mapped.contains(column) { " (if its field says nothing)" } else { "" };
            format!("{column}{own}")
        }));
        if !what.is_empty() {
            let (version, hook) = (self.version(), hook.name());
            self.noted(
                "ruled",
                format!("the rules (version {version}, {hook}) chose {}", what.join(", ")),
            );
        }
    }

    fn classify(&mut self, said: Said) -> Result<(), String> {
        let Said::Classify(class) = said else { return Ok(()) };
        let table = class.table.as_deref();
        let table = table.map(|name| ticket(name, |table| self.rules.takes(table))).transpose()?;
        let set = self.set_columns(&columns_of(class)?)?;
        self.chosen(Hook::Classify, table.as_ref(), &set);
        if let Some(table) = table.filter(|table| *table != self.link.table) {
            // Its fields are others: what the platform has is to be seen in their light.
            observe::reclass(self.rules, &mut self.link, table);
        }
        Ok(())
    }

    fn draft(&mut self, said: Said) -> Result<(), String> {
        let Said::Draft(columns) = said else { return Ok(()) };
        let set = self.set_columns(&columns)?;
        self.chosen(Hook::Draft, None, &set);
        Ok(())
    }

    /// All of them, or none. Gives their names.
    fn set_columns(&mut self, given: &BTreeMap<String, String>) -> Result<Vec<Attribute>, String> {
        let key = &self.rules.settings().correlation.column;
        let mut set = BTreeMap::new();
        for (column, value) in columns(given)? {
            if column == *key {
                return Err(not_theirs(&column));
            }
            // Rules may put anything together; it leaves masked like everything else.
            let masked = self.rules.masks().draft(column.as_str(), value);
            set.insert(column, Value::text(masked));
        }
        let names = set.keys().cloned().collect();
        if let Some(draft) = &mut self.link.draft {
            for (column, value) in set {
                if value.is_empty() {
                    draft.set.remove(&column);
                    draft.without.insert(column);
                } else {
                    draft.without.remove(&column);
                    draft.set.insert(column, value);
                }
            }
        }
        Ok(names)
    }

    fn hear_value(&mut self, name: &FieldName, from: Side, answer: &Answer) {
        let Some(field) = self.rules.field(&self.link.table, name).cloned() else { return };
        let version = self.version();
        let Some(state) = self.link.fields.get(name) else { return };
        let Some(of) = state.shape(from).cloned() else { return };
        let tries = match state.ruled.get(&from) {
            Some(Ruled { of: known, ruling: Ruling::Failing(failing), .. }) if *known == of => {
                failing.tries
            }
            _ => 0,
        };
        let present = state.shape(from.other()).cloned();
        let mut withheld = None;
        let mut taken = |said: Said| match said {
            Said::Value(Verdict::Keep) => Ok(Ruling::Keep),
            Said::Value(Verdict::Withhold(why)) => {
                withheld = Some(why);
                Ok(Ruling::Withheld)
            }
            Said::Value(Verdict::Instead(value)) => {
                let made = self.made(&field, &value)?;
                let wanted = word(&field, Side::Platform, &made).unwrap_or_default();
                let stands = present
                    .as_ref()
                    .is_none_or(|there| merge::may_become(&field, from.other(), there, &wanted));
                if !stands {
                    return Err(format!("a guard of {name} forbids what it answered"));
                }
                Ok(Ruling::Instead(made))
            }
            _ => Err("it answered another question".to_owned()),
        };
        let checked = match answer {
            Answer::Said(said) => taken(said.clone()).map_err(Answer::Failed),
            other => Err(other.clone()),
        };
        let ruling =
            checked.unwrap_or_else(|answer| match self.heard(Hook::Value, tries, &answer) {
                Heard::Waits(failing) => Ruling::Failing(failing),
                Heard::Said(_) | Heard::Skipped => Ruling::Keep,
            });
        let withheld = withheld.map(|why| self.reason(&why));
        if let Some(state) = self.link.fields.get_mut(name) {
            let known = state.ruled.get(&from);
            let left_out = known.is_some_and(|known| known.left_out && known.of == of);
            state.ruled.insert(from, Ruled { version, of, ruling, left_out });
        }
        if let Some(why) = withheld {
            let text = format!(
                "the rules (version {version}) withhold {name} from the {} side: {why}; it is left as it is until one side changes it",
                from.other()
            );
            self.finding(FindingKind::RulesWithheld, &field, text);
        }
    }

    /// A value that rules gave, as the platform would write it.
    fn made(&self, field: &FieldMapping, value: &str) -> Result<Shape, String> {
        checked(value)?;
        let attribute = mapping::platform_attribute(field)
            .ok_or_else(|| format!("{} is made of several values", field.name))?;
        let value = match &field.mapping {
            Mapping::Text { mask: Some(mask), .. } | Mapping::Markup { mask: Some(mask), .. } => {
                mask.mask(Side::Platform, value)
            }
            _ => value.to_owned(),
        };
        let shape = Shape::one(attribute, Value::text(value));
        match mapping::to_external(field, &shape, None, &self.link.references) {
            Ok(_) | Err(Untranslatable::LookUp(_) | Untranslatable::UnknownReference) => Ok(shape),
            // It is shown to the platform and goes nowhere else.
            Err(Untranslatable::OneWay) if matches!(field.mapping, Mapping::Markup { .. }) => {
                Ok(shape)
            }
            Err(_) => Err(format!(
                "it answered {:?} for {}, which the settings do not know",
                shortened(&shape.to_string()),
                field.name
            )),
        }
    }

    fn hear_winner(&mut self, name: &FieldName, answer: &Answer) {
        let Some(field) = self.rules.field(&self.link.table, name).cloned() else { return };
        let version = self.version();
        let Some(state) = self.link.fields.get(name) else { return };
        let (Some(platform), Some(external)) =
            (state.shape(Side::Platform).cloned(), state.shape(Side::External).cloned())
        else {
            return;
        };
        let of = (platform.clone(), external.clone());
        let tries = match &state.arbitrated {
            Some(Arbitrated { of: known, ruling: Arbitration::Failing(failing), .. })
                if *known == of =>
            {
                failing.tries
            }
            _ => 0,
        };
        let forbidden = || format!("a guard of {name} forbids the value that it chose");
        let taken = |said: &Said| match said {
            Said::Conflict(Winner::Settings) => Ok((Arbitration::Settings, None)),
            Said::Conflict(Winner::Person) => Ok((Arbitration::Person, None)),
            Said::Conflict(Winner::Platform) => {
                if merge::may_write(&field, Side::External, &external, &platform) {
                    Ok((Arbitration::Decided, Some(platform.clone())))
                } else {
                    Err(forbidden())
                }
            }
            Said::Conflict(Winner::Servicenow) => {
                let shape = mapping::to_platform(&field, &external)
                    .map_err(|_| format!("it chose a value of {name} that does not translate"))?;
                if merge::may_write(&field, Side::Platform, &platform, &external) {
                    Ok((Arbitration::Decided, Some(shape)))
                } else {
                    Err(forbidden())
                }
            }
            Said::Conflict(Winner::Value(value)) => {
                let made = self.made(&field, value)?;
                let wanted = word(&field, Side::Platform, &made).unwrap_or_default();
                let may = merge::may_become(&field, Side::External, &external, &wanted)
                    && merge::may_become(&field, Side::Platform, &platform, &wanted);
                if may { Ok((Arbitration::Decided, Some(made))) } else { Err(forbidden()) }
            }
            _ => Err("it answered another question".to_owned()),
        };
        let checked = match answer {
            Answer::Said(said) => taken(said).map_err(Answer::Failed),
            other => Err(other.clone()),
        };
        let (ruling, decided) =
            checked.unwrap_or_else(|answer| match self.heard(Hook::Conflict, tries, &answer) {
                Heard::Waits(failing) => (Arbitration::Failing(failing), None),
                Heard::Said(_) | Heard::Skipped => (Arbitration::Settings, None),
            });
        if let Some(state) = self.link.fields.get_mut(name) {
            state.decision = decided.map(|platform| Decision {
                platform,
                seen: (Some(of.0.clone()), Some(of.1.clone())),
                by: format!("the rules (version {version})"),
                cause: firn_model::Cause::Conflict,
            });
            state.arbitrated = Some(Arbitrated { version, of, ruling });
        }
    }

    fn find_of_all(&mut self, kind: FindingKind, text: String) {
        self.find(kind, None, text);
        // One for the integration, not one for each of its links.
        if let Some(finding) = self.effects.findings.last_mut() {
            finding.link = None;
        }
    }
}

/// Whether what rules say to a question about a link would be taken.
///
/// # Errors
/// Why it is not, as a person is told.
pub fn judge(
    rules: &Rules,
    link: Link,
    question: &Question,
    answer: &Answer,
    now: Millis,
) -> Result<(), String> {
    let mut planner = Planner {
        rules,
        link,
        neighbours: Neighbours::default(),
        now,
        effects: Effects::default(),
        wants: BTreeMap::new(),
        held: BTreeMap::new(),
        rivals: Vec::new(),
        failures: Vec::new(),
    };
    planner.hear(question, answer);
    match planner.failures.pop() {
        Some(why) => Err(why),
        None => Ok(()),
    }
}
