//! The files that tpm2-tools write: public keys (`tpm2_readpublic`, `tpm2_createak`), and the
//! signature and the PCR values of a quote (`tpm2_quote`).
//!
//! What this is not: a check. A file of PCR values proves nothing until it is bound to a verified
//! quote ([`PcrFile::bind`]).

mod pcrs;

pub use pcrs::{MAX_PCR_FILE, PcrFile};

use crate::Error;
use crate::tpm::{AttestationKey, Signature};
use alloc::vec;
use alloc::vec::Vec;

/// The largest file of a key that is read, in octets.
pub const MAX_KEY_FILE: usize = 64 * 1024;

const KEY: &str = "public key";
const PEM: &str = "PUBLIC KEY";

/// Reads an attestation key in any of the formats of `tpm2_readpublic -f`: TPM2B_PUBLIC (`tss`),
/// TPMT_PUBLIC (`tpmt`), `SubjectPublicKeyInfo` in `pem` or `der`.
pub fn attestation_key(file: &[u8]) -> Result<AttestationKey, Error> {
    if file.len() > MAX_KEY_FILE {
        return Err(Error::TooLarge { item: KEY, limit: MAX_KEY_FILE });
    }
    match file {
        [b'-', b'-', b'-', b'-', b'-', ..] => {
            let malformed = Error::Malformed { item: KEY, at: 0 };
            let (label, der) = pem_rfc7468::decode_vec(file).map_err(|_| malformed.clone())?;
            if label == PEM { AttestationKey::from_spki(&der) } else { Err(malformed) }
        }
        [0x30, ..] => AttestationKey::from_spki(file),
        [high, low, native @ ..]
            if usize::from(u16::from_be_bytes([*high, *low])) == native.len() =>
        {
            AttestationKey::from_native(native)
        }
        _ => AttestationKey::from_native(file),
    }
}

/// The signatures that a file may hold: one if it is a TPMT_SIGNATURE (`-f tss`), and otherwise
/// (`-f plain`) one for each algorithm that the key may have signed with.
pub(crate) fn signatures(file: &[u8], key: &AttestationKey) -> Result<Vec<Signature>, Error> {
    match Signature::decode(file) {
        Ok(signature) => Ok(vec![signature]),
        Err(error) if is_framed(file) => Err(error),
        Err(_) => {
            let algorithms = key.candidates();
            Ok(algorithms.iter().filter_map(|known| Signature::plain(*known, file)).collect())
        }
    }
}

/// Whether this begins as a TPMT_SIGNATURE does: with the TPM_ALG_ID of a scheme and of a hash. A
/// plain signature is as good as random; one in 2^24 looks alike, and is then refused.
fn is_framed(file: &[u8]) -> bool {
    matches!(file, [0x00, 0x14 | 0x16 | 0x18 | 0x1A..=0x1C, 0x00, ..] | [0x00, 0xA1 | 0xA2, ..])
}
