//! Making a credential away from the TPM (TPM 2.0 Part 1 §24): a secret that only the TPM with this
//! endorsement key can read, and only while it holds the key of this name.

use crate::Error;
use crate::marshal::Writer;
use crate::protect::Wrapping;
use crate::public::Public;
use crate::session::secret_for;
use alloc::vec::Vec;
use touchstone_crypto::TpmCrypto;
use zeroize::Zeroizing;

/// A secret only one TPM can open, and only while it holds a certain key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// `TPMS_ID_OBJECT`: what is inside `TPM2B_ID_OBJECT`.
    pub blob: Vec<u8>,
    /// What is inside `TPM2B_ENCRYPTED_SECRET`.
    pub secret: Vec<u8>,
}

/// A credential for the endorsement key `ek` (`TPMT_PUBLIC`) that holds `secret`: 1 octet to the
/// digest's length of the endorsement key's name algorithm. `name` is the attestation key's, see
/// [`name_of`](crate::name_of).
///
/// Whether `ek` is genuine is for the caller to know from its certificate.
pub fn make(
    ek: &[u8],
    name: &[u8],
    secret: &[u8],
    crypto: &dyn TpmCrypto,
) -> Result<Credential, Error> {
    let ek = Public::decode(ek)?;
    if !(1..=ek.name_algorithm.len()).contains(&secret.len()) {
        return Err(Error::BadInput("a credential's secret is 1 octet to a digest's length"));
    }
    let (seed, encrypted_seed) = secret_for(crypto, &ek, b"IDENTITY")?;
    let identity = Zeroizing::new(Writer::default().sized(secret)?.done());
    let blob = Wrapping::new(&ek, &seed, name, crypto)?.seal(identity)?;
    Ok(Credential { blob, secret: encrypted_seed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;
    use alloc::vec;
    use touchstone_crypto_awslc::AwsLc;

    #[test]
    fn a_key_that_is_no_endorsement_key_gets_no_credential() {
        let algorithm = touchstone_crypto::SignatureAlgorithm::EcdsaP256Sha256;
        let signing = template::signing_for(algorithm, false).unwrap();
        let blank = template::srk();
        for (ek, secret) in [(&signing, 32), (&blank, 0), (&blank, 33), (&blank, 32)] {
            let ek = ek.encode().unwrap();
            assert!(make(&ek, b"name", &vec![1; secret], &AwsLc).is_err());
        }
    }
}
