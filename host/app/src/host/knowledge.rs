//! What was learnt from resolved tickets: read from the store, and indexed for each tenant in memory as long as
//! nothing of it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use firn_knowledge::Index;
use firn_model::{CaseSummary, Learning, LikeCase, Row, Standing, TenantId};
use serde_json::Value as Json;

use super::Host;
use super::vectors::Stored;
use crate::vault::Known;

/// Of so many tenants an index is kept; another takes the place of the one that was longest not asked for.
const KEPT: usize = 64;
/// Whoever only shows like cases beside something else takes an index that was looked over so lately.
const LATELY: Duration = Duration::from_secs(5);
/// The most like cases.
const LIKE: usize = 3;
/// A case is like another if it has this part of what is asked, and so many of its words.
const SHARE: f32 = 0.34;
const WORDS: usize = 2;
/// So much of a payload is asked for, in characters. What was asked comes first in it.
const ASKED: usize = 400;

/// The indexes of tenants, and those of whom one is being made or looked over for what is only shown.
#[derive(Default)]
pub(super) struct Indexes(Mutex<BTreeMap<TenantId, Kept>>, Mutex<BTreeSet<TenantId>>);

/// Looks over a tenant's index, beside which nobody else need do it.
struct Looking<'h>(&'h Indexes, &'h TenantId);

impl<'h> Looking<'h> {
    fn begin(indexes: &'h Indexes, tenant: &'h TenantId) -> Option<Looking<'h>> {
        let mut looking = indexes.1.lock().unwrap_or_else(PoisonError::into_inner);
        looking.insert(tenant.clone()).then_some(Looking(indexes, tenant))
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner).remove(self.1);
    }
}

struct Kept {
    /// Which summaries it was made of.
    rows: u64,
    index: Arc<Index>,
    looked: Instant,
}

impl Host {
    /// All rows below a prefix.
    pub(super) fn all_rows(&self, tenant: &TenantId, prefix: &str) -> Result<Vec<Row>> {
        const PAGE: u32 = 500;
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let after = rows.last().map(|row| row.key.path.clone());
            let page = self.store.scan(tenant, prefix, after.as_deref(), PAGE)?;
            let full = page.len() == PAGE as usize;
            rows.extend(page);
            if !full {
                return Ok(rows);
            }
        }
    }

    /// The summaries below a prefix.
    pub(super) fn learnt(&self, tenant: &TenantId, prefix: &str) -> Result<Vec<CaseSummary>> {
        let rows = self.all_rows(tenant, prefix)?;
        let learnt = rows.iter().filter_map(|row| {
            serde_json::from_str::<Learning>(&row.value)
                .map_err(|why| tracing::error!(row = row.key.path, %why, "cannot be read"))
                .ok()?
                .summary
        });
        Ok(learnt.collect())
    }

    /// Everything that was learnt for a tenant, as an index.
    pub(crate) fn knowledge(&self, tenant: &TenantId) -> Result<Arc<Index>> {
        let learnt = self.learnt(tenant, "learnt/")?;
        let vectors = self.vectors(tenant)?;
        // What else a row says changes nothing that is found.
        let mut hasher = DefaultHasher::new();
        for case in &learnt {
            (&case.id, case.standing == Standing::Current).hash(&mut hasher);
        }
        for stored in &vectors {
            stored.hash(&mut hasher);
        }
        let seen = hasher.finish();
        if let Some(kept) =
            self.indexes.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(tenant)
            && kept.rows == seen
        {
            kept.looked = Instant::now();
            return Ok(Arc::clone(&kept.index));
        }
        let vectors = vectors.into_iter().filter_map(Stored::read).collect();
        let index = Arc::new(Index::with_vectors(learnt, vectors));
        let mut indexes = self.indexes.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = Kept { rows: seen, index: Arc::clone(&index), looked: Instant::now() };
        indexes.insert(tenant.clone(), kept);
        if indexes.len() > KEPT
            && let Some(oldest) =
                indexes.iter().min_by_key(|(_, kept)| kept.looked).map(|(tenant, _)| tenant.clone())
        {
            indexes.remove(&oldest);
        }
        Ok(index)
    }

    /// What was learnt is looked at anew: something of it was erased.
    pub(super) fn forget_knowledge(&self, tenant: &TenantId) {
        self.indexes.0.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }

    /// Cases of an integration like the one that an escalation tells of. Whatever keeps them from being found keeps
    /// no ticket from being made.
    pub(crate) fn like_cases(&self, known: &Known, body: &str) -> Vec<LikeCase> {
        let learning = &known.integration.settings.learning;
        if !learning.enabled || !learning.show_like_cases {
            return Vec::new();
        }
        let Some(question) = question(body) else { return Vec::new() };
        let tenant = &known.integration.tenant;
        let kept = {
            let indexes = self.indexes.0.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = indexes.get(tenant);
            kept.map(|kept| (Arc::clone(&kept.index), kept.looked.elapsed() < LATELY))
        };
        // Of very many that come at once one looks; the others take what there is.
        let found = match kept {
            Some((index, true)) => Ok(index),
            kept => match (Looking::begin(&self.indexes, tenant), kept) {
                (Some(_looking), _) => self.knowledge(tenant),
                (None, Some((index, _))) => Ok(index),
                (None, None) => return Vec::new(),
            },
        };
        let index = match found {
            Ok(index) => index,
            Err(why) => {
                tracing::warn!(%why, "like cases cannot be looked for");
                return Vec::new();
            }
        };
        let ours = |case: &CaseSummary| case.integration == known.integration.id;
        let like = index.like(&question, SHARE, WORDS).into_iter().filter(|hit| ours(hit.case));
        like.take(LIKE)
            .map(|hit| LikeCase {
                ticket: hit
                    .case
                    .ticket
                    .number
                    .clone()
                    .unwrap_or_else(|| hit.case.ticket.sys_id.to_string()),
                asked: hit.case.asked.clone(),
                solved: hit
                    .case
                    .solved
                    .iter()
                    .map(|p| p.text.as_str())
                    .collect::<Vec<_>>()
                    .join(" "),
            })
            .collect()
    }
}

/// What an escalation asks, of whatever shape it is: the texts under the names that the seeds' payloads have for it.
fn question(body: &str) -> Option<String> {
    let payload: Json = serde_json::from_str(body).ok()?;
    let texts = ["question", "summary", "conversationText"]
        .into_iter()
        .filter_map(|name| payload.get(name)?.as_str());
    let asked: String = texts.collect::<Vec<_>>().join("\n").chars().take(ASKED).collect();
    (!asked.trim().is_empty()).then_some(asked)
}
