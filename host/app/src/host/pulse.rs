//! The pulse: what happens in this process, as it happens. Whoever watches is told (the console's feed), and
//! it is counted minute by minute. Nothing of it is stored; what has to be kept is in the audit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use firn_model::{
    Audit, Change, Finding, FindingKind, IntegrationId, Millis, Side, TenantId, Value,
};
use tokio::sync::broadcast;

/// How many lines of an integration are remembered for whoever opens the feed.
const REMEMBERED: usize = 60;
/// How many minutes are counted.
pub(crate) const MINUTES: usize = 60;
/// How many beats somebody may be behind.
const BEHIND: usize = 1_024;

/// A kind of rows that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Links,
    Conflicts,
    DeadLetters,
    Findings,
    Runs,
    Knowledge,
    Settings,
}

impl Topic {
    /// The kind of a row, by the first part of its path.
    fn of(kind: &str) -> Option<Topic> {
        Some(match kind {
            "link" => Topic::Links,
            "conflict" => Topic::Conflicts,
            "dead" => Topic::DeadLetters,
            "finding" | "quarantine" => Topic::Findings,
            "run" | "check" => Topic::Runs,
            "learnt" => Topic::Knowledge,
            "integration" => Topic::Settings,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Topic::Links => "links",
            Topic::Conflicts => "conflicts",
            Topic::DeadLetters => "dead-letters",
            Topic::Findings => "findings",
            Topic::Runs => "runs",
            Topic::Knowledge => "knowledge",
            Topic::Settings => "settings",
        }
    }
}

/// Something that happened to an integration.
#[derive(Debug, Clone)]
pub(crate) struct Beat {
    pub(crate) tenant: TenantId,
    pub(crate) integration: IntegrationId,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A line of the audit.
    Line(Audit),
    /// Something that a person should see.
    Finding(Finding),
    /// Rows of a kind are others now.
    Changed(Topic),
    /// Something was erased: what was told before is shown no more.
    Erased,
}

/// What one minute brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Minute {
    /// Which, counted since 1970.
    pub(crate) minute: i64,
    /// Webhooks, events and escalations that were taken in.
    pub(crate) came: u32,
    /// Writes to ServiceNow.
    pub(crate) external: u32,
    /// Writes to the platform.
    pub(crate) platform: u32,
}

#[derive(Default)]
struct Recent {
    count: u64,
    beats: VecDeque<Arc<Beat>>,
    minutes: VecDeque<Minute>,
}

impl Recent {
    fn minute(&mut self, now: Millis) -> &mut Minute {
        let minute = now.0.div_euclid(60_000);
        if self.minutes.back().is_none_or(|last| last.minute < minute) {
            if self.minutes.len() == MINUTES {
                self.minutes.pop_front();
            }
            self.minutes.push_back(Minute { minute, ..Minute::default() });
        }
        let last = self.minutes.len() - 1;
        &mut self.minutes[last]
    }
}

/// What happens, told and counted.
pub(crate) struct Pulse {
    /// None once nobody is told any more.
    told: Mutex<Option<broadcast::Sender<Arc<Beat>>>>,
    recent: Mutex<BTreeMap<IntegrationId, Recent>>,
    /// How much has happened to each tenant.
    counts: Mutex<BTreeMap<TenantId, u64>>,
}

impl Pulse {
    pub(super) fn new() -> Pulse {
        let told = Mutex::new(Some(broadcast::channel(BEHIND).0));
        Pulse { told, recent: Mutex::new(BTreeMap::new()), counts: Mutex::default() }
    }

    /// Everything from now on; none once the process ends.
    pub(crate) fn watch(&self) -> Option<broadcast::Receiver<Arc<Beat>>> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.as_ref().map(broadcast::Sender::subscribe)
    }

    /// How much has happened so far to a tenant, or to all: whoever has another number has missed something.
    pub(crate) fn count(&self, tenant: Option<&TenantId>) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match tenant {
            Some(tenant) => counts.get(tenant).copied().unwrap_or_default(),
            None => counts.values().sum(),
        }
    }

    /// Something of a tenant's was erased: nothing that was told of it is shown any more.
    pub(super) fn erased(&self, tenant: &TenantId) {
        let mut told = Vec::new();
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            for (integration, recent) in recent.iter_mut() {
                if recent.beats.iter().any(|beat| beat.tenant == *tenant) {
                    recent.beats.clear();
                    let (tenant, integration) = (tenant.clone(), integration.clone());
                    told.push(Arc::new(Beat { tenant, integration, what: What::Erased }));
                }
            }
        }
        self.tell(&told);
    }

    fn tell(&self, beats: &[Arc<Beat>]) {
        {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            for beat in beats {
                *counts.entry(beat.tenant.clone()).or_default() += 1;
            }
        }
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = told.as_ref().filter(|told| told.receiver_count() > 0) {
            for beat in beats {
                let _ = told.send(Arc::clone(beat));
            }
        }
    }

    /// Whoever watches is told that this is all.
    pub(crate) fn end(&self) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Something was taken in from outside.
    pub(super) fn came(&self, integration: &IntegrationId, now: Millis) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.entry(integration.clone()).or_default().minute(now).came += 1;
    }

    /// Changes were committed. Gives what they told.
    pub(super) fn committed(&self, changes: &[Change], now: Millis) -> Vec<Arc<Beat>> {
        let mut beats = Vec::new();
        let mut topics: Vec<(TenantId, IntegrationId, Topic)> = Vec::new();
        for change in changes {
            let mut segments = change.key.segments();
            let (Some(kind), Some(id)) = (segments.next(), segments.next()) else { continue };
            let what = match (kind, &change.put) {
                ("audit", Some(put)) => {
                    serde_json::from_str(&put.value).ok().map(|line| What::Line(light(line)))
                }
                ("finding", Some(put)) => serde_json::from_str(&put.value).ok().map(What::Finding),
                _ => None,
            };
            let topic = Topic::of(kind);
            if what.is_none() && topic.is_none() {
                continue;
            }
            let Ok(integration) = IntegrationId::new(id) else { continue };
            let tenant = &change.key.tenant;
            if let Some(topic) = topic {
                let told = (tenant.clone(), integration.clone(), topic);
                if !topics.contains(&told) {
                    topics.push(told);
                }
            }
            if let Some(what) = what {
                beats.push(Arc::new(Beat { tenant: tenant.clone(), integration, what }));
            }
        }
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            for beat in &beats {
                let recent = recent.entry(beat.integration.clone()).or_default();
                recent.count += 1;
                if let Some(side) = written(beat) {
                    let minute = recent.minute(now);
                    match side {
                        Side::External => minute.external += 1,
                        Side::Platform => minute.platform += 1,
                    }
                }
                if recent.beats.len() == REMEMBERED {
                    recent.beats.pop_front();
                }
                recent.beats.push_back(Arc::clone(beat));
            }
            for (_, integration, _) in &topics {
                recent.entry(integration.clone()).or_default().count += 1;
            }
        }
        for (tenant, integration, topic) in topics {
            beats.push(Arc::new(Beat { tenant, integration, what: What::Changed(topic) }));
        }
        self.tell(&beats);
        beats
    }

    /// How much has happened to an integration.
    pub(crate) fn count_of(&self, integration: &IntegrationId) -> u64 {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(integration).map_or(0, |recent| recent.count)
    }

    /// The latest of an integration, oldest first.
    pub(crate) fn latest(&self, integration: &IntegrationId) -> Vec<Arc<Beat>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(integration).map(|r| r.beats.iter().cloned().collect()).unwrap_or_default()
    }

    /// The last hour, minute by minute, oldest first.
    pub(crate) fn minutes(&self, integration: &IntegrationId, now: Millis) -> Vec<Minute> {
        let last = now.0.div_euclid(60_000);
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = recent.get(integration).map(|r| &r.minutes);
        let of = |minute| known.and_then(|all| all.iter().find(|m| m.minute == minute)).copied();
        (0..MINUTES as i64)
            .rev()
            .map(|back| last - back)
            .map(|minute| of(minute).unwrap_or(Minute { minute, ..Minute::default() }))
            .collect()
    }

    /// An integration is gone.
    pub(super) fn forget(&self, integration: &IntegrationId) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).remove(integration);
    }
}

/// A line as far as it is shown: many are remembered, and what was written may be long.
fn light(mut line: Audit) -> Audit {
    const SHOWN: usize = 80;
    for written in &mut line.fields {
        written.from = None;
        for value in written.to.iter_mut().flat_map(|shape| shape.0.values_mut()) {
            if let Value::Text(text) = value
                && text.chars().nth(SHOWN).is_some()
            {
                let cut: String = text.chars().take(SHOWN).collect();
                *text = cut + "…";
            }
        }
    }
    line
}

/// The events of the audit that are writes.
const WRITES: &[&str] = &["create", "update", "append", "retire", "attachment"];

/// The side that a beat tells of a write to.
pub(crate) fn written(beat: &Beat) -> Option<Side> {
    match &beat.what {
        What::Line(line) if WRITES.contains(&line.event.as_str()) => line.side,
        _ => None,
    }
}

/// The kind of a finding, as it is written.
pub(crate) fn kind_of(kind: FindingKind) -> String {
    serde_json::to_value(kind).ok().and_then(|k| k.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use firn_model::{Attribute, Expect, Key, Put, Shape, Why, Written};

    use super::*;

    fn line(event: &str, side: Option<Side>) -> Change {
        let integration = IntegrationId::new("i").unwrap();
        let line = Audit {
            integration,
            link: None,
            at: Millis(1),
            event: event.to_owned(),
            key: None,
            side,
            fields: Vec::new(),
            note: None,
        };
        let tenant = TenantId::new("acme").unwrap();
        let put = Some(Put { value: serde_json::to_string(&line).unwrap(), due: None });
        Change { key: Key::new(&tenant, &["audit", "i", "l", "1"]), expect: Expect::Any, put }
    }

    fn row(path: &[&str]) -> Change {
        let put = Some(Put { value: "{}".to_owned(), due: None });
        let tenant = TenantId::new("acme").unwrap();
        Change { key: Key::new(&tenant, path), expect: Expect::Any, put }
    }

    #[test]
    fn what_is_committed_is_told_once_and_counted_by_the_minute() {
        let pulse = Pulse::new();
        let id = IntegrationId::new("i").unwrap();
        let mut watch = pulse.watch().unwrap();
        let minute = |n: i64| Millis(n * 60_000 + 5);
        pulse.came(&id, minute(10));
        let changes = [
            row(&["link", "i", "1"]),
            row(&["link", "i", "2"]),
            row(&["secret", "i"]),
            line("update", Some(Side::External)),
            line("create", Some(Side::Platform)),
            line("filtered", None),
        ];
        pulse.committed(&changes, minute(11));
        let mut lines = 0;
        let mut topics = Vec::new();
        while let Ok(beat) = watch.try_recv() {
            match &beat.what {
                What::Line(_) => lines += 1,
                What::Changed(topic) => topics.push(*topic),
                What::Finding(_) | What::Erased => panic!("none was found"),
            }
        }
        assert_eq!((lines, topics), (3, vec![Topic::Links]));
        let minutes = pulse.minutes(&id, minute(12));
        assert_eq!(minutes.len(), MINUTES);
        let busy: Vec<_> =
            minutes.iter().filter(|m| m.came + m.external + m.platform > 0).collect();
        let seen: Vec<_> =
            busy.iter().map(|m| (m.minute, m.came, m.external, m.platform)).collect();
        assert_eq!(seen, [(10, 1, 0, 0), (11, 0, 1, 1)]);
        assert_eq!(pulse.latest(&id).len(), 3);
        // An hour later nothing of it is left to count, and no more is kept than that.
        assert!(pulse.minutes(&id, minute(71)).iter().all(|m| m.came + m.external == 0));
        for n in 0..200 {
            pulse.committed(&[line("append", Some(Side::External))], minute(100 + n));
        }
        assert_eq!(pulse.latest(&id).len(), REMEMBERED);
        assert_eq!(pulse.recent.lock().unwrap()[&id].minutes.len(), MINUTES);
        // Many are remembered: what is long is cut.
        let mut long: Audit =
            serde_json::from_str(&line("update", None).put.unwrap().value).unwrap();
        let shape = |text: String| Shape::one(Attribute::new("a").unwrap(), Value::text(text));
        let (from, to) = (Some(shape("x".repeat(900))), Some(shape("ü".repeat(900))));
        long.fields = vec![Written { field: None, from, to, why: Why::Carried, rules: None }];
        let kept = light(long).fields.remove(0);
        assert!(kept.from.is_none() && kept.to.unwrap().to_string() == "ü".repeat(80) + "…");
        // What was erased is shown no more, and whoever watches is told so.
        let (acme, other) = (TenantId::new("acme").unwrap(), TenantId::new("other").unwrap());
        let before = pulse.count(Some(&acme));
        assert!(before > 200 && pulse.count(Some(&other)) == 0 && pulse.count(None) == before);
        let mut watch = pulse.watch().unwrap();
        pulse.erased(&other);
        pulse.erased(&acme);
        assert!(pulse.latest(&id).is_empty());
        assert!(matches!(watch.try_recv().unwrap().what, What::Erased));
        assert_eq!(pulse.count(Some(&acme)), before + 1);
        pulse.end();
        assert!(pulse.watch().is_none());
        assert!(matches!(watch.try_recv(), Err(broadcast::error::TryRecvError::Closed)));
    }
}
