//! What rules may take: memory, instructions, time, and how much they may hand over.

use std::time::Duration;

use firn_model::Composed;
use firn_model::rule::{Admission, Class, Lesson, Said, Verdict, Winner};

use super::TICK;

/// The limits of one inquiry.
#[derive(Debug, Clone)]
pub struct RuleLimits {
    /// All memories of an instance together, in bytes.
    pub memory: usize,
    /// Instructions of one question, in wasmtime's units of fuel: about one for each instruction. So few that
    /// they are used up before the time is, where a machine is not busy: what fails fails again.
    pub fuel: u64,
    /// All questions of an inquiry together, by the clock on the wall.
    pub time: Duration,
    /// What one answer may make the host allocate, in bytes; and all answers of an inquiry together.
    pub output: usize,
}

impl Default for RuleLimits {
    fn default() -> Self {
        RuleLimits {
            memory: 64 << 20,
            fuel: 100_000_000,
            time: Duration::from_millis(50),
            output: 256 << 10,
        }
    }
}

impl RuleLimits {
    pub(super) fn too_long(&self) -> String {
        format!("it took longer than {} ms", self.time.as_millis())
    }

    /// Whether an answer is of a size that an answer can have, after those before. Gives the size of all.
    pub(super) fn fits(&self, said: &Said, before: usize) -> Result<usize, String> {
        let bytes = before
            + match said {
                Said::Admit(Admission::Yes) => 0,
                Said::Admit(Admission::No(why)) => why.len(),
                Said::Classify(Class { table, category, subcategory, assignment_group }) => {
                    [table, category, subcategory, assignment_group]
                        .into_iter()
                        .map(|text| text.as_ref().map_or(0, String::len))
                        .sum()
                }
                Said::Draft(columns) => columns.iter().map(|(c, v)| c.len() + v.len()).sum(),
                Said::Value(Verdict::Keep) => 0,
                Said::Value(Verdict::Instead(text) | Verdict::Withhold(text)) => text.len(),
                Said::Conflict(Winner::Value(text)) => text.len(),
                Said::Conflict(_) => 0,
                Said::Summary(Lesson::Kept(Composed { asked, found, solved, tags })) => {
                    let cited = found.iter().chain(solved).map(|cited| cited.text.len());
                    asked.len() + cited.chain(tags.iter().map(String::len)).sum::<usize>()
                }
                Said::Summary(_) => 0,
            };
        if bytes <= self.output {
            return Ok(bytes);
        }
        Err(format!("it handed over more than {} KiB", self.output >> 10))
    }
}

/// Adds up what an instance takes: wasmtime's own limits hold for each memory alone.
pub(super) struct Bounds {
    memory: usize,
    bytes: usize,
    elements: usize,
    hit: Option<String>,
}

impl Bounds {
    /// Elements of all tables together.
    const ELEMENTS: usize = 20_000;

    pub(super) fn new(limits: &RuleLimits) -> Bounds {
        debug_assert!(limits.time >= TICK, "shorter than can be measured");
        Bounds { memory: limits.memory, bytes: 0, elements: 0, hit: None }
    }

    /// Which limit was met, in a sentence.
    pub(super) fn hit(&self) -> Option<String> {
        self.hit.clone()
    }
}

impl wasmtime::ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let after = self.bytes.saturating_sub(current).saturating_add(desired);
        let fits = after <= self.memory;
        if fits {
            self.bytes = after;
        } else {
            self.hit = Some(format!("it wanted more than {} MiB of memory", self.memory >> 20));
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let after = self.elements.saturating_sub(current).saturating_add(desired);
        let fits = after <= Self::ELEMENTS;
        if fits {
            self.elements = after;
        } else {
            self.hit = Some(format!("it wanted a table of more than {} elements", Self::ELEMENTS));
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}
