//! What one seed in thirteen has besides: what operators do to a Firn at work. They change its settings, retry and
//! discard what failed, back it up, and put the backup in its place. Its chances are its own, as those of `harder`.

use firn_driver::Engine;
use firn_model::{
    DeadFilter, HttpRequest, Integration, Key, Link, Millis, OffOwner, Operation, Owner, Strategy,
};
use firn_storage::{Memory, Store};
use serde_json::json;

use super::doors::Doors;
use super::{Message, Site, TRANSACTION_LIMIT, World};
use crate::sim::servicenow::Rule;

/// One seed in so many, and which.
const OPERATED: (u64, u64) = (13, 12);

/// So long it takes to put a copy in place. What was written before can be read by then. In milliseconds.
const TAKES: u64 = 10_000;

/// The seed after `n` others, from one on, of those in which operators act.
pub(in crate::sim) fn operated(from: u64, n: u64) -> u64 {
    super::harder::nth(OPERATED, from, n)
}

/// The chances of such a seed.
pub(super) struct Operators {
    rng: fastrand::Rng,
    backup: Option<Backup>,
}

/// A copy of the store, and how much had been done by then.
struct Backup {
    store: Memory,
    taken: Millis,
    /// Of each site: what went over a person's value, on both sides.
    overwritten: Vec<[usize; 2]>,
}

impl Operators {
    pub(super) fn of(seed: u64) -> Option<Operators> {
        let (of, which) = OPERATED;
        let rng = fastrand::Rng::with_seed(seed.rotate_left(32));
        (seed % of == which).then_some(Operators { rng, backup: None })
    }
}

impl World {
    fn draw_operator(&mut self, of: u32) -> Option<u32> {
        self.operators.as_mut().map(|operators| operators.rng.u32(0..of))
    }

    /// Now and then an operator does something.
    pub(super) fn operator_acts(&mut self) {
        match self.draw_operator(100) {
            Some(0..=2) => self.back_up(),
            Some(3..=4) => self.restore(),
            Some(5..=7) => self.settings_change(),
            Some(8..=10) => self.dead_letters(),
            Some(11..=12) => self.right_to_write(),
            _ => {}
        }
    }

    fn back_up(&mut self) {
        self.met("operator: backs up");
        let overwritten = self.sites.iter().map(overwritten).collect();
        let store = self.copy_of_store();
        let backup = Backup { store, taken: self.now, overwritten };
        if let Some(operators) = &mut self.operators {
            operators.backup = Some(backup);
        }
    }

    /// A new process begins with what the backup has. What happened since is known to both sides, and not to it.
    fn restore(&mut self) {
        let Some(backup) = self.operators.as_mut().and_then(|operators| operators.backup.take())
        else {
            return;
        };
        self.met("operator: restores");
        let before: Vec<Vec<Link>> = self.links_of_sites();
        for (site, links) in self.sites.iter_mut().zip(&before) {
            let tickets = links.iter().filter_map(|link| link.external.as_ref());
            site.paired.extend(tickets.map(|ticket| ticket.sys_id.to_string()));
        }
        self.put_back(&backup.store, backup.taken);
        let after: Vec<Vec<Link>> = self.links_of_sites();
        for at in 0..self.sites.len() {
            self.at = at;
            self.forgotten(&backup, &before[at], &after[at]);
        }
    }

    /// The process ends, and its connections with it. What was on its way to a side arrives there: before another store
    /// is in place, or within the transaction limit after that.
    fn stop(&mut self) {
        self.pending.clear();
        let here = self.at;
        // By the clock: another draw would make other worlds of all known seeds.
        let late = self.now.0 % 2 == 1;
        let restored = self.now.plus(TAKES);
        for (when, (at, message)) in std::mem::take(&mut self.queue) {
            self.at = at;
            match message {
                Message::Request { request, .. } if late => {
                    self.met("fault: late commit after a restore");
                    // Anywhere within the limit, also by what is no draw.
                    let takes = (when.0.0.unsigned_abs() * 7_919) % (TRANSACTION_LIMIT - 200);
                    let arrives = (restored.plus(takes), when.1);
                    self.queue.insert(arrives, (at, Message::Forgotten(request)));
                }
                Message::Request { request, .. } => self.execute(&request, true),
                Message::Response { .. } | Message::Timeout { .. } => {}
                Message::Webhook { .. } | Message::Told { .. } | Message::Forgotten(_) => {
                    self.queue.insert(when, (at, message));
                }
            }
        }
        self.at = here;
    }

    /// What the process before a restore has sent takes effect: there is no more to be asked about it than about what it
    /// did before.
    pub(super) fn execute_forgotten(&mut self, request: &HttpRequest) {
        let site = self.site();
        let ([external, platform], bodies) = (overwritten(site), site.servicenow.bodies.len());
        let keys = site.platform.keys.len();
        self.execute(request, true);
        let site = self.site_mut();
        site.servicenow.overwritten.truncate(external);
        site.platform.overwritten.truncate(platform);
        site.servicenow.bodies.truncate(bodies);
        site.unexplained.extend(site.platform.keys.iter().skip(keys).cloned());
    }

    /// Another process begins on a copy of the store, as `firn restore` leaves it.
    pub(in crate::sim) fn put_back(&mut self, copy: &Memory, taken: Millis) {
        self.stop();
        self.now = self.now.plus(TAKES);
        self.shared.now.set(self.now);
        self.shared.store.put_back(copy);
        self.shared.dies.set(None);
        self.engine = Engine::new(Doors(std::rc::Rc::clone(&self.shared)));
        let here = self.at;
        for at in 0..self.sites.len() {
            self.at = at;
            self.recover(taken);
        }
        self.tell_again();
        self.at = here;
    }

    pub(in crate::sim) fn copy_of_store(&self) -> Memory {
        self.shared.store.copy()
    }

    fn links_of_sites(&mut self) -> Vec<Vec<Link>> {
        let here = self.at;
        let links = (0..self.sites.len()).map(|at| {
            self.at = at;
            self.rows("link")
        });
        let links = links.collect();
        self.at = here;
        links
    }

    /// What cannot be asked of it any more: its audit has lost these lines, and it never heard of these pairs.
    fn forgotten(&mut self, backup: &Backup, before: &[Link], after: &[Link]) {
        let now = self.now;
        self.read_settings();
        let at = self.at;
        let site = self.site_mut();
        let [external, platform] = backup.overwritten[at];
        site.servicenow.overwritten.truncate(external);
        site.platform.overwritten.truncate(platform);
        site.restored = Some(now);
        site.unexplained.extend(site.platform.keys.iter().cloned());
        site.servicenow.bodies.clear();
        let has_link =
            |record: &&String| after.iter().any(|link| link.platform_id.as_str() == *record);
        let unheard = site.platform.records.keys().filter(|record| !has_link(record)).cloned();
        site.unheard.extend(unheard.collect::<Vec<_>>());
        for link in before {
            let known = after.iter().find(|known| known.id == link.id);
            let ticket = |link: &Link| link.external.as_ref().map(|e| e.sys_id.to_string());
            let same = known.is_some_and(|known| {
                ticket(known) == ticket(link) && known.tombstone == link.tombstone
            });
            if !same {
                site.torn.insert(link.platform_id.to_string());
                site.left.extend(ticket(link));
                site.left.extend(known.and_then(ticket));
            }
        }
        self.edits += 6 * (before.len() + after.len()) as u64;
    }

    /// The site is as its settings say that are stored.
    fn read_settings(&mut self) {
        let stored = self.stored(&["integration", self.site().integration.id.as_str()]);
        if let Ok(integration) = serde_json::from_value::<Integration>(stored) {
            self.site_mut().integration = integration;
        }
    }

    /// What the restore writes down.
    fn recover(&mut self, taken: Millis) {
        let key = Key::new(
            &self.site().integration.tenant,
            &["integration", self.site().integration.id.as_str()],
        );
        let row = self.shared.store.get(&[key]).ok().and_then(|mut rows| rows.pop().flatten());
        let Some(row) = row else { return };
        let restoring = firn_model::restored(&row, taken, self.now);
        let told = restoring.map(|restoring| self.shared.store.commit(&restoring.changes));
        assert!(matches!(told, Ok(Ok(()))), "{told:?}");
    }

    /// Another strategy, or another owner of a field, while everything is under way.
    fn settings_change(&mut self) {
        let (Some(what), Some(which)) = (self.draw_operator(3), self.draw_operator(60)) else {
            return;
        };
        let which = which as usize;
        let change = match what {
            0 => {
                let all =
                    [Strategy::LastWriteWins, Strategy::OwnershipPriority, Strategy::ManualReview];
                json!({ "strategy": all[which % 3] })
            }
            1 => {
                let fields = ["title", "description", "severity", "status", "assigned_to"];
                let owner = [Owner::Platform, Owner::External, Owner::Shared][which / 5 % 3];
                let off = [OffOwner::Restored, OffOwner::Kept, OffOwner::Adopted][which / 15 % 3];
                let field = json!({ "owner": owner, "off_owner": off });
                json!({ "fields": { fields[which % 5]: field } })
            }
            _ => json!({ "polling": { "interval": 5_000 + 1_000 * which } }),
        };
        self.met("operator: changes settings");
        self.say(|| format!("operator: {change}"));
        self.change(change);
        // Whether it was stored, whatever the answer was.
        self.read_settings();
    }

    /// The integration user may not write a column any more, or may again.
    fn right_to_write(&mut self) {
        let Some(drawn) = self.draw_operator(4) else { return };
        let column = ["short_description", "description", "state", "assigned_to"][drawn as usize];
        let rules = &mut self.site_mut().servicenow.rules;
        if !rules.is_empty() {
            rules.clear();
            return;
        }
        rules.push(Rule::Refuses(column.to_owned()));
        self.met("fault: a column may not be written");
    }

    /// Rights are as they were.
    pub(super) fn operators_are_done(&mut self) {
        if self.operators.is_some() {
            self.sites.iter_mut().for_each(|site| site.servicenow.rules.clear());
            self.shared.dies.set(None);
        }
    }

    /// What was refused is tried again, unless a person gave it up.
    pub(super) fn all_dead_again(&mut self) {
        for at in 0..self.sites.len() {
            self.at = at;
            let (integration, filter) = (self.site().integration.id.clone(), DeadFilter::default());
            if self.operators.is_some() {
                self.operate(Operation::RetryAllDead { integration, filter });
            }
        }
    }

    /// What failed for good is tried again, or given up.
    fn dead_letters(&mut self) {
        let Some(drawn) = self.draw_operator(4) else { return };
        if self.rows::<serde_json::Value>("dead").is_empty() {
            return;
        }
        let (integration, filter) = (self.site().integration.id.clone(), DeadFilter::default());
        self.met("operator: decides on dead letters");
        self.operate(match drawn {
            0 => Operation::DiscardAllDead { integration, filter },
            _ => Operation::RetryAllDead { integration, filter },
        });
    }
}

fn overwritten(site: &Site) -> [usize; 2] {
    [site.servicenow.overwritten.len(), site.platform.overwritten.len()]
}
