//! A tenant's own rules: what they have to be asked before the next step, and what becomes of what they
//! say. Nothing that they say is believed: it is checked like whatever comes from outside, and what does
//! not pass counts as a failure of theirs.
//!
//! What was said is kept in the link, as long as what it was said of stays so. So a question is asked once,
//! and asking again could change nothing.

use std::collections::BTreeMap;

use firn_model::rule::{
    Admission, Answer, Arbitrated, Arbitration, Class, Failing, Question, Ruled, Ruling, Said,
    Subject, Turn, Verdict, Winner,
};
use firn_model::{
    Attribute, Audit, Decision, Ended, FieldName, FieldState, FindingKind, Hook, Inquiry, Link,
    Millis, OnRuleFailure, Seen, Shape, Side, SysId, TableName, Tombstone, Value, Why,
};

use super::{Effects, Planner, Want};
use crate::journal::Neighbours;
use crate::mapping::{self, Untranslatable};
use crate::merge;
use crate::observe;
use crate::settings::{FieldMapping, Mapping, Rules};

/// The most characters of one value that rules may give.
const LONGEST: usize = 32_768;
/// The most columns that rules may give a ticket.
const COLUMNS: usize = 64;
/// The most characters of a reason that is kept.
const REASON: usize = 300;
/// How soon rules that failed are asked again, and at the latest. In milliseconds.
const SOON: u64 = 1_000;
const LATEST: u64 = 60_000;
/// Columns that no rule may set: they are how a ticket is found, and how people are told things.
const OURS: [&str; 4] = ["number", "comments", "work_notes", "approval_history"];

/// How a value leaves, as far as rules have a say in it.
pub(super) enum Course {
    /// As it is.
    AsItIs,
    /// As rules of this version made it, as the platform would write it.
    Made(Shape, u64),
    /// Not now. Until when, if rules failed; else they have to be asked.
    Held(Option<Millis>),
    /// Not at all.
    Withheld,
}

/// What came of a question.
enum Heard {
    Said(Said),
    /// It goes on as if there were no rules.
    Skipped,
    Waits(Failing),
}

impl Planner<'_> {
    fn version(&self) -> u64 {
        self.rules.integration().rules.as_ref().map_or(0, |rules| rules.version)
    }

    fn asks(&self, hook: Hook) -> bool {
        self.rules.asks(hook)
    }

    /// What was said of values that are others now, or by rules that are asked no more, is forgotten.
    pub(super) fn forget(&mut self) {
        let (value, conflict) = (self.asks(Hook::Value), self.asks(Hook::Conflict));
        for state in self.link.fields.values_mut() {
            let FieldState { platform, external, ruled, arbitrated, .. } = state;
            ruled.retain(|from, ruled| {
                let seen = match from {
                    Side::Platform => platform.as_ref(),
                    Side::External => external.as_ref(),
                };
                (value || ruled.left_out) && seen.is_some_and(|seen| seen.shape == ruled.of)
            });
            let stands = arbitrated.as_ref().is_some_and(|known| {
                let shape = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.shape.clone());
                conflict
                    && shape(platform).as_ref() == Some(&known.of.0)
                    && shape(external).as_ref() == Some(&known.of.1)
            });
            if !stands {
                *arbitrated = None;
            }
        }
        let turns = [Hook::Admit, Hook::Classify, Hook::Draft].map(|hook| self.asks(hook));
        let begin = &mut self.link.beginning;
        for (turn, asked) in
            [&mut begin.admit, &mut begin.classify, &mut begin.draft].into_iter().zip(turns)
        {
            if !asked {
                *turn = Turn::Over;
            }
        }
    }

    /// What rules failed at and nobody needs any more is forgotten: the sides came to agree without it.
    pub(super) fn forget_needless(&mut self) {
        let creates = self.link.external.is_none() && self.link.draft.is_some();
        for (name, state) in &mut self.link.fields {
            let wants = &self.wants;
            state.ruled.retain(|from, ruled| {
                let wanted = wants.get(&from.other()).is_some_and(|wants| {
                    wants.iter().any(|want| want.field.name == *name && want.of == ruled.of)
                });
                creates || wanted || !matches!(ruled.ruling, Ruling::Failing(_))
            });
        }
    }

    /// What has to be asked before anything is sent.
    pub(super) fn questions(&mut self) -> Option<Inquiry> {
        if !self.rules.integration().enabled || self.link.tombstone.is_some() {
            return None;
        }
        let mut questions: Vec<Question> = std::mem::take(&mut self.rivals);
        let now = self.now;
        let version = self.version();
        let due = |turn: &Turn| match turn {
            Turn::Over => false,
            Turn::Open => true,
            // What failed is asked of the next version at once.
            Turn::Failing(failing) => failing.again <= now || failing.version != version,
        };
        let link = &self.link;
        let begin = &link.beginning;
        let creates = link.external.is_none() && link.draft.is_some();
        let seen =
            Side::BOTH.iter().all(|s| !link.side(*s).look && link.side(*s).exchange.is_none());
        if self.asks(Hook::Admit) && begin.admit.is_open() {
            if seen && due(&begin.admit) {
                questions.push(Question::Admit);
            }
        } else if creates && self.asks(Hook::Classify) && begin.classify.is_open() {
            if self.may_create() && due(&begin.classify) {
                let tables = self.rules.tables().cloned().collect();
                questions.push(Question::Classify { tables });
            }
        } else if creates && self.asks(Hook::Draft) && begin.draft.is_open() {
            if self.may_create() && due(&begin.draft) {
                let mut columns = self.rules.constants(&link.table);
                columns.extend(link.draft.clone().unwrap_or_default().set);
                let columns = columns.iter().map(|(c, v)| (c.to_string(), v.to_text())).collect();
                questions.push(Question::Draft { columns });
            }
        } else if self.asks(Hook::Value) {
            questions.extend(self.values());
        }
        if questions.is_empty() {
            return None;
        }
        Some(Inquiry { about: subject(self.rules, &self.link), questions })
    }

    /// Whether rules have still to say whether the pair is kept in step, or what its ticket is.
    pub(super) fn begins_later(&mut self, side: Side) -> bool {
        let begin = self.link.beginning.clone();
        let creates = self.link.external.is_none() && self.link.draft.is_some();
        let turns = [
            (Hook::Admit, begin.admit, true),
            (Hook::Classify, begin.classify, creates),
            (Hook::Draft, begin.draft, creates),
        ];
        for (hook, turn, concerned) in turns {
            if concerned && turn.is_open() && self.asks(hook) {
                if let Turn::Failing(failing) = turn {
                    self.hold(side, failing.again);
                }
                return true;
            }
        }
        false
    }

    /// Notes that a side has something to look at again then.
    pub(super) fn hold(&mut self, side: Side, until: Millis) {
        let held = self.held.entry(side).or_insert(until);
        *held = (*held).min(until);
    }

    fn idle(&self, side: Side) -> bool {
        let state = self.link.side(side);
        let paused = state.not_before.is_some_and(|until| until > self.now);
        let busy = side == Side::External && self.neighbours.busy;
        state.flight.is_none() && state.exchange.is_none() && !state.halted && !paused && !busy
    }

    fn may_create(&self) -> bool {
        let platform = &self.link.platform_side;
        self.link.external.is_none()
            && self.link.attach.is_none()
            && self.link.draft.is_some()
            && !platform.look
            && platform.exchange.is_none()
            && self.idle(Side::External)
            && self.rules.may_write(Side::External)
    }

    /// Values that are about to be written.
    fn values(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        if self.may_create() {
            for field in self.rules.fields(&self.link.table) {
                let Some(state) = self.link.fields.get(&field.name) else { continue };
                let Some(shape) = state.shape(Side::Platform).filter(|s| !s.is_empty()) else {
                    continue;
                };
                if let Course::Held(None) = self.course(Side::External, field, shape, &Why::Created)
                {
                    questions.extend(self.value(Side::External, field, shape));
                }
            }
        }
        for (side, wants) in &self.wants {
            let state = self.link.side(*side);
            if !self.idle(*side) || state.look || state.missing {
                continue;
            }
            for Want { field, of, why, .. } in wants {
                if let Course::Held(None) = self.course(*side, field, of, why) {
                    questions.extend(self.value(*side, field, of));
                }
            }
        }
        questions
    }

    fn value(&self, to: Side, field: &FieldMapping, of: &Shape) -> Option<Question> {
        let from = to.other();
        let state = self.link.fields.get(&field.name)?;
        let present = state.shape(to).and_then(|shape| word(field, to, shape));
        let value = word(field, from, of)?;
        Some(Question::Value { field: field.name.clone(), from, value, present })
    }

    /// How a value is to leave for a side. What a person decided leaves as it is.
    pub(super) fn course(&self, to: Side, field: &FieldMapping, of: &Shape, why: &Why) -> Course {
        let decided = matches!(why, Why::Resolved { .. } | Why::Reopened | Why::OtherGone);
        let Some(active) = self.rules.integration().rules.as_ref() else { return Course::AsItIs };
        if decided
            || !self.asks(Hook::Value)
            || !has_word(field)
            || word(field, to.other(), of).is_none()
        {
            return Course::AsItIs;
        }
        let state = self.link.fields.get(&field.name);
        match state.and_then(|state| state.ruled.get(&to.other())) {
            Some(ruled) if ruled.of == *of => match &ruled.ruling {
                // What failed is asked of the next version too.
                Ruling::Failing(failing)
                    if failing.again > self.now && ruled.version == active.version =>
                {
                    Course::Held(Some(failing.again))
                }
                Ruling::Failing(_) => Course::Held(None),
                _ if ruled.version != active.version => Course::Held(None),
                Ruling::Keep => Course::AsItIs,
                Ruling::Withheld => Course::Withheld,
                Ruling::Instead(shape) => Course::Made(shape.clone(), ruled.version),
            },
            _ => Course::Held(None),
        }
    }

    /// Whether a value of a new ticket waits for rules that could not be asked yet: then the ticket does. What
    /// they failed at goes without.
    pub(super) fn is_to_be_asked(&mut self, side: Side) -> bool {
        let mut waits = false;
        for field in self.rules.fields(&self.link.table) {
            let Some(state) = self.link.fields.get(&field.name) else { continue };
            let Some(shape) = state.shape(Side::Platform).filter(|s| !s.is_empty()) else {
                continue;
            };
            let ruling = state.ruled.get(&Side::Platform).map(|ruled| &ruled.ruling);
            let failed = matches!(ruling, Some(Ruling::Failing(Failing { why: Some(_), .. })));
            if let (Course::Held(until), false) =
                (self.course(Side::External, field, shape, &Why::Created), failed)
            {
                waits = true;
                self.hold(side, until.unwrap_or(self.now.plus(SOON)));
            }
        }
        waits
    }

    /// The platform's value that its ticket was made without, because rules failed at it or withhold it.
    pub(super) fn left_out(state: &FieldState) -> Option<Shape> {
        let shape = state.shape(Side::Platform)?;
        let ruled = state.ruled.get(&Side::Platform)?;
        let out = ruled.left_out && state.base.is_none() && ruled.of == *shape;
        out.then(|| shape.clone())
    }

    /// Whether the rules that are asked now withhold a value of the field.
    pub(super) fn withholds(&self, state: &FieldState) -> bool {
        let version = self.version();
        let now = |ruled: &Ruled| ruled.version == version && ruled.ruling == Ruling::Withheld;
        self.asks(Hook::Value) && state.ruled.values().any(now)
    }

    /// Whether both sides are as rules made them: what stands on the one is what became of the other.
    pub(super) fn is_as_ruled(&self, field: &FieldMapping, state: &FieldState) -> bool {
        let (Some(platform), Some(external)) =
            (state.shape(Side::Platform), state.shape(Side::External))
        else {
            return false;
        };
        self.asks(Hook::Value)
            && state.ruled.iter().any(|(from, ruled)| match (&ruled.ruling, from) {
                (Ruling::Instead(made), Side::Platform) => {
                    ruled.of == *platform && mapping::agree(field, made, external)
                }
                (Ruling::Instead(made), Side::External) => {
                    ruled.of == *external && mapping::same(field, Side::Platform, platform, made)
                }
                _ => false,
            })
    }

    // ---- two edits -----------------------------------------------------------------------

    /// Who is to decide between two edits of a field, where rules have a say in it: a person, because they said
    /// so, or nobody yet, because they have still to be asked. None: the settings, or it is decided.
    pub(super) fn arbitrated(
        &mut self,
        field: &FieldMapping,
        state: &FieldState,
    ) -> Option<Arbiter> {
        let version = self.rules.integration().rules.as_ref()?.version;
        let (Some(base), Some(platform), Some(external)) =
            (&state.base, &state.platform, &state.external)
        else {
            return None;
        };
        let apart =
            merge::moved(field, base, &platform.shape, &external.shape) == merge::Moved::Apart;
        if !apart || !self.asks(Hook::Conflict) || !has_word(field) {
            return None;
        }
        let words = (
            word(field, Side::Platform, &platform.shape)?,
            word(field, Side::External, &external.shape)?,
            word(field, Side::Platform, &base.platform)?,
        );
        let known = state.arbitrated.as_ref().filter(|a| {
            a.version == version && a.of == (platform.shape.clone(), external.shape.clone())
        });
        match known.map(|a| &a.ruling) {
            Some(Arbitration::Settings | Arbitration::Decided) => None,
            Some(Arbitration::Person) => Some(Arbiter::Person),
            Some(Arbitration::Failing(failing)) if failing.again > self.now => {
                for side in Side::BOTH {
                    self.hold(side, failing.again);
                }
                Some(Arbiter::Nobody)
            }
            Some(Arbitration::Failing(_)) | None => {
                let offset = |side: Side| self.link.side(side).clock.map_or(0, |c| c.offset());
                let at = |side, edited: Millis| edited.0.saturating_sub(offset(side));
                let lead = at(Side::Platform, platform.edited)
                    .saturating_sub(at(Side::External, external.edited));
                let (platform, servicenow, base) = words;
                let field = field.name.clone();
                self.rivals.push(Question::Conflict { field, platform, servicenow, base, lead });
                Some(Arbiter::Nobody)
            }
        }
    }

    // ---- what they say -------------------------------------------------------------------

    /// Takes an answer in.
    pub(super) fn hear(&mut self, question: &Question, answer: &Answer) {
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
        self.effects.audit.push(Audit {
            integration: self.link.integration.clone(),
            link: Some(self.link.id.clone()),
            at: self.now,
            event: "filtered".to_owned(),
            key: None,
            side: None,
            fields: Vec::new(),
            note: Some(format!("the rules do not want it: {why}")),
        });
        self.link.draft = None;
        self.link.tombstone = Some(Tombstone { why: Ended::Declined { why }, at: self.now });
        Ok(())
    }

    fn classify(&mut self, said: Said) -> Result<(), String> {
        let Said::Classify(Class { table, category, subcategory, assignment_group }) = said else {
            return Ok(());
        };
        let table = match table {
            Some(name) => {
                let table = TableName::new(name.clone()).ok().filter(|t| self.rules.takes(t));
                Some(table.ok_or_else(|| {
                    format!("{:?} is no kind of ticket of the settings", shortened(&name))
                })?)
            }
            None => None,
        };
        if let Some(group) = &assignment_group
            && SysId::new(group.clone()).is_err()
        {
            return Err(format!(
                "{:?} is no sys_id: an assignment group is named by its 32 hexadecimal digits",
                shortened(group)
            ));
        }
        let mut columns = BTreeMap::new();
        for (column, value) in [
            ("category", category),
            ("subcategory", subcategory),
            ("assignment_group", assignment_group),
        ] {
            columns.extend(value.map(|value| (column.to_owned(), value)));
        }
        self.set_columns(columns)?;
        if let Some(table) = table.filter(|table| *table != self.link.table) {
            // Its fields are others: what the platform has is to be seen in their light.
            observe::reclass(self.rules, &mut self.link, table);
        }
        Ok(())
    }

    fn draft(&mut self, said: Said) -> Result<(), String> {
        let Said::Draft(columns) = said else { return Ok(()) };
        self.set_columns(columns)
    }

    /// All of them, or none.
    fn set_columns(&mut self, columns: BTreeMap<String, String>) -> Result<(), String> {
        if columns.len() > COLUMNS {
            return Err(format!("it set {} columns; {COLUMNS} are the most", columns.len()));
        }
        let key = &self.rules.settings().correlation.column;
        let mut set = BTreeMap::new();
        for (name, value) in columns {
            let column = Attribute::new(name.to_ascii_lowercase())
                .map_err(|_| format!("{:?} is no column", shortened(&name)))?;
            let text = column.as_str();
            if text.starts_with("sys_")
                || OURS.contains(&text)
                || column == *key
                || text.contains('.')
            {
                return Err(format!("{column} is not for rules to set"));
            }
            checked(&value)?;
            // Rules may put anything together; it leaves masked like everything else.
            let masked = self.rules.masks().draft(text, &value);
            set.insert(column, Value::text(masked));
        }
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
        Ok(())
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
            Mapping::Text { mask: Some(mask), .. } => mask.mask(Side::Platform, value),
            _ => value.to_owned(),
        };
        let shape = Shape::one(attribute, Value::text(value));
        match mapping::to_external(field, &shape, None, &self.link.references) {
            Ok(_) | Err(Untranslatable::LookUp(_) | Untranslatable::UnknownReference) => Ok(shape),
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

/// Who is to decide between two edits, if not the settings.
pub(super) enum Arbiter {
    /// A person.
    Person,
    /// Nobody yet.
    Nobody,
}

/// What rules gave must be a text that any side can be given.
fn checked(value: &str) -> Result<(), String> {
    let characters = value.chars().count();
    if characters > LONGEST {
        return Err(format!("it gave a value of {characters} characters; {LONGEST} are the most"));
    }
    if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err("it gave a value with control characters".to_owned());
    }
    Ok(())
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Whether a field has one value that can be said in the platform's words.
pub(crate) fn has_word(field: &FieldMapping) -> bool {
    !matches!(field.mapping, Mapping::ToServicenow { .. } | Mapping::ToPlatform { .. })
}

/// A field's value on a side in the platform's words, as rules may see it: a text without its markup and
/// masked, as it leaves for the other side.
pub(crate) fn word(field: &FieldMapping, side: Side, shape: &Shape) -> Option<String> {
    match &field.mapping {
        Mapping::Text { mask, .. } => {
            let value = shape.0.values().next().cloned().unwrap_or_default();
            let text = mapping::spoken(field, side, &value);
            Some(mask.as_ref().map_or_else(|| text.clone(), |m| m.mask(side.other(), &text)))
        }
        _ => mapping::word(field, side, shape),
    }
}

/// What rules see of a link. Each text is as the other side would be given it.
#[must_use]
pub fn subject(rules: &Rules, link: &Link) -> Subject {
    let values = |side: Side| {
        let mut values = BTreeMap::new();
        for field in rules.fields(&link.table) {
            let Some(shape) = link.fields.get(&field.name).and_then(|s| s.shape(side)) else {
                continue;
            };
            let mask = match &field.mapping {
                Mapping::Text { mask, .. }
                | Mapping::ToServicenow { mask, .. }
                | Mapping::ToPlatform { mask, .. } => mask.as_ref(),
                _ => None,
            };
            for (attribute, value) in &shape.0 {
                let text = mapping::spoken(field, side, value);
                let text = mask.map_or_else(|| text.clone(), |m| m.mask(side.other(), &text));
                values.insert(attribute.to_string(), text);
            }
        }
        values
    };
    Subject {
        integration: rules.integration().slug.clone(),
        record: link.platform_id.to_string(),
        table: link.table.clone(),
        number: link.external.as_ref().and_then(|e| e.number.clone()),
        began: link.origin,
        platform: values(Side::Platform),
        ticket: values(Side::External),
        payload: link.draft.as_ref().and_then(|draft| draft.payload.clone()),
    }
}
