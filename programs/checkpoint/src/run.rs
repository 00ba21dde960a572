//! Starts what the configuration asks for, and stops it when told to.

use crate::config::Config;
use crate::edge::{Edge, serve_status, unix};
use crate::event::Event;
use crate::listen::listen;
use crate::staple::Stapling;
use crate::trail::Trail;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use touchstone_appraise::VerifierKey;
use touchstone_certs::Certificate;
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::{Pulse, ServiceManager, StapledStatus};
use touchstone_tls::{
    ClientAuth, ClientConfig, ClientSetup, Identity, ServerConfig, ServerName, ServerSetup,
    certificates_from_pem,
};

/// A checkpoint that has not looked for stale flows for so long hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// For so many seconds the status that the fleet staples is believed beyond its end.
const STATUS_GRACE: u64 = 60;

/// Why the checkpoint does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that the configuration names can not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that the configuration names does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An address can not be listened on.
    #[error("cannot listen on {address}: {source}; is it another program's?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not give what every program needs.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

impl Error {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "checkpoint.file.unreadable",
            Self::Unusable { .. } => "checkpoint.file.unusable",
            Self::Listen { .. } => "checkpoint.listen",
            Self::System(_) => "checkpoint.system",
        }
    }

    /// Whether the configuration is at fault.
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::Unusable { .. })
    }
}

/// What the files of the configuration hold.
pub struct Material {
    server: ServerConfig,
    /// The same without anything stapled, and who is asked for what is.
    plain: ServerSetup,
    identity: Identity,
    stapling: Option<Stapling>,
    client: ClientConfig,
    fleet_name: ServerName,
    verifiers: Vec<VerifierKey>,
    /// The name in our certificate.
    name: Option<String>,
}

impl Material {
    /// Reads the files.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let chain = read(&config.certificate)?;
        let at = config.key.path();
        let unreadable = |source| Error::Unreadable { path: at.clone(), source };
        let key = config.key.read().map_err(unreadable)?;
        let identity = Identity::from_pem(&chain, key.as_bytes()).map_err(unusable(&at))?;
        let device_roots = roots(&config.device_roots)?;
        let plain = ServerSetup::new(identity.clone(), ClientAuth::Required(device_roots))
            .handshake_timeout(config.limits.handshake);
        let server = plain.clone().build().map_err(unusable(&config.certificate))?;
        let certificates = certificates_from_pem(&chain).map_err(unusable(&config.certificate))?;
        let stapling = Stapling::of(&certificates);
        let leaf = certificates.first().and_then(|der| Certificate::decode(der).ok());
        let name = leaf.and_then(|leaf| leaf.common_name());
        let fleet_roots = roots(&config.fleet.roots)?;
        let status = StapledStatus::new(Arc::new(AwsLc), &fleet_roots).with_grace(STATUS_GRACE);
        let client = ClientSetup::new(&fleet_roots)
            .identity(identity.clone())
            .status_check(Arc::new(status))
            .build()
            .map_err(unusable(&config.fleet.roots))?;
        let fleet_name =
            ServerName::parse(&config.fleet.name).map_err(unusable(&config.fleet.roots))?;
        let verifiers = vec![verifier(&config.verifier)?];
        Ok(Self { server, plain, identity, stapling, client, fleet_name, verifiers, name })
    }
}

/// Runs until told to stop; with `check`, only reads everything that running needs.
pub fn run(config: &Config, check: bool) -> Result<(), Error> {
    let material = Material::load(config)?;
    if check {
        eprintln!("checkpoint: the configuration is good");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(config, material))
}

async fn serve(config: &Config, material: Material) -> Result<(), Error> {
    let listener = bind(config.listen).await?;
    let status = bind(config.status).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let trail = match &config.state_dir {
        Some(folder) => {
            let name = material.name.as_deref().unwrap_or("checkpoint");
            let unusable = |source| Error::Unreadable { path: folder.clone(), source };
            Trail::open(folder, name).map_err(unusable)?
        }
        None => Trail::default(),
    };
    let edge = Edge::new(config, material.verifiers, trail.clone());
    let pulse = Pulse::new(PATIENCE);
    let manager = ServiceManager::of_this_process()?;
    let (client, fleet_name) = (material.client.clone(), material.fleet_name.clone());
    let feed = listen(edge.clone(), config.fleet.clone(), client, fleet_name);
    let (in_force, current) = watch::channel(material.server);
    let (plain, identity) = (material.plain, material.identity);
    let staples = async move {
        let make = move |stapled: Option<&[u8]>| match stapled {
            Some(octets) => {
                plain.clone().identity(identity.clone().with_ocsp_response(octets)).build()
            }
            None => plain.clone().build(),
        };
        match material.stapling {
            Some(stapling) => stapling.keep(in_force, make).await,
            None => std::future::pending().await,
        }
    };
    let at = listener.local_addr()?;
    told(manager.ready(&format!("admits devices at {at}")));
    tokio::select! {
        () = edge.serve(listener, move || current.borrow().clone()) => {}
        () = staples => {}
        () = edge.keep_time(&pulse) => {}
        () = manager.keep_alive(std::slice::from_ref(&pulse)) => {}
        () = serve_status(edge.clone(), status) => {}
        () = feed => {}
        () = trail.deliver(&config.fleet, &material.client, &material.fleet_name) => {}
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    told(manager.stopping());
    trail.end().await;
    Ok(())
}

/// A service manager that cannot be told will draw its own conclusions.
fn told(told: io::Result<()>) {
    if let Err(error) = told {
        let code = "checkpoint.service.untold";
        Event::new(unix(), "service", code, &error).write();
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })
}

fn unusable<E: ToString>(path: &Path) -> impl Fn(E) -> Error {
    move |error| Error::Unusable { path: path.to_owned(), reason: error.to_string() }
}

fn roots(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    certificates_from_pem(&read(path)?).map_err(unusable(path))
}

fn verifier(path: &Path) -> Result<VerifierKey, Error> {
    let pem = read(path)?;
    let (label, der) = pem_rfc7468::decode_vec(pem.trim_ascii()).map_err(unusable(path))?;
    if label != "PUBLIC KEY" {
        return Err(unusable(path)(format!("a `{label}`; the verifier's `PUBLIC KEY` is wanted")));
    }
    VerifierKey::from_spki(&der).map_err(unusable(path))
}
