//! Bytes by the block: of which kind each of them is, a bit each. Nothing here depends on what is there, so that
//! a block takes the same time whatever it says.

use wide::u8x16;

/// So many bytes are looked at together.
pub(super) const BLOCK: usize = 64;

/// Some bytes that follow each other.
#[derive(Clone, Copy)]
pub(super) struct Block([u8x16; 4]);

impl Block {
    /// The first bytes of a text; behind its end there are zeros.
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Block {
        if let Some(whole) = bytes.first_chunk() {
            return Block::whole(whole);
        }
        let mut block = [0; BLOCK];
        block[..bytes.len()].copy_from_slice(bytes);
        Block::whole(&block)
    }

    #[inline]
    fn whole(bytes: &[u8; BLOCK]) -> Block {
        let (lanes, _) = bytes.as_chunks();
        Block(std::array::from_fn(|i| u8x16::new(lanes[i])))
    }

    /// Of which bytes something is so: the first one's is the lowest bit.
    #[inline]
    pub(super) fn is(&self, so: impl Fn(Lanes) -> Lanes) -> u64 {
        self.0
            .iter()
            .rev()
            .fold(0, |all, lanes| all << 16 | u64::from(so(Lanes(*lanes)).0.to_bitmask()))
    }
}

/// Sixteen bytes; or sixteen answers, each all ones or zero.
#[derive(Clone, Copy)]
pub(super) struct Lanes(u8x16);

impl Lanes {
    #[inline]
    pub(super) fn is(self, byte: u8) -> Lanes {
        Lanes(self.0.simd_eq(u8x16::splat(byte)))
    }

    #[inline]
    pub(super) fn within(self, low: u8, high: u8) -> Lanes {
        Lanes((self.0 - u8x16::splat(low)).simd_lt(u8x16::splat(high - low + 1)))
    }

    /// Letters of ASCII in lower case; of other bytes others.
    #[inline]
    pub(super) fn lower(self) -> Lanes {
        Lanes(self.0 | u8x16::splat(0x20))
    }
}

impl std::ops::BitOr for Lanes {
    type Output = Lanes;

    #[inline]
    fn bitor(self, other: Lanes) -> Lanes {
        Lanes(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte in every place, whole blocks and the last, shorter ones.
    #[test]
    fn each_bit_is_what_is_so_of_its_byte() {
        let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for (from, to) in (0..bytes.len()).flat_map(|from| [(from, bytes.len()), (from, from + 5)])
        {
            let some = &bytes[from..to.min(bytes.len())];
            let block = Block::of(some);
            let each = |so: fn(u8) -> bool| {
                some.iter().take(BLOCK).zip(0..).fold(0, |all, (b, i)| all | u64::from(so(*b)) << i)
            };
            assert_eq!(block.is(|b| b.is(b'-')), each(|b| b == b'-'));
            assert_eq!(block.is(|b| b.within(b'0', b'9')), each(|b| b.is_ascii_digit()));
            assert_eq!(block.is(|b| b.within(0xC0, 0xFF)), each(|b| b >= 0xC0));
            assert_eq!(
                block.is(|b| b.lower().within(b'a', b'z') | b.is(b'@')),
                each(|b| b.is_ascii_alphabetic() || b == b'@')
            );
        }
    }
}
