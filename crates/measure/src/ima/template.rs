//! Templates: which fields an entry has (Linux, Documentation/security/IMA-templates.rst).

use crate::Problem;

/// As many fields as the kernel allows in a template.
const MOST_FIELDS: usize = 15;

/// A field of a template, by its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `d`: the digest, SHA-1 or MD5, without its algorithm.
    Digest,
    /// `n`: the name, at most 255 octets.
    Name,
    /// `d-ng`: the digest behind its algorithm, `sha256:\0`.
    DigestNg,
    /// `d-ngv2`: the digest behind its type and algorithm, `verity:sha256:\0`.
    DigestNgV2,
    /// `d-modsig`: the digest of the file without its appended signature; as `d-ng`.
    DigestModsig,
    /// `n-ng`: the name.
    NameNg,
    /// `sig`: the signature in `security.ima`, or else the portable one in `security.evm`.
    Signature,
    /// `modsig`: the appended signature.
    Modsig,
    /// `buf`: what was measured, if it is not a file.
    Buffer,
    /// `evmsig`: the portable signature in `security.evm`.
    EvmSignature,
    /// `iuid`: the file's owner.
    Uid,
    /// `igid`: the file's group.
    Gid,
    /// `imode`: the file's mode.
    Mode,
    /// `xattrnames`: the names of the extended attributes that EVM protects, between `|`.
    XattrNames,
    /// `xattrlengths`: the length of each, 32 bits.
    XattrLengths,
    /// `xattrvalues`: their values, one after another.
    XattrValues,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 16] = [
        Self::Digest,
        Self::Name,
        Self::DigestNg,
        Self::DigestNgV2,
        Self::DigestModsig,
        Self::NameNg,
        Self::Signature,
        Self::Modsig,
        Self::Buffer,
        Self::EvmSignature,
        Self::Uid,
        Self::Gid,
        Self::Mode,
        Self::XattrNames,
        Self::XattrLengths,
        Self::XattrValues,
    ];

    /// Its identifier in template descriptors.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Digest => "d",
            Self::Name => "n",
            Self::DigestNg => "d-ng",
            Self::DigestNgV2 => "d-ngv2",
            Self::DigestModsig => "d-modsig",
            Self::NameNg => "n-ng",
            Self::Signature => "sig",
            Self::Modsig => "modsig",
            Self::Buffer => "buf",
            Self::EvmSignature => "evmsig",
            Self::Uid => "iuid",
            Self::Gid => "igid",
            Self::Mode => "imode",
            Self::XattrNames => "xattrnames",
            Self::XattrLengths => "xattrlengths",
            Self::XattrValues => "xattrvalues",
        }
    }

    /// The field of that identifier.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.id() == id)
    }
}

/// A template: its name, or the descriptor of one that the kernel was given by
/// `ima_template_fmt=`, which has to begin with a digest and a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template<'a> {
    name: &'a str,
    fields: Fields<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fields<'a> {
    Known(&'static [Field]),
    /// Checked to name known fields only.
    Custom(&'a str),
}

use Field::{
    Buffer, Digest, DigestModsig, DigestNg, DigestNgV2, EvmSignature, Gid, Mode, Modsig, Name,
    NameNg, Signature, Uid, XattrLengths, XattrNames, XattrValues,
};

#[rustfmt::skip]
static KNOWN: [(&str, &[Field]); 8] = [
    ("ima-ng", &[DigestNg, NameNg]),
    ("ima-sig", &[DigestNg, NameNg, Signature]),
    ("ima-buf", &[DigestNg, NameNg, Buffer]),
    ("ima-ngv2", &[DigestNgV2, NameNg]),
    ("ima-sigv2", &[DigestNgV2, NameNg, Signature]),
    ("ima-modsig", &[DigestNg, NameNg, Signature, DigestModsig, Modsig]),
    ("evm-sig", &[DigestNg, NameNg, EvmSignature, XattrNames, XattrLengths, XattrValues, Uid, Gid, Mode]),
    ("ima", &[Digest, Name]),
];

impl<'a> Template<'a> {
    pub(super) const NG: Self = Self { name: "ima-ng", fields: Fields::Known(&[DigestNg, NameNg]) };

    /// The template of that name or descriptor.
    pub fn named(name: &'a [u8]) -> Result<Self, Problem> {
        if let Some((known, fields)) = KNOWN.iter().find(|(known, _)| known.as_bytes() == name) {
            return Ok(Self { name: known, fields: Fields::Known(fields) });
        }
        let name = core::str::from_utf8(name).map_err(|_| Problem::ImaTemplate)?;
        let mut fields = name.split('|').map(Field::from_id);
        // A template's name is hashed nowhere: whoever shows the list may choose another. So that
        // none hides a file's digest or name, these come first and once, as in all of the kernel's.
        let begins = matches!(fields.next(), Some(Some(Digest | DigestNg | DigestNgV2)))
            && matches!(fields.next(), Some(Some(Name | NameNg)));
        let hides = |field: Option<Field>| {
            matches!(field, None | Some(Digest | DigestNg | DigestNgV2 | Name | NameNg))
        };
        if !begins || fields.clone().count() > MOST_FIELDS - 2 || fields.any(hides) {
            return Err(Problem::ImaTemplate);
        }
        Ok(Self { name, fields: Fields::Custom(name) })
    }

    /// Its name, or its descriptor if it has none.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Its fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = Field> + use<'a> {
        match self.fields {
            Fields::Known(fields) => Each::Known(fields.iter()),
            Fields::Custom(descriptor) => Each::Custom(descriptor.split('|')),
        }
    }

    /// The field that the digest is in: the first of every template. The second is the name.
    pub(super) fn digest_field(&self) -> Field {
        self.fields().next().unwrap_or(DigestNg)
    }

    /// Whether it is the original template, whose digest and name are hashed without their
    /// lengths, the name padded to 256 octets.
    pub fn is_original(&self) -> bool {
        self.name == "ima"
    }
}

/// The fields of a template, one by one.
enum Each<'a> {
    Known(core::slice::Iter<'static, Field>),
    Custom(core::str::Split<'a, char>),
}

impl Iterator for Each<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        match self {
            Self::Known(fields) => fields.next().copied(),
            // The descriptor was checked to name known fields only.
            Self::Custom(ids) => Field::from_id(ids.next()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_descriptor_is_read_field_by_field() {
        let template = Template::named(b"d-ng|n-ng|iuid|sig").unwrap();
        let fields: Vec<Field> = template.fields().collect();
        assert_eq!(fields, [DigestNg, NameNg, Uid, Signature]);
        assert!(!template.is_original());
        assert_eq!(Template::named(b"ima").unwrap().fields().count(), 2);
    }

    #[test]
    fn a_descriptor_that_could_hide_digest_or_name_is_refused() {
        for bad in
            ["d-ng|xattrnames", "d-ng|xattrnames|n-ng", "n-ng|d-ng", "d-modsig|n-ng", "d-ng|n-ng|n"]
        {
            assert_eq!(Template::named(bad.as_bytes()).unwrap_err(), Problem::ImaTemplate, "{bad}");
        }
        assert!(Template::named(b"d|n").is_ok());
    }

    #[test]
    fn an_unknown_or_endless_descriptor_is_refused() {
        let endless = [&b"d-ng|n-ng"[..], &b"|sig".repeat(20)].concat();
        for bad in [&b"d-ng|n-ngx"[..], b"", b"d-ng|", b"d-ng|n-ng|", b"\xff", &endless] {
            assert_eq!(Template::named(bad).unwrap_err(), Problem::ImaTemplate);
        }
    }
}
