//! Erasing what is kept of a person: of one conversation, call, record or ticket. Its pair is taken apart
//! first, by the engine; then its rows are blanked or removed, all at once. The links' own rows stay,
//! without anything that was said or who said it, so that what comes in late about it opens nothing again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Result, bail};
use firn_model::{
    ArticleDraft, Attachments, Change, Check, CheckState, CommitError, Conflict, CorrelationKey,
    DeadLetter, Delivery, DeliveryState, Expect, Finding, Group, GroupState, IntegrationId, Key,
    Link, LinkId, Operation, PlatformId, Put, Quarantined, Role, Row, Run, TenantId,
};
use firn_storage::Erased;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::{Host, now, together};

/// What was erased, and what could not be.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub(crate) struct Forgotten {
    /// How many of what: links, deliveries, lines of the audit, ...
    pub(crate) erased: BTreeMap<&'static str, u64>,
    /// What is kept elsewhere, in words.
    pub(crate) out_of_reach: Vec<String>,
}

/// Why nothing was erased.
pub(crate) enum NotForgotten {
    /// There is nothing of that key.
    Unknown,
    /// Something is under way; in a moment it is not.
    Busy(&'static str),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NotForgotten {
    fn from(why: anyhow::Error) -> NotForgotten {
        match why.downcast_ref::<CommitError>() {
            Some(CommitError::Stale(_)) => NotForgotten::Busy("it is being worked on"),
            _ => NotForgotten::Failed(why),
        }
    }
}

/// What is to be erased of an integration, found before anything is.
#[derive(Default)]
struct Found {
    changes: Vec<Change>,
    /// Lines of the audit.
    lines: Vec<Key>,
    forgotten: Forgotten,
}

impl Found {
    fn gone(&mut self, what: &'static str, row: Row) {
        let expect = Expect::Version(row.version);
        self.changes.push(Change { key: row.key, expect, put: None });
        *self.forgotten.erased.entry(what).or_default() += 1;
    }

    fn rewritten<T: Serialize>(&mut self, what: &'static str, row: Row, value: &T) -> Result<()> {
        let put = Some(Put { value: serde_json::to_string(value)?, due: row.due });
        self.changes.push(Change { key: row.key, expect: Expect::Version(row.version), put });
        *self.forgotten.erased.entry(what).or_default() += 1;
        Ok(())
    }
}

impl Host {
    /// Erases what is kept of a key within a tenant, also of integrations that are gone.
    pub(crate) async fn forget_key(
        self: &Arc<Self>,
        tenant: &TenantId,
        key: &str,
        by: &str,
    ) -> Result<Forgotten, NotForgotten> {
        let mut all = Found::default();
        let integrations = self.integrations_of(tenant)?;
        // Also what came in about it and never found a link: of one ticket several integrations may have heard.
        let mut names = BTreeSet::from([key.to_owned()]);
        for integration in &integrations {
            let links = self.links_of(tenant, integration, key).await?;
            names.extend(links.iter().flat_map(names_of));
        }
        for integration in integrations {
            let links = self.links_of(tenant, &integration, key).await?;
            for link in &links {
                if link.tombstone.is_none() {
                    let (integration, link) = (integration.clone(), link.id.clone());
                    let operation = Operation::Unlink { integration, link };
                    let asked = self.operate(tenant, operation, by).await;
                    if asked.status != 200 {
                        let why = anyhow::anyhow!("the pair was not taken apart: {}", asked.status);
                        return Err(NotForgotten::Failed(why));
                    }
                }
            }
            // As they are now. What is on its way to a side comes to its end first.
            let links = self.links_of(tenant, &integration, key).await?;
            if links.iter().any(is_under_way) {
                return Err(NotForgotten::Busy("a write is under way"));
            }
            let (host, tenant, names) = (Arc::clone(self), tenant.clone(), names.clone());
            let search = move || host.find_rows(&tenant, &integration, &links, &names);
            let found =
                tokio::task::spawn_blocking(search).await.map_err(anyhow::Error::from)??;
            all.changes.extend(found.changes);
            all.lines.extend(found.lines);
            for (what, n) in found.forgotten.erased {
                *all.forgotten.erased.entry(what).or_default() += n;
            }
            all.forgotten.out_of_reach.extend(found.forgotten.out_of_reach);
        }
        let Found { mut changes, lines, mut forgotten } = all;
        if changes.is_empty() && lines.is_empty() {
            return Err(NotForgotten::Unknown);
        }
        // Other processes show it too.
        let value = now().0.to_string();
        let put = Some(Put { value, due: None });
        changes.push(Change { key: together::erased(tenant), expect: Expect::Any, put });
        let name = format!("{:015}-{:08x}", now().0.max(0), fastrand::u32(..));
        let told = Key::new(tenant, &["audit", "_erased", &name]);
        // First, so that they are gone from the file too.
        self.forget_answers()?;
        // The store's file may be written anew for it.
        let store = Arc::clone(&self.store);
        let erased = {
            let lines = lines.clone();
            tokio::task::spawn_blocking(move || store.erase(&changes, &lines, &told))
                .await
                .map_err(anyhow::Error::from)?
                .map_err(anyhow::Error::from)?
        };
        self.pulse.erased(tenant);
        self.forget_knowledge(tenant);
        if let Erased::FromRows { left } = erased {
            forgotten.out_of_reach.push(left);
        }
        if !lines.is_empty() {
            forgotten.erased.insert("lines of the audit", lines.len() as u64);
        }
        // And those that were kept meanwhile.
        self.forget_answers()?;
        forgotten.out_of_reach.sort();
        forgotten.out_of_reach.dedup();
        forgotten.out_of_reach.extend([
            "backups that were made before: restored, it has to be forgotten again".to_owned(),
            "recordings (firn serve --record), and what was written to logs elsewhere".to_owned(),
        ]);
        let count: u64 = forgotten.erased.values().sum();
        self.note(tenant, None, "forgotten", &format!("{count} rows of one key"), by);
        Ok(forgotten)
    }

    /// Every integration of a tenant of which anything is kept.
    fn integrations_of(&self, tenant: &TenantId) -> Result<BTreeSet<IntegrationId>> {
        let mut all = BTreeSet::new();
        for kind in ["link/", "delivery/", "quarantine/"] {
            let mut after: Option<String> = None;
            while let Some(row) = self.store.scan(tenant, kind, after.as_deref(), 1)?.pop() {
                let id = row.key.path.split('/').nth(1).unwrap_or_default();
                after = Some(format!("{kind}{id}/\u{10ffff}"));
                all.extend(IntegrationId::new(id).ok());
            }
        }
        Ok(all)
    }

    /// The links that somebody means by a key: with all generations of the platform's record.
    async fn links_of(
        self: &Arc<Self>,
        tenant: &TenantId,
        integration: &IntegrationId,
        key: &str,
    ) -> Result<Vec<Link>> {
        let (host, tenant, key) = (Arc::clone(self), tenant.clone(), key.to_owned());
        let prefix = format!("link/{integration}/");
        let search = move || -> Result<Vec<Link>> {
            let links = host.stored::<Link>(&tenant, &prefix)?;
            let mut links: Vec<Link> = links.into_iter().map(|(_, link)| link).collect();
            let of = |link: &Link| names_of(link).contains(&key);
            let records: BTreeSet<PlatformId> =
                links.iter().filter(|l| of(l)).map(|l| l.platform_id.clone()).collect();
            links.retain(|link| records.contains(&link.platform_id));
            Ok(links)
        };
        tokio::task::spawn_blocking(search).await?
    }

    /// Rows with what they say.
    fn stored<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        prefix: &str,
    ) -> Result<Vec<(Row, T)>> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(tenant, prefix, after.as_deref(), 500)?;
            after = page.last().map(|row| row.key.path.clone());
            let full = page.len() == 500;
            for row in page {
                if let Ok(value) = serde_json::from_str(&row.value) {
                    found.push((row, value));
                }
            }
            if !full {
                return Ok(found);
            }
        }
    }

    fn find_rows(
        &self,
        tenant: &TenantId,
        integration: &IntegrationId,
        links: &[Link],
        names: &BTreeSet<String>,
    ) -> Result<Found, NotForgotten> {
        let prefix = |kind: &str| format!("{kind}/{integration}/");
        let ids: BTreeSet<&str> = links.iter().map(|link| link.id.as_str()).collect();
        let of = |link: Option<&LinkId>| link.is_some_and(|link| ids.contains(link.as_str()));
        let mut found = Found::default();
        for (row, delivery) in self.stored::<Delivery>(tenant, &prefix("delivery"))? {
            let led = delivery.links.iter().any(|link| of(Some(link)));
            if led || is_about(&delivery.body, names) {
                if let DeliveryState::Received = delivery.state {
                    return Err(NotForgotten::Busy("something about it has just come in"));
                }
                found.gone("deliveries", row);
            }
        }
        for (row, kept) in self.stored::<Quarantined>(tenant, &prefix("quarantine"))? {
            if is_about(&kept.body, names) {
                found.gone("quarantined", row);
            }
        }
        for (row, letter) in self.stored::<DeadLetter>(tenant, &prefix("dead"))? {
            if of(Some(&letter.link)) {
                found.gone("dead letters", row);
            }
        }
        for (row, conflict) in self.stored::<Conflict>(tenant, &prefix("conflict"))? {
            if of(Some(&conflict.link)) {
                found.gone("conflicts", row);
            }
        }
        for (row, finding) in self.stored::<Finding>(tenant, &prefix("finding"))? {
            // What rules say of themselves may be in words of a record's.
            // So may what a model's endpoint says.
            let in_their_words = matches!(
                finding.kind,
                firn_model::FindingKind::RulesFailed | firn_model::FindingKind::LearningFailed
            );
            if of(finding.link.as_ref()) || in_their_words {
                found.gone("findings", row);
            }
        }
        // What is to be told of it, and what runs have read.
        for (row, value) in self.stored::<Json>(tenant, &prefix("alert"))? {
            if says(&value, &ids) {
                found.gone("alerts", row);
            }
        }
        let mut unchecked: BTreeMap<String, u64> = BTreeMap::new();
        for (row, check) in self.stored::<Check>(tenant, &prefix("check"))? {
            if of(Some(&check.link)) {
                // One that waits to be mended was counted.
                let is_counted = check.state == CheckState::Drifted;
                *unchecked.entry(check.run).or_default() += u64::from(!is_counted);
                found.gone("checks", row);
            }
        }
        for (row, mut group) in self.stored::<Group>(tenant, &prefix("group"))? {
            let before = group.links.len();
            group.links.retain(|link| !of(Some(link)));
            if group.links.len() < before {
                // What was read may be of any of them: it is read again for the others.
                group.tickets.clear();
                (group.state, group.attempts) = (GroupState::ReadingTickets, 0);
                group.number += 1;
                let row = Row { due: Some(now()), ..row };
                found.rewritten("checks", row, &group)?;
            }
        }
        for (row, mut run) in self.stored::<Run>(tenant, &prefix("run"))? {
            let before = run.drifts.len();
            run.drifts.retain(|check| !of(Some(&check.link)));
            let fewer = unchecked.get(&run.id).copied().unwrap_or_default();
            run.links = run.links.saturating_sub(fewer);
            if run.drifts.len() < before || fewer > 0 {
                // Whether that was the last one, it finds out itself.
                let due = if fewer > 0 { Some(now()) } else { row.due };
                found.rewritten("drifts", Row { due, ..row }, &run)?;
            }
        }
        for (row, draft) in self.stored::<ArticleDraft>(tenant, &prefix("article"))? {
            let mut theirs = links.iter().filter_map(|link| link.external.as_ref());
            if of(Some(&draft.link)) || theirs.any(|ticket| ticket.sys_id == draft.ticket.sys_id) {
                found.gone("drafts", row);
                let named = draft.article.map(|a| a.number.unwrap_or_else(|| a.sys_id.to_string()));
                let named = named.unwrap_or_else(|| "that was drafted".to_owned());
                let reach = &mut found.forgotten.out_of_reach;
                reach.push(format!("the article {named} in the instance's knowledge base"));
            }
        }
        let base_url = self.vault.get(integration).map(|k| k.integration.base_url.clone());
        for link in links {
            let files = Key::new(tenant, &["attachments", integration.as_str(), link.id.as_str()]);
            if let Some(row) = self.present(files)? {
                // By what is left, others on the ticket know that a file there is none of theirs.
                match serde_json::from_str::<Attachments>(&row.value).map(Attachments::forgotten) {
                    Ok(left) if !left.former.is_empty() => {
                        found.rewritten("files", Row { due: None, ..row }, &left)?;
                    }
                    _ => found.gone("files", row),
                }
            }
            let learnt = Key::new(tenant, &["learnt", integration.as_str(), link.id.as_str()]);
            if let Some(row) = self.present(learnt)? {
                found.gone("summaries", row);
                let reach = &mut found.forgotten.out_of_reach;
                reach.push(
                    "what a knowledge store was told of it, and later tickets that name it as a like case"
                        .to_owned(),
                );
            }
            let vector = super::vectors::key(tenant, integration, link.id.as_str());
            if let Some(row) = self.present(vector)? {
                found.gone("vectors", row);
            }
            let key = Key::new(tenant, &["link", integration.as_str(), link.id.as_str()]);
            if let Some(row) = self.present(key)? {
                // As it stands in the very row that is written over: it may have changed since it was looked for.
                let now: Link = serde_json::from_str(&row.value).map_err(anyhow::Error::from)?;
                let is_known = |next: &LinkId| links.iter().any(|link| link.id == *next);
                if now.tombstone.is_none()
                    || is_under_way(&now)
                    || !now.successor.as_ref().is_none_or(is_known)
                {
                    return Err(NotForgotten::Busy("it is being changed"));
                }
                found.rewritten("links", row, &blank(&now)?)?;
            }
            let path = format!("audit/{integration}/{}/", link.id);
            let lines = self.stored::<Json>(tenant, &path)?;
            found.lines.extend(lines.into_iter().map(|(row, _)| row.key));
            let reach = &mut found.forgotten.out_of_reach;
            if let Some(ticket) = &link.external {
                let number = ticket.number.as_deref().unwrap_or(ticket.sys_id.as_str());
                let place = base_url.as_deref().unwrap_or("an instance that is known no more");
                reach.push(format!("the ticket {number} at {place}, its journal and its history"));
            }
            if link.role != Role::Sole {
                reach.push("the journal of the ticket, as other links on it keep it".to_owned());
            }
            reach.push("the platform's own record".to_owned());
        }
        Ok(found)
    }

    /// Answers that were kept to be given again may hold anything.
    fn forget_answers(&self) -> Result<()> {
        let system = crate::vault::system();
        const PAGE: u32 = 1_000;
        loop {
            let rows = self.store.scan(&system, "once/", None, PAGE)?;
            let full = rows.len() == PAGE as usize;
            let gone =
                rows.into_iter().map(|row| Change { key: row.key, expect: Expect::Any, put: None });
            self.store.commit(&gone.collect::<Vec<_>>())?;
            if !full {
                return Ok(());
            }
        }
    }

    fn present(&self, key: Key) -> Result<Option<Row>> {
        Ok(self.store.get(std::slice::from_ref(&key))?.pop().flatten())
    }
}

/// Whether a payload is about one of these: an id, number or key in it is just that. A word in a text is
/// not: it is others' too.
fn is_about(body: &str, names: &BTreeSet<String>) -> bool {
    fn look(value: &Json, name: &str, names: &BTreeSet<String>) -> bool {
        match value {
            Json::Object(map) => map.iter().any(|(name, value)| look(value, name, names)),
            Json::Array(items) => items.iter().any(|item| look(item, name, names)),
            Json::String(text) => is_name(name) && names.contains(text),
            Json::Number(n) => is_name(name) && names.contains(&n.to_string()),
            Json::Bool(_) | Json::Null => false,
        }
    }
    fn is_name(name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        ["id", "number", "key"].iter().any(|end| name.ends_with(end))
    }
    match serde_json::from_str::<Json>(body) {
        Ok(value) => look(&value, "", names),
        // No JSON at all: it is whole what it is.
        Err(_) => names.iter().any(|name| name.len() >= 12 && body.contains(name.as_str())),
    }
}

/// Whether one of these links is named anywhere.
fn says(value: &Json, links: &BTreeSet<&str>) -> bool {
    match value {
        Json::Object(map) => map.values().any(|value| says(value, links)),
        Json::Array(items) => items.iter().any(|item| says(item, links)),
        Json::String(text) => links.contains(text.as_str()),
        _ => false,
    }
}

/// Everything that a link is called by, and what came in about it may be.
fn names_of(link: &Link) -> Vec<String> {
    let ticket = link.external.as_ref();
    let number = ticket.and_then(|ticket| ticket.number.clone());
    let sys_id = ticket.map(|ticket| ticket.sys_id.to_string());
    let own = [Some(link.platform_id.to_string()), Some(link.key.to_string())];
    own.into_iter().chain([number, sys_id]).flatten().collect()
}

/// Whether something is on its way to a side, or asked there.
fn is_under_way(link: &Link) -> bool {
    [&link.platform_side, &link.external_side]
        .into_iter()
        .any(|side| side.flight.is_some() || side.exchange.is_some())
}

/// A link without anything that was said, or who said it.
fn blank(link: &Link) -> Result<Link> {
    if link.tombstone.is_none() {
        bail!("the pair is not taken apart");
    }
    let name = Link::forgotten_name(&link.id);
    let mut blank = Link::new(
        link.id.clone(),
        link.integration.clone(),
        PlatformId::new(name.clone())?,
        CorrelationKey::new(name)?,
        link.table.clone(),
        link.created,
    );
    blank.tombstone.clone_from(&link.tombstone);
    if let Some(firn_model::Tombstone { why: firn_model::Ended::Declined { why }, .. }) =
        &mut blank.tombstone
    {
        why.clear();
    }
    // Its id is nobody's; by it what comes in late is known.
    blank.external = link.external.clone().map(|mut ticket| {
        ticket.number = None;
        ticket
    });
    // Digests: the same wish again is no new one.
    blank.asked.clone_from(&link.asked);
    blank.successor.clone_from(&link.successor);
    (blank.generation, blank.sequence, blank.updated) = (link.generation, link.sequence, now());
    Ok(blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_about_whom_its_ids_name() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let body = r#"{"callId":"M\u00fcller-1","record":{"id":"42","kind":"incident"},"notes":["about 43"],"n":[{"number":"INC0010001"}]}"#;
        for (name, about) in [
            ("Müller-1", true),
            ("42", true),
            ("INC0010001", true),
            ("43", false),
            ("incident", false),
            ("4", false),
        ] {
            assert_eq!(is_about(body, &names(&[name])), about, "{name}");
        }
        assert!(is_about("callId=00000000-0000", &names(&["00000000-0000"])));
        assert!(!is_about("callId=42", &names(&["42"])));
    }
}
