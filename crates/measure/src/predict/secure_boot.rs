//! PCR 7: what Secure Boot trusts, and what it found the images to be signed by (PFP §3.3.4.8).

use super::Prediction;
use crate::tcg::{EventType, Guid, variable_data};
use alloc::vec::Vec;
use touchstone_crypto::Crypto;

const PCR: u32 = 7;

/// What the variable `SecureBoot` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Images are verified.
    On,
    /// The firmware could, but does not.
    Off,
    /// The firmware has no such variable; it measures one without content.
    Absent,
}

/// The variables as the firmware holds them: EFI_SIGNATURE_LISTs (UEFI 2.10 §32.4.1), without the
/// four octets of attributes that Linux puts before them in efivarfs, and without the signature
/// that an update of a variable comes in. Empty is a variable that does not exist.
#[derive(Clone, Debug)]
pub struct SecureBoot<'a> {
    /// `SecureBoot`.
    pub state: State,
    /// `PK`.
    pub pk: &'a [u8],
    /// `KEK`.
    pub kek: &'a [u8],
    /// `db`.
    pub db: &'a [u8],
    /// `dbx`.
    pub dbx: &'a [u8],
    /// `dbt`; measured only if it exists.
    pub dbt: Option<&'a [u8]>,
    /// `dbr`; measured only if it exists.
    pub dbr: Option<&'a [u8]>,
    /// What the images are verified with, in the order of their first use. Each is measured once,
    /// and none while Secure Boot is off.
    pub authorities: Vec<Authority<'a>>,
}

/// What an image was verified with (`EV_EFI_VARIABLE_AUTHORITY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Whose variable it is in: [`Guid::IMAGE_SECURITY_DATABASE`] for db, [`Guid::SHIM_LOCK`] for
    /// what shim verifies.
    pub vendor: Guid,
    /// The variable: `db`; for shim `Shim`, `MokListRT`, `SbatLevel`.
    pub name: &'a str,
    /// The one entry of it, as [`signature_data`] makes it; for `SbatLevel` its text.
    pub data: &'a [u8],
}

impl<'a> SecureBoot<'a> {
    /// Secure Boot on, with these variables.
    pub const fn on(pk: &'a [u8], kek: &'a [u8], db: &'a [u8], dbx: &'a [u8]) -> Self {
        let authorities = Vec::new();
        Self { state: State::On, pk, kek, db, dbx, dbt: None, dbr: None, authorities }
    }

    /// The same, and images are verified with this entry of db ([`signature_data`]).
    #[must_use]
    pub fn verified_by_db(mut self, entry: &'a [u8]) -> Self {
        let vendor = Guid::IMAGE_SECURITY_DATABASE;
        self.authorities.push(Authority { vendor, name: "db", data: entry });
        self
    }

    pub(super) fn predict(&self, crypto: &dyn Crypto, separator: u32, to: &mut Prediction) {
        let state: &[u8] = match self.state {
            State::On => &[1],
            State::Off => &[0],
            State::Absent => &[],
        };
        let global = Guid::GLOBAL_VARIABLE;
        let security = Guid::IMAGE_SECURITY_DATABASE;
        let always = [
            (global, "SecureBoot", Some(state)),
            (global, "PK", Some(self.pk)),
            (global, "KEK", Some(self.kek)),
            (security, "db", Some(self.db)),
            (security, "dbx", Some(self.dbx)),
            (security, "dbt", self.dbt),
            (security, "dbr", self.dbr),
        ];
        for (vendor, name, data) in always {
            let Some(data) = data else { continue };
            let measured = variable_data(vendor, name, data);
            to.measure(crypto, PCR, EventType::EFI_VARIABLE_DRIVER_CONFIG, name, &[&measured]);
        }
        to.measure(crypto, PCR, EventType::SEPARATOR, "separator", &[&separator.to_le_bytes()]);
        if self.state != State::On {
            return;
        }
        for (place, authority) in self.authorities.iter().enumerate() {
            let before = self.authorities.get(..place).unwrap_or_default();
            if before.contains(authority) {
                continue;
            }
            let measured = variable_data(authority.vendor, authority.name, authority.data);
            let kind = EventType::EFI_VARIABLE_AUTHORITY;
            to.measure(crypto, PCR, kind, authority.name, &[&measured]);
        }
    }
}

/// One entry of a database: EFI_SIGNATURE_DATA (UEFI 2.10 §32.4.1), of a certificate in DER or of
/// a digest.
pub fn signature_data(owner: Guid, data: &[u8]) -> Vec<u8> {
    [&owner.0, data].concat()
}

/// A database of one certificate or digest: EFI_SIGNATURE_LIST (UEFI 2.10 §32.4.1) with one entry.
/// A variable with several certificates is such lists, one after another.
pub fn signature_list(kind: Guid, owner: Guid, data: &[u8]) -> Vec<u8> {
    let entry = signature_data(owner, data);
    let len = |octets: usize| u32::try_from(octets).unwrap_or(u32::MAX).to_le_bytes();
    [&kind.0[..], &len(28 + entry.len()), &len(0), &len(entry.len()), &entry].concat()
}
