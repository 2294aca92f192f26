//! What stands between Firn and its database: it passes everything on, until it is told to break connections, or to
//! let a commit reach the server and its answer reach nobody.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Inner {
    /// So many commits are still to lose their answer.
    to_lose: AtomicU32,
    lost: AtomicU32,
    open: Mutex<Vec<TcpStream>>,
}

/// A way to a server that can be broken.
pub(crate) struct Breaking {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

impl Breaking {
    pub(crate) fn before(server: u16) -> Breaking {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner::default());
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                pass(client, server, &shared);
            }
        });
        Breaking { address, inner }
    }

    /// Every connection that is open breaks.
    pub(crate) fn break_all(&self) {
        for stream in self.inner.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The next commit is committed, and nobody hears of it.
    pub(crate) fn lose_a_commits_answer(&self) {
        self.inner.to_lose.store(1, Ordering::SeqCst);
    }

    /// How often a commit's answer was lost.
    pub(crate) fn lost(&self) -> u32 {
        self.inner.lost.load(Ordering::SeqCst)
    }
}

/// Both directions of one connection.
fn pass(client: TcpStream, server: TcpStream, inner: &Arc<Inner>) {
    let both = || Some((client.try_clone().ok()?, server.try_clone().ok()?));
    let (Some((from, to)), Some((open, _))) = (both(), both()) else { return };
    inner.open.lock().unwrap().push(open);
    let shared = Arc::clone(inner);
    // Whether what the server says next is the answer that is to be lost.
    let losing = Arc::new(AtomicU32::new(0));
    let of_this = Arc::clone(&losing);
    std::thread::spawn(move || {
        copy(from, to, |bytes| {
            let commits = bytes.windows(7).any(|part| part == b"COMMIT\0");
            let take = |n: u32| n.checked_sub(1);
            let order = Ordering::SeqCst;
            if commits && shared.to_lose.fetch_update(order, order, take).is_ok() {
                of_this.store(1, order);
            }
            true
        });
    });
    let shared = Arc::clone(inner);
    std::thread::spawn(move || {
        copy(server, client, |bytes| {
            // The answer to a commit that took effect says so.
            let done = bytes.windows(7).any(|part| part == b"COMMIT\0");
            let loses = done && losing.load(Ordering::SeqCst) == 1;
            if loses {
                shared.lost.fetch_add(1, Ordering::SeqCst);
            }
            !loses
        });
    });
}

/// Passes on what comes, as long as it may; then both ends are closed.
fn copy(mut from: TcpStream, mut to: TcpStream, may: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || !may(&buffer[..n]) || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
