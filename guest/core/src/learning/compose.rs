//! What rules or a language model make of a ticket, taken in: every sentence cites what was written in it, and all of
//! it is masked once more. What cites nothing is made up, and is not kept.

use firn_model::rule::{Lesson, Question, SourceText};
use firn_model::{
    CaseSummary, Cited, Composed, Entry, EntryOrigin, Maker, Passage, Source, rule::sound,
};

use super::extract::cut;
use crate::mapping;
use crate::settings::Rules;

/// The most characters of one source, and of all of them: what a model reads at once, with room to spare.
const SOURCE: usize = 4_000;
const SOURCES: usize = 24_000;
/// The most characters of what was asked and of a passage, and how many there may be of each kind.
const ASKED: usize = 600;
const PASSAGE: usize = 600;
const PASSAGES: usize = 8;
const TAGS: usize = 12;
const TAG: usize = 40;

/// What was written in a ticket, masked: its columns, then its journal in the order of time. Of a long one the latest.
pub(super) fn sources(
    columns: [(&str, &str); 3],
    entries: &[Entry],
    is_source: impl Fn(&Entry) -> bool,
) -> Vec<Passage> {
    let passage = |text: &str, source: Source| {
        let text = text.trim();
        (!text.is_empty()).then(|| Passage { text: cut(text, SOURCE), source })
    };
    let columns = columns
        .into_iter()
        .filter_map(|(name, text)| passage(text, Source::Column(mapping::attribute(name))));
    let mut sources: Vec<Passage> = columns.collect();
    let mut room =
        SOURCES.saturating_sub(sources.iter().map(|source| source.text.chars().count()).sum());
    let mut said: Vec<&Entry> = entries.iter().filter(|entry| is_source(entry)).collect();
    said.sort_by(|a, b| (a.at, &a.origin).cmp(&(b.at, &b.origin)));
    let said = said
        .into_iter()
        .rev()
        .filter_map(|entry| passage(entry.text.text(), Source::Entry(entry.origin.clone())));
    let mut latest: Vec<Passage> = said
        .take_while(|said| {
            let size = said.text.chars().count();
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        })
        .collect();
    latest.reverse();
    sources.extend(latest);
    sources
}

/// Where a source stands, in a word.
#[must_use]
pub fn place(source: &Source) -> &str {
    match source {
        Source::Column(column) => column.as_str(),
        Source::Entry(EntryOrigin::Platform(_)) => "comment",
        Source::Entry(_) => "journal",
    }
}

/// What rules are asked.
#[must_use]
pub fn question(sources: &[Passage]) -> Question {
    let told = |source: &Passage| SourceText {
        place: place(&source.source).to_owned(),
        text: source.text.clone(),
    };
    Question::Summary { sources: sources.iter().map(told).collect() }
}

/// What rules said, as a summary: none if nothing is to be kept, and nothing if the settings are to decide.
///
/// # Errors
/// What is wrong with it.
pub fn ruled(
    rules: &Rules,
    extract: &CaseSummary,
    sources: &[Passage],
    lesson: Lesson,
) -> Result<Option<Option<CaseSummary>>, String> {
    match lesson {
        Lesson::Settings => Ok(None),
        Lesson::Nothing => Ok(Some(None)),
        Lesson::Kept(kept) => {
            let cited = kept.found.iter().chain(&kept.solved);
            let texts = cited.map(|cited| cited.text.as_str());
            for text in
                texts.chain([kept.asked.as_str()]).chain(kept.tags.iter().map(String::as_str))
            {
                sound::checked(text)?;
            }
            accept(rules, extract, sources, kept, Maker::Rules, None).map(|kept| Some(Some(kept)))
        }
    }
}

/// What was composed, as a summary: Firn's own with other words.
///
/// # Errors
/// When nothing of it can be kept.
pub fn accept(
    rules: &Rules,
    extract: &CaseSummary,
    sources: &[Passage],
    composed: Composed,
    maker: Maker,
    model: Option<&str>,
) -> Result<CaseSummary, String> {
    let mask = |text: &str| rules.masks().learnt(text);
    let passages = |cited: Vec<Cited>| -> Vec<Passage> {
        let source = |from: u32| sources.get(usize::try_from(from).ok()?.checked_sub(1)?);
        let kept = cited.into_iter().filter_map(|cited| {
            let text = cut(mask(&cited.text).trim(), PASSAGE);
            let source = source(cited.from)?.source.clone();
            (!text.is_empty()).then_some(Passage { text, source })
        });
        kept.take(PASSAGES).collect()
    };
    let cited = composed.found.len() + composed.solved.len();
    let (found, solved) = (passages(composed.found), passages(composed.solved));
    if found.is_empty() && solved.is_empty() && cited > 0 {
        return Err(format!(
            "none of its {cited} sentences cites a source; they are numbered from 1 to {}",
            sources.len()
        ));
    }
    let asked = cut(mask(&composed.asked).trim(), ASKED);
    if asked.is_empty() {
        return Err("it does not say what was asked".to_owned());
    }
    let mut tags: Vec<String> = Vec::new();
    for tag in composed.tags {
        let tag = cut(mask(&tag).trim(), TAG).to_lowercase();
        if !tag.is_empty() && !tags.contains(&tag) && tags.len() < TAGS {
            tags.push(tag);
        }
    }
    if tags.is_empty() {
        tags.clone_from(&extract.tags);
    }
    let model = model.map(str::to_owned);
    Ok(CaseSummary { asked, found, solved, tags, maker, model, ..extract.clone() })
}
