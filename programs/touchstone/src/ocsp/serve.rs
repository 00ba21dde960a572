//! `touchstone ocsp serve`: a responder (RFC 6960 appendix A) for the CA in a folder. It follows the
//! CA's records: a revocation is answered for from the next request on.

use crate::answer::{Answer, Answered, Failure};
use crate::ca::{Known, Standing};
use crate::cert;
use crate::files;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, Response as HttpResponse, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use touchstone_certs::ocsp::{self, Request, Responder, Status, Trouble};
use touchstone_certs::{Certificate, Error};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

/// Octets of a request; one about 32 certificates is far smaller.
const LARGEST: usize = 64 * 1024;
/// How long a client may be over a request.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_CONNECTIONS: usize = 256;

/// What a responder answers with.
struct Desk {
    dir: PathBuf,
    issuer: Certificate,
    certificate: Certificate,
    key: SoftSigner,
    holds: u64,
    known: Mutex<Known>,
}

pub(super) fn run(
    dir: &Path,
    listen: SocketAddr,
    responder: Option<(&Path, &str)>,
    minutes: u64,
) -> Answered {
    let issuer = cert::read(&dir.join("ca.pem"))?.remove(0);
    let own = format!("file:{}", dir.join("ca.key").display());
    let (certificate, reference) = match responder {
        Some((path, key)) => (cert::read(path)?.remove(0), key.to_owned()),
        None => (issuer.clone(), own),
    };
    let pem = files::read_secret(&reference, "--key")?;
    let key = SoftSigner::from_pkcs8_pem(&pem).map_err(|error| {
        Failure::unknown(error.code(), error, "give the responder's key in PKCS#8 PEM")
    })?;
    let refused = |error: Error| {
        let next = "issue one: touchstone ca issue DIR --profile ocsp-signing ..";
        Failure::unknown(error.code(), format!("this is no responder of the CA's: {error}"), next)
    };
    Responder::new(&AwsLc, &issuer, &certificate, &key, files::now()?).map_err(refused)?;
    let known = Mutex::new(Known::read(dir)?);
    let holds = minutes.saturating_mul(60);
    let desk = Arc::new(Desk { dir: dir.to_owned(), issuer, certificate, key, holds, known });
    let platform = |error: std::io::Error| {
        let message = format!("cannot listen on {listen}: {error}");
        Failure::unknown("touchstone.ocsp.listen", message, "give another --listen")
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(platform)?;
    runtime.block_on(serve(listen, desk)).map_err(platform)?;
    Ok(Answer::new("touchstone.ocsp.serve/1").word("ended as told"))
}

/// Serves until it is told to end.
async fn serve(listen: SocketAddr, desk: Arc<Desk>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listener = TcpListener::bind(listen).await?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "http://{}/", listener.local_addr()?)?;
        out.flush()?;
    }
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        // Out of file descriptors, usually: connections that end make room.
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(move |request| answer(Arc::clone(&desk), request));
            // A client that goes away early has had what it wanted.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

async fn answer(
    desk: Arc<Desk>,
    request: HttpRequest<Incoming>,
) -> Result<HttpResponse<Full<Bytes>>, std::convert::Infallible> {
    let asked = match *request.method() {
        Method::GET => Request::from_path(request.uri().path().trim_start_matches('/')).ok(),
        Method::POST => posted(request).await,
        _ => return Ok(told(StatusCode::METHOD_NOT_ALLOWED, Vec::new())),
    };
    let der = match asked {
        Some(asked) => desk.respond(&asked).unwrap_or_else(|failure| {
            let _ = writeln!(std::io::stderr(), "{failure}");
            ocsp::error_response(Trouble::InternalError)
        }),
        None => ocsp::error_response(Trouble::MalformedRequest),
    };
    Ok(told(StatusCode::OK, der))
}

async fn posted(request: HttpRequest<Incoming>) -> Option<Request> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind != ocsp::REQUEST_TYPE.as_bytes()) {
        return None;
    }
    let body = Limited::new(request.into_body(), LARGEST).collect();
    let body = tokio::time::timeout(PATIENCE, body).await.ok()?.ok()?.to_bytes();
    Request::decode(&body).ok()
}

fn told(status: StatusCode, der: Vec<u8>) -> HttpResponse<Full<Bytes>> {
    let mut response = HttpResponse::new(Full::new(Bytes::from(der)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(ocsp::RESPONSE_TYPE));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

impl Desk {
    fn respond(&self, request: &Request) -> Result<Vec<u8>, Failure> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // What cannot be read now is not answered for from what was read before.
        known.follow(&self.dir)?;
        let now = files::now()?;
        let failed =
            |error: Error| Failure::unknown(error.code(), error, "look at the CA's folder");
        let responder = Responder::new(&AwsLc, &self.issuer, &self.certificate, &self.key, now);
        responder
            .map_err(failed)?
            .respond(&AwsLc, request, now, now.saturating_add(self.holds), |serial| {
                match known.standing(serial) {
                    Standing::Good => Status::Good,
                    Standing::Revoked { at, reason } => Status::Revoked { at, reason },
                    Standing::Unknown => Status::Unknown,
                }
            })
            .map_err(failed)
    }
}
