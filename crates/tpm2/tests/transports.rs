//! swtpm's control channel, and the simulator's protocol. Debian packages no server of the latter,
//! so its proof is in two halves: libtss2-tcti-mssim, a client that we did not write, is served by
//! our bridge in front of swtpm; and our client sends the bridge the very octets which that one did.
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
const RC_SUCCESS: u32 = 0;
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
