//! A Debian package (deb(5)): an `ar` archive with a compressed `tar` in it.

use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;

/// Octets of the files in a package, unpacked.
const MOST: u64 = 4 << 30;
/// Octets of one file in it.
const MOST_FILE: u64 = 1 << 30;
/// Files in a package.
const MOST_FILES: usize = 500_000;

/// A regular file in a package, by its path on the device.
pub(crate) enum Entry<'a> {
    /// With its content.
    File(&'a str, &'a [u8]),
    /// The same file as one that came before, by that one's path.
    Link(&'a str, &'a str),
}

/// Why a package is not taken.
#[derive(Debug)]
pub(crate) enum Error {
    /// The archive does not parse at that octet.
    Archive(usize),
    /// It has no member of that name.
    Missing(&'static str),
    /// The files are packed in a way that is not known.
    Packing(String),
    /// What is packed does not unpack.
    Data(std::io::Error),
    /// More or longer files than the limits.
    TooLarge,
    /// A path that leads out of the root, or is none.
    Path(String),
}

impl Error {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Archive(_) => "reference.deb.archive",
            Self::Missing(_) => "reference.deb.missing",
            Self::Packing(_) => "reference.deb.packing",
            Self::Data(_) => "reference.deb.data",
            Self::TooLarge => "reference.deb.too-large",
            Self::Path(_) => "reference.deb.path",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(at) => write!(f, "not a Debian package (octet {at})"),
            Self::Missing(member) => write!(f, "it has no {member}"),
            Self::Packing(member) => {
                write!(f, "{member} is packed in a way that is not known (known: gz, xz, zst)")
            }
            Self::Data(error) => write!(f, "its files do not unpack: {error}"),
            Self::TooLarge => f.write_str("more or larger files than the limits allow"),
            Self::Path(path) => write!(f, "a file in it has the path {path:?}"),
        }
    }
}

/// Gives every regular file of a package, until `take` breaks off.
pub(crate) fn files(
    package: &[u8],
    take: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let members = members(package)?;
    if members.first().is_none_or(|(name, _)| name != "debian-binary") {
        return Err(Error::Missing("debian-binary"));
    }
    let data = members.iter().find(|(name, _)| name.starts_with("data.tar"));
    let (name, data) = data.ok_or(Error::Missing("data.tar"))?;
    let unpacked: Box<dyn Read> = match name.as_str() {
        "data.tar" => Box::new(*data),
        "data.tar.gz" => Box::new(flate2::read::GzDecoder::new(*data)),
        "data.tar.xz" => Box::new(lzma_rust2::XzReader::new(*data, true)),
        "data.tar.zst" => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(*data);
            Box::new(decoder.map_err(|error| Error::Data(std::io::Error::other(error)))?)
        }
        other => return Err(Error::Packing(other.to_owned())),
    };
    entries(unpacked, take)
}

/// The members of an `ar` archive.
fn members(archive: &[u8]) -> Result<Vec<(String, &[u8])>, Error> {
    let mut rest = archive.strip_prefix(b"!<arch>\n").ok_or(Error::Archive(0))?;
    let mut members = Vec::new();
    while !rest.is_empty() {
        let at = archive.len() - rest.len();
        let (header, data) = rest.split_at_checked(60).ok_or(Error::Archive(at))?;
        let field = |from: usize, to: usize| {
            core::str::from_utf8(header.get(from..to)?).ok().map(str::trim_end)
        };
        let len = field(48, 58).and_then(|len| len.parse().ok()).ok_or(Error::Archive(at))?;
        let name = field(0, 16).ok_or(Error::Archive(at))?.trim_end_matches('/').to_owned();
        let (member, after) = data.split_at_checked(len).ok_or(Error::Archive(at))?;
        members.push((name, member));
        rest = after.get(len % 2..).unwrap_or(&[]);
    }
    Ok(members)
}

fn entries(
    unpacked: impl Read,
    take: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut archive = tar::Archive::new(unpacked.take(MOST));
    for (number, entry) in archive.entries().map_err(Error::Data)?.enumerate() {
        let mut entry = entry.map_err(Error::Data)?;
        if number >= MOST_FILES || entry.size() > MOST_FILE {
            return Err(Error::TooLarge);
        }
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_hard_link()) {
            continue;
        }
        let path = on_device(&entry.path_bytes())?;
        let next = if kind.is_hard_link() {
            let target = entry.link_name_bytes().ok_or_else(|| Error::Path(path.clone()))?;
            take(Entry::Link(&path, &on_device(&target)?))
        } else {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(Error::Data)?;
            take(Entry::File(&path, &content))
        };
        if next.is_break() {
            return Ok(());
        }
    }
    // What is behind the last file holds the check over all of them.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(Error::Data)?;
    Ok(())
}

/// `/usr/bin/env` for `./usr/bin/env`.
fn on_device(path: &[u8]) -> Result<String, Error> {
    let shown = || String::from_utf8_lossy(path).into_owned();
    let text = core::str::from_utf8(path).map_err(|_| Error::Path(shown()))?;
    let text = text.strip_prefix('.').unwrap_or(text).trim_start_matches('/');
    if text.is_empty() || text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::Path(shown()));
    }
    Ok(format!("/{text}"))
}
