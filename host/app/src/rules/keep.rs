//! Rules as they are kept: every version that was uploaded, until there are too many, and the component of
//! each. A version is never changed; which one is asked is a part of the integration.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use firn_model::{
    ActiveRules, Change, CommitError, Expect, Hook, Integration, IntegrationId, Key, Millis, Put,
    TenantId, Version,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Host;
use crate::hex;
use crate::host::now;

/// The largest component. In bytes.
pub(crate) const LARGEST: usize = 24 << 20;
/// So many versions are kept for an integration; the oldest that is not asked goes.
const VERSIONS: usize = 50;

/// One version of an integration's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RuleVersion {
    /// Its number: 1, 2, ...
    pub(crate) version: u64,
    /// When it was uploaded.
    pub(crate) at: Millis,
    /// By whom.
    pub(crate) by: String,
    /// The SHA-256 of the component, in hexadecimal.
    pub(crate) digest: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// The hooks that it has.
    pub(crate) hooks: std::collections::BTreeSet<Hook>,
    /// What whoever uploaded it says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// Whether what was uploaded was this version already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) known: bool,
}

impl RuleVersion {
    pub(crate) fn active(&self) -> ActiveRules {
        ActiveRules {
            version: self.version,
            digest: self.digest.clone(),
            hooks: self.hooks.clone(),
        }
    }
}

/// Why rules were not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// They are no good.
    Unsound(String),
    /// They could not be compiled or kept now, whatever they are.
    Failed(anyhow::Error),
}

impl From<NotTaken> for anyhow::Error {
    fn from(why: NotTaken) -> anyhow::Error {
        match why {
            NotTaken::Unsound(why) => anyhow::Error::msg(why),
            NotTaken::Failed(why) => why,
        }
    }
}

fn place(tenant: &TenantId, id: &IntegrationId, version: u64) -> Key {
    Key::new(tenant, &["rules", id.as_str(), &format!("{version:08}")])
}

fn component(tenant: &TenantId, id: &IntegrationId, digest: &str) -> Key {
    Key::new(tenant, &["component", id.as_str(), digest])
}

impl Host {
    /// All versions, the oldest first.
    pub(crate) fn rule_versions(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
    ) -> Result<Vec<RuleVersion>> {
        self.rows(tenant, &format!("rules/{id}/"))
    }

    /// One version.
    pub(crate) fn rule_version(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
        version: u64,
    ) -> Result<Option<RuleVersion>> {
        self.row(tenant, &["rules", id.as_str(), &format!("{version:08}")])
    }

    /// The component of a version.
    pub(crate) fn rule_component(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
        digest: &str,
    ) -> Result<Vec<u8>> {
        let text: Option<String> = self.row(tenant, &["component", id.as_str(), digest])?;
        let text = text.context("the component of these rules is not there any more")?;
        Ok(BASE64.decode(text)?)
    }

    /// Compiles rules and keeps them as the next version. Nobody asks them yet.
    pub(crate) fn upload_rules(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
        wasm: &[u8],
        note: Option<String>,
        by: &str,
    ) -> Result<RuleVersion, NotTaken> {
        if wasm.len() > LARGEST {
            let text = format!("it is larger than {} MiB", LARGEST >> 20);
            return Err(NotTaken::Unsound(text));
        }
        let digest = hex(&Sha256::digest(wasm));
        let hooks = self.rule_book().prepare(&digest, wasm)?;
        self.keep_rules(tenant, id, (digest, wasm), hooks, note, by).map_err(NotTaken::Failed)
    }

    fn keep_rules(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
        (digest, wasm): (String, &[u8]),
        hooks: std::collections::BTreeSet<Hook>,
        note: Option<String>,
        by: &str,
    ) -> Result<RuleVersion> {
        let text = serde_json::to_string(&BASE64.encode(wasm))?;
        loop {
            let known = self.rule_versions(tenant, id)?;
            // The same once more would only push another out.
            if let Some(same) = known.iter().rfind(|version| version.digest == digest) {
                return self.noted(tenant, id, same, note);
            }
            let version = RuleVersion {
                known: false,
                version: known.last().map_or(0, |last| last.version) + 1,
                at: now(),
                by: by.to_owned(),
                digest: digest.clone(),
                size: wasm.len() as u64,
                hooks: hooks.clone(),
                note: note.clone(),
            };
            let value = serde_json::to_string(&version)?;
            let mut changes = vec![
                Change {
                    key: place(tenant, id, version.version),
                    expect: Expect::Absent,
                    put: Some(Put { value, due: None }),
                },
                Change {
                    key: component(tenant, id, &digest),
                    expect: Expect::Any,
                    put: Some(Put { value: text.clone(), due: None }),
                },
            ];
            changes.extend(self.outdated(tenant, id, &known, &digest)?);
            match self.store().commit(&changes) {
                Ok(()) => {
                    let what = format!("version {} of the rules ({digest})", version.version);
                    self.note(tenant, Some(id), "rules-uploaded", &what, by);
                    return Ok(version);
                }
                Err(CommitError::Stale(_)) => {} // Somebody uploaded at the same time.
                Err(why) => return Err(why.into()),
            }
        }
    }

    /// A version that was uploaded once more; what is said of it now, if anything is, is what is said of it.
    fn noted(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
        version: &RuleVersion,
        note: Option<String>,
    ) -> Result<RuleVersion> {
        let mut version = version.clone();
        if note.is_some() && note != version.note {
            version.note = note;
            self.store().commit(&[Change {
                key: place(tenant, id, version.version),
                expect: Expect::Any,
                put: Some(Put { value: serde_json::to_string(&version)?, due: None }),
            }])?;
        }
        Ok(RuleVersion { known: true, ..version })
    }

    /// The oldest version, if there are too many, and its component if no other has it.
    fn outdated(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
        known: &[RuleVersion],
        new: &str,
    ) -> Result<Vec<Change>> {
        if known.len() < VERSIONS {
            return Ok(Vec::new());
        }
        let asked = self.asked_rules(tenant, id)?.map(|rules| rules.version);
        let Some(oldest) = known.iter().find(|v| Some(v.version) != asked) else {
            return Ok(Vec::new());
        };
        let gone = |key| Change { key, expect: Expect::Any, put: None };
        let mut changes = vec![gone(place(tenant, id, oldest.version))];
        let others = known.iter().filter(|v| v.version != oldest.version);
        if oldest.digest != new && !others.into_iter().any(|v| v.digest == oldest.digest) {
            changes.push(gone(component(tenant, id, &oldest.digest)));
        }
        Ok(changes)
    }

    /// The rules that an integration asks.
    pub(crate) fn asked_rules(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
    ) -> Result<Option<ActiveRules>> {
        let integration: Option<Integration> = self.row(tenant, &["integration", id.as_str()])?;
        Ok(integration.and_then(|integration| integration.rules))
    }

    /// The rules that were asked before those that are asked now. `Some(None)`: none were.
    pub(crate) fn rules_before(
        &self,
        tenant: &TenantId,
        id: &IntegrationId,
    ) -> Result<Option<Option<ActiveRules>>> {
        let present = self.asked_rules(tenant, id)?;
        let mut before = None;
        self.each(tenant, &format!("version/{id}/"), |_, version: Version| {
            if version.integration.rules != present {
                before = Some(version.integration.rules);
            }
        })?;
        Ok(before)
    }
}
