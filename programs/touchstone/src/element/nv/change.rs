//! Indices that are counted, set, extended and locked.

use super::{by, find, owner, shown};
use crate::answer::{Answer, Answered};
use crate::cli::Authorization;
use crate::element::{refused, tpm_failure};
use crate::files::{self, SMALL};
use std::path::Path;
use touchstone_tpm2::nv::attributes::{
    AUTHREAD, AUTHWRITE, GLOBALLOCK, OWNERREAD, OWNERWRITE, WRITEDEFINE,
};
use touchstone_tpm2::nv::{By, Index};
use touchstone_tpm2::{Error, Hierarchy, Tpm};

const WRITERS: (u32, u32) = (OWNERWRITE, AUTHWRITE);
const READERS: (u32, u32) = (OWNERREAD, AUTHREAD);

pub(super) fn increment(tpm: &mut Tpm, handle: u32, authorization: &Authorization) -> Answered {
    let answer = Answer::new("touchstone.element.nv.increment/1");
    change(tpm, handle, authorization, answer, Tpm::nv_increment)
}

pub(super) fn set_bits(
    tpm: &mut Tpm,
    handle: u32,
    bits: u64,
    authorization: &Authorization,
) -> Answered {
    let answer = Answer::new("touchstone.element.nv.set-bits/1");
    change(tpm, handle, authorization, answer, |tpm, index, by| tpm.nv_set_bits(index, by, bits))
}

pub(super) fn extend(
    tpm: &mut Tpm,
    handle: u32,
    file: &Path,
    authorization: &Authorization,
) -> Answered {
    let data = files::read(file, SMALL)?;
    let answer = Answer::new("touchstone.element.nv.extend/1");
    change(tpm, handle, authorization, answer, |tpm, index, by| tpm.nv_extend(index, by, &data))
}

/// Changes an index, and shows how it stands then.
fn change(
    tpm: &mut Tpm,
    handle: u32,
    authorization: &Authorization,
    answer: Answer,
    change: impl FnOnce(&mut Tpm, &mut Index, &By) -> Result<(), Error>,
) -> Answered {
    let mut index = find(tpm, handle)?;
    let writer = by(tpm, &index, authorization, WRITERS)?;
    let reader = by(tpm, &index, authorization, READERS)?;
    let answer = answer.with("index", format!("0x{handle:08x}"));
    if let Err(error) = change(tpm, &mut index, &writer) {
        return refused(answer, &error);
    }
    Ok(match tpm.nv_read_all(&index, &reader) {
        Ok(data) => shown(answer, &index, &data),
        // Who may change it need not be who may read it.
        Err(error) => answer.word(format_args!("done; how it stands now is not shown: {error}")),
    })
}

pub(super) fn write_lock(tpm: &mut Tpm, handle: u32, authorization: &Authorization) -> Answered {
    let mut index = find(tpm, handle)?;
    let by = by(tpm, &index, authorization, WRITERS)?;
    let locked = tpm.nv_write_lock(&mut index, &by);
    let until =
        if index.attributes.has(WRITEDEFINE) { "for good" } else { "until the TPM starts again" };
    let answer = Answer::new("touchstone.element.nv.write-lock/1");
    lock_told(answer, &index, locked, "writing", until)
}

pub(super) fn read_lock(tpm: &mut Tpm, handle: u32, authorization: &Authorization) -> Answered {
    let mut index = find(tpm, handle)?;
    let by = by(tpm, &index, authorization, READERS)?;
    let locked = tpm.nv_read_lock(&mut index, &by);
    let answer = Answer::new("touchstone.element.nv.read-lock/1");
    lock_told(answer, &index, locked, "reading", "until the TPM starts again")
}

fn lock_told(
    answer: Answer,
    index: &Index,
    locked: Result<(), Error>,
    against: &str,
    until: &str,
) -> Answered {
    let handle = format!("0x{:08x}", index.entity.handle);
    let answer = answer.with("index", handle.as_str()).with("against", against);
    match locked {
        Ok(()) => Ok(answer
            .with("until", until)
            .word(format_args!("{handle} is locked against {against} {until}"))),
        Err(error) => refused(answer, &error),
    }
}

pub(super) fn global_write_lock(tpm: &mut Tpm, password: Option<&str>) -> Answered {
    owner(tpm, password)?;
    let answer = Answer::new("touchstone.element.nv.global-write-lock/1");
    if let Err(error) = tpm.nv_global_write_lock(Hierarchy::Owner) {
        return refused(answer, &error);
    }
    let mut locked = Vec::new();
    for handle in tpm.all_handles(super::FIRST).map_err(|error| tpm_failure(&error))? {
        let found = tpm.nv_index(handle).map_err(|error| tpm_failure(&error))?;
        if found.is_some_and(|index| index.attributes.has(GLOBALLOCK) && index.is_write_locked()) {
            locked.push(format!("0x{handle:08x}"));
        }
    }
    let words = match locked.as_slice() {
        [] => "no index was defined with --lockable global; nothing is locked".to_owned(),
        some => format!("locked against writing until the TPM starts again: {}", some.join(", ")),
    };
    Ok(answer.with("locked", locked).word(words))
}
