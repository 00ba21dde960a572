//! A line to the TPM that fails, and clients that are killed: whatever happens between any two
//! commands, every error is typed, every key that is listed works, and after the next start the TPM
//! holds nothing of ours.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod open;

use open::Open;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    Attesting, Element, Error, KeyAlgorithm, KeySpec, KeyUse, PcrSelection, SealTo, Storage,
};
use touchstone_element_tpm2::Tpm;
use touchstone_peers::Swtpm;
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{Transport, TransportError};

/// What a device does with its TPM from its first start on.
fn life(tpm: &mut Tpm) -> Result<(), Error> {
    let mut octets = [0; 40];
    tpm.random(&mut octets)?;
    for (name, key_use) in [("lak", KeyUse::Attest), ("ldevid", KeyUse::Sign)] {
        if tpm.public_key(name)?.is_none() {
            tpm.create_key(name, &KeySpec::new(key_use, KeyAlgorithm::P256))?;
        }
    }
    let key = tpm.public_key("ldevid")?.ok_or(Error::UnknownKey("ldevid".to_owned()))?;
    let boot = PcrSelection::new(HashAlgorithm::Sha256, &[0, 7]);
    tpm.quote("lak", &boot, b"nonce")?;
    tpm.certify("ldevid", "lak", b"nonce")?;
    tpm.sign("ldevid", key.signature().unwrap(), b"message")?;
    tpm.store("version", b"7")?;
    assert_eq!(tpm.load("version")?.unwrap(), b"7");
    if let Some(sealing) = tpm.sealing() {
        let sealed = sealing.seal(b"secret", &SealTo::default())?;
        assert_eq!(sealing.unseal(&sealed, None)?.expose(), b"secret");
    }
    Ok(())
}

/// What goes wrong with one command.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It never arrives.
    CommandLost,
    /// The TPM does it and nobody hears.
    ResponseLost,
    /// The response ends early.
    Cut,
    /// One bit of the response is another.
    Flipped,
    /// The TPM's connection ends before the command.
    Closed,
    /// Somebody else has a word with the TPM just before.
    Interleaved,
}

struct Faulty {
    stream: Stream<UnixStream>,
    fault: Fault,
    at: usize,
    seed: usize,
    count: Arc<AtomicUsize>,
}

impl Transport for Faulty {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let now = self.count.fetch_add(1, Ordering::Relaxed);
        if matches!(self.fault, Fault::Closed) && now >= self.at {
            return Err(TransportError::Closed);
        }
        if now != self.at {
            return self.stream.transact(command, response);
        }
        match self.fault {
            Fault::CommandLost => Err(TransportError::TimedOut),
            Fault::ResponseLost => {
                self.stream.transact(command, response)?;
                Err(TransportError::TimedOut)
            }
            Fault::Cut => Ok(self.seed % self.stream.transact(command, response)?),
            Fault::Flipped => {
                let len = self.stream.transact(command, response)?;
                let bit = self.seed.wrapping_mul(7919) % (len * 8);
                response[bit / 8] ^= 1 << (bit % 8);
                Ok(len)
            }
            Fault::Interleaved => {
                // TPM2_GetRandom, and a session that comes and goes.
                self.stream.transact(&GET_RANDOM, response)?;
                self.stream.transact(&START_SESSION, response)?;
                let mut flush = FLUSH;
                flush[10..].copy_from_slice(&response[10..14]);
                self.stream.transact(&flush, response)?;
                self.stream.transact(command, response)
            }
            Fault::Closed => unreachable!(),
        }
    }

    fn pause(&mut self, _: u32) {}
}

const GET_RANDOM: [u8; 12] = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8];
const FLUSH: [u8; 14] = [0x80, 0x01, 0, 0, 0, 14, 0, 0, 0x01, 0x65, 0, 0, 0, 0];
/// An HMAC session, neither salted nor bound, with SHA-256.
const START_SESSION: [u8; 43] = {
    let mut octets = [0; 43];
    let head = [0x80, 0x01, 0, 0, 0, 43, 0, 0, 0x01, 0x76, 0x40, 0, 0, 7, 0x40, 0, 0, 7, 0, 16];
    let mut at = 0;
    while at < head.len() {
        octets[at] = head[at];
        at += 1;
    }
    // After the nonce: no salt, TPM_SE_HMAC, no cipher, TPM_ALG_SHA256.
    octets[39] = 0x00;
    octets[40] = 0x10;
    octets[42] = 0x0B;
    octets
};

/// Starts anew as a program would after a crash: the keys that are there all work, and nothing is
/// left in the TPM but what this start needs, which goes with it.
fn check_after(swtpm: &Swtpm, state: &str) {
    let mut tpm = swtpm.open_as(state);
    for key in tpm.keys().unwrap() {
        let Some(algorithm) = key.public.signature() else { continue };
        if key.public.key_use == KeyUse::Sign {
            tpm.sign(&key.name, algorithm, b"still here").unwrap();
        }
    }
    life(&mut tpm).unwrap();
    drop(tpm);
    nothing_is_left(swtpm);
}

fn nothing_is_left(swtpm: &Swtpm) {
    let stream = Stream::unix(swtpm.socket()).unwrap();
    let mut plain = touchstone_tpm2::Tpm::new(Box::new(stream), &AwsLc);
    // Transient objects, loaded sessions, saved sessions (TPM 2.0 Part 2 §7.2).
    for first in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
        assert_eq!(plain.handles(first).unwrap(), Vec::<u32>::new());
    }
}

fn faulty(swtpm: &Swtpm, fault: Fault, at: usize, state: &Path) -> (Result<(), Error>, usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let stream = Stream::unix(swtpm.socket()).unwrap();
    let line = Faulty {
        stream,
        fault,
        at,
        seed: at.wrapping_mul(31).wrapping_add(5),
        count: Arc::clone(&count),
    };
    let opened = Tpm::with_transport(Box::new(line), "a bad line".to_owned(), state);
    let done = opened.and_then(|mut tpm| life(&mut tpm));
    (done, count.load(Ordering::Relaxed))
}

#[test]
fn a_line_that_fails_at_any_command_costs_an_error_and_nothing_else() {
    let swtpm = Swtpm::blank();
    let folder = swtpm.dir.path().to_owned();
    let (done, commands) = faulty(&swtpm, Fault::CommandLost, usize::MAX, &folder.join("calm"));
    done.unwrap();
    assert!(commands > 20, "{commands}");
    let faults = [
        Fault::CommandLost,
        Fault::ResponseLost,
        Fault::Cut,
        Fault::Flipped,
        Fault::Closed,
        Fault::Interleaved,
    ];
    for fault in faults {
        let mut refused = 0;
        for at in 0..commands {
            let state = format!("{fault:?}-{at}");
            let (done, _) = faulty(&swtpm, fault, at, &folder.join(&state));
            match (fault, done) {
                (Fault::Interleaved, done) => done.unwrap(),
                (_, Ok(())) => {}
                (_, Err(error)) => {
                    refused += 1;
                    assert!(!error.to_string().is_empty() && error.code().starts_with("element."));
                }
            }
            check_after(&swtpm, &state);
            std::fs::remove_dir_all(folder.join(&state)).unwrap();
        }
        println!("{fault:?}: {refused} of {commands} commands ended in an error");
        if matches!(fault, Fault::Closed) {
            // The last two unload what was loaded, at the end, when nobody is left to tell.
            assert_eq!(refused, commands - 2, "a closed line cannot go unnoticed");
        }
    }
}

/// Passes commands on and holds one response back for so long; how many commands there were.
fn pass_late(listener: &UnixListener, tpm: &Path, late_at: usize, by: Duration) -> usize {
    let (mut near, _) = listener.accept().unwrap();
    let mut far = UnixStream::connect(tpm).unwrap();
    for count in 0.. {
        let Some(command) = message(&mut near) else { return count };
        far.write_all(&command).unwrap();
        let response = message(&mut far).unwrap();
        if count == late_at {
            thread::sleep(by);
        }
        // The client may have given up by now.
        if near.write_all(&response).is_err() {
            return count + 1;
        }
    }
    unreachable!()
}

/// How long the client of the next test waits for a response. A busy machine may make others late,
/// too, which is no less of a trial.
const PATIENCE: Duration = Duration::from_millis(250);

#[test]
fn a_response_that_comes_late_is_waited_for_or_missed_and_never_taken_for_another() {
    let swtpm = Swtpm::blank();
    let folder = swtpm.dir.path().to_owned();
    let late = |at: usize, by: Duration, state: &str| {
        let socket = folder.join(format!("{state}-line"));
        let listener = UnixListener::bind(&socket).unwrap();
        thread::scope(|scope| {
            let line = scope.spawn(|| pass_late(&listener, swtpm.socket(), at, by));
            let stream = UnixStream::connect(&socket).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let line_to_tpm = Box::new(Stream::new(stream));
            let opened =
                Tpm::with_transport(line_to_tpm, "a slow line".to_owned(), &folder.join(state));
            let done = opened.and_then(|mut tpm| life(&mut tpm));
            (done, line.join().unwrap())
        })
    };
    let (_, commands) = late(usize::MAX, Duration::ZERO, "prompt");
    let mut missed = 0;
    for at in 0..commands {
        let state = format!("late-{at}");
        let (done, _) = late(at, PATIENCE / 50, &state);
        assert!(matches!(done, Ok(()) | Err(Error::Unreachable { .. })), "{done:?}");
        check_after(&swtpm, &state);
        let (done, _) = late(at, PATIENCE * 3 / 2, &format!("{state}-too"));
        missed += usize::from(done.is_err());
        assert!(matches!(done, Ok(()) | Err(Error::Unreachable { .. })), "{done:?}");
        check_after(&swtpm, &format!("{state}-too"));
    }
    println!("a late response was missed at {missed} of {commands} commands");
    assert!(missed > commands / 2, "{missed} of {commands}");
}

/// Where the client that is to be killed finds its TPM.
const SOCKET: &str = "TOUCHSTONE_TEST_FAULT_SOCKET";
const STATE: &str = "TOUCHSTONE_TEST_FAULT_STATE";

/// Not a test by itself: the client of the next one.
#[test]
fn client() {
    let (Ok(socket), Ok(state)) = (std::env::var(SOCKET), std::env::var(STATE)) else { return };
    let mut tpm = Tpm::connect_unix(socket, state).unwrap();
    life(&mut tpm).unwrap();
}

/// Passes commands on until it is time to kill; whether it came to that.
fn pass(listener: &UnixListener, tpm: &Path, kill_at: usize, client: &mut Child) -> bool {
    let (mut near, _) = listener.accept().unwrap();
    let mut far = UnixStream::connect(tpm).unwrap();
    for count in 0.. {
        let Some(command) = message(&mut near) else { return false };
        if count == kill_at {
            // Half of them die before the TPM hears, half before they hear from the TPM.
            if kill_at.is_multiple_of(2) {
                far.write_all(&command).unwrap();
                message(&mut far).unwrap();
            }
            client.kill().unwrap();
            return true;
        }
        far.write_all(&command).unwrap();
        let response = message(&mut far).unwrap();
        near.write_all(&response).unwrap();
    }
    unreachable!()
}

/// One command or response, `None` at the end.
fn message(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut header = [0; 10];
    from.read_exact(&mut header).ok()?;
    let len = u32::from_be_bytes(header[2..6].try_into().unwrap());
    let mut octets = vec![0; len as usize];
    octets[..10].copy_from_slice(&header);
    from.read_exact(&mut octets[10..]).ok()?;
    Some(octets)
}

#[test]
fn a_client_killed_between_any_two_commands_leaves_nothing_behind() {
    let swtpm = Swtpm::blank();
    let folder = swtpm.dir.path().to_owned();
    let mut kill_at = 0;
    loop {
        let state = format!("killed-{kill_at}");
        let socket = folder.join(format!("line-{kill_at}"));
        let listener = UnixListener::bind(&socket).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "client", "--test-threads=1"])
            .env(SOCKET, &socket)
            .env(STATE, folder.join(&state))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let killed = pass(&listener, swtpm.socket(), kill_at, &mut child);
        let ended = child.wait().unwrap();
        assert_eq!(ended.success(), !killed);
        if !killed {
            break;
        }
        check_after(&swtpm, &state);
        kill_at += 1;
    }
    assert!(kill_at > 20, "{kill_at}");
    println!("killed at each of {kill_at} commands");
}
