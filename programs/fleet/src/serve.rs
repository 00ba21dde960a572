//! Listeners: accept, bound, hand to hyper, end in good order.

use crate::Error;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower_service::Service;

/// A client that is so long over the head of a request is not one.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// How long open connections may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its certificate chain, leaf first; empty without one.
    pub certificates: Arc<[Vec<u8>]>,
    /// What binds a message to its connection (RFC 9266); none without TLS.
    pub binding: Option<[u8; 32]>,
}

/// Returns when the program is to end.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever could say so is gone: that is the end as well.
    let _ = stop.wait_for(|stop| *stop).await.is_ok();
}

/// Listens on `address`; port 0 takes a free one.
pub async fn listen(what: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    let failed =
        |error| Error::Network { what: format!("{what}: cannot listen on {address}"), error };
    TcpListener::bind(address).await.map_err(failed)
}

/// Makes a connection's stream out of a socket: TLS, or nothing.
pub trait Upgrade: Clone + Send + 'static {
    /// What it makes.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Makes it, and says who is there.
    fn upgrade(
        &self,
        socket: TcpStream,
        address: SocketAddr,
    ) -> impl Future<Output = Result<(Self::Io, Peer), std::io::Error>> + Send;
}

/// No TLS.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Upgrade for Plain {
    type Io = TcpStream;

    async fn upgrade(
        &self,
        socket: TcpStream,
        address: SocketAddr,
    ) -> Result<(TcpStream, Peer), std::io::Error> {
        Ok((socket, Peer { address, certificates: Arc::new([]), binding: None }))
    }
}

/// Serves until `stop`, with at most `connections` at once; then waits for what is open.
pub async fn serve<U: Upgrade>(
    listener: TcpListener,
    upgrade: U,
    router: Router,
    connections: usize,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit,
            () = stopped(&mut stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, usually: connections that end make room.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (upgrade, router, stop) = (upgrade.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            let _permit = permit;
            connection(socket, address, upgrade, router, stop).await;
        });
    }
    drop(listener);
    let all = u32::try_from(connections.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    if tokio::time::timeout(GRACE, room.acquire_many(all)).await.is_err() {
        tracing::debug!("connections were still open at the end");
    }
}

async fn connection<U: Upgrade>(
    socket: TcpStream,
    address: SocketAddr,
    upgrade: U,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are small and awaited.
    let _ = socket.set_nodelay(true);
    let upgraded = tokio::time::timeout(HEAD_TIME, upgrade.upgrade(socket, address)).await;
    let (io, peer) = match upgraded {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => return tracing::info!(%address, %error, "no TLS connection"),
        Err(_) => return tracing::info!(%address, "no TLS connection in time"),
    };
    let service =
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            router.clone().call(request)
        });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(64)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "connection ended");
    }
}
