//! The store: opened, judged, changed in whole steps.
//!
//! A change is made in memory, written to a draft, synchronised, renamed, and then told to the
//! second place. Each file names the digest of the one before it, so a change that was cut off
//! between the last two steps is told from an older copy.

use crate::body::Body;
use crate::cipher;
use crate::disk;
use crate::header::{self, Header};
use crate::root::{Kind, Root};
use crate::second::{Mark, Owner, counting};
use crate::{KeySource, Second, Settings};
use std::fs::File;
use std::path::PathBuf;
use subtle::ConstantTimeEq;
use touchstone_element::Error;

const INFO: &[u8] = b"touchstone software element store";

/// An open store.
pub(crate) struct Store {
    path: PathBuf,
    second: Second,
    root: Root,
    kind: Kind,
    salt: [u8; 32],
    id: [u8; 16],
    /// `None` after a change failed midway: then the disk is asked again.
    state: Option<State>,
    _lock: File,
}

struct State {
    body: Body,
    generation: u64,
    digest: [u8; 32],
    anchored: bool,
}

impl Store {
    /// Opens the store, or makes one where there is none and the second place knows none.
    pub(crate) fn open(settings: Settings) -> Result<Self, Error> {
        let Settings { folder, key, second } = settings;
        disk::make_folder(&folder)?;
        let lock = disk::lock(&folder.join("lock"))?;
        let path = folder.join("store");
        disk::remove_draft(&path)?;
        match disk::read(&path, header::LIMIT)? {
            Some(octets) => Self::load(path, lock, &key, second, &octets),
            None => Self::make(path, lock, &key, second),
        }
    }

    fn make(path: PathBuf, lock: File, key: &KeySource, mut second: Second) -> Result<Self, Error> {
        if second.is_taken()? {
            return Err(Error::RolledBack(path));
        }
        let (kind, salt) = (Root::kind(key)?, cipher::random()?);
        let root = Root::derive(key, kind, &salt, true)?;
        let id = cipher::random()?;
        let mut store = Self { path, second, root, kind, salt, id, state: None, _lock: lock };
        store.write(Body::default(), 1, [0; 32], false)?;
        store.anchor()?;
        Ok(store)
    }

    fn load(
        path: PathBuf,
        lock: File,
        key: &KeySource,
        second: Second,
        octets: &[u8],
    ) -> Result<Self, Error> {
        let header = header::take_apart(octets).map_err(|why| broken(&path, why))?.header;
        let root = Root::derive(key, header.kind, &header.salt, false)?;
        let (kind, salt, id) = (header.kind, header.salt, header.id);
        let mut store = Self { path, second, root, kind, salt, id, state: None, _lock: lock };
        store.judge(octets)?;
        store.anchor()?;
        Ok(store)
    }

    /// Takes what the file says as the state, if it is ours, whole, and not older than the second
    /// place knows.
    fn judge(&mut self, octets: &[u8]) -> Result<(), Error> {
        let file = header::take_apart(octets).map_err(|why| broken(&self.path, why))?;
        let header = file.header;
        let ours = (self.kind, self.salt, self.id) == (header.kind, header.salt, header.id);
        if !ours || !bool::from(self.root.check()?.ct_eq(&header.check)) {
            return Err(match self.kind {
                Kind::Secret => Error::Foreign,
                Kind::Passphrase(_) => Error::WrongAuthorization { tries_left: None },
            });
        }
        let corrupt = || Error::Corrupt(self.path.clone());
        let opened = cipher::open(&header.fresh, self.root.expose(), INFO, file.bound, file.shut);
        let body = Body::decode(&opened.map_err(|_| corrupt())?).map_err(|_| corrupt())?;
        self.compare(&header, file.digest)?;
        self.state = Some(State {
            body,
            generation: header.generation,
            digest: file.digest,
            anchored: header.anchored,
        });
        Ok(())
    }

    /// Compares with the second place, and brings it up when the last change was cut off before it
    /// was told.
    fn compare(&mut self, header: &Header, digest: [u8; 32]) -> Result<(), Error> {
        if !self.second.is_some() {
            if header.anchored {
                return Err(Error::BadInput(
                    "the store's generation is kept in a second place; name it in the settings",
                ));
            }
            return Ok(());
        }
        let mark = self.second.read(&Owner { id: &self.id, root: &self.root })?;
        let old_store = || Err(Error::RolledBack(self.path.clone()));
        let mark = match (mark, header.anchored) {
            (Some(mark), _) => mark,
            (None, false) => return Ok(()), // `anchor` follows
            (None, true) => return Err(Error::RolledBack(self.second.place())),
        };
        let known = |digest: [u8; 32]| mark.digest.is_none_or(|told| told == digest);
        if !header.anchored {
            // Cut off while the second place was taken: it knows exactly this file, or it knows a
            // later one.
            let this = Mark { generation: header.generation, digest: Some(digest) };
            return if mark == this { Ok(()) } else { old_store() };
        }
        if header.generation == mark.generation {
            return if known(digest) { Ok(()) } else { old_store() };
        }
        if header.generation < mark.generation {
            return old_store();
        }
        if header.generation != mark.generation.saturating_add(1) || !known(header.previous) {
            return Err(Error::RolledBack(self.second.place()));
        }
        let owner = Owner { id: &self.id, root: &self.root };
        self.second.write(&owner, header.generation, &digest)
    }

    /// Takes the second place, if there is one and it was not taken yet.
    fn anchor(&mut self) -> Result<(), Error> {
        let Some(state) = self.state.take() else { return Ok(()) };
        if state.anchored || !self.second.is_some() {
            self.state = Some(state);
            return Ok(());
        }
        if let Second::Counter { element, name } = &mut self.second {
            let generation = counting(element)?.increment(name)?;
            let file = self.seal(&state.body, generation, state.digest, true)?;
            disk::replace(&self.path, &file.0)?;
            self.state = Some(State { generation, digest: file.1, anchored: true, ..state });
            return Ok(());
        }
        let owner = Owner { id: &self.id, root: &self.root };
        self.second.write(&owner, state.generation, &state.digest)?;
        self.write(state.body, state.generation.saturating_add(1), state.digest, true)
    }

    /// Whether an older copy would be noticed.
    pub(crate) const fn is_anchored(&self) -> bool {
        self.second.is_some()
    }

    /// The store's own name.
    pub(crate) const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// The root key.
    pub(crate) const fn root(&self) -> &Root {
        &self.root
    }

    /// What is in it.
    pub(crate) fn body(&mut self) -> Result<&Body, Error> {
        Ok(&self.state()?.body)
    }

    /// Changes it: when this returns, the change is on the disk, and when it fails with an error of
    /// `change`, nothing is changed.
    pub(crate) fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Body) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let state = self.state()?;
        let mut body = state.body.clone();
        let (generation, digest, anchored) = (state.generation, state.digest, state.anchored);
        let done = change(&mut body)?;
        body.check_room()?;
        self.write(body, generation.saturating_add(1), digest, anchored)?;
        Ok(done)
    }

    fn state(&mut self) -> Result<&State, Error> {
        if self.state.is_none() {
            let octets = disk::read(&self.path, header::LIMIT)?;
            let octets = octets.ok_or_else(|| Error::Corrupt(self.path.clone()))?;
            self.judge(&octets)?;
        }
        self.state.as_ref().ok_or_else(|| Error::Corrupt(self.path.clone()))
    }

    /// Writes a new state and tells the second place. What is on the disk after a failure is found
    /// out by the next call.
    fn write(
        &mut self,
        body: Body,
        generation: u64,
        previous: [u8; 32],
        anchored: bool,
    ) -> Result<(), Error> {
        let (file, digest) = self.seal(&body, generation, previous, anchored)?;
        self.state = None;
        disk::replace(&self.path, &file)?;
        if anchored {
            let owner = Owner { id: &self.id, root: &self.root };
            self.second.write(&owner, generation, &digest)?;
        }
        self.state = Some(State { body, generation, digest, anchored });
        Ok(())
    }

    /// A file of that state, and its digest.
    fn seal(
        &self,
        body: &Body,
        generation: u64,
        previous: [u8; 32],
        anchored: bool,
    ) -> Result<(Vec<u8>, [u8; 32]), Error> {
        let fresh = cipher::random()?;
        let bound = Header {
            kind: self.kind,
            salt: self.salt,
            id: self.id,
            check: self.root.check()?,
            generation,
            previous,
            anchored,
            fresh,
        }
        .encode();
        let mut shut = body.encode(cipher::TAG)?;
        cipher::shut(&fresh, self.root.expose(), INFO, &bound, &mut shut)?;
        let (file, digest) = header::assemble(&bound, &shut);
        if file.len() > header::LIMIT {
            return Err(Error::Exhausted("the store holds 4 MiB; delete keys or values"));
        }
        Ok((file, digest))
    }
}

fn broken(path: &std::path::Path, why: touchstone_wire::Malformed) -> Error {
    match why.why {
        touchstone_wire::Why::BadVersion => {
            Error::Unsupported("a store of another version; use the program that made it")
        }
        _ => Error::Corrupt(path.to_owned()),
    }
}
