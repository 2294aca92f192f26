//! Laws of every field of every preset and of every kind of ticket: what is written reads back as what was meant, writing
//! it again changes nothing, what is told agrees with what was read, and sides that agree have nothing to settle.

use std::collections::BTreeMap;

use firn_model::{
    Attribute, FieldState, Link, Millis, Precision, Preset, Reference, Seen, Shape, Side, SysId,
    Value,
};
use proptest::prelude::{TestCaseError, prop_assert, proptest};

use crate::mapping::{self, LookUp, attribute};
use crate::merge::{self, Verdict};
use crate::plan::circumstances;
use crate::sample;
use crate::settings::{FieldMapping, Mapping};

const NOW: Millis = Millis(1_777_472_100_000);

/// What is drawn for a field, whatever its kind.
#[derive(Debug, Clone)]
struct Draw {
    text: String,
    n: usize,
    person: bool,
}

fn every(
    mut law: impl FnMut(&FieldMapping, &Link) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    for preset in Preset::ALL {
        let rules = sample::rules(preset);
        let tables: Vec<_> = rules.tables().cloned().collect();
        for table in tables {
            let link = Link { table: table.clone(), ..sample::link() };
            for field in rules.fields(&table) {
                law(field, &link)?;
            }
        }
    }
    Ok(())
}

const PERSON: &str = "ann.lee@example.com";

fn known(field: &FieldMapping) -> BTreeMap<String, Reference> {
    let Mapping::Reference { table, key, .. } = &field.mapping else { return BTreeMap::new() };
    let look = LookUp { table: table.clone(), key: key.clone(), value: PERSON.to_owned() };
    let id = SysId::new("0000000000000000000000000000a001").unwrap();
    BTreeMap::from([(look.name(), Reference::Found(id))])
}

/// A value of the platform's; none where it writes none.
fn here(field: &FieldMapping, draw: &Draw) -> Option<Shape> {
    let attribute = mapping::platform_attribute(field)?;
    let text = match &field.mapping {
        Mapping::Text { .. } => draw.text.clone(),
        Mapping::Choice { pairs, .. } | Mapping::Columns { pairs, .. } => {
            pairs[draw.n % pairs.len()].platform.clone()
        }
        Mapping::Reference { .. } => if draw.person { PERSON } else { "" }.to_owned(),
        Mapping::Date { .. } => {
            format!("2026-{:02}-{:02}T09:30:00Z", draw.n % 12 + 1, draw.n % 28 + 1)
        }
        Mapping::Markup { .. } | Mapping::ToServicenow { .. } | Mapping::ToPlatform { .. } => {
            return None;
        }
    };
    Some(Shape::one(attribute, Value::text(text)))
}

/// The ticket as it shows what was written: an instance computes the priority, and shows whom a reference means.
fn shown(field: &FieldMapping, written: &Shape) -> Shape {
    let mut shown = written.clone();
    let number =
        |name: &str| -> Option<u32> { written.get(&attribute(name))?.to_text().parse().ok() };
    if let (Mapping::Columns { reads, .. }, Some(impact), Some(urgency)) =
        (&field.mapping, number("impact"), number("urgency"))
    {
        let priority = (impact + urgency).saturating_sub(1).clamp(1, 5).to_string();
        shown.0.insert(attribute("priority"), Value::text(priority));
        shown.0.retain(|column, _| reads.contains(column));
    }
    if let Mapping::Reference { column, key, .. } = &field.mapping {
        let named = Attribute::new(format!("{column}.{key}")).unwrap();
        let is_set = written.get(column).is_some_and(|value| !value.is_empty());
        shown.0.insert(named, Value::text(if is_set { PERSON } else { "" }));
    }
    shown
}

/// A value of ServiceNow's; none where it tells the platform nothing.
fn there(field: &FieldMapping, draw: &Draw) -> Option<Shape> {
    let column = mapping::attributes(field, Side::External).first()?.clone();
    let text = match &field.mapping {
        Mapping::Text { .. } | Mapping::Markup { .. } => draw.text.clone(),
        Mapping::Choice { pairs, .. } => {
            let pair = &pairs[draw.n % pairs.len()];
            pair.external[draw.n % pair.external.len()].clone()
        }
        Mapping::Date { precision, .. } => {
            let time = if *precision == Precision::Day { "" } else { " 09:30:00" };
            format!("2026-{:02}-{:02}{time}", draw.n % 12 + 1, draw.n % 28 + 1)
        }
        _ => return None,
    };
    Some(Shape::one(column, Value::text(text)))
}

/// Whether both sides are seen to agree that never agreed on anything before.
fn settled(field: &FieldMapping, link: &Link, platform: &Shape, external: &Shape) -> bool {
    let seen = |shape: &Shape| Some(Seen { shape: shape.clone(), revision: None, edited: NOW });
    let state =
        FieldState { platform: seen(platform), external: seen(external), ..FieldState::default() };
    matches!(
        merge::verdict(field, &state, circumstances(link, NOW)),
        Verdict::Settled | Verdict::Agreed
    )
}

#[test]
fn the_laws_are_about_nearly_every_field() {
    let draw = Draw { text: "x".to_owned(), n: 0, person: true };
    let (mut all, mut written, mut told) = (0, 0, 0);
    let counted = every(|field, _| {
        all += 1;
        written += usize::from(here(field, &draw).is_some());
        told += usize::from(there(field, &draw).is_some());
        Ok(())
    });
    assert!(
        counted.is_ok() && written * 10 > all * 8 && told * 10 > all * 6,
        "{written}, {told} of {all}"
    );
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_reads_back_and_is_written_once(
        text in r"[a-zA-Z0-9 .,+<>&*_\-\n]{0,120}", n in 0usize..840, person: bool,
    ) {
        let draw = Draw { text, n, person };
        every(|field, link| {
            let Some(platform) = here(field, &draw) else { return Ok(()) };
            let known = known(field);
            let Ok(put) = mapping::to_external(field, &platform, None, &known) else {
                return Err(TestCaseError::fail(format!("{}: {platform} cannot be written", field.name)));
            };
            let shown = shown(field, &put.shape);
            prop_assert!(mapping::agree(field, &platform, &shown), "{}: {platform} and {shown}", field.name);
            // Once more changes nothing: what means the same stays.
            let again = mapping::to_external(field, &platform, Some(&shown), &known);
            let Ok(again) = again else { return Err(TestCaseError::fail("it cannot be written again")) };
            let stays = again.shape.0.iter().all(|(column, value)| {
                shown.get(column).is_none_or(|there| there == value)
            });
            prop_assert!(stays, "{}: {shown}, then {}", field.name, again.shape);
            prop_assert!(settled(field, link, &platform, &shown), "{}", field.name);
            Ok(())
        })?;
    }

    #[test]
    fn what_is_told_agrees_and_is_told_once(
        text in r"[a-zA-Z0-9 .,+&*_\-\n]{0,120}", n in 0usize..840,
    ) {
        let draw = Draw { text, n, person: false };
        every(|field, link| {
            let Some(external) = there(field, &draw) else { return Ok(()) };
            let Ok(told) = mapping::to_platform(field, &external) else {
                return Err(TestCaseError::fail(format!("{}: {external} cannot be told", field.name)));
            };
            prop_assert!(mapping::agree(field, &told, &external), "{}: {told} and {external}", field.name);
            // Told back, it means the same.
            let back = mapping::to_external(field, &told, Some(&external), &known(field));
            let means_the_same =
                |put: mapping::Columns| mapping::agree(field, &told, &shown(field, &put.shape));
            prop_assert!(back.is_err() || back.is_ok_and(means_the_same), "{}: {external}", field.name);
            prop_assert!(settled(field, link, &told, &external), "{}", field.name);
            Ok(())
        })?;
    }
}
