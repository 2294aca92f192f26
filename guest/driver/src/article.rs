//! The draft of an article for each resolved ticket that something was learnt from. One for a ticket, whatever is lost:
//! it is looked for by its key word before it is made, and made again only when the instance's transaction limit is
//! over. What a person has touched is that person's.

use std::collections::BTreeSet;

use firn_core::land;
use firn_core::settings::Rules;
use firn_core::wire::article as wire;
use firn_model::{
    Answer, Article, ArticleDraft, ArticleState, CaseSummary, CommitError, Finding, FindingKind,
    Key, Learning, LinkId, Millis, Outcome, Side, Standing, SysId, TenantId,
};

use crate::session::{Session, ticket};
use crate::{Doors, rows};

/// What cannot be had is tried again at least so often. In milliseconds.
const SELDOM: u64 = 3_600_000;
/// Where one may have been made twice, it is looked after so many transaction limits.
const LATE: u64 = 4;
/// So often it is tried to count them.
const COUNTS: u32 = 20;
/// How often a paused integration is looked at, and what cannot be counted now. In milliseconds.
const PAUSE: u64 = 60_000;

/// Something was learnt from a ticket.
pub(crate) fn wanted<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    summary: &CaseSummary,
) -> Result<(), CommitError> {
    if rules.settings().learning.articles.is_none() {
        return Ok(());
    }
    let key = rows::article(tenant, rules.id(), &summary.ticket.sys_id);
    let known = session.get::<ArticleDraft>(&key)?;
    let mut draft = known.unwrap_or_else(|| ArticleDraft {
        integration: rules.id().clone(),
        ticket: summary.ticket.clone(),
        link: summary.link.clone(),
        state: ArticleState::Wanted,
        article: None,
        missing: false,
        says: None,
        writes: None,
        sent: None,
        made: 0,
        sequence: 0,
        failures: 0,
    });
    if matches!(draft.state, ArticleState::Left | ArticleState::CountingLeft(_)) {
        return Ok(());
    }
    (draft.link, draft.ticket) = (summary.link.clone(), summary.ticket.clone());
    draft.failures = 0;
    // What is under way says the summary of before: once that is over it is written anew.
    if let ArticleState::Writing(_) = draft.state {
        let later = session.now.plus(PAUSE);
        return session.put(&key, &draft, Some(later));
    }
    draft.state = ArticleState::Wanted;
    let now = session.now;
    session.put(&key, &draft, Some(now))
}

/// The last summary of its ticket. None if its link has learnt from another one since.
fn summary<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    draft: &ArticleDraft,
) -> Result<Option<CaseSummary>, CommitError> {
    let learnt = session.get::<Learning>(&rows::learnt(tenant, rules.id(), &draft.link))?;
    let summary = learnt.and_then(|learnt| learnt.summary);
    Ok(summary.filter(|summary| summary.ticket.sys_id == draft.ticket.sys_id))
}

/// Whether drafts are made.
fn drafts(rules: &Rules) -> bool {
    let learning = &rules.settings().learning;
    learning.enabled && learning.articles.is_some()
}

/// It is to be looked for, or what was asked for did not come.
pub(crate) fn due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    // Rows once were of links. What such a one knew is found again by its key word.
    if key.segments().last().is_none_or(|ticket| SysId::new(ticket.to_owned()).is_err()) {
        session.delete(key);
        return Ok(());
    }
    let Some(mut draft) = session.get::<ArticleDraft>(key)? else { return Ok(()) };
    // In a time that is forgotten one may have been made that takes effect yet. Whoever looks later sees it.
    let limit = rules.settings().correlation.transaction_limit;
    let restored = rules.integration().restored;
    let is_soon = restored.is_some_and(|r| session.now < r.until.plus(LATE * limit));
    if draft.article.is_none() && is_soon {
        draft.made = draft.made.max(2);
    }
    let is_left = matches!(draft.state, ArticleState::Left | ArticleState::CountingLeft(_));
    let counts =
        is_left || matches!(draft.state, ArticleState::Written | ArticleState::Counting(_));
    if draft.state == ArticleState::Refused || counts && draft.made < 2 {
        return session.rest(key);
    }
    let summary = summary(session, &key.tenant, rules, &draft)?;
    let holds = summary.is_some_and(|summary| summary.standing == Standing::Current);
    let wanted = holds && drafts(rules);
    // Opened again meanwhile: the next summary asks for it anew. But more than one may have come to be.
    let counts = counts || !wanted && draft.made > 1;
    if !(counts || wanted) {
        return session.rest(key);
    }
    let late = draft.sent.filter(|_| !wanted).map(|sent| sent.plus(LATE * limit));
    if let Some(late) = late.filter(|late| *late > session.now) {
        return session.put(key, &draft, Some(late));
    }
    if !rules.integration().enabled {
        let later = session.now.plus(PAUSE);
        return session.put(key, &draft, Some(later));
    }
    if let Some(until) = rules.rests_until(session.now) {
        return session.put(key, &draft, Some(until));
    }
    draft.sequence += 1;
    let name = ticket(key, Side::External, draft.sequence);
    let (state, known): (fn(u64) -> ArticleState, _) = if counts {
        (if is_left { ArticleState::CountingLeft } else { ArticleState::Counting }, None)
    } else {
        (ArticleState::Looking, draft.article.as_ref().filter(|_| !draft.missing))
    };
    let request = wire::look(rules, &key.tenant, name, known, &draft.ticket.sys_id);
    draft.state = state(draft.sequence);
    let until = session.now.plus(request.queue + request.timeout + 1_000);
    session.put(key, &draft, Some(until))?;
    session.submit(request);
    Ok(())
}

/// The instance has answered, or not.
pub(crate) fn answered<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    number: u64,
    answer: &Answer,
) -> Result<(), CommitError> {
    let Some(draft) = session.get::<ArticleDraft>(key)? else { return Ok(()) };
    let waits_for = match draft.state {
        ArticleState::Looking(n)
        | ArticleState::Writing(n)
        | ArticleState::Counting(n)
        | ArticleState::CountingLeft(n) => Some(n),
        _ => None,
    };
    if waits_for != Some(number) {
        return Ok(());
    }
    let seen = wire::seen(answer, &draft.ticket.sys_id, session.now);
    if let ArticleState::Counting(_) | ArticleState::CountingLeft(_) = draft.state {
        return counted(session, rules, key, draft, seen);
    }
    let Some(summary) = summary(session, &key.tenant, rules, &draft)? else {
        return not_now(session, key, draft);
    };
    match draft.state {
        // Opened again meanwhile, or not wanted any more.
        ArticleState::Looking(_) if summary.standing != Standing::Current || !drafts(rules) => {
            return not_now(session, key, draft);
        }
        ArticleState::Looking(_) if !rules.integration().enabled => {
            let later = session.now.plus(PAUSE);
            return rest(session, key, draft, ArticleState::Wanted, Some(later));
        }
        ArticleState::Looking(_) => {
            // Of a time that is forgotten, or of two that were on their way at once.
            if let (None, Ok(seen)) = (&draft.article, &seen) {
                tell_of_more(session, rules, key, &draft, seen)?;
            }
            return found(session, rules, key, draft, &summary, seen.map(first));
        }
        _ => {}
    }
    let wrote = draft.article.as_ref().map(|known| known.sys_id.clone());
    match wire::written(answer, &draft.ticket.sys_id, session.now) {
        Ok(Some(seen)) if wrote.is_none_or(|wrote| wrote == seen.article.sys_id) => {
            if draft.article.is_none() && !seen.has_key {
                let why = "the instance does not keep the key words (meta) of the article that was drafted: it cannot be found again; let the user write and read kb_knowledge.meta";
                tell(session, rules, key, &draft.link, why.to_owned())?;
            }
            let says = draft.writes.clone();
            let draft = ArticleDraft { says: says.clone(), writes: None, ..draft };
            written(session, rules, key, draft, seen.article)?;
            // Something else was learnt meanwhile.
            if summary.standing == Standing::Current && says.as_ref() != Some(&summary.id) {
                return wanted(session, &key.tenant, rules, &summary);
            }
            Ok(())
        }
        // It says that it is written, and does not show it: it is looked for.
        Ok(_) => again(session, key, draft, None),
        Err(outcome) => {
            // Unless it may have done something, or do it yet.
            let (mut draft, certain) = (draft, !matches!(*outcome, Outcome::Unknown(..)));
            let making = draft.article.is_none();
            // Written again at once, the first one could come over what a person writes then.
            if !making {
                draft.sent = (!certain).then_some(session.now);
            }
            if making && certain {
                draft.made = draft.made.saturating_sub(1);
                // One that was sent before may still take effect.
                draft.sent = draft.sent.filter(|_| draft.made > 0);
            }
            match (*outcome, &draft.article) {
                (Outcome::Gone | Outcome::Deleted, Some(_)) => missing(session, key, draft),
                (outcome, _) => failed(session, rules, key, draft, outcome),
            }
        }
    }
}

/// The oldest.
fn first(seen: Vec<wire::Seen>) -> Option<wire::Seen> {
    seen.into_iter().next()
}

/// It is there as it is to be. If more than one request may have made one, the other may still come to be.
fn written<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    draft: ArticleDraft,
    article: Article,
) -> Result<(), CommitError> {
    let article = Some(article);
    let draft = ArticleDraft { article, missing: false, sent: None, ..draft };
    settled(session, rules, key, draft, ArticleState::Written)
}

/// Nothing more is to be done, but that there may be more than one by and by.
fn settled<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    draft: ArticleDraft,
    state: ArticleState,
) -> Result<(), CommitError> {
    let limit = rules.settings().correlation.transaction_limit;
    let due = (draft.made > 1).then(|| session.now.plus(LATE * limit));
    rest(session, key, ArticleDraft { failures: 0, ..draft }, state, due)
}

/// Whether there is more than one.
fn counted<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    mut draft: ArticleDraft,
    seen: Result<Vec<wire::Seen>, Box<Outcome>>,
) -> Result<(), CommitError> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(outcome) => {
            draft.failures = draft.failures.saturating_add(1);
            let never = matches!(*outcome, Outcome::Refused(_) | Outcome::Gone | Outcome::Deleted);
            let again = !never && draft.failures < COUNTS;
            let later = again.then(|| session.now.plus(PAUSE * u64::from(draft.failures)));
            let state = counted_as(&draft);
            return rest(session, key, draft, state, later);
        }
    };
    tell_of_more(session, rules, key, &draft, &seen)?;
    (draft.made, draft.failures) = (1, 0);
    let state = counted_as(&draft);
    rest(session, key, draft, state, None)
}

/// A person decides which draft is kept.
fn tell_of_more<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    draft: &ArticleDraft,
    seen: &[wire::Seen],
) -> Result<(), CommitError> {
    // Where articles have versions, each is a row with the same number.
    let name = |seen: &wire::Seen| {
        seen.article.number.clone().unwrap_or_else(|| seen.article.sys_id.to_string())
    };
    let names: BTreeSet<String> = seen.iter().map(name).collect();
    if names.len() > 1 {
        let ticket = draft.ticket.number.as_deref().unwrap_or(draft.ticket.sys_id.as_str());
        let text = format!(
            "{ticket} has {} drafts of an article ({}): one came to be after the instance's transaction limit, or in a time of which nothing is known since a backup was put back; keep one and delete the rest",
            names.len(),
            names.into_iter().collect::<Vec<_>>().join(", ")
        );
        tell(session, rules, key, &draft.link, text)?;
    }
    Ok(())
}

/// How a draft stands once it was counted how many there are.
fn counted_as(draft: &ArticleDraft) -> ArticleState {
    match (&draft.state, &draft.article) {
        (ArticleState::CountingLeft(_), _) => ArticleState::Left,
        (_, Some(_)) => ArticleState::Written,
        (_, None) => ArticleState::Wanted,
    }
}

fn tell<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    link: &LinkId,
    text: String,
) -> Result<(), CommitError> {
    let (kind, at) = (FindingKind::LearningFailed, session.now);
    let (integration, link) = (rules.id().clone(), Some(link.clone()));
    session.find(&key.tenant, &Finding { kind, integration, link, field: None, text, at })
}

/// What is there.
fn found<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    mut draft: ArticleDraft,
    summary: &CaseSummary,
    seen: Result<Option<wire::Seen>, Box<Outcome>>,
) -> Result<(), CommitError> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(outcome) => match (*outcome, &draft.article) {
            (Outcome::Gone | Outcome::Deleted, Some(_)) => return missing(session, key, draft),
            (outcome, _) => return failed(session, rules, key, draft, outcome),
        },
    };
    let limit = rules.settings().correlation.transaction_limit;
    let number = draft.sequence + 1;
    let name = ticket(key, Side::External, number);
    let request = match (&draft.article, seen) {
        // Somebody deleted it, or hid it, or took its key word out of it. That is an answer.
        (Some(_), None) => return settled(session, rules, key, draft, ArticleState::Left),
        (None, None) => {
            // One that was sent may still come to be.
            if let Some(until) = draft.sent.map(|sent| sent.plus(limit))
                && until > session.now
            {
                return rest(session, key, draft, ArticleState::Wanted, Some(until));
            }
            draft.sent = Some(session.now);
            draft.made = draft.made.saturating_add(1);
            // If it is found one day, this is what it says.
            draft.says = Some(summary.id.clone());
            wire::make(rules, &key.tenant, name, summary)
        }
        (Some(known), Some(seen)) if !draft.missing && known.sys_id != seen.article.sys_id => {
            return again(session, key, draft, None); // Another one was asked for.
        }
        (known, Some(seen)) => {
            // Of one that was found, nothing has been changed since it was made.
            let left = known.as_ref().map_or(Some(0), |known: &Article| known.mod_count);
            // Where it is not shown how often, nobody can tell.
            let count = seen.article.mod_count;
            let untouched = seen.is_draft && count.is_some() && count == left;
            let (article, is_known) = (seen.article, known.is_some());
            (draft.article, draft.missing) = (Some(article.clone()), false);
            if !untouched {
                return settled(session, rules, key, draft, ArticleState::Left);
            }
            if draft.says.as_ref() == Some(&summary.id) {
                return written(session, rules, key, draft, article);
            }
            if is_known
                && let Some(until) = draft.sent.map(|sent| sent.plus(limit))
                && until > session.now
            {
                return rest(session, key, draft, ArticleState::Wanted, Some(until));
            }
            draft.sent = Some(session.now);
            Some(wire::write(rules, &key.tenant, name, &article, summary))
        }
    };
    let Some(request) = request else { return session.rest(key) };
    draft.sequence = number;
    draft.state = ArticleState::Writing(number);
    draft.writes = Some(summary.id.clone());
    let until = session.now.plus(request.queue + request.timeout + 1_000);
    session.put(key, &draft, Some(until))?;
    session.submit(request);
    Ok(())
}

/// It is not where it was: it is looked for by its key word.
fn missing<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    draft: ArticleDraft,
) -> Result<(), CommitError> {
    again(session, key, ArticleDraft { missing: true, ..draft }, None)
}

fn failed<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    draft: ArticleDraft,
    outcome: Outcome,
) -> Result<(), CommitError> {
    let refused = match &outcome {
        Outcome::Refused(refusal) => {
            Some(format!("status {}: {}", refusal.status, refusal.message))
        }
        Outcome::Gone | Outcome::Deleted => Some("it has no kb_knowledge".to_owned()),
        _ => None,
    };
    if let Some(why) = refused {
        let text = format!(
            "the instance refused the draft of an article: {why}; let the user write kb_knowledge in that knowledge base, or take [learning.articles] out; the next one is tried again"
        );
        tell(session, rules, key, &draft.link, text)?;
        return rest(session, key, draft, ArticleState::Refused, None);
    }
    again(session, key, draft, outcome.not_before(session.now))
}

fn rest<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    draft: ArticleDraft,
    state: ArticleState,
    due: Option<Millis>,
) -> Result<(), CommitError> {
    session.put(key, &ArticleDraft { state, ..draft }, due)
}

/// It is not wanted as things are. What more than one request may have made is counted all the same.
fn not_now<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    draft: ArticleDraft,
) -> Result<(), CommitError> {
    let due = (draft.made > 1).then_some(session.now);
    rest(session, key, draft, ArticleState::Wanted, due)
}

fn again<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    mut draft: ArticleDraft,
    not_before: Option<Millis>,
) -> Result<(), CommitError> {
    draft.failures = draft.failures.saturating_add(1);
    let pause = if draft.failures < 10 { land::backoff(&key.path, draft.failures) } else { SELDOM };
    let later = session.now.plus(pause);
    let due = not_before.map_or(later, |at| at.max(later));
    rest(session, key, draft, ArticleState::Wanted, Some(due))
}
