//! Tapes: what the engine was told, what it asked of its doors and was answered, and what it did. A
//! call on a tape can be run again without store, network, clock or secrets, by the same component
//! or another one, and does the same byte for byte.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use firn_model::rule::Answer;
use firn_model::{
    ActiveRules, Change, CommitError, Event, HttpRequest, Inquiry, IntegrationId, Key, Millis,
    Report, Row, TenantId,
};
use serde::{Deserialize, Serialize};

use crate::{Doors, Runtime, Scheme, Signature};

/// Something that the engine asked of a door, and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoorCall {
    /// Rows by their keys.
    Get(Vec<Key>, Result<Vec<Option<Row>>, String>),
    /// Rows below a prefix.
    Scan {
        /// The tenant.
        tenant: TenantId,
        /// The prefix.
        prefix: String,
        /// Where to go on.
        after: Option<String>,
        /// How many at most.
        limit: u32,
        /// The answer.
        rows: Result<Vec<Row>, String>,
    },
    /// Changes, and whether they were taken.
    Commit(Vec<Change>, Committed),
    /// A request that was handed over.
    Submit(HttpRequest),
    /// The time.
    Now(Millis),
    /// Whether a signature was right.
    Verify(Signature),
    /// What stands for a masked value.
    Token {
        /// Its type.
        kind: String,
        /// Its canonical form.
        canonical: String,
        /// The answer.
        token: Option<String>,
    },
    /// What the tenant's rules were asked, as JSON, and answered.
    Ask(String, Vec<Answer>),
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Committed {
    /// It is safe.
    Done,
    /// Somebody else was first.
    Stale(Key),
    /// The store could not take it.
    Failed(String),
}

impl From<&Result<(), CommitError>> for Committed {
    fn from(result: &Result<(), CommitError>) -> Self {
        match result {
            Ok(()) => Committed::Done,
            Err(CommitError::Stale(key)) => Committed::Stale(key.clone()),
            Err(why @ CommitError::Unreadable { .. }) => Committed::Failed(why.to_string()),
            Err(CommitError::Failed(why)) => Committed::Failed(why.clone()),
        }
    }
}

/// One call of the engine, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// What it was told.
    pub events: Vec<Event>,
    /// What it asked, in order.
    pub doors: Vec<DoorCall>,
    /// What it reported.
    pub reports: Vec<Report>,
}

impl Recorded {
    /// What the engine did: commits, requests and reports. What it only asked does not count.
    #[must_use]
    pub fn deeds(&self) -> Vec<String> {
        let done = self.doors.iter().filter_map(|call| match call {
            DoorCall::Commit(changes, _) => serde_json::to_string(changes).ok(),
            DoorCall::Submit(request) => serde_json::to_string(request).ok(),
            _ => None,
        });
        done.chain(self.reports.iter().filter_map(|r| serde_json::to_string(r).ok())).collect()
    }
}

/// A file that calls are written to, one a line.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<std::fs::File>>);

impl Recorder {
    /// Opens a file; what is there stays. It holds raw data of records: only its owner may read it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Recorder> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        Ok(Recorder(Arc::new(Mutex::new(file))))
    }

    pub(crate) fn keep(&self, call: &Recorded) {
        let line = serde_json::to_string(call).unwrap_or_default() + "\n";
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(why) = file.write_all(line.as_bytes()) {
            tracing::error!("a call cannot be recorded: {why}");
        }
    }
}

/// Doors that answer as recorded. A question that was not asked then has no answer: a row that was
/// not read is not there.
struct Playing {
    calls: Mutex<VecDeque<DoorCall>>,
}

impl Playing {
    /// The next call that `wanted` recognises, out of order if need be.
    fn find<T>(&self, wanted: impl Fn(&DoorCall) -> Option<T>) -> Option<T> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (i, answer) =
            calls.iter().enumerate().find_map(|(i, call)| wanted(call).map(|a| (i, a)))?;
        calls.remove(i);
        Some(answer)
    }
}

impl Doors for Playing {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        let answer = self.find(|call| match call {
            DoorCall::Get(asked, rows) if asked == keys => Some(rows.clone()),
            _ => None,
        });
        answer
            .unwrap_or_else(|| Ok(keys.iter().map(|_| None).collect()))
            .map_err(CommitError::Failed)
    }

    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError> {
        let answer = self.find(|call| match call {
            DoorCall::Scan { tenant: t, prefix: p, after: a, limit: l, rows }
                if (t, p.as_str(), a.as_deref(), *l) == (tenant, prefix, after, limit) =>
            {
                Some(rows.clone())
            }
            _ => None,
        });
        answer.unwrap_or_else(|| Ok(Vec::new())).map_err(CommitError::Failed)
    }

    fn commit(&self, _: &[Change]) -> Result<(), CommitError> {
        let answer = self.find(|call| match call {
            DoorCall::Commit(_, committed) => Some(committed.clone()),
            _ => None,
        });
        match answer.unwrap_or(Committed::Done) {
            Committed::Done => Ok(()),
            Committed::Stale(key) => Err(CommitError::Stale(key)),
            Committed::Failed(why) => Err(CommitError::Failed(why)),
        }
    }

    fn submit(&self, _: HttpRequest) {}

    fn now(&self) -> Millis {
        let answer = self.find(|call| match call {
            DoorCall::Now(at) => Some(*at),
            _ => None,
        });
        answer.unwrap_or_default()
    }

    fn verify(&self, _: &str, _: &str, _: Scheme, _: &str, _: &[String]) -> Signature {
        let answer = self.find(|call| match call {
            DoorCall::Verify(signature) => Some(*signature),
            _ => None,
        });
        answer.unwrap_or(Signature::NoSecret)
    }

    // One value has one token, however often it is asked for.
    fn token(&self, _: &str, kind: &str, canonical: &str) -> Option<String> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().find_map(|call| match call {
            DoorCall::Token { kind: k, canonical: c, token } if k == kind && c == canonical => {
                token.clone()
            }
            _ => None,
        })
    }

    fn ask(
        &self,
        _: &TenantId,
        _: &IntegrationId,
        _: &ActiveRules,
        inquiry: &Inquiry,
    ) -> Vec<Answer> {
        let asked = serde_json::to_string(inquiry).unwrap_or_default();
        let answers = self.find(|call| match call {
            DoorCall::Ask(inquiry, answers) if *inquiry == asked => Some(answers.clone()),
            _ => None,
        });
        answers.unwrap_or_default()
    }

    fn line(&self, _: &str) {}
}

/// Runs a recorded call again. `change` may put other answers into the tape's questions (other
/// settings). Gives the call as it is now.
///
/// # Errors
/// The trap, if the component traps.
pub fn replay(
    runtime: &Runtime,
    call: &Recorded,
    change: impl Fn(&mut DoorCall),
) -> Result<Recorded, String> {
    let mut calls: VecDeque<DoorCall> = call.doors.iter().cloned().collect();
    calls.iter_mut().for_each(change);
    let calls = Arc::new(Mutex::new(Some(calls)));
    let mut worker = runtime.worker(move || {
        let calls = calls.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::new(Playing { calls: Mutex::new(calls.unwrap_or_default()) })
    });
    worker.taped(&call.events)
}
