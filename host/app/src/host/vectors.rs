//! Vectors of what was learnt, made by the model that an integration names, and kept in the store beside the
//! summaries. They are made after the fact, a few at a time: what has none yet is found by its words. A question is
//! masked before a model is shown it, as summaries are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use firn_knowledge::{Meanings, Space, Vector, meaning};
use firn_model::{
    AnswerBody, Body, CaseSummary, Change, Expect, HttpRequest, IntegrationId, Key, Method, Put,
    Remote, Standing, TenantId, Urgency, Want,
};
use firn_runtime::{Core, Place};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::pulse::{Beat, Topic, What};
use super::{Host, now};
use crate::lease::{Turn, turn};
use crate::vault::Known;

/// How often it is looked for summaries that have none, if nothing told of one.
const LOOKS: Duration = Duration::from_secs(60);
/// After something was learnt, more may follow.
const SOON: Duration = Duration::from_secs(1);
/// So many texts are asked about at once.
const AT_ONCE: usize = 32;
/// How long a model may take for summaries, and for the question of somebody who waits. In milliseconds.
const PATIENT: u64 = 60_000;
const WAITED_FOR: u64 = 3_000;
/// An endpoint that fails is left alone for so long, doubled each time.
const PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// So long one process makes them where several could.
const TURN: Duration = Duration::from_secs(120);

/// What keeps vectors.
#[derive(Default)]
pub(super) struct Vectors {
    /// What masks questions: loaded when the first one is asked.
    masker: Mutex<Option<Core>>,
}

/// A vector as it is kept.
#[derive(Serialize, Deserialize, Hash)]
pub(super) struct Stored {
    /// The summary that it is of.
    of: String,
    /// The space that it is of.
    space: String,
    /// Its numbers: little-endian, in base64.
    numbers: String,
}

impl Stored {
    /// The summary that it is of, and what it says.
    pub(super) fn read(self) -> Option<(String, (Space, Vector))> {
        let bytes = BASE64_STANDARD.decode(&self.numbers).ok()?;
        let numbers = bytes.chunks_exact(4).map(|four| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(four);
            f32::from_le_bytes(bytes)
        });
        let vector = Vector::new(numbers.collect())?;
        Some((self.of, (Space(self.space), vector)))
    }
}

/// A model has answered, and gave no vectors: the texts may be the reason.
#[derive(Debug, thiserror::Error)]
#[error("the model {0} gave no vector for each text ({1})")]
struct NoVectors(String, String);

/// The row of a link's vector.
pub(super) fn key(tenant: &TenantId, integration: &IntegrationId, link: &str) -> Key {
    Key::new(tenant, &["vector", integration.as_str(), link])
}

/// The model that an integration has vectors made by, if it does: its name, and what they can be compared with.
fn model(known: &Known) -> Option<(&str, Space)> {
    let learning = &known.integration.settings.learning;
    let url = known.integration.platform.model_url.as_ref()?;
    let model = learning.embedding_model.as_deref().filter(|_| learning.enabled)?;
    Some((model, Space(format!("{model} at {url}"))))
}

/// Makes vectors of what has none, as long as the host is there.
pub(super) async fn keep(host: Weak<Host>) {
    let Some(told) = host.upgrade().and_then(|host| host.pulse.watch()) else { return };
    let mut told = told;
    let mut paused: BTreeMap<IntegrationId, (Instant, Duration)> = BTreeMap::new();
    let mut looked_at_all = Instant::now();
    loop {
        // What failed, or was there at the start, is looked at again however much is learnt elsewhere.
        let news = news(&mut told).await.filter(|_| looked_at_all.elapsed() < LOOKS);
        if news.is_none() {
            looked_at_all = Instant::now();
        }
        let Some(host) = host.upgrade() else { return };
        let known = host.vault.all().into_iter();
        let mut wanted: Vec<Arc<Known>> = known.filter(|known| model(known).is_some()).collect();
        paused.retain(|id, _| wanted.iter().any(|known| known.integration.id == *id));
        let now = Instant::now();
        wanted.retain(|known| {
            let id = &known.integration.id;
            let rests = paused.get(id).is_some_and(|(until, _)| *until > now);
            !rests && news.as_ref().is_none_or(|news| news.contains(id))
        });
        // Side by side, so that nobody waits for another's slow model.
        let mut making = tokio::task::JoinSet::new();
        for known in wanted {
            let (host, id) = (Arc::clone(&host), known.integration.id.clone());
            making.spawn(async move { (id, host.make_vectors(&known).await) });
        }
        while let Some(made) = making.join_next().await {
            match made {
                Ok((id, Ok(()))) => {
                    paused.remove(&id);
                }
                Ok((id, Err(why))) => {
                    let last = paused.get(&id).map(|(_, last)| *last * 2);
                    let pause = last.unwrap_or(PAUSE).min(LONGEST_PAUSE);
                    let why = format!("{why:#}");
                    tracing::warn!(integration = %id, why, again_in = ?pause, "no vectors are made");
                    paused.insert(id, (Instant::now() + pause, pause));
                }
                Err(why) => tracing::error!(%why, "vectors are not made any more just now"),
            }
        }
    }
}

/// Waits until something was learnt, and a moment more; gives where. None if all are to be looked at.
async fn news(told: &mut broadcast::Receiver<Arc<Beat>>) -> Option<BTreeSet<IntegrationId>> {
    let mut of = BTreeSet::new();
    let all = async {
        loop {
            match told.recv().await {
                Ok(beat) => {
                    if matches!(beat.what, What::Changed(Topic::Knowledge | Topic::Settings)) {
                        of.insert(beat.integration.clone());
                        return tokio::time::sleep(SOON).await;
                    }
                }
                // Too much was told to listen to it all: something of it may have been ours.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    tokio::time::timeout(LOOKS, all).await.ok()?;
    while let Ok(beat) = told.try_recv() {
        if matches!(beat.what, What::Changed(Topic::Knowledge | Topic::Settings)) {
            of.insert(beat.integration.clone());
        }
    }
    Some(of)
}

impl Host {
    /// Makes vectors of an integration's summaries that have none.
    async fn make_vectors(self: &Arc<Host>, known: &Arc<Known>) -> Result<()> {
        let Some((_, space)) = model(known) else { return Ok(()) };
        let (host, whose) = (Arc::clone(self), Arc::clone(known));
        let name = format!("vectors-{}", known.integration.id);
        let looked = tokio::task::spawn_blocking(move || {
            let without = host.without_vectors(&whose, &space)?;
            let turn = match without.is_empty() {
                true => Turn::Others,
                false => turn(&host.store, &name, TURN)?,
            };
            Ok::<_, anyhow::Error>((turn, without))
        });
        let (Turn::Mine(_lease), without) = looked.await?? else { return Ok(()) };
        for some in without.chunks(AT_ONCE) {
            match self.embed_all(known, some).await {
                Ok(()) => {}
                // One of them may be what the model does not take; the others need not wait for it.
                Err(why) if why.is::<NoVectors>() && some.len() > 1 => {
                    let mut last = None;
                    for one in some {
                        let one = std::slice::from_ref(one);
                        last = self.embed_all(known, one).await.err().or(last);
                    }
                    if let Some(why) = last {
                        tracing::warn!(integration = %known.integration.id, why = format!("{why:#}"), "a summary has no vector");
                    }
                }
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }

    async fn embed_all(self: &Arc<Host>, known: &Arc<Known>, some: &[CaseSummary]) -> Result<()> {
        let texts: Vec<String> = some.iter().map(meaning).collect();
        let vectors = self.embed(known, &texts, PATIENT).await?;
        let (host, whose, some) = (Arc::clone(self), Arc::clone(known), some.to_vec());
        tokio::task::spawn_blocking(move || host.keep_vectors(&whose, &some, vectors)).await?
    }

    /// The summaries that hold and have no vector of this space. A vector whose summary is gone goes too.
    fn without_vectors(&self, known: &Known, space: &Space) -> Result<Vec<CaseSummary>> {
        let (tenant, id) = (&known.integration.tenant, &known.integration.id);
        let mut there: BTreeSet<String> = BTreeSet::new();
        let mut kept: BTreeSet<Key> = BTreeSet::new();
        for row in self.all_rows(tenant, &format!("vector/{id}/"))? {
            if let Ok(stored) = serde_json::from_str::<Stored>(&row.value)
                && stored.space == space.0
            {
                there.insert(stored.of);
            }
            kept.insert(row.key);
        }
        let learnt = self.learnt(tenant, &format!("learnt/{id}/"))?;
        for case in &learnt {
            kept.remove(&key(tenant, id, case.link.as_str()));
        }
        let orphans = kept.into_iter().map(|key| Change { key, expect: Expect::Any, put: None });
        let orphans: Vec<Change> = orphans.collect();
        if !orphans.is_empty() {
            self.store.commit(&orphans)?;
        }
        let holds =
            |case: &CaseSummary| case.standing == Standing::Current && !there.contains(&case.id);
        Ok(learnt.into_iter().filter(holds).collect())
    }

    fn keep_vectors(
        &self,
        known: &Known,
        cases: &[CaseSummary],
        vectors: Vec<Vector>,
    ) -> Result<()> {
        let (tenant, id) = (&known.integration.tenant, &known.integration.id);
        let Some((_, space)) = model(known) else { return Ok(()) };
        let change = |(case, vector): (&CaseSummary, Vector)| {
            let bytes: Vec<u8> = vector.numbers().iter().flat_map(|n| n.to_le_bytes()).collect();
            let stored = Stored {
                of: case.id.clone(),
                space: space.0.clone(),
                numbers: BASE64_STANDARD.encode(bytes),
            };
            let put = Some(Put { value: serde_json::to_string(&stored)?, due: None });
            let key = key(tenant, id, case.link.as_str());
            Ok(Change { key, expect: Expect::Any, put })
        };
        let changes: Result<Vec<Change>> = cases.iter().zip(vectors).map(change).collect();
        self.store.commit(&changes?)?;
        // Whoever was forgotten meanwhile stays so.
        let rows = |kind: &str| -> Vec<Key> {
            let key =
                |case: &CaseSummary| Key::new(tenant, &[kind, id.as_str(), case.link.as_str()]);
            cases.iter().map(key).collect()
        };
        let learnt = self.store.get(&rows("learnt"))?;
        let gone = rows("vector").into_iter().zip(learnt).filter(|(_, learnt)| learnt.is_none());
        let gone: Vec<Change> =
            gone.map(|(key, _)| Change { key, expect: Expect::Any, put: None }).collect();
        if !gone.is_empty() {
            self.store.commit(&gone)?;
        }
        self.forget_knowledge(tenant);
        Ok(())
    }

    /// The vectors of what a tenant has learnt, if anything there has vectors.
    pub(super) fn vectors(&self, tenant: &TenantId) -> Result<Vec<Stored>> {
        let all = self.vault.all();
        let mut ours = all.iter().filter(|known| known.integration.tenant == *tenant);
        if !ours.any(|known| model(known).is_some()) {
            return Ok(Vec::new());
        }
        let rows = self.all_rows(tenant, "vector/")?.into_iter();
        Ok(rows.filter_map(|row| serde_json::from_str(&row.value).ok()).collect())
    }

    /// What a question means to the models of these integrations of one tenant. What does not answer in time is done
    /// without.
    pub(crate) async fn meanings(
        self: &Arc<Host>,
        of: &BTreeSet<IntegrationId>,
        question: &str,
    ) -> Meanings {
        let mut meanings = Meanings::new();
        let asking = async {
            for known in of.iter().filter_map(|id| self.vault.get(id)) {
                let Some((_, space)) = model(&known) else { continue };
                if meanings.contains_key(&space) {
                    continue;
                }
                let found = async {
                    let (host, whose) = (Arc::clone(self), Arc::clone(&known));
                    let text = question.to_owned();
                    let masked = move || host.masked_question(&whose, &text);
                    let masked = tokio::task::spawn_blocking(masked).await??;
                    self.embed(&known, &[masked], WAITED_FOR).await
                };
                match found.await {
                    Ok(vectors) => {
                        meanings.extend(vectors.into_iter().next().map(|vector| (space, vector)));
                    }
                    Err(why) => {
                        let (integration, why) = (&known.integration.id, format!("{why:#}"));
                        tracing::warn!(%integration, why, "a question is looked for by its words alone");
                    }
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(WAITED_FOR), asking).await;
        meanings
    }

    /// A question as a model may be shown it: masked by the integration's policy for what is learnt.
    fn masked_question(&self, known: &Known, question: &str) -> Result<String> {
        let mut masker = self.vectors.masker.lock().unwrap_or_else(PoisonError::into_inner);
        let core = match masker.as_mut() {
            Some(core) => core,
            None => masker.insert(Core::for_many(Some(&self.cache))?),
        };
        let policy = serde_json::to_string(&known.integration.settings.masking)?;
        let place = Place { field: None, to: None, sink: Some("knowledge".to_owned()) };
        let masked = core.mask_by(&policy, &place, question, None);
        if masked.is_err() {
            *masker = None; // An instance that trapped is entered no more.
        }
        match masked? {
            Ok(masked) => Ok(masked.text),
            Err(_) => bail!("the masking policy is not sound"),
        }
    }

    /// Asks the model of an integration for vectors of these texts.
    async fn embed(&self, known: &Known, texts: &[String], patience: u64) -> Result<Vec<Vector>> {
        let (model, _) = model(known).context("there is no model")?;
        let body = json!({ "model": model, "input": texts, "encoding_format": "float" });
        let request = HttpRequest {
            ticket: String::new(),
            tenant: known.integration.tenant.clone(),
            integration: known.integration.id.clone(),
            remote: Remote::Model,
            method: Method::Post,
            path: "/embeddings".to_owned(),
            query: Vec::new(),
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
            body: Some(Body::Json(body.to_string())),
            want: Want::Text,
            urgency: Urgency::Usual,
            queue: patience,
            timeout: patience,
        };
        let began = Instant::now();
        let end = self.carrier.carry(&known.target(), &request, now()).await;
        self.metrics.asked(&request.integration, request.remote, began.elapsed(), &end);
        let response = match end {
            AnswerBody::Response(response) => response,
            AnswerBody::NotSent(why) | AnswerBody::Lost(why) => {
                bail!("the model was not reached: {why}")
            }
            _ => bail!("the model was not reached"),
        };
        let status = response.status;
        let vectors = read(&response.body, texts.len());
        match vectors.filter(|_| (200..300).contains(&status)) {
            Some(vectors) => Ok(vectors),
            None if matches!(status, 200..300 | 400 | 413 | 422) => {
                Err(NoVectors(model.to_owned(), format!("status {status}")).into())
            }
            None => bail!("the model {model} answered with status {status}"),
        }
    }
}

/// The vectors of an answer, each in the place of its text.
fn read(body: &str, texts: usize) -> Option<Vec<Vector>> {
    let json: Json = serde_json::from_str(body).ok()?;
    let mut vectors: BTreeMap<usize, Vector> = BTreeMap::new();
    for (at, one) in json["data"].as_array()?.iter().enumerate() {
        let place = match &one["index"] {
            Json::Null => at,
            index => usize::try_from(index.as_u64()?).ok()?,
        };
        let numbers = one["embedding"].as_array()?.iter();
        let numbers: Option<Vec<f32>> = numbers.map(|n| n.as_f64().map(|n| n as f32)).collect();
        vectors.insert(place, Vector::new(numbers?)?);
    }
    let there = vectors.len() == texts && vectors.keys().copied().eq(0..texts);
    there.then(|| vectors.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_vector_for_each_text_or_none() {
        let two = r#"{"data":[{"index":1,"embedding":[0,2]},{"index":0,"embedding":[1,0]}]}"#;
        let vectors =
            read(two, 2).map(|all| all.iter().map(|v| v.numbers().to_vec()).collect::<Vec<_>>());
        assert_eq!(vectors, Some(vec![vec![1.0, 0.0], vec![0.0, 1.0]]));
        for (body, texts) in [
            (two, 1),
            (two, 3),
            (r#"{"data":[{"index":7,"embedding":[1]}]}"#, 1),
            (r#"{"data":[{"embedding":["x"]}]}"#, 1),
            (r#"{"data":[{"embedding":[]}]}"#, 1),
            ("{}", 0),
            ("<html>", 1),
        ] {
            assert!(read(body, texts).is_none(), "{body}");
        }
    }
}
