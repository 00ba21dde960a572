//! Where an operator has to agree to a first certificate: what a device that asks for one is told.

use super::certify::{NotIssued, judged};
use crate::Error;
use crate::authority::Profile;
use crate::config::Approval;
use crate::store::{Admission, NewEnrolment, Store};
use touchstone_certs::Certificate;

/// Seconds after which to come back: a tenth of the time that it has waited already.
const SOONEST: u64 = 15;
const LATEST: u64 = 3600;
/// When to come back where too many wait, in seconds.
const FULL: u32 = 300;

/// What may be done about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nobody has to agree.
    Free,
    /// An operator agreed: the row that the certificate uses up.
    Approved(i64),
    /// The certificate is there; its answer did not arrive.
    Before(Box<Certificate>),
}

/// Whether somebody may have what the profile gives, if an operator has to agree to that.
pub async fn admitted(
    store: &Store,
    profile: &Profile,
    new: NewEnrolment,
    now: u64,
) -> Result<Way, NotIssued> {
    if profile.approval == Approval::None {
        return Ok(Way::Free);
    }
    let admission = store.call(move |db| db.ask_approval(&new, now)).await?;
    way(admission, now)
}

/// The same, once the store has said where it stands.
pub fn way(admission: Admission, now: u64) -> Result<Way, NotIssued> {
    match admission {
        Admission::Approved(id) => Ok(Way::Approved(id)),
        Admission::Issued(der) => {
            let before =
                Certificate::decode(&der).map_err(|_| Error::Row { what: "certificate" })?;
            Ok(Way::Before(Box::new(before)))
        }
        Admission::Waits { since } => Err(NotIssued::Later(pause(since, now))),
        Admission::Refused { reason } => {
            Err(judged("est.approval.refused", format!("an operator refused this: {reason}")))
        }
        Admission::Other => Err(judged(
            "est.approval.other",
            "another request waits for this key or with this challenge; ask for the same, or with another key",
        )),
        Admission::Full => {
            let text = "too many wait for an operator already; come back later".to_owned();
            Err(NotIssued::Unavailable { code: "est.approval.full", text, after: FULL })
        }
    }
}

fn pause(since: u64, now: u64) -> u32 {
    let tenth = now.saturating_sub(since) / 10;
    u32::try_from(tenth.clamp(SOONEST, LATEST)).unwrap_or(FULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_longer_asks_less_often() {
        assert_eq!([10, 159, 1010, 999_999].map(|now| pause(10, now)), [15, 15, 100, 3600]);
        let refused = |admission| match way(admission, 10) {
            Err(NotIssued::Judged { code, .. } | NotIssued::Unavailable { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        let reason = "no".to_owned();
        assert_eq!(refused(Admission::Refused { reason }), "est.approval.refused");
        assert_eq!(refused(Admission::Other), "est.approval.other");
        assert_eq!(refused(Admission::Full), "est.approval.full");
    }
}
