//! The fleet at work: what every listener shares.

use crate::api::device::Bodies;
use crate::authority::Authority;
use crate::clock;
use crate::config::Config;
use crate::console::Logins;
use crate::judge::Judge;
use crate::registration::Registration;
use crate::sessions::Sessions;
use crate::store::{Rules, Store};
use crate::throttle::Throttle;
use crate::trust::Trust;
use std::sync::Arc;
use tokio::sync::watch;
use touchstone_audit::Head;

/// What every listener shares.
pub struct Fleet {
    /// What the owner decided.
    pub config: Config,
    /// What is remembered.
    pub store: Store,
    /// The CA.
    pub authority: Arc<Authority>,
    /// Who signs for the CA in EST and SCEP.
    pub registration: Registration,
    /// Whom the fleet believes.
    pub trust: Arc<Trust>,
    /// Who answers what exchanges ask.
    pub judge: Arc<Judge>,
    /// Exchanges that are under way.
    pub sessions: Arc<Sessions>,
    /// Room for the bodies of requests.
    pub bodies: Bodies,
    /// How much devices have brought of their own logs.
    pub device_logs: crate::device_log::Counts,
    /// The end of the audit log.
    pub head: watch::Receiver<Head>,
    /// The key that the signed heads of the audit log are checked with.
    pub log_key: String,
    /// Of whom it was told that they were not let in.
    pub turned_away: Throttle,
    /// Who is logged in at the console.
    pub logins: Logins,
    /// True when the program is to end.
    pub stop: watch::Receiver<bool>,
}

impl Fleet {
    /// How to read ages now.
    pub fn rules(&self) -> Rules {
        Rules { now: clock::now(), max_age: self.config.appraisal.max_age.as_secs() }
    }
}
