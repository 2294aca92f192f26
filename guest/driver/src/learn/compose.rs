//! Who says what of a ticket is worth keeping: the tenant's rules if they have a say in it, else a language model if
//! there is one, else Firn itself. Whatever fails, there is a summary in the end, unless rules want none.

use firn_core::land;
use firn_core::learning::{self, compose};
use firn_core::plan::subject;
use firn_core::settings::Rules;
use firn_core::wire::learning::{self as wire, NotComposed};
use firn_model::rule::{Answer as Ruled, Said};
use firn_model::{
    Answer, Asked, CaseSummary, CommitError, Composing, Finding, FindingKind, Hook, Inquiry, Key,
    Learning, LearningState, Link, Maker, Millis, OnRuleFailure, Passage, Side, Spent,
};

use super::keep;
use crate::session::{Session, ticket};
use crate::{Doors, rows};

/// So often a language model is asked for one summary; after that it is made without it.
const TRIES: u32 = 6;
/// What is no summary is asked for once more.
const UNUSABLE: u32 = 2;
/// Rules that failed are asked again at the latest after this. In milliseconds.
const LATEST: u64 = 60_000;
const DAY: i64 = 24 * 3_600_000;

/// A ticket was read.
pub(super) fn begin<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    learning: Learning,
    (extract, sources): (CaseSummary, Vec<Passage>),
    link: Link,
) -> Result<(), CommitError> {
    let asked = if rules.asks(Hook::Summary) { Asked::Rules } else { Asked::Model };
    let composing = Composing { extract, sources, asked, tries: 0 };
    go_on(session, rules, key, (learning, composing), link)
}

/// The next one is asked.
pub(super) fn go_on<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    (learning, mut composing): (Learning, Composing),
    link: Link,
) -> Result<(), CommitError> {
    if composing.asked == Asked::Rules {
        match ask_rules(session, rules, &link, &composing)? {
            Told::Summary(summary) => {
                return keep(session, rules, key, learning, summary.map(|s| *s), link);
            }
            Told::Again(again) => {
                composing.tries = composing.tries.saturating_add(1);
                return wait(session, key, learning, composing, again);
            }
            Told::Settings => (composing.asked, composing.tries) = (Asked::Model, 0),
        }
    }
    // A question whose answer never came counts as one.
    if let Asked::Waiting(_) = composing.asked {
        composing.asked = Asked::Model;
        composing.tries = composing.tries.saturating_add(1);
    }
    if composing.tries >= TRIES {
        let why = format!("it was asked {TRIES} times and did not answer");
        return without(session, rules, key, (learning, composing), link, &why);
    }
    ask_model(session, rules, key, (learning, composing), link)
}

/// What came of asking rules.
enum Told {
    /// This is kept, or nothing.
    Summary(Option<Box<CaseSummary>>),
    /// The settings decide.
    Settings,
    /// They are asked again then.
    Again(Millis),
}

fn ask_rules<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    link: &Link,
    composing: &Composing,
) -> Result<Told, CommitError> {
    let Some(active) = rules.integration().rules.as_ref().filter(|_| rules.asks(Hook::Summary))
    else {
        return Ok(Told::Settings);
    };
    let inquiry = Inquiry {
        about: subject(rules, link),
        questions: vec![compose::question(&composing.sources)],
    };
    let tenant = rules.integration().tenant.clone();
    let answer = session.doors.ask(&tenant, rules.id(), active, &inquiry).into_iter().next();
    let skips = rules.settings().on_rule_failure == OnRuleFailure::Skip;
    let why = match answer {
        Some(Ruled::Said(Said::Summary(lesson))) => {
            match compose::ruled(rules, &composing.extract, &composing.sources, lesson) {
                Ok(Some(summary)) => return Ok(Told::Summary(summary.map(Box::new))),
                Ok(None) => return Ok(Told::Settings),
                Err(why) => why,
            }
        }
        Some(Ruled::Said(_)) => "it answered another question".to_owned(),
        Some(Ruled::Resting(_)) if skips => return Ok(Told::Settings),
        Some(Ruled::Resting(again) | Ruled::Later(again)) => {
            return Ok(Told::Again(again.max(session.now.plus(50))));
        }
        Some(Ruled::Failed(why)) => why,
        None => "they were asked and gave no answer".to_owned(),
    };
    let why: String = rules.masks().learnt(&why).chars().take(300).collect();
    let then = if skips {
        "the summary was made without them"
    } else {
        "the summary waits, and they are asked again; mend them, or set on_rule_failure to skip"
    };
    let version = active.version;
    let text = format!("the rules (version {version}) failed at summary: {why}; {then}");
    find(session, rules, FindingKind::RulesFailed, text)?;
    if skips {
        return Ok(Told::Settings);
    }
    let pause = land::backoff(link.id.as_str(), composing.tries.saturating_add(1)).min(LATEST);
    Ok(Told::Again(session.now.plus(pause)))
}

fn ask_model<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    (mut learning, mut composing): (Learning, Composing),
    link: Link,
) -> Result<(), CommitError> {
    let sequence = learning.sequence + 1;
    let name = ticket(key, Side::Platform, sequence);
    let Some(request) = wire::composition(rules, &key.tenant, &composing.sources, name) else {
        return keep(session, rules, key, learning, Some(composing.extract), link);
    };
    let budget = rows::spent(&key.tenant, rules.id());
    let today = session.now.0.div_euclid(DAY);
    let spent = session.get::<Spent>(&budget)?.filter(|spent| spent.day == today);
    let mut spent = spent.unwrap_or(Spent { day: today, questions: 0 });
    let most = rules.settings().learning.summaries_per_day;
    if spent.questions >= most {
        let why = format!("it was asked {most} times today, as often as it may be");
        return without(session, rules, key, (learning, composing), link, &why);
    }
    spent.questions += 1;
    session.put(&budget, &spent, None)?;
    learning.sequence = sequence;
    composing.asked = Asked::Waiting(sequence);
    let until = session.now.plus(request.queue + request.timeout + 1_000);
    wait(session, key, learning, composing, until)?;
    session.submit(request);
    Ok(())
}

/// A language model has answered, or not.
pub(super) fn answered<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    (learning, mut composing): (Learning, Composing),
    number: u64,
    answer: &Answer,
) -> Result<(), CommitError> {
    if composing.asked != Asked::Waiting(number) {
        return Ok(());
    }
    composing.asked = Asked::Model;
    let link = session.link(&key.tenant, rules.id(), &learning.link)?;
    let wanted = rules.settings().learning.enabled;
    let Some(link) = link.filter(|link| wanted && learning::is_over(rules, link)) else {
        // Taken apart, another's, or nothing is learnt any more: what becomes of it is decided when it is due.
        let now = session.now;
        return wait(session, key, learning, composing, now);
    };
    composing.tries = composing.tries.saturating_add(1);
    let model = rules.settings().learning.summary_model.as_deref();
    let (why, not_before) = match wire::composed(answer, session.now) {
        Ok(composed) => {
            let (extract, sources) = (&composing.extract, &composing.sources);
            match compose::accept(rules, extract, sources, composed, Maker::Model, model) {
                Ok(summary) => return keep(session, rules, key, learning, Some(summary), link),
                Err(why) if composing.tries >= UNUSABLE => (Some(why), None),
                Err(_) => (None, None),
            }
        }
        Err(NotComposed::Refused(why)) => (Some(why), None),
        Err(NotComposed::Unusable) if composing.tries >= UNUSABLE => {
            (Some("what it answered is no summary".to_owned()), None)
        }
        Err(NotComposed::Unusable) => (None, None),
        Err(NotComposed::Later(not_before)) => (None, not_before),
    };
    if let Some(why) = why {
        return without(session, rules, key, (learning, composing), link, &why);
    }
    let pause = land::backoff(&key.path, composing.tries);
    let later = session.now.plus(pause);
    wait(session, key, learning, composing, not_before.map_or(later, |at| at.max(later)))
}

/// There is no summary of a language model's: Firn's own is kept, and a person is told why.
fn without<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    (learning, composing): (Learning, Composing),
    link: Link,
    why: &str,
) -> Result<(), CommitError> {
    let model = rules.settings().learning.summary_model.as_deref().unwrap_or_default();
    let text = format!(
        "the language model {model} made no summary: {why}; it was made of the ticket's own sentences"
    );
    find(session, rules, FindingKind::LearningFailed, text)?;
    keep(session, rules, key, learning, Some(composing.extract), link)
}

fn wait<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    mut learning: Learning,
    composing: Composing,
    until: Millis,
) -> Result<(), CommitError> {
    learning.state = LearningState::Composing(Box::new(composing));
    session.put(key, &learning, Some(until))
}

/// One for all tickets: what fails for one fails for the next.
fn find<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    kind: FindingKind,
    text: String,
) -> Result<(), CommitError> {
    let (integration, at) = (rules.id().clone(), session.now);
    let tenant = rules.integration().tenant.clone();
    session.find(&tenant, &Finding { kind, integration, link: None, field: None, text, at })
}
