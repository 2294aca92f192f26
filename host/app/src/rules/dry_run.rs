//! What other rules would have said of what came in: the same questions to them and to those that are asked
//! now, and where the two differ. Nothing is changed, and nobody is told.

use std::sync::Arc;

use anyhow::{Context, Result};
use firn_model::rule::{Answer, Question};
use firn_model::{Delivery, Hook, Inquiry, IntegrationId, Operation, TenantId};
use firn_runtime::rules::{Prepared, RuleLimits};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use crate::Host;

/// So many deliveries that rules are asked about are tried, if it is not said otherwise.
pub(crate) const LAST: usize = 50;
/// The most that are looked at.
pub(crate) const MOST: usize = 500;

/// So many at once.
const PIECE: usize = 25;
/// How long it may take; what is left then is told.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
/// The most lines that are shown of what rules log about one delivery.
const LINES: usize = 20;

/// One question to both.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Tried {
    hook: Hook,
    /// The field, of a question about a value.
    field: Option<String>,
    /// What the rules that are asked now lead to.
    before: String,
    /// What these would lead to.
    after: String,
    differs: bool,
    /// Whether these fail, or say what would not be taken.
    fails: bool,
    /// The instructions that it takes these, in wasmtime's units of fuel.
    fuel: u64,
}

/// One delivery.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct OnDelivery {
    /// What makes it the same one.
    delivery: String,
    kind: String,
    /// The platform's record that rules were asked about.
    record: Option<String>,
    received: i64,
    differs: bool,
    fails: bool,
    questions: Vec<Tried>,
    /// What these rules log.
    lines: Vec<String>,
    /// Why rules are not asked about it.
    why_not: Option<String>,
}

/// All of them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DryRun {
    /// The version that is asked now.
    present: Option<u64>,
    /// About how many deliveries these rules were asked something.
    asked: usize,
    /// How many were left out, because it took too long.
    left: usize,
    /// How many deliveries would be treated in another way.
    differ: usize,
    /// On how many of them these rules fail.
    fail: usize,
    deliveries: Vec<OnDelivery>,
}

/// What one set of rules says to all questions about a delivery.
#[derive(Default)]
struct Says {
    /// Of a hook that they do not have: none.
    answers: Vec<Option<Answer>>,
    fuel: Vec<u64>,
    lines: Vec<String>,
}

impl Host {
    /// Tries rules on the last deliveries, until so many were found that they are asked about.
    pub(crate) async fn dry_run(
        self: &Arc<Self>,
        tenant: &TenantId,
        id: &IntegrationId,
        candidate: Arc<Prepared>,
        last: usize,
        by: &str,
    ) -> Result<DryRun> {
        let (host, whose, which) = (Arc::clone(self), tenant.clone(), id.clone());
        let look = move || host.to_try(&whose, &which);
        let (names, version, present) = tokio::task::spawn_blocking(look).await??;
        let all = names.len();
        let began = std::time::Instant::now();
        let mut deliveries: Vec<OnDelivery> = Vec::new();
        let (mut asked, mut left) = (0, 0);
        // Piece by piece: what rules hand over is kept only as far as it is shown.
        for (n, names) in names.chunks(PIECE).enumerate() {
            if asked >= last {
                break;
            }
            if began.elapsed() > PATIENCE {
                left = all.saturating_sub(n * PIECE);
                break;
            }
            let piece = self.piece(tenant, id, names.to_vec(), (&present, &candidate), by).await?;
            // Many deliveries are none that rules are asked about: it is those that are wanted.
            for on in piece {
                if asked < last {
                    asked += usize::from(!on.questions.is_empty());
                    deliveries.push(on);
                }
            }
        }
        Ok(DryRun {
            present: version,
            left,
            asked,
            differ: deliveries.iter().filter(|on| on.differs).count(),
            fail: deliveries.iter().filter(|on| on.fails).count(),
            deliveries,
        })
    }

    async fn piece(
        self: &Arc<Self>,
        tenant: &TenantId,
        id: &IntegrationId,
        names: Vec<String>,
        (present, candidate): (&Option<Arc<Prepared>>, &Arc<Prepared>),
        by: &str,
    ) -> Result<Vec<OnDelivery>> {
        let operation = Operation::Inquire { integration: id.clone(), deliveries: names };
        let read = self.operate(tenant, operation, by).await;
        let read = read.body["deliveries"].as_array().cloned().context("nothing was read")?;
        let limits = self.rule_book().limits().clone();
        let (present, candidate) = (present.clone(), Arc::clone(candidate));
        let asking = move || {
            read.into_iter()
                .map(|row| {
                    let inquiry = serde_json::from_value::<Option<Inquiry>>(row["inquiry"].clone());
                    let inquiry = inquiry.ok().flatten();
                    let before = says(present.as_deref(), inquiry.as_ref(), &limits);
                    let after = says(Some(&candidate), inquiry.as_ref(), &limits);
                    (row, inquiry, before, after)
                })
                .collect::<Vec<_>>()
        };
        let asked = tokio::task::spawn_blocking(asking).await?;
        let before =
            self.judged(tenant, id, asked.iter().map(|(row, _, b, _)| (row, b)), by).await?;
        let after =
            self.judged(tenant, id, asked.iter().map(|(row, _, _, a)| (row, a)), by).await?;
        Ok(asked
            .into_iter()
            .zip(before.into_iter().zip(after))
            .map(|((row, inquiry, _, says), (before, after))| {
                on_delivery(&row, inquiry, says, &before, &after)
            })
            .collect())
    }

    /// The last deliveries, and the rules that are asked now.
    #[allow(clippy::type_complexity)]
    fn to_try(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
    ) -> Result<(Vec<String>, Option<u64>, Option<Arc<Prepared>>)> {
        let mut latest: Vec<(i64, String)> = Vec::new();
        self.each(tenant, &format!("delivery/{id}/"), |name, delivery: Delivery| {
            latest.push((delivery.received.0, name.to_owned()));
        })?;
        latest.sort();
        let names = latest.into_iter().rev().take(MOST).map(|(_, name)| name).collect();
        let Some(active) = self.asked_rules(tenant, id)? else { return Ok((names, None, None)) };
        let wasm = self.rule_component(tenant, id, &active.digest)?;
        self.rule_book().prepare(&active.digest, &wasm)?;
        Ok((names, Some(active.version), self.rule_book().ready(&active.digest)))
    }

    /// What would come of answers, by what the engine says: of each question, or nothing if it has no answer.
    async fn judged<'a>(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
        said: impl Iterator<Item = (&'a Json, &'a Says)>,
        by: &str,
    ) -> Result<Vec<Vec<Json>>> {
        let none = || Answer::Later(firn_model::Millis(0));
        let deliveries = said
            .map(|(row, says)| {
                let name = row["name"].as_str().unwrap_or_default().to_owned();
                (name, says.answers.iter().map(|a| a.clone().unwrap_or_else(none)).collect())
            })
            .collect();
        let operation = Operation::Judge { integration: id.clone(), deliveries };
        let body = self.operate(tenant, operation, by).await.body;
        serde_json::from_value(body["judged"].clone()).context("nothing was judged")
    }
}

/// Asks what a set of rules has hooks for.
fn says(rules: Option<&Prepared>, inquiry: Option<&Inquiry>, limits: &RuleLimits) -> Says {
    let Some(inquiry) = inquiry else { return Says::default() };
    let nothing = Says {
        answers: vec![None; inquiry.questions.len()],
        fuel: vec![0; inquiry.questions.len()],
        lines: Vec::new(),
    };
    let Some(rules) = rules else { return nothing };
    let has = |question: &&Question| rules.hooks().contains(&question.hook());
    let questions = inquiry.questions.iter().filter(has).cloned().collect();
    let asked = rules.ask(&Inquiry { about: inquiry.about.clone(), questions }, limits);
    let mut answers = asked.answers.into_iter().zip(asked.fuel);
    let mut says = Says { lines: asked.lines, ..Says::default() };
    for question in &inquiry.questions {
        let (answer, fuel) = match has(&question).then(|| answers.next()).flatten() {
            Some((answer, fuel)) => (Some(answer), fuel),
            None => (None, 0),
        };
        says.answers.push(answer);
        says.fuel.push(fuel);
    }
    says
}

fn on_delivery(
    row: &Json,
    inquiry: Option<Inquiry>,
    says: Says,
    before: &[Json],
    after: &[Json],
) -> OnDelivery {
    let declined = |all: &[Json]| {
        let admits = all.first().and_then(|judged| judged["Ok"].as_str());
        admits.is_some_and(|admits| admits.starts_with("not kept in step"))
    };
    let outcome = |all: &[Json], i: usize| {
        // What is not wanted is not asked about any more.
        if i > 0 && declined(all) {
            return ("not asked".to_owned(), false);
        }
        let judged = all.get(i);
        let text = |name: &str| judged.and_then(|j| j[name].as_str()).map(str::to_owned);
        match (text("Err"), text("Ok")) {
            (Some(why), _) => (format!("fails: {why}"), true),
            (None, Some(text)) => (text, false),
            (None, None) => ("cannot be told".to_owned(), true),
        }
    };
    let record = inquiry.as_ref().map(|inquiry| inquiry.about.record.clone());
    let questions = inquiry.map(|inquiry| inquiry.questions).unwrap_or_default();
    let tried = questions.iter().enumerate().filter_map(|(i, question)| {
        let answered = says.answers.get(i).is_some_and(Option::is_some);
        let (before, _) = outcome(before, i);
        let (after, fails) = outcome(after, i);
        let field = match question {
            Question::Value { field, .. } | Question::Conflict { field, .. } => {
                Some(field.to_string())
            }
            _ => None,
        };
        let fuel = says.fuel.get(i).copied().unwrap_or_default();
        let differs = before != after;
        (answered || differs).then(|| Tried {
            hook: question.hook(),
            field,
            before,
            after,
            differs,
            fails,
            fuel,
        })
    });
    let questions: Vec<Tried> = tried.collect();
    OnDelivery {
        delivery: row["identity"].as_str().unwrap_or_default().to_owned(),
        kind: row["kind"].as_str().unwrap_or_default().to_owned(),
        record,
        received: row["received"].as_i64().unwrap_or_default(),
        differs: questions.iter().any(|tried| tried.differs),
        fails: questions.iter().any(|tried| tried.fails),
        questions,
        lines: says.lines.into_iter().take(LINES).collect(),
        why_not: row["why_not"].as_str().map(str::to_owned),
    }
}
