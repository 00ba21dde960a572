//! The privileged half: it holds the keys, measures, obeys the verdict and installs updates. It has
//! no connection to any network, and takes the half that has one for hostile.
//!
//! What it decides by itself, whatever the other half asks: what a key signs (handshakes, and
//! requests and tokens of its own making), whether a result is the verifier's and about its last evidence, who
//! must have signed an update, and what stays reachable in quarantine. What a network half that was
//! taken over can still do is to be silent, or to have this device enrolled anew.

mod errands;
mod error;
mod evidence;
mod hands;
mod haste;
mod identity;
mod news;
mod triggers;
mod verdict;

pub use error::Error;
pub use evidence::credential;
pub use identity::Handshake;
pub use triggers::watch_code;

use crate::collect::log::List;
use crate::collect::observe::Observer;
use crate::collect::pages::{self, Scanner};
use crate::collect::watch::Watch;
use crate::config::{Config, Scope};
use crate::keys::Keys;
use crate::ldevid::{self, Ldevid, Vault as _};
use crate::link::{Answer, Ask, Forget, Refused, Reply, Standing, State as Found};
use crate::offloop::off_loop;
use crate::respond::Responder;
use crate::respond::engine::Engine;
use crate::state::State;
use crate::status::{self, Board, Fault};
use crate::trail::Trail;
use crate::update::Updates;
use hands::Suspects;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use touchstone_audit::{Code, Event};
use touchstone_element_tpm2::Tpm;

const WELCOME: &str = "device.json";

/// What the fleet said at the end of onboarding.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Welcome {
    /// The device's id.
    pub device: String,
    /// Whose it is.
    pub tenant: String,
    /// The key that signs attestation results, as PEM.
    pub verifier_key_pem: String,
}

/// The privileged half.
pub struct Keeper {
    config: Config,
    state: State,
    keys: Keys,
    updates: Mutex<Updates<Arc<Mutex<Tpm>>>>,
    responder: Mutex<Responder>,
    known: Mutex<Known>,
    board: Board,
    trail: Trail,
    watch: Mutex<Watch>,
    observer: Observer,
    /// The IMA list, where there is one, read as far as the fleet has it.
    list: Mutex<Option<List>>,
    engine: Mutex<Engine>,
    suspects: Mutex<Suspects>,
    news: Mutex<news::News>,
    events: Mutex<triggers::Source>,
    /// The device's UEID, which its maker's key tells.
    ueid: OnceLock<Vec<u8>>,
    haste: haste::Haste,
    /// Since when each answer is worked on.
    work: Mutex<BTreeMap<u64, Instant>>,
}

/// What is known of the fleet, and what was promised to it.
struct Known {
    welcome: Option<Welcome>,
    ldevid: Option<Ldevid>,
    /// In the evidence that was given last; a result answers it once.
    nonce: Option<Vec<u8>>,
    /// The report that was given last.
    reporting: Option<crate::update::outcome::Outcome>,
}

impl Keeper {
    /// Takes up where the agent before left off. May wait for the element.
    pub fn start(config: &Config, board: Board) -> Result<Self, Error> {
        let state = State::open(&config.state_dir)?;
        let keys = Keys::open(&config.element, &config.maker, &state)?;
        let known = Known {
            welcome: state.load_json(WELCOME)?,
            ldevid: ldevid::resume(&keys)?,
            nonce: None,
            reporting: None,
        };
        let (responder, failed) = Responder::resume(&config.respond.nft, &state)?;
        if let Some(error) = failed {
            tracing::error!(code = error.code(), "the quarantine is not in force: {error}");
        }
        let engine = Engine::load(&state, hands::care(config))?;
        let updates = Updates::open(&config.update, &state, keys.counters(), unix())?;
        let name = known.welcome.as_ref().map_or("device", |welcome| welcome.device.as_str());
        let trail = Trail::open(&state, keys.counters(), name)?;
        let keeper = Self {
            config: config.clone(),
            state,
            keys,
            updates: Mutex::new(updates),
            responder: Mutex::new(responder),
            known: Mutex::new(known),
            board,
            trail,
            watch: Mutex::new(watch(config)),
            observer: Observer::new(Path::new("/"), config.collect.inventory),
            list: Mutex::new(config.collect.ima_log.clone().map(List::new)),
            engine: Mutex::new(engine),
            suspects: Mutex::default(),
            news: Mutex::default(),
            events: Mutex::default(),
            ueid: OnceLock::new(),
            haste: haste::Haste::default(),
            work: Mutex::default(),
        };
        keeper.show();
        Ok(keeper)
    }

    /// Whether every answer came in less than `patience` so far: an element or a disk that hangs
    /// hangs its answer.
    pub fn answers_within(&self, patience: Duration) -> bool {
        lock(&self.work).values().all(|since| since.elapsed() < patience)
    }

    /// Writes into the device's audit log what happened to it.
    fn tell(&self, event: Code, with: impl FnOnce(Event) -> Event) {
        let (tenant, subject) = match &lock(&self.known).welcome {
            Some(welcome) => (welcome.tenant.clone(), format!("device:{}", welcome.device)),
            None => (String::new(), "device:new".to_owned()),
        };
        self.trail.tell(&with(Event::new(event, &tenant, &subject)));
    }

    /// The network half ended.
    pub fn abandoned(&self, code: &str, words: &str) {
        self.board.write(|status| {
            "unknown".clone_into(&mut status.fleet);
            status.tunnels = 0;
            let (code, words) = (code.to_owned(), words.to_owned());
            status.fault = Some(Fault { code, words });
        });
    }

    fn decide(&self, ask: Ask) -> Result<Reply, Error> {
        match ask {
            Ask::Standing => self.standing(),
            Ask::Identity(key) => self.identity(key),
            Ask::Sign { key, message } => self.sign(key, &message),
            Ask::Endorse => self.endorse(),
            Ask::Activate(credential) => self.activate(&credential),
            Ask::Welcome { device, tenant, verifier_key_pem } => {
                self.welcome(Welcome { device, tenant, verifier_key_pem })
            }
            Ask::Evidence { key, challenge } => self.evidence(key, &challenge),
            Ask::Verdict(token) => self.verdict(&token),
            Ask::Request { renew, challenge } => self.request(renew, &challenge),
            Ask::Certificate(chain) => self.certificate(&chain),
            Ask::Forget(what) => self.forget(what),
            Ask::Settled(order) => Ok(Reply::Truth(lock(&self.updates).has_settled(order))),
            Ask::Envelope { order, envelope } => self.envelope(order, &envelope),
            Ask::Decline { order, component, version, why, words } => {
                self.decline(order, &component, version, why, &words)
            }
            Ask::Errands => self.errands(),
            Ask::Reported => self.reported(),
            Ask::Log { log, after } => self.log(&log, after),
            // Heard, not answered.
            Ask::State(_) => Err(Error::Forbidden("a state is not a question")),
        }
    }

    fn standing(&self) -> Result<Reply, Error> {
        let mut known = lock(&self.known);
        // A certificate that has run out proves nothing; the maker's still does.
        if known.ldevid.as_ref().is_some_and(|ldevid| ldevid.is_over(unix())) {
            tracing::warn!("the certificate has run out; enrolling anew");
            known.ldevid = None;
            ldevid::give_up(&self.keys)?;
        }
        Ok(Reply::Standing(Standing {
            device: known.welcome.as_ref().map(|welcome| welcome.device.clone()),
            serial: known.ldevid.as_ref().map(|ldevid| ldevid.serial.clone()),
            due: known.ldevid.as_ref().is_some_and(|ldevid| ldevid.is_due(unix())),
        }))
    }

    fn forget(&self, what: Forget) -> Result<Reply, Error> {
        let mut known = lock(&self.known);
        if what == Forget::Request {
            self.keys.forget_request()?;
            return Ok(Reply::Done);
        }
        if what == Forget::Device {
            tracing::warn!("the fleet does not know this device; onboarding anew");
            self.state.remove(WELCOME)?;
            known.welcome = None;
        }
        known.ldevid = None;
        ldevid::give_up(&self.keys)?;
        Ok(Reply::Done)
    }

    fn show(&self) {
        let updates = lock(&self.updates).outcomes().to_vec();
        let quarantine = lock(&self.responder).current().cloned();
        let responses =
            lock(&self.engine).responses().iter().filter(|it| it.stage.is_open()).count();
        let known = lock(&self.known);
        let device = known.welcome.as_ref().map(|welcome| welcome.device.clone());
        let certificate = known.ldevid.as_ref().map(|ldevid| status::Certificate {
            serial: ldevid.serial.clone(),
            not_after: ldevid.not_after,
        });
        drop(known);
        self.board.write(|status| {
            status.device = device;
            status.certificate = certificate;
            status.quarantine = quarantine;
            status.open_responses = u64::try_from(responses).unwrap_or(u64::MAX);
            status.updates = updates;
        });
    }
}

impl Answer for Keeper {
    fn answer(&self, ask: Ask) -> Reply {
        let changes = !matches!(ask, Ask::Sign { .. } | Ask::Identity(_) | Ask::Settled(_));
        let working = Working::new(&self.work);
        let decided = self.decide(ask);
        drop(working);
        if changes {
            self.show();
        }
        decided.unwrap_or_else(|error| {
            // What is forbidden is worth a line of its own: nobody honest asks for it.
            if matches!(error, Error::Forbidden(_)) {
                tracing::error!(code = error.code(), "{error}");
            }
            Reply::Refused(Refused { code: error.code().to_owned(), words: error.to_string() })
        })
    }

    fn hear(&self, found: Found) {
        self.board.write(|status| {
            let reach = match found.reached {
                Some(true) => "reachable",
                Some(false) => "unreachable",
                None => "unknown",
            };
            reach.clone_into(&mut status.fleet);
            status.tunnels = found.tunnels.into();
            status.fault = found.fault.map(|no| Fault { code: no.code, words: no.words });
        });
    }
}

/// An answer that is worked on.
struct Working<'a>(&'a Mutex<BTreeMap<u64, Instant>>, u64);

impl<'a> Working<'a> {
    fn new(work: &'a Mutex<BTreeMap<u64, Instant>>) -> Self {
        let mut open = lock(work);
        let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
        open.insert(number, Instant::now());
        Self(work, number)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        lock(self.0).remove(&self.1);
    }
}

fn watch(config: &Config) -> Watch {
    let collect = &config.collect;
    let scope = match collect.scope {
        Scope::All => pages::Scope::All,
        Scope::Watched => pages::Scope::Of(collect.watch.clone()),
    };
    // A process' RELRO pages are looked at once a minute.
    let looks = 60_000 / collect.scan.as_millis().clamp(1, 60_000);
    let scanner = Scanner::new(scope, collect.rehash, u64::try_from(looks).unwrap_or(1));
    Watch::new(scanner, collect.watch.clone())
}

/// Looks through the configuration again and again, beside everything else.
pub async fn take_inventory(keeper: &Arc<Keeper>) {
    loop {
        let looking = Arc::clone(keeper);
        off_loop(move || looking.observer.take_inventory()).await;
        tokio::time::sleep(keeper.config.collect.inventory).await;
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic beside the loop goes on in the loop, so what it left is never used.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unix seconds.
pub(crate) fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
