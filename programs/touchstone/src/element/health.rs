//! `touchstone element selftest` and `lockout`: how a TPM is.

use super::{refused, secrets, tpm_failure};
use crate::answer::{Answer, Answered};
use crate::cli::{Element as Command, Lockout as Verb};
use serde_json::{Value, json};
use touchstone_drive::element::Location;
use touchstone_element::Error;
use touchstone_element::reference::Kind;
use touchstone_tpm2::admin::TestResult;
use touchstone_tpm2::{self as tpm2, AuthValue, Lockout, Tpm, response_code};

pub(crate) fn self_test(location: &Location, command: &Command, full: bool) -> Answered {
    let answer = Answer::new("touchstone.element.selftest/1").with("full", full);
    if location.kind() == Kind::Tpm
        && let Err(Error::Refused(refusal)) = location.open_tpm(&command.state)
        && refusal.response == response_code::FAILURE
    {
        // It does nothing more, not even tell what is loaded.
        let words = format!("the TPM is in failure mode: {}", refusal.words);
        return Ok(answer.good(false).with("result", "TPM_RC_FAILURE").line(words));
    }
    let mut tpm = super::tpm(command)?;
    match tpm.admin().self_test(full) {
        Ok(()) | Err(tpm2::Error::Failed { .. }) => {}
        Err(error) => return Err(tpm_failure(&error)),
    }
    let result = tpm.admin().test_result().map_err(|error| tpm_failure(&error))?;
    Ok(tested(answer, &result))
}

fn tested(answer: Answer, result: &TestResult) -> Answer {
    let name =
        if result.is_good() { "TPM_RC_SUCCESS" } else { response_code::name(result.response) };
    answer
        .good(!result.is_failure())
        .with("result", name)
        .with("details", crate::answer::hex(&result.details))
        .line(result)
}

pub(crate) fn lockout(tpm: &mut Tpm, verb: Option<&Verb>) -> Answered {
    match verb {
        None | Some(Verb::Show) => show(tpm),
        Some(Verb::Reset { password }) => reset(tpm, password.as_deref()),
    }
}

fn show(tpm: &mut Tpm) -> Answered {
    let lockout = tpm.lockout().map_err(|error| tpm_failure(&error))?;
    let Value::Object(members) = to_json(&lockout) else {
        return Ok(Answer::new("touchstone.element.lockout/1").good(false));
    };
    Ok(Answer::new("touchstone.element.lockout/1")
        .good(!lockout.is_locked())
        .with_all(members)
        .line(words(&lockout)))
}

fn reset(tpm: &mut Tpm, reference: Option<&str>) -> Answered {
    if let Some(password) = secrets::password(reference)? {
        tpm.hierarchies.lockout = AuthValue::new(password.expose());
    }
    let answer = Answer::new("touchstone.element.lockout.reset/1");
    match tpm.reset_lockout() {
        Ok(()) => Ok(answer.word("every wrong try is forgiven")),
        Err(tpm2::Error::LockedOut(lockout)) => {
            let wait = match lockout.recovery {
                0 => "until the device starts again".to_owned(),
                seconds => span(seconds),
            };
            let words = format!(
                "a wrong lockout password was tried before: wait {wait}, then try the right one"
            );
            Ok(answer.good(false).with("code", "tpm2.authorization.locked-out").word(words))
        }
        Err(error) => refused(answer, &error),
    }
}

pub(crate) fn to_json(lockout: &Lockout) -> Value {
    json!({
        "locked": lockout.is_locked(),
        "failed": lockout.failed,
        "allowed": lockout.allowed,
        "tries_left": lockout.tries_left(),
        "interval_seconds": lockout.interval,
        "recovery_seconds": lockout.recovery,
    })
}

/// How a TPM stands against guessing, and what to do when it is locked.
pub(crate) fn words(lockout: &Lockout) -> String {
    let Lockout { failed, interval, .. } = lockout;
    if !lockout.is_locked() {
        let forgiven = match interval {
            0 => "a restart forgives them".to_owned(),
            seconds => format!("one is forgiven every {}", span(*seconds)),
        };
        let left = lockout.tries_left();
        return format!("{failed} wrong tries, {left} more lock it; {forgiven}");
    }
    let wait = match interval {
        0 => "restart the device".to_owned(),
        seconds => format!("wait {}", span(*seconds)),
    };
    format!(
        "locked out after {failed} wrong tries; {wait} or run `touchstone element lockout reset`"
    )
}

/// A span of time as people say it.
fn span(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lockout_says_what_to_do() {
        let mut lockout = Lockout { failed: 29, allowed: 32, interval: 7200, recovery: 86_400 };
        assert_eq!(words(&lockout), "29 wrong tries, 3 more lock it; one is forgiven every 2 h");
        lockout.failed = 32;
        assert_eq!(
            words(&lockout),
            "locked out after 32 wrong tries; wait 2 h or run `touchstone element lockout reset`"
        );
    }
}
