//! The firmware's variable store: our own PK, KEK and db, in it before the first boot, so that
//! Secure Boot is on from the start and only the device maker's keys count (UEFI §32.3).
//!
//! OVMF keeps its variables in a firmware volume (PI §3.2.1) that holds one store of authenticated
//! variables. A fresh store is empty, so the three are written at its beginning; OVMF finds a PK and
//! enters user mode. What this is not: an editor for stores in use.

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

/// The part of UEFI's key hierarchy that a device maker holds: a platform key, a key exchange key
/// and one key that may sign what boots.
pub struct SecureBootKeys {
    /// The platform key's certificate, DER.
    pub pk: Vec<u8>,
    /// The key exchange key's certificate, DER.
    pub kek: Vec<u8>,
    /// The certificate of the key that signs boot images, DER.
    pub db: Vec<u8>,
    /// The same as PEM.
    pub db_pem: String,
    /// The private key that signs boot images, PKCS #8 PEM.
    pub db_key_pem: String,
}

impl SecureBootKeys {
    /// New keys for `maker`. RSA 2048, because that is what OVMF verifies everywhere.
    pub fn generate(maker: &str) -> Result<Self, rcgen::Error> {
        let (pk, _) = self_signed(&format!("{maker} platform key"))?;
        let (kek, _) = self_signed(&format!("{maker} key exchange key"))?;
        let (db, key) = self_signed(&format!("{maker} boot image signing"))?;
        Ok(Self {
            pk: pk.der().to_vec(),
            kek: kek.der().to_vec(),
            db_pem: db.pem(),
            db: db.der().to_vec(),
            db_key_pem: key.serialize_pem(),
        })
    }
}

fn self_signed(name: &str) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok((params.self_signed(&key)?, key))
}

/// Why a firmware volume was not written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is shorter than its headers say.
    Truncated,
    /// It is no firmware volume with a store of authenticated variables.
    NotAVariableStore,
    /// There are variables in it already.
    NotEmpty,
    /// The keys do not fit.
    Full,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "firmware variables: shorter than its headers say",
            Self::NotAVariableStore => "firmware variables: no store of authenticated variables",
            Self::NotEmpty => "firmware variables: not empty; start from a fresh template",
            Self::Full => "firmware variables: the keys do not fit",
        })
    }
}

impl std::error::Error for Error {}

/// `EFI_GLOBAL_VARIABLE`, the vendor of PK and KEK (UEFI §3.3).
const GLOBAL: Guid = guid(0x8BE4_DF61, 0x93CA, 0x11D2, 0xAA0D_00E0_9803_2B8C);
/// `EFI_IMAGE_SECURITY_DATABASE_GUID`, the vendor of db (UEFI §32.4.1).
const IMAGE_SECURITY: Guid = guid(0xD719_B2CB, 0x3D3A, 0x4596, 0xA3BC_DAD0_0E67_656F);
/// `EFI_CERT_X509_GUID` (UEFI §32.4.1).
const CERT_X509: Guid = guid(0xA5C0_59A1, 0x94E4, 0x4AA7, 0x87B5_AB15_5C2B_F072);
/// EDK II's store of authenticated variables.
const AUTHENTICATED_STORE: Guid = guid(0xAAF3_2C78, 0x947B, 0x439A, 0xA180_2E14_4EC3_7792);
/// Who owns the entries: the rig.
const OWNER: Guid = guid(0x746F_7563, 0x6873, 0x4F6E, 0xA52D_7269_672D_6B65);

type Guid = [u8; 16];

/// A GUID in its mixed-endian form (UEFI appendix A).
const fn guid(a: u32, b: u16, c: u16, d: u64) -> Guid {
    let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// Length of EDK II's `VARIABLE_STORE_HEADER`: GUID, size, format, state, reserved.
const STORE_HEADER: usize = 28;
/// Non-volatile, boot service and run-time access, time-based authenticated write access.
const ATTRIBUTES: u32 = 0x27;
/// `VAR_ADDED`: written completely and not deleted.
const ADDED: u8 = 0x3F;

/// Puts the keys into a fresh `OVMF_VARS` image.
pub fn enrol(template: &[u8], keys: &SecureBootKeys) -> Result<Vec<u8>, Error> {
    let store = Store::find(template)?;
    let mut variables = Vec::new();
    for (name, vendor, certificate) in
        [("PK", GLOBAL, &keys.pk), ("KEK", GLOBAL, &keys.kek), ("db", IMAGE_SECURITY, &keys.db)]
    {
        append(&mut variables, name, &vendor, &signature_list(certificate)?)?;
    }
    let mut image = template.to_vec();
    let free = image.get_mut(store.first..store.end).ok_or(Error::Truncated)?;
    let room = free.get_mut(..variables.len()).ok_or(Error::Full)?;
    room.copy_from_slice(&variables);
    Ok(image)
}

/// Where the variables stand.
struct Store {
    first: usize,
    end: usize,
}

impl Store {
    fn find(image: &[u8]) -> Result<Self, Error> {
        // EFI_FIRMWARE_VOLUME_HEADER (PI §3.2.1.1): signature at 40, header length at 48.
        if image.get(40..44) != Some(b"_FVH") {
            return Err(Error::NotAVariableStore);
        }
        let header = u16::from_le_bytes(array(image, 48)?);
        let start = usize::from(header);
        if array(image, start)? != AUTHENTICATED_STORE {
            return Err(Error::NotAVariableStore);
        }
        let size = u32::from_le_bytes(array(image, start + 16)?);
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
        let end = end.filter(|end| *end <= image.len()).ok_or(Error::Truncated)?;
        let first = start + STORE_HEADER;
        let fresh = image.get(first..end).ok_or(Error::Truncated)?;
        if fresh.iter().any(|byte| *byte != 0xFF) {
            return Err(Error::NotEmpty);
        }
        Ok(Self { first, end })
    }
}

fn array<const N: usize>(image: &[u8], at: usize) -> Result<[u8; N], Error> {
    image.get(at..).and_then(|rest| rest.first_chunk().copied()).ok_or(Error::Truncated)
}

/// One `EFI_SIGNATURE_LIST` with one certificate (UEFI §32.4.1).
pub fn signature_list(certificate: &[u8]) -> Result<Vec<u8>, Error> {
    let entry = u32::try_from(OWNER.len() + certificate.len()).map_err(|_| Error::Full)?;
    let list = entry.checked_add(28).ok_or(Error::Full)?;
    Ok([
        &CERT_X509[..],
        &list.to_le_bytes(),
        &0u32.to_le_bytes(),
        &entry.to_le_bytes(),
        &OWNER,
        certificate,
    ]
    .concat())
}

/// One EDK II `AUTHENTICATED_VARIABLE_HEADER` with name and data, padded to four bytes.
fn append(out: &mut Vec<u8>, name: &str, vendor: &Guid, data: &[u8]) -> Result<(), Error> {
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let name_len = u32::try_from(name.len()).map_err(|_| Error::Full)?;
    let data_len = u32::try_from(data.len()).map_err(|_| Error::Full)?;
    out.extend(0x55AAu16.to_le_bytes());
    out.extend([ADDED, 0]);
    out.extend(ATTRIBUTES.to_le_bytes());
    out.extend(0u64.to_le_bytes()); // monotonic count: unused with time-based authentication
    // EFI_TIME of the enrolment: a later update has to be newer (UEFI §8.2.2).
    out.extend(2020u16.to_le_bytes());
    out.extend([1, 1, 0, 0, 0, 0]);
    out.extend([0; 8]);
    out.extend(0u32.to_le_bytes()); // public key index: unused
    out.extend(name_len.to_le_bytes());
    out.extend(data_len.to_le_bytes());
    out.extend(vendor);
    out.extend(name);
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0xFF);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> SecureBootKeys {
        SecureBootKeys {
            pk: vec![1; 701],
            kek: vec![2; 702],
            db: vec![3; 703],
            db_pem: String::new(),
            db_key_pem: String::new(),
        }
    }

    fn fresh() -> Vec<u8> {
        let mut image = vec![0xFF; 0x2000];
        image[..72].fill(0);
        image[40..44].copy_from_slice(b"_FVH");
        image[48..50].copy_from_slice(&72u16.to_le_bytes());
        image[72..88].copy_from_slice(&AUTHENTICATED_STORE);
        image[88..92].copy_from_slice(&0x1800u32.to_le_bytes());
        image
    }

    #[test]
    fn the_three_keys_stand_one_after_the_other() {
        let image = enrol(&fresh(), &keys()).unwrap();
        assert_eq!(image.len(), 0x2000);
        let first = 72 + STORE_HEADER;
        assert_eq!(&image[first..first + 4], [0xAA, 0x55, 0x3F, 0]);
        let headers: Vec<usize> = (first..image.len() - 60)
            .step_by(4)
            .filter(|at| image[*at..*at + 4] == [0xAA, 0x55, 0x3F, 0])
            .collect();
        assert_eq!(headers.len(), 3);
        let names: Vec<&[u8]> = headers.iter().map(|at| &image[at + 60..at + 64]).collect();
        assert_eq!(names, [b"P\0K\0", b"K\0E\0", b"d\0b\0"]);
    }

    #[test]
    fn a_store_in_use_is_left_alone() {
        let once = enrol(&fresh(), &keys()).unwrap();
        assert_eq!(enrol(&once, &keys()), Err(Error::NotEmpty));
    }

    #[test]
    fn what_is_no_store_is_refused() {
        assert_eq!(enrol(&[], &keys()), Err(Error::NotAVariableStore));
        let mut other = fresh();
        other[72] ^= 1;
        assert_eq!(enrol(&other, &keys()), Err(Error::NotAVariableStore));
        assert_eq!(enrol(&fresh()[..0x100], &keys()), Err(Error::Truncated));
    }

    #[test]
    fn keys_that_do_not_fit_are_refused() {
        let large = SecureBootKeys { db: vec![3; 0x1800], ..keys() };
        assert_eq!(enrol(&fresh(), &large), Err(Error::Full));
    }
}
