//! Unified kernel images (UAPI.5), and what systemd's stub in them measures into PCR 11
//! (systemd-stub(7), systemd-measure(1)).

use super::State;
use crate::authenticode::{self, Section};
use crate::{Error, Problem};
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// The sections that stubs know, in the order in which they are measured; a stub measures those that
/// it has a name for.
const KNOWN: [&str; 14] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat",
    ".pcrpkey", ".profile", ".dtbauto", ".hwids", ".efifw",
];
/// Known, and never measured: it signs what the others are measured to.
const SIGNATURE: &str = ".pcrsig";
/// Which of these is taken depends on the machine.
const CHOSEN: [&str; 2] = [".dtbauto", ".efifw"];

/// A section may be larger in memory than in the file, by zeros; more than this is no image of a boot.
const MAX_ZEROS: usize = 512 << 20;

const MAGIC: &[u8] = b"#### LoaderInfo: systemd-stub ";
/// The last major version of the stub whose measurements are known here.
const LAST_KNOWN: u32 = 260;

/// A unified kernel image that was read.
#[derive(Clone, Debug)]
pub struct Uki<'a> {
    image: &'a [u8],
    /// The sections of every boot, before the first `.profile`.
    base: Vec<Section<'a>>,
    /// The sections of each profile, `.profile` first.
    profiles: Vec<Vec<Section<'a>>>,
    stub: u32,
    measured: Vec<&'static str>,
}

/// A section as the stub measures it: its name with a NUL, then its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredSection<'a> {
    /// The section's name: `.cmdline`.
    pub name: &'static str,
    /// Its content in the file.
    pub data: &'a [u8],
    /// How many zeros follow in memory; they are measured with it.
    pub zeros: usize,
}

/// Whether the firmware measures the kernel in the image into PCR 4, by itself, once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerKernel {
    /// The stub has the firmware load it: systemd 253 to 257 while Secure Boot is not on.
    Measured,
    /// The stub loads it itself (systemd 252, and from 258 on where no shim is), or puts itself in the
    /// place of the firmware's verification, which is what measures (253 to 257 under Secure Boot).
    NotMeasured,
}

impl<'a> Uki<'a> {
    /// Reads an image. One without a kernel or without systemd's stub is refused, and so is a stub that
    /// is newer than what is known here.
    pub fn decode(image: &'a [u8]) -> Result<Self, Error> {
        authenticode::check(image)?;
        let sections = authenticode::sections(image)?;
        let zeros = |section: &Section<'_>| section.memory_len.saturating_sub(section.data.len());
        if sections.iter().map(zeros).fold(0, usize::saturating_add) > MAX_ZEROS {
            return Err(Error::new(Problem::ImageMalformed, 0, 0));
        }
        let starts = sections.iter().enumerate().filter(|(_, section)| section.name == ".profile");
        let starts: Vec<usize> = starts.map(|(place, _)| place).collect();
        let end_of_base = starts.first().copied().unwrap_or(sections.len());
        let base = sections.get(..end_of_base).unwrap_or_default().to_vec();
        let ends = starts.iter().skip(1).copied().chain([sections.len()]);
        let profiles = starts.iter().zip(ends);
        let profiles =
            profiles.filter_map(|(start, end)| sections.get(*start..end).map(<[_]>::to_vec));
        let refuse = |problem| Error::new(problem, 0, 0);
        let stub = stub_version(&base).ok_or(refuse(Problem::ImageNoUki))?;
        if !base.iter().any(|section| section.name == ".linux") {
            return Err(refuse(Problem::ImageNoUki));
        }
        if stub > LAST_KNOWN {
            return Err(refuse(Problem::ImageStubUnknown));
        }
        let measured = KNOWN.into_iter().filter(|name| has_name(&base, name)).collect();
        Ok(Self { image, profiles: profiles.collect(), base, stub, measured })
    }

    /// The major version of systemd's stub: 252.
    pub const fn stub_version(&self) -> u32 {
        self.stub
    }

    /// How many profiles there are beside the base.
    pub const fn profiles(&self) -> usize {
        self.profiles.len()
    }

    /// The content of a section, as a profile sees it (0 if there is none).
    pub fn section(&self, name: &str, profile: u32) -> Option<&'a [u8]> {
        self.find(name, profile).map(|section| section.data)
    }

    fn find(&self, name: &str, profile: u32) -> Option<Section<'a>> {
        let of = |sections: &[Section<'a>]| {
            sections.iter().find(|section| section.name == name).copied()
        };
        let profile = usize::try_from(profile).ok().and_then(|profile| self.profiles.get(profile));
        profile.and_then(|sections| of(sections)).or_else(|| of(&self.base))
    }

    /// What the stub measures into PCR 11 when this profile is booted, in its order.
    pub fn measured(&self, profile: u32) -> Vec<MeasuredSection<'a>> {
        let found = self.measured.iter().filter_map(|name| {
            let section = self.find(name, profile).filter(|section| section.memory_len > 0)?;
            let zeros = section.memory_len.saturating_sub(section.data.len());
            Some(MeasuredSection { name, data: section.data, zeros })
        });
        found.collect()
    }

    /// Whether which sections are measured depends on the machine.
    pub(super) fn depends_on_machine(&self) -> bool {
        let has = |name: &&str| self.measured.contains(name) && self.find(name, 0).is_some();
        CHOSEN.iter().any(has)
    }

    /// Whether the stub gives the kernel more than the initrd in the image: it makes archives of
    /// these.
    pub(super) fn initrd_grows(&self, profile: u32) -> bool {
        let packed: &[&str] = match self.stub {
            ..=256 => &[SIGNATURE, ".pcrpkey"],
            _ => &[SIGNATURE, ".pcrpkey", ".osrel", ".profile"],
        };
        packed.iter().any(|name| self.find(name, profile).is_some())
            || (self.measured.contains(&".ucode") && self.find(".ucode", profile).is_some())
    }

    /// What this version of the stub does where there is no shim; `None` if that depends on a state of
    /// Secure Boot which is not known.
    pub fn inner_kernel(&self, secure_boot: Option<State>) -> Option<InnerKernel> {
        match (self.stub, secure_boot) {
            (253..=257, None) => None,
            (253..=257, Some(State::Off | State::Absent)) => Some(InnerKernel::Measured),
            _ => Some(InnerKernel::NotMeasured),
        }
    }

    /// The Authenticode digest of the image.
    pub fn digest(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Result<Digest, Error> {
        authenticode::digest(crypto, algorithm, self.image)
    }
}

/// The stub says what it is in its own section, or in its data.
fn stub_version(sections: &[Section<'_>]) -> Option<u32> {
    let own = |section: &&Section<'_>| !is_payload(section.name);
    sections.iter().filter(own).find_map(|section| {
        let at = section.data.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        let version = section.data.get(at + MAGIC.len()..)?;
        let digits = version.iter().take_while(|octet| octet.is_ascii_digit()).take(6);
        let number = |sum: u32, octet: &u8| sum * 10 + u32::from(octet - b'0');
        Some(digits.fold(0, number)).filter(|version| *version > 0)
    })
}

fn is_payload(name: &str) -> bool {
    KNOWN.contains(&name) || name == SIGNATURE
}

/// A stub measures the sections of which it has the names, so that newer stubs measure more: the
/// names are in its own data, each with a NUL.
fn has_name(sections: &[Section<'_>], name: &str) -> bool {
    let name = name.as_bytes();
    sections.iter().filter(|section| !is_payload(section.name)).any(|section| {
        let mut windows = section.data.windows(name.len() + 1);
        windows
            .any(|window| window.split_last().is_some_and(|(nul, rest)| *nul == 0 && rest == name))
    })
}
