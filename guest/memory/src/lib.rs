//! Comparing memory in a component. `wasm32-unknown-unknown` has no C library, and the `memcmp` that Rust
//! brings for it looks at one byte after the other: in a host that keeps many links in step that was a tenth
//! of the component's time. A component that links this crate compares eight bytes at a time.
//!
//! Nothing else belongs here, and nothing calls it by name: `use firn_memory as _;` is all.
#![allow(unsafe_code)]

use std::cmp::Ordering;

/// The C library's `memcmp`, which every comparison of slices and texts comes down to.
///
/// # Safety
/// `n` bytes can be read at both places. (Nothing is asked of how they are aligned.)
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, n: usize) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { compare(left, right, n) as i32 }
}

/// In which order some bytes stand, as those of a text do.
///
/// # Safety
/// `n` bytes can be read at both places.
#[cfg_attr(not(any(test, target_arch = "wasm32")), expect(dead_code))]
unsafe fn compare(left: *const u8, right: *const u8, n: usize) -> Ordering {
    const EIGHT: usize = size_of::<u64>();
    // SAFETY: it is called for places from which `EIGHT` bytes are within the `n`.
    let eight = |all: *const u8, at: usize| unsafe { all.add(at).cast::<u64>().read_unaligned() };
    let mut at = 0;
    while at + EIGHT <= n {
        let (one, other) = (eight(left, at), eight(right, at));
        if one != other {
            return in_order(one, other);
        }
        at += EIGHT;
    }
    if at < n && n >= EIGHT {
        // The last eight: some of them were looked at, and are the same.
        return in_order(eight(left, n - EIGHT), eight(right, n - EIGHT));
    }
    while at < n {
        // SAFETY: it is within the `n`.
        let (one, other) = unsafe { (*left.add(at), *right.add(at)) };
        if one != other {
            return one.cmp(&other);
        }
        at += 1;
    }
    Ordering::Equal
}

/// The first byte that differs decides.
fn in_order(one: u64, other: u64) -> Ordering {
    u64::from_be_bytes(one.to_ne_bytes()).cmp(&u64::from_be_bytes(other.to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of every length up to some eights, with a difference at each place, and none.
    #[test]
    fn bytes_stand_in_the_order_of_slices() {
        for length in 0..40 {
            let left: Vec<u8> = (0..length).map(|i| 120 + i).collect();
            for place in 0..=usize::from(length) {
                for byte in [0, 1, 119, 130, 255] {
                    let mut right = left.clone();
                    if let Some(at) = right.get_mut(place) {
                        *at = byte;
                    }
                    // SAFETY: both are of that length.
                    let told = unsafe { compare(left.as_ptr(), right.as_ptr(), left.len()) };
                    assert_eq!(told, left.cmp(&right), "{left:?} {right:?}");
                }
            }
        }
    }
}
