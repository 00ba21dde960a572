//! The asynchronous TLS stream: what passes through it, and how it ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::io::ErrorKind;
use std::time::Duration;
use support::mutual;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::net::{TcpListener, TcpStream};
use touchstone_drive::{ConnectError, TlsStream};
use touchstone_tls::{Error, ServerName};

const LONG: usize = 10 << 20;

fn name() -> ServerName {
    ServerName::parse("127.0.0.1").unwrap()
}

/// A pair over a pipe that holds `room` octets.
async fn pair(room: usize) -> (TlsStream<DuplexStream>, TlsStream<DuplexStream>) {
    let (client, server) = mutual();
    let (near, far) = duplex(room);
    let name = name();
    let (client, server) =
        tokio::join!(TlsStream::connect(near, &client, &name), TlsStream::accept(far, &server));
    (client.unwrap(), server.unwrap())
}

async fn tcp_pair() -> (TlsStream<TcpStream>, TlsStream<TcpStream>) {
    let (client, server) = mutual();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let name = name();
    let (client, server) =
        tokio::join!(TlsStream::connect(near, &client, &name), TlsStream::accept(far, &server));
    (client.unwrap(), server.unwrap())
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap() ^ seed).collect()
}

/// Writes all and reads all at the same time, in two tasks' worth of futures.
async fn both_ways<IO: AsyncRead + AsyncWrite + Unpin>(
    stream: TlsStream<IO>,
    say: Vec<u8>,
) -> Vec<u8> {
    let (mut reader, mut writer) = split(stream);
    let write = async {
        writer.write_all(&say).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let read = async { reader.read_to_end(&mut heard).await.unwrap() };
    tokio::join!(write, read);
    heard
}

#[tokio::test]
async fn ten_megabytes_pass_both_ways_at_once() {
    let (client, server) = tcp_pair().await;
    let (up, down) = (pattern(LONG, 0), pattern(LONG, 0x55));
    let (at_client, at_server) =
        tokio::join!(both_ways(client, up.clone()), both_ways(server, down.clone()));
    assert!(at_client == down && at_server == up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_and_writer_on_different_threads_never_lose_a_wakeup() {
    // A pipe smaller than a record makes every write wait.
    let (client, server) = pair(700).await;
    let (up, down) = (pattern(1 << 20, 1), pattern(1 << 20, 2));
    let task = |stream: TlsStream<DuplexStream>, say: Vec<u8>| async move {
        let (mut reader, mut writer) = split(stream);
        let writing = tokio::spawn(async move {
            writer.write_all(&say).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).await.unwrap();
        writing.await.unwrap();
        heard
    };
    let near = tokio::spawn(task(client, up.clone()));
    let far = tokio::spawn(task(server, down.clone()));
    let both = async { (near.await.unwrap(), far.await.unwrap()) };
    let (at_client, at_server) =
        tokio::time::timeout(Duration::from_mins(1), both).await.expect("a wakeup was lost");
    assert!(at_client == down && at_server == up);
}

#[tokio::test]
async fn an_end_that_writes_without_reading_does_not_keep_the_other_from_reading() {
    // Both fill the pipe before either reads: only what has arrived can make room.
    let (mut client, mut server) = pair(64 * 1024).await;
    let say = pattern(40_000, 3);
    client.write_all(&say).await.unwrap();
    server.write_all(&say).await.unwrap();
    let flush = async { tokio::join!(client.flush(), server.flush()) };
    let _ = tokio::time::timeout(Duration::from_millis(200), flush).await;
    let mut heard = vec![0; say.len()];
    for stream in [&mut server, &mut client] {
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, say);
    }
}

#[tokio::test]
async fn small_writes_arrive_after_a_flush_in_order() {
    let (mut client, mut server) = pair(4096).await;
    let mut heard = [0; 4];
    for round in 0..1000u32 {
        client.write_all(&round.to_be_bytes()).await.unwrap();
        client.flush().await.unwrap();
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, round.to_be_bytes());
    }
}

#[tokio::test]
async fn one_half_closed_leaves_the_other_open() {
    let (mut client, mut server) = tcp_pair().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);

    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    heard.clear();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"answer");
}

#[tokio::test]
async fn a_peer_that_vanishes_is_an_error_and_not_an_end() {
    let (mut client, mut server) = pair(4096).await;
    client.write_all(b"half of").await.unwrap();
    client.flush().await.unwrap();
    drop(client);
    let mut heard = Vec::new();
    let error = server.read_to_end(&mut heard).await.unwrap_err();
    assert_eq!(heard, b"half of");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let inner = error.get_ref().unwrap().downcast_ref::<Error>();
    assert_eq!(inner, Some(&Error::Truncated));
    assert!(server.write_all(&pattern(1 << 20, 0)).await.is_err());
}

#[tokio::test]
async fn each_end_knows_the_other() {
    let (client, server) = pair(4096).await;
    assert_eq!(client.peer_certificates().len(), 1);
    assert_eq!(server.peer_certificates().len(), 1);
    assert_eq!(client.alpn(), None);
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up() {
    let ca = support::Authority::new("root");
    let quick = Duration::from_millis(50);
    let client = touchstone_tls::ClientSetup::new(&ca.roots()).handshake_timeout(quick);
    let (near, _far) = duplex(64); // not even the hello fits
    let error = TlsStream::connect(near, &client.build().unwrap(), &name()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(Error::TimedOut)), "{error:?}");
    assert_eq!(error.code(), "tls.timed-out");
}

#[tokio::test]
async fn a_peer_that_is_refused_hears_why() {
    let (client, _) = mutual();
    let (_, server) = mutual(); // of another authority
    let (near, far) = duplex(4096);
    let name = name();
    let (client, server) =
        tokio::join!(TlsStream::connect(near, &client, &name), TlsStream::accept(far, &server));
    assert_eq!(
        client.unwrap_err().to_string(),
        "the peer's certificate has a signature that does not verify"
    );
    let server = server.unwrap_err();
    assert!(matches!(server, ConnectError::Tls(Error::Alert(_))), "{server:?}");
}

#[tokio::test]
async fn http_passes_as_hyper_speaks_it() {
    use http_body_util::{BodyExt, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;

    let (client, server) = tcp_pair().await;
    tokio::spawn(async move {
        let echo = service_fn(|request: Request<Incoming>| async {
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Response::new(Full::new(body)))
        });
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), echo)
            .await
            .unwrap();
    });
    let io = TokioIo::new(client);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    for len in [0, 1, 100, 16_384, 1 << 20] {
        let body = Bytes::from(pattern(len, 9));
        let request = Request::post("/").header("host", "x").body(Full::new(body.clone())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
    }
}
