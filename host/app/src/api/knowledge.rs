//! What was learnt from resolved tickets over HTTP: searched, listed, shown. All of it was masked when it was made.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use firn_model::{CaseSummary, IntegrationId, Learning, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at::{Asks, At, Named, Page, answer, answer_one};
use super::{Shared, failed, ok, problem};
use crate::access::Caller;

/// The most characters of a question, and the most cases of an answer.
const LONGEST: usize = 2_000;
const MOST: usize = 100;

/// What is looked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// The question, in whatever words: up to 2,000 characters.
    pub(crate) q: String,
    /// How many cases at most, 5 by default.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// Of one integration only: id, slug or exact name.
    integration: Option<String>,
}

/// A case that was found.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Hit {
    /// How well it fits; more is better.
    pub(crate) score: f32,
    /// What was learnt.
    pub(crate) case: CaseSummary,
}

/// By what cases were ranked.
#[derive(Serialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ranked {
    /// By their words.
    Words,
    /// By their words and by what they mean, as a model has it.
    WordsAndMeaning,
}

/// What was found, the best first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Hits {
    hits: Vec<Hit>,
    /// By what: a model that did not answer in time is done without.
    ranked_by: Ranked,
}

/// A page of what was learnt.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Cases {
    cases: Vec<CaseSummary>,
    next: Option<String>,
}

pub(crate) async fn search(
    State(shared): State<Shared>,
    caller: Caller,
    Asks(Question { q, limit, integration }): Asks<Question>,
) -> Response {
    if q.trim().is_empty() || q.chars().count() > LONGEST {
        let detail = format!("ask in 1 to {LONGEST} characters: ?q=the+printer+jams");
        return problem(422, "no-question", "There is no question", detail);
    }
    let limit = limit.unwrap_or(5);
    if !(1..=MOST).contains(&limit) {
        return problem(
            422,
            "bad-limit",
            "So many cases cannot be given",
            format!("ask for 1 to {MOST}"),
        );
    }
    let mut seen = shared.host.vault().all();
    seen.retain(|known| caller.sees_integration(&known.integration));
    if let Some(wanted) = &integration {
        let Some(one) =
            shared.host.vault().find(wanted, |known| caller.sees_integration(&known.integration))
        else {
            return super::at::unknown(wanted);
        };
        seen = vec![one];
    }
    let tenants: BTreeSet<TenantId> =
        seen.iter().map(|known| known.integration.tenant.clone()).collect();
    let ids: BTreeSet<IntegrationId> =
        seen.iter().map(|known| known.integration.id.clone()).collect();
    match found(&shared, tenants, ids, q, limit).await {
        Ok((hits, ranked_by)) => ok(Hits { hits, ranked_by }),
        Err(why) => failed(&why),
    }
}

/// Cases of these integrations that fit a question, the best first.
pub(crate) async fn found(
    shared: &Shared,
    tenants: BTreeSet<TenantId>,
    of: BTreeSet<IntegrationId>,
    question: String,
    limit: usize,
) -> anyhow::Result<(Vec<Hit>, Ranked)> {
    // What somebody asks of all tenants is shown to no tenant's model.
    let meanings = match tenants.len() {
        1 => shared.host.meanings(&of, &question).await,
        _ => firn_knowledge::Meanings::new(),
    };
    let ranked = if meanings.is_empty() { Ranked::Words } else { Ranked::WordsAndMeaning };
    let _turn = shared.scans.acquire().await;
    let host = std::sync::Arc::clone(&shared.host);
    let hits = tokio::task::spawn_blocking(move || {
        let mut hits = Vec::new();
        for tenant in &tenants {
            let index = host.knowledge(tenant)?;
            let among = |case: &CaseSummary| of.contains(&case.integration);
            let ours = index.search_with(&question, &meanings, among).into_iter();
            let ours = ours.take(limit).map(|hit| Hit { score: hit.score, case: hit.case.clone() });
            hits.extend(ours.enumerate());
        }
        // Scores of several tenants' indexes cannot be compared: the best of each come first.
        hits.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| y.score.total_cmp(&x.score)));
        hits.truncate(limit);
        Ok::<_, anyhow::Error>(hits.into_iter().map(|(_, hit)| hit).collect())
    });
    Ok((hits.await??, ranked))
}

pub(crate) async fn list(at: At, Asks(page): Asks<Page>) -> Response {
    let learnt = at.page::<Learning>("learnt", "", &page);
    answer(learnt.map(|(learnt, next)| Cases {
        cases: learnt.into_iter().filter_map(|learning| learning.summary).collect(),
        next,
    }))
}

pub(crate) async fn get(at: At, Named(id): Named) -> Response {
    // By the link, or by the summary: the link's id and how often its ticket was resolved.
    let link = id.rsplit_once('.').map_or(id.as_str(), |(link, _)| link);
    let found = at.row::<Learning>("learnt", link);
    let summary = found.map(|learning| learning.and_then(|learning| learning.summary));
    let wanted =
        summary.map(|summary| summary.filter(|case| case.id == id || case.link.as_str() == id));
    answer_one(wanted, "summary", &id)
}
