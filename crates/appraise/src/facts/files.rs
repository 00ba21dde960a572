//! Claims about measured files: known by the signature of a publisher, by a digest, or not at all.

use super::Source;
use crate::references::{Signed, Standing, View};
use alloc::borrow::{Cow, ToOwned};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::OnceCell;
use touchstone_crypto::Digest;
use touchstone_measure::ima;
use touchstone_policy::Value;

/// The claims about files. The first two are of every file, the others are findings.
pub(super) const CLAIMS: [&str; 5] =
    ["ima.entries", "ima.files", "ima.unknown-files", "ima.outdated-files", "ima.badly-signed"];

/// Whether the claim is of every file, and nothing that was found before is part of it.
pub(super) fn is_of_all(claim: &str) -> bool {
    CLAIMS.iter().take(2).any(|known| *known == claim)
}

/// A measured file that the references claim to know.
struct File<'a> {
    entry: ima::Entry<'a>,
    path: Cow<'a, str>,
    /// `None` if it is of an algorithm that is not known here.
    digest: Option<Digest>,
}

/// A file, with what was found out about it: once, whatever is claimed.
struct Looked<'a> {
    file: File<'a>,
    source: &'a Source<'a>,
    by_digest: OnceCell<Option<Standing>>,
    signed: OnceCell<Signed<'a>>,
}

/// The files from that place on, each with its place.
fn judged<'a>(source: &'a Source<'a>, from: usize) -> impl Iterator<Item = (usize, Looked<'a>)> {
    let entries = (from..).zip(source.evidence.ima.entries_from(from));
    let files = entries.filter(|(_, entry)| !entry.is_boot_aggregate() && !entry.violation);
    files.filter_map(|(place, entry)| {
        let (digest, path) = entry.measured();
        source.references.covers(&path).then(|| {
            let file = File { digest: digest.and_then(|digest| digest.known()), entry, path };
            let (by_digest, signed) = (OnceCell::new(), OnceCell::new());
            (place, Looked { file, source, by_digest, signed })
        })
    })
}

/// These claims, each of the files from its place on, in one go over the list.
pub(super) fn made<'n>(
    source: &Source<'_>,
    wanted: &[(&'n str, usize)],
) -> BTreeMap<&'n str, Vec<Value>> {
    let start = wanted.iter().map(|(_, from)| *from).min().unwrap_or(0);
    let room = |claim| if claim == "ima.entries" { source.evidence.ima.len() } else { 0 };
    let mut made: Vec<_> = wanted
        .iter()
        .map(|(claim, from)| (*claim, *from, Vec::with_capacity(room(*claim))))
        .collect();
    for (place, looked) in judged(source, start) {
        for (claim, _, values) in made.iter_mut().filter(|(_, from, _)| *from <= place) {
            values.extend(looked.claimed(claim));
        }
    }
    made.into_iter().map(|(claim, _, values)| (claim, values)).collect()
}

impl<'a> Looked<'a> {
    /// What a claim has of the file, if anything.
    fn claimed(&self, claim: &str) -> Option<Value> {
        match claim {
            "ima.entries" => Some(self.file.record(None)),
            "ima.files" => Some(self.all()),
            "ima.unknown-files" => self.unknown(),
            "ima.outdated-files" => self.outdated(),
            "ima.badly-signed" => self.badly_signed(),
            _ => None,
        }
    }

    fn by_digest(&self) -> Option<Standing> {
        *self.by_digest.get_or_init(|| self.file.by_digest(self.source.references))
    }

    fn signed(&self) -> &Signed<'a> {
        let Source { references, crypto, .. } = self.source;
        self.signed.get_or_init(|| references.signed(*crypto, &self.file.entry))
    }

    /// With who signed it, if that is a publisher who may.
    fn all(&self) -> Value {
        let (file, signed) = (&self.file, self.signed());
        let standing = best(self.by_digest(), signed);
        let mut fields = file.fields(4);
        if let Signed::By(publisher, _) = signed {
            fields.push(("publisher".into(), publisher.name().into()));
        }
        fields.push(("known".into(), standing.is_some().into()));
        fields.push(("outdated".into(), (standing == Some(Standing::Outdated)).into()));
        if !matches!(signed, Signed::By(..)) {
            let why = match standing {
                Some(_) => format!("{}, is known by its digest, {signed}", file.place()),
                None => file.unknown_because(self.source.references, signed),
            };
            fields.push(("why".into(), why.into()));
        }
        Value::Record(fields.into_iter().collect())
    }

    /// If no publisher signed it and its digest is not known.
    fn unknown(&self) -> Option<Value> {
        if self.by_digest().is_some() {
            return None;
        }
        let signed = self.signed();
        let why = || self.file.unknown_because(self.source.references, signed);
        let unknown = !matches!(signed, Signed::By(..));
        unknown.then(|| self.file.record(Some(why())))
    }

    /// If only a superseded version or a publisher whose time is over knows it.
    fn outdated(&self) -> Option<Value> {
        let by_digest = self.by_digest();
        if by_digest == Some(Standing::Good) {
            return None;
        }
        let (file, signed) = (&self.file, self.signed());
        (best(by_digest, signed) == Some(Standing::Outdated)).then(|| {
            let of = match (signed, file.digest) {
                (Signed::By(publisher, _), _) => {
                    format!("signed by {}, whose time is over", publisher.name())
                }
                (_, digest) => {
                    let references = self.source.references;
                    let origin =
                        digest.and_then(|digest| references.origin_of_file(&file.path, &digest));
                    let origin = origin.unwrap_or_default();
                    format!("of {origin}, which a newer version has superseded")
                }
            };
            file.record(Some(format!("{} is {of}", file.place())))
        })
    }

    /// If it has a signature that is not good, or not for that path. One of somebody who is no publisher
    /// here counts for nothing and against nothing.
    fn badly_signed(&self) -> Option<Value> {
        let signed = self.signed();
        let bad = matches!(signed, Signed::Badly(..) | Signed::Elsewhere(_));
        bad.then(|| self.file.record(Some(format!("{}: {signed}", self.file.place()))))
    }
}

fn best(by_digest: Option<Standing>, signed: &Signed<'_>) -> Option<Standing> {
    let by_signature = match signed {
        Signed::By(_, standing) => Some(*standing),
        _ => None,
    };
    by_digest.into_iter().chain(by_signature).min()
}

impl File<'_> {
    fn by_digest(&self, references: &View<'_>) -> Option<Standing> {
        references.file(&self.path, &self.digest?)
    }

    fn unknown_because(&self, references: &View<'_>, signed: &Signed<'_>) -> String {
        let unsigned = match signed {
            Signed::Not => String::new(),
            signed => format!("; {signed}"),
        };
        let is = self.entry.file_digest();
        let is = is.map_or_else(|| "without a digest".to_owned(), |digest| digest.to_string());
        match references.expected(&self.path) {
            Some(expected) => format!("{} is {is}, expected {expected}{unsigned}", self.place()),
            None => {
                format!("{} ({is}) is not in the reference values of file{unsigned}", self.place())
            }
        }
    }

    fn place(&self) -> String {
        format!("IMA entry {}: {}", self.entry.index, self.path)
    }

    fn record(&self, why: Option<String>) -> Value {
        let mut fields = self.fields(usize::from(why.is_some()));
        fields.extend(why.map(|why| ("why".into(), why.into())));
        Value::Record(fields.into_iter().collect())
    }

    /// Index, digest and path, with room for so many fields more.
    fn fields(&self, more: usize) -> Vec<(Cow<'static, str>, Value)> {
        let mut fields = Vec::with_capacity(3 + more);
        fields.push(("index".into(), i64::from(self.entry.index).into()));
        fields.extend(self.digest.map(|digest| ("digest".into(), digest.into())));
        fields.push(("path".into(), self.path.as_ref().into()));
        fields
    }
}
