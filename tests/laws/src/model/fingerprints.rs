//! A set of fingerprints that holds a hundred million of them: open addressing, eight bytes each.

/// A set of 64-bit fingerprints.
#[derive(Default)]
pub(crate) struct Fingerprints {
    /// Zero is an empty place; a fingerprint of zero is kept as one.
    places: Vec<u64>,
    held: usize,
}

impl Fingerprints {
    /// Whether it is new.
    pub(crate) fn insert(&mut self, fingerprint: u64) -> bool {
        if self.held * 4 >= self.places.len() * 3 {
            self.grow();
        }
        let new = place(&mut self.places, fingerprint.max(1));
        self.held += usize::from(new);
        new
    }

    fn grow(&mut self) {
        let larger = vec![0; (self.places.len() * 2).max(1 << 12)];
        for fingerprint in std::mem::replace(&mut self.places, larger) {
            if fingerprint != 0 {
                place(&mut self.places, fingerprint);
            }
        }
    }
}

fn place(places: &mut [u64], fingerprint: u64) -> bool {
    let mask = places.len() - 1;
    let mut at = usize::try_from(fingerprint >> 7).unwrap_or(0) & mask;
    loop {
        let Some(here) = places.get_mut(at) else { return false };
        if *here == fingerprint {
            return false;
        }
        if *here == 0 {
            *here = fingerprint;
            return true;
        }
        at = (at + 1) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let mut held = Fingerprints::default();
        let all = (0..20_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for fingerprint in all.clone() {
            assert!(held.insert(fingerprint));
        }
        for fingerprint in all {
            assert!(!held.insert(fingerprint));
        }
        assert!(!held.insert(0), "zero is kept as one");
    }
}
