//! What a check comes to.

use serde::Serialize;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and somebody should know this.
    Note,
    /// Something will fail, or be lost.
    Bad,
    /// It could not be looked at.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `read incident`.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What was found, in a line.
    pub detail: String,
    /// What to do about it, in a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    /// A check that came out well.
    pub fn good(name: impl Into<String>, detail: impl Into<String>) -> Check {
        Check { name: name.into(), verdict: Verdict::Good, detail: detail.into(), remedy: None }
    }

    /// One that came to something else, and what to do about it.
    pub fn of(
        name: impl Into<String>,
        verdict: Verdict,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        let (name, detail, remedy) = (name.into(), detail.into(), Some(remedy.into()));
        Check { name, verdict, detail, remedy }
    }
}
