//! TLS on the listeners, and the fleet's own certificates for it: issued by its CA for a month,
//! replaced every day, never on the disk.

use crate::authority::{Authority, For, alternative_name, row};
use crate::serve::{Peer, Upgrade};
use crate::store::Store;
use crate::{Error, clock};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use touchstone_certs::Certificate;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::SoftSigner;
use touchstone_drive::TlsStream;
use touchstone_tls::{ClientAuth, Identity, ServerConfig, ServerSetup};

/// How long a certificate of the fleet's own is valid, in seconds.
const LIFETIME: u64 = 30 * 86400;
/// How often it is replaced.
const REPLACED: Duration = Duration::from_hours(24);
/// HTTP/1.1 (RFC 7301 §6).
const HTTP: &[u8] = b"http/1.1";

/// TLS with whatever configuration is in force.
#[derive(Clone)]
pub struct Tls(watch::Receiver<ServerConfig>);

impl Upgrade for Tls {
    type Io = TlsStream<TcpStream>;

    async fn upgrade(
        &self,
        socket: TcpStream,
        address: SocketAddr,
    ) -> io::Result<(Self::Io, Peer)> {
        let config = self.0.borrow().clone();
        let stream = TlsStream::accept(socket, &config).await.map_err(io::Error::other)?;
        let certificates = stream.peer_certificates().to_vec().into();
        Ok((stream, Peer { address, certificates }))
    }
}

/// Makes a fresh key and a certificate of ours for it.
pub async fn identity(
    authority: &Authority,
    store: &Store,
    what: For,
    common_name: &str,
    names: &[String],
) -> Result<Identity, Error> {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)
        .map_err(Error::crypto("a TLS key"))?;
    let names = names.iter().map(|name| alternative_name(name)).collect();
    let certificate = authority.issue(what, common_name, names, key.spki_der(), LIFETIME)?;
    let new = row(&certificate, what, None)?;
    store.call(move |db| db.add_certificate(&new, clock::now())).await?;
    let chain = [certificate.der().to_vec(), authority.issuing().der().to_vec()];
    Identity::from_signer(&chain, Arc::new(key)).map_err(Error::crypto("a TLS identity"))
}

/// TLS for a listener, kept fresh until `stop`. Clients may show certificates under `roots`.
pub async fn listener(
    authority: Arc<Authority>,
    store: Store,
    names: Vec<String>,
    roots: Vec<Certificate>,
    mut stop: watch::Receiver<bool>,
) -> Result<Tls, Error> {
    let first = configuration(&authority, &store, &names, &roots).await?;
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(REPLACED) => {}
                () = crate::serve::stopped(&mut stop) => return,
            }
            match configuration(&authority, &store, &names, &roots).await {
                Ok(config) => drop(sender.send_replace(config)),
                Err(error) => tracing::error!(%error, "the TLS certificate was not replaced"),
            }
        }
    });
    Ok(Tls(receiver))
}

async fn configuration(
    authority: &Authority,
    store: &Store,
    names: &[String],
    roots: &[Certificate],
) -> Result<ServerConfig, Error> {
    let name = names.first().map_or("fleet", String::as_str);
    let identity = identity(authority, store, For::Server, name, names).await?;
    let auth = if roots.is_empty() {
        ClientAuth::None
    } else {
        ClientAuth::Optional(roots.iter().map(|root| root.der().to_vec()).collect())
    };
    ServerSetup::new(identity, auth)
        .alpn(&[HTTP])
        .build()
        .map_err(Error::crypto("the TLS configuration"))
}
