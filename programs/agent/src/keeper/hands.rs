//! What the keeper does when a response is due: its hands, for [`crate::respond::engine`].

use super::{Error as KeeperError, Keeper, lock, unix};
use crate::collect::finding::hex;
use crate::collect::pages::Look;
use crate::config::OnContraindicated;
use crate::keys::{self, IDEVID};
use crate::ldevid;
use crate::respond::action::{Action, Target};
use crate::respond::approval::{self, Statement};
use crate::respond::assets::Assets;
use crate::respond::bucket::Limit;
use crate::respond::desk::{self, Question, Refused, Told};
use crate::respond::engine::{Care, Done, Hands, Order, Refusal};
use crate::respond::journal::{Response, Stage};
use crate::respond::{Error, capture, freeze, unit};
use base64ct::{Base64, Encoding};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use touchstone_appraise::Tier;
use touchstone_appraise::ear::Ear;
use touchstone_audit::Code;
use touchstone_certs::Certificate;
use touchstone_crypto::{Digest, HashAlgorithm, Verified};
use touchstone_element::Registers;

/// Captures that are kept; the oldest go first.
const CAPTURES: usize = 8;

/// The version of the asset list that was seen last.
const ASSETS: &str = "assets.json";

/// Processes that evidence spoke of: number, start and executable.
pub(super) type Suspects = BTreeMap<u32, (u64, String)>;

/// How careful the configuration wants it to be.
pub(super) fn care(config: &crate::config::Config) -> Care {
    let respond = &config.respond;
    let mut allowed = respond.actions.clone();
    if respond.contraindicated == OnContraindicated::Quarantine {
        allowed.push(Action::Quarantine);
    }
    let limit = Limit { burst: respond.burst, every: respond.every };
    Care { allowed, trial: respond.trial, dead_man: respond.dead_man, limit }
}

impl Keeper {
    /// Does what a verdict asks for, or takes everything back.
    pub(super) fn respond(&self, ear: &Verified<Ear>) -> Result<(), KeeperError> {
        let assets = self.assets();
        let orders = self.orders(ear);
        let mut engine = lock(&self.engine);
        if ear.status == Tier::Affirming {
            engine.relent(&mut Arms(self), unix())?;
        } else {
            engine.obey(orders, &assets, &mut Arms(self), unix())?;
        }
        Ok(())
    }

    /// Time has passed.
    pub(super) fn tick(&self) -> Result<(), KeeperError> {
        if lock(&self.engine).tick(&mut Arms(self), unix())? {
            self.show();
        }
        Ok(())
    }

    /// What a verdict asks for, control by control. Where the fleet holds countermeasures back, nothing
    /// beyond telling and collecting: not by the device's own rule, either.
    fn orders(&self, ear: &Ear) -> Vec<Order> {
        let mut orders = self.asked_for(ear);
        if let Some(why) = &ear.held {
            tracing::warn!(
                code = "agent.respond.held",
                "the fleet holds countermeasures back: {why}"
            );
            orders.retain(|order| order.action.only_observes());
        }
        orders
    }

    fn asked_for(&self, ear: &Ear) -> Vec<Order> {
        let mut orders = Vec::new();
        let order = |action, target, control: &str, reason: &str| Order {
            action,
            target,
            control: control.to_owned(),
            reason: reason.to_owned(),
            policy: ear.policy_id.clone(),
        };
        for control in ear.failed() {
            let named = self.named_in(&control.reason);
            for action in control.countermeasures.iter().filter_map(|it| Action::from_name(it)) {
                if action.is_against_a_process() && !named.is_empty() {
                    let targets = named.iter().cloned();
                    orders.extend(
                        targets.map(|it| order(action, it, &control.name, &control.reason)),
                    );
                } else if !action.is_against_a_process() || action == Action::Capture {
                    orders.push(order(action, Target::Device, &control.name, &control.reason));
                }
            }
        }
        // The device's own rule, whatever the policy says of countermeasures.
        let rule = self.config.respond.contraindicated == OnContraindicated::Quarantine;
        if ear.status == Tier::Contraindicated && rule {
            let reason = super::verdict::reasons(ear).join("; ");
            orders.push(order(Action::Quarantine, Target::Device, "contraindicated", &reason));
        }
        orders.sort_by_key(|order| order.action);
        orders
    }

    /// Processes that a reason names (`process 212 (/usr/bin/pump)`), as far as our own evidence
    /// spoke of them: a verdict points at nobody else.
    fn named_in(&self, reason: &str) -> Vec<Target> {
        let suspects = lock(&self.suspects);
        let named = reason.split("process ").skip(1).filter_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let pid = digits.parse().ok()?;
            let (start, program) = suspects.get(&pid)?;
            let unit = freeze::unit_of(pid);
            Some(Target::Process { pid, start: *start, program: program.clone(), unit })
        });
        let mut named: Vec<_> = named.collect();
        named.sort();
        named.dedup();
        named
    }

    /// The asset list as it can be believed now.
    fn assets(&self) -> Assets {
        let Some(path) = &self.config.respond.assets else { return Assets::none() };
        let least = match self.state.load_json::<u64>(ASSETS) {
            Ok(least) => least.unwrap_or(0),
            Err(error) => return Assets::unknown(error.to_string()),
        };
        let envelope = match std::fs::read(path) {
            Ok(envelope) => envelope,
            Err(error) => return Assets::unknown(format!("{}: {error}", path.display())),
        };
        let roles = lock(&self.updates).roles().to_vec();
        let assets = Assets::open(&envelope, &roles, least, unix());
        if let Some(why) = assets.fault() {
            tracing::error!(
                code = "agent.respond.assets",
                "the asset list protects everything: {why}"
            );
        } else if assets.version() > least
            && let Err(error) = self.state.store_json(ASSETS, &assets.version())
        {
            return Assets::unknown(error.to_string());
        }
        assets
    }

    fn approvers(&self) -> Result<Vec<Certificate>, approval::Fault> {
        let Some(path) = &self.config.respond.approvers else { return Ok(Vec::new()) };
        let bad = |why: String| approval::Fault::Signature(format!("{}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
        Certificate::from_pem(&pem).map_err(|error| bad(error.to_string()))
    }

    fn approve(&self, id: &str, approval: &str) -> Result<Response, Refused> {
        let fault = |fault: &approval::Fault| Refused {
            code: fault.code().to_owned(),
            words: fault.to_string(),
        };
        let bad = |why: &str| fault(&approval::Fault::Signature(why.to_owned()));
        let envelope = Base64::decode_vec(approval).map_err(|_| bad("it is not Base64"))?;
        let device = self.device().unwrap_or_default();
        let mut engine = lock(&self.engine);
        let response = engine.find(id).ok_or_else(|| refused(&Refusal::Unknown(id.to_owned())))?;
        let wanted = Statement::of(&device, response);
        let approvers = self.approvers().map_err(|it| fault(&it))?;
        let by =
            approval::verify(&envelope, &wanted, &approvers, unix()).map_err(|it| fault(&it))?;
        engine.approve(id, &by, &mut Arms(self), unix()).map_err(|it| refused(&it))
    }

    fn device(&self) -> Option<String> {
        lock(&self.known).welcome.as_ref().map(|welcome| welcome.device.clone())
    }
}

impl desk::Answer for Keeper {
    fn told(&self, question: Question) -> Told {
        let mut told = Told {
            schema: desk::SCHEMA.to_owned(),
            device: self.device(),
            responses: Vec::new(),
            statement: None,
            refused: None,
        };
        let decided = match question {
            Question::List => {
                told.responses = lock(&self.engine).responses().to_vec();
                return told;
            }
            Question::Statement { id } => {
                let engine = lock(&self.engine);
                let found = engine.find(&id).cloned();
                found.ok_or_else(|| refused(&Refusal::Unknown(id))).inspect(|response| {
                    let device = told.device.clone().unwrap_or_default();
                    told.statement = serde_json::to_string(&Statement::of(&device, response)).ok();
                })
            }
            Question::Approve { id, approval } => self.approve(&id, &approval),
            Question::Undo { id } => {
                lock(&self.engine).undo(&id, &mut Arms(self), unix()).map_err(|it| refused(&it))
            }
        };
        match decided {
            Ok(response) => told.responses.push(response),
            Err(refused) => told.refused = Some(refused),
        }
        self.show();
        told
    }
}

fn refused(refusal: &Refusal) -> Refused {
    Refused { code: refusal.code().to_owned(), words: refusal.to_string() }
}

/// The hands of a keeper.
struct Arms<'k>(&'k Keeper);

impl Hands for Arms<'_> {
    fn tell(&mut self, response: &Response, approver: Option<&str>) {
        let code = match (approver, response.stage) {
            (Some(_), _) => Code::ResponseApproved,
            (_, Stage::Previewed | Stage::Waiting) => Code::ResponseProposed,
            (_, Stage::Begun | Stage::Applied | Stage::Done) => Code::ResponseApplied,
            (_, Stage::Undone) => Code::ResponseUndone,
            (_, Stage::Reverted) => Code::ResponseReverted,
            (_, Stage::Failed) => Code::ResponseFailed,
            (_, Stage::Refused) => Code::ResponseRefused,
        };
        self.0.tell(code, |event| {
            let event = event
                .with("response", &response.id)
                .with("action", response.action)
                .with("target", &response.target)
                .with("control", &response.control)
                .with("why", &response.reason)
                .with("outcome", &response.outcome);
            match approver {
                Some(name) => event.with("by", name),
                None => event,
            }
        });
    }

    fn preview(&self, action: Action, target: &Target) -> String {
        match action {
            Action::Alert => "says so".to_owned(),
            Action::Capture => format!("packs what there is about {target}, and signs it"),
            Action::Quarantine => {
                let open: Vec<_> = self.0.management().iter().map(ToString::to_string).collect();
                format!("cuts the device off from all but {}", open.join(", "))
            }
            Action::Freeze => format!("stops {target} where it stands; it can go on"),
            Action::StopUnit => format!("stops the service of {target}; it can be started again"),
            Action::KillUnit => {
                format!("ends the service of {target} at once; it can be started again")
            }
            Action::SafeMode => format!("runs {}", self.0.config.respond.safe_mode.join(" ")),
            Action::Restore => format!("puts the last signed release of {target} in place again"),
            Action::RotateKey => "gives the device's key up; a new one is certified".to_owned(),
            Action::Revoke => "the fleet revokes the device's certificates".to_owned(),
            Action::LockKeys => match self.0.config.respond.lock_pcr {
                Some(pcr) => {
                    format!("extends PCR {pcr}: keys bound to it are lost until the next start")
                }
                None => "nothing: no `lock_pcr` is named".to_owned(),
            },
        }
    }

    fn apply(&mut self, response: &Response) -> Result<Done, Error> {
        let Response { action, target, reason, .. } = response;
        let keeper = self.0;
        let said = |words: &str| Done { words: words.to_owned(), before: None };
        match (action, target) {
            (Action::Alert, _) => Ok(said("told")),
            (Action::Capture, _) => keeper.capture(response),
            (Action::Quarantine, _) => {
                lock(&keeper.responder).quarantine(&keeper.management(), reason, unix())?;
                Ok(said("the way to the fleet stays open"))
            }
            (Action::Freeze, Target::Process { pid, start, .. }) => {
                let before = freeze::freeze(*pid, *start)?;
                Ok(Done { words: "it stands still".to_owned(), before: Some(before) })
            }
            (Action::StopUnit | Action::KillUnit, Target::Process { unit: Some(name), .. }) => {
                let systemctl = &keeper.config.respond.systemctl;
                if *action == Action::KillUnit {
                    unit::kill_unit(systemctl, name)?;
                } else {
                    unit::systemctl(systemctl, &["stop", "--"], name)?;
                }
                Ok(Done { words: format!("{name} is stopped"), before: Some(name.clone()) })
            }
            (Action::StopUnit | Action::KillUnit, Target::Process { pid, start, .. }) => {
                unit::kill(*pid, *start)?;
                Ok(said(
                    "it belongs to no service and was ended; whoever supervises it starts it anew",
                ))
            }
            (Action::SafeMode, _) => {
                hook(&keeper.config.respond.safe_mode, "no `safe_mode` is named")
            }
            (Action::Restore, Target::Process { program, .. }) => {
                let restored = lock(&keeper.updates).restore(Path::new(program), unix());
                restored.map(|words| said(&words)).map_err(Error::Restore)
            }
            (Action::RotateKey, _) => {
                lock(&keeper.known).ldevid = None;
                ldevid::give_up(&keeper.keys)?;
                Ok(said("the key is given up; a new one is certified next"))
            }
            (Action::Revoke, _) => Ok(said("the fleet does it, by its own verdict")),
            (Action::LockKeys, _) => keeper.lock_keys(response),
            (_, Target::Device) => Err(Error::NotConfigured("no process was named")),
        }
    }

    fn undo(&mut self, response: &Response) -> Result<String, Error> {
        let keeper = self.0;
        match (response.action, &response.target) {
            (Action::Quarantine, _) => {
                lock(&keeper.responder).release()?;
                Ok("every way is open again".to_owned())
            }
            (Action::Freeze, Target::Process { pid, .. }) => {
                freeze::thaw(*pid, response.before.as_deref().unwrap_or("/"))?;
                Ok("it goes on".to_owned())
            }
            (Action::StopUnit | Action::KillUnit, _) => match &response.before {
                Some(name) => {
                    unit::systemctl(&keeper.config.respond.systemctl, &["start", "--"], name)?;
                    Ok(format!("{name} is started"))
                }
                None => Ok("there is nothing to start".to_owned()),
            },
            (Action::SafeMode, _) => {
                let undo = &keeper.config.respond.safe_mode_undo;
                hook(undo, "no `safe_mode_undo` is named").map(|done| done.words)
            }
            _ => Ok("there is nothing to take back".to_owned()),
        }
    }

    fn renew(&mut self, response: &Response) -> Result<(), Error> {
        if response.action == Action::Quarantine {
            // Somebody may have flushed the rules.
            lock(&self.0.responder).quarantine(&self.0.management(), &response.reason, unix())?;
        }
        Ok(())
    }

    fn token(&mut self) -> Result<String, Error> {
        let mut octets = [0; 16];
        let fault = |_| Error::NotConfigured("the system gives no random octets");
        aws_lc_rs::rand::fill(&mut octets).map_err(fault)?;
        Ok(hex(&octets))
    }
}

fn hook(command: &[String], missing: &'static str) -> Result<Done, Error> {
    let (program, arguments) = command.split_first().ok_or(Error::NotConfigured(missing))?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    unit::run(program, &arguments)?;
    Ok(Done { words: format!("{program} has run"), before: None })
}

impl Keeper {
    fn capture(&self, response: &Response) -> Result<Done, Error> {
        let folder = self.state.path("captures");
        let tar = folder.join(format!("{}.tar", response.id));
        let fault =
            |error: std::io::Error| Error::Capture { path: tar.clone(), why: error.to_string() };
        std::fs::create_dir_all(&folder).map_err(fault)?;
        capture::make_room(&folder, CAPTURES.saturating_sub(1)).map_err(fault)?;
        let pid = match &response.target {
            Target::Process { pid, .. } => Some(*pid),
            Target::Device => None,
        };
        let look = lock(&self.watch).look().map_or_else(|_| Look::default(), |(look, _)| look);
        capture::capture(&tar, response, pid, &look)?;
        let (key, chain) = self.signatory()?;
        let chain: Vec<Certificate> =
            chain.iter().filter_map(|der| Certificate::decode(der).ok()).collect();
        capture::sign(&tar, &chain, &self.keys.signer(&key)?, unix())?;
        Ok(Done { words: format!("packed and signed as {}", tar.display()), before: None })
    }

    /// Who signs captures: the key that the fleet certified, else the maker's.
    fn signatory(&self) -> Result<(String, Vec<Vec<u8>>), keys::Error> {
        let held = lock(&self.known).ldevid.clone();
        match held {
            Some(held) => Ok((held.key.clone(), ldevid::chain_der(&held)?)),
            None => Ok((IDEVID.to_owned(), self.keys.maker_chain()?)),
        }
    }

    fn lock_keys(&self, response: &Response) -> Result<Done, Error> {
        let pcr = self.config.respond.lock_pcr;
        let pcr = pcr.ok_or(Error::NotConfigured("no `lock_pcr` is named in [respond]"))?;
        let about = format!("touchstone lock-keys {}", response.id);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, about.as_bytes());
        let digest = Digest::new(HashAlgorithm::Sha256, digest.as_ref());
        let digest = digest.ok_or(Error::NotConfigured("no digest"))?;
        self.keys.tpm()?.extend_pcr(pcr, &[digest]).map_err(keys::Error::Element)?;
        Ok(Done { words: format!("PCR {pcr} is extended, until the next start"), before: None })
    }

    /// Remembers whom evidence spoke of.
    pub(super) fn suspect(
        &self,
        look: Option<&Look>,
        processes: &[touchstone_evidence::runtime::Process],
    ) {
        let found = look.into_iter().flat_map(|look| &look.findings);
        let found = found.map(|it| (it.pid, (it.start, it.process.clone())));
        let watched = processes.iter().map(|it| (it.pid, (it.start, it.path.clone())));
        *lock(&self.suspects) = found.chain(watched).collect();
    }

    /// Ends what nobody asks for any more, again and again.
    pub async fn look_after_responses(self: &std::sync::Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let keeper = std::sync::Arc::clone(self);
            let ticked = crate::offloop::off_loop(move || keeper.tick()).await;
            if let Err(error) = ticked {
                tracing::error!(code = error.code(), "{error}");
            }
        }
    }
}
