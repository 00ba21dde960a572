//! A complete path, walked from the anchor down (RFC 5280 §6.1.2 to §6.1.5): names, policies,
//! revocation.

use super::policy::{Fault, Policies};
use super::search::Search;
use crate::trust::Chain;
use crate::{Certificate, Error, Refusal};
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;

/// Judges the path from `leaf` over `issuers` to the anchor, its last. For the signer of a CRL, no
/// policies are asked for.
pub(super) fn walk(
    search: &mut Search<'_>,
    leaf: &Certificate,
    issuers: &[Certificate],
    policies_wanted: bool,
) -> Result<Chain, Error> {
    check_names(search, leaf, issuers)?;
    let policies =
        if policies_wanted { check_policies(search, leaf, issuers)? } else { Vec::new() };
    search.check_revocation(leaf, issuers)?;
    Ok(Chain { leaf: leaf.clone(), issuers: issuers.to_vec(), policies })
}

/// What holds for the end of a path alone.
pub(super) fn check_end(leaf: &Certificate) -> Result<(), Refusal> {
    let extensions = leaf.extensions();
    // RFC 5280 §4.2.1.10: name constraints are for CAs.
    if extensions.name_constraints.is_some() && !extensions.is_ca {
        return Err(Refusal::UnsupportedConstraints);
    }
    if leaf.alternative_names().iter().all(crate::AlternativeName::is_spelled_well) {
        Ok(())
    } else {
        Err(Refusal::BadName)
    }
}

/// §6.1.3 (b), (c), with §6.1.4 (g): each certificate's names by the constraints of every CA above
/// it. Those of the anchor count, too (RFC 5937 §3.2).
fn check_names(
    search: &mut Search<'_>,
    leaf: &Certificate,
    issuers: &[Certificate],
) -> Result<(), Error> {
    for (index, issuer) in issuers.iter().enumerate() {
        let Some(constraints) = &issuer.extensions().name_constraints else { continue };
        let below = issuers.iter().take(index).filter(|ca| !ca.is_self_issued());
        for certificate in below.chain([leaf]) {
            constraints
                .check(&certificate.named(), &mut search.comparisons)
                .map_err(|reason| Error::refused(reason, certificate.subject()))?;
        }
    }
    Ok(())
}

fn check_policies(
    search: &Search<'_>,
    leaf: &Certificate,
    issuers: &[Certificate],
) -> Result<Vec<ObjectIdentifier>, Error> {
    let Some((anchor, cas)) = issuers.split_last() else { return Ok(Vec::new()) };
    let wanted = &search.inputs.policies;
    let mut policies = Policies::new(wanted, anchor.extensions(), issuers.len());
    for ca in cas.iter().rev() {
        let (extensions, self_issued) = (ca.extensions(), ca.is_self_issued());
        policies
            .certificate(extensions, self_issued, false)
            .and_then(|()| policies.next(extensions, self_issued))
            .map_err(|fault| refused(fault, ca))?;
    }
    policies
        .certificate(leaf.extensions(), leaf.is_self_issued(), true)
        .and_then(|()| policies.finish(leaf.extensions()))
        .map_err(|fault| refused(fault, leaf))
}

fn refused(fault: Fault, certificate: &Certificate) -> Error {
    let reason = match fault {
        Fault::NoneHolds => Refusal::NoAcceptablePolicy,
        Fault::MapsAny => Refusal::BadPolicyMapping,
    };
    Error::refused(reason, certificate.subject())
}
