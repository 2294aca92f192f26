//! What is made of groups of digits: payment cards, national numbers, phone numbers, IPv4
//! addresses. A run is a series of groups with little between them; each beginning is tried with
//! each end that could matter.

mod address;

use std::cell::OnceCell;

use super::digits::{is_card, is_itin, is_nhs, is_routing, is_ssn, may_be_card, number};
use super::scan::{Gap, Group, Initials, Scan};
use super::words::{Topic, Topics};
use super::{Candidate, Kind, Reason};

/// Speaks against a phone number when it is nearer than a word for one.
const NOT_A_PHONE: Topics = Topics::of(&[
    Topic::Numbered,
    Topic::Version,
    Topic::Product,
    Topic::Device,
    Topic::Ssn,
    Topic::Itin,
    Topic::Routing,
    Topic::Iban,
    Topic::Passport,
    Topic::Birth,
    Topic::Nhs,
    Topic::Secret,
    Topic::Address,
]);

/// `digits` is room to work in.
pub(super) fn find(scan: &Scan, digits: &mut Vec<u8>, found: &mut Vec<Candidate>) {
    let groups = scan.groups;
    let spoken = scan.speaks_of(Topics::of(&[Topic::Phone, Topic::Nhs]));
    let mut first = 0;
    while first < groups.len() {
        let (mut end, mut count) = (first + 1, groups[first].len());
        while end < groups.len() && groups[end].gap != Gap::Far {
            count += groups[end].len();
            end += 1;
        }
        // Most runs are too short for anything.
        if count >= FEWEST || end - first >= QUAD {
            digits.clear();
            for group in &groups[first..end] {
                digits.extend(scan.bytes[group.start..group.end].iter().map(|b| b - b'0'));
            }
            let mut digits = digits.as_slice();
            let next = OnceCell::new();
            for one in first..end {
                from(scan, one, digits, (spoken, &next), found);
                digits = &digits[groups[one].len()..];
            }
        }
        first = end;
    }
    glued(scan, found);
}

/// The most groups of one number: a payment card, read out digit by digit.
const PIECES: usize = 19;
/// Fewer digits are no number of anybody's, but for addresses.
const FEWEST: usize = 7;

/// The groups of an address.
const QUAD: usize = 4;

/// Numbers that begin with a group, whose digits and those after them are given. `spoken`: the text
/// speaks of what may be in many small groups; and which word comes next, which is the same for all of a run: no word
/// stands within it.
fn from(
    scan: &Scan,
    first: usize,
    digits: &[u8],
    (spoken, next): (bool, &OnceCell<usize>),
    found: &mut Vec<Candidate>,
) {
    let groups = scan.groups;
    let Group { start, gap, .. } = groups[first];
    let piece = gap.is_tight();
    let mut plus = false;
    let mut known = false;
    let mut n = 0;
    let mut small = true; // No line ended so far.
    let called = OnceCell::new();
    for last in first..groups.len().min(first + PIECES) {
        let group = groups[last];
        if last > first {
            match group.gap {
                Gap::Small(_) | Gap::Loose(_) => {}
                Gap::Line => small = false,
                Gap::Far => break,
            }
        }
        n += group.len();
        let pieces = last - first + 1;
        // Most of what stands between others of its kind is nothing by itself.
        if n > 19 || piece && (n > 10 && pieces > 1 || pieces > QUAD && !spoken) {
            break;
        }
        let run = Run {
            scan,
            groups: &groups[first..=last],
            digits: &digits[..n],
            last,
            plus,
            piece,
            called: (next, &called),
        };
        if n < FEWEST && !run.is_address() {
            continue;
        }
        if !known {
            if is_masked_tail(scan, start) || in_identifier(scan, start) {
                return;
            }
            (plus, known) = (has_plus(scan, start), true);
        }
        // Of many small groups a card is made, and else only what a word names.
        if pieces > QUAD && !spoken && !plus {
            cards(scan, first, last, digits, piece, found);
            return;
        }
        let run = Run { plus, ..run };
        if piece && !matches!(pieces, 1 | QUAD) && n != 10 || run.continues_identifier() {
            continue;
        }
        run.card(found);
        if small {
            run.national(found);
            run.phone(found);
            run.address(found);
        }
    }
}

/// Payment cards in many groups, which end with the group `from` or a later one.
fn cards(
    scan: &Scan,
    first: usize,
    from: usize,
    digits: &[u8],
    piece: bool,
    found: &mut Vec<Candidate>,
) {
    let groups = scan.groups;
    if !may_be_card(digits) {
        return;
    }
    let mut n = 0;
    for last in first..groups.len().min(first + PIECES) {
        n += groups[last].len();
        if last > first && groups[last].gap == Gap::Far || n > 19 {
            return;
        }
        if last < from || !is_card(&digits[..n]) {
            continue;
        }
        let (groups, digits) = (&groups[first..=last], &digits[..n]);
        let called = (&OnceCell::new(), &OnceCell::new());
        let run = Run { scan, groups, digits, last, plus: false, piece, called };
        if !run.continues_identifier() {
            run.card(found);
        }
    }
}

/// `***-***-1234`: what was left of something masked. One to four asterisks are a bullet, or bold.
fn is_masked_tail(scan: &Scan, start: usize) -> bool {
    const REACH: usize = 24;
    const FEWEST: usize = 5;
    let before = scan.bytes[..start].iter().rev().take(REACH);
    let masked = before.take_while(|b| matches!(b, b'*' | b'-' | b' ' | b'.'));
    masked.filter(|b| **b == b'*').count() >= FEWEST
}

/// `a1b2c3d4-1234-...`: part of an identifier of letters and digits joined by dashes.
fn in_identifier(scan: &Scan, start: usize) -> bool {
    if scan.byte_before(start) != Some(b'-') {
        return false;
    }
    let (mut letters, mut digits) = (false, false);
    for byte in scan.bytes[..start - 1].iter().rev().take(24) {
        match byte {
            b'0'..=b'9' => digits = true,
            b'a'..=b'z' | b'A'..=b'Z' => letters = true,
            b'-' | b'_' => {}
            _ => break,
        }
        if letters && digits {
            return true;
        }
    }
    false
}

struct Run<'s, 't> {
    scan: &'s Scan<'t>,
    groups: &'s [Group],
    digits: &'s [u8],
    last: usize,
    /// A `+` stands in front.
    plus: bool,
    /// Joined tightly to the group in front.
    piece: bool,
    /// The word that comes after it, and what the words before say of a phone number that begins here. The same for all
    /// that begin here.
    called: (&'s OnceCell<usize>, &'s OnceCell<Option<bool>>),
}

fn has_plus(scan: &Scan, start: usize) -> bool {
    matches!(scan.bytes[..start], [.., b'+'] | [.., b'+', b'(' | b' '])
}

impl Run<'_, '_> {
    fn start(&self) -> usize {
        self.groups[0].start
    }

    fn end(&self) -> usize {
        self.groups[self.groups.len() - 1].end
    }

    fn lengths(&self, expected: &[usize]) -> bool {
        self.groups.len() == expected.len()
            && self.groups.iter().zip(expected).all(|(group, n)| group.len() == *n)
    }

    /// The signs between the groups, where they are all the same.
    fn separator(&self) -> Option<u8> {
        let [_, rest @ ..] = self.groups else { return None };
        let gap = rest.first()?.gap;
        let (Gap::Small(sign) | Gap::Loose(sign)) = gap else { return None };
        rest.iter().all(|group| group.gap == gap).then_some(sign)
    }

    /// Goes on into letters after a dash, as a UUID does.
    fn continues_identifier(&self) -> bool {
        let Some([b'-', rest @ ..]) = self.scan.bytes.get(self.end()..) else { return false };
        let (mut letters, mut digits) = (false, false);
        for byte in rest.iter().take(13) {
            match byte {
                b'0'..=b'9' => digits = true,
                b'a'..=b'z' | b'A'..=b'Z' => letters = true,
                _ => break,
            }
        }
        letters && digits
    }

    /// A tight neighbour: another group joined by the same sign, so that this is only a piece.
    fn is_piece(&self) -> bool {
        let next = self.scan.groups.get(self.last + 1);
        self.piece || next.is_some_and(|next| next.gap.is_tight())
    }

    fn push(&self, found: &mut Vec<Candidate>, kind: Kind, rule: &'static str, reason: Reason) {
        found.push(Candidate { kind, rule, reason, start: self.start(), end: self.end() });
    }

    fn about(&self, wanted: Topics, against: Topics) -> bool {
        self.scan.is_about(self.start(), self.end(), wanted, against)
    }

    fn card(&self, found: &mut Vec<Candidate>) {
        let pieces = self.groups.len();
        if self.digits.len() < 12 || self.plus || pieces > 1 && self.piece {
            return;
        }
        if !is_card(self.digits) {
            return;
        }
        // Small change between single digits is no card; groups of one are read out loud.
        // `4929 0465 4576 5185/11/27`
        let dated =
            self.separator() != Some(b'/')
                && !self.piece
                && self.scan.groups.get(self.last + 1).is_some_and(|next| {
                    next.gap == Gap::Small(b'/') && matches!(next.len(), 2 | 4)
                });
        if pieces > 1
            && (self.is_piece() && !dated || self.groups.iter().any(|g| g.len() < 2) && pieces < 12)
        {
            return;
        }
        if self.about(Topics::of(&[Topic::Device]), Topics::NONE) {
            return;
        }
        self.push(found, Kind::CreditCard, "card.issuer", Reason::Checksum);
    }

    fn national(&self, found: &mut Vec<Candidate>) {
        let n = self.digits.len();
        let number = |range| number(self.digits, range);
        if n == 9 {
            let (area, group, serial) = (number(0..3), number(3..5), number(5..9));
            let grouped = self.lengths(&[3, 2, 4])
                && self.separator().is_some_and(|b| b != b'/')
                && !self.is_piece()
                && !(self.scan.byte(self.end()) == Some(b'-')
                    && self.scan.byte(self.end() + 1).is_some_and(|b| b.is_ascii_alphanumeric()));
            let bare = self.groups.len() == 1;
            if is_ssn(area, group, serial) {
                if grouped {
                    self.push(found, Kind::UsSsn, "ssn.grouped", Reason::Range);
                } else if (bare || self.groups.len() <= 3)
                    && self.about(
                        Topics::of(&[Topic::Ssn]),
                        Topics::of(&[Topic::Numbered, Topic::Routing, Topic::Itin, Topic::Phone]),
                    )
                {
                    self.push(found, Kind::UsSsn, "ssn.word", Reason::Word);
                }
            }
            if is_itin(area, group)
                && (grouped
                    || bare
                        && self.about(
                            Topics::of(&[Topic::Itin]),
                            Topics::of(&[Topic::Numbered, Topic::Routing, Topic::Phone]),
                        ))
            {
                self.push(found, Kind::UsItin, "itin.range", Reason::Range);
            }
            if bare
                && is_routing(self.digits)
                && self.about(
                    Topics::of(&[Topic::Routing]),
                    Topics::of(&[Topic::Ssn, Topic::Itin, Topic::Phone]),
                )
            {
                self.push(found, Kind::UsBankRouting, "routing.checksum", Reason::Checksum);
            }
        }
        if n == 10 && is_nhs(self.digits) && !self.plus {
            let grouped = self.lengths(&[3, 3, 4])
                && self.separator() == Some(b' ')
                && !self.about(Topics::of(&[Topic::Phone]), Topics::of(&[Topic::Nhs]));
            let said =
                self.about(Topics::of(&[Topic::Nhs]), Topics::of(&[Topic::Phone, Topic::Numbered]));
            if said || grouped && !self.is_piece() {
                self.push(found, Kind::UkNhs, "nhs.checksum", Reason::Checksum);
            }
        }
    }

    fn phone(&self, found: &mut Vec<Candidate>) {
        let n = self.digits.len();
        if !(7..=15).contains(&n) {
            return;
        }
        let bytes = self.scan.bytes;
        let mut start = self.start();
        let plus = self.plus;
        if !plus && self.is_piece() {
            return;
        }
        if plus || self.scan.byte_before(start) == Some(b'(') {
            while start > 0
                && (matches!(bytes[start - 1], b'+' | b'(') || plus && bytes[start - 1] == b' ')
            {
                start -= 1;
                if bytes[start] == b'+' {
                    break;
                }
            }
        }
        let end = self.end();
        let mut push =
            |rule, reason| found.push(Candidate { kind: Kind::Phone, rule, reason, start, end });
        if plus {
            // What follows is taken in as long as it is written the same way.
            let north_american = self.digits[0] == 1;
            let fits = if north_american { n == 11 } else { (8..=15).contains(&n) };
            // `09:12:44 +0000 4412`
            let is_zone = self.groups[0].len() == 4
                && matches!(bytes[..start], [.., b':', b'0'..=b'5', b'0'..=b'9', b' ']);
            if is_zone {
                return;
            }
            let glued_plus =
                start > 0 && super::scan::wordy_before(bytes, start) && !self.is_called_at(start);
            if fits && !glued_plus && self.written_evenly() {
                push("phone.plus", Reason::Prefix);
            }
            return;
        }
        let few = self.groups.len() <= QUAD;
        if !few && n < 15 && self.is_read_on() {
            return;
        }
        if !few && !self.scan.speaks_of(Topics::of(&[Topic::Phone])) || self.is_date() {
            return;
        }
        let digits = self.digits;
        let national = match digits {
            [1, rest @ ..] if n == 11 => rest,
            [0, 0, 1, rest @ ..] if n == 13 => rest,
            _ => digits,
        };
        let grouped = self.lengths(&[3, 3, 4])
            || self.lengths(&[1, 3, 3, 4])
            || self.lengths(&[3, 7]) && self.scan.byte_before(self.start()) == Some(b'(');
        if grouped
            && national.len() == 10
            && national[0] >= 2
            && national[3] >= 2
            && !self.about(
                Topics::of(&[Topic::Version, Topic::Product, Topic::Device]),
                Topics::of(&[Topic::Phone]),
            )
        {
            push("phone.nanp", Reason::Range);
            return;
        }
        if self.is_address() || self.is_decimal() {
            return;
        }
        // One blank apart, a number of its own may follow: `555 0132 2 times`.
        if self.groups.iter().skip(1).any(|g| g.len() < 2) && self.groups.len() < 4 {
            return;
        }
        // `RK/118/2025`, a file's number.
        if self.scan.byte_before(self.start()) == Some(b'/') {
            return;
        }
        if self.is_called_phone() && (!self.is_quantity() || self.is_named()) {
            push("phone.word", Reason::Word);
        }
    }

    /// Whether a number that is read out digit by digit goes on: it is then found with its next digit.
    /// Nothing may come in between for which the longer one is none.
    fn is_read_on(&self) -> bool {
        let single =
            |group: &Group| group.len() == 1 && matches!(group.gap, Gap::Small(_) | Gap::Loose(_));
        let mut after = self.scan.groups[self.last + 1..].iter();
        self.groups.last().is_some_and(|last| last.len() == 1)
            && after.next().is_some_and(|next| {
                single(next) && !matches!(self.scan.byte(next.end), Some(b'%' | b'-'))
            })
            && !after.next().is_some_and(|next| next.gap.is_tight())
    }

    /// Whether a word for a phone ends here.
    fn is_called_at(&self, at: usize) -> bool {
        let hits = &self.scan.hits[..self.scan.hit_after(at)];
        hits.last().is_some_and(|hit| hit.topic == Topic::Phone && hit.end == at)
    }

    fn is_called_phone(&self) -> bool {
        const PHONE: Topics = Topics::of(&[Topic::Phone]);
        if !self.scan.speaks_of(PHONE) {
            return false;
        }
        let (next, before) = self.called;
        let next = *next.get_or_init(|| self.scan.hit_after(self.start()));
        let before =
            *before.get_or_init(|| self.scan.said_before(next, self.start(), PHONE, NOT_A_PHONE));
        before.unwrap_or_else(|| self.scan.said_after(next, self.end(), PHONE, NOT_A_PHONE))
    }

    /// Whether the last group still belongs to an international number that could end before it:
    /// it does if it is set apart as one before it is.
    fn written_evenly(&self) -> bool {
        let Some(last) = self.groups.len().checked_sub(2) else { return true };
        let without = self.digits.len() - self.groups[last + 1].len();
        let sign = |i: usize| self.groups[i + 1].gap;
        without < 10 || (0..last).any(|i| sign(i) == sign(last))
    }

    /// A date or a date with a time.
    fn is_date(&self) -> bool {
        let number = |range| number(self.digits, range);
        let begins = |lengths: &[usize]| {
            self.groups.len() >= lengths.len()
                && self.groups.iter().zip(lengths).all(|(g, n)| g.len() == *n)
        };
        (begins(&[4, 2, 2])
            && matches!(number(0..4), 1900..=2100)
            && number(4..6) <= 12
            && number(6..8) <= 31)
            || (begins(&[2, 2, 4]) && matches!(number(4..8), 1900..=2100))
            || self.is_date_and_hour()
            || (self.groups.len() == 1
                && self.digits.len() == 8
                && matches!(number(0..4), 1900..=2100)
                && matches!(number(4..6), 1..=12)
                && matches!(number(6..8), 1..=31))
            || (self.groups.len() == 1
                && self.digits.len() == 14
                && matches!(number(0..4), 1990..=2100)
                && matches!(number(4..6), 1..=12))
    }

    /// `3/2/2026 14`, `02/03/26 14`, of which the minutes follow.
    fn is_date_and_hour(&self) -> bool {
        let [day, month, year, ..] = self.groups else { return false };
        let sign = |group: &Group| match group.gap {
            Gap::Small(sign) | Gap::Loose(sign) => Some(sign),
            _ => None,
        };
        let signs = (sign(month), sign(year));
        if signs.0 != signs.1 || !matches!(signs.0, Some(b'/' | b'.' | b'-')) {
            return false;
        }
        let at = day.len() + month.len();
        if day.len() > 2 || month.len() > 2 || number(self.digits, 0..day.len()) > 31 {
            return false;
        }
        match year.len() {
            4 => matches!(number(self.digits, at..at + 4), 1900..=2100),
            2 => {
                self.groups.len() == 4
                    && sign(&self.groups[3]) == Some(b' ')
                    && self.scan.byte(self.end()) == Some(b':')
            }
            _ => false,
        }
    }

    /// `1234567 rows`, `40.712776, -74.005974`, and seconds since 1970: near a word for a phone, and not named by it.
    fn is_quantity(&self) -> bool {
        let bytes = self.scan.bytes;
        let thousands = self.groups.len() > 1 && self.groups[1..].iter().all(|g| g.len() == 3);
        let bare = self.groups.len() == 1;
        if bare || thousands {
            let rest = bytes[self.end()..].get(..12).unwrap_or(&bytes[self.end()..]);
            let word = rest.strip_prefix(b" ").unwrap_or_default();
            let word = word.split(|b| !b.is_ascii_alphabetic()).next().unwrap_or_default();
            let unit = word.to_ascii_lowercase();
            let is_rate = thousands && unit == b"per";
            if is_rate
                || matches!(
                    unit.as_slice(),
                    b"rows"
                        | b"bytes"
                        | b"kb"
                        | b"mb"
                        | b"gb"
                        | b"ms"
                        | b"ns"
                        | b"us"
                        | b"times"
                        | b"calls"
                        | b"users"
                        | b"files"
                        | b"records"
                        | b"requests"
                        | b"messages"
                        | b"seconds"
                        | b"minutes"
                        | b"items"
                        | b"events"
                        | b"lines"
                        | b"hits"
                        | b"packets"
                        | b"units"
                )
            {
                return true;
            }
        }
        let is_epoch = bare && self.digits.len() == 10 && matches!(self.digits, [1, 5..=9, ..]);
        let fraction = self.groups.len() == 2
            && self.separator() == Some(b'.')
            && self.groups[0].len() <= 3
            && self.groups[1].len() >= 4;
        let follows = bytes[self.end()..].starts_with(b", ")
            && bytes.get(self.end() + 2).is_some_and(|b| *b == b'-' || b.is_ascii_digit());
        let behind = self.scan.byte_before(self.start()) == Some(b'-')
            || matches!(bytes[..self.start()], [.., b'0'..=b'9', b',', b' ']);
        is_epoch || fraction && (follows || behind)
    }

    /// Whether a word for a phone stands right in front: `phone: 1234567`.
    fn is_named(&self) -> bool {
        let hits = &self.scan.hits[..self.scan.hit_after(self.start())];
        let Some(hit) = hits.last().filter(|hit| self.scan.is_noun(hit)) else {
            return hits.is_empty() && self.scan.key == Some(Topic::Phone);
        };
        let between = self.scan.bytes.get(hit.end..self.start()).unwrap_or_default();
        between.len() <= 4 && between.iter().all(|b| matches!(b, b' ' | b':' | b'=' | b'.' | b'('))
    }

    /// `1234567.89`, a price or a measure.
    fn is_decimal(&self) -> bool {
        let before = self.scan.byte_before(self.start());
        before == Some(b'$')
            || before == Some(b'#') && !self.is_called_at(self.start() - 1)
            || self.scan.byte(self.end()) == Some(b'%')
            || self.groups.len() == 2 && self.separator() == Some(b'.') && self.groups[1].len() <= 2
            // A fraction of a second, a decimal comma.
            || before == Some(b',') || before == Some(b'.')
    }
}

/// Numbers that begin or end in letters: NINO, and device numbers aside.
fn glued(scan: &Scan, found: &mut Vec<Candidate>) {
    if scan.sums.initials {
        nino(scan, scan.glued, found);
        nino(scan, scan.groups, found);
        iban(scan, found);
    }
    if scan.sums.long {
        called(scan, found);
    }
}

/// `tel4155550132`, `mobile07700900123`: a word for a phone is written at the number.
fn called(scan: &Scan, found: &mut Vec<Candidate>) {
    /// `HP4155550132` is a printer.
    const LEAST: usize = 3;
    for group in scan.glued.iter().filter(|group| (FEWEST..=15).contains(&group.len())) {
        let hits = &scan.hits[..scan.hit_after(group.start)];
        let is_word = hits.last().is_some_and(|hit| {
            hit.topic == Topic::Phone && hit.end == group.start && hit.end - hit.start >= LEAST
        });
        if is_word && !super::scan::wordy_at(scan.bytes, group.end) {
            let Group { start, end, .. } = *group;
            let (kind, reason) = (Kind::Phone, Reason::Word);
            found.push(Candidate { kind, rule: "phone.word", reason, start, end });
        }
    }
}

/// Two letters, six digits in one group or in twos, a letter.
fn nino(scan: &Scan, groups: &[Group], found: &mut Vec<Candidate>) {
    for group in groups {
        // The letters in front, perhaps one blank away.
        let gap = match group.initials {
            Initials::None => continue,
            Initials::Joined => 0,
            Initials::Apart => 1,
        };
        if !matches!(group.len(), 6 | 2) {
            continue;
        }
        let bytes = scan.bytes;
        let Some(start) = group.start.checked_sub(gap + 2) else { continue };
        let prefix = [bytes[start], bytes[start + 1]];
        let mut at = group.start;
        let mut digits = 0;
        while digits < 6 {
            match bytes.get(at) {
                Some(b'0'..=b'9') => digits += 1,
                Some(b' ' | b'-') if digits > 0 && digits % 2 == 0 => {}
                _ => break,
            }
            at += 1;
        }
        if digits < 6 {
            continue;
        }
        at += usize::from(matches!(bytes.get(at), Some(b' ' | b'-')));
        let Some(suffix) = bytes.get(at).copied() else { continue };
        let end = at + 1;
        // `AB123456C-01`, a part's.
        let goes_on =
            bytes.get(end) == Some(&b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if goes_on || super::scan::wordy_at(bytes, end) || !super::digits::is_nino(prefix, suffix) {
            continue;
        }
        let upper = prefix.iter().all(u8::is_ascii_uppercase) && suffix.is_ascii_uppercase();
        if upper || scan.is_about(start, end, Topics::of(&[Topic::Nino]), Topics::NONE) {
            let reason = if upper { Reason::Range } else { Reason::Word };
            found.push(Candidate { kind: Kind::UkNino, rule: "nino.prefix", reason, start, end });
        }
    }
}

/// Country, two check digits, and groups of letters and digits.
fn iban(scan: &Scan, found: &mut Vec<Candidate>) {
    for group in scan.glued {
        if group.len() < 2 || group.initials != Initials::Joined {
            continue;
        }
        let bytes = scan.bytes;
        let Some(start) = group.start.checked_sub(2) else { continue };
        let Some(length) = super::digits::iban_length(&bytes[start..group.start]) else { continue };
        let mut text = Vec::with_capacity(length);
        let mut at = start;
        while text.len() < length {
            match bytes.get(at) {
                Some(b) if b.is_ascii_alphanumeric() => text.push(*b),
                // One blank or dash, and only between groups of four.
                Some(b' ' | b'-')
                    if !text.is_empty()
                        && text.len() % 4 == 0
                        && bytes[at - 1].is_ascii_alphanumeric() => {}
                _ => break,
            }
            at += 1;
        }
        if text.len() < length || super::scan::wordy_at(bytes, at) || !super::digits::is_iban(&text)
        {
            continue;
        }
        let lower = text[..2].iter().any(u8::is_ascii_lowercase);
        if !lower || scan.is_about(start, at, Topics::of(&[Topic::Iban]), Topics::NONE) {
            found.push(Candidate {
                kind: Kind::Iban,
                rule: "iban.mod97",
                reason: Reason::Checksum,
                start,
                end: at,
            });
        }
    }
}
