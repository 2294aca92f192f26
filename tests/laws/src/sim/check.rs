//! The four properties, on a world at rest.

use std::collections::BTreeMap;

use firn_core::settings::{Rules, compile};
use firn_core::{mapping, masking, plan};
use firn_model::{
    Attribute, Audit, Finding, FindingKind, JournalText, Link, Mirror, Shape, Side, Value, Why,
};

use super::servicenow::US;
use super::world::{Violation, World};

pub(crate) fn check(world: &mut World) -> Result<(), Violation> {
    let rules = compile(world.integration.clone())
        .map_err(|faults| world.violation(format!("settings: {faults:?}")))?;
    let audit: Vec<Audit> = world.rows("audit");
    let findings: Vec<Finding> = world.rows("finding");
    count(world, &audit, &findings);
    for record in world.platform.records.keys().cloned().collect::<Vec<_>>() {
        let link = world
            .link_of(&record)
            .ok_or_else(|| world.violation(format!("{record} was told of and has no link")))?;
        let Some(external) = &link.external else {
            return Err(world.violation(format!("{record} never got its ticket")));
        };
        converges(world, &rules, &record, external.sys_id.as_str(), &link)?;
        comments(world, &rules, &record, external.sys_id.as_str(), &link)?;
    }
    keeps(world, &audit, &findings)?;
    explains(world, &audit)?;
    // Each edit may need a write on each side, be restored once, and be repeated for each fault.
    let writes = world.servicenow.writes + world.platform.writes;
    let bound = 4 * world.edits + 2 * world.fired + 8;
    if writes > bound {
        return Err(world.violation(format!("quiet: {writes} writes for {} edits", world.edits)));
    }
    Ok(())
}

/// Both sides mean the same, or the field is parked and a person was told.
fn converges(
    world: &World,
    rules: &Rules,
    record: &str,
    ticket: &str,
    link: &Link,
) -> Result<(), Violation> {
    for field in rules.fields(&link.table) {
        let platform = Shape(BTreeMap::from([(
            mapping::platform_attribute(field)
                .ok_or_else(|| world.violation(format!("{} has no attribute", field.name)))?,
            Value::text(world.platform.records[record].fields[field.name.as_str()].clone()),
        )]));
        let columns = &world.servicenow.tickets[ticket].columns;
        let external = Shape(
            mapping::attributes(field, Side::External)
                .into_iter()
                .map(|a| {
                    let value = match a.as_str() {
                        "assigned_to.email" => {
                            let user = super::servicenow::USERS
                                .iter()
                                .find(|(id, _)| *id == columns["assigned_to"]);
                            user.map_or(String::new(), |(_, email)| (*email).to_owned())
                        }
                        name => columns.get(name).cloned().unwrap_or_default(),
                    };
                    (a, Value::text(value))
                })
                .collect(),
        );
        let state = &link.fields[&field.name];
        for (side, there) in [(Side::Platform, &platform), (Side::External, &external)] {
            if state.shape(side) != Some(there) {
                return Err(world.violation(format!(
                    "converges: {record}.{} is {there} on the {side} side, and we believe {:?}",
                    field.name,
                    state.shape(side)
                )));
            }
        }
        if !mapping::agree(field, &platform, &external) && state.parked.is_none() {
            return Err(world.violation(format!(
                "converges: {record}.{} is {platform} here and {external} there; base {:?}, owner {:?}",
                field.name, state.base, field.owner
            )));
        }
    }
    Ok(())
}

/// Every entry is on the other side exactly once, with its audience, and no echo of any.
fn comments(
    world: &World,
    rules: &Rules,
    record: &str,
    ticket: &str,
    link: &Link,
) -> Result<(), Violation> {
    let mut platform: BTreeMap<(bool, String), [i64; 2]> = BTreeMap::new();
    for said in &world.platform.records[record].comments {
        let public = said.visibility == "public";
        let text = if said.by_user { masking::mask(&said.text).text } else { said.text.clone() };
        platform.entry((public, text)).or_default()[usize::from(!said.by_user)] += 1;
    }
    let mut external: BTreeMap<(bool, String), [i64; 2]> = BTreeMap::new();
    for row in world.servicenow.journal.iter().filter(|r| r.ticket == ticket) {
        let public = row.element == "comments";
        let text =
            if row.author == US { row.value.clone() } else { masking::mask(&row.value).text };
        external.entry((public, text)).or_default()[usize::from(row.author == US)] += 1;
    }
    let keys: std::collections::BTreeSet<_> =
        platform.keys().chain(external.keys()).cloned().collect();
    for key in keys {
        let [p_user, p_ours] = platform.get(&key).copied().unwrap_or_default();
        let [e_user, e_ours] = external.get(&key).copied().unwrap_or_default();
        let travels = key.0 || rules.settings().journal.work_notes_to_platform;
        if e_ours != p_user || p_ours != (if travels { e_user } else { 0 }) {
            return Err(world.violation(format!(
                "comments: {record} {key:?}: platform {p_user} written, {p_ours} mirrored; external {e_user} written, {e_ours} mirrored"
            )));
        }
    }
    for entry in &link.entries {
        let leaked = matches!(&entry.text, JournalText::WorkNote(_))
            && !rules.settings().journal.work_notes_to_platform
            && entry.origin.side() == Side::External
            && !matches!(entry.mirror, Mirror::Withheld(_));
        if leaked {
            return Err(
                world.violation(format!("comments: the work note {:?} would leave", entry.origin))
            );
        }
    }
    Ok(())
}

/// A value of a user that a write of ours replaced is in an audit line as what stood there, or a
/// finding tells of it.
fn keeps(world: &World, audit: &[Audit], findings: &[Finding]) -> Result<(), Violation> {
    let masked = |value: &str| masking::mask(value).text;
    let told = |field: &str| {
        findings.iter().any(|f| {
            f.kind == FindingKind::OverwrittenUnseen
                && f.field.as_ref().is_some_and(|n| n.as_str() == field)
        })
    };
    let recorded = |side: Side, field: &str, attribute: &str, value: &str| {
        audit.iter().filter(|line| line.side == Some(side)).flat_map(|line| &line.fields).any(
            |written| {
                written.field.as_ref().is_some_and(|f| f.as_str() == field)
                    && written.from.as_ref().is_some_and(|shape| {
                        // Impact and urgency are kept as the priority that they make.
                        field == "severity"
                            || Attribute::new(attribute).is_ok_and(|a| {
                                shape.get(&a).map(Value::to_text) == Some(masked(value))
                            })
                    })
            },
        )
    };
    for lost in &world.servicenow.overwritten {
        let (field, attribute) = match lost.column.as_str() {
            "short_description" => ("title", "short_description"),
            "description" => ("description", "description"),
            "state" => ("status", "state"),
            "assigned_to" => ("assigned_to", "assigned_to"),
            _ => ("severity", "priority"),
        };
        if matches!(lost.column.as_str(), "close_code" | "close_notes" | "hold_reason") {
            continue;
        }
        if !told(field) && !recorded(Side::External, field, attribute, &lost.value) {
            return Err(world.violation(format!(
                "keeps: {}.{} was {:?}, overwritten without a trace",
                lost.ticket, lost.column, lost.value
            )));
        }
    }
    for lost in &world.platform.overwritten {
        if !recorded(Side::Platform, &lost.field, &lost.field, &lost.value) {
            return Err(world.violation(format!(
                "keeps: {}.{} was {:?}, overwritten without a trace",
                lost.record, lost.field, lost.value
            )));
        }
    }
    Ok(())
}

/// Each write that a side has seen has its audit line.
fn explains(world: &World, audit: &[Audit]) -> Result<(), Violation> {
    for key in &world.platform.keys {
        if !audit.iter().any(|line| line.key.as_ref() == Some(key)) {
            return Err(world.violation(format!("explains: no audit line for the write {key}")));
        }
    }
    for (ticket, body) in &world.servicenow.bodies {
        let Some(body) = body.as_object() else { continue };
        let said = body.contains_key("comments") || body.contains_key("work_notes");
        let line = audit.iter().filter(|line| line.side == Some(Side::External)).any(|line| {
            match line.event.as_str() {
                "append" => said,
                "create" => body.contains_key("correlation_id"),
                _ => line.fields.iter().filter_map(|w| w.to.as_ref()).all(|shape| {
                    shape.0.iter().all(|(a, v)| {
                        body.get(a.as_str())
                            .and_then(|b| b.as_str())
                            .map(|b| plan::mask_shape(&Shape::one(a.clone(), Value::text(b))))
                            == Some(Shape::one(a.clone(), v.clone()))
                    })
                }),
            }
        });
        if !line {
            return Err(world
                .violation(format!("explains: no audit line for a write to {ticket}: {body:?}")));
        }
    }
    Ok(())
}

fn count(world: &mut World, audit: &[Audit], findings: &[Finding]) {
    for written in audit.iter().flat_map(|line| &line.fields) {
        let what = match written.why {
            Why::Created => "why: created",
            Why::Carried => "why: carried",
            Why::Restored => "why: restored",
            Why::LastWriteWins => "why: last-write-wins",
            Why::HigherPriority => "why: higher-priority",
            Why::Overruled => "why: overruled",
            Why::Mirrored => "why: mirrored",
            Why::Guarded => "why: guarded",
            Why::OtherGone => "why: other-gone",
            Why::Resolved { .. } | Why::Attached | Why::Evidence | Why::Reopened => continue,
        };
        *world.coverage.entry(what).or_default() += 1;
    }
    for finding in findings {
        let what = match finding.kind {
            FindingKind::Conflict => "finding: conflict",
            FindingKind::Kept => "finding: kept",
            FindingKind::MaskedEdit => "finding: masked-edit",
            FindingKind::UnmappedValue => "finding: unmapped-value",
            FindingKind::OverwrittenUnseen => "finding: overwritten-unseen",
            _ => continue,
        };
        *world.coverage.entry(what).or_default() += 1;
    }
}
