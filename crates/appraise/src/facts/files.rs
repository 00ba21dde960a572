//! Claims about measured files: known by the signature of a publisher, by a digest, or not at all.

use super::Source;
use crate::references::{Signed, Standing, View};
use alloc::borrow::{Cow, ToOwned};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use touchstone_crypto::Digest;
use touchstone_measure::ima;
use touchstone_policy::Value;

/// A measured file that the references claim to know.
struct File<'a> {
    entry: ima::Entry<'a>,
    path: Cow<'a, str>,
    /// `None` if it is of an algorithm that is not known here.
    digest: Option<Digest>,
}

/// The files from that entry on.
fn judged<'a>(source: &'a Source<'_>, from: usize) -> impl Iterator<Item = File<'a>> {
    let entries = source.evidence.ima.entries_from(from);
    entries.filter(|entry| !entry.is_boot_aggregate() && !entry.violation).filter_map(|entry| {
        let (digest, path) = entry.measured();
        let covered = source.references.covers(&path);
        covered.then(|| File { digest: digest.and_then(|digest| digest.known()), entry, path })
    })
}

pub(super) fn entries(source: &Source<'_>) -> Value {
    let mut all = Vec::with_capacity(source.evidence.ima.len());
    all.extend(judged(source, 0).map(|file| file.record(None)));
    Value::List(all)
}

/// Each with who signed it, if that is a publisher who may.
pub(super) fn all(source: &Source<'_>) -> Value {
    Value::list(judged(source, 0).map(|file| {
        let by_digest = file.by_digest(source.references);
        let signed = source.references.signed(source.crypto, &file.entry);
        let standing = best(by_digest, &signed);
        let mut fields = file.fields(4);
        if let Signed::By(publisher, _) = &signed {
            fields.push(("publisher".into(), publisher.name().into()));
        }
        fields.push(("known".into(), standing.is_some().into()));
        fields.push(("outdated".into(), (standing == Some(Standing::Outdated)).into()));
        if !matches!(signed, Signed::By(..)) {
            let why = match standing {
                Some(_) => format!("{}, is known by its digest, {signed}", file.place()),
                None => file.unknown_because(source.references, &signed),
            };
            fields.push(("why".into(), why.into()));
        }
        Value::Record(fields.into_iter().collect())
    }))
}

/// Those that no publisher signed and whose digest is not known.
pub(super) fn unknown(source: &Source<'_>, from: usize) -> Vec<Value> {
    let found = judged(source, from).filter_map(|file| {
        if file.by_digest(source.references).is_some() {
            return None;
        }
        let signed = source.references.signed(source.crypto, &file.entry);
        let unknown = !matches!(signed, Signed::By(..));
        unknown.then(|| file.record(Some(file.unknown_because(source.references, &signed))))
    });
    found.collect()
}

/// Those that only a superseded version or a publisher whose time is over knows.
pub(super) fn outdated(source: &Source<'_>, from: usize) -> Vec<Value> {
    let found = judged(source, from).filter_map(|file| {
        let by_digest = file.by_digest(source.references);
        if by_digest == Some(Standing::Good) {
            return None;
        }
        let signed = source.references.signed(source.crypto, &file.entry);
        (best(by_digest, &signed) == Some(Standing::Outdated)).then(|| {
            let of = match (&signed, file.digest) {
                (Signed::By(publisher, _), _) => {
                    format!("signed by {}, whose time is over", publisher.name())
                }
                (_, digest) => {
                    let origin = digest
                        .and_then(|digest| source.references.origin_of_file(&file.path, &digest));
                    let origin = origin.unwrap_or_default();
                    format!("of {origin}, which a newer version has superseded")
                }
            };
            file.record(Some(format!("{} is {of}", file.place())))
        })
    });
    found.collect()
}

/// Those with a signature that is not good, or not for that path. One of somebody who is no
/// publisher here is not among them: it counts for nothing and against nothing.
pub(super) fn badly_signed(source: &Source<'_>, from: usize) -> Vec<Value> {
    let found = judged(source, from).filter_map(|file| {
        let signed = source.references.signed(source.crypto, &file.entry);
        let bad = matches!(signed, Signed::Badly(..) | Signed::Elsewhere(_));
        bad.then(|| file.record(Some(format!("{}: {signed}", file.place()))))
    });
    found.collect()
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
