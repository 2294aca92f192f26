//! The HTTP server: real timeouts and limits around the router. `axum::serve` sets no timer, so
//! that slow headers would stay for ever; hyper's own server is used instead.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};

/// Connections at once.
const CONNECTIONS: usize = 2_048;
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1_024;
/// How long a client may take for its headers.
const HEADERS: Duration = Duration::from_secs(10);
/// How much of a request's head is read at once; twice that is too long, and answered with 431.
const HEAD: usize = 32 << 10;
/// How long a connection may finish what it does when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// A server that listens. Stops when asked.
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Listening {
    /// Takes no new connections, and lets those that are there finish.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// An address that is taken, and at which nobody is answered yet: whoever waits for a port to open would
/// take one that opens and closes again for a server that is ready.
pub(crate) struct Taken(TcpSocket, SocketAddr);

/// Takes an address; port 0 chooses one.
///
/// # Errors
/// When another program is there, or the address is not this machine's.
pub(crate) fn take(address: SocketAddr) -> Result<Taken> {
    let socket = bound(address).with_context(|| unavailable(address))?;
    Ok(Taken(socket, address))
}

fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As a listener does: connections that have ended may still be in the system's memory.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn unavailable(address: SocketAddr) -> String {
    format!("cannot listen on {address}; is another program there?")
}

/// Serves a router at an address; port 0 chooses one.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn listen(address: SocketAddr, router: Router) -> Result<Listening> {
    serve(take(address)?, router)
}

/// Serves a router at an address that was taken before.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) fn serve(Taken(socket, address): Taken, router: Router) -> Result<Listening> {
    let listener = socket.listen(BACKLOG).with_context(|| unavailable(address))?;
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(accept(listener, router, stopped));
    Ok(Listening { address, stop, task })
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of files, most likely: wait for some to be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let mut stopped = stopped.clone();
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .max_headers(100)
                .max_buf_size(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                _ = stopped.changed() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(DRAIN, connection).await;
                }
            }
            drop(slot);
        });
    }
    while connections.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_answered_before_there_is_a_server() {
        let taken = take(([127, 0, 0, 1], 0).into()).unwrap();
        let address = taken.0.local_addr().unwrap();
        std::net::TcpStream::connect(address).unwrap_err();
        let listening = serve(taken, Router::new()).unwrap();
        assert_eq!(listening.address, address);
        std::net::TcpStream::connect(address).unwrap();
        // And another program is told that it is not free.
        let told = take(address).map(|_| ()).unwrap_err().to_string();
        assert!(told.contains("is another program there?"), "{told}");
        listening.stop().await;
        // What has ended stands in nobody's way.
        take(address).unwrap();
    }
}
