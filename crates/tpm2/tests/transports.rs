//! swtpm's control channel, and the simulator's protocol. Debian packages no server of the latter,
//! so its proof is in two halves: libtss2-tcti-mssim, a client that we did not write, is served by
//! our bridge in front of swtpm; and our client sends the bridge the very octets which that one did.
//! The last test is for whoever built a simulator.
#![cfg(all(unix, feature = "std"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod bridge;

use bridge::Bridge;
use std::path::Path;
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::{Swtpm, tool};
use touchstone_tpm2::transport::{Control, Request, Simulator, Stream};
use touchstone_tpm2::{Error, Locality, MAX_MESSAGE, PcrSelection, Tpm, Transport, TransportError};

const STARTUP_CLEAR: &[u8] = &[0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0];
const GET_RANDOM_8: &[u8] = &[0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8];
/// TPM2_CreatePrimary: a signing RSA key of 2048 bits in the owner hierarchy.
#[rustfmt::skip]
const CREATE_RSA: &[u8] = &[
    0x80, 0x02, 0, 0, 0, 63, 0, 0, 0x01, 0x31, 0x40, 0, 0, 1, // the owner hierarchy
    0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0,                 // its empty password
    0, 4, 0, 0, 0, 0,                                         // nothing sensitive
    0, 22, 0, 1, 0, 0x0B, 0, 4, 0, 0x72, 0, 0,                // RSA, SHA-256, signs, no policy
    0, 0x10, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 0,                 // no cipher, no scheme, 2048 bits
    0, 0, 0, 0, 0, 0,                                         // no outside data, no PCRs
];
const RC_SUCCESS: u32 = 0;
const RC_CANCELED: u32 = 0x909;
const RC_INITIALIZE: u32 = 0x100;
const RC_LOCALITY: u32 = 0x907;

fn response_code(transport: &mut dyn Transport, command: &[u8]) -> u32 {
    let mut response = [0; MAX_MESSAGE];
    transport.transact(command, &mut response).unwrap();
    u32::from_be_bytes(response[6..10].try_into().unwrap())
}

fn measurement() -> Digest {
    Digest::new(HashAlgorithm::Sha256, &[0xA5; 32]).unwrap()
}

/// PCR 22 belongs to a dynamically launched operating system: only locality 2 extends it (PTP,
/// "PCR Attributes").
fn extend_22(tpm: &mut Tpm) -> Result<(), u32> {
    match tpm.pcr_extend(22, &[measurement()]) {
        Ok(()) => Ok(()),
        Err(Error::Refused(refusal)) => Err(refusal.response),
        Err(other) => panic!("{other}"),
    }
}

fn pcr_22(tpm: &mut Tpm) -> Digest {
    tpm.pcr_read(&PcrSelection::new(HashAlgorithm::Sha256, &[22]).unwrap()).unwrap()[0]
}

#[test]
fn the_control_channel_powers_and_resets_a_tpm() {
    let swtpm = Swtpm::bare();
    let mut control = Control::unix(swtpm.control_socket()).unwrap();
    let abilities = control.abilities().unwrap();
    for request in [
        Request::Init,
        Request::Shutdown,
        Request::Established,
        Request::SetLocality,
        Request::Cancel,
        Request::ResetEstablished,
        Request::Stop,
    ] {
        assert!(abilities.offers(request), "{request:?}");
    }
    // Without power there is no establishment bit to read: the platform says so.
    assert!(matches!(control.established(), Err(TransportError::Platform(_))));

    control.init().unwrap();
    let mut data = Stream::unix(swtpm.socket()).unwrap();
    assert_eq!(response_code(&mut data, GET_RANDOM_8), RC_INITIALIZE);
    assert_eq!(response_code(&mut data, STARTUP_CLEAR), RC_SUCCESS);
    assert_eq!(response_code(&mut data, GET_RANDOM_8), RC_SUCCESS);
    assert_eq!(control.established(), Ok(false));
    control.cancel().unwrap();

    // A reset: it is to be started again.
    control.init().unwrap();
    assert_eq!(response_code(&mut data, GET_RANDOM_8), RC_INITIALIZE);
    assert_eq!(response_code(&mut data, STARTUP_CLEAR), RC_SUCCESS);
    // And off.
    control.stop().unwrap();
    assert_ne!(response_code(&mut data, GET_RANDOM_8), RC_SUCCESS);
}

#[test]
fn the_locality_of_the_control_channel_is_the_one_the_tpm_sees() {
    let swtpm = Swtpm::blank_tcp();
    let mut control = Control::tcp(swtpm.control_address()).unwrap();
    let data = Stream::tcp(swtpm.address()).unwrap();
    let mut tpm = Tpm::new(Box::new(data), &AwsLc);
    for locality in Locality::ALL {
        control.set_locality(locality).unwrap();
        let expected = if locality == Locality::Two { Ok(()) } else { Err(RC_LOCALITY) };
        assert_eq!(extend_22(&mut tpm), expected, "{locality:?}");
    }
}

#[test]
fn the_control_channel_ends_the_program() {
    let mut swtpm = Swtpm::bare_tcp();
    let mut control = Control::tcp(swtpm.control_address()).unwrap();
    control.init().unwrap();
    control.shutdown().unwrap();
    assert_eq!(control.init(), Err(TransportError::Closed));
    // It ended by itself: its state can be taken over.
    swtpm.restart();
    Control::tcp(swtpm.control_address()).unwrap().init().unwrap();
}

fn tool_at(bridge: &Bridge, arguments: &[&str]) -> Vec<u8> {
    let tcti = format!("--tcti=mssim:host=127.0.0.1,port={}", bridge.port);
    let (program, arguments) = arguments.split_first().unwrap();
    let arguments = [&[tcti.as_str()], arguments].concat();
    tool(program, Path::new("/tmp"), &arguments)
}

#[test]
fn a_client_that_we_did_not_write_is_served_by_our_half_of_the_simulators_protocol() {
    let bridge = Bridge::start();
    tool_at(&bridge, &["tpm2_startup", "-c"]);
    assert_eq!(tool_at(&bridge, &["tpm2_getrandom", "24"]).len(), 24);
    let read = String::from_utf8(tool_at(&bridge, &["tpm2_pcrread", "sha256:0,22"])).unwrap();
    assert!(read.contains("0 : 0x0000"), "{read}");
}

#[test]
fn our_client_sends_the_octets_that_the_other_sends() {
    let bridge = Bridge::start();
    tool_at(&bridge, &["tpm2_startup", "-c"]);
    let theirs = bridge.sent(2);

    let mut ours = Simulator::tcp("127.0.0.1", bridge.port).unwrap();
    // TPM_RC_INITIALIZE: it is started already, and the code comes through.
    assert_eq!(response_code(&mut ours, STARTUP_CLEAR), RC_INITIALIZE);
    drop(ours);
    let ours = bridge.sent(2);
    // And it takes its leave of both ports, which the other does not.
    let goodbye = [0, 0, 0, 20];
    assert_eq!(ours.commands.strip_suffix(&goodbye), Some(&theirs.commands[..]));
    assert_eq!(ours.platform.strip_suffix(&goodbye), Some(&theirs.platform[..]));
}

#[test]
fn our_client_powers_the_platform_and_speaks_from_any_locality() {
    let bridge = Bridge::start();
    let mut simulator = Simulator::tcp("127.0.0.1", bridge.port).unwrap();
    assert_eq!(response_code(&mut simulator, GET_RANDOM_8), RC_INITIALIZE);
    assert_eq!(response_code(&mut simulator, STARTUP_CLEAR), RC_SUCCESS);
    simulator.set_locality(Locality::Two);
    let mut tpm = Tpm::new(Box::new(simulator), &AwsLc);
    let before = pcr_22(&mut tpm);
    extend_22(&mut tpm).unwrap();
    assert_ne!(pcr_22(&mut tpm), before);
    drop(tpm);

    // Power off and on: registers start anew, and locality 0 may not extend this one.
    let mut simulator = Simulator::tcp("127.0.0.1", bridge.port).unwrap();
    simulator.power_off().unwrap();
    simulator.power_on().unwrap();
    assert_eq!(response_code(&mut simulator, STARTUP_CLEAR), RC_SUCCESS);
    // swtpm has no switch for physical presence: the bridge refuses, and that is told.
    let refused = simulator.set_physical_presence(true);
    assert_eq!(refused, Err(TransportError::Platform(1)));
    let mut tpm = Tpm::new(Box::new(simulator), &AwsLc);
    assert_eq!(pcr_22(&mut tpm), before);
    assert_eq!(extend_22(&mut tpm), Err(RC_LOCALITY));
}

#[test]
fn nobody_at_the_port_is_an_error_of_the_operating_system() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(matches!(Simulator::tcp("127.0.0.1", free), Err(TransportError::Os(_))));
    assert!(matches!(Simulator::tcp("127.0.0.1", u16::MAX), Err(TransportError::Interface(_))));
    assert!(matches!(Control::tcp(("127.0.0.1", free)), Err(TransportError::Os(_))));
}

/// A simulator itself, which Debian does not have: `tpm_server` as ibmswtpm2 builds it.
struct TpmServer {
    child: std::process::Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl TpmServer {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = std::process::Command::new("tpm_server");
        command.current_dir(dir.path()).args(["-port", &port.to_string(), "-rm"]);
        let child = command.stdout(std::process::Stdio::null()).spawn().unwrap_or_else(|error| {
            panic!("tpm_server: {error}; build https://github.com/kgoldman/ibmswtpm2")
        });
        Self { child, port, _dir: dir }
    }

    fn connect(&self) -> Simulator<std::net::TcpStream> {
        for _ in 0..500 {
            match Simulator::tcp("127.0.0.1", self.port) {
                Err(TransportError::Os(_)) => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                connected => return connected.unwrap(),
            }
        }
        panic!("tpm_server does not listen");
    }
}

impl Drop for TpmServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
#[ignore = "no distribution packages tpm_server: build it, put it on the PATH and pass --ignored"]
fn a_simulator_that_we_did_not_write_serves_our_client() {
    let server = TpmServer::start();
    let mut simulator = server.connect();
    assert_eq!(response_code(&mut simulator, GET_RANDOM_8), RC_INITIALIZE);
    assert_eq!(response_code(&mut simulator, STARTUP_CLEAR), RC_SUCCESS);
    simulator.set_locality(Locality::Two);
    let mut tpm = Tpm::new(Box::new(simulator), &AwsLc);
    let before = pcr_22(&mut tpm);
    extend_22(&mut tpm).unwrap();
    assert_ne!(pcr_22(&mut tpm), before);
    drop(tpm);

    // The session ended and another begins: the simulator was on all the time.
    let mut simulator = server.connect();
    assert_eq!(response_code(&mut simulator, STARTUP_CLEAR), RC_INITIALIZE);
    assert_eq!(response_code(&mut simulator, GET_RANDOM_8), RC_SUCCESS);
    // Each switch of the platform does what it says. TPM2_Clear needs NV; an RSA key, that nobody
    // cancels.
    let clear = [
        &[0x80, 0x02, 0, 0, 0, 27, 0, 0, 0x01, 0x26, 0x40, 0, 0, 0x0A, 0, 0, 0, 9][..],
        &[0x40, 0, 0, 9, 0, 0, 0, 0, 0],
    ]
    .concat();
    simulator.set_nv(false).unwrap();
    assert_eq!(response_code(&mut simulator, &clear), 0x923, "TPM_RC_NV_UNAVAILABLE");
    simulator.set_nv(true).unwrap();
    assert_eq!(response_code(&mut simulator, &clear), RC_SUCCESS);
    simulator.set_physical_presence(true).unwrap();
    simulator.set_physical_presence(false).unwrap();
    simulator.set_cancel(true).unwrap();
    assert_eq!(response_code(&mut simulator, CREATE_RSA), RC_CANCELED);
    simulator.set_cancel(false).unwrap();
    assert_eq!(response_code(&mut simulator, CREATE_RSA), RC_SUCCESS);

    simulator.power_off().unwrap();
    simulator.power_on().unwrap();
    assert_eq!(response_code(&mut simulator, GET_RANDOM_8), RC_INITIALIZE);
    assert_eq!(response_code(&mut simulator, STARTUP_CLEAR), RC_SUCCESS);
    let mut tpm = Tpm::new(Box::new(simulator), &AwsLc);
    assert_eq!(pcr_22(&mut tpm), before);
    assert_eq!(extend_22(&mut tpm), Err(RC_LOCALITY));
}
