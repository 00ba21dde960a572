//! The accepting loop: bounded, and deaf to those who do not shake hands.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use touchstone_drive::{TlsStream, serve};
use touchstone_tls::{ClientAuth, ClientConfig, ClientSetup, ServerName, ServerSetup};

const LIMIT: usize = 2;

struct Server {
    address: std::net::SocketAddr,
    client: ClientConfig,
    refused: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

/// A server for two at a time, that sends back the first octet it hears.
async fn server() -> Server {
    let ca = Authority::new("root");
    let config = ServerSetup::new(ca.issue("127.0.0.1").identity(), ClientAuth::None)
        .handshake_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let task = tokio::spawn(serve(
        listener,
        LIMIT,
        move || config.clone(),
        move |stream, _peer| {
            let count = Arc::clone(&count);
            async move {
                let Ok(mut stream) = stream else {
                    count.fetch_add(1, Ordering::Relaxed);
                    return;
                };
                let octet = stream.read_u8().await.unwrap();
                stream.write_all(&[octet]).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        },
        async {
            let _ = stopped.await;
        },
    ));
    let client = ClientSetup::new(&ca.roots()).build().unwrap();
    Server { address, client, refused, stop, task }
}

impl Server {
    async fn connect(&self) -> TlsStream<TcpStream> {
        let io = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::from(self.address.ip());
        TlsStream::connect(io, &self.client, &name).await.unwrap()
    }
}

async fn echo(mut stream: TlsStream<TcpStream>) {
    stream.write_all(b"!").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'!');
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_for_a_place() {
    let server = server().await;
    let (first, _second) = (server.connect().await, server.connect().await);
    let third = tokio::time::timeout(Duration::from_millis(150), server.connect()).await;
    assert!(third.is_err(), "there are only {LIMIT} places");
    echo(first).await;
    echo(server.connect().await).await;
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "it no longer listens");
}

#[tokio::test]
async fn silent_peers_lose_their_places() {
    let server = server().await;
    let _silent = (
        TcpStream::connect(server.address).await.unwrap(),
        TcpStream::connect(server.address).await.unwrap(),
    );
    let echoed = async { echo(server.connect().await).await };
    tokio::time::timeout(Duration::from_secs(5), echoed).await.expect("the places come free");
    assert_eq!(server.refused.load(Ordering::Relaxed), 2);
}
