//! How to be a client or a server. A configuration is made once and shared by many sessions.

use crate::{ConfigError, Identity, StatusFault, backend};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const SEND_BUFFER: usize = 32 * 1024;

/// The time of day in Unix seconds; `None` where nobody knows it, and then nothing verifies.
pub(crate) type WallClock = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// What both roles can choose.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) tls12: bool,
    pub(crate) clock: Option<WallClock>,
    pub(crate) bounds: Bounds,
}

/// What holds for every session of a configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) handshake_timeout: Duration,
    pub(crate) send_buffer: usize,
}

impl Default for Common {
    fn default() -> Self {
        let bounds = Bounds { handshake_timeout: HANDSHAKE_TIMEOUT, send_buffer: SEND_BUFFER };
        Self { alpn: Vec::new(), tls12: false, clock: None, bounds }
    }
}

macro_rules! common {
    () => {
        /// The application protocols to offer, the preferred first (RFC 7301).
        #[must_use]
        pub fn alpn(mut self, protocols: &[&[u8]]) -> Self {
            self.common.alpn = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            self
        }

        /// Also speaks TLS 1.2, for peers that know no better.
        #[must_use]
        pub fn with_tls12(mut self) -> Self {
            self.common.tls12 = true;
            self
        }

        /// Where the time of day comes from, in Unix seconds, for the validity of certificates. The
        /// system's clock unless this is called; `None` refuses every certificate.
        #[must_use]
        pub fn clock(mut self, clock: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
            self.common.clock = Some(Arc::new(clock));
            self
        }

        /// How long a handshake may take: ten seconds unless this is called.
        #[must_use]
        pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
            self.common.bounds.handshake_timeout = timeout;
            self
        }

        /// Octets that a session keeps for sending before it takes no more: 32 KiB unless this is
        /// called.
        #[must_use]
        pub fn send_buffer(mut self, octets: usize) -> Self {
            self.common.bounds.send_buffer = octets.max(1);
            self
        }
    };
}

/// What a server has shown, when its chain and its name have been found good.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Its certificates in DER, its own first.
    pub certificates: &'a [&'a [u8]],
    /// The OCSP response that it stapled (RFC 6066 §8, RFC 8446 §4.4.2.1), DER.
    pub ocsp_response: Option<&'a [u8]>,
    /// The time of day, in Unix seconds.
    pub at: u64,
}

/// Whether a server's certificate still counts. A session asks; whoever knows of revocation judges.
pub trait StatusCheck: Send + Sync {
    /// `Err` ends the handshake.
    fn check(&self, shown: &Shown<'_>) -> Result<(), StatusFault>;
}

/// What a client wants; [`build`](Self::build) makes a [`ClientConfig`] of it.
#[derive(Clone)]
pub struct ClientSetup {
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) identity: Option<Identity>,
    pub(crate) status: Option<Arc<dyn StatusCheck>>,
    pub(crate) provisional: bool,
    pub(crate) common: Common,
}

impl ClientSetup {
    /// A client that trusts servers under these roots (certificates in DER), and nothing else.
    pub fn new(roots: &[Vec<u8>]) -> Self {
        let (roots, common) = (roots.to_vec(), Common::default());
        Self { roots, identity: None, status: None, provisional: false, common }
    }

    /// A client that speaks with whoever answers, for the one thing that may be taken from anybody:
    /// what is proven another way afterwards (RFC 7030 §4.1.1). It shows no identity.
    pub fn dangerous_provisional() -> Self {
        Self { provisional: true, ..Self::new(&[]) }
    }

    /// Shows this identity to servers that ask for one.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Also asks whether the server's certificate still counts, beyond its chain and its name.
    #[must_use]
    pub fn status_check(mut self, check: Arc<dyn StatusCheck>) -> Self {
        self.status = Some(check);
        self
    }

    common!();

    /// Checks it all.
    pub fn build(self) -> Result<ClientConfig, ConfigError> {
        let bounds = self.common.bounds;
        Ok(ClientConfig { backend: backend::client_config(self)?, bounds })
    }
}

/// What a server asks of its clients.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// No certificate.
    None,
    /// A certificate under one of these roots (DER), or none at all. One that does not verify ends
    /// the handshake.
    Optional(Vec<Vec<u8>>),
    /// A certificate under one of these roots (DER).
    Required(Vec<Vec<u8>>),
}

/// What a server wants; [`build`](Self::build) makes a [`ServerConfig`] of it.
#[derive(Clone)]
pub struct ServerSetup {
    pub(crate) identity: Identity,
    pub(crate) client_auth: ClientAuth,
    pub(crate) common: Common,
}

impl ServerSetup {
    /// A server with this identity.
    pub fn new(identity: Identity, client_auth: ClientAuth) -> Self {
        Self { identity, client_auth, common: Common::default() }
    }

    /// The same with another identity, or with something else stapled to it.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    common!();

    /// Checks it all.
    pub fn build(self) -> Result<ServerConfig, ConfigError> {
        let bounds = self.common.bounds;
        Ok(ServerConfig { backend: backend::server_config(self)?, bounds })
    }
}

/// How to be a client. Cheap to clone.
#[derive(Clone)]
pub struct ClientConfig {
    pub(crate) backend: backend::ClientConfig,
    pub(crate) bounds: Bounds,
}

/// How to be a server. Cheap to clone.
#[derive(Clone)]
pub struct ServerConfig {
    pub(crate) backend: backend::ServerConfig,
    pub(crate) bounds: Bounds,
}

impl fmt::Debug for ClientSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSetup").field("roots", &self.roots.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSetup").finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
