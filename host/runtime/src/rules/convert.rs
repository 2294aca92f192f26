//! Between the model's words and the WIT's.

use std::collections::BTreeMap;

use firn_model::rule::{Admission, Class, Lesson, Said, SourceText, Subject, Verdict, Winner};
use firn_model::{Cited, Composed, Side};

use super::bindings::firn::rules::types;
use super::hooks;

/// A reason, as long as a reason is.
fn reason(text: String) -> String {
    if text.len() <= 1_000 { text } else { text.chars().take(1_000).collect() }
}

pub(super) fn values(values: &BTreeMap<String, String>) -> Vec<(String, String)> {
    values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn side(side: Side) -> types::Side {
    match side {
        Side::Platform => types::Side::Platform,
        Side::External => types::Side::Servicenow,
    }
}

pub(super) fn subject(about: &Subject) -> types::Subject {
    types::Subject {
        integration: about.integration.clone(),
        record_id: about.record.clone(),
        table: about.table.to_string(),
        number: about.number.clone(),
        began: side(about.began),
        platform: values(&about.platform),
        ticket: values(&about.ticket),
        payload: about.payload.clone(),
    }
}

pub(super) fn change(
    field: &str,
    from: Side,
    value: &str,
    present: Option<&str>,
) -> hooks::value::Change {
    hooks::value::Change {
        field: field.to_owned(),
        from: side(from),
        value: value.to_owned(),
        present: present.map(str::to_owned),
    }
}

pub(super) fn admission(said: hooks::admit::Admission) -> Said {
    Said::Admit(match said {
        hooks::admit::Admission::Yes => Admission::Yes,
        hooks::admit::Admission::No(why) => Admission::No(reason(why)),
    })
}

pub(super) fn class(said: hooks::classify::Class) -> Said {
    let hooks::classify::Class { table, category, subcategory, assignment_group } = said;
    Said::Classify(Class { table, category, subcategory, assignment_group })
}

pub(super) fn verdict(said: hooks::value::Verdict) -> Said {
    Said::Value(match said {
        hooks::value::Verdict::Keep => Verdict::Keep,
        hooks::value::Verdict::Instead(value) => Verdict::Instead(value),
        hooks::value::Verdict::Withhold(why) => Verdict::Withhold(reason(why)),
    })
}

pub(super) fn sources(sources: &[SourceText]) -> Vec<hooks::summary::Source> {
    let told = |source: &SourceText| hooks::summary::Source {
        place: source.place.clone(),
        text: source.text.clone(),
    };
    sources.iter().map(told).collect()
}

pub(super) fn lesson(said: hooks::summary::Lesson) -> Said {
    use hooks::summary::{Kept, Passage};
    let cited = |passages: Vec<Passage>| {
        passages.into_iter().map(|Passage { text, from }| Cited { text, from }).collect()
    };
    Said::Summary(match said {
        hooks::summary::Lesson::Settings => Lesson::Settings,
        hooks::summary::Lesson::Nothing => Lesson::Nothing,
        hooks::summary::Lesson::Kept(Kept { asked, found, solved, tags }) => {
            Lesson::Kept(Composed { asked, found: cited(found), solved: cited(solved), tags })
        }
    })
}

pub(super) fn winner(said: hooks::conflict::Resolution) -> Said {
    use hooks::conflict::Resolution;
    Said::Conflict(match said {
        Resolution::Settings => Winner::Settings,
        Resolution::Platform => Winner::Platform,
        Resolution::Servicenow => Winner::Servicenow,
        Resolution::Value(value) => Winner::Value(value),
        Resolution::Person => Winner::Person,
    })
}
