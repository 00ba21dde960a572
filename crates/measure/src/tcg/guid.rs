//! GUIDs, and those that have a name.

use core::fmt;

/// A GUID as UEFI stores it: the first three fields little-endian (UEFI 2.10 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

/// The octets of a GUID from the text that people know it by.
const fn guid(text: &[u8; 36]) -> Guid {
    const PLACES: [usize; 16] = [6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34];
    let mut octets = [0; 16];
    let mut index = 0;
    while index < 16 {
        #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks it")]
        {
            let at = PLACES[index];
            octets[index] = digit(text[at]) << 4 | digit(text[at + 1]);
        }
        index += 1;
    }
    Guid(octets)
}

const fn digit(c: u8) -> u8 {
    match c {
        b'0'..=b'9' => c - b'0',
        _ => c - b'a' + 10,
    }
}

macro_rules! known {
    ($($(#[$about:meta])* $name:ident = $text:literal, $short:literal;)*) => {
        impl Guid {
            $($(#[$about])* pub const $name: Self = guid($text);)*

            /// What it is called; `None` if it has no name here.
            pub fn name(self) -> Option<&'static str> {
                $(if self == Self::$name { return Some($short); })*
                None
            }
        }
    };
}

known! {
    /// `EFI_GLOBAL_VARIABLE` (UEFI 2.10 §3.3).
    GLOBAL_VARIABLE = b"8be4df61-93ca-11d2-aa0d-00e098032b8c", "global variable";
    /// `EFI_IMAGE_SECURITY_DATABASE_GUID`: db and dbx (UEFI 2.10 §32.6.1).
    IMAGE_SECURITY_DATABASE = b"d719b2cb-3d3a-4596-a3bc-dad00e67656f", "image security database";
    /// `EFI_CERT_X509_GUID` (UEFI 2.10 §32.4.1).
    CERT_X509 = b"a5c059a1-94e4-4aa7-87b5-ab155c2bf072", "X.509 certificate";
    /// `EFI_CERT_SHA256_GUID` (UEFI 2.10 §32.4.1).
    CERT_SHA256 = b"c1c41626-504c-4092-aca9-41f936934328", "SHA-256 digest";
    /// `EFI_CERT_SHA1_GUID` (UEFI 2.10 §32.4.1).
    CERT_SHA1 = b"826ca512-cf10-4ac9-b187-be01496631bd", "SHA-1 digest";
    /// `EFI_CERT_SHA384_GUID` (UEFI 2.10 §32.4.1).
    CERT_SHA384 = b"ff3e5307-9fd0-48c9-85f1-8ad56c701e01", "SHA-384 digest";
    /// `EFI_CERT_SHA512_GUID` (UEFI 2.10 §32.4.1).
    CERT_SHA512 = b"093e0fae-a6c4-4f50-9f1b-d41e2b89c19a", "SHA-512 digest";
    /// `EFI_CERT_RSA2048_GUID` (UEFI 2.10 §32.4.1).
    CERT_RSA2048 = b"3c5766e8-269c-4e34-aa14-ed776e85b3b6", "RSA-2048 key";
    /// `EFI_CERT_X509_SHA256_GUID` (UEFI 2.10 §32.4.1).
    CERT_X509_SHA256 = b"3bd2a492-96c0-4079-b420-fcf98ef103ed", "SHA-256 of a certificate";
    /// `EFI_CERT_X509_SHA384_GUID` (UEFI 2.10 §32.4.1).
    CERT_X509_SHA384 = b"7076876e-80c2-4ee6-aad2-28b349a6865b", "SHA-384 of a certificate";
    /// `EFI_CERT_X509_SHA512_GUID` (UEFI 2.10 §32.4.1).
    CERT_X509_SHA512 = b"446dbf63-2502-4cda-bcfa-2465d2b0fe9d", "SHA-512 of a certificate";
    /// Owner of shim's variables: `SbatLevel`, `MokList`.
    SHIM_LOCK = b"605dab50-e046-4300-abb6-3dd810dd8b23", "shim";
    /// Owner of Microsoft's entries in KEK, db and dbx.
    MICROSOFT = b"77fa9abd-0359-4d32-bd60-28f4e78f784b", "Microsoft";
    /// Owner of systemd's variables.
    LOADER = b"4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", "boot loader";
    /// An EFI system partition (UEFI 2.10 §5.3.3).
    ESP = b"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system partition";
    /// SMBIOS, 32-bit entry point (UEFI 2.10 §4.6).
    SMBIOS = b"eb9d2d31-2d88-11d3-9a16-0090273fc14d", "SMBIOS";
    /// SMBIOS, 64-bit entry point (UEFI 2.10 §4.6).
    SMBIOS3 = b"f2fd1544-9794-4a2c-992e-e5bbcf20e394", "SMBIOS 3";
    /// ACPI 2.0 and newer (UEFI 2.10 §4.6).
    ACPI_20 = b"8868e871-e4f1-11d3-bc22-0080c73c8881", "ACPI";
    /// ACPI 1.0 (UEFI 2.10 §4.6).
    ACPI_10 = b"eb9d2d30-2d88-11d3-9a16-0090273fc14d", "ACPI 1.0";
}

impl Guid {
    /// Reads the form with hyphens; `None` if it is another.
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
        let hyphens = [8, 13, 18, 23];
        let sound = text.iter().enumerate().all(|(place, c)| {
            if hyphens.contains(&place) { *c == b'-' } else { c.is_ascii_hexdigit() }
        });
        sound.then(|| guid(&text.to_ascii_lowercase().try_into().unwrap_or([b'0'; 36])))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        for (place, from) in ORDER.into_iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0.get(from).copied().unwrap_or(0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_guid_reads_back_what_it_shows() {
        let text = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
        assert_eq!(Guid::parse(text), Some(Guid::GLOBAL_VARIABLE));
        assert_eq!(Guid::GLOBAL_VARIABLE.to_string(), text);
        assert_eq!(Guid::GLOBAL_VARIABLE.0[..4], [0x61, 0xDF, 0xE4, 0x8B]);
        assert_eq!(Guid::parse("8be4df61-93ca-11d2-aa0d-00e098032b8"), None);
        assert_eq!(Guid::parse("8be4df61+93ca-11d2-aa0d-00e098032b8c"), None);
    }
}
