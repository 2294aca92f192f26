//! How large a world is, and how it is set up.

use firn_model::Side;

/// A change that a person may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// Where.
    pub side: Side,
    /// What it leads to.
    pub what: What,
}

/// What an edit leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Another title.
    Title(&'static str),
    /// The record is resolved.
    Resolved,
}

/// How large the world is, and how it is set up.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The strategy: `last-write-wins`, `ownership-priority`, `manual-review`.
    pub strategy: &'static str,
    /// The owner of both fields.
    pub owner: &'static str,
    /// `plain` or `unique`.
    pub mode: &'static str,
    /// The edits that people may make, in any order and at any time.
    pub script: &'static [Edit],
    /// How many edits they make.
    pub edits: u8,
    /// Whether each edit of the script is made at most once.
    pub once: bool,
    /// Who says something, once: 1 the platform's user, 2 the agent, 3 both.
    pub comments: u8,
    /// Whether the ticket may be deleted.
    pub deletions: u8,
    /// Answers that may be lost.
    pub lost: u8,
    /// Messages that may be doubled.
    pub doubled: u8,
    /// Crashes.
    pub crashes: u8,
    /// How many of these three may happen together.
    pub faults: u8,
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Bounds { strategy, owner, mode, edits, script, once, .. } = self;
        let Bounds { comments, deletions, lost, doubled, crashes, faults, .. } = self;
        write!(f, "{strategy}, {owner}, {mode}; ")?;
        if *once && *edits > 0 {
            for edit in *script {
                match edit.what {
                    What::Title(text) => write!(f, "{}.title={text} ", edit.side)?,
                    What::Resolved => write!(f, "{}.resolved ", edit.side)?,
                }
            }
        } else {
            write!(f, "{edits} edits")?;
        }
        write!(
            f,
            ", {} comments, {deletions} deletions, {lost} lost, {doubled} doubled, {crashes} crashes, at most {faults} of these three",
            comments.count_ones()
        )
    }
}
