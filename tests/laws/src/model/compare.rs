//! When two states are one: what only counts is brought into one form after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hash};
use std::rc::Rc;

use firn_model::{Exchange, Millis, ParkedWhy, Side};
use foldhash::quality::FixedState;

use super::small::{Left, Posted, Small};

impl Small {
    /// Brings numbers, keys and times that only count into one form. Nothing that `advance` looks
    /// at is changed but by name.
    pub(crate) fn normalise(&mut self) {
        let link = Rc::make_mut(&mut self.link);
        link.updated = Millis(0);
        let id = link.id.to_string();
        // Numbers of exchanges and of keys come from one counter.
        let number = |key: &str| key.rsplit('-').next().and_then(|n| n.parse::<u64>().ok());
        let mut live: BTreeSet<u64> = BTreeSet::new();
        for pending in self.pending.iter().flatten() {
            live.insert(pending.exchange.number);
        }
        let mut keys: BTreeSet<String> = self.late.iter().map(|w| w.key.clone()).collect();
        for side in Side::BOTH {
            keys.extend(link.side(side).flight.as_ref().map(|f| f.write.key.clone()));
        }
        live.extend(keys.iter().filter_map(|key| number(key)));
        let renamed: BTreeMap<u64, u64> = live.into_iter().zip(1..).collect();
        let rename = |n: u64| renamed.get(&n).copied().unwrap_or(0);
        let key = |old: &str| format!("{}-{}", id, rename(number(old).unwrap_or(0)));
        let name = |set: &BTreeSet<String>| -> BTreeSet<String> {
            set.iter().filter(|old| keys.contains(*old)).map(|old| key(old)).collect()
        };
        self.keys = name(&self.keys);
        self.audited = name(&self.audited);
        let named: BTreeMap<String, String> =
            keys.iter().map(|old| (old.clone(), key(old))).collect();
        let renew = |key: &mut String| {
            if let Some(new) = named.get(key) {
                key.clone_from(new);
            }
        };
        for write in &mut self.late {
            renew(&mut write.key);
        }
        for pending in self.pending.iter_mut().flatten() {
            plain(&mut pending.exchange, &rename);
            if let Some(write) = &mut pending.write {
                renew(&mut write.key);
            }
        }
        link.sequence = renamed.len() as u64;
        for side in Side::BOTH {
            let state = link.side_mut(side);
            if let Some(exchange) = &mut state.exchange {
                plain(exchange, &rename);
            }
            if let Some(flight) = &mut state.flight {
                renew(&mut flight.write.key);
                flight.attempts = flight.attempts.min(1);
            }
        }
        for field in link.fields.values_mut() {
            if let Some(parked) = &mut field.parked
                && let ParkedWhy::Conflict(id) = &mut parked.why
                && let Ok(one) = firn_model::ConflictId::new("conflict")
            {
                *id = one;
            }
        }
        self.writes = 0;
        self.messages.sort_by_key(Posted::fingerprint);
    }

    /// What tells this state from others.
    pub(crate) fn fingerprint(&self) -> u64 {
        hash(self)
    }

    /// What an end depends on: not what may still be done.
    pub(crate) fn essence(&self) -> u64 {
        let mut same = self.clone();
        same.left = Left::default();
        hash(&same)
    }
}

/// The same in every run, so that what is explored is.
pub(crate) fn hash(what: &impl Hash) -> u64 {
    const STATE: FixedState = FixedState::with_seed(0);
    STATE.hash_one(what)
}

/// No exchange is overdue by itself: losing its answer is a step of its own.
fn plain(exchange: &mut Exchange, rename: &impl Fn(u64) -> u64) {
    exchange.number = rename(exchange.number);
    exchange.deadline = Millis(i64::MAX);
}
