//! What was learnt from resolved tickets, found again by a question: an index in memory over summaries, which are
//! kept (sealed) in the store. Ranked by BM25 over word stems; words that desks use for one thing count as one
//! (`words`), so that a question in other words finds its case. Where there are vectors of what was learnt (`vectors`),
//! cases are ranked by those too, and both ranks count (reciprocal rank fusion).
//!
//! Belongs here: ranking. Does not belong here: where summaries come from, who may see them, how they are shown.

mod vectors;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use bm25::{Document, SearchEngine, SearchEngineBuilder, Tokenizer as _};
use firn_model::{CaseSummary, Standing};

pub use vectors::{Meanings, Space, Vector};
use words::Words;

/// What a rank counts for: 1 / (FUSED + rank). The constant of those who found the method (Cormack, Clarke and
/// Büttcher, SIGIR 2009).
const FUSED: f32 = 60.0;
/// So many of the nearest count: beyond them every case is near somehow.
const NEAREST: usize = 20;

/// A case that was found.
#[derive(Debug, Clone)]
pub struct Hit<'i> {
    /// How well it fits: more is better. Of one index and one way of looking only such figures can be compared.
    pub score: f32,
    /// The case.
    pub case: &'i CaseSummary,
}

/// An index over summaries.
#[derive(Debug)]
pub struct Index {
    cases: Vec<CaseSummary>,
    /// Of each case the words that are searched.
    words: Vec<BTreeSet<String>>,
    /// What some of them mean.
    vectors: Vec<Option<(Space, Vector)>>,
    engine: SearchEngine<u32, u32, Words>,
}

impl Index {
    /// Makes an index. What was superseded is not found.
    #[must_use]
    pub fn new(cases: Vec<CaseSummary>) -> Index {
        Index::with_vectors(cases, BTreeMap::new())
    }

    /// The same, with vectors of cases by the ids of summaries.
    #[must_use]
    pub fn with_vectors(
        cases: Vec<CaseSummary>,
        mut vectors: BTreeMap<String, (Space, Vector)>,
    ) -> Index {
        let cases: Vec<CaseSummary> =
            cases.into_iter().filter(|case| case.standing == Standing::Current).collect();
        let texts: Vec<String> = cases.iter().map(text).collect();
        let tokenizer = Words::default();
        let words =
            texts.iter().map(|text| tokenizer.tokenize(text).into_iter().collect()).collect();
        let documents = (0..).zip(texts).map(|(n, text)| Document::new(n, text));
        let engine =
            SearchEngineBuilder::with_tokenizer_and_documents(tokenizer, documents).build();
        let vectors = cases.iter().map(|case| vectors.remove(&case.id)).collect();
        Index { cases, words, vectors, engine }
    }

    /// The cases among these that have anything of a question or mean the like, the best first: by both ranks. Without
    /// vectors it is [`Index::search`].
    #[must_use]
    pub fn search_with(
        &self,
        question: &str,
        meanings: &Meanings,
        among: impl Fn(&CaseSummary) -> bool,
    ) -> Vec<Hit<'_>> {
        let is_among = |n: usize| self.cases.get(n).is_some_and(&among);
        let mut near: Vec<(usize, f32)> = (0..)
            .zip(&self.vectors)
            .filter_map(|(n, vector)| {
                let (space, vector) = vector.as_ref().filter(|_| is_among(n))?;
                Some((n, meanings.get(space)?.likeness(vector)?))
            })
            .collect();
        let ranked = self.ranked(question).into_iter().filter(|(n, _)| is_among(*n));
        if near.is_empty() {
            return ranked.filter_map(|ranked| self.hit(ranked)).collect();
        }
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        near.truncate(NEAREST);
        let mut fused: BTreeMap<usize, f32> = BTreeMap::new();
        for ranked in [ranked.collect(), near] {
            for (rank, (n, _)) in (1..).zip(ranked) {
                let rank: usize = rank;
                *fused.entry(n).or_default() += 1.0 / (FUSED + rank as f32);
            }
        }
        let mut fused: Vec<(usize, f32)> = fused.into_iter().collect();
        fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        fused.into_iter().filter_map(|ranked| self.hit(ranked)).collect()
    }

    /// The cases that have anything of a question, the best first.
    #[must_use]
    pub fn search(&self, question: &str) -> Vec<Hit<'_>> {
        self.ranked(question).into_iter().filter_map(|ranked| self.hit(ranked)).collect()
    }

    /// Of these the ones that are about the same: they have at least this share of what is asked, and so many of its
    /// words. What only has a word in common with it is left out.
    #[must_use]
    pub fn like(&self, question: &str, share: f32, least: usize) -> Vec<Hit<'_>> {
        let asked: BTreeSet<String> = Words::default().tokenize(question).into_iter().collect();
        let is_like = |(n, _): &(usize, f32)| {
            let Some(words) = self.words.get(*n) else { return false };
            let common = asked.intersection(words).count();
            common >= least && common as f32 >= share * asked.len() as f32
        };
        let like = self.ranked(question).into_iter().filter(is_like);
        like.filter_map(|ranked| self.hit(ranked)).collect()
    }

    /// The places of cases that have anything of a question, and how well they fit.
    fn ranked(&self, question: &str) -> Vec<(usize, f32)> {
        let found = self.engine.search(question, None).into_iter();
        let place = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let mut ranked: Vec<(usize, f32)> =
            found.map(|hit| (place(hit.document.id), hit.score)).collect();
        // Of what fits equally well always the same comes first.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked
    }

    fn hit(&self, (n, score): (usize, f32)) -> Option<Hit<'_>> {
        Some(Hit { score, case: self.cases.get(n)? })
    }
}

/// What of a case a vector is made of.
#[must_use]
pub fn meaning(case: &CaseSummary) -> String {
    let passages = case.found.iter().chain(&case.solved).map(|passage| passage.text.as_str());
    let tags = case.tags.join(", ");
    let parts = std::iter::once(case.asked.as_str()).chain(passages).chain([tags.as_str()]);
    let all: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    all.join("\n").chars().take(LONGEST).collect()
}

/// The most characters of a text that a vector is made of. What comes first says most of it, and small models take no
/// more than a page.
const LONGEST: usize = 2_000;

/// What of a case is searched. What was asked counts twice: whoever asks again asks like it.
fn text(case: &CaseSummary) -> String {
    let passages = case.found.iter().chain(&case.solved).map(|passage| passage.text.as_str());
    let tags = case.tags.join(" ");
    let parts = [case.asked.as_str(), case.asked.as_str()]
        .into_iter()
        .chain(passages)
        .chain([tags.as_str()]);
    parts.collect::<Vec<_>>().join("\n")
}
