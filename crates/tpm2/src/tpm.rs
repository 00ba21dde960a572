//! One conversation with a TPM: send, wait out a busy TPM, check, and leave nothing loaded.

mod storage_root;
mod trouble;

use crate::auth::{Auth, Hierarchies};
use crate::code;
use crate::command::{Answer, Command};
use crate::handle::{HandleKind, Hierarchy};
use crate::kdf::Octets;
use crate::marshal::{Reader, Writer};
use crate::object::Object;
use crate::response::Response;
use crate::session::{NewSession, Plan, Session};
use crate::transport::{MAX_MESSAGE, Transport};
use crate::{Error, response_code};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::TpmCrypto;
use zeroize::Zeroizing;

const TRANSIENT_FIRST: u32 = 0x8000_0000;
const LOADED_SESSION_FIRST: u32 = 0x0200_0000;
const SAVED_SESSION_FIRST: u32 = 0x0300_0000;
const CAP_HANDLES: u32 = 1;
/// Handles asked for at a time.
const PAGE: u32 = 64;

/// Pauses between tries: 20 ms doubling to 1 s, for about 30 s in all.
const TRIES: u32 = 34;

/// How often what the TPM lost is made again for one command.
const RENEWALS: usize = 3;

fn pause(tries: u32) -> u32 {
    (20 << tries.min(6)).min(1000)
}

/// A conversation with a TPM.
///
/// What is secret in a command or response travels encrypted in a session salted to a key of the
/// TPM, which stays open from one command to the next. What the conversation loaded or started goes
/// when it is dropped.
pub struct Tpm {
    transport: Box<dyn Transport + Send>,
    pub(crate) crypto: &'static dyn TpmCrypto,
    /// The hierarchies' authorization values.
    pub hierarchies: Hierarchies,
    pub(crate) sessions: Vec<Session>,
    own_sessions: NewSession<'static>,
    session_number: u32,
    /// Transient objects of ours.
    loaded: Vec<u32>,
    /// Sessions whose state is unknown, to be flushed when the TPM listens again.
    debris: Vec<u32>,
    srk: Option<Object>,
    /// What sessions of our own are salted to in its place, and whether we made it.
    salt: Option<(Object, bool)>,
    plain: bool,
}

/// Why a try came to nothing.
enum Miss {
    /// Another try may do better: what stood in the way is gone.
    Again(Error),
    Final(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Tpm {
    /// A conversation over a transport. See [`recover`](Self::recover) for what a killed
    /// predecessor may have left.
    pub fn new(transport: Box<dyn Transport + Send>, crypto: &'static dyn TpmCrypto) -> Self {
        Self {
            transport,
            crypto,
            hierarchies: Hierarchies::default(),
            sessions: Vec::new(),
            own_sessions: NewSession::hmac(),
            session_number: 0,
            loaded: Vec::new(),
            debris: Vec::new(),
            srk: None,
            salt: None,
            plain: false,
        }
    }

    /// The crypto provider.
    pub fn crypto(&self) -> &'static dyn TpmCrypto {
        self.crypto
    }

    /// Whether a resource manager keeps the TPM's users apart.
    pub fn is_managed(&self) -> bool {
        self.transport.is_managed()
    }

    /// How a hierarchy is used.
    pub fn hierarchy_auth(&self, hierarchy: Hierarchy) -> Auth {
        self.hierarchies.auth(hierarchy)
    }

    /// What the sessions shall be that the conversation starts by itself: hash and cipher of an
    /// [`NewSession::hmac`]. They stay salted to the conversation's own key.
    pub fn protect_with(&mut self, sessions: &NewSession<'static>) -> Result<(), Error> {
        self.end_own_sessions()?;
        self.own_sessions = sessions.clone();
        Ok(())
    }

    /// From now on nothing is encrypted and authorization values go in the clear: who listens on
    /// the bus reads all. For TPMs without AES in CFB mode, and to measure what protection costs.
    pub fn dangerous_plain(&mut self, plain: bool) {
        self.plain = plain;
    }

    pub(crate) const fn is_plain(&self) -> bool {
        self.plain
    }

    /// Runs a command.
    ///
    /// A busy TPM is waited for, about half a minute. A session of our own that the TPM lost is
    /// started again. A wrong authorization is never tried twice.
    pub fn run(&mut self, command: &Command) -> Result<Answer, Error> {
        let ran = self.run_again(command);
        ran.map_err(|error| self.explained(error))
    }

    fn once(&mut self, command: &Command) -> Result<Answer, Error> {
        match self.attempt(command) {
            Ok(answer) => Ok(answer),
            Err(Miss::Again(error) | Miss::Final(error)) => Err(error),
        }
    }

    fn run_again(&mut self, command: &Command) -> Result<Answer, Error> {
        self.sweep();
        let mut renewed = None;
        for _ in 0..RENEWALS {
            match self.attempt(renewed.as_ref().unwrap_or(command)) {
                Ok(answer) => return Ok(answer),
                Err(Miss::Final(error)) if self.make_room(command, error)? => {}
                Err(Miss::Final(error)) => renewed = Some(self.with_new_srk(command, error)?),
                Err(Miss::Again(_)) => {}
            }
        }
        self.once(renewed.as_ref().unwrap_or(command))
    }

    fn attempt(&mut self, command: &Command) -> Result<Answer, Miss> {
        let plan = self.plan(command)?;
        let mut sent = command.clone();
        plan.encrypt(self.crypto, &self.sessions, &mut sent)?;
        let area = plan.area(self.crypto, &self.sessions, &sent)?;
        let octets = sent.encode(&area)?;
        let response = match self.exchange(&octets) {
            Ok(response) => response,
            Err(error) => {
                // Whether the TPM has carried it out nobody knows, so neither the next nonce.
                if matches!(error, Error::Transport(_) | Error::Malformed(_)) {
                    self.give_up(&plan);
                }
                return Err(Miss::Final(trouble::crowded(command, error)));
            }
        };
        let decoded = Response::decode(&response, command.code.makes_handle, plan.slots.len());
        let (handle, parameters, sessions) = match decoded {
            Ok(Response::Done { handle, parameters, sessions }) => (handle, parameters, sessions),
            Ok(Response::Failed(code)) => return Err(self.failed(command, &plan, code)),
            Err(error) => {
                self.give_up(&plan);
                return Err(Miss::Final(error));
            }
        };
        if let Some(handle) = handle {
            self.made(handle);
        }
        let mut parameters = Zeroizing::new(parameters.to_vec());
        let settled =
            plan.settle(self.crypto, &mut self.sessions, &sent, &mut parameters, &sessions);
        if let Err(error) = settled {
            self.give_up(&plan);
            if let Some(handle) = handle {
                self.flush(handle)?;
            }
            return Err(Miss::Final(error));
        }
        Ok(Answer { handle, parameters })
    }

    /// Sends the octets, again while the TPM is busy.
    fn exchange(&mut self, octets: &[u8]) -> Result<Octets, Error> {
        let mut response = Zeroizing::new(vec![0; MAX_MESSAGE]);
        for tries in 0..TRIES {
            let len = self.transport.transact(octets, &mut response)?;
            let head = response.get(..len).ok_or(Error::Malformed("it is longer than its room"))?;
            match response_code_of(head) {
                Some(code) if response_code::is_busy(code) => self.transport.pause(pause(tries)),
                _ => {
                    response.truncate(len);
                    return Ok(response);
                }
            }
        }
        Err(Error::Busy)
    }

    fn made(&mut self, handle: u32) {
        if HandleKind::of(handle) == HandleKind::Transient {
            self.loaded.push(handle);
        }
    }

    /// The sessions of a command of which nobody knows whether it was carried out.
    fn give_up(&mut self, plan: &Plan) {
        let (mut place, debris) = (0, &mut self.debris);
        self.sessions.retain(|session| {
            let unknown = plan.slots.iter().any(|slot| slot.place == Some(place));
            place += 1;
            if unknown {
                debris.push(session.id.entity().handle);
            }
            !unknown
        });
    }

    /// Flushes what an earlier failure left.
    fn sweep(&mut self) {
        for handle in core::mem::take(&mut self.debris) {
            match self.flush_raw(handle) {
                Err(Error::Canceled | Error::Busy) => self.debris.push(handle),
                // The TPM is gone: the next command will tell.
                Err(Error::Transport(_)) => return self.debris.clear(),
                // It is flushed, or was gone already.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Unloads an object or ends a session.
    pub fn flush(&mut self, handle: u32) -> Result<(), Error> {
        self.loaded.retain(|loaded| *loaded != handle);
        self.sessions.retain(|session| session.id.entity().handle != handle);
        if self.srk.as_ref().is_some_and(|srk| srk.entity.handle == handle) {
            self.srk = None;
        }
        if self.salt.as_ref().is_some_and(|(key, _)| key.entity.handle == handle) {
            self.salt = None;
        }
        let flushed = self.flush_raw(handle);
        if let Err(Error::Canceled | Error::Busy) = flushed {
            // It is there still.
            self.debris.push(handle);
        }
        flushed
    }

    fn flush_raw(&mut self, handle: u32) -> Result<(), Error> {
        // Part 3 §28.4: the handle is a parameter, so nothing has to be known about it.
        let command = Command::new(code::FLUSH_CONTEXT).parameters(Writer::default().u32(handle));
        self.once(&command).map(|_| ())
    }

    /// Unloads an object that was lent out, whatever came of it.
    pub fn with_loaded<T, E: From<Error>>(
        &mut self,
        object: &Object,
        serve: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let served = serve(self);
        let flushed = self.flush(object.entity.handle);
        let served = served?;
        flushed?;
        Ok(served)
    }

    /// Unloads what a killed predecessor left loaded, open or saved. Nothing happens where a
    /// resource manager did that; elsewhere nobody else may be using the TPM.
    pub fn recover(&mut self) -> Result<(), Error> {
        if self.is_managed() {
            return Ok(());
        }
        self.lost_all();
        for first in [TRANSIENT_FIRST, LOADED_SESSION_FIRST, SAVED_SESSION_FIRST] {
            // No TPM keeps more; a strange one does not keep us for ever.
            for _ in 0..16 {
                let handles = self.handles(first)?;
                if handles.is_empty() {
                    break;
                }
                for handle in handles {
                    self.flush(handle)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets what the TPM lost in a restart.
    pub(crate) fn lost_all(&mut self) {
        self.sessions.clear();
        self.loaded.clear();
        self.debris.clear();
        self.srk = None;
    }

    /// The handles from `first` on, of its kind (`TPM_CAP_HANDLES`), as many as come at once.
    pub fn handles(&mut self, first: u32) -> Result<Vec<u32>, Error> {
        let listed = self.capability(CAP_HANDLES, first, PAGE)?;
        let mut reader = Reader::new(&listed);
        let count = reader.u32()?;
        if count > PAGE {
            return Err(Error::Malformed("it lists more handles than asked for"));
        }
        (0..count).map(|_| reader.u32()).collect()
    }

    /// `TPM2_GetCapability`: the list, without the capability's number in front.
    pub fn capability(
        &mut self,
        capability: u32,
        first: u32,
        count: u32,
    ) -> Result<Vec<u8>, Error> {
        let parameters = Writer::default().u32(capability).u32(first).u32(count);
        let answer = self.run(&Command::new(code::GET_CAPABILITY).parameters(parameters))?;
        let mut reader = Reader::new(&answer.parameters);
        reader.u8()?;
        if reader.u32()? != capability {
            return Err(self.failed_or("it is about another capability"));
        }
        Ok(reader.rest().to_vec())
    }

    /// Random octets from the TPM.
    pub fn random(&mut self, out: &mut [u8]) -> Result<(), Error> {
        // A digest's worth is what every TPM gives at once (Part 3 §16.1).
        for chunk in out.chunks_mut(32) {
            let len = u16::try_from(chunk.len()).unwrap_or(u16::MAX);
            let parameters = Writer::default().u16(len);
            let answer = self.run(&Command::new(code::GET_RANDOM).parameters(parameters))?;
            let octets = Reader::new(&answer.parameters).sized()?;
            if octets.len() != chunk.len() {
                return Err(Error::Malformed("fewer random octets than asked for"));
            }
            chunk.copy_from_slice(octets);
        }
        Ok(())
    }

    pub(crate) fn next_session_number(&mut self) -> u32 {
        self.session_number = self.session_number.wrapping_add(1);
        self.session_number
    }

    /// The place of our own session number `index`, which is started when it is missing.
    pub(crate) fn own_session(&mut self, index: usize) -> Result<usize, Error> {
        let mut own = self.sessions.iter().enumerate().filter(|(_, session)| session.pooled);
        if let Some((place, _)) = own.nth(index) {
            return Ok(place);
        }
        let id = self.start(&self.own_sessions.clone())?;
        let place = self.place(id)?;
        if let Some(session) = self.sessions.get_mut(place) {
            session.pooled = true;
        }
        Ok(place)
    }

    fn end_own_sessions(&mut self) -> Result<(), Error> {
        let own = self.sessions.iter().filter(|session| session.pooled);
        for id in own.map(|session| session.id).collect::<Vec<_>>() {
            self.end(id)?;
        }
        Ok(())
    }
}

/// The code in a response's header.
fn response_code_of(response: &[u8]) -> Option<u32> {
    let code = response.get(6..10)?;
    Some(response_code::without_layer(u32::from_be_bytes(code.try_into().ok()?)))
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let sessions = self.sessions.drain(..).map(|session| session.id.entity().handle);
        let mut ours: Vec<u32> = sessions.collect();
        ours.append(&mut self.loaded);
        ours.append(&mut self.debris);
        for handle in ours {
            // A TPM that cannot be reached any more has nothing of ours loaded that matters, and
            // there is nobody left to tell.
            if let Err(Error::Transport(_)) = self.flush_raw(handle) {
                return;
            }
        }
    }
}

impl core::fmt::Debug for Tpm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tpm")
            .field("managed", &self.is_managed())
            .field("sessions", &self.sessions.len())
            .field("loaded", &self.loaded)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TransportError;
    use alloc::string::ToString;
    use touchstone_crypto_awslc::AwsLc;

    /// Answers with the canned responses, one after another.
    struct Canned(Vec<Vec<u8>>);

    impl Transport for Canned {
        fn transact(&mut self, _: &[u8], out: &mut [u8]) -> Result<usize, TransportError> {
            if self.0.is_empty() {
                return Err(TransportError::Closed);
            }
            let response = self.0.remove(0);
            out[..response.len()].copy_from_slice(&response);
            Ok(response.len())
        }

        fn pause(&mut self, _: u32) {}
    }

    fn code(code: u32) -> Vec<u8> {
        Writer::default().u16(0x8001).u32(10).u32(code).done()
    }

    fn tpm(responses: Vec<Vec<u8>>) -> Tpm {
        Tpm::new(Box::new(Canned(responses)), &AwsLc)
    }

    #[test]
    fn a_busy_tpm_is_waited_for() {
        let mut tpm = tpm(vec![code(0x922), code(0x90A), code(0x908), code(0)]);
        assert_eq!(tpm.flush(1), Ok(()));
    }

    #[test]
    fn a_refusal_is_final_and_a_dead_tpm_unreachable() {
        let mut tpm = tpm(vec![code(0x1C4), code(0)]);
        match tpm.flush(1) {
            Err(Error::Refused(refusal)) => assert_eq!(refusal.name(), "TPM_RC_VALUE"),
            other => panic!("{other:?}"),
        }
        assert_eq!(tpm.flush(1), Ok(()));
        assert_eq!(tpm.flush(1), Err(Error::Transport(TransportError::Closed)));
    }

    #[test]
    fn a_tpm_in_failure_mode_says_what_its_self_test_found() {
        let result = Writer::default().u16(0x8001).u32(16).u32(0).u16(0).u32(0x12).done();
        let mut failing = tpm(vec![code(0x101), result, code(0x101), code(0x101)]);
        let error = failing.random(&mut [0; 4]).unwrap_err();
        assert_eq!(error, Error::Failed { result: Some(0x12) });
        assert!(error.to_string().contains("power the device off and on"), "{error}");
        assert_eq!(failing.random(&mut [0; 4]), Err(Error::Failed { result: None }));
    }

    #[test]
    fn a_cancelled_command_is_not_sent_again_by_itself() {
        let mut tpm = tpm(vec![code(0x909), code(0)]);
        assert_eq!(tpm.run(&Command::new(code::SELF_TEST)).unwrap_err(), Error::Canceled);
        for busy in [0x922, 0x908, 0x90A, 0x920, 0x923] {
            let mut tpm = super::tests::tpm(vec![code(busy), code(busy), code(0)]);
            assert!(tpm.run(&Command::new(code::SELF_TEST)).is_ok(), "{busy:x}");
        }
    }

    /// A resource manager that is full.
    struct Full;

    impl Transport for Full {
        fn transact(&mut self, _: &[u8], _: &mut [u8]) -> Result<usize, TransportError> {
            Err(TransportError::NoRoom)
        }

        fn pause(&mut self, _: u32) {}

        fn is_managed(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_resource_manager_that_is_full_says_of_what() {
        use crate::{NewSession, Slots, template};
        let mut tpm = Tpm::new(Box::new(Full), &AwsLc);
        let session = tpm.start(&NewSession::hmac().dangerous_unsalted());
        assert_eq!(session, Err(Error::Exhausted(Slots::Sessions)));
        tpm.dangerous_plain(true);
        let key = tpm.load_external(&template::srk(), None).map(|_| ());
        assert_eq!(key, Err(Error::Exhausted(Slots::Objects)));
        // What makes nothing needs no room: that is another fault.
        assert_eq!(tpm.random(&mut [0; 8]), Err(Error::Transport(TransportError::NoRoom)));
    }

    #[test]
    fn waiting_ends_after_about_half_a_minute() {
        let total: u32 = (0..TRIES).map(pause).sum();
        assert!((25_000..35_000).contains(&total), "{total}");
        let mut tpm = tpm(vec![code(0x922); 40]);
        assert_eq!(tpm.flush(1), Err(Error::Busy));
    }
}
