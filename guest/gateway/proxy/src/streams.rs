//! Bytes from and to streams of `wasi:io`, waiting as long as it takes.

use wasip2::io::streams::{InputStream, OutputStream};

/// What one write may have at most, says the interface.
const PIECE: usize = 4096;
/// What one read asks for.
const READ: u64 = 64 << 10;

/// Everything, if it is no more than `most` bytes. A stream that breaks off ends.
pub(crate) fn read(stream: &InputStream, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Ok(more) = stream.blocking_read(READ) {
        bytes.extend_from_slice(&more);
        if bytes.len() > most {
            return None;
        }
    }
    Some(bytes)
}

/// Writes until the end, or until nobody listens any more.
pub(crate) fn write(stream: &OutputStream, bytes: &[u8]) {
    for piece in bytes.chunks(PIECE) {
        if stream.blocking_write_and_flush(piece).is_err() {
            return;
        }
    }
}

/// Lets one stream run into the other.
pub(crate) fn pass(from: &InputStream, to: &OutputStream) {
    while to.blocking_splice(from, READ).is_ok() {}
    let _ = to.blocking_flush();
}
