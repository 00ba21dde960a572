//! From a configuration to a fleet that serves, and to its end.

use crate::api::device::Bodies;
use crate::api::{crl, device, est, ocsp, operator, scep};
use crate::authority::{Authority, For, sha256_hex};
use crate::config::{Collector, Config, LogKeyPlace, Place, Role};
use crate::fleet::Fleet;
use crate::judge::Judge;
use crate::registration::Registration;
use crate::serve::{self, Plain, stopped};
use crate::sessions::Sessions;
use crate::ship::{self, Route, Secure, Shipper};
use crate::state::StateDir;
use crate::store::{Db, NewEvent, Operator, Store};
use crate::trust::{self, Trust};
use crate::{Error, clock, console, secure, trail};
use axum::Router;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use touchstone_audit::{Code, Head, Notary, Reporter};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::Pulse;
use touchstone_element::{Element, ElementSigner, KeyAlgorithm, KeySpec, KeyUse};

/// Room for bodies that are being read: sixteen of the largest.
const BODIES: usize = 16;
/// How often the fleet looks for devices that fell silent.
const LOOK: Duration = Duration::from_secs(1);
/// How long it waits before it tries again what fails.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A fleet that has not looked for so long hangs: in the database, or on its disk.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it forgets what nobody needs.
const TIDY: Duration = Duration::from_mins(5);
/// Events that are kept in the database; the audit log keeps all.
const KEPT_EVENTS: u64 = 200_000;
/// What events about the policy are about.
const POLICY: &str = "policy";
/// The shortest token of an operator.
const SHORTEST_TOKEN: usize = 16;

/// Where a fleet listens.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Listening {
    /// Devices and checkpoints.
    pub device: SocketAddr,
    /// Console and operator API.
    pub console: SocketAddr,
    /// Certificate status, and SCEP: what protects itself and needs no TLS.
    pub ocsp: SocketAddr,
}

/// A fleet that serves.
pub struct Running {
    /// Where.
    pub listening: Listening,
    /// What its listeners share.
    pub fleet: Arc<Fleet>,
    /// Beats as long as the fleet looks after its devices, which takes the database.
    pub pulse: Pulse,
    tasks: JoinSet<()>,
}

impl Running {
    /// Ends it: open requests are finished, and what happened is written down.
    pub async fn end(mut self, stop: &watch::Sender<bool>) {
        let event = NewEvent::new(Code::ServiceStopped, "fleet", "the fleet stopped as told");
        if let Err(error) =
            self.fleet.store.call(move |db| db.record_event(clock::now(), &event)).await
        {
            tracing::error!(%error, "the end was not recorded");
        }
        stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task failed");
            }
        }
    }
}

/// Every operator: the first one, and those of the configuration, with the hashes of their tokens.
pub fn operators(config: &Config, state: &StateDir) -> Result<Vec<(Operator, [u8; 32])>, Error> {
    let mut operators = Vec::new();
    if let Some(token) = state.read("operator.token")? {
        let admin = Operator { name: "admin".into(), role: Role::Operator };
        operators.push((admin, crate::api::auth::token_sha256(token.trim())));
    }
    for entry in &config.operators {
        let path = entry.token.path();
        let token = entry.token.read().map_err(Error::file(&path))?;
        if token.len() < SHORTEST_TOKEN {
            let words =
                format!("a token has at least {SHORTEST_TOKEN} characters; make a longer one");
            return Err(Error::content(&path, words));
        }
        let operator = Operator { name: entry.name.clone(), role: entry.role };
        operators.push((operator, crate::api::auth::token_sha256(&token)));
    }
    for (index, (operator, token)) in operators.iter().enumerate() {
        let same =
            |other: &(Operator, [u8; 32])| other.0.name == operator.name || other.1 == *token;
        if operators.iter().skip(index + 1).any(same) {
            return Err(Error::Conflict(format!(
                "operator `{}` shares a name or a token with another; give each their own",
                operator.name
            )));
        }
    }
    Ok(operators)
}

/// Starts everything. `stop` ends it.
pub async fn start(
    config: Config,
    trust: Trust,
    state: &StateDir,
    stop: watch::Receiver<bool>,
) -> Result<Running, Error> {
    let (database, path) = (config.database.clone(), state.database());
    let (tenant, rules) = (config.tenant.clone(), config.verdict);
    let open = move || Db::of(&database, &path, &tenant)?.with_verdict_rules(rules).alone();
    let store = Store::open(open).await?;
    policy(&trust, &store).await?;
    let authority = authority(state, &config, &store).await?;
    let registration = Registration::open(state, &authority, &store, &config.name).await?;
    let key = state.key("verifier.key", SignatureAlgorithm::EcdsaP256Sha256)?;
    let operators = operators(&config, state)?;
    store.call(move |db| db.replace_operators(&operators, clock::now())).await?;
    let trust = Arc::new(trust);
    references(&config, &trust, &store).await?;
    let notary = notary(&config, state)?;
    let log_key = notary.key().to_string();
    let keep = trail::Keep {
        part: config.audit.part,
        all: config.audit.keep,
        readers: config.collectors.iter().map(|collector| ship::reader(&collector.name)).collect(),
    };
    let (head, audit) =
        trail::start(store.clone(), state.audit_log(), notary, keep, stop.clone()).await?;
    let judge =
        Judge::new(config.clone(), store.clone(), Arc::clone(&authority), Arc::clone(&trust), key);
    let fleet = Arc::new(Fleet {
        store,
        authority,
        registration,
        trust,
        judge: Arc::new(judge),
        sessions: Arc::new(Sessions::new(&config.limits)),
        bodies: Bodies::new(config.limits.message.saturating_mul(BODIES)),
        logins: console::Logins::default(),
        device_logs: crate::device_log::Counts::default(),
        turned_away: crate::throttle::Throttle::default(),
        head: head.clone(),
        log_key,
        stop,
        config,
    });
    let mut tasks = JoinSet::new();
    let listening = listen(&fleet, &mut tasks).await?;
    tasks.spawn(audit);
    let pulse = Pulse::new(PATIENCE);
    tasks.spawn(look_after(Arc::clone(&fleet), pulse.clone()));
    tasks.spawn(publish(Arc::clone(&fleet)));
    for collector in &fleet.config.collectors {
        ship(&fleet, collector, head.clone(), state, &mut tasks).await?;
    }
    let words = format!("fleet {} started", fleet.config.name);
    let event = NewEvent::new(Code::ServiceStarted, "fleet", words)
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("policy", fleet.trust.verifier().policy_id());
    fleet.store.call(move |db| db.record_event(clock::now(), &event)).await?;
    Ok(Running { listening, fleet, pulse, tasks })
}

/// Opens the CA; what it made for itself is recorded before anything else is issued.
async fn authority(
    state: &StateDir,
    config: &Config,
    store: &Store,
) -> Result<Arc<Authority>, Error> {
    let authority = Authority::open(state, config).await?;
    let own: Vec<_> = authority.own().iter().map(|issued| issued.row(None)).collect();
    // Before there were several, there was the one that is now the last.
    let oldest = authority.issuing().last().map(|ca| ca.id.clone()).unwrap_or_default();
    let record = move |db: &mut Db| {
        db.adopt_certificates(&oldest)?;
        own.iter().try_for_each(|row| db.ensure_certificate(row, clock::now()))
    };
    store.call(record).await?;
    authority.publish(store).await?;
    Ok(Arc::new(authority))
}

/// Who signs the heads of the audit log. The key that others check them with lies beside the log.
fn notary(config: &Config, state: &StateDir) -> Result<Notary, Error> {
    let key: Arc<dyn Signer> = match &config.audit.key {
        LogKeyPlace::File => Arc::new(state.key("audit.key", SignatureAlgorithm::EcdsaP256Sha256)?),
        LogKeyPlace::Element { at, name } => {
            let words = |error: &dyn std::fmt::Display| Error::Crypto {
                what: "the key of the audit log",
                reason: format!("{at}: {error}"),
            };
            let mut element = at.open(&state.file("elements")).map_err(|error| words(&error))?;
            if element.public_key(name).map_err(|error| words(&error))?.is_none() {
                let spec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);
                element.create_key(name, &spec).map_err(|error| words(&error))?;
                tracing::info!(key = %name, element = %at, "made a key");
            }
            let signer = ElementSigner::new(Arc::new(Mutex::new(element)), name);
            Arc::new(signer.map_err(|error| words(&error))?)
        }
    };
    let name = trail::origin(&config.name);
    let notary = Notary::new(&AwsLc, &name, key)
        .map_err(|fault| Error::content(&state.file("audit.key"), fault.to_string()))?;
    state.write("audit.pub", format!("{}\n", notary.key()).as_bytes())?;
    Ok(notary)
}

/// Takes the policy in force: a signed one only if none after it was.
async fn policy(trust: &Trust, store: &Store) -> Result<(), Error> {
    let loaded = trust.policy().clone();
    let (name, version) = (loaded.policy.name().to_owned(), loaded.policy.version());
    let event = NewEvent::new(
        Code::PolicyLoaded,
        POLICY,
        format!("policy {name} version {version} is in force"),
    )
    .with("name", name.as_str())
    .with("version", version)
    .with("sha256", loaded.sha256.as_str())
    .with("signed", loaded.signed);
    let accept = move |db: &mut Db| {
        let now = clock::now();
        if loaded.signed
            && let Err(error) = db.accept_policy(&name, version, &loaded.sha256, now)
        {
            tell_anew(db, &policy_refusal(&error.to_string()))?;
            return Err(error);
        }
        tell_anew(db, &event)
    };
    store.call(accept).await
}

/// A policy with faults keeps a fleet from starting. That is recorded, and shipped when it starts again.
pub fn note_refused_policy(config: &Config, state: &StateDir) -> Result<(), Error> {
    let Err(faults) = crate::policy::load(&config.trust) else { return Ok(()) };
    let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let mut db = Db::of(&config.database, &state.database(), &config.tenant)?.alone()?;
    tell_anew(&mut db, &policy_refusal(&words.join("; ")))
}

fn policy_refusal(words: &str) -> NewEvent {
    let words: String = words.chars().take(2000).collect();
    NewEvent::new(Code::PolicyRefused, POLICY, format!("the policy was not loaded: {words}"))
}

/// Records it, unless it is what was told of the same subject last: a restart changes nothing.
fn tell_anew(db: &mut Db, event: &NewEvent) -> Result<(), Error> {
    let last = db.newest_events(Some(POLICY), 1)?;
    if last.first().is_some_and(|last| event.is_told_by(last)) {
        return Ok(());
    }
    db.record_event(clock::now(), event)
}

/// Imports what the configuration names, and puts everything that is stored in force.
async fn references(config: &Config, trust: &Arc<Trust>, store: &Store) -> Result<(), Error> {
    for path in &config.trust.references {
        let envelope = trust::read(path, trust::LARGEST_REFERENCE)?;
        let new = match trust.open_reference(&envelope, "configuration") {
            Ok(new) => new,
            Err(words) => {
                let sha256 = sha256_hex(&envelope);
                let event = trust::refusal(&sha256, "configuration", &words);
                store.call(move |db| db.record_event(clock::now(), &event)).await?;
                return Err(Error::content(path, words));
            }
        };
        store.call(move |db| db.add_reference(&new, clock::now())).await?;
    }
    let envelopes = store.call(super::store::Db::reference_envelopes).await?;
    let (trust, of) = (Arc::clone(trust), Arc::clone(trust));
    let enforced = tokio::task::spawn_blocking(move || of.enforce(&envelopes)).await;
    for words in enforced.map_err(|_| Error::Closed)? {
        tracing::warn!("reference values are out of force: {words}");
    }
    for words in trust.gaps() {
        tracing::warn!("policy and reference values do not fit: {words}");
    }
    for words in trust.unquoted(&config.appraisal.pcrs) {
        tracing::warn!("policy and quote do not fit: {words}");
    }
    Ok(())
}

async fn listen(fleet: &Arc<Fleet>, tasks: &mut JoinSet<()>) -> Result<Listening, Error> {
    let config = &fleet.config;
    let devices = serve::listen("device", config.device.listen).await?;
    let people = serve::listen("console", config.console.listen).await?;
    let status = serve::listen("ocsp", config.ocsp.listen).await?;
    let at = |listener: &tokio::net::TcpListener| {
        let failed = |error| Error::Network { what: "a listener has no address".into(), error };
        listener.local_addr().map_err(failed)
    };
    let listening = Listening { device: at(&devices)?, console: at(&people)?, ocsp: at(&status)? };
    let connections = config.limits.connections;
    let stop = &fleet.stop;

    let router: Router<Arc<Fleet>> = device::router().merge(est::router());
    let router = router.with_state(Arc::clone(fleet));
    let mut roots = fleet.trust.device_roots.certificates().to_vec();
    roots.extend(fleet.authority.roots().iter().cloned());
    let others = fleet.authority.upstreams().iter();
    roots.extend(others.flat_map(|upstream| upstream.anchors().iter().cloned()));
    let tls = secure_listener(fleet, roots).await?;
    tasks.spawn(serve::serve(devices, tls, router, connections, stop.clone()));

    let router = console::router().merge(operator::router()).with_state(Arc::clone(fleet));
    if config.console.tls {
        let tls = secure_listener(fleet, Vec::new()).await?;
        tasks.spawn(serve::serve(people, tls, router, connections, stop.clone()));
    } else {
        tasks.spawn(serve::serve(people, Plain, router, connections, stop.clone()));
    }

    let status_ways = ocsp::router().merge(crl::router()).merge(scep::router());
    let router = status_ways.with_state(Arc::clone(fleet));
    tasks.spawn(serve::serve(status, Plain, router, connections, stop.clone()));
    Ok(listening)
}

async fn secure_listener(
    fleet: &Arc<Fleet>,
    roots: Vec<touchstone_certs::Certificate>,
) -> Result<secure::Tls, Error> {
    let (authority, store) = (Arc::clone(&fleet.authority), fleet.store.clone());
    let names = fleet.config.device.names.clone();
    secure::listener(authority, store, names, roots, fleet.stop.clone()).await
}

/// Notices silence, and forgets what nobody needs.
async fn look_after(fleet: Arc<Fleet>, pulse: Pulse) {
    let started = clock::now();
    let silence = fleet.config.appraisal.silence();
    let lists = fleet.config.limits.lists;
    let mut stop = fleet.stop.clone();
    let mut tidied = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stopped(&mut stop) => return,
        }
        pulse.beat();
        let now = clock::now();
        let looked = fleet.store.call(move |db| db.mark_unreachable(now, silence, started)).await;
        if let Err(error) = looked {
            tracing::error!(%error, "could not look for silent devices");
        }
        if tidied.elapsed() < TIDY {
            continue;
        }
        tidied = tokio::time::Instant::now();
        fleet.sessions.sweep();
        let tidy = fleet
            .store
            .call(move |db| {
                db.prune_feed(now)?;
                db.forget_late_lists(lists, now)?;
                db.prune_events(KEPT_EVENTS, &[trail::READER])
            })
            .await;
        if let Err(error) = tidy {
            tracing::error!(%error, "could not tidy the database");
        }
    }
}

/// Makes CRLs in time.
async fn publish(fleet: Arc<Fleet>) {
    let mut stop = fleet.stop.clone();
    let mut pause = LOOK;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => return,
        }
        pause = match fleet.authority.publish(&fleet.store).await {
            Ok(()) => LOOK,
            Err(error) => {
                tracing::error!(code = error.code(), %error, "a CRL was not made; the last one holds");
                (pause * 2).min(LONGEST_PAUSE)
            }
        };
    }
}

/// Ships the audit log to a collector.
async fn ship(
    fleet: &Arc<Fleet>,
    collector: &Collector,
    head: watch::Receiver<Head>,
    state: &StateDir,
    tasks: &mut JoinSet<()>,
) -> Result<(), Error> {
    let secure = match &collector.place {
        Place::Network { tls: Some(tls), .. } => {
            let (authority, store) = (&fleet.authority, &fleet.store);
            let own = if tls.identity.is_none() {
                let name = &fleet.config.name;
                Some(secure::identity(authority, store, For::Client, name, &[]).await?.0)
            } else {
                None
            };
            Some(Secure::new(tls, fleet.authority.roots(), own)?)
        }
        _ => None,
    };
    let (program, version) = ("touchstone-fleet", env!("CARGO_PKG_VERSION"));
    let reporter = Reporter::new(&ship::hostname(), program, version, std::process::id());
    let shipper = Shipper {
        store: fleet.store.clone(),
        log: state.audit_log(),
        name: collector.name.clone(),
        pace: ship::Pace::default(),
        route: Route::new(collector, reporter, secure)?,
    };
    tasks.spawn(shipper.run(head, fleet.stop.clone()));
    Ok(())
}
