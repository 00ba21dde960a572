//! A line to the TPM that cuts, shortens and flips, at every command of a conversation in turn.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod lab;

use lab::{NO_DA, WITH_POLICY, WITH_VALUE, talk};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use touchstone_crypto::HashAlgorithm::Sha256;
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::policy::Means;
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{
    Auth, AuthValue, Error, NewObject, Policy, Tpm, Transport, TransportError, code, template,
};

const DATA: &[u8] = b"what nobody may change on its way";

/// What happens to one command.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The line is cut before the TPM sees it.
    CutBefore,
    /// The TPM carries it out, and the line is cut.
    CutAfter,
    /// The response ends early, by so many octets.
    Short(usize),
    /// The response ends early, and its header agrees.
    ShortAndConsistent(usize),
    /// A bit of the response flips, at so many thousandths of its length.
    Flip(usize),
    /// A bit of the command flips, likewise.
    FlipSent(usize),
}

struct Faulty {
    line: Option<Stream<UnixStream>>,
    at: usize,
    fault: Fault,
    sent: Arc<AtomicUsize>,
}

fn flip(octets: &mut [u8], thousandths: usize) {
    let at = (octets.len() - 1) * thousandths / 1000;
    octets[at] ^= 0x10;
}

impl Transport for Faulty {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let now = self.sent.fetch_add(1, Ordering::Relaxed) == self.at;
        let line = self.line.as_mut().ok_or(TransportError::Closed)?;
        if !now {
            return line.transact(command, response);
        }
        if let Fault::CutBefore = self.fault {
            self.line = None;
            return Err(TransportError::Closed);
        }
        let mut sent = command.to_vec();
        // A flipped size would have the TPM wait for what never comes.
        if let Fault::FlipSent(at) = self.fault
            && sent.len() > 10
        {
            flip(&mut sent[10..], at);
        }
        let len = line.transact(&sent, response)?;
        match self.fault {
            Fault::CutAfter => {
                self.line = None;
                return Err(TransportError::Closed);
            }
            Fault::Short(by) => return Ok(len.saturating_sub(by)),
            Fault::ShortAndConsistent(by) => {
                let len = len.saturating_sub(by);
                response[2..6].copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
                return Ok(len);
            }
            Fault::Flip(at) => flip(&mut response[..len], at),
            Fault::CutBefore | Fault::FlipSent(_) => {}
        }
        Ok(len)
    }

    fn pause(&mut self, _: u32) {}
}

/// Seals and opens by value and by policy. What is opened is what was sealed, or an error.
fn converse(tpm: &mut Tpm, counted: bool) -> Result<(), Error> {
    tpm.recover()?;
    let policy = Policy::new().auth_value().command(code::UNSEAL);
    for by_policy in [false, true] {
        let mut sealed = template::sealed();
        sealed.attributes = if by_policy { WITH_POLICY } else { WITH_VALUE };
        sealed.attributes |= if counted { 0 } else { NO_DA };
        if by_policy {
            sealed.policy = policy.digest(&AwsLc, Sha256)?.as_bytes().to_vec();
        }
        let value = AuthValue::new(b"pin");
        let srk = tpm.srk()?;
        let new = NewObject::new(sealed).auth(value.clone()).data(DATA);
        let made = tpm.create(&srk, Auth::empty(), &new)?;
        let object = tpm.load(&srk, Auth::empty(), &made.private, &made.native)?;
        let opened = tpm.with_loaded(&object, |tpm| {
            if !by_policy {
                return tpm.unseal(&object, Auth::Value(value));
            }
            tpm.with_policy(&policy, Sha256, &Means::default(), &value, |tpm, auth| {
                tpm.unseal(&object, auth)
            })
        })?;
        assert_eq!(opened[..], DATA[..], "somebody changed it");
    }
    Ok(())
}

fn run(swtpm: &Swtpm, at: usize, fault: Fault, counted: bool) -> (Result<(), Error>, usize) {
    let sent = Arc::new(AtomicUsize::new(0));
    let line = Some(Stream::unix(swtpm.socket()).unwrap());
    let faulty = Faulty { line, at, fault, sent: Arc::clone(&sent) };
    let mut tpm = Tpm::new(Box::new(faulty), &AwsLc);
    let result = converse(&mut tpm, counted);
    drop(tpm);
    (result, sent.load(Ordering::Relaxed))
}

#[test]
fn no_fault_at_any_command_changes_a_secret_or_leaves_anything_behind() {
    let swtpm = Swtpm::blank();
    let (result, commands) = run(&swtpm, usize::MAX, Fault::CutBefore, false);
    result.unwrap();
    assert!(commands > 15, "{commands}");
    let mut codes = std::collections::BTreeSet::new();
    for fault in [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Short(1),
        Fault::Short(9999),
        Fault::ShortAndConsistent(1),
        Fault::ShortAndConsistent(20),
        Fault::Flip(0),
        Fault::Flip(300),
        Fault::Flip(600),
        Fault::Flip(1000),
        Fault::FlipSent(0),
        Fault::FlipSent(400),
        Fault::FlipSent(1000),
    ] {
        for at in 0..commands {
            if let (Err(error), _) = run(&swtpm, at, fault, false) {
                codes.insert(error.code());
                assert!(!error.to_string().is_empty());
            }
            // Who comes next cleans up, and finds a TPM that works.
            let mut next = talk(&swtpm);
            for first in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
                let left = next.handles(first).unwrap();
                assert_eq!(left, Vec::<u32>::new(), "{fault:?} at {at}");
            }
        }
    }
    for expected in ["tpm2.transport.closed", "tpm2.malformed", "tpm2.tampered", "tpm2.refused"] {
        assert!(codes.contains(expected), "{codes:?}");
    }
}

#[test]
fn a_line_that_was_cut_leaves_nothing_to_a_wrong_guess() {
    // However often the line is cut in the middle of a proof, no wrong authorization is counted.
    let swtpm = Swtpm::blank();
    let (result, commands) = run(&swtpm, usize::MAX, Fault::CutBefore, true);
    result.unwrap();
    for at in 0..commands {
        for fault in [Fault::CutBefore, Fault::CutAfter] {
            let (result, _) = run(&swtpm, at, fault, true);
            // What is flushed last may be missed without harm.
            assert!(result.is_err() || at + 4 > commands, "{fault:?} at {at}");
        }
    }
    assert_eq!(talk(&swtpm).lockout().unwrap().failed, 0);
}
