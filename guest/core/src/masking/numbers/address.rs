//! Numbers in four groups: addresses, and the versions that only look like them.

use super::super::scan::{Group, wordy, wordy_before};
use super::super::words::{Topic, Topics};
use super::super::{Candidate, Kind, Reason};
use super::{QUAD, Run, number};

/// Versions in a list, one after the other.
const LIST: usize = 12;

impl Run<'_, '_> {
    /// `version 1.2.3.4`, `build is 1.2.3.4`, `from 1.2.3.4 to 1.2.3.5`: a word for it, with no other
    /// number and no end of a clause between, or with nothing but such a number; or the next one after such a number.
    fn is_version(&self) -> bool {
        const VERSION: Topics = Topics::of(&[Topic::Version, Topic::Product]);
        let by_name = self.scan.key == Some(Topic::Version);
        if self.is_marked() {
            return true;
        }
        if !self.scan.speaks_of(VERSION) {
            return false;
        }
        let mut first = self.last + 1 - QUAD;
        for _ in 0..LIST {
            let start = self.scan.groups[first].start;
            if let Some(is_one) = self.is_called_version(start) {
                return is_one;
            }
            let Some(before) = first.checked_sub(QUAD) else { return by_name };
            if !self.goes_on(before, first) {
                return by_name;
            }
            first = before;
        }
        by_name
    }

    /// `V 1.2.3.4`, `name-1.2.3.4.tar.gz`
    fn is_marked(&self) -> bool {
        let (bytes, start) = (self.scan.bytes, self.start());
        let of_letter = matches!(bytes[..start], [.., b'v' | b'V', b' '])
            && (start == 2 || !wordy_before(bytes, start - 2));
        let rest = bytes[self.end()..].get(..5).unwrap_or_default();
        let of_file =
            [&b".tar."[..], b".zip", b".deb", b".rpm", b".exe", b".msi", b".jar", b".whl"]
                .iter()
                .any(|end| rest.starts_with(end));
        of_letter || of_file
    }

    /// What the words before a number in four groups say of it; nothing if they are too far away.
    fn is_called_version(&self, start: usize) -> Option<bool> {
        let bytes = self.scan.bytes;
        let hits = &self.scan.hits[..self.scan.hits.partition_point(|hit| hit.start < start)];
        let named = |topic| matches!(topic, Topic::Version | Topic::Product | Topic::Address);
        let hit = hits.iter().rev().take(8).find(|hit| named(hit.topic) && hit.end <= start)?;
        if hit.topic == Topic::Address {
            return Some(false);
        }
        if !self.scan.near(hit.end, start, 48) {
            return None;
        }
        let between = &bytes[hit.end..start];
        let is_label = between.iter().all(|b| b.is_ascii_whitespace() || *b == b':');
        let ends = between.iter().any(|b| matches!(b, b';' | b',' | b'\n'));
        let numbers =
            between.split(|b| !b.is_ascii_digit()).filter(|group| !group.is_empty()).count();
        if ends && !is_label || !matches!(numbers, 0 | 3 | 4) || between.len() - numbers > 30 {
            return None;
        }
        // `firmware on 10.1.2.3`, `patch applied to 10.1.2.3`: of whom it is, not which.
        let word = between.trim_ascii_end().rsplit(|b| !b.is_ascii_alphabetic()).next();
        let word = word.unwrap_or_default().to_ascii_lowercase();
        let moves = [&b"upgrad"[..], b"releas"]
            .iter()
            .any(|stem| bytes[hit.start..hit.end].to_ascii_lowercase().starts_with(stem));
        let is_whose = match word.as_slice() {
            b"on" | b"at" | b"device" | b"client" | b"agent" | b"host" | b"node" | b"trap" => true,
            b"of" | b"for" | b"by" | b"with" => hit.topic == Topic::Product,
            b"to" | b"from" => hit.topic == Topic::Product && !moves && numbers == 0,
            _ => false,
        };
        Some(!is_whose)
    }

    /// Whether one number in four groups follows another in a list: `1.2.3.4, 1.2.3.5 and 1.2.3.6`.
    fn goes_on(&self, before: usize, next: usize) -> bool {
        let (groups, bytes) = (&self.scan.groups[before..next + QUAD], self.scan.bytes);
        let dotted =
            |four: &[Group]| four.windows(2).all(|two| bytes[two[0].end..two[1].start] == *b".");
        if !dotted(&groups[..QUAD]) {
            return false;
        }
        let between = &bytes[groups[QUAD - 1].end..groups[QUAD].start];
        if between.len() > 24 || between.contains(&b'\n') {
            return false;
        }
        let joins = |word: &[u8]| {
            matches!(
                word,
                b"and" | b"or" | b"to" | b"then" | b"und" | b"oder" | b"et" | b"y" | b"e" | b"v"
            )
        };
        let mut words = between.split(|b| !b.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        let same = |i: usize| {
            bytes[groups[i].start..groups[i].end]
                == bytes[groups[QUAD + i].start..groups[QUAD + i].end]
        };
        words.clone().all(joins) || words.by_ref().count() <= 3 && (0..3).all(same)
    }

    pub(super) fn is_address(&self) -> bool {
        self.groups.len() == QUAD
            && self.groups.windows(2).all(|two| self.scan.bytes[two[0].end..two[1].start] == *b".")
            && self.groups.iter().all(|g| g.len() <= 3)
    }

    pub(super) fn address(&self, found: &mut Vec<Candidate>) {
        if !self.is_address() {
            return;
        }
        let bytes = self.scan.bytes;
        let mut octets = [0u32; 4];
        let mut at = 0;
        for (octet, group) in octets.iter_mut().zip(self.groups) {
            *octet = number(self.digits, at..at + group.len());
            at += group.len();
            // Versions have leading zeros, addresses do not.
            if *octet > 255 || (group.len() > 1 && bytes[group.start] == b'0') {
                return;
            }
        }
        let dotted = |next: Option<u8>, beyond: Option<u8>| {
            next == Some(b'.') && beyond.is_some_and(|b| b.is_ascii_digit())
        };
        if dotted(
            self.scan.byte_before(self.start()),
            self.start().checked_sub(2).and_then(|i| self.scan.byte(i)),
        ) || dotted(self.scan.byte(self.end()), self.scan.byte(self.end() + 1))
        {
            return; // An object identifier, a section.
        }
        let loopback = octets[0] == 127 || octets == [0; 4] || octets[0] == 255;
        if loopback {
            return;
        }
        // `Chrome/120.0.0.0`, but not `https://10.0.0.1` and not `/10.0.0.1`.
        if self.scan.byte_before(self.start()) == Some(b'/')
            && self.start() >= 2
            && wordy(bytes[self.start() - 2])
        {
            return;
        }
        if matches!(
            self.scan.byte_before(self.start()),
            Some(b'-' | b'=' | b'<' | b'>' | b'~' | b'^')
        ) && self.start() >= 2
            && matches!(bytes[self.start() - 2], b'=' | b'<' | b'>' | b'~' | b'-')
        {
            return; // `>=1.2.3.4`
        }
        let network = self.scan.byte(self.end()) == Some(b'/')
            && self.scan.byte(self.end() + 1).is_some_and(|b| b.is_ascii_digit());
        if !network && self.is_version() {
            return;
        }
        self.push(found, Kind::IpAddress, "ip.v4", Reason::Range);
    }
}
