//! The doctor's visit (`firn integration test`): what `firn-remote` finds out by asking the instance,
//! what the core says of columns and choices, whether the rules are in place, and whether a webhook
//! really arrives.

use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result};
use firn_model::{IntegrationId, Level, rfc3339_text};
use firn_remote::{Check, Doctor, PING, Provisioner, Step, Verdict};
use firn_runtime::{Core, Question, Reply};
use serde::Serialize;

use super::instance::same_instance;
use super::{Host, now};
use crate::vault::Known;

/// What a visit came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Examined {
    /// Nothing is broken.
    pub(crate) ok: bool,
    /// When, as RFC 3339 text.
    pub(crate) at: String,
    pub(crate) checks: Vec<Check>,
}

impl Host {
    /// Asks everything of an integration's instance that has to be right.
    ///
    /// # Errors
    /// When we cannot ask: the address is not allowed, the core does not run.
    pub(crate) async fn examine(&self, known: &Known) -> Result<Arc<Examined>> {
        let mut checks = Vec::new();
        let id = &known.integration.id;
        let target = known.target();
        match self.carrier.allowed().check(&target.base_url) {
            Err(why) => checks.push(Check::of(
                "reachable",
                Verdict::Bad,
                why.to_string(),
                "correct base_url; a host of your own network is allowed with --allow-host",
            )),
            Ok(base) => {
                let callback = self.webhook_url(id);
                let mut doctor =
                    Doctor::new(&self.carrier, &base, &target, &known.integration, callback);
                match doctor.door().await {
                    Err(check) => checks.push(check),
                    Ok(open) => {
                        checks.extend(open);
                        checks.extend(doctor.examine().await);
                        checks.extend(self.judge(known, &doctor).await?);
                        checks.extend(self.rules(known, &doctor).await);
                    }
                }
            }
        }
        let ok = checks.iter().all(|check| check.verdict != Verdict::Bad);
        let examined = Arc::new(Examined { ok, at: rfc3339_text(now()), checks });
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert(id.clone(), Arc::clone(&examined));
        Ok(examined)
    }

    /// Something was changed: what the doctor said of before is no news.
    pub(super) fn forget_report(&self, id: &IntegrationId) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// What the doctor said last.
    pub(crate) fn examined(&self, id: &IntegrationId) -> Option<Arc<Examined>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Columns, choices and mandatory columns: the core asks, and judges what it hears.
    async fn judge(&self, known: &Known, doctor: &Doctor<'_>) -> Result<Vec<Check>> {
        let settings = serde_json::to_string(&known.integration)?;
        let cache = self.cache.clone();
        let asked = settings.clone();
        let load = tokio::task::spawn_blocking(move || -> Result<_> {
            let mut core = Core::new(Some(&cache))?;
            let questions = core.questions(&asked)?;
            Ok((core, questions))
        });
        let (mut core, questions) = load.await.context("the core broke off")??;
        let questions = match questions {
            Ok(questions) => questions,
            // They were sound when they were stored.
            Err(faults) => return Ok(faults.iter().map(check).collect()),
        };
        let mut replies = Vec::new();
        for Question { name, table, query, fields, limit } in questions {
            let as_admin = table == "sys_dictionary";
            let asked = doctor.rows(as_admin, &table, &query, &fields, limit).await;
            let (status, rows) =
                asked.map_or((0, serde_json::Value::Null), |rows| (rows.status, rows.result));
            replies.push(Reply { name, status, rows: rows.to_string() });
        }
        let unanswered = replies.iter().find(|reply| matches!(reply.status, 0 | 401 | 429 | 500..));
        if let Some(reply) = unanswered {
            let detail =
                format!("asked for {}, the instance answered {}", reply.name, reply.status);
            let (name, remedy) = ("columns and choices", "test again");
            return Ok(vec![Check::of(name, Verdict::Skipped, detail, remedy)]);
        }
        let judged = tokio::task::spawn_blocking(move || core.judge(&settings, &replies));
        let faults = judged.await.context("the core broke off")??;
        // Rights were looked at one by one already.
        let ours = |fault: &&firn_model::Fault| fault.at != "external_user";
        let mut checks: Vec<Check> = faults.iter().filter(ours).map(check).collect();
        if checks.is_empty() {
            checks.push(Check::good("columns and choices", "all that the settings name are there"));
        }
        Ok(checks)
    }

    /// Whether the rules are in place, whether others' rules are there that should not, and whether a
    /// webhook arrives.
    async fn rules(&self, known: &Known, doctor: &Doctor<'_>) -> Vec<Check> {
        let id = &known.integration.id;
        let slug = &known.integration.slug;
        let mut checks = Vec::new();
        if known.integration.settings.provision.resource && known.secrets.resource.is_none() {
            checks.push(Check::of(
                "Scripted REST resource",
                Verdict::Bad,
                "provision.resource is on, and where the instance has it is not known: nothing is written",
                format!("firn integration provision {slug}, with an administrator"),
            ));
        }
        if known.secrets.webhook.is_empty() {
            checks.push(Check::of(
                "webhooks",
                Verdict::Note,
                "nothing was provisioned: changes are found by reconciling alone",
                format!("firn integration provision {slug}"),
            ));
            return checks;
        }
        if known.secrets.admin.is_some() && !doctor.has_admin() {
            checks.push(Check::of(
                "business rules",
                Verdict::Skipped,
                "the administrator is not let in",
                "correct admin_username and admin_password (firn integration configure)",
            ));
            return checks;
        }
        let target = known.target();
        let provisioner =
            Provisioner::new(&self.carrier, &target, &known.integration, self.webhook_url(id));
        let Ok(provisioner) = provisioner else { return checks };
        match provisioner.plan().await {
            Ok(artifacts) => {
                // Somebody may have installed the resource by hand.
                if let Err(why) = self.keep_resource(known, &provisioner).await {
                    tracing::warn!(integration = slug, why = %format!("{why:#}"), "where its resource is was not kept");
                }
                let off: Vec<String> = artifacts
                    .iter()
                    .filter(|artifact| artifact.step != Step::Leave)
                    .map(|artifact| format!("{} ({})", artifact.name, artifact.outcome))
                    .collect();
                if off.is_empty() {
                    let all = artifacts.len();
                    checks.push(Check::good("business rules", format!("{all} artifacts in place")));
                } else {
                    checks.push(Check::of(
                        "business rules",
                        Verdict::Bad,
                        off.join("; "),
                        format!("firn integration provision {slug}"),
                    ));
                }
            }
            Err(why) if !doctor.has_admin() => {
                checks.push(Check::of(
                    "business rules",
                    Verdict::Skipped,
                    why.to_string(),
                    "give admin_username and admin_password to have them looked at",
                ));
                return checks;
            }
            Err(why) => {
                checks.push(Check::of(
                    "business rules",
                    Verdict::Bad,
                    why.to_string(),
                    "the administrator needs the role admin",
                ));
                return checks;
            }
        }
        checks.extend(self.cloned(known, &provisioner).await);
        checks.push(match self.ping(known, PING).await {
            Ok(Some(took)) => {
                Check::good("webhook round trip", format!("a signed ping came in {} ms", took.as_millis()))
            }
            Ok(None) => Check::of(
                "webhook round trip",
                Verdict::Bad,
                match doctor.outbound().await {
                    Some(logged) => format!("no ping came within {} s; {logged}", PING.as_secs()),
                    None => format!("no ping came within {} s", PING.as_secs()),
                },
                format!(
                    "let the instance reach {} (--public-url, DNS, firewall, MID server), and compare the webhook secret",
                    self.public_url
                ),
            ),
            Err(why) => Check::of(
                "webhook round trip",
                Verdict::Skipped,
                format!("{why:#}"),
                format!("firn integration provision {slug}"),
            ),
        });
        checks
    }

    /// A clone brings the rules of the instance that it was cloned from, and they still tell of it.
    async fn cloned(&self, known: &Known, provisioner: &Provisioner<'_>) -> Vec<Check> {
        const NAME: &str = "rules of others";
        let belongs = |id: &str| {
            let other = IntegrationId::new(id).ok().and_then(|id| self.vault.get(&id));
            other.is_some_and(|other| same_instance(&other, known))
        };
        let strangers = match provisioner.strangers(belongs).await {
            Ok(strangers) => strangers,
            Err(why) => {
                return vec![Check::of(NAME, Verdict::Skipped, why.to_string(), "try again")];
            }
        };
        let mut owners: Vec<String> = strangers.into_iter().map(|(owner, _)| owner).collect();
        owners.sort();
        owners.dedup();
        let mut checks = Vec::new();
        for owner in owners {
            let other = IntegrationId::new(owner.as_str()).ok().and_then(|id| self.vault.get(&id));
            // What another tenant's is called and where it is, is not told.
            let ours = |other: &Known| other.integration.tenant == known.integration.tenant;
            checks.push(match other {
                Some(other) if !ours(&other) => Check::of(
                    NAME,
                    Verdict::Bad,
                    format!(
                        "rules of another integration ({owner}) are here, and this is not its instance: it was cloned, and tells of its tickets in that one's name"
                    ),
                    format!("firn integration unprovision {} --orphan {owner}", known.integration.slug),
                ),
                Some(other) => Check::of(
                    NAME,
                    Verdict::Bad,
                    format!(
                        "rules of {} ({owner}) are here, and its instance is {}: this one was cloned, and tells of its tickets in that one's name",
                        other.integration.slug, other.integration.base_url
                    ),
                    format!("firn integration unprovision {} --orphan {owner}", known.integration.slug),
                ),
                None => Check::of(
                    NAME,
                    Verdict::Note,
                    format!("rules of {owner} are here, which this Firn does not know: another Firn's, a clone's, or left behind"),
                    format!("if nobody needs them: firn integration unprovision {} --orphan {owner}", known.integration.slug),
                ),
            });
        }
        checks
    }

    /// Whether an integration can work as far as is known: it is signed in, and the doctor found
    /// nothing broken when last asked. `None` if there is no such integration.
    pub(crate) fn ready(&self, reference: &str) -> Option<Result<(), &'static str>> {
        let known = self.vault.find(reference, |_| true)?;
        if self.sign_in(&known) != firn_remote::SignInState::Good {
            return Some(Err("sign-in"));
        }
        if known.integration.settings.provision.resource && known.secrets.resource.is_none() {
            return Some(Err("resource"));
        }
        let sick = self.examined(&known.integration.id).is_some_and(|examined| !examined.ok);
        Some(if sick { Err("test") } else { Ok(()) })
    }
}

/// What the core says of settings, as a check.
fn check(fault: &firn_model::Fault) -> Check {
    let verdict = match fault.level {
        Level::Error => Verdict::Bad,
        Level::Warning => Verdict::Note,
    };
    Check::of(fault.at.clone(), verdict, fault.text.clone(), fault.remedy.clone())
}
