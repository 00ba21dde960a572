//! Updates: opens an envelope by the rules of its component, puts the payload in place of the old
//! file, and remembers the outcome until the fleet has heard of it.
//!
//! Who must have signed is for the `update` crate to check; here is what a power cut may not break.

pub mod counters;
pub mod inbox;
pub mod install;
pub mod outcome;
pub mod restart;

use crate::config::{self, Component};
use counters::Counters;
use install::{Installed, Installer};
use outcome::{Ending, Outcome, Outcomes};
use std::path::{Path, PathBuf};
use touchstone_certs::{Certificate, TrustStore};
use touchstone_crypto_awslc::AwsLc;
use touchstone_update::{Role, Rules, Trust, inspect, open};

/// The largest envelope that is taken, in octets.
pub const LARGEST: usize = 32 << 20;

/// Why there can be no updates at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A role's file can not be used.
    #[error("{}: {reason}; put the certificate of the role there, as PEM", path.display())]
    Role {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// State can not be kept.
    #[error(transparent)]
    State(#[from] crate::state::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Role { .. } => "agent.update.role",
            Self::State(error) => error.code(),
        }
    }
}

/// What keeps the components of the device up to date.
pub struct Updates<C> {
    components: Vec<Component>,
    roles: Vec<Role>,
    installer: Installer<C>,
    outcomes: Outcomes,
}

impl<C: Counters> Updates<C> {
    /// Reads the roles and finishes, or forgets, what a power cut interrupted.
    pub fn open(
        config: &config::Update,
        state: &crate::state::State,
        counters: C,
        now: u64,
    ) -> Result<Self, Error> {
        let roles = config.roles.iter().map(role).collect::<Result<_, _>>()?;
        let outcomes = Outcomes::load(state)?;
        let installer = Installer::new(state, counters);
        let mut updates =
            Self { components: config.components.clone(), roles, installer, outcomes };
        for component in updates.components.clone() {
            if let Some((order, installed, result)) = updates.installer.recover(&component) {
                let version = installed.version;
                updates.record(now, order, component.name.as_str(), version, result)?;
            }
        }
        Ok(updates)
    }

    /// Opens and applies an envelope that came with the order `order` (0: none). The outcome is
    /// kept before this returns; only a state folder that can not be written is an error.
    pub fn take(&mut self, order: u64, envelope: &[u8], now: u64) -> Result<Outcome, Error> {
        let (component, version, result) = self.apply(order, envelope, now);
        self.record(now, order, &component, version, result)
    }

    /// Keeps that an order could not even be fetched or is not understood.
    pub fn refuse(
        &mut self,
        order: u64,
        component: &str,
        version: u64,
        code: &str,
        reason: &str,
        now: u64,
    ) -> Result<Outcome, Error> {
        let result = Ending::Refused { code: code.to_owned(), reason: reason.to_owned() };
        self.record(now, order, component, version, result)
    }

    fn apply(&mut self, order: u64, envelope: &[u8], now: u64) -> (String, u64, Ending) {
        let inspected = match inspect(envelope) {
            Ok(inspected) => inspected,
            Err(refused) => {
                return (String::new(), 0, Ending::refused(refused.code(), &refused));
            }
        };
        let (name, version) = (inspected.manifest.component, inspected.manifest.version);
        let component = self.components.iter().find(|known| known.name.as_str() == name).cloned();
        let Some(component) = component else {
            let reason = "no [[update.component]] of this name on the device";
            return (name, version, Ending::refused("agent.update.component-unknown", &reason));
        };
        let above = match self.installer.above(&component) {
            Ok(above) => above,
            Err(error) => return (name, version, Ending::failed(error.code(), &error)),
        };
        let rules = Rules {
            component: component.name.as_str().to_owned(),
            above,
            roles: self.roles.clone(),
        };
        let result = match open(&AwsLc, envelope, &rules, now) {
            Ok(update) => {
                let manifest = update.manifest();
                let new = Installed { version: manifest.version, sha256: manifest.sha256.clone() };
                let result = self.installer.install(&component, order, &new, update.payload());
                if result == Ending::Applied
                    && let Err(error) = self.installer.keep(&component, envelope)
                {
                    tracing::warn!(
                        code = error.code(),
                        "the release cannot be restored later: {error}"
                    );
                }
                result
            }
            Err(refused) => Ending::refused(refused.code(), &refused),
        };
        (name, version, result)
    }

    fn record(
        &mut self,
        now: u64,
        order: u64,
        component: &str,
        version: u64,
        result: Ending,
    ) -> Result<Outcome, Error> {
        let outcome = Outcome::new(now, order, component, version, result);
        self.outcomes.keep(outcome.clone())?;
        self.installer.settled(component)?;
        Ok(outcome)
    }

    /// Who must sign.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Puts the release that was installed last in place again, from the signed envelope that was
    /// kept. What it says, in words.
    pub fn restore(&mut self, program: &Path, now: u64) -> Result<String, String> {
        let component = self.components.iter().find(|known| known.path == program).cloned();
        let component = component.ok_or("no [[update.component]] has this file")?;
        let name = component.name.as_str();
        let installed = self.installer.installed(&component).ok_or("no update has installed it")?;
        let envelope = self.installer.kept(&component)?;
        let above = installed.version.saturating_sub(1);
        let rules = Rules { component: name.to_owned(), above, roles: self.roles.clone() };
        let update = open(&AwsLc, &envelope, &rules, now).map_err(|refused| refused.to_string())?;
        let manifest = update.manifest();
        if (manifest.version, &manifest.sha256) != (installed.version, &installed.sha256) {
            return Err("the envelope that was kept is of another release".to_owned());
        }
        match self.installer.install(&component, 0, &installed, update.payload()) {
            Ending::Applied => {
                self.installer.settled(name).map_err(|error| error.to_string())?;
                Ok(format!("{name} {} is in place again", installed.version))
            }
            ending => Err(ending.why().1.to_owned()),
        }
    }

    /// What was done and refused, oldest first.
    pub fn outcomes(&self) -> &[Outcome] {
        self.outcomes.as_slice()
    }

    /// The first outcome that the fleet has not heard of.
    pub fn unreported(&self) -> Option<Outcome> {
        self.outcomes.as_slice().iter().find(|outcome| !outcome.reported).cloned()
    }

    /// Whether an order was dealt with and only the report is due. One that the fleet has heard of
    /// and gives again is another order: it may have lost its memory and count anew.
    pub fn has_settled(&self, order: u64) -> bool {
        self.outcomes.as_slice().iter().any(|known| known.order == order && !known.reported)
    }

    /// The fleet has heard of an outcome.
    pub fn reported(&mut self, outcome: &Outcome) -> Result<(), Error> {
        Ok(self.outcomes.reported(outcome)?)
    }

    /// What is installed, for the run-time claims.
    pub fn installed(&mut self) -> Vec<(String, u64)> {
        let components = self.components.clone();
        components
            .iter()
            .filter_map(|component| {
                let version = self.installer.installed(component)?.version;
                Some((component.name.to_string(), version))
            })
            .collect()
    }
}

fn role(role: &config::Role) -> Result<Role, Error> {
    let fault = |reason: String| Error::Role { path: role.roots.clone(), reason };
    let pem = std::fs::read(&role.roots).map_err(|error| fault(error.to_string()))?;
    let certificates = Certificate::from_pem(&pem).map_err(|error| fault(error.to_string()))?;
    let trust = match certificates.as_slice() {
        [] => return Err(fault("no certificate in it".to_owned())),
        [only] if !only.is_ca() => Trust::Pinned(only.clone()),
        _ => Trust::Anchors(TrustStore::new(certificates)),
    };
    Ok(Role { name: role.name.to_string(), trust })
}

#[cfg(test)]
mod tests;
