//! `touchstone element nv`: indices in a TPM's own storage.

mod change;

use super::{refused, secrets, tpm_failure};
use crate::answer::{Answer, Answered, Failure, hex, table};
use crate::cli::{Authorization, Lock, Nv};
use crate::files::{self, SMALL};
use serde_json::{Value, json};
use std::path::Path;
use touchstone_crypto::HashAlgorithm;
use touchstone_tpm2::nv::attributes::{AUTHREAD, AUTHWRITE, OWNERREAD, OWNERWRITE, PLATFORMCREATE};
use touchstone_tpm2::nv::{Attributes, By, Index, Kind, NewIndex, Party, PinCount};
use touchstone_tpm2::{Auth, AuthValue, Hierarchy, Tpm};
use zeroize::Zeroizing;

/// Every index has one of these.
const FIRST: u32 = 0x0100_0000;

pub(crate) fn run(tpm: &mut Tpm, verb: &Nv) -> Answered {
    match verb {
        Nv::List => list(tpm),
        Nv::Show { index } => show(tpm, *index),
        Nv::Read { index, offset, size, out, by } => {
            read(tpm, *index, (*offset, *size), out.as_deref(), by)
        }
        Nv::Write { index, file, offset, by } => write(tpm, *index, file, *offset, by),
        Nv::Define { index, kind, size, limit, read, write, lockable, by } => {
            let new = new_index(*index, *kind, *size)?;
            let pin = matches!(kind, Kind::PinFail | Kind::PinPass);
            if pin != limit.is_some() {
                let message = "a PIN has a limit, and nothing else has one";
                return Err(Failure::usage(
                    message,
                    "give --limit with --kind pin-fail or pin-pass",
                ));
            }
            define(tpm, new, (read, write), (lockable, *limit), by)
        }
        Nv::Increment { index, by } => change::increment(tpm, *index, by),
        Nv::SetBits { index, bits, by } => change::set_bits(tpm, *index, *bits, by),
        Nv::Extend { index, file, by } => change::extend(tpm, *index, file, by),
        Nv::WriteLock { index, by } => change::write_lock(tpm, *index, by),
        Nv::ReadLock { index, by } => change::read_lock(tpm, *index, by),
        Nv::GlobalWriteLock { owner } => change::global_write_lock(tpm, owner.as_deref()),
        Nv::Undefine { index, owner } => undefine(tpm, *index, owner.as_deref()),
    }
}

fn list(tpm: &mut Tpm) -> Answered {
    let answer = Answer::new("touchstone.element.nv.list/1");
    let head = ["INDEX", "KIND", "OCTETS", "WRITTEN", "READ BY", "WRITTEN BY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut listed = Vec::new();
    for handle in tpm.all_handles(FIRST).map_err(|error| tpm_failure(&error))? {
        // One that is gone since is none.
        let found = tpm.nv_index(handle).map_err(|error| tpm_failure(&error))?;
        let Some(index) = found else { continue };
        rows.push(vec![
            format!("0x{handle:08x}"),
            kind_of(&index).to_owned(),
            index.size.to_string(),
            if index.is_written() { "yes" } else { "no" }.to_owned(),
            parties(&index.attributes.readers()),
            parties(&index.attributes.writers()),
        ]);
        listed.push(to_json(&index));
    }
    let empty = listed.is_empty();
    let answer = answer.with("indices", listed);
    Ok(if empty { answer.word("no index is defined") } else { answer.line(table(&rows)) })
}

fn find(tpm: &mut Tpm, handle: u32) -> Result<Index, Failure> {
    tpm.nv_find(handle).map_err(|error| tpm_failure(&error))
}

fn show(tpm: &mut Tpm, handle: u32) -> Answered {
    let index = find(tpm, handle)?;
    let mut answer = Answer::new("touchstone.element.nv.show/1");
    if let Value::Object(members) = to_json(&index) {
        answer = answer.with_all(members);
    }
    let yes = |it| if it { "yes" } else { "no" };
    let platform = index.attributes.has(PLATFORMCREATE);
    for (name, value) in [
        ("index", format!("0x{handle:08x}")),
        ("kind", kind_of(&index).to_owned()),
        ("octets", index.size.to_string()),
        ("read by", parties(&index.attributes.readers())),
        ("written by", parties(&index.attributes.writers())),
        ("defined by", if platform { "platform" } else { "owner" }.to_owned()),
        ("written", yes(index.is_written()).to_owned()),
        ("locked", locks(&index).to_owned()),
        ("policy", if index.policy.is_empty() { "none".to_owned() } else { hex(&index.policy) }),
        ("name", hex(&index.entity.name)),
    ] {
        answer = answer.line(format_args!("{name:<12} {value}"));
    }
    Ok(answer)
}

fn kind_of(index: &Index) -> &'static str {
    index.kind().map_or("unknown", Kind::name)
}

fn locks(index: &Index) -> &'static str {
    match (index.is_write_locked(), index.is_read_locked()) {
        (false, false) => "no",
        (true, false) => "against writing",
        (false, true) => "against reading",
        (true, true) => "against reading and writing",
    }
}

fn parties(parties: &[Party]) -> String {
    if parties.is_empty() {
        return "nobody".to_owned();
    }
    parties.iter().map(|party| party.name()).collect::<Vec<_>>().join(",")
}

fn to_json(index: &Index) -> Value {
    let names = |parties: Vec<Party>| parties.iter().map(|one| one.name()).collect::<Vec<_>>();
    json!({
        "index": format!("0x{:08x}", index.entity.handle),
        "kind": kind_of(index),
        "octets": index.size,
        "attributes": format!("0x{:08x}", index.attributes.bits()),
        "readers": names(index.attributes.readers()),
        "writers": names(index.attributes.writers()),
        "written": index.is_written(),
        "write_locked": index.is_write_locked(),
        "read_locked": index.is_read_locked(),
        "policy": hex(&index.policy),
        "name": hex(&index.entity.name),
    })
}

/// Takes the owner's password, and says by whose authorization the index is used.
fn by(
    tpm: &mut Tpm,
    index: &Index,
    authorization: &Authorization,
    (owners, own): (u32, u32),
) -> Result<By, Failure> {
    owner(tpm, authorization.owner.as_deref())?;
    if let Some(value) = secrets::password(authorization.value.as_deref())? {
        return Ok(By::Index(Auth::value(value.expose())));
    }
    // An index that its owner may not use and that has the empty value: a certificate.
    let open = !index.attributes.has(owners) && index.attributes.has(own);
    Ok(if open { By::Index(Auth::empty()) } else { By::Owner })
}

fn owner(tpm: &mut Tpm, reference: Option<&str>) -> Result<(), Failure> {
    if let Some(password) = secrets::password(reference)? {
        tpm.hierarchies.owner = AuthValue::new(password.expose());
    }
    Ok(())
}

fn read(
    tpm: &mut Tpm,
    handle: u32,
    (offset, size): (u16, Option<u16>),
    out: Option<&Path>,
    authorization: &Authorization,
) -> Answered {
    let index = find(tpm, handle)?;
    let by = by(tpm, &index, authorization, (OWNERREAD, AUTHREAD))?;
    let size = size.unwrap_or(index.size.saturating_sub(offset));
    let answer = Answer::new("touchstone.element.nv.read/1")
        .with("index", format!("0x{handle:08x}"))
        .with("kind", kind_of(&index));
    let data = match tpm.nv_read(&index, &by, size, offset) {
        Ok(data) => data,
        Err(error) => return refused(answer, &error),
    };
    if let Some(path) = out {
        files::write_secret(path, &data)?;
        return Ok(answer.with("octets", data.len()).word(format_args!(
            "{} octets in {}",
            data.len(),
            path.display()
        )));
    }
    if (offset, size) != (0, index.size) {
        return Ok(answer.octets(&data));
    }
    Ok(shown(answer, &index, &data))
}

/// What an index holds, in the form of its kind.
fn shown(answer: Answer, index: &Index, data: &[u8]) -> Answer {
    let number = || data.try_into().map(u64::from_be_bytes).ok();
    match (index.kind(), number()) {
        (Some(Kind::Counter), Some(number)) => answer.with("value", number).line(number),
        (Some(Kind::Bits), Some(bits)) => {
            let bits = format!("0x{bits:016x}");
            answer.with("value", bits.as_str()).line(bits)
        }
        (Some(Kind::PinFail | Kind::PinPass), Some(pin)) => {
            let (count, limit) = (pin >> 32, pin & u64::from(u32::MAX));
            let answer = answer.with("value", json!({ "count": count, "limit": limit }));
            answer.line(format_args!("{count} of {limit}"))
        }
        (Some(Kind::Extend), _) => answer.with("value", hex(data)).line(hex(data)),
        _ => answer.octets(data),
    }
}

fn write(
    tpm: &mut Tpm,
    handle: u32,
    file: &Path,
    offset: u16,
    authorization: &Authorization,
) -> Answered {
    let data = Zeroizing::new(files::read(file, SMALL)?);
    let mut index = find(tpm, handle)?;
    let by = by(tpm, &index, authorization, (OWNERWRITE, AUTHWRITE))?;
    let answer = Answer::new("touchstone.element.nv.write/1")
        .with("index", format!("0x{handle:08x}"))
        .with("octets", data.len());
    match tpm.nv_write(&mut index, &by, &data, offset) {
        Ok(()) => Ok(answer.word(format_args!("{} octets in 0x{handle:08x}", data.len()))),
        Err(error) => refused(answer, &error),
    }
}

fn undefine(tpm: &mut Tpm, handle: u32, password: Option<&str>) -> Answered {
    owner(tpm, password)?;
    let index = find(tpm, handle)?;
    let platform = index.attributes.has(PLATFORMCREATE);
    let hierarchy = if platform { Hierarchy::Platform } else { Hierarchy::Owner };
    let answer =
        Answer::new("touchstone.element.nv.undefine/1").with("index", format!("0x{handle:08x}"));
    match tpm.nv_undefine(hierarchy, &index) {
        Ok(()) => Ok(answer.word(format_args!("0x{handle:08x} is gone"))),
        Err(error) => refused(answer, &error),
    }
}

fn new_index(handle: u32, kind: Kind, size: Option<u16>) -> Result<NewIndex, Failure> {
    let fixed = match kind {
        Kind::Ordinary => {
            let missing = || Failure::usage("an ordinary index needs a size", "give --size OCTETS");
            return size.map(|size| NewIndex::ordinary(handle, size)).ok_or_else(missing);
        }
        Kind::Counter => NewIndex::counter(handle),
        Kind::Bits => NewIndex::bits(handle),
        Kind::Extend => NewIndex::extend(handle, HashAlgorithm::Sha256),
        Kind::PinFail => NewIndex::pin_fail(handle),
        Kind::PinPass => NewIndex::pin_pass(handle),
    };
    if size.is_some() {
        let message = format!("an index of the kind `{kind}` has a size of its own");
        return Err(Failure::usage(message, "leave --size out"));
    }
    Ok(fixed)
}

fn define(
    tpm: &mut Tpm,
    new: NewIndex,
    (read, write): (&[Party], &[Party]),
    (lockable, limit): (&[Lock], Option<u32>),
    authorization: &Authorization,
) -> Answered {
    owner(tpm, authorization.owner.as_deref())?;
    let value = secrets::password(authorization.value.as_deref())?;
    let both: &[Party] = &[Party::Owner, Party::Value];
    let readers = if value.is_some() { both } else { &[Party::Owner] };
    // Who knows a PIN must not set how often it may be tried.
    let writers = if limit.is_some() { &[Party::Owner] } else { readers };
    let chosen = |parties, usual| if <[Party]>::is_empty(parties) { usual } else { parties };
    let mut attributes =
        Attributes::new().read_by(chosen(read, readers)).written_by(chosen(write, writers));
    for lock in lockable {
        attributes = lock.allow(attributes);
    }
    let new = match &value {
        // Nobody can guess the empty value wrong.
        None => new.attributes(attributes.no_lockout()),
        Some(value) => new.attributes(attributes).auth(AuthValue::new(value.expose())),
    };
    let answer = Answer::new("touchstone.element.nv.define/1");
    let defined = tpm.nv_define(Hierarchy::Owner, &new).and_then(|mut index| {
        if let Some(limit) = limit {
            tpm.nv_set_pin(&mut index, &By::Owner, PinCount { count: 0, limit })?;
        }
        Ok(index)
    });
    match defined {
        Ok(index) => {
            let words = format!("0x{:08x}: {}", index.entity.handle, kind_of(&index));
            let answer = match to_json(&index) {
                Value::Object(members) => answer.with_all(members),
                _ => answer,
            };
            Ok(answer.word(format_args!("{words}, {} octets", index.size)))
        }
        Err(error) => refused(answer, &error),
    }
}
