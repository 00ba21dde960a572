//! Our side of a software TPM: plain, recorded, and reconnecting.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::marshal::{Reader, Writer};
use touchstone_tpm2::template::ENDORSEMENT;
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{
    Auth, AuthValue, Command, Entity, Error, Hierarchy, NewObject, Object, Public, Tpm, Transport,
    TransportError, code, name_of,
};

pub(crate) fn talk(swtpm: &Swtpm) -> Tpm {
    let transport: Box<dyn Transport + Send> = if swtpm.is_tcp() {
        Box::new(Stream::tcp(swtpm.address()).unwrap())
    } else {
        Box::new(Stream::unix(swtpm.socket()).unwrap())
    };
    let mut tpm = Tpm::new(transport, &AwsLc);
    tpm.recover().unwrap();
    tpm
}

/// All that went by, commands and responses in their order.
pub(crate) type Recording = Arc<Mutex<Vec<Vec<u8>>>>;

struct Recorder {
    stream: Stream<UnixStream>,
    seen: Recording,
}

impl Transport for Recorder {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let len = self.stream.transact(command, response)?;
        self.seen.lock().unwrap().extend([command.to_vec(), response[..len].to_vec()]);
        Ok(len)
    }

    fn pause(&mut self, millis: u32) {
        self.stream.pause(millis);
    }
}

/// A conversation that somebody listens to.
pub(crate) fn recorded(swtpm: &Swtpm) -> (Tpm, Recording) {
    let seen = Recording::default();
    let stream = Stream::unix(swtpm.socket()).unwrap();
    let recorder = Recorder { stream, seen: Arc::clone(&seen) };
    (Tpm::new(Box::new(recorder), &AwsLc), seen)
}

/// The codes of the recorded commands.
pub(crate) fn codes(seen: &Recording) -> Vec<u32> {
    let number = |octets: &Vec<u8>| u32::from_be_bytes(octets[6..10].try_into().unwrap());
    seen.lock().unwrap().iter().step_by(2).map(number).collect()
}

/// A line that can be cut.
struct Severable(Arc<Mutex<Option<Stream<std::net::TcpStream>>>>);

impl Transport for Severable {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let mut line = self.0.lock().unwrap();
        line.as_mut().ok_or(TransportError::Closed)?.transact(command, response)
    }

    fn pause(&mut self, _: u32) {}
}

/// A conversation, and what cuts it short.
pub(crate) fn severable(swtpm: &Swtpm) -> (Tpm, impl FnOnce()) {
    let line = Arc::new(Mutex::new(Some(Stream::tcp(swtpm.address()).unwrap())));
    let end = Arc::clone(&line);
    let tpm = Tpm::new(Box::new(Severable(line)), &AwsLc);
    (tpm, move || drop(end.lock().unwrap().take()))
}

/// Connects anew for each command, so that a restart of the TPM goes unnoticed.
struct Reconnecting(PathBuf);

impl Transport for Reconnecting {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        Stream::unix(&self.0)?.transact(command, response)
    }

    fn pause(&mut self, millis: u32) {
        std::thread::sleep(std::time::Duration::from_millis(millis.into()));
    }
}

pub(crate) fn reconnecting(swtpm: &Swtpm) -> Tpm {
    Tpm::new(Box::new(Reconnecting(swtpm.socket().to_owned())), &AwsLc)
}

/// A primary key with the empty value.
pub(crate) fn primary(tpm: &mut Tpm, hierarchy: Hierarchy, template: Public) -> Object {
    let auth = tpm.hierarchy_auth(hierarchy);
    tpm.create_primary(hierarchy, auth, &NewObject::new(template)).unwrap().0
}

/// The endorsement key whose certificate is at that index.
pub(crate) fn endorsement(tpm: &mut Tpm, certificate: u32) -> Object {
    let kind = ENDORSEMENT.iter().find(|kind| kind.certificate == certificate).unwrap();
    primary(tpm, Hierarchy::Endorsement, (kind.template)(&AwsLc))
}

/// Gives a hierarchy another authorization value.
pub(crate) fn set_hierarchy(tpm: &mut Tpm, hierarchy: Hierarchy, value: &[u8]) {
    let auth = tpm.hierarchy_auth(hierarchy);
    let command = Command::new(code::HIERARCHY_CHANGE_AUTH)
        .authorized(&hierarchy.entity(), auth)
        .parameters(Writer::default().sized(value).unwrap())
        .changes_value_to(AuthValue::new(value));
    tpm.run(&command).unwrap();
    let place = match hierarchy {
        Hierarchy::Owner => &mut tpm.hierarchies.owner,
        Hierarchy::Endorsement => &mut tpm.hierarchies.endorsement,
        Hierarchy::Lockout => &mut tpm.hierarchies.lockout,
        _ => &mut tpm.hierarchies.platform,
    };
    *place = AuthValue::new(value);
}

/// A sealed object under the storage root key.
pub(crate) struct Sealed {
    pub(crate) entity: Entity,
    pub(crate) parent: Object,
}

/// `TPMA_OBJECT` of sealed data: fixed, used with its value, administered with it.
pub(crate) const WITH_VALUE: u32 = 0x0000_0052;
/// The same, used with its policy alone.
pub(crate) const WITH_POLICY: u32 = 0x0000_0012;
/// No wrong value locks the TPM.
pub(crate) const NO_DA: u32 = 0x0000_0400;

pub(crate) fn seal(
    tpm: &mut Tpm,
    attributes: u32,
    policy: &[u8],
    value: &[u8],
    data: &[u8],
) -> Sealed {
    // TPMT_PUBLIC of a KEYEDHASH object without a scheme.
    let public = Writer::default()
        .u16(0x0008)
        .u16(HashAlgorithm::Sha256.tpm_id())
        .u32(attributes)
        .sized(policy)
        .unwrap()
        .u16(0x0010)
        .u16(0);
    let sensitive = Writer::default().sized(value).unwrap().sized(data).unwrap().done();
    let parameters =
        Writer::default().sized(&sensitive).unwrap().sized(&public.done()).unwrap().u16(0).u32(0);
    let parent = tpm.srk().unwrap();
    let create = Command::new(code::CREATE).authorized(&parent.entity, Auth::empty());
    let answer = tpm.run(&create.parameters(parameters)).unwrap();
    let mut reader = Reader::new(&answer.parameters);
    let (private, native) = (reader.sized().unwrap(), reader.sized().unwrap());
    let parameters = Writer::default().sized(private).unwrap().sized(native).unwrap();
    let load = Command::new(code::LOAD).authorized(&parent.entity, Auth::empty());
    let handle = tpm.run(&load.parameters(parameters)).unwrap().handle().unwrap();
    Sealed { entity: Entity::named(handle, name_of(&AwsLc, native).unwrap()), parent }
}

pub(crate) fn unseal(tpm: &mut Tpm, sealed: &Sealed, auth: Auth) -> Result<Vec<u8>, Error> {
    let answer = tpm.run(&Command::new(code::UNSEAL).authorized(&sealed.entity, auth))?;
    Ok(Reader::new(&answer.parameters).sized()?.to_vec())
}
