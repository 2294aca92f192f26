//! One batch at work: what it has read, what it will change, what it will send and say. Nothing
//! leaves before [`Session::commit`].

use std::collections::BTreeMap;
use std::rc::Rc;

use firn_core::journal::Neighbours;
use firn_core::plan::{Input, advance};
use firn_core::settings::{self, Rules};
use firn_core::{identity, wire};
use firn_model::rule::Answer;
use firn_model::{
    Audit, Change, CommitError, Conflict, Ended, Entry, EntryOrigin, Expect, Finding, FindingKind,
    HttpRequest, Integration, IntegrationId, KeptFinding, Key, Link, LinkId, Millis, Mirror, Plan,
    PlatformId, Problem, Put, Reply, Report, Role, Row, Side, Step, SysId, TenantId, Verb,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::{Doors, alert, attach, dead, learn, rows};

/// The same finding again within this time is not even written down. In milliseconds.
const SAID_A_MOMENT_AGO: i64 = 10_000;
/// The same finding again after this time is told again where findings are told. In milliseconds.
const NEWS_AGAIN: i64 = 3_600_000;

/// So many rows are looked at at once.
pub(crate) const PAGE: u32 = 500;

struct Slot {
    /// The version that was read; 0 if there was no row; `None` if it was never read.
    read: Option<u64>,
    now: Option<Put>,
    changed: bool,
    /// What `now` says, if it is a link's row that was looked at.
    link: Option<Rc<Link>>,
}

impl Slot {
    fn read(row: Option<Row>) -> Slot {
        let (read, now) = match row {
            Some(Row { version, value, due, .. }) => (version, Some(Put { value, due })),
            None => (0, None),
        };
        Slot { read: Some(read), now, changed: false, link: None }
    }

    /// Of a row that was never read.
    fn unread() -> Slot {
        Slot { read: None, now: None, changed: true, link: None }
    }

    fn set(&mut self, now: Option<Put>) {
        (self.now, self.changed, self.link) = (now, true, None);
    }
}

/// What an instance need not read twice. Nothing here is believed without a look at its row.
#[derive(Default)]
pub(crate) struct Known {
    /// Settings, checked once a version.
    rules: BTreeMap<Key, (u64, Rc<Rules>)>,
    /// Links, each with the text of the row that it was read from or written as.
    links: BTreeMap<Key, (String, Rc<Link>)>,
}

impl Known {
    /// So many links are kept: some kilobytes each.
    const LINKS: usize = 512;

    fn link(&self, key: &Key, text: &str) -> Option<Rc<Link>> {
        self.links.get(key).filter(|(known, _)| known == text).map(|(_, link)| Rc::clone(link))
    }

    fn remember(&mut self, key: &Key, text: &str, link: &Rc<Link>) {
        if let Some(known) = self.links.get_mut(key) {
            known.0.clear();
            known.0.push_str(text);
            known.1 = Rc::clone(link);
            return;
        }
        if self.links.len() >= Self::LINKS {
            self.links.clear();
        }
        self.links.insert(key.clone(), (text.to_owned(), Rc::clone(link)));
    }
}

pub(crate) struct Session<'a, D> {
    pub(crate) doors: &'a D,
    known: &'a mut Known,
    pub(crate) now: Millis,
    slots: BTreeMap<Key, Slot>,
    requests: Vec<HttpRequest>,
    reports: Vec<Report>,
}

impl<'a, D: Doors> Session<'a, D> {
    pub(crate) fn new(doors: &'a D, known: &'a mut Known) -> Self {
        let now = doors.now();
        Session {
            doors,
            known,
            now,
            slots: BTreeMap::new(),
            requests: Vec::new(),
            reports: Vec::new(),
        }
    }

    // ---- rows ----------------------------------------------------------------------------

    fn slot(&mut self, key: &Key) -> Result<&mut Slot, CommitError> {
        if self.slots.get(key).is_none_or(|slot| slot.read.is_none() && !slot.changed) {
            let row = self.doors.get(std::slice::from_ref(key))?.pop().flatten();
            self.slots.insert(key.clone(), Slot::read(row));
        }
        self.slots.get_mut(key).ok_or_else(|| CommitError::Failed("a row went astray".to_owned()))
    }

    /// Reads rows that will be looked at, all at once.
    pub(crate) fn prefetch(&mut self, mut keys: Vec<Key>) -> Result<(), CommitError> {
        keys.retain(|key| !self.slots.contains_key(key));
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        let rows = self.doors.get(&keys)?;
        for (key, row) in keys.into_iter().zip(rows) {
            self.slots.insert(key, Slot::read(row));
        }
        Ok(())
    }

    /// A row as this batch would leave it.
    pub(crate) fn get<T: DeserializeOwned>(&mut self, key: &Key) -> Result<Option<T>, CommitError> {
        let Some(put) = &self.slot(key)?.now else { return Ok(None) };
        decode(key, &put.value).map(Some)
    }

    pub(crate) fn exists(&mut self, key: &Key) -> Result<bool, CommitError> {
        Ok(self.slot(key)?.now.is_some())
    }

    /// Whether a row is there and due by now, as this batch would leave it.
    pub(crate) fn is_due(&mut self, key: &Key) -> Result<bool, CommitError> {
        let now = self.now;
        let put = &self.slot(key)?.now;
        Ok(put.as_ref().and_then(|put| put.due).is_some_and(|due| due <= now))
    }

    /// Writes a row. Whoever read it before expects it to be unchanged; a row never read is
    /// written whatever is there.
    pub(crate) fn put<T: Serialize>(
        &mut self,
        key: &Key,
        value: &T,
        due: Option<Millis>,
    ) -> Result<(), CommitError> {
        self.put_text(key, text(value)?, due);
        Ok(())
    }

    fn put_text(&mut self, key: &Key, value: String, due: Option<Millis>) {
        self.entry(key).set(Some(Put { value, due }));
    }

    /// A row's place, without reading it.
    fn entry(&mut self, key: &Key) -> &mut Slot {
        self.slots.entry(key.clone()).or_insert_with(Slot::unread)
    }

    /// Leaves a row as it is, but due no more.
    pub(crate) fn rest(&mut self, key: &Key) -> Result<(), CommitError> {
        let slot = self.slot(key)?;
        if let Some(put) = &mut slot.now {
            put.due = None;
            slot.changed = true;
        }
        Ok(())
    }

    /// Makes a row due now, as it is.
    pub(crate) fn wake(&mut self, key: &Key) -> Result<(), CommitError> {
        self.put_off(key, self.now)
    }

    /// Makes a row due at another time, as it is.
    pub(crate) fn put_off(&mut self, key: &Key, until: Millis) -> Result<(), CommitError> {
        let slot = self.slot(key)?;
        if let Some(put) = &mut slot.now {
            put.due = Some(until);
            slot.changed = true;
        }
        Ok(())
    }

    /// What was read of a row is relied on: nothing is committed if somebody else changes it, or relies on it, meanwhile.
    fn rely_on(&mut self, key: &Key) -> Result<(), CommitError> {
        self.slot(key)?.changed = true;
        Ok(())
    }

    /// Whoever was read before is as it was. (What was read first may have changed before the rest was read.)
    fn still_holds(&mut self, keys: Vec<Key>) -> Result<(), CommitError> {
        let slots = &self.slots;
        let known = |key: &Key| slots.get(key).filter(|slot| !slot.changed).and_then(|s| s.read);
        let known: Vec<(Key, u64)> =
            keys.into_iter().filter_map(|key| known(&key).map(|read| (key, read))).collect();
        let keys: Vec<Key> = known.iter().map(|(key, _)| key.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let rows = self.doors.get(&keys)?;
        for ((key, read), row) in known.into_iter().zip(rows) {
            if row.map_or(0, |row| row.version) != read {
                return Err(CommitError::Stale(key));
            }
        }
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &Key) {
        self.entry(key).set(None);
    }

    /// Committed rows below a prefix, page by page. Not for what may be very many: links, checks.
    pub(crate) fn all(&self, tenant: &TenantId, prefix: &str) -> Result<Vec<Row>, CommitError> {
        let mut rows: Vec<Row> = Vec::new();
        self.each_page(tenant, prefix, |_, page| {
            rows.extend(page);
            Ok(true)
        })?;
        Ok(rows)
    }

    /// A page of committed rows below a prefix; the last one if there are fewer than [`PAGE`].
    pub(crate) fn page(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<Row>, CommitError> {
        self.doors.scan(tenant, prefix, after, PAGE)
    }

    /// Looks at committed rows below a prefix page by page, as long as it is told to go on.
    pub(crate) fn each_page(
        &self,
        tenant: &TenantId,
        prefix: &str,
        mut look: impl FnMut(&Self, Vec<Row>) -> Result<bool, CommitError>,
    ) -> Result<(), CommitError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.page(tenant, prefix, after.as_deref())?;
            after = page.last().map(|row| row.key.path.clone());
            let full = page.len() == PAGE as usize;
            if !look(self, page)? || !full {
                return Ok(());
            }
        }
    }

    /// Commits everything at once, and hands over what may now leave.
    pub(crate) fn commit(self) -> Result<(Vec<Report>, Vec<HttpRequest>), CommitError> {
        let changes: Vec<Change> = self
            .slots
            .into_iter()
            .filter(|(_, slot)| slot.changed)
            .map(|(key, slot)| Change {
                key,
                expect: match slot.read {
                    None => Expect::Any,
                    Some(0) => Expect::Absent,
                    Some(version) => Expect::Version(version),
                },
                put: slot.now,
            })
            .collect();
        if !changes.is_empty() {
            self.doors.commit(&changes)?;
        }
        Ok((self.reports, self.requests))
    }

    // ---- integrations --------------------------------------------------------------------

    /// An integration's checked settings, parsed once per version.
    pub(crate) fn rules(
        &mut self,
        tenant: &TenantId,
        id: &IntegrationId,
    ) -> Result<Option<Rc<Rules>>, CommitError> {
        let key = rows::integration(tenant, id);
        self.slot(&key)?;
        let Some(slot) = self.slots.get(&key) else { return Ok(None) };
        let Some(put) = &slot.now else { return Ok(None) };
        // As this batch has changed it: what comes after that in the batch goes by the new settings.
        let version = slot.read.filter(|_| !slot.changed);
        if let (Some(version), Some((known, rules))) = (version, self.known.rules.get(&key))
            && *known == version
        {
            return Ok(Some(Rc::clone(rules)));
        }
        let integration: Integration = decode(&key, &put.value)?;
        let tokens = self.doors.tokens(tenant);
        let rules = settings::compile_with(integration, tokens).map(Rc::new).map_err(|_| {
            let why = "its settings are not sound for this version".to_owned();
            CommitError::Unreadable { key: key.clone(), why }
        })?;
        if let Some(version) = version {
            self.known.rules.insert(key, (version, Rc::clone(&rules)));
        }
        Ok(Some(rules))
    }

    // ---- links ---------------------------------------------------------------------------

    pub(crate) fn link(
        &mut self,
        tenant: &TenantId,
        id: &IntegrationId,
        link: &LinkId,
    ) -> Result<Option<Link>, CommitError> {
        self.link_at(&rows::link(tenant, id, link))
    }

    pub(crate) fn link_at(&mut self, key: &Key) -> Result<Option<Link>, CommitError> {
        Ok(self.shown(key)?.map(Rc::unwrap_or_clone))
    }

    /// A link, to be looked at only.
    fn shown(&mut self, key: &Key) -> Result<Option<Rc<Link>>, CommitError> {
        self.slot(key)?;
        let Some(slot) = self.slots.get_mut(key) else { return Ok(None) };
        let Some(Put { value, .. }) = &slot.now else { return Ok(None) };
        if let Some(link) = &slot.link {
            return Ok(Some(Rc::clone(link)));
        }
        let link = match self.known.link(key, value) {
            Some(link) => link,
            None => {
                let link = Rc::new(decode(key, value)?);
                self.known.remember(key, value, &link);
                link
            }
        };
        slot.link = Some(Rc::clone(&link));
        Ok(Some(link))
    }

    /// Writes a link, which is due when its plan says so.
    pub(crate) fn put_link(
        &mut self,
        tenant: &TenantId,
        link: Link,
        due: Option<Millis>,
    ) -> Result<(), CommitError> {
        let key = rows::link(tenant, &link.integration, &link.id);
        let value = text(&link)?;
        let link = Rc::new(link);
        self.known.remember(&key, &value, &link);
        let slot = self.entry(&key);
        slot.set(Some(Put { value, due }));
        slot.link = Some(link);
        Ok(())
    }

    /// The link that stands for a platform's record now: of its generations the last.
    pub(crate) fn current(
        &mut self,
        tenant: &TenantId,
        id: &IntegrationId,
        record: &PlatformId,
    ) -> Result<Option<Link>, CommitError> {
        let at = |link: &LinkId| rows::link(tenant, id, link);
        let mut link = self.shown(&at(&identity::link_id(id, record, 1)))?;
        while let Some(next) = link.as_ref().and_then(|link| link.successor.as_ref()).map(at) {
            link = self.shown(&next)?;
        }
        Ok(link.map(Rc::unwrap_or_clone))
    }

    /// The links on a ticket; the first speaks for it.
    pub(crate) fn on_ticket(
        &mut self,
        tenant: &TenantId,
        id: &IntegrationId,
        sys_id: &str,
    ) -> Result<Vec<LinkId>, CommitError> {
        Ok(self.get(&rows::by_external(tenant, id, sys_id))?.unwrap_or_default())
    }

    /// The links on a ticket, as they are now. (Whoever changes one of them in a loop reads each anew: it may
    /// change the others.)
    pub(crate) fn linked(
        &mut self,
        tenant: &TenantId,
        id: &IntegrationId,
        sys_id: &str,
    ) -> Result<Vec<Link>, CommitError> {
        let mut links = Vec::new();
        for link in self.on_ticket(tenant, id, sys_id)? {
            links.extend(self.link(tenant, id, &link)?);
        }
        Ok(links)
    }

    /// Whether a ticket is or was a pair's, of this integration or another one of the tenant's that works on the same
    /// instance.
    fn is_or_was_paired(
        &mut self,
        tenant: &TenantId,
        id: &IntegrationId,
        sys_id: &SysId,
    ) -> Result<bool, CommitError> {
        let rows = self.all(tenant, "integration/")?;
        let all: Vec<Integration> =
            rows.iter().filter_map(|row| serde_json::from_str(&row.value).ok()).collect();
        let instance = all.iter().find(|known| known.id == *id).map(|own| own.base_url.clone());
        let others = all
            .iter()
            .filter(|other| other.id != *id && Some(&other.base_url) == instance.as_ref());
        for id in std::iter::once(id).chain(others.map(|other| &other.id)) {
            if !self.on_ticket(tenant, id, sys_id.as_str())?.is_empty()
                || !self.formerly(tenant, id, sys_id)?.is_empty()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether these are links, and nothing is known of any of them any more.
    pub(crate) fn all_forgotten(
        &mut self,
        tenant: &TenantId,
        id: &IntegrationId,
        links: &[LinkId],
    ) -> Result<bool, CommitError> {
        for link in links {
            let link = self.shown(&rows::link(tenant, id, link))?;
            if !link.is_some_and(|link| link.is_forgotten()) {
                return Ok(false);
            }
        }
        Ok(!links.is_empty())
    }

    /// What the other links on a link's ticket have there, and which of its twins are or were a pair's: whatever we
    /// wrote there as such hides, in `sys_updated_by`, that a person had touched it.
    pub(crate) fn neighbours(
        &mut self,
        tenant: &TenantId,
        link: &Link,
    ) -> Result<Option<Neighbours>, CommitError> {
        let id = &link.integration;
        let mut found = Neighbours::default();
        for twin in &link.twins {
            if self.is_or_was_paired(tenant, id, &twin.sys_id)? {
                found.held.push(twin.sys_id.clone());
            }
        }
        let shared = match (link.role, &link.external) {
            (Role::Primary | Role::Secondary, Some(external)) => {
                let index = rows::by_external(tenant, id, external.sys_id.as_str());
                if !self.slots.contains_key(&index) {
                    let others = self.on_ticket(tenant, id, external.sys_id.as_str())?;
                    let others = others.iter().filter(|other| **other != link.id);
                    self.still_holds(others.map(|other| rows::link(tenant, id, other)).collect())?;
                }
                self.on_ticket(tenant, id, external.sys_id.as_str())?
            }
            _ if found.held.is_empty() => return Ok(None),
            _ => Vec::new(),
        };
        for other in shared.into_iter().filter(|other| *other != link.id) {
            let Some(other) = self.shown(&rows::link(tenant, id, &other))? else { continue };
            found.busy |= other.external_side.flight.is_some();
            found.claimed.extend(other.entries.iter().filter_map(|entry| match &entry.mirror {
                Mirror::Mirrored(Some(row)) if entry.origin.side() == Side::Platform => {
                    Some(row.clone())
                }
                _ => None,
            }));
        }
        Ok(Some(found))
    }

    /// Enters a link into the index of its ticket. If another speaks for it already, this one
    /// shares it.
    pub(crate) fn join(&mut self, tenant: &TenantId, link: &mut Link) -> Result<(), CommitError> {
        let Some(external) = link.external.clone().filter(|_| link.tombstone.is_none()) else {
            return Ok(());
        };
        let id = link.integration.clone();
        let key = rows::by_external(tenant, &id, external.sys_id.as_str());
        let mut links: Vec<LinkId> = self.get(&key)?.unwrap_or_default();
        if !links.contains(&link.id) {
            links.push(link.id.clone());
            self.put(&key, &links, None)?;
            for former in self.formerly(tenant, &id, &external.sys_id)? {
                if let Some(former) = self.link(tenant, &id, &former)? {
                    inherit(&former, link);
                }
            }
            if external.adopted {
                attach::look(self, tenant, link)?;
            }
        }
        link.role = match links.first() {
            Some(first) if *first != link.id => Role::Secondary,
            _ if links.len() > 1 => Role::Primary,
            _ => Role::Sole,
        };
        if link.role == Role::Secondary {
            for other in links.iter().filter(|other| **other != link.id) {
                self.set_role(tenant, &id, other, links.first() == Some(other))?;
            }
            let text = "the ticket is another link's already: that one carries its fields, this one its journal and its status";
            self.find(
                tenant,
                &Finding {
                    kind: FindingKind::SharedTicket,
                    integration: id,
                    link: Some(link.id.clone()),
                    field: None,
                    text: text.to_owned(),
                    at: self.now,
                },
            )?;
        }
        Ok(())
    }

    /// The links that were once on a ticket.
    pub(crate) fn formerly(
        &mut self,
        tenant: &TenantId,
        id: &IntegrationId,
        sys_id: &SysId,
    ) -> Result<Vec<LinkId>, CommitError> {
        Ok(self.get(&rows::formerly(tenant, id, sys_id.as_str()))?.unwrap_or_default())
    }

    fn set_role(
        &mut self,
        tenant: &TenantId,
        id: &IntegrationId,
        link: &LinkId,
        first: bool,
    ) -> Result<(), CommitError> {
        let role = if first { Role::Primary } else { Role::Secondary };
        if let Some(mut link) = self.link(tenant, id, link)?
            && link.role != role
        {
            link.role = role;
            let now = self.now;
            self.put_link(tenant, link, Some(now))?;
        }
        Ok(())
    }

    /// Takes a link out of the index of its ticket; the next one speaks for it from now on. A link
    /// whose last write is under way stays until that is over: the others must know its rows.
    pub(crate) fn leave(&mut self, tenant: &TenantId, link: &Link) -> Result<(), CommitError> {
        let Some(external) = &link.external else { return Ok(()) };
        let id = link.integration.clone();
        let key = rows::by_external(tenant, &id, external.sys_id.as_str());
        let mut links: Vec<LinkId> = self.get(&key)?.unwrap_or_default();
        let before = links.len();
        links.retain(|other| *other != link.id);
        // A ticket that was found when its link was at rest already is no stranger's either.
        let mut former = self.formerly(tenant, &id, &external.sys_id)?;
        if !former.contains(&link.id) {
            former.push(link.id.clone());
            self.put(&rows::formerly(tenant, &id, external.sys_id.as_str()), &former, None)?;
        }
        if links.len() == before {
            return Ok(());
        }
        for other in &links {
            if let Some(mut other) = self.link(tenant, &id, other)? {
                inherit(link, &mut other);
                let now = self.now;
                self.put_link(tenant, other, Some(now))?;
            }
        }
        match links.as_slice() {
            [] => self.delete(&key),
            [first, ..] => {
                let first = first.clone();
                self.put(&key, &links, None)?;
                self.set_role(tenant, &id, &first, true)?;
            }
        }
        Ok(())
    }

    /// Puts inputs into a link, and stores and sends what the plan says.
    pub(crate) fn advance(
        &mut self,
        tenant: &TenantId,
        rules: &Rules,
        link: Link,
        inputs: &[Input],
    ) -> Result<(), CommitError> {
        let twins: Vec<SysId> = link.twins.iter().map(|twin| twin.sys_id.clone()).collect();
        let stayed = link.tombstone.is_none() || link.external_side.flight.is_some();
        let taking = attach::taking(&link);
        let wrote = link.external_side.flight.is_some();
        let declined = is_declined(&link);
        let before = learn::Before::of(rules, &link);
        // Nothing is put into a link whose content was erased for good.
        let mut inputs = if link.is_forgotten() { Vec::new() } else { inputs.to_vec() };
        inputs.extend(self.neighbours(tenant, &link)?.map(Input::Shared));
        let key = link.key.clone();
        let mut plan = advance(rules, link, &inputs, self.now);
        plan = self.asked(tenant, rules, plan)?;
        if plan.link.key != key {
            let index = rows::by_key(tenant, rules.id(), plan.link.key.as_str());
            self.put(&index, &plan.link.id, None)?;
        }
        if plan.notice.is_some() {
            self.join(tenant, &mut plan.link)?;
        }
        // It has its ticket now, or a twin of it. Who else has it decides what it may do there.
        let has_new_twins = plan.link.twins.iter().any(|twin| !twins.contains(&twin.sys_id));
        if plan.notice.is_some() || has_new_twins {
            let shared: Vec<Input> =
                self.neighbours(tenant, &plan.link)?.map(Input::Shared).into_iter().collect();
            let next = advance(rules, plan.link.clone(), &shared, self.now);
            plan = self.asked(tenant, rules, plan.then(next))?;
        }
        if !wrote {
            self.begins_to_write(tenant, &plan.link)?;
        }
        // Whoever is at rest speaks for no ticket.
        let rests = plan.link.tombstone.is_some() && plan.link.external_side.flight.is_none();
        if stayed && rests {
            self.leave(tenant, &plan.link)?;
        }
        if !declined && is_declined(&plan.link) {
            self.give_back(tenant, rules, &plan.link)?;
        }
        attach::wake(self, tenant, rules, &plan.link, taking)?;
        learn::tell(self, tenant, rules, &plan.link, before)?;
        self.carry_out(tenant, rules, plan)
    }

    /// One that is not wanted after all takes over from nobody: the one before stands for the record again.
    fn give_back(
        &mut self,
        tenant: &TenantId,
        rules: &Rules,
        link: &Link,
    ) -> Result<(), CommitError> {
        let first = identity::link_id(rules.id(), &link.platform_id, 1);
        let mut before = self.link(tenant, rules.id(), &first)?;
        while let Some(mut known) = before {
            let Some(next) = known.successor.clone() else { break };
            if next == link.id {
                known.successor = None;
                let now = self.now;
                return self.put_link(tenant, known, Some(now));
            }
            before = self.link(tenant, rules.id(), &next)?;
        }
        Ok(())
    }

    /// A write to a ticket that others are on, or may come to be on, begins: it relies on what was seen of them. Of two
    /// that begin at the same moment one looks again, and sees the other.
    fn begins_to_write(&mut self, tenant: &TenantId, link: &Link) -> Result<(), CommitError> {
        let (Some(flight), Some(external)) = (&link.external_side.flight, &link.external) else {
            return Ok(());
        };
        if link.role != Role::Sole {
            let index = rows::by_external(tenant, &link.integration, external.sys_id.as_str());
            self.rely_on(&index)?;
        }
        if let Verb::Retire { twin, .. } = &flight.write.verb {
            let index = rows::by_external(tenant, &link.integration, twin.sys_id.as_str());
            self.rely_on(&index)?;
        }
        Ok(())
    }

    /// Asks the tenant's rules what a plan has to know, until it has no question left.
    fn asked(
        &mut self,
        tenant: &TenantId,
        rules: &Rules,
        mut plan: Plan,
    ) -> Result<Plan, CommitError> {
        // Admission, classification, draft, then values and conflicts, which may lead to values once more.
        const ROUNDS: usize = 8;
        for _ in 0..ROUNDS {
            let (Some(inquiry), Some(active)) = (plan.inquiry.take(), &rules.integration().rules)
            else {
                return Ok(plan);
            };
            let mut answers = self.doors.ask(tenant, rules.id(), active, &inquiry).into_iter();
            let mut inputs: Vec<Input> =
                self.neighbours(tenant, &plan.link)?.map(Input::Shared).into_iter().collect();
            inputs.extend(inquiry.questions.into_iter().map(|question| {
                let none = || Answer::Failed("they were asked and gave no answer".to_owned());
                let answer = answers.next().unwrap_or_else(none);
                Input::Ruled(question, answer)
            }));
            let next = advance(rules, plan.link.clone(), &inputs, self.now);
            let notice = plan.notice.take();
            plan = plan.then(next);
            plan.notice = plan.notice.or(notice);
        }
        if plan.inquiry.take().is_some() {
            plan.steps = vec![(Side::External, Step::Wait(self.now.plus(1_000)))];
        }
        Ok(plan)
    }

    pub(crate) fn carry_out(
        &mut self,
        tenant: &TenantId,
        rules: &Rules,
        plan: Plan,
    ) -> Result<(), CommitError> {
        let wake = plan.wake();
        let Plan { link, steps, findings, audit, conflicts, dead, notice, inquiry: _ } = plan;
        let id = rules.id();
        for conflict in conflicts {
            self.store_conflict(tenant, conflict)?;
        }
        for finding in findings {
            self.find(tenant, &finding)?;
        }
        for letter in dead {
            dead::bury(self, tenant, letter)?;
        }
        for line in audit {
            self.audit(tenant, &line)?;
        }
        // Last: a request whose link is not stored would be made twice.
        for (side, step) in steps {
            let Step::Exchange(exchange) = step else { continue };
            let ticket = ticket(&rows::link(tenant, id, &link.id), side, exchange.number);
            self.requests.extend(wire::request(rules, tenant, &link, side, &exchange, ticket));
        }
        if let Some(notice) = notice {
            self.reports.push(Report::Notice(notice));
        }
        self.put_link(tenant, link, wake)
    }

    fn store_conflict(
        &mut self,
        tenant: &TenantId,
        mut conflict: Conflict,
    ) -> Result<(), CommitError> {
        let key = rows::conflict(tenant, &conflict.integration, &conflict.id);
        if let Some(known) = self.get::<Conflict>(&key)? {
            conflict.opened = known.opened;
            if let firn_model::ConflictState::Resolved { .. } = known.state {
                conflict.state = known.state; // A resolved conflict does not close by itself.
            }
        }
        self.put(&key, &conflict, None)
    }

    pub(crate) fn find(&mut self, tenant: &TenantId, finding: &Finding) -> Result<(), CommitError> {
        let kind = serde_json::to_string(&finding.kind).unwrap_or_default();
        let link = finding.link.as_ref().map_or("-", LinkId::as_str);
        let field = finding.field.as_ref().map_or("-", firn_model::FieldName::as_str);
        // One per link and field; those about no link are told apart by what they say.
        let about = match &finding.link {
            Some(_) => format!("{link}.{field}"),
            // Their own words may be others each time.
            None if finding.kind == FindingKind::RulesFailed => "all".to_owned(),
            None => identity::short(&["finding", &finding.text]),
        };
        let name = format!("{}.{about}", kind.trim_matches('"'));
        // What rules, a model or the other side say in their own words may be what people said, as is what was
        // overwritten, and what came in that nobody can read.
        match finding.kind {
            FindingKind::RulesFailed
            | FindingKind::RulesWithheld
            | FindingKind::OverwrittenUnseen
            | FindingKind::Quarantined
            | FindingKind::LearningFailed
            | FindingKind::Refused => {
                self.doors.line(&format!("finding {name}"));
            }
            _ => self.doors.line(&format!("finding {name}: {}", finding.text)),
        }
        let key = rows::finding(tenant, &finding.integration, &name);
        let known = self.get::<Finding>(&key)?;
        let age = known.as_ref().map(|known| finding.at.since(known.at));
        if known.is_some_and(|known| known.text == finding.text) && age < Some(SAID_A_MOMENT_AGO) {
            return Ok(()); // Many links may find the same at once.
        }
        if age.is_none_or(|age| age >= NEWS_AGAIN) {
            alert::raise(self, tenant, &name, finding)?;
        }
        self.put(&key, &KeptFinding { id: name, finding: finding.clone() }, None)
    }

    /// Tells that a filter of the settings could not be evaluated. Names no value.
    pub(crate) fn filter_failed(
        &mut self,
        tenant: &TenantId,
        integration: &IntegrationId,
        text: String,
    ) -> Result<(), CommitError> {
        let finding = Finding {
            kind: FindingKind::TemplateFailed,
            integration: integration.clone(),
            link: None,
            field: None,
            text,
            at: self.now,
        };
        self.find(tenant, &finding)
    }

    pub(crate) fn audit(&mut self, tenant: &TenantId, line: &Audit) -> Result<(), CommitError> {
        let what = text(line)?;
        let name = format!("{:015}-{}", line.at.0.max(0), identity::short(&["audit", &what]));
        let key = rows::audit(tenant, &line.integration, line.link.as_ref(), &name);
        self.put_text(&key, what, None);
        Ok(())
    }

    pub(crate) fn submit(&mut self, request: HttpRequest) {
        self.requests.push(request);
    }

    // ---- replies -------------------------------------------------------------------------

    pub(crate) fn reply(&mut self, request: u64, status: u16, body: &serde_json::Value) {
        self.answer(
            request,
            Reply { status, body: body.to_string(), waits_for: None, first: false },
        );
    }

    pub(crate) fn problem(&mut self, request: u64, problem: &Problem) {
        let body = serde_json::to_value(problem).unwrap_or_default();
        self.reply(request, problem.status, &body);
    }

    pub(crate) fn answer(&mut self, request: u64, reply: Reply) {
        self.reports.push(Report::Reply { request, reply });
    }
}

/// What a link that leaves its ticket has written there stays what it was to the others, also to
/// those that join later: no foreign entry.
fn inherit(from: &Link, to: &mut Link) {
    for entry in &from.entries {
        let Mirror::Mirrored(Some(row)) = &entry.mirror else { continue };
        if from.id == to.id || entry.origin.side() != Side::Platform {
            continue;
        }
        let origin = EntryOrigin::External(row.clone());
        let mirror = Mirror::Withheld("another link on the ticket wrote it".to_owned());
        match to.entries.iter_mut().find(|known| known.origin == origin) {
            Some(known) if known.mirror == Mirror::Pending => known.mirror = mirror,
            Some(_) => {}
            None => to.entries.push(Entry { origin, mirror, ..entry.clone() }),
        }
    }
}

fn text<T: Serialize>(value: &T) -> Result<String, CommitError> {
    serde_json::to_string(value).map_err(|e| CommitError::Failed(e.to_string()))
}

fn decode<T: DeserializeOwned>(key: &Key, value: &str) -> Result<T, CommitError> {
    // What the parser says of it may name what stands there.
    let unreadable = |e: serde_json::Error| {
        let what = match e.classify() {
            Category::Data => "something else is expected",
            Category::Io | Category::Syntax | Category::Eof => "it is damaged",
        };
        let why = format!("{what} at its byte {}", e.column());
        CommitError::Unreadable { key: key.clone(), why }
    };
    serde_json::from_str(value).map_err(unreadable)
}

/// Names an exchange: the row that waits for it, the side, and its number.
pub(crate) fn ticket(key: &Key, side: Side, number: u64) -> String {
    format!("{}#{side}#{number}", key.path)
}

/// Takes a ticket apart again.
pub(crate) fn read_ticket(tenant: &TenantId, ticket: &str) -> Option<(Key, Side, u64)> {
    let mut parts = ticket.rsplitn(3, '#');
    let number = parts.next()?.parse().ok()?;
    let side = match parts.next()? {
        "platform" => Side::Platform,
        "external" => Side::External,
        _ => return None,
    };
    Some((Key { tenant: tenant.clone(), path: parts.next()?.to_owned() }, side, number))
}

/// Whether the tenant's rules did not want a link.
fn is_declined(link: &Link) -> bool {
    link.tombstone.as_ref().is_some_and(|end| matches!(end.why, Ended::Declined { .. }))
}
