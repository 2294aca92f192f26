//! IPv6 addresses. IPv4 is made of groups of digits: `numbers`.

use std::net::Ipv6Addr;

use super::scan::{Scan, wordy_at, wordy_before};
use super::{Candidate, Kind, Reason};

/// `ffff:...:255.255.255.255`, the longest.
const LONGEST: usize = 45;

pub(super) fn find(scan: &Scan, found: &mut Vec<Candidate>) {
    for colon in scan.colons {
        let bytes = scan.bytes;
        let mut start = *colon;
        while start > 0 && *colon - start < 5 && bytes[start - 1].is_ascii_hexdigit() {
            start -= 1;
        }
        let mut end = *colon;
        while end < bytes.len()
            && end - start <= LONGEST
            && (bytes[end].is_ascii_hexdigit() || matches!(bytes[end], b':' | b'.'))
        {
            end += 1;
        }
        while end > start
            && (bytes[end - 1] == b'.' || bytes[end - 1] == b':' && !bytes[..end].ends_with(b"::"))
        {
            end -= 1;
        }
        if wordy_before(bytes, start) || wordy_at(bytes, end) || bytes.get(end) == Some(&b':') {
            continue;
        }
        let Some(address) =
            std::str::from_utf8(&bytes[start..end]).ok().and_then(|t| t.parse::<Ipv6Addr>().ok())
        else {
            continue;
        };
        // `a::b` is a name in several languages; an address has a digit and more than two groups,
        // or is meant as one.
        let digits = bytes[start..end].iter().any(u8::is_ascii_digit);
        // Eight pairs are the name of a device.
        if end - start == 23 && bytes[start..end].split(|b| *b == b':').all(|pair| pair.len() == 2)
        {
            continue;
        }
        if address.is_loopback() || address.is_unspecified() || !digits || end - start < 6 {
            continue;
        }
        found.push(Candidate {
            kind: Kind::IpAddress,
            rule: "ip.v6",
            reason: Reason::Shape,
            start,
            end,
        });
    }
}
