//! A token: found by its URI, logged in to, and found again when it was away.

use crate::module::{Generation, Module};
use crate::object::{self, Key};
use crate::offers::Offers;
use crate::refusal::{Fault, refusal};
use crate::{Uri, pin_state::PinState};
use cryptoki::context::{Function, Pkcs11};
use cryptoki::error::{Error as Pkcs11Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::RawAuthPin;
use std::fmt;
use std::io;
use std::sync::Arc;
use touchstone_crypto::Crypto;
use touchstone_element::{Error, Secret};
use touchstone_settings::SecretReference;

/// A PKCS#11 token as an element.
///
/// Each has a session of its own, so that threads can work at the same time, a `Token` each. The
/// module itself exists once per process, and so does the login: PKCS#11 lets in the process, not
/// the caller.
pub struct Token {
    module: Arc<Module>,
    uri: Uri,
    crypto: &'static dyn Crypto,
    spend_final_try: bool,
    /// The token that was found first: another one in its place is not it.
    known: Option<Known>,
    link: Option<Link>,
    pub(crate) offers: Offers,
}

/// Which token it is, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) manufacturer: String,
    pub(crate) model: String,
    pub(crate) firmware: String,
    pub(crate) random: bool,
}

impl Known {
    fn read(info: &TokenInfo) -> Self {
        Self {
            label: info.label().to_owned(),
            serial: info.serial_number().to_owned(),
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            firmware: info.firmware_version().to_string(),
            random: info.rng(),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.label, &self.serial, &self.manufacturer, &self.model)
            == (&other.label, &other.serial, &other.manufacturer, &other.model)
    }
}

/// An open session, closed by [`Token::unlink`].
struct Link {
    session: Session,
    slot: Slot,
    generation: Generation,
}

/// Whether work may be done twice when the token was away for a moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Repeatable,
    Once,
}

impl Token {
    /// Opens the token that the URI leads to, and logs in with the PIN that its `pin-source` leads
    /// to. `crypto` computes the digests that are signed, and checks imported keys.
    ///
    /// [`Error::Unreachable`] when there is no such token or module, [`Error::BadInput`] when the
    /// URI fits several. A PIN that the token refused is not tried again by this process, and none
    /// is tried when a wrong one would lock the token (see
    /// [`dangerous_open`](Self::dangerous_open)).
    pub fn open(uri: &Uri, crypto: &'static dyn Crypto) -> Result<Self, Error> {
        Self::open_with(uri, crypto, false)
    }

    /// The same, but tries the PIN also when it is the last try before the token locks.
    pub fn dangerous_open(uri: &Uri, crypto: &'static dyn Crypto) -> Result<Self, Error> {
        Self::open_with(uri, crypto, true)
    }

    fn open_with(
        uri: &Uri,
        crypto: &'static dyn Crypto,
        spend_final_try: bool,
    ) -> Result<Self, Error> {
        let path = Module::locate(uri.module_path.as_deref(), uri.module_name.as_deref())?;
        let mut token = Self {
            module: Module::load(&path)?,
            uri: uri.clone(),
            crypto,
            spend_final_try,
            known: None,
            link: None,
            offers: Offers::default(),
        };
        match token.connect() {
            Ok(()) => Ok(token),
            Err(Error::Removed) => Err(Error::Unreachable {
                at: token.to_string(),
                source: io::Error::new(
                    io::ErrorKind::NotFound,
                    "no token in any slot fits the URI; `pkcs11-tool --list-slots` shows them",
                ),
            }),
            Err(error) => Err(error),
        }
    }

    /// The name of the one key that the URI's `object` and `id` lead to, for the calls that take
    /// one; its `type` makes no difference. [`Error::UnknownKey`] when there is none,
    /// [`Error::BadInput`] when there are several.
    pub fn key_name(&mut self, uri: &Uri) -> Result<String, Error> {
        let keys = self.run(Work::Repeatable, object::named)?;
        let fits = |key: &Key| {
            uri.id.as_ref().is_none_or(|id| *id == key.id)
                && uri.object.as_ref().is_none_or(|object| object.as_bytes() == key.label)
        };
        let mut names = keys.into_iter().filter(|(_, key)| fits(key)).map(|(name, _)| name);
        match (names.next(), names.next()) {
            (Some(name), None) => Ok(name),
            (Some(_), Some(_)) => {
                Err(Error::BadInput("several keys fit the URI; add `id=` or `object=` to it"))
            }
            (None, _) => {
                self.stand_by_absence()?;
                let object = uri.object.clone().unwrap_or_default();
                Err(Error::UnknownKey(object))
            }
        }
    }

    pub(crate) fn crypto(&self) -> &'static dyn Crypto {
        self.crypto
    }

    pub(crate) fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// Does `work` on the token's session, which is opened anew when it has gone.
    pub(crate) fn run<T>(
        &mut self,
        kind: Work,
        work: impl Fn(&Session) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        if kind == Work::Once {
            // A session that is gone already shows here, where nothing has been done yet.
            self.attempt(Work::Repeatable, |session| Ok(session.get_session_info().map(drop)?))?;
        }
        self.attempt(kind, work)
    }

    fn attempt<T>(
        &mut self,
        kind: Work,
        work: impl Fn(&Session) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let mut again = kind == Work::Repeatable;
        loop {
            self.connect()?;
            let Some(link) = &self.link else { return Err(Error::Removed) };
            // Started anew since `connect`: this session's number may be another's by now.
            let current =
                |generation| if generation == link.generation { Ok(()) } else { Err(gone()) };
            let work = |_: &Pkcs11, generation| {
                current(generation)?;
                work(&link.session)
            };
            let done = match kind {
                Work::Repeatable => self.module.call(work),
                Work::Once => self.module.call_alone(work),
            };
            let error = match done {
                Ok(done) => return Ok(done),
                Err(Fault::Ours(error)) => return Err(error),
                Err(Fault::Module(error)) => error,
            };
            let away = Fault::lost(&error) || (Fault::vague(&error) && !self.is_present()?);
            if !away {
                return Err(refusal(&error));
            }
            self.unlink()?;
            if !again {
                let asks = Fault::value(&error) == Some(RvError::UserNotLoggedIn);
                return Err(if asks { refusal(&error) } else { Error::Removed });
            }
            again = false;
        }
    }

    /// Whether the token is where the session was opened.
    pub(crate) fn is_present(&self) -> Result<bool, Error> {
        let (Some(link), Some(known)) = (&self.link, &self.known) else { return Ok(false) };
        self.module.call(|pkcs11, generation| {
            Ok(generation == link.generation
                && link.session.get_session_info().is_ok()
                && pkcs11
                    .get_token_info(link.slot)
                    .is_ok_and(|info| known.is_same(&Known::read(&info))))
        })
    }

    /// Makes sure that there is a session: finds the token, opens, logs in.
    fn connect(&mut self) -> Result<(), Error> {
        if let Some(link) = &self.link {
            let current = self.module.call(|_, generation| Ok(generation == link.generation));
            match current {
                Ok(true) => return Ok(()),
                Ok(false) | Err(Error::Removed) => self.unlink()?,
                Err(error) => return Err(error),
            }
        }
        let away = match self.link_up() {
            Err(fault) if fault.is_away() => fault,
            result => return Ok(result?),
        };
        let result = if self.module.restart()? { self.link_up() } else { Err(away) };
        // Who never saw the token is told what the module says; who did knows that it was there.
        result.map_err(|fault| if self.known.is_some() { fault.removed() } else { fault.into() })
    }

    fn link_up(&mut self) -> Result<(), Fault> {
        let (known, link, offers) = self.module.call(|pkcs11, generation| {
            let (slot, info) = self.search(pkcs11)?;
            let session = match pkcs11.open_rw_session_no_drop(slot) {
                Err(error) if Fault::value(&error) == Some(RvError::TokenWriteProtected) => {
                    pkcs11.open_ro_session_no_drop(slot)?
                }
                opened => opened?,
            };
            let known = Known::read(&info);
            let ready = self
                .log_in(pkcs11, &session, slot, &known)
                .and_then(|()| Offers::read(pkcs11, &session, slot));
            match ready {
                Ok(offers) => Ok((known, Link { session, slot, generation }, offers)),
                Err(fault) => {
                    // The first failure is the one to tell.
                    let _ = session.close();
                    Err(fault)
                }
            }
        })?;
        (self.known, self.link, self.offers) = (Some(known), Some(link), offers);
        Ok(())
    }

    /// The one slot with a token that fits, and that is the one we know.
    fn search(&self, pkcs11: &Pkcs11) -> Result<(Slot, TokenInfo), Fault> {
        self.fits_library(pkcs11)?;
        let (mut found, mut unreadable) = (None, false);
        for slot in pkcs11.get_slots_with_token()? {
            let info = match pkcs11.get_token_info(slot) {
                Ok(info) => info,
                // Pulled out between the two questions, or not a card that the module knows.
                Err(error) if Fault::lost(&error) || Fault::vague(&error) => continue,
                Err(error @ Pkcs11Error::Pkcs11(..)) => return Err(error.into()),
                // Not even the binding makes sense of it; another token may be the one.
                Err(_) => {
                    unreadable = true;
                    continue;
                }
            };
            let same = self.known.as_ref().is_none_or(|known| known.is_same(&Known::read(&info)));
            if !info.token_initialized() || !same || !self.fits(pkcs11, slot, &info)? {
                continue;
            }
            if found.replace((slot, info)).is_some() {
                return Err(Error::BadInput(
                    "several tokens fit the URI; add `serial=` or `token=` to it",
                )
                .into());
            }
        }
        found.ok_or(Fault::Ours(if unreadable {
            Error::Malformed("what a token says of itself (its clock tells no time)")
        } else {
            Error::Removed
        }))
    }

    fn fits_library(&self, pkcs11: &Pkcs11) -> Result<(), Fault> {
        let uri = &self.uri;
        let library = pkcs11.get_library_info()?;
        let version = library.library_version();
        let fits = is(uri.library_manufacturer.as_deref(), library.manufacturer_id())
            && is(uri.library_description.as_deref(), library.library_description())
            && uri
                .library_version
                .is_none_or(|wanted| wanted == (version.major(), version.minor()));
        if fits {
            Ok(())
        } else {
            Err(Error::BadInput(
                "the module is another one than the URI's library-… attributes say",
            )
            .into())
        }
    }

    fn fits(&self, pkcs11: &Pkcs11, slot: Slot, info: &TokenInfo) -> Result<bool, Fault> {
        let uri = &self.uri;
        let token = is(uri.token.as_deref(), info.label())
            && is(uri.manufacturer.as_deref(), info.manufacturer_id())
            && is(uri.serial.as_deref(), info.serial_number())
            && is(uri.model.as_deref(), info.model())
            && uri.slot_id.is_none_or(|id| id == slot.id());
        if !token || (uri.slot_description.is_none() && uri.slot_manufacturer.is_none()) {
            return Ok(token);
        }
        let about = pkcs11.get_slot_info(slot)?;
        Ok(is(uri.slot_description.as_deref(), about.slot_description())
            && is(uri.slot_manufacturer.as_deref(), about.manufacturer_id()))
    }

    fn log_in(
        &self,
        pkcs11: &Pkcs11,
        session: &Session,
        slot: Slot,
        known: &Known,
    ) -> Result<(), Fault> {
        // Held while logging in: of two threads with a wrong PIN only one tries it.
        let mut refused = self.module.refused_pins()?;
        let info = pkcs11.get_token_info(slot)?;
        let state = session.get_session_info()?.session_state();
        if !info.login_required() || matches!(state, SessionState::RoUser | SessionState::RwUser) {
            return Ok(());
        }
        let pin = match &self.uri.pin_source {
            Some(source) => Some(read_pin(source)?),
            // The reader has a keypad (PKCS#11 3.0 §5.6.8).
            None if info.protected_authentication_path() => None,
            None => {
                return Err(Error::BadInput(
                    "the token asks for a PIN; add `?pin-source=file:/path` or \
                     `?pin-source=credential:name` to its URI",
                )
                .into());
            }
        };
        let place = (known.label.clone(), known.serial.clone());
        let pins = PinState::read(&info);
        pins.may_try(self.spend_final_try)?;
        if let (Some(pin), Some(wrong)) = (&pin, refused.get(&place))
            && wrong.expose() == pin.expose()
        {
            return Err(pins.wrong().into());
        }
        match present(session, UserType::User, pin.as_ref()) {
            Ok(()) => {
                refused.remove(&place);
                Ok(())
            }
            Err(error) => match Fault::value(&error) {
                Some(RvError::UserAlreadyLoggedIn) => Ok(()),
                Some(RvError::PinIncorrect) => {
                    if let Some(pin) = pin {
                        refused.insert(place, pin);
                    }
                    Err(PinState::read(&pkcs11.get_token_info(slot)?).wrong().into())
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Presents the PIN for one use of a key that asks each time (`CKA_ALWAYS_AUTHENTICATE`).
    pub(crate) fn authenticate(&self) -> Result<Option<Secret>, Error> {
        self.uri.pin_source.as_ref().map(read_pin).transpose()
    }

    fn unlink(&mut self) -> Result<(), Error> {
        let Some(link) = self.link.take() else { return Ok(()) };
        let closed = self.module.call(|_, generation| {
            // After a restart the session's number may be another's.
            if generation == link.generation { Ok(link.session.close()?) } else { Ok(()) }
        });
        match closed {
            // It is closed in any case; that it was gone already is why we are here.
            Ok(()) | Err(Fault::Module(_) | Fault::Ours(Error::Removed)) => Ok(()),
            Err(Fault::Ours(error)) => Err(error),
        }
    }
}

fn read_pin(source: &SecretReference) -> Result<Secret, Error> {
    let read = source.read().map_err(|why| Error::File { path: source.path(), source: why })?;
    Ok(Secret::new(read.as_bytes().to_vec()))
}

/// Presents a PIN, or lets the reader's keypad ask for it.
pub(crate) fn present(
    session: &Session,
    user: UserType,
    pin: Option<&Secret>,
) -> Result<(), Pkcs11Error> {
    match pin {
        // A SecretBox wipes what it holds.
        Some(pin) => {
            session.login_with_raw(user, &RawAuthPin::new(Box::new(pin.expose().to_vec())))
        }
        None => session.login(user, None),
    }
}

fn is(wanted: Option<&str>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

fn gone() -> Fault {
    Fault::Module(Pkcs11Error::Pkcs11(RvError::SessionHandleInvalid, Function::GetSessionInfo))
}

impl fmt::Display for Token {
    /// The module and what the URI says of the token; not where the PIN is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri =
            Uri { pin_source: None, module_name: None, module_path: None, ..self.uri.clone() };
        write!(f, "{uri} ({})", self.module.path().display())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.to_string()).finish()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        // Nobody is left to tell; the module closes what is open when the process ends.
        let _ = self.unlink();
    }
}
