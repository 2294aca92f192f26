//! The doors of the process that can die: its store, and what it wants sent.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use firn_driver::{Clock, Engine, Http, Log, Rules, Scheme, Secrets, Signature, Storage, Tokens};
use firn_model::rule::{
    Admission, Answer, Class, Lesson, Question, Said, SourceText, Verdict, Winner,
};
use firn_model::{
    ActiveRules, Change, Cited, CommitError, Composed, Event, HttpRequest, Inquiry, IntegrationId,
    Key, Millis, Report, Row, Side, TenantId,
};
use firn_storage::{Memory, Store};

/// What goes wrong around the next commit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dies {
    BeforeCommit,
    AfterCommit,
    /// Nothing is stored.
    StoreFails,
    /// It is stored, and the answer that says so is lost.
    CommitUnknown,
    /// Another replica handles the same events, and is first.
    Overtaken,
}

/// What the doors of one process lead to; the store outlives it.
pub(super) struct Shared {
    pub(super) store: Memory,
    pub(super) now: Cell<Millis>,
    pub(super) requests: RefCell<Vec<HttpRequest>>,
    pub(super) dies: Cell<Option<Dies>>,
    pub(super) died: Cell<bool>,
    /// The events that are being handled, for the other replica.
    pub(super) batch: RefCell<Vec<Event>>,
    /// What the other replica handles meanwhile, if it is something else.
    pub(super) beside: RefCell<Option<Vec<Event>>>,
    /// What the other replica said.
    pub(super) others: RefCell<Vec<Report>>,
    /// How often a customer's own rules were asked, and how often in vain.
    pub(super) asked: Cell<(u64, u64)>,
    /// Whether they fail now and then.
    pub(super) rules_fail: Cell<bool>,
    /// What they say, if it was told.
    pub(super) rules: RefCell<Option<Says>>,
}

/// What rules answer to a question.
pub(in crate::sim) type Says = Box<dyn Fn(&Question) -> Answer>;

#[derive(Clone)]
pub(super) struct Doors(pub(super) Rc<Shared>);

impl Storage for Doors {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        self.0.store.get(keys)
    }
    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError> {
        self.0.store.scan(tenant, prefix, after, limit)
    }
    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        match self.0.dies.take() {
            None => self.0.store.commit(changes),
            Some(Dies::StoreFails) => Err(CommitError::Failed("disk full".to_owned())),
            Some(Dies::CommitUnknown) => {
                self.0.store.commit(changes)?;
                Err(CommitError::Failed("the connection was lost".to_owned()))
            }
            Some(Dies::Overtaken) => {
                let beside = self.0.beside.take();
                let batch = beside.unwrap_or_else(|| self.0.batch.borrow().clone());
                let reports = Engine::new(self.clone()).handle(&batch);
                self.0.others.borrow_mut().extend(reports);
                self.0.store.commit(changes)
            }
            Some(Dies::BeforeCommit) => {
                self.0.died.set(true);
                Err(CommitError::Failed("died".to_owned()))
            }
            Some(Dies::AfterCommit) => {
                self.0.died.set(true);
                self.0.store.commit(changes)
            }
        }
    }
}

impl Http for Doors {
    fn submit(&self, request: HttpRequest) {
        self.0.requests.borrow_mut().push(request);
    }
}

impl Clock for Doors {
    fn now(&self) -> Millis {
        self.0.now.get()
    }
}

impl Secrets for Doors {
    fn verify(
        &self,
        _: &TenantId,
        _: &IntegrationId,
        _: Scheme,
        _: &str,
        signatures: &[String],
    ) -> Signature {
        if signatures == ["good"] { Signature::Valid } else { Signature::Invalid }
    }
    fn tokens(&self, tenant: &TenantId) -> Arc<dyn Tokens> {
        Arc::new(SimTokens(tenant.clone()))
    }
}

/// Stable, of its tenant, and not to be mistaken for the value.
#[derive(Debug)]
pub(in crate::sim) struct SimTokens(pub(in crate::sim) TenantId);

impl Tokens for SimTokens {
    fn token(&self, kind: &str, canonical: &str) -> Option<String> {
        let digest = firn_core::identity::digest(&[self.0.as_str(), kind, canonical]);
        Some(digest.bytes().map(|b| char::from(b'a' + b % 16)).take(16).collect())
    }
}

impl Rules for Doors {
    fn ask(
        &self,
        _: &TenantId,
        _: &IntegrationId,
        rules: &ActiveRules,
        inquiry: &Inquiry,
    ) -> Vec<Answer> {
        if let Some(says) = self.0.rules.borrow().as_ref() {
            return inquiry.questions.iter().map(says).collect();
        }
        let answer = |question: &Question| {
            let (asked, failed) = self.0.asked.get();
            let draw = firn_core::identity::digest(&[&rules.digest, &asked.to_string()]);
            let answer = match draw.as_bytes()[0] {
                b'0' | b'1' if self.0.rules_fail.get() => Answer::Failed("a trap".to_owned()),
                b'2' if self.0.rules_fail.get() => Answer::Resting(self.now().plus(1_500)),
                b'3' if self.0.rules_fail.get() => Answer::Later(self.now().plus(300)),
                // Junk: another question's answer, and a value that no map knows.
                b'4' if self.0.rules_fail.get() => Answer::Said(Said::Admit(Admission::Yes)),
                b'5' if self.0.rules_fail.get() => {
                    Answer::Said(Said::Value(Verdict::Instead("\u{1}".to_owned())))
                }
                _ => Answer::Said(said(question)),
            };
            let vain = u64::from(!matches!(answer, Answer::Said(_)));
            self.0.asked.set((asked + 1, failed + vain));
            answer
        };
        inquiry.questions.iter().map(answer).collect()
    }
}

/// A customer's own rules: what is of medium severity on the platform is of high severity in ServiceNow, and
/// of two edits the longer one wins.
fn said(question: &Question) -> Said {
    match question {
        Question::Admit => Said::Admit(Admission::Yes),
        Question::Classify { .. } => {
            Said::Classify(Class { category: Some("software".to_owned()), ..Class::default() })
        }
        Question::Draft { .. } => {
            Said::Draft([("subcategory".to_owned(), "email".to_owned())].into())
        }
        Question::Value { field, from: Side::Platform, value, .. }
            if field.as_str() == "severity" && value == "medium" =>
        {
            Said::Value(Verdict::Instead("high".to_owned()))
        }
        Question::Value { .. } => Said::Value(Verdict::Keep),
        // What was said last is what solved it.
        Question::Summary { sources } => {
            let number = u32::try_from(sources.len()).unwrap_or_default();
            let cited = |source: &SourceText| Cited { text: source.text.clone(), from: number };
            Said::Summary(Lesson::Kept(Composed {
                asked: sources.first().map_or_else(|| "?".to_owned(), |s| s.text.clone()),
                solved: sources.last().map(cited).into_iter().collect(),
                ..Composed::default()
            }))
        }
        Question::Conflict { platform, servicenow, .. } => {
            Said::Conflict(match platform.len().cmp(&servicenow.len()) {
                std::cmp::Ordering::Less => Winner::Servicenow,
                std::cmp::Ordering::Equal => Winner::Settings,
                std::cmp::Ordering::Greater => Winner::Platform,
            })
        }
    }
}

impl Log for Doors {
    fn line(&self, _: &str) {}
}
