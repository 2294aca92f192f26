//! Who works: workers with engine instances, and a scheduler that hands out what is due.
//!
//! Events of one row go to one worker, in order (`lanes`); what collides all the same is found by the row's
//! version and looked at again. What comes in has a worker of its own: it is taken whatever else there is to do.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use firn_model::{AnswerBody, CommitError, Event, Inbound, Key, Reply, Report, TenantId};
use firn_runtime::Worker;

use super::lanes::Lanes;
use super::{Host, now};

/// The most events of one batch, and so of one commit.
const BATCH: usize = 64;
/// After a trap on a row, it is left alone for so long.
const TRAPPED: Duration = Duration::from_secs(60);
/// So much of what is due is looked at.
const PAGE: u32 = 512;
/// So much of one tenant's is in work at once: the next one of another's has no more than that before it. Four batches
/// of a worker.
const OF_EACH: u32 = 256;
/// Where more is due than is handed out at once, it is not looked at again sooner than this: each look reads all of it.
const BACKLOG: Duration = Duration::from_millis(20);
/// The same row is not handed out again sooner than this.
const BREATH: Duration = Duration::from_millis(5);

#[derive(Default)]
pub(super) struct Wake {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    pub(super) fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    pub(super) fn sleep(&self, at_most: Duration) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut woken, _) = self
            .changed
            .wait_timeout_while(woken, at_most, |woken| !*woken)
            .unwrap_or_else(PoisonError::into_inner);
        *woken = false;
    }
}

/// A worker: takes what waits as one batch, and passes on what the engine reports.
pub(super) fn work(host: &Weak<Host>, queue: &Receiver<Event>, mut worker: Worker) {
    loop {
        let first = match queue.recv_timeout(Duration::from_millis(200)) {
            Ok(event) => event,
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => match host.upgrade() {
                Some(host) if !host.stopping.load(Ordering::SeqCst) => continue,
                _ => return,
            },
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return,
        };
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(BATCH - 1));
        let due: Vec<Key> = batch
            .iter()
            .filter_map(|event| match event {
                Event::Due(key) => Some(key.clone()),
                _ => None,
            })
            .collect();
        let of = Lanes::of(&batch);
        let handled = worker.handle(batch);
        let Some(host) = host.upgrade() else { return };
        host.lanes.leave(of);
        for (event, trap) in &handled.trapped {
            tracing::error!(why = %trap, "the engine trapped on one event and goes on without it");
            host.metrics.trapped();
            host.trapped(event);
        }
        let trapped: Vec<&Key> = handled
            .trapped
            .iter()
            .filter_map(|(event, _)| match event {
                Event::Due(key) => Some(key),
                _ => None,
            })
            .collect();
        {
            let mut claims = host.claims.lock().unwrap_or_else(PoisonError::into_inner);
            for key in due {
                let pause = if trapped.contains(&&key) { TRAPPED } else { BREATH };
                claims.insert(key, Some(Instant::now() + pause));
            }
        }
        for report in handled.reports {
            match report {
                Report::Reply { request, reply } => host.reply(request, reply),
                Report::Notice(notice) => {
                    let _ = host.notices.send(notice);
                }
            }
        }
        host.wake.wake();
    }
}

/// A store that took nothing is tried again after so long, and counts as one for so much longer.
const UNWRITTEN: Duration = Duration::from_secs(1);
const TAKES_NOTHING: Duration = Duration::from_secs(5);
/// So often it is told.
const SAID: Duration = Duration::from_secs(10);

/// Whether the store takes what is written.
#[derive(Default)]
pub(super) struct Written {
    failed: Option<Instant>,
    said: Option<Instant>,
}

impl Host {
    /// What became of a commit of the engine's.
    pub(super) fn writes(&self, committed: &Result<(), CommitError>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        match committed {
            Ok(()) => *written = Written::default(),
            Err(CommitError::Failed(why)) => {
                let now = Instant::now();
                if written.said.is_none_or(|said| now - said >= SAID) {
                    tracing::error!(%why, "the store cannot be written; it is tried again each second");
                    written.said = Some(now);
                }
                written.failed = Some(now);
            }
            Err(_) => {}
        }
    }

    fn failed_since(&self, within: Duration) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.failed.is_some_and(|failed| failed.elapsed() < within)
    }

    /// Whether what was written last, some seconds ago at most, was not taken.
    pub(crate) fn takes_nothing(&self) -> bool {
        self.failed_since(TAKES_NOTHING)
    }

    fn reply(&self, request: u64, reply: Reply) {
        let waiting = self.replies.lock().unwrap_or_else(PoisonError::into_inner).remove(&request);
        if let Some(waiting) = waiting {
            let _ = waiting.send(reply);
        }
    }

    /// Whoever waits for an event that trapped is told so: the sender is dropped.
    fn trapped(&self, event: &Event) {
        if let Event::Inbound(Inbound { request, .. }) | Event::Operate { request, .. } = event {
            self.replies.lock().unwrap_or_else(PoisonError::into_inner).remove(request);
        }
    }
}

/// One of each in turn.
fn in_turns<T>(each: Vec<Vec<T>>) -> Vec<T> {
    let mut each: Vec<_> = each.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    while !each.is_empty() {
        each.retain_mut(|one| one.next().map(|next| all.push(next)).is_some());
    }
    all
}

/// The scheduler: hands out rows that are due, each to one worker at a time.
pub(super) fn schedule(host: &Weak<Host>) {
    const LOOK: Duration = Duration::from_millis(100);
    let mut reached = String::new();
    while let Some(host) = host.upgrade() {
        if host.stopping.load(Ordering::SeqCst) {
            return;
        }
        if host.failed_since(UNWRITTEN) {
            std::thread::sleep(LOOK);
            continue;
        }
        let page = host.due(PAGE);
        let backlog = page.as_ref().is_ok_and(|page| page.len() > OF_EACH as usize);
        let due = match page {
            // Who has very much waiting is not to hide what others have.
            Ok(page) if page.len() >= PAGE as usize => {
                let each = host.due_of_each(&reached, OF_EACH, 10 * PAGE);
                // The next look begins where this one ended, or anew.
                let last = each.as_ref().ok().filter(|each| each.len() >= 10 * PAGE as usize);
                let last = last.and_then(|each| each.last());
                reached = last.map(|(key, _)| key.tenant.to_string()).unwrap_or_default();
                each
            }
            page => page,
        };
        let due = match due {
            Ok(due) => due,
            Err(why) => {
                tracing::error!(%why, "the store cannot be read");
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
        };
        let mut ready: BTreeMap<TenantId, Vec<Key>> = BTreeMap::new();
        let mut sleep = LOOK;
        {
            let mut claims = host.claims.lock().unwrap_or_else(PoisonError::into_inner);
            let at = Instant::now();
            claims.retain(|_, free| free.is_none_or(|free| free > at));
            let mut in_work: BTreeMap<TenantId, u32> = BTreeMap::new();
            for (key, _) in claims.iter().filter(|(_, free)| free.is_none()) {
                *in_work.entry(key.tenant.clone()).or_default() += 1;
            }
            for (key, _) in due {
                match claims.get(&key) {
                    Some(Some(free)) => sleep = sleep.min(free.saturating_duration_since(at)),
                    Some(None) => {}
                    None => {
                        let in_work = in_work.entry(key.tenant.clone()).or_default();
                        if *in_work < OF_EACH {
                            *in_work += 1;
                            claims.insert(key.clone(), None);
                            ready.entry(key.tenant.clone()).or_default().push(key);
                        }
                    }
                }
            }
        }
        for key in in_turns(ready.into_values().collect()) {
            host.push(Event::Due(key));
        }
        if backlog {
            std::thread::sleep(BACKLOG);
        }
        if let Ok(Some(next)) = host.next_due() {
            let ahead = next.since(now());
            if ahead > 0 {
                sleep = sleep.min(Duration::from_millis(ahead.unsigned_abs()));
            }
        }
        host.wake.sleep(sleep.max(Duration::from_millis(1)));
    }
}

/// An event, in a line of the sync trace: what it is about, and nothing that anybody said.
pub(super) fn traced(event: &Event) -> String {
    match event {
        Event::Inbound(inbound) => {
            let bytes = inbound.body.len();
            format!("in   {:?} of {} bytes for {}", inbound.kind, bytes, inbound.integration)
        }
        Event::Operate { operation, by, .. } => {
            // Only the operation's name: what is to be done may hold values.
            let name = serde_json::to_value(operation).ok();
            let name = name.as_ref().and_then(|value| match value {
                serde_json::Value::Object(map) => map
                    .get("operation")
                    .and_then(|name| name.as_str())
                    .or_else(|| map.keys().next().map(String::as_str)),
                serde_json::Value::String(name) => Some(name.as_str()),
                _ => None,
            });
            format!("asks {} by {by}", name.unwrap_or("an operation"))
        }
        Event::Due(key) => format!("due  {}", key.path),
        Event::Answer(answer) => {
            let end = match &answer.body {
                AnswerBody::Response(response) => format!("status {}", response.status),
                AnswerBody::Busy(_) => "no room now".to_owned(),
                AnswerBody::NotSent(why) => format!("not sent: {why}"),
                AnswerBody::Silent(_) => {
                    "left alone for a while: it has not answered lately".to_owned()
                }
                AnswerBody::Lost(why) => format!("lost: {why}"),
                AnswerBody::NoFile(status) => format!("no file: {status}"),
                AnswerBody::OtherFile => "another file".to_owned(),
            };
            format!("end  {} {end}", answer.ticket)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_comes_in_turn() {
        assert_eq!(in_turns(vec![vec![1, 2, 3], vec![], vec![4], vec![5, 6]]), [1, 4, 5, 2, 6, 3]);
        assert!(in_turns(Vec::<Vec<u8>>::new()).is_empty());
    }
}
