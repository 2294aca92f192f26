//! A user's writes, with everything that hangs on them: before-rules, the write itself, journal
//! rows, after-rules, and what scripts write in turn. The instance is locked for each step on its
//! own, never over a script: between two database calls of a script anything may happen, as on a
//! real instance.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::query::Query;
use crate::schema;
use crate::script::{self, Outbound};
use crate::serve::Instance;
use crate::tables::{Changed, Record, Refused};

/// How deep writes of rules may set off further rules. An instance notices and stops them too.
const DEPTH: u32 = 4;

/// One user at work.
pub(crate) struct Session {
    instance: Arc<Mutex<Instance>>,
    pub(crate) user: String,
    outbound: RefCell<Vec<Outbound>>,
    depth: Cell<u32>,
}

/// A business rule, ready to run.
struct Rule {
    name: String,
    sys_id: String,
    condition: String,
    script: String,
}

/// What a write does to a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Insert,
    Update,
    Delete,
}

impl Action {
    fn of(changed: &Changed) -> Action {
        if changed.previous.is_none() { Action::Insert } else { Action::Update }
    }

    fn column(self) -> &'static str {
        match self {
            Action::Insert => "action_insert",
            Action::Update => "action_update",
            Action::Delete => "action_delete",
        }
    }
}

fn text(record: &Record, name: &str) -> String {
    record.get(name).cloned().unwrap_or_default()
}

impl Session {
    pub(crate) fn new(instance: &Arc<Mutex<Instance>>, user: &str) -> Rc<Session> {
        Rc::new(Session {
            instance: Arc::clone(instance),
            user: user.to_owned(),
            outbound: RefCell::default(),
            depth: Cell::new(0),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Instance> {
        self.instance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls that scripts made, to be sent now.
    pub(crate) fn outbound(&self) -> Vec<Outbound> {
        self.outbound.take()
    }

    pub(crate) fn send_later(&self, call: Outbound) {
        self.outbound.borrow_mut().push(call);
    }

    pub(crate) fn log(&self, level: &str, message: &str) {
        self.lock().log(level, message);
    }

    /// The active rules that a change sets off, in order.
    fn rules(&self, when: &str, action: Action, changed: &Changed) -> Vec<Rule> {
        let instance = self.lock();
        let line = schema::ancestry(&changed.table);
        let mut rows: Vec<&Record> = instance
            .tables
            .of("sys_script")
            .filter(|r| {
                text(r, "active") == "true"
                    && text(r, "when") == when
                    && text(r, action.column()) == "true"
                    && line.contains(&text(r, "collection").as_str())
            })
            .filter(|r| {
                let query =
                    Query::parse(&text(r, "filter_condition"), &instance.tables, &changed.table);
                query.matches(&instance.tables, &changed.current)
            })
            .collect();
        rows.sort_by_key(|r| text(r, "order").parse::<i64>().unwrap_or(100));
        rows.into_iter()
            .map(|r| Rule {
                name: text(r, "name"),
                sys_id: text(r, "sys_id"),
                condition: text(r, "condition"),
                script: text(r, "script"),
            })
            .collect()
    }

    /// Creates a row. `workflow` off: no rule hears of it.
    pub(crate) fn insert(
        self: &Rc<Self>,
        table: &str,
        set: &Record,
        workflow: bool,
    ) -> Result<Record, Refused> {
        let draft = self.lock().tables.draft_insert(table, set, &self.user)?;
        self.write(draft, workflow)
    }

    /// Changes a row; gives it as it is then.
    pub(crate) fn update(
        self: &Rc<Self>,
        table: &str,
        sys_id: &str,
        set: &Record,
        workflow: bool,
    ) -> Result<Record, Refused> {
        let draft = {
            let instance = self.lock();
            let draft = instance.tables.draft_update(table, sys_id, set)?;
            match draft {
                Some(draft) => draft,
                None => {
                    let present =
                        instance.tables.find(table, sys_id).cloned().ok_or(Refused::NoRecord)?;
                    if !instance.tables.quirks.no_change_counts {
                        return Ok(present); // No new version, no rule.
                    }
                    Changed {
                        table: text(&present, "sys_class_name"),
                        current: present.clone(),
                        previous: Some(present),
                    }
                }
            }
        };
        self.write(draft, workflow)
    }

    /// Removes a row.
    pub(crate) fn delete(
        self: &Rc<Self>,
        table: &str,
        sys_id: &str,
        workflow: bool,
    ) -> Result<(), Refused> {
        let record = self.lock().tables.find(table, sys_id).cloned().ok_or(Refused::NoRecord)?;
        let class = text(&record, "sys_class_name");
        let doomed = Changed { table: class, current: record.clone(), previous: Some(record) };
        if workflow {
            self.before(doomed.clone(), Action::Delete)?;
        }
        self.lock().tables.delete(table, sys_id, &self.user)?;
        if workflow {
            self.after(&doomed, Action::Delete);
        }
        Ok(())
    }

    fn write(self: &Rc<Self>, draft: Changed, workflow: bool) -> Result<Record, Refused> {
        let workflow = workflow && self.depth.get() < DEPTH;
        let action = Action::of(&draft);
        let draft = if workflow { self.before(draft, action)? } else { draft };
        let (changed, said) = self.lock().tables.commit(draft, &self.user)?;
        let late = self.lock().tables.quirks.journal_row_late;
        if !late {
            self.say(&changed, &said, workflow);
        }
        if workflow {
            self.after(&changed, action);
        }
        if late {
            self.say(&changed, &said, workflow);
        }
        let id = text(&changed.current, "sys_id");
        let present = self.lock().tables.find(&changed.table, &id).cloned();
        Ok(present.unwrap_or(changed.current))
    }

    /// Each journal text becomes a row of `sys_journal_field`.
    fn say(self: &Rc<Self>, of: &Changed, said: &[(&'static str, String)], workflow: bool) {
        let base = self.lock().tables.quirks.journal_names_base;
        let name = if base { "task".to_owned() } else { of.table.clone() };
        for (element, value) in said {
            let set = Record::from([
                ("element_id".to_owned(), text(&of.current, "sys_id")),
                ("element".to_owned(), (*element).to_owned()),
                ("name".to_owned(), name.clone()),
                ("value".to_owned(), value.clone()),
            ]);
            if let Err(why) = self.insert("sys_journal_field", &set, workflow) {
                self.log("error", &format!("a journal entry was lost: {why:?}"));
            }
        }
    }

    fn before(self: &Rc<Self>, mut draft: Changed, action: Action) -> Result<Changed, Refused> {
        for rule in self.rules("before", action, &draft) {
            let ran = self.run(&rule, &draft);
            if ran.aborted {
                return Err(Refused::Aborted(format!("{}^{}", rule.name, rule.sys_id)));
            }
            draft.current = ran.current;
        }
        Ok(draft)
    }

    fn after(self: &Rc<Self>, changed: &Changed, action: Action) {
        for rule in self.rules("after", action, changed) {
            self.run(&rule, changed);
        }
        // Asynchronous rules run later, and know nothing of the row before.
        let known = Changed { previous: None, ..changed.clone() };
        for rule in self.rules("async", action, changed) {
            self.run(&rule, if action == Action::Insert { changed } else { &known });
        }
    }

    fn run(self: &Rc<Self>, rule: &Rule, changed: &Changed) -> script::Ran {
        self.depth.set(self.depth.get() + 1);
        let shown = self.lock().shown(&changed.current);
        let ran = script::rule(self, &rule.script, &rule.condition, changed, &shown);
        self.depth.set(self.depth.get() - 1);
        ran
    }
}
