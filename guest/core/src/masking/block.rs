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
