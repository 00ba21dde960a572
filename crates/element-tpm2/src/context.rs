//! One conversation with a TPM: send, wait out a busy TPM, check, and leave nothing loaded.

use crate::command::{self, Auth, Code, Command, Entity};
use crate::marshal::{Reader, Writer};
use crate::public::{Public, name_of};
use crate::response::{Response, SessionResponse};
use crate::response_code::{Outcome, outcome};
use crate::template;
use crate::transport::Transport;
use std::thread;
use std::time::Duration;
use touchstone_element::Error;

pub(crate) const RH_OWNER: u32 = 0x4000_0001;
const TRANSIENT_FIRST: u32 = 0x8000_0000;
const LOADED_SESSION_FIRST: u32 = 0x0200_0000;
const CAP_HANDLES: u32 = 1;

/// Pauses between tries: 20 ms doubling to 1 s, for about 30 s in all.
const TRIES: u32 = 34;

fn pause(tries: u32) -> Duration {
    Duration::from_millis((20 << tries.min(6)).min(1000))
}

pub(crate) struct Context {
    transport: Box<dyn Transport>,
    at: String,
    srk: Option<Object>,
}

/// What a command gave.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) handle: Option<u32>,
    pub(crate) parameters: Vec<u8>,
}

impl Answer {
    pub(crate) fn handle(&self) -> Result<u32, Error> {
        self.handle.ok_or(Error::Malformed("its handle is missing"))
    }
}

/// A key that is loaded.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) entity: Entity,
    pub(crate) native: Vec<u8>,
    pub(crate) public: Public,
}

impl Object {
    pub(crate) fn new(handle: u32, native: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            entity: Entity { handle, name: name_of(native)? },
            native: native.to_vec(),
            public: Public::decode(native)?,
        })
    }
}

impl Context {
    pub(crate) fn new(transport: Box<dyn Transport>, at: String) -> Self {
        Self { transport, at, srk: None }
    }

    /// Runs a command.
    pub(crate) fn run(&mut self, command: &Command<'_>) -> Result<Answer, Error> {
        let octets = command.encode(None)?;
        self.exchange(command.code, &octets, command.auths.len(), |handle, parameters, _| {
            Ok(Answer { handle, parameters: parameters.to_vec() })
        })
    }

    /// Sends the octets, again while the TPM is busy, and hands the response to `read`.
    pub(crate) fn exchange(
        &mut self,
        code: Code,
        octets: &[u8],
        sessions: usize,
        read: impl FnOnce(Option<u32>, &[u8], &[SessionResponse<'_>]) -> Result<Answer, Error>,
    ) -> Result<Answer, Error> {
        for tries in 0..TRIES {
            let response = self
                .transport
                .transact(octets)
                .map_err(|source| Error::Unreachable { at: self.at.clone(), source })?;
            match Response::decode(&response, code.makes_handle, sessions)? {
                Response::Done { handle, parameters, sessions } => {
                    let answer = read(handle, parameters, &sessions);
                    if let (Err(_), Some(handle)) = (&answer, handle) {
                        self.flush(handle)?;
                    }
                    return answer;
                }
                Response::Failed(response) => match outcome(code.name, response) {
                    Outcome::Again => thread::sleep(pause(tries)),
                    Outcome::Refused(refusal) => return Err(Error::Refused(refusal)),
                },
            }
        }
        Err(Error::Busy)
    }

    /// Unloads a key or ends a session.
    pub(crate) fn flush(&mut self, handle: u32) -> Result<(), Error> {
        // Part 3 §28.4: the handle is a parameter, so nothing has to be known about it.
        self.run(&Command {
            code: command::FLUSH_CONTEXT,
            handles: &[],
            auths: &[],
            parameters: handle.to_be_bytes().to_vec(),
        })?;
        Ok(())
    }

    /// Unloads what a killed predecessor left, where no resource manager did that.
    pub(crate) fn flush_leftovers(&mut self) -> Result<(), Error> {
        for first in [TRANSIENT_FIRST, LOADED_SESSION_FIRST] {
            let listed = self.capability(CAP_HANDLES, first, 64)?;
            let mut reader = Reader::new(&listed);
            for _ in 0..reader.u32()? {
                self.flush(reader.u32()?)?;
            }
        }
        Ok(())
    }

    /// `TPM2_GetCapability`: the list, without the capability's number in front.
    pub(crate) fn capability(
        &mut self,
        capability: u32,
        first: u32,
        count: u32,
    ) -> Result<Vec<u8>, Error> {
        let answer = self.run(&Command {
            code: command::GET_CAPABILITY,
            handles: &[],
            auths: &[],
            parameters: Writer::default().u32(capability).u32(first).u32(count).done(),
        })?;
        let mut reader = Reader::new(&answer.parameters);
        reader.u8()?;
        if reader.u32()? != capability {
            return Err(Error::Malformed("it is about another capability"));
        }
        Ok(reader.rest().to_vec())
    }

    /// The storage root key, loaded once and kept.
    pub(crate) fn srk(&mut self) -> Result<Object, Error> {
        if let Some(srk) = &self.srk {
            return Ok(srk.clone());
        }
        let srk = self.create_primary(RH_OWNER, &template::srk())?;
        self.srk = Some(srk.clone());
        Ok(srk)
    }

    /// Makes the key that a hierarchy's seed and a template give. The caller flushes it.
    pub(crate) fn create_primary(
        &mut self,
        hierarchy: u32,
        template: &Public,
    ) -> Result<Object, Error> {
        let hierarchy = Entity::fixed(hierarchy);
        let answer = self.run(&Command {
            code: command::CREATE_PRIMARY,
            handles: &[&hierarchy],
            auths: &[Auth::Empty],
            parameters: creation(template)?,
        })?;
        let handle = answer.handle()?;
        let object =
            Reader::new(&answer.parameters).sized().and_then(|native| Object::new(handle, native));
        self.keep(handle, object, template)
    }

    /// Loads a key whose parent is the storage root key. The caller flushes it.
    pub(crate) fn load(&mut self, private: &[u8], native: &[u8]) -> Result<Object, Error> {
        let srk = self.srk()?;
        let answer = self.run(&Command {
            code: command::LOAD,
            handles: &[&srk.entity],
            auths: &[Auth::Empty],
            parameters: Writer::default().sized(private)?.sized(native)?.done(),
        })?;
        let handle = answer.handle()?;
        match Object::new(handle, native) {
            Ok(object) => Ok(object),
            Err(error) => self.flush(handle).and(Err(error)),
        }
    }

    /// Creates a key under the storage root key: its private and public part, neither loaded.
    pub(crate) fn create(&mut self, template: &Public) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let srk = self.srk()?;
        let answer = self.run(&Command {
            code: command::CREATE,
            handles: &[&srk.entity],
            auths: &[Auth::Empty],
            parameters: creation(template)?,
        })?;
        let mut reader = Reader::new(&answer.parameters);
        let (private, native) = (reader.sized()?.to_vec(), reader.sized()?.to_vec());
        if !Public::decode(&native)?.is_like(template) {
            return Err(NOT_AS_ASKED);
        }
        Ok((private, native))
    }

    /// The public area at a handle.
    pub(crate) fn read_public(&mut self, handle: u32) -> Result<Object, Error> {
        let answer = self.run(&Command {
            code: command::READ_PUBLIC,
            handles: &[&Entity::fixed(handle)],
            auths: &[],
            parameters: Vec::new(),
        })?;
        Object::new(handle, Reader::new(&answer.parameters).sized()?)
    }

    /// Hands out an object that is as asked, else unloads it.
    fn keep(
        &mut self,
        handle: u32,
        object: Result<Object, Error>,
        template: &Public,
    ) -> Result<Object, Error> {
        match object {
            Ok(object) if object.public.is_like(template) => Ok(object),
            Ok(_) => self.flush(handle).and(Err(NOT_AS_ASKED)),
            Err(error) => self.flush(handle).and(Err(error)),
        }
    }
}

const NOT_AS_ASKED: Error = Error::Malformed("the TPM made another key than was asked for");

/// The parameters of a key's creation: no authorization value, no outside data, no PCRs.
fn creation(template: &Public) -> Result<Vec<u8>, Error> {
    let sensitive = Writer::default().u16(0).u16(0).done();
    Ok(Writer::default().sized(&sensitive)?.sized(&template.encode()?)?.u16(0).u32(0).done())
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(srk) = self.srk.take() {
            // A TPM that cannot be reached any more has nothing of ours loaded that matters, and
            // there is nobody left to tell.
            drop(self.flush(srk.entity.handle));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// Answers with the canned responses, one after another.
    struct Canned(Vec<Vec<u8>>);

    impl Transport for Canned {
        fn transact(&mut self, _: &[u8]) -> io::Result<Vec<u8>> {
            if self.0.is_empty() {
                Err(io::ErrorKind::BrokenPipe.into())
            } else {
                Ok(self.0.remove(0))
            }
        }
    }

    fn code(code: u32) -> Vec<u8> {
        Writer::default().u16(0x8001).u32(10).u32(code).done()
    }

    fn context(responses: Vec<Vec<u8>>) -> Context {
        Context::new(Box::new(Canned(responses)), "a test".to_owned())
    }

    #[test]
    fn a_busy_tpm_is_waited_for() {
        let mut context = context(vec![code(0x922), code(0x90A), code(0x908), code(0)]);
        assert!(context.flush(1).is_ok());
    }

    #[test]
    fn a_refusal_is_final_and_a_dead_tpm_unreachable() {
        let mut context = context(vec![code(0x1C4), code(0)]);
        match context.flush(1) {
            Err(Error::Refused(refusal)) => assert_eq!(refusal.name, "TPM_RC_VALUE"),
            other => panic!("{other:?}"),
        }
        assert!(context.flush(1).is_ok());
        assert!(matches!(context.flush(1), Err(Error::Unreachable { .. })));
    }

    #[test]
    fn waiting_ends_after_about_half_a_minute() {
        let total: Duration = (0..TRIES).map(pause).sum();
        assert!((Duration::from_secs(25)..Duration::from_secs(35)).contains(&total), "{total:?}");
    }
}
