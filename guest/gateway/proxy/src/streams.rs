//! Bytes from and to streams of `wasi:io`, waiting as long as it takes. A stream that breaks off is not one that
//! ends.

use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// What one write may have at most, says the interface.
const PIECE: usize = 4096;
/// What one read asks for.
const READ: u64 = 64 << 10;

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is longer than may be.
    TooLong,
    /// It broke off.
    Broken,
}

/// Everything, if it is no more than `most` bytes.
pub(crate) fn read(stream: &InputStream, most: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ) {
            Ok(more) => bytes.extend_from_slice(&more),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(Fault::Broken),
        }
        if bytes.len() > most {
            return Err(Fault::TooLong);
        }
    }
}

/// Writes to the end, if there is somebody who listens that long.
pub(crate) fn write(stream: &OutputStream, bytes: &[u8]) -> bool {
    bytes.chunks(PIECE).all(|piece| stream.blocking_write_and_flush(piece).is_ok())
}

/// Lets one stream run into the other, to its end; false if either broke off before.
pub(crate) fn pass(from: &InputStream, to: &OutputStream) -> bool {
    loop {
        match from.blocking_read(READ) {
            Ok(more) if write(to, &more) => {}
            Ok(_) | Err(StreamError::LastOperationFailed(_)) => return false,
            Err(StreamError::Closed) => return true,
        }
    }
}
