//! The half that speaks with the network: TLS and HTTP with the fleet, EST, tunnels through a
//! checkpoint. It runs as a user without rights in a folder without files, and holds no key: what
//! needs one, it asks the [`keeper`](crate::keeper) for.
//!
//! It lives as the device does: onboard once, attest again and again, keep a certificate while the
//! verdict is affirming, carry updates. Every step can be interrupted and taken up by a half that
//! starts anew, because all state is the keeper's.

pub mod attest;
pub mod confine;
pub mod enrolment;
mod errands;
mod error;
pub mod fleet;
mod log;
pub mod pace;
mod signer;
pub mod tunnel;

pub use error::{Error, Refusal};

use crate::config::Config;
use crate::link::{Ask, Forget, Key, Line, Refused, Reply, Standing, State};
use crate::run::runtime;
use attest::Answered;
use enrolment::Enrolled;
use fleet::Client;
use pace::{Pace, Patience, jittered};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinSet;
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::Pulse;
use tunnel::{Pass, Way};

/// No more often than this, whatever the fleet says.
const SHORTEST: Duration = Duration::from_millis(200);
/// No certificate is asked for sooner after a refusal, nor a device onboarded anew.
const SETTLE: Duration = Duration::from_secs(1);

/// How often the keeper hears how things are.
const TELL: Duration = Duration::from_secs(2);

/// The longest that one round may take: requests have limits of their own, well below.
const ROUND: Duration = Duration::from_mins(5);

/// Runs as the network half, with the line to the keeper as standard input.
pub fn run(config: &Config) -> Result<(), Error> {
    let line = std::io::stdin().as_fd().try_clone_to_owned().map_err(Error::System)?;
    // Read before the view closes. What these files say is the administrator's word.
    let client = Client::new(&config.fleet)?;
    let ways = tunnel::ways(config)?;
    if !rustix::process::geteuid().is_root() {
        tracing::warn!("not started as root: the half with the network keeps user and file system");
    }
    confine::confine(config)?;
    let line = UnixStream::from(line);
    line.set_nonblocking(true).map_err(Error::System)?;
    let runtime = runtime().map_err(Error::System)?;
    let ended = runtime.block_on(serve(config, client, ways, line));
    runtime.shutdown_background();
    ended
}

async fn serve(
    config: &Config,
    client: Client,
    ways: Vec<Way>,
    line: UnixStream,
) -> Result<(), Error> {
    let line = tokio::net::UnixStream::from_std(line).map_err(Error::System)?;
    let (line, carried) = Line::new(line);
    let open = Arc::new(AtomicU32::new(0));
    let network = Network::new(config, line.clone(), client);
    let mut tunnels = JoinSet::new();
    for way in ways {
        tunnels.spawn(way.serve(network.pass.subscribe(), Arc::clone(&open)));
    }
    let (found, pulse) = (network.found.subscribe(), network.pulse.clone());
    tokio::select! {
        broken = carried => Err(Error::Line(broken)),
        () = network.live() => Ok(()),
        () = tell(line, found, open, pulse) => Ok(()),
        Some(Ok(error)) = tunnels.join_next() => Err(error.into()),
    }
}

/// Tells the keeper how things are, for as long as the life goes on.
async fn tell(line: Line, mut found: watch::Receiver<State>, open: Arc<AtomicU32>, pulse: Pulse) {
    loop {
        if pulse.beats() {
            let mut state = found.borrow_and_update().clone();
            state.tunnels = open.load(Ordering::Relaxed);
            if line.tell(state).is_err() {
                return;
            }
        }
        // Silence is heard: a half that hangs is started anew.
        let _ = tokio::time::timeout(TELL, found.changed()).await;
    }
}

/// The network half.
pub struct Network {
    interval: Duration,
    line: Line,
    client: Client,
    shown: Option<(Key, String)>,
    /// When a certificate is asked for again, and why the fleet gave none.
    pace: Pace,
    refusal: Option<Refused>,
    pass: watch::Sender<Option<Pass>>,
    found: watch::Sender<State>,
    pulse: Pulse,
    /// How far the fleet has the device's log.
    taken: log::Place,
    /// How many entries of the IMA list it has, while that is sent in parts.
    listed: u32,
}

impl Network {
    fn new(config: &Config, line: Line, client: Client) -> Self {
        Self {
            interval: config.collect.interval,
            line,
            client,
            shown: None,
            pace: Pace::default(),
            refusal: None,
            pass: watch::channel(None).0,
            found: watch::channel(State::default()).0,
            pulse: Pulse::new(ROUND),
            taken: log::Place::default(),
            listed: 0,
        }
    }

    /// Lives until the keeper is gone.
    async fn live(mut self) {
        let mut patience = Patience::default();
        loop {
            let wait = match self.step().await {
                Ok(next) => {
                    patience.succeeded();
                    self.found.send_modify(|found| {
                        found.reached = Some(true);
                        found.fault.clone_from(&self.refusal);
                    });
                    next
                }
                Err(Error::Gone(_)) => return,
                Err(error) => {
                    tracing::warn!(code = error.code(), "{error}");
                    self.found.send_modify(|found| {
                        found.reached = Some(!error.is_unreachable());
                        found.fault = Some(error.as_refused());
                    });
                    patience.failed(self.interval, chance())
                }
            };
            self.pulse.beat();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.line.look() => {}
            }
            self.pulse.beat();
        }
    }

    /// One round; says when the next is due.
    async fn step(&mut self) -> Result<Duration, Error> {
        let standing = self.standing().await?;
        if standing.serial.is_none() {
            self.pass.send_replace(None);
        }
        let Some(device) = standing.device.clone() else {
            self.show(Key::Maker, "").await?;
            attest::onboard(&mut self.client, &self.line).await?;
            return Ok(Duration::ZERO);
        };
        let key = self.show_best(&standing).await?;
        let concluded = match attest::attest(&mut self.client, key, &self.line).await {
            Ok(Answered::Concluded(concluded)) => concluded,
            Ok(Answered::Continue(entries)) => return Ok(self.goes_on(entries)),
            Err(error) => return self.refused(error, &standing).await,
        };
        self.listed = 0;
        let may_ask = self.ask_truth(Ask::Verdict(concluded.ear_jwt.clone())).await?;
        self.pass(&standing, &concluded.ear_jwt).await?;
        if may_ask && self.certify(&device, &standing).await? {
            // The result must name the new key.
            return Ok(Duration::ZERO);
        }
        if self.run_errands(concluded.orders > 0).await? {
            return Ok(Duration::ZERO);
        }
        self.deliver_log().await?;
        let next = Duration::try_from_secs_f64(concluded.next).unwrap_or(Duration::MAX);
        Ok(next.min(self.interval).max(SHORTEST))
    }

    /// When the next part of a long IMA list is sent: at once, unless the fleet has come no further.
    fn goes_on(&mut self, entries: u32) -> Duration {
        let before = std::mem::replace(&mut self.listed, entries);
        tracing::info!(entries, "the fleet has so many entries of the IMA list; it goes on");
        if entries > before { Duration::ZERO } else { self.interval.max(SHORTEST) }
    }

    async fn standing(&self) -> Result<Standing, Error> {
        match self.ask(Ask::Standing).await? {
            Reply::Standing(standing) => Ok(standing),
            _ => Err(Error::Answer),
        }
    }

    /// Shows the fleet's certificate, if there is one, else the maker's.
    async fn show_best(&mut self, standing: &Standing) -> Result<Key, Error> {
        let (key, serial) = match &standing.serial {
            Some(serial) => (Key::Fleet, serial.as_str()),
            None => (Key::Maker, ""),
        };
        self.show(key, serial).await?;
        Ok(key)
    }

    /// Shows this identity to the fleet from the next connection on.
    async fn show(&mut self, key: Key, serial: &str) -> Result<(), Error> {
        if self.shown.as_ref().is_some_and(|(shown, of)| *shown == key && of == serial) {
            return Ok(());
        }
        let identity = signer::identity(&self.line, key).await?;
        self.client.identify(identity)?;
        self.shown = Some((key, serial.to_owned()));
        Ok(())
    }

    /// Gives the tunnels what they pass with.
    async fn pass(&self, standing: &Standing, token: &str) -> Result<(), Error> {
        let pass = match &standing.serial {
            Some(_) => {
                let identity = signer::identity(&self.line, Key::Fleet).await?;
                Some(Pass { identity, ear_jwt: token.into() })
            }
            None => None,
        };
        self.pass.send_replace(pass);
        Ok(())
    }

    /// What the fleet's refusal of an attestation means for what is kept. Where it means that we
    /// come with another identity, we do so at once.
    async fn refused(
        &mut self,
        error: attest::Error,
        standing: &Standing,
    ) -> Result<Duration, Error> {
        if let attest::Error::Refused { code, .. } = &error {
            match code.as_str() {
                "attest.device.unknown" => {
                    self.forget(Forget::Device).await?;
                    // Not at once: a fleet that has lost its memory is asked by everybody.
                    return Ok(jittered(SETTLE, chance()));
                }
                "attest.certificate.revoked" | "attest.certificate.expired"
                    if standing.serial.is_some() =>
                {
                    tracing::warn!("{error}");
                    self.forget(Forget::Certificate).await?;
                    return Ok(Duration::ZERO);
                }
                _ => {}
            }
        }
        Err(error.into())
    }

    async fn forget(&mut self, what: Forget) -> Result<(), Error> {
        self.pass.send_replace(None);
        self.ask(Ask::Forget(what)).await.map(drop)
    }

    /// Gets a certificate where there is none, renews one that is half over. True if there is a new
    /// one.
    async fn certify(&mut self, device: &str, standing: &Standing) -> Result<bool, Error> {
        if !self.pace.is_due(Instant::now()) {
            return Ok(false);
        }
        let renew = match &standing.serial {
            // Only the maker's identity may ask for a first one.
            None => {
                self.show(Key::Maker, "").await?;
                false
            }
            Some(_) if standing.due => true,
            Some(_) => return Ok(false),
        };
        tracing::debug!(device, renew, "a certificate is due");
        match enrolment::enroll(&mut self.client, &self.line, renew, unix()).await {
            Ok(Enrolled::Now) => {
                self.pace.granted();
                self.refusal = None;
                self.shown = None;
                Ok(true)
            }
            Ok(Enrolled::Later(after)) => {
                tracing::info!(seconds = after.as_secs(), "the fleet has yet to decide");
                self.pace.put_off(Instant::now(), after);
                self.refusal = None;
                Ok(false)
            }
            Err(error) if error.is_refusal() => {
                tracing::warn!(code = error.code(), "{error}");
                self.pace.refused(Instant::now(), self.interval.max(SETTLE), chance());
                if error.is_of_request() {
                    self.ask(Ask::Forget(Forget::Request)).await?;
                }
                self.refusal = Some(Error::from(error).as_refused());
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Reply, Error> {
        asked(&self.line, ask).await
    }

    async fn ask_truth(&self, ask: Ask) -> Result<bool, Error> {
        match self.ask(ask).await? {
            Reply::Truth(truth) => Ok(truth),
            _ => Err(Error::Answer),
        }
    }
}

/// Asks the keeper; its no is an error.
async fn asked(line: &Line, ask: Ask) -> Result<Reply, Error> {
    match line.ask(ask).await? {
        Reply::Refused(no) => Err(Error::Keeper(Refusal(no))),
        reply => Ok(reply),
    }
}

/// An octet of chance.
fn chance() -> u8 {
    let mut octet = [128];
    // Without randomness there is no jitter, which is no reason not to come back.
    let _ = AwsLc.random(&mut octet);
    octet.first().copied().unwrap_or(128)
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
