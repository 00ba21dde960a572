//! TLS on the listeners, and the fleet's own certificates for it: issued by its CA for a month,
//! replaced every day, never on the disk, each with its status stapled to it.

use crate::authority::{Authority, For, alternative_name, common_name};
use crate::serve::{Peer, Upgrade};
use crate::store::Store;
use crate::{Error, clock};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
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
        let binding = stream.channel_binding();
        Ok((stream, Peer { address, certificates, binding }))
    }
}

/// Makes a fresh key and a certificate of ours for it.
pub async fn identity(
    authority: &Authority,
    store: &Store,
    what: For,
    name: &str,
    names: &[String],
) -> Result<(Identity, Certificate), Error> {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)
        .map_err(Error::crypto("a TLS key"))?;
    let names = names.iter().map(|name| alternative_name(name)).collect();
    let profile = authority.needs_profile(what.name())?;
    let subject = common_name(name)?;
    let issued = authority.issue(profile, subject, names, key.spki_der(), LIFETIME).await?;
    let new = issued.row(None);
    store.call(move |db| db.add_certificate(&new, clock::now())).await?;
    let chain: Vec<Vec<u8>> =
        authority.chain(&issued.certificate).iter().map(|one| one.der().to_vec()).collect();
    let identity =
        Identity::from_signer(&chain, Arc::new(key)).map_err(Error::crypto("a TLS identity"))?;
    Ok((identity, issued.certificate))
}

/// What a listener shows, and whom it lets show something.
struct Face {
    authority: Arc<Authority>,
    store: Store,
    names: Vec<String>,
    roots: Vec<Certificate>,
}

/// TLS for a listener, kept fresh until `stop`. Clients may show certificates under `roots`.
pub async fn listener(
    authority: Arc<Authority>,
    store: Store,
    names: Vec<String>,
    roots: Vec<Certificate>,
    mut stop: watch::Receiver<bool>,
) -> Result<Tls, Error> {
    let face = Face { authority, store, names, roots };
    let mut held = face.identity().await?;
    let mut made = Instant::now();
    let (sender, receiver) = watch::channel(face.configuration(&held).await?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(face.authority.staples_hold() / 2) => {}
                () = crate::serve::stopped(&mut stop) => return,
            }
            if made.elapsed() >= REPLACED {
                match face.identity().await {
                    Ok(new) => (held, made) = (new, Instant::now()),
                    Err(error) => tracing::error!(%error, "the TLS certificate was not replaced"),
                }
            }
            match face.configuration(&held).await {
                Ok(config) => drop(sender.send_replace(config)),
                Err(error) => tracing::error!(%error, "the TLS configuration was not replaced"),
            }
        }
    });
    Ok(Tls(receiver))
}

impl Face {
    async fn identity(&self) -> Result<(Identity, Certificate), Error> {
        let name = self.names.first().map_or("fleet", String::as_str);
        identity(&self.authority, &self.store, For::Server, name, &self.names).await
    }

    /// With the status of the certificate stapled to it.
    async fn configuration(
        &self,
        (identity, certificate): &(Identity, Certificate),
    ) -> Result<ServerConfig, Error> {
        let mut identity = identity.clone();
        match self.authority.staple(&self.store, certificate).await {
            Ok(status) => identity = identity.with_ocsp_response(&status.octets),
            // Whoever insists on it will refuse us, and says so.
            Err(error) => tracing::error!(%error, "nothing is stapled to the TLS certificate"),
        }
        let auth = if self.roots.is_empty() {
            ClientAuth::None
        } else {
            ClientAuth::Optional(self.roots.iter().map(|root| root.der().to_vec()).collect())
        };
        ServerSetup::new(identity, auth)
            .alpn(&[HTTP])
            .build()
            .map_err(Error::crypto("the TLS configuration"))
    }
}
