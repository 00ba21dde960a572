//! A policy that others have signed: who must have, and whether it is what the envelope says.

use super::{bad, seal::ENVELOPE};
use crate::answer::Failure;
use crate::files::{self, LARGE};
use crate::signing;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use touchstone_crypto_awslc::AwsLc;
use touchstone_policy::{Bundle, Catalog, Limits, Policy};
use touchstone_update::{Refused, Role, Rules, inspect, open};

/// The policy in an envelope that somebody of each of the files has signed.
pub(crate) fn load_signed(
    path: &Path,
    signers: &[PathBuf],
    catalog: &Catalog,
) -> Result<Policy, Failure> {
    let shown = path.display();
    let refused = |refused: Refused| {
        let next = "have it signed with `touchstone policy sign`, once by each --policy-signer";
        Failure::unknown(refused.code(), format!("{shown}: {refused}"), next)
    };
    let other = |why: &str| {
        let next = "give what `touchstone policy sign` wrote";
        Failure::unknown("touchstone.policy.envelope", format!("{shown}: {why}"), next)
    };
    let envelope = files::read(path, LARGE)?;
    if envelope.first() != Some(&ENVELOPE) {
        return Err(other("it is not signed"));
    }
    let mut roles = Vec::new();
    for signer in signers {
        let trust = signing::trust(signing::certificates(signer)?);
        roles.push(Role { name: signer.display().to_string(), trust });
    }
    let component = inspect(&envelope).map_err(refused)?.manifest.component;
    let wanted = Rules { component: component.clone(), above: 0, roles };
    let update = open(&AwsLc, &envelope, &wanted, files::now()?).map_err(refused)?;
    if update.payload().len() > Limits::TEXT {
        return Err(other("it is larger than a policy may be"));
    }
    let text = String::from_utf8(update.payload().to_vec());
    let text = text.map_err(|_| other("what was signed is no text"))?;
    let none = |_: &str| Ok::<_, Infallible>(None);
    let Ok(bundle) = Bundle::gather(&shown.to_string(), text, none);
    let policy =
        Policy::parse(bundle.text(), catalog).map_err(|faults| bad(path, &bundle, &faults))?;
    let manifest = update.manifest();
    let named = component.strip_prefix("policy.") == Some(policy.name());
    if !named || manifest.version != policy.version() {
        return Err(other("the envelope names another policy, or another version, than is in it"));
    }
    Ok(policy)
}
