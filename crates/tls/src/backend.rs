//! rustls, and the only file that knows it.

use crate::config::{ClientSetup, Common, ServerSetup, Shown, StatusCheck, WallClock};
use crate::error::{Alert, CertificateFault};
use crate::name::Kind;
use crate::{ClientAuth, ConfigError, Error, ServerName, StatusFault};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, DnsName, PrivateKeyDer, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{CertificateError, InconsistentKeys, OtherError, SignatureScheme};
use std::fmt;
use std::io::{BufRead, Read, Write};
use std::sync::Arc;
use touchstone_crypto::{SignatureAlgorithm, Signer};

pub(crate) type ClientConfig = Arc<rustls::ClientConfig>;
pub(crate) type ServerConfig = Arc<rustls::ServerConfig>;

/// The certificates of a PEM text in DER, in their order. Other blocks are passed over; a text
/// without any certificate is an error.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<Vec<u8>>, ConfigError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ConfigError::BadPem),
    }
}

pub(crate) fn check_dns_name(name: &str) -> Result<(), ConfigError> {
    DnsName::try_from(name).map(drop).map_err(|_| ConfigError::BadName)
}

// --- configurations ---

pub(crate) fn client_config(setup: ClientSetup) -> Result<ClientConfig, ConfigError> {
    let provider = provider();
    let believed = |who| Arc::new(Believed { provider: Arc::clone(&provider), who });
    let verifier: Arc<dyn ServerCertVerifier> = if setup.provisional {
        believed(Who::Anybody)
    } else {
        let roots = roots(&setup.roots)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let verifier = verifier.build().map_err(|_| ConfigError::NoRoots)?;
        match setup.status {
            Some(status) => believed(Who::Known { verifier, status }),
            None => verifier,
        }
    };
    let builder = rustls::ClientConfig::builder_with_details(provider, clock(&setup.common))
        .with_protocol_versions(versions(&setup.common))
        .map_err(|_| ConfigError::Provider)?
        .dangerous()
        // The library's own verifier, made with our provider and roots: nothing is skipped, unless
        // the caller has asked for a provisional connection by that name.
        .with_custom_certificate_verifier(verifier);
    let mut config = match setup.identity.filter(|_| !setup.provisional) {
        Some(identity) => builder.with_client_cert_resolver(identity.0.resolver()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = setup.common.alpn;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Which server is believed. That it holds the key of what it shows is looked at in either case, by the
/// library.
struct Believed {
    provider: Arc<CryptoProvider>,
    who: Who,
}

enum Who {
    /// RFC 7030 §4.1.1: whoever answers.
    Anybody,
    /// Whom the library's verifier knows, and the client's question about status is content with.
    Known { verifier: Arc<WebPkiServerVerifier>, status: Arc<dyn StatusCheck> },
}

impl ServerCertVerifier for Believed {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &rustls::pki_types::ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Who::Known { verifier, status } = &self.who else {
            return Ok(ServerCertVerified::assertion());
        };
        // It looks at no response itself: it was given no way to judge one.
        let verified =
            verifier.verify_server_cert(leaf, intermediates, name, ocsp_response, now)?;
        let certificates: Vec<&[u8]> =
            std::iter::once(leaf).chain(intermediates).map(AsRef::as_ref).collect();
        let shown = Shown {
            certificates: &certificates,
            ocsp_response: (!ocsp_response.is_empty()).then_some(ocsp_response),
            at: now.as_secs(),
        };
        match status.check(&shown) {
            Ok(()) => Ok(verified),
            Err(StatusFault::Revoked) => {
                Err(rustls::Error::InvalidCertificate(CertificateError::Revoked))
            }
            Err(fault) => Err(rustls::Error::InvalidCertificate(CertificateError::Other(
                OtherError(Arc::new(fault)),
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Believed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.who {
            Who::Anybody => "Believed(Anybody)",
            Who::Known { .. } => "Believed(Known)",
        })
    }
}

pub(crate) fn server_config(setup: ServerSetup) -> Result<ServerConfig, ConfigError> {
    let provider = provider();
    let verifier = match &setup.client_auth {
        ClientAuth::None => WebPkiClientVerifier::no_client_auth(),
        ClientAuth::Optional(trusted) | ClientAuth::Required(trusted) => {
            let builder =
                WebPkiClientVerifier::builder_with_provider(roots(trusted)?, Arc::clone(&provider));
            match &setup.client_auth {
                ClientAuth::Optional(_) => builder.allow_unauthenticated(),
                _ => builder,
            }
            .build()
            .map_err(|_| ConfigError::NoRoots)?
        }
    };
    let mut config = rustls::ServerConfig::builder_with_details(provider, clock(&setup.common))
        .with_protocol_versions(versions(&setup.common))
        .map_err(|_| ConfigError::Provider)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(setup.identity.0.resolver());
    config.alpn_protocols = setup.common.alpn;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// TLS 1.3 and what may stand beside it.
static TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
static TLS13_AND_12: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

fn versions(common: &Common) -> &'static [&'static rustls::SupportedProtocolVersion] {
    if common.tls12 { TLS13_AND_12 } else { TLS13 }
}

fn roots(trusted: &[Vec<u8>]) -> Result<Arc<rustls::RootCertStore>, ConfigError> {
    let mut store = rustls::RootCertStore::empty();
    for root in trusted {
        store.add(CertificateDer::from(root.as_slice())).map_err(|_| ConfigError::BadRoot)?;
    }
    if store.is_empty() { Err(ConfigError::NoRoots) } else { Ok(Arc::new(store)) }
}

fn clock(common: &Common) -> Arc<dyn TimeProvider> {
    match &common.clock {
        Some(clock) => Arc::new(Clock(Arc::clone(clock))),
        None => Arc::new(DefaultTimeProvider),
    }
}

struct Clock(WallClock);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        (self.0)()
            .map(|seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

// --- identities ---

#[derive(Clone)]
pub(crate) struct Identity(Arc<CertifiedKey>);

impl Identity {
    pub(crate) fn from_signer(
        chain: &[Vec<u8>],
        key: Arc<dyn Signer>,
    ) -> Result<Self, ConfigError> {
        let scheme = scheme(key.algorithm()).ok_or(ConfigError::UnsupportedKey)?;
        Self::new(chain, Arc::new(HeldKey { key, scheme }))
    }

    pub(crate) fn from_pem_key(chain: &[Vec<u8>], pem: &[u8]) -> Result<Self, ConfigError> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| ConfigError::BadKey)?;
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| ConfigError::BadKey)?;
        Self::new(chain, key)
    }

    fn new(chain: &[Vec<u8>], key: Arc<dyn SigningKey>) -> Result<Self, ConfigError> {
        if chain.is_empty() {
            return Err(ConfigError::BadChain);
        }
        let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(Self(Arc::new(certified))),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(ConfigError::KeyMismatch)
            }
            Err(_) => Err(ConfigError::BadChain),
        }
    }

    pub(crate) fn with_ocsp_response(&self, response: &[u8]) -> Self {
        let mut certified = (*self.0).clone();
        certified.ocsp = Some(response.to_vec());
        Self(Arc::new(certified))
    }

    fn resolver(self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from((*self.0).clone()))
    }
}

/// A key that another holds, as rustls wants to see it.
#[derive(Clone)]
struct HeldKey {
    key: Arc<dyn Signer>,
    scheme: SignatureScheme,
}

/// RFC 8446 §4.2.3; the PKCS#1 schemes sign only for TLS 1.2.
fn scheme(algorithm: SignatureAlgorithm) -> Option<SignatureScheme> {
    Some(match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureAlgorithm::EcdsaP384Sha384 => SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureAlgorithm::RsaPssSha256 => SignatureScheme::RSA_PSS_SHA256,
        SignatureAlgorithm::RsaPkcs1Sha256 => SignatureScheme::RSA_PKCS1_SHA256,
        SignatureAlgorithm::RsaPkcs1Sha384 => SignatureScheme::RSA_PKCS1_SHA384,
        SignatureAlgorithm::RsaPkcs1Sha512 => SignatureScheme::RSA_PKCS1_SHA512,
        SignatureAlgorithm::Ed25519 => SignatureScheme::ED25519,
        _ => return None,
    })
}

impl SigningKey for HeldKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered.contains(&self.scheme).then(|| Box::new(self.clone()) as _)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.key.spki_der()))
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        match self.key.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::EcdsaP384Sha384 => {
                rustls::SignatureAlgorithm::ECDSA
            }
            SignatureAlgorithm::Ed25519 => rustls::SignatureAlgorithm::ED25519,
            _ => rustls::SignatureAlgorithm::RSA,
        }
    }
}

impl rustls::sign::Signer for HeldKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.key.sign(message).map_err(|why| rustls::Error::Other(OtherError(Arc::new(why))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldKey").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

// --- connections ---

#[derive(Debug)]
pub(crate) struct Connection {
    rustls: rustls::Connection,
    pending: usize,
    peer_has_closed: bool,
}

impl Connection {
    pub(crate) fn client(config: &ClientConfig, name: &ServerName) -> Result<Self, ConfigError> {
        let name = match name.kind() {
            Kind::Ip(address) => rustls::pki_types::ServerName::from(*address),
            Kind::Dns(name) => {
                let name = DnsName::try_from(name.clone()).map_err(|_| ConfigError::BadName)?;
                rustls::pki_types::ServerName::DnsName(name)
            }
        };
        rustls::ClientConnection::new(Arc::clone(config), name)
            .map(|connection| Self::new(connection.into()))
            .map_err(|_| ConfigError::Provider)
    }

    pub(crate) fn server(config: &ServerConfig) -> Result<Self, ConfigError> {
        rustls::ServerConnection::new(Arc::clone(config))
            .map(|connection| Self::new(connection.into()))
            .map_err(|_| ConfigError::Provider)
    }

    fn new(rustls: rustls::Connection) -> Self {
        Self { rustls, pending: 0, peer_has_closed: false }
    }

    pub(crate) fn limit(&mut self, octets: usize) {
        self.rustls.set_buffer_limit(Some(octets));
    }

    /// Takes some octets from the wire's front and works on what is complete.
    pub(crate) fn take(&mut self, wire: &mut &[u8]) -> Result<(), Error> {
        self.rustls.read_tls(wire as &mut dyn Read).map_err(|_| Error::Malformed)?;
        let state = self.rustls.process_new_packets().map_err(|why| error(&why))?;
        self.pending = state.plaintext_bytes_to_read();
        self.peer_has_closed = state.peer_has_closed();
        Ok(())
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// The next octets from the peer: those of one record.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut reader = self.rustls.reader();
        // The error says that there is nothing yet; the end is told by `peer_has_closed`.
        let data = reader.fill_buf().ok().filter(|data| !data.is_empty())?.to_vec();
        reader.consume(data.len());
        self.pending = self.pending.saturating_sub(data.len());
        Some(data)
    }

    /// Writing into memory has no way to fail; a full buffer takes nothing.
    pub(crate) fn send(&mut self, data: &[u8]) -> usize {
        self.rustls.writer().write(data).unwrap_or(0)
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.rustls.wants_write()
    }

    pub(crate) fn put(&mut self, mut buf: &mut [u8]) -> usize {
        self.rustls.write_tls(&mut buf).unwrap_or(0)
    }

    pub(crate) fn send_close_notify(&mut self) {
        self.rustls.send_close_notify();
    }

    /// Makes sure that the peer hears of a handshake's failure, also where rustls has no alert for
    /// it; after an alert this does nothing. Once there is data, an end in good order would be a
    /// lie that makes half an answer look whole.
    pub(crate) fn tell_failure(&mut self) {
        if self.rustls.is_handshaking() {
            self.rustls.send_close_notify();
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    pub(crate) fn peer_has_closed(&self) -> bool {
        self.peer_has_closed
    }

    pub(crate) fn peer_certificates(&self) -> Vec<Vec<u8>> {
        let certificates = self.rustls.peer_certificates().unwrap_or_default();
        certificates.iter().map(|der| der.to_vec()).collect()
    }

    pub(crate) fn channel_binding(&self) -> Option<[u8; 32]> {
        let label = b"EXPORTER-Channel-Binding";
        let tls13 = self.rustls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        tls13.then(|| self.rustls.export_keying_material([0; 32], label, None).ok()).flatten()
    }

    pub(crate) fn alpn(&self) -> Option<Vec<u8>> {
        self.rustls.alpn_protocol().map(<[u8]>::to_vec)
    }
}

fn error(why: &rustls::Error) -> Error {
    use rustls::Error as E;
    match why {
        E::InvalidCertificate(fault) => Error::Certificate(certificate_fault(fault)),
        E::NoCertificatesPresented => Error::NoCertificate,
        E::AlertReceived(alert) => Error::Alert(Alert(u8::from(*alert))),
        E::InvalidMessage(_) | E::DecryptError | E::PeerSentOversizedRecord => Error::Malformed,
        E::InappropriateMessage { .. }
        | E::InappropriateHandshakeMessage { .. }
        | E::PeerMisbehaved(_) => Error::Unexpected,
        E::PeerIncompatible(_) | E::NoApplicationProtocol => Error::Incompatible,
        E::FailedToGetCurrentTime | E::FailedToGetRandomBytes => Error::Platform,
        E::Other(OtherError(why)) => match why.downcast_ref::<touchstone_crypto::Error>() {
            Some(why) => Error::SigningFailed(*why),
            None => Error::Internal,
        },
        _ => Error::Internal,
    }
}

fn certificate_fault(fault: &CertificateError) -> CertificateFault {
    use CertificateError as C;
    match fault {
        C::BadEncoding => CertificateFault::Malformed,
        C::Expired | C::ExpiredContext { .. } => CertificateFault::Expired,
        C::NotValidYet | C::NotValidYetContext { .. } => CertificateFault::NotYetValid,
        C::UnknownIssuer => CertificateFault::UnknownIssuer,
        C::NotValidForName | C::NotValidForNameContext { .. } => CertificateFault::WrongName,
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => CertificateFault::WrongPurpose,
        C::BadSignature => CertificateFault::BadSignature,
        C::Revoked => CertificateFault::Revoked,
        C::Other(OtherError(why)) => match why.downcast_ref::<StatusFault>() {
            Some(fault) => CertificateFault::Status(*fault),
            None => CertificateFault::Unacceptable,
        },
        _ => CertificateFault::Unacceptable,
    }
}
