//! The agent's life: onboard once, attest again and again, keep a certificate while the verdict is
//! affirming, obey the verdict, apply updates.
//!
//! Every step can be interrupted and taken up by an agent that starts anew.

mod error;
mod orders;

pub use error::Error;

use crate::attest::{self, Sources, Welcome, onboard};
use crate::collect::scan::Watch;
use crate::config::{Config, OnContraindicated};
use crate::enrolment;
use crate::fleet::Client;
use crate::keys::{Keys, Ldevid};
use crate::offloop::off_loop;
use crate::respond::Responder;
use crate::state::State;
use crate::status::{self, Board, Fault};
use crate::tunnel::Pass;
use crate::update::Updates;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use touchstone_appraise::ear::{Ear, verify_jwt};
use touchstone_appraise::{Tier, VerifierKey};
use touchstone_crypto::{Crypto, Verified};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element_tpm2::Tpm;

const WELCOME: &str = "device.json";

/// No more often than this, whatever the fleet says.
const SHORTEST: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The updates, shared with threads beside the loop.
type SharedUpdates = Arc<Mutex<Updates<Arc<Mutex<Tpm>>>>>;

/// The agent.
pub struct Agent {
    config: Config,
    state: State,
    keys: Keys,
    client: Client,
    welcome: Option<Welcome>,
    ldevid: Option<Ldevid>,
    shown: Shown,
    updates: SharedUpdates,
    responder: Arc<Mutex<Responder>>,
    board: Board,
    pass: watch::Sender<Option<Pass>>,
}

/// Who the client says that we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nobody,
    Maker,
    Fleet,
}

impl Agent {
    /// Takes up where the agent before left off. May wait for the element.
    pub fn start(config: &Config, board: Board) -> Result<Self, Error> {
        let state = State::open(&config.state_dir)?;
        let keys = Keys::open(&config.element, &state)?;
        let client = Client::new(&config.fleet)?;
        let welcome: Option<Welcome> = state.load_json(WELCOME)?;
        let ldevid = keys.ldevid()?;
        let (responder, failed) = Responder::resume(&config.respond.nft, &state)?;
        if let Some(error) = failed {
            tracing::error!(code = error.code(), "the quarantine is not in force: {error}");
        }
        let updates = Updates::open(&config.update, &state, keys.counters(), unix())?;
        let agent = Self {
            config: config.clone(),
            state,
            keys,
            client,
            welcome,
            ldevid,
            shown: Shown::Nobody,
            updates: Arc::new(Mutex::new(updates)),
            responder: Arc::new(Mutex::new(responder)),
            board,
            pass: watch::channel(None).0,
        };
        agent.show();
        Ok(agent)
    }

    /// What tunnels pass with.
    pub fn pass(&self) -> watch::Receiver<Option<Pass>> {
        self.pass.subscribe()
    }

    /// Lives until `stop`.
    pub async fn live(mut self, changed: Arc<Notify>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = match self.step().await {
                Ok(next) => {
                    pause = FIRST_PAUSE;
                    self.board.write(|status| {
                        status.fault = None;
                        "reachable".clone_into(&mut status.fleet);
                    });
                    next
                }
                Err(error) => {
                    self.note(&error);
                    let wait = jittered(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE.min(self.config.collect.interval * 4));
                    wait
                }
            };
            self.show();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed.notified() => tracing::warn!("running code has changed"),
            }
        }
    }

    fn note(&mut self, error: &Error) {
        let unreachable = error.is_unreachable();
        tracing::warn!(code = error.code(), "{error}");
        self.board.write(|status| {
            let reach = if unreachable { "unreachable" } else { "reachable" };
            reach.clone_into(&mut status.fleet);
            let (code, words) = (error.code().to_owned(), error.to_string());
            status.fault = Some(Fault { code, words });
        });
    }

    /// One round; says when the next is due.
    async fn step(&mut self) -> Result<Duration, Error> {
        self.drop_expired().await?;
        self.identify().await?;
        let Some(welcome) = self.welcome.clone() else {
            let welcome = onboard(&mut self.client, &self.keys).await?;
            tracing::info!(device = %welcome.device, "onboarded");
            self.state.store_json(WELCOME, &welcome)?;
            self.welcome = Some(welcome);
            return Ok(Duration::ZERO);
        };
        let sources = self.sources();
        let attested = attest::attest(&mut self.client, &self.keys, &sources).await;
        let (concluded, nonce) = match attested {
            Ok(attested) => attested,
            Err(error) => return self.refused(error).await,
        };
        let ear = self.verify(&welcome, &concluded.ear_jwt, &nonce)?;
        self.obey(&ear).await?;
        self.tell(&ear, &concluded.ear_jwt).await?;
        if ear.status == Tier::Affirming && self.certify(&welcome.device).await? {
            // The result must name the new key.
            return Ok(Duration::ZERO);
        }
        if self.run_errands(concluded.orders > 0).await? {
            return Ok(Duration::ZERO);
        }
        let next = Duration::try_from_secs_f64(concluded.next).unwrap_or(Duration::MAX);
        Ok(next.min(self.config.collect.interval).max(SHORTEST))
    }

    /// A certificate that has run out proves nothing; the maker's still does.
    async fn drop_expired(&mut self) -> Result<(), Error> {
        if self.ldevid.as_ref().is_some_and(|ldevid| ldevid.not_after <= unix()) {
            tracing::warn!("the certificate has run out; enrolling anew");
            self.forget().await?;
        }
        Ok(())
    }

    async fn forget(&mut self) -> Result<(), Error> {
        let keys = self.keys.clone();
        off_loop(move || keys.forget()).await?;
        self.ldevid = None;
        self.pass.send_replace(None);
        Ok(())
    }

    async fn identify(&mut self) -> Result<(), Error> {
        let wanted = match (&self.welcome, &self.ldevid) {
            (Some(_), Some(_)) => Shown::Fleet,
            _ => Shown::Maker,
        };
        if self.shown == wanted {
            return Ok(());
        }
        self.show_as(wanted).await
    }

    async fn show_as(&mut self, who: Shown) -> Result<(), Error> {
        let (keys, ldevid) = (self.keys.clone(), self.ldevid.clone());
        let identity = off_loop(move || match (who, ldevid) {
            (Shown::Fleet, Some(ldevid)) => keys.fleet_identity(&ldevid),
            _ => keys.maker_identity(),
        })
        .await?;
        self.client.identify(identity)?;
        self.shown = who;
        Ok(())
    }

    fn sources(&self) -> Sources {
        let collect = &self.config.collect;
        Sources {
            event_log: collect.event_log.clone(),
            ima_log: collect.ima_log.clone(),
            watch: collect.watch.clone(),
            components: lock(&self.updates).installed(),
        }
    }

    /// What the fleet's refusal of an attestation means for what we keep. Where it means that we
    /// come with another identity, we do so at once.
    async fn refused(&mut self, error: attest::Error) -> Result<Duration, Error> {
        if let attest::Error::Refused { code, .. } = &error {
            match code.as_str() {
                "attest.device.unknown" => {
                    self.state.remove(WELCOME)?;
                    self.welcome = None;
                    self.forget().await?;
                    tracing::warn!("{error}; onboarding anew");
                    // Not at once: a fleet that has lost its memory is asked by everybody.
                    return Ok(jittered(FIRST_PAUSE));
                }
                "attest.certificate.revoked" | "attest.certificate.expired"
                    if self.ldevid.is_some() =>
                {
                    tracing::warn!("{error}");
                    self.forget().await?;
                    return Ok(Duration::ZERO);
                }
                _ => {}
            }
        }
        Err(error.into())
    }

    /// The result is the fleet's, about us, and about the evidence that we have just sent.
    fn verify(&self, welcome: &Welcome, token: &str, nonce: &[u8]) -> Result<Verified<Ear>, Error> {
        let key = verifier_key(self.config.fleet.verifier.as_deref(), welcome)?;
        let ear = verify_jwt(&AwsLc, token, &[key]).map_err(Error::Result)?;
        if ear.device != welcome.device {
            return Err(Error::NotOurs("it is about another device"));
        }
        if ear.nonce.as_deref() != Some(nonce) {
            return Err(Error::NotOurs("it is about other evidence"));
        }
        Ok(ear)
    }

    /// The countermeasure, or its end.
    async fn obey(&mut self, ear: &Verified<Ear>) -> Result<(), Error> {
        let reason = reasons(ear).join("; ");
        match ear.status {
            Tier::Contraindicated => {
                if self.board.read().tier != Tier::Contraindicated.to_string() {
                    tracing::warn!("contraindicated: {reason}");
                }
                if self.config.respond.contraindicated == OnContraindicated::Quarantine {
                    let (responder, allow) = (Arc::clone(&self.responder), self.management());
                    let new =
                        off_loop(move || lock(&responder).quarantine(&allow, &reason, unix()))
                            .await?;
                    if new {
                        tracing::warn!("in quarantine; the way to the fleet stays open");
                    }
                }
            }
            Tier::Affirming => {
                let responder = Arc::clone(&self.responder);
                if off_loop(move || lock(&responder).release()).await? {
                    tracing::info!("out of quarantine");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What stays reachable in quarantine: where the fleet is, and what the configuration names.
    fn management(&self) -> Vec<SocketAddr> {
        let mut allow = self.config.respond.allow.clone();
        allow.extend(self.config.fleet.address.socket());
        allow.extend(self.client.last_address());
        allow.sort_unstable();
        allow.dedup();
        allow
    }

    /// Tells the board and the tunnels.
    async fn tell(&mut self, ear: &Verified<Ear>, token: &str) -> Result<(), Error> {
        let why = if ear.status == Tier::Affirming { Vec::new() } else { reasons(ear) };
        self.board.write(|status| {
            status.tier = ear.status.to_string();
            status.why = why;
            status.issued = Some(ear.issued_at);
            status.attestations += 1;
        });
        let identity = match &self.ldevid {
            Some(ldevid) => {
                let (keys, ldevid) = (self.keys.clone(), ldevid.clone());
                Some(off_loop(move || keys.fleet_identity(&ldevid)).await?)
            }
            None => None,
        };
        let pass = identity.map(|identity| Pass { identity, ear_jwt: token.into() });
        self.pass.send_replace(pass);
        Ok(())
    }

    /// Gets a certificate where there is none, renews one that is half over. True if there is a new
    /// one.
    async fn certify(&mut self, device: &str) -> Result<bool, Error> {
        let new = match self.ldevid.clone() {
            None => {
                // Only the maker's identity may ask for a first one.
                self.show_as(Shown::Maker).await?;
                enrolment::enroll(&mut self.client, &self.keys, device).await?
            }
            Some(ldevid) if ldevid.is_due(unix()) => {
                self.show_as(Shown::Fleet).await?;
                enrolment::renew(&mut self.client, &self.keys, device, &ldevid).await?
            }
            Some(_) => return Ok(false),
        };
        tracing::info!(serial = %new.serial, not_after = new.not_after, "certificate issued");
        self.ldevid = Some(new);
        self.shown = Shown::Nobody;
        Ok(true)
    }

    fn show(&self) {
        let updates = lock(&self.updates).outcomes().to_vec();
        let quarantine = lock(&self.responder).current().cloned();
        let certificate = self.ldevid.as_ref().map(|ldevid| status::Certificate {
            serial: ldevid.serial.clone(),
            not_after: ldevid.not_after,
        });
        self.board.write(|status| {
            status.device = self.welcome.as_ref().map(|welcome| welcome.device.clone());
            status.certificate = certificate;
            status.quarantine = quarantine;
            status.updates = updates;
        });
    }
}

/// Looks at the running code again and again, and says when it has changed.
pub async fn watch_code(config: &Config, changed: Arc<Notify>) {
    let mut watch = Watch::new(config.collect.watch.clone());
    let mut told = false;
    loop {
        let looked = off_loop(move || {
            let changed = watch.changed();
            (watch, changed)
        });
        let result;
        (watch, result) = looked.await;
        match result {
            Ok(true) => changed.notify_one(),
            Ok(false) => told = false,
            // The next evidence says so too, and louder; here once is enough.
            Err(error) if !told => {
                tracing::warn!(code = error.code(), "{error}");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(config.collect.scan).await;
    }
}

fn reasons(ear: &Ear) -> Vec<String> {
    ear.failed().map(|control| format!("{}: {}", control.name, control.reason)).collect()
}

/// The pinned key, else the one that the fleet told when we were onboarded.
fn verifier_key(pinned: Option<&Path>, welcome: &Welcome) -> Result<VerifierKey, Error> {
    let pem = match pinned {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Error::Verifier(format!("{}: {error}", path.display())))?,
        None => welcome.verifier_key_pem.clone(),
    };
    let fault = |error: &dyn ToString| Error::Verifier(error.to_string());
    let (label, der) =
        pem_rfc7468::decode_vec(pem.trim().as_bytes()).map_err(|error| fault(&error))?;
    if label != "PUBLIC KEY" {
        return Err(Error::Verifier(format!("a `{label}` where a `PUBLIC KEY` is wanted")));
    }
    VerifierKey::from_spki(&der).map_err(|error| fault(&error))
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic beside the loop goes on in the loop, so what it left is never used.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unix seconds.
pub(crate) fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Three quarters of `pause` to five quarters, so that a fleet that comes back is not overrun.
fn jittered(pause: Duration) -> Duration {
    let mut octet = [128];
    // Without randomness there is no jitter, which is no reason not to come back.
    let _ = AwsLc.random(&mut octet);
    pause * 3 / 4 + pause * u32::from(octet.first().copied().unwrap_or(128)) / 512
}
