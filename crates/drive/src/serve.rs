//! Accepting TLS connections, so many at a time.

use crate::{ConnectError, TlsStream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use touchstone_tls::ServerConfig;

/// How long to stay away from a listener that fails, for want of file descriptors for example.
const BREATHER: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` is ready, at most `limit` at a time, and gives each to `handle`
/// once its handshake is done or has failed. The connections that are open at the end are dropped.
///
/// `config` is asked for every connection, so that a renewed certificate needs no restart. The
/// configuration bounds the handshake's time; `handle` bounds what follows.
pub async fn serve<Handle, Handling>(
    listener: TcpListener,
    limit: usize,
    config: impl Fn() -> ServerConfig,
    handle: Handle,
    stop: impl Future<Output = ()>,
) where
    Handle: Fn(Result<TlsStream<TcpStream>, ConnectError>, SocketAddr) -> Handling
        + Clone
        + Send
        + 'static,
    Handling: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limit));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let next = async {
            // The semaphore is never closed; without a place nothing is accepted.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = &mut stop => return,
            Some(_) = connections.join_next() => {}
            (place, accepted) = next => match accepted {
                Ok((io, peer)) => {
                    let (config, handle) = (config(), handle.clone());
                    connections.spawn(async move {
                        let _place = place;
                        let _ = io.set_nodelay(true); // only slower without
                        let stream = TlsStream::accept(io, &config).await;
                        let handling = handle(stream, peer);
                        handling.await;
                    });
                }
                Err(_) => tokio::time::sleep(BREATHER).await,
            },
        }
    }
}
