//! A TPM that does not take a command now: busy, testing itself, paused, or told to stop. And one
//! whose saved sessions grew too old.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod lab;

use lab::{WITH_VALUE, primary, recorded, seal, unseal};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use touchstone_crypto::{Curve, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::attestation::Attester;
use touchstone_tpm2::marshal::Writer;
use touchstone_tpm2::object::SigningScheme;
use touchstone_tpm2::template::{KeyPair, attestation};
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{
    Auth, Command, Error, Hierarchy, NewSession, PcrSelection, Slots, Tpm, Transport,
    TransportError, code, response_code,
};

/// What the TPM was sent, what it was waited for, and what it does not take.
#[derive(Default)]
struct Log {
    sent: Vec<Vec<u8>>,
    carried_out: usize,
    pauses: Vec<u32>,
    /// So many times each command is answered with this code.
    times: usize,
    code: u32,
    /// Only the command of that number, counted from zero.
    only: Option<usize>,
}

struct Reluctant {
    line: Stream<UnixStream>,
    log: Arc<Mutex<Log>>,
    tried: usize,
}

impl Transport for Reluctant {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let mut log = self.log.lock().unwrap();
        log.sent.push(command.to_vec());
        let meant = log.only.is_none_or(|only| only == log.carried_out);
        if meant && self.tried < log.times {
            self.tried += 1;
            let refusal = Writer::default().u16(0x8001).u32(10).u32(log.code).done();
            response[..10].copy_from_slice(&refusal);
            return Ok(10);
        }
        let len = self.line.transact(command, response)?;
        // It may be busy indeed.
        let code = u32::from_be_bytes(response[6..10].try_into().unwrap());
        if !response_code::is_busy(code) {
            self.tried = 0;
            log.carried_out += 1;
        }
        Ok(len)
    }

    fn pause(&mut self, millis: u32) {
        self.log.lock().unwrap().pauses.push(millis);
    }
}

fn reluctant(swtpm: &Swtpm, log: Log) -> (Tpm, Arc<Mutex<Log>>) {
    let log = Arc::new(Mutex::new(log));
    let line = Stream::unix(swtpm.socket()).unwrap();
    let transport = Reluctant { line, log: Arc::clone(&log), tried: 0 };
    (Tpm::new(Box::new(transport), &AwsLc), log)
}

/// Secrets in both directions, sessions, a key, a statement.
fn converse(tpm: &mut Tpm) -> Result<(), Error> {
    tpm.recover()?;
    tpm.random(&mut [0; 40])?;
    let sealed = seal(tpm, WITH_VALUE, &[], b"pin", b"data");
    assert_eq!(unseal(tpm, &sealed, Auth::value(b"pin"))?, b"data");
    tpm.unload_srk()?;
    let scheme = SigningScheme::Ecdsa(HashAlgorithm::Sha256);
    let ak = attestation(KeyPair::Ecc(Curve::P256), scheme)?;
    let ak = primary(tpm, Hierarchy::Owner, ak);
    let pcrs = PcrSelection::new(HashAlgorithm::Sha256, &[0])?;
    tpm.quote(&Attester::new(&ak, Auth::empty(), b"nonce"), &pcrs)?;
    tpm.flush(ak.entity.handle)
}

fn waited_for(code: u32) {
    let swtpm = Swtpm::blank();
    let (mut tpm, log) = reluctant(&swtpm, Log { times: 3, code, ..Log::default() });
    converse(&mut tpm).unwrap();
    drop(tpm);
    let log = log.lock().unwrap();
    // Each command four times at least, the same octets: its nonces are not used up before it is
    // carried out. And the waits double.
    let mut waits = log.pauses.iter().copied();
    let mut commands = 0;
    for tries in log.sent.chunk_by(|one, next| one == next) {
        assert!(tries.len() >= 4, "{tries:?}");
        let expected: Vec<u32> = (0..tries.len() - 1).map(|at| (20 << at).min(1000)).collect();
        assert_eq!(waits.by_ref().take(tries.len() - 1).collect::<Vec<_>>(), expected);
        commands += 1;
    }
    assert!(commands > 12 && commands == log.carried_out && waits.next().is_none(), "{commands}");
    let (mut tpm, _) = recorded(&swtpm);
    for first in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
        assert_eq!(tpm.handles(first).unwrap(), Vec::<u32>::new(), "{first:x}");
    }
}

#[test]
fn a_tpm_that_could_not_start_a_command_is_asked_again() {
    waited_for(response_code::RETRY);
}

#[test]
fn a_tpm_that_tests_itself_is_waited_for() {
    waited_for(response_code::TESTING);
}

#[test]
fn a_command_that_yielded_is_sent_again() {
    waited_for(response_code::YIELDED);
}

#[test]
fn a_tpm_that_may_not_store_yet_is_waited_for() {
    waited_for(response_code::NV_RATE);
    waited_for(response_code::NV_UNAVAILABLE);
}

#[test]
fn a_tpm_that_stays_busy_ends_in_an_error_and_serves_again_afterwards() {
    let swtpm = Swtpm::blank();
    for code in [response_code::RETRY, response_code::TESTING, response_code::YIELDED] {
        let (mut tpm, log) = reluctant(&swtpm, Log::default());
        tpm.random(&mut [0; 8]).unwrap();
        let carried_out = log.lock().unwrap().carried_out;
        {
            let mut log = log.lock().unwrap();
            (log.times, log.code, log.pauses) = (usize::MAX, code, Vec::new());
        }
        assert_eq!(tpm.random(&mut [0; 8]), Err(Error::Busy));
        let waited: u32 = log.lock().unwrap().pauses.iter().sum();
        assert!((25_000..35_000).contains(&waited), "{waited} ms");
        log.lock().unwrap().times = 0;
        tpm.random(&mut [0; 8]).unwrap();
        // In the same session: the TPM has not seen the command that was given up.
        assert_eq!(log.lock().unwrap().carried_out, carried_out + 1);
    }
}

#[test]
fn a_cancelled_command_is_told_at_once_and_whoever_wants_it_still_sends_it_again() {
    let swtpm = Swtpm::blank();
    let (mut tpm, log) = reluctant(&swtpm, Log::default());
    let mut first = [0; 8];
    tpm.random(&mut first).unwrap();
    let (sent, carried_out) = {
        let mut log = log.lock().unwrap();
        (log.times, log.code) = (1, response_code::CANCELED);
        (log.sent.len(), log.carried_out)
    };
    let canceled = tpm.random(&mut [0; 8]).unwrap_err();
    assert_eq!((canceled, canceled.code()), (Error::Canceled, "tpm2.canceled"));
    assert!(canceled.to_string().contains("send it again when it is still wanted"));
    assert_eq!(log.lock().unwrap().sent.len(), sent + 1, "nothing is sent again by itself");
    tpm.random(&mut [0; 8]).unwrap();
    // The session is as it was: cancelled means not carried out.
    assert_eq!(log.lock().unwrap().carried_out, carried_out + 1);
    assert!(log.lock().unwrap().pauses.is_empty());
}

#[test]
fn a_cancelled_command_anywhere_leaves_nothing_behind() {
    let swtpm = Swtpm::blank();
    let (mut tpm, log) = reluctant(&swtpm, Log::default());
    converse(&mut tpm).unwrap();
    let all = log.lock().unwrap().carried_out;
    drop(tpm);
    let mut told = 0;
    for only in 0..all {
        let code = response_code::CANCELED;
        let (mut tpm, log) =
            reluctant(&swtpm, Log { only: Some(only), times: 1, code, ..Log::default() });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| converse(&mut tpm)));
        // The rig's own steps panic with the error.
        told += usize::from(!matches!(result, Ok(Ok(()))));
        if let Ok(Err(error)) = result {
            assert_eq!(error, Error::Canceled, "command {only}");
        }
        // What was cancelled is done again, in the conversation as it is.
        log.lock().unwrap().times = 0;
        tpm.random(&mut [0; 8]).unwrap();
        drop(tpm);
        let (mut tpm, _) = recorded(&swtpm);
        for first in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
            assert_eq!(tpm.handles(first).unwrap(), Vec::<u32>::new(), "command {only}: {first:x}");
        }
    }
    assert_eq!(told, all, "each command that is cancelled is told");
}

/// What `TPM2_ContextSave` and `TPM2_ContextLoad` are to a resource manager.
struct Manager(Stream<UnixStream>);

impl Manager {
    /// A command without sessions: its response code and what follows.
    fn ask(&mut self, number: u32, rest: &[u8]) -> (u32, Vec<u8>) {
        let size = u32::try_from(10 + rest.len()).unwrap();
        let command = Writer::default().u16(0x8001).u32(size).u32(number).octets(rest).done();
        let mut response = [0; 4096];
        let len = self.0.transact(&command, &mut response).unwrap();
        let code = u32::from_be_bytes(response[6..10].try_into().unwrap());
        (code, response[10..len].to_vec())
    }

    /// A policy session, unsalted and unbound; its handle.
    fn start(&mut self) -> Vec<u8> {
        let writer = Writer::default().u32(0x4000_0007).u32(0x4000_0007).sized(&[7; 16]).unwrap();
        let rest = writer.sized(&[]).unwrap().u8(1).u16(0x10).u16(0x0B).done();
        let (code, started) = self.ask(code::START_AUTH_SESSION.number, &rest);
        assert_eq!(code, 0);
        started[..4].to_vec()
    }
}

#[test]
fn a_session_saved_too_long_ago_is_told_and_goes_with_who_recovers() {
    let swtpm = Swtpm::blank();
    let mut manager = Manager(Stream::unix(swtpm.socket()).unwrap());
    // One is saved and forgotten; another is saved and loaded with every command.
    let (old, busy) = (manager.start(), manager.start());
    assert_eq!(manager.ask(code::CONTEXT_SAVE.number, &old).0, 0);
    let mut saves = 0;
    let gap = loop {
        let (code, context) = manager.ask(code::CONTEXT_SAVE.number, &busy);
        if code != 0 {
            break code;
        }
        assert_eq!(manager.ask(code::CONTEXT_LOAD.number, &context).0, 0);
        saves += 1;
        assert!(saves <= 0xFFFF, "a TPM tells contexts apart by 16 bits");
    };
    assert_eq!((gap, response_code::name(gap)), (response_code::CONTEXT_GAP, "TPM_RC_CONTEXT_GAP"));
    drop(manager);

    let (mut tpm, _) = recorded(&swtpm);
    let session = tpm.start(&NewSession::policy(HashAlgorithm::Sha256)).unwrap();
    let save = Command::new(code::CONTEXT_SAVE).handle(&session.entity());
    let refused = tpm.run(&save).unwrap_err();
    assert_eq!(refused, Error::Exhausted(Slots::Sessions));
    assert!(refused.to_string().contains("tpm2_flushcontext -l -s"), "{refused}");
    tpm.recover().unwrap();
    let session = tpm.start(&NewSession::policy(HashAlgorithm::Sha256)).unwrap();
    tpm.run(&Command::new(code::CONTEXT_SAVE).handle(&session.entity())).unwrap();
    tpm.random(&mut [0; 8]).unwrap();
}
