//! The audit's chain: every line that was ever written, in the order in which it was committed, each
//! bound to the one before it by a keyed digest. Whoever changes, removes, adds or reorders lines in
//! the file, without the store's keys, is found out by [`verify`].
//!
//! The digest of a line is of what it says, not of how it is sealed: keys may be changed. An erased
//! line leaves its digest, and a line of its own that says which were erased.

use std::collections::BTreeSet;

use firn_model::{Key, TenantId};

use crate::seal::Keyring;

/// Rows whose path begins so are lines of the audit.
pub(crate) const LINES: &str = "audit/";

/// Lines that tell which lines were erased: a JSON array of their numbers.
pub(crate) const ERASED: &str = "audit/_erased/";

/// What became of a look at the whole chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// How many lines there are.
    pub lines: u64,
    /// How many of them were erased on somebody's wish.
    pub erased: u64,
    /// The last link, in hexadecimal: whoever keeps it elsewhere can tell later that nothing before it
    /// was changed, and that nothing was cut off.
    pub head: String,
    /// What is wrong, if anything.
    pub faults: Vec<AuditFault>,
}

/// Where the chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditFault {
    /// A line does not say what it said when it was written, or cannot be read.
    #[error("line {0} was changed ({1})")]
    Changed(u64, String),
    /// A line is missing, and nobody erased it.
    #[error("line {0} was removed ({1})")]
    Removed(u64, String),
    /// A line is there that was never written through the store.
    #[error("a line was added ({0})")]
    Added(String),
    /// The chain's own links do not follow from one another.
    #[error("the chain is broken at line {0}")]
    Broken(u64),
    /// The last line is not the one that was written last.
    #[error("lines after line {0} were cut off")]
    CutOff(u64),
    /// A link that was noted earlier is not in it.
    #[error("the chain does not contain {0}: lines were cut off, or this is another store")]
    NotContained(String),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The chain's last line, as it is when another is added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    /// Its number; 0 if there is none.
    pub(crate) seq: i64,
    /// Its link.
    pub(crate) link: Vec<u8>,
}

/// A line that was added.
pub(crate) struct Link {
    /// Its number.
    pub(crate) seq: i64,
    /// Of what it says.
    pub(crate) digest: [u8; 32],
    /// What binds it to the one before.
    pub(crate) link: [u8; 32],
    /// What tells that it is the last.
    pub(crate) end: [u8; 32],
}

impl Head {
    /// Adds a line that is being written.
    pub(crate) fn append(&mut self, ring: &Keyring, key: &Key, value: &str) -> Link {
        let seq = self.seq + 1;
        let digest = digest(ring, value);
        let link = link(ring, &self.link, seq, (key.tenant.as_str(), &key.path), &digest);
        *self = Head { seq, link: link.to_vec() };
        Link { seq, digest, link, end: end(ring, seq, &link) }
    }
}

fn link(ring: &Keyring, before: &[u8], seq: i64, key: (&str, &str), digest: &[u8]) -> [u8; 32] {
    let (tenant, path) = key;
    ring.audit.digest(&[
        b"link",
        before,
        &seq.to_be_bytes(),
        tenant.as_bytes(),
        path.as_bytes(),
        digest,
    ])
}

fn digest(ring: &Keyring, value: &str) -> [u8; 32] {
    ring.audit.digest(&[b"line", value.as_bytes()])
}

/// What tells that a line is the last.
fn end(ring: &Keyring, seq: i64, link: &[u8]) -> [u8; 32] {
    ring.audit.digest(&[b"end", &seq.to_be_bytes(), link])
}

/// A line of the chain, and what lies under its name.
pub(crate) struct Line {
    pub(crate) seq: i64,
    pub(crate) tenant: String,
    pub(crate) path: String,
    pub(crate) digest: Vec<u8>,
    pub(crate) link: Vec<u8>,
    /// The row, with the number of its key.
    pub(crate) sealed: Option<(i64, Vec<u8>)>,
}

/// A look at the whole chain, line by line, in order.
pub(crate) struct Walk<'k> {
    ring: &'k Keyring,
    noted: Option<&'k str>,
    contained: bool,
    before: Vec<u8>,
    lines: u64,
    missing: Vec<(u64, String)>,
    erased: BTreeSet<u64>,
    faults: Vec<AuditFault>,
}

impl<'k> Walk<'k> {
    /// `noted` is a head that was seen earlier.
    pub(crate) fn new(ring: &'k Keyring, noted: Option<&'k str>) -> Walk<'k> {
        Walk {
            ring,
            noted,
            contained: noted.is_none(),
            before: Vec::new(),
            lines: 0,
            missing: Vec::new(),
            erased: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    /// A line that was written since the walk began: it may tell of lines that were erased since.
    pub(crate) fn behind(&mut self, line: Line) {
        let Line { tenant, path, digest: written, sealed, .. } = line;
        if let Some(value) = self.value(tenant, &path, sealed, &written)
            && path.starts_with(ERASED)
        {
            self.erased.extend(serde_json::from_str::<Vec<u64>>(&value).unwrap_or_default());
        }
    }

    /// What a line says, if that is what was written.
    fn value(
        &self,
        tenant: String,
        path: &str,
        sealed: Option<(i64, Vec<u8>)>,
        written: &[u8],
    ) -> Option<String> {
        let (id, sealed) = sealed?;
        let key = Key { tenant: TenantId::new(tenant).ok()?, path: path.to_owned() };
        let value = self.ring.open(&key, id, &sealed).ok()?;
        (digest(self.ring, &value)[..] == *written).then_some(value)
    }

    pub(crate) fn line(&mut self, line: Line) {
        let Line { seq, tenant, path, digest: written, link: linked, sealed } = line;
        self.lines += 1;
        let number = seq.unsigned_abs();
        let follows = link(self.ring, &self.before, seq, (&tenant, &path), &written);
        if number != self.lines || follows[..] != linked[..] {
            self.faults.push(AuditFault::Broken(number));
            self.lines = number; // One fault is told once.
        }
        self.contained |= self.noted.is_some_and(|noted| noted.eq_ignore_ascii_case(&hex(&linked)));
        match sealed {
            None => self.missing.push((number, path)),
            sealed => match self.value(tenant, &path, sealed, &written) {
                Some(value) if path.starts_with(ERASED) => {
                    let numbers = serde_json::from_str::<Vec<u64>>(&value);
                    self.erased.extend(numbers.unwrap_or_default());
                }
                Some(_) => {}
                None => self.faults.push(AuditFault::Changed(number, path)),
            },
        }
        self.before = linked;
    }

    /// What it comes to. `strangers`: lines that are no part of the chain; `last`: what is noted of its end;
    /// `used`: whether anybody but the host itself has rows.
    pub(crate) fn over(
        mut self,
        strangers: Vec<String>,
        last: Option<(i64, Vec<u8>)>,
        used: bool,
    ) -> AuditReport {
        let (told, untold): (Vec<_>, Vec<_>) =
            self.missing.into_iter().partition(|(number, _)| self.erased.contains(number));
        let removed = untold.into_iter().map(|(number, path)| AuditFault::Removed(number, path));
        self.faults.extend(removed);
        self.faults.extend(strangers.into_iter().map(AuditFault::Added));
        let whole = match last {
            Some((seq, mac)) => {
                seq.unsigned_abs() == self.lines && end(self.ring, seq, &self.before)[..] == mac[..]
            }
            // The first thing that anybody does is noted.
            None => self.lines == 0 && !used,
        };
        if !whole {
            self.faults.push(AuditFault::CutOff(self.lines));
        }
        if let Some(noted) = self.noted.filter(|_| !self.contained) {
            self.faults.push(AuditFault::NotContained(noted.to_owned()));
        }
        AuditReport {
            lines: self.lines,
            erased: told.len() as u64,
            head: hex(&self.before),
            faults: self.faults,
        }
    }
}
