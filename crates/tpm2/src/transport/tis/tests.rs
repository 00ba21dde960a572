//! The driver against the register model: the way that works, and each way that does not.

use super::model::{Model, OnI2c, OnSpi, State, Trick, Waited};
use super::{Bus, Fault, I2cBus, SpiBus, Tis};
use crate::transport::{Locality, Transport, TransportError};
use std::vec;
use std::vec::Vec;

/// Success and the command's octets after its header, in turn.
fn echo(command: &[u8]) -> Vec<u8> {
    let mut response = vec![0x80, 0x01];
    response.extend(u32::try_from(command.len()).unwrap().to_be_bytes());
    response.extend([0; 4]);
    response.extend(command[10..].iter().rev());
    response
}

fn command(len: usize) -> Vec<u8> {
    let mut command = vec![0x80, 0x01];
    command.extend(u32::try_from(len).unwrap().to_be_bytes());
    command.extend([0, 0, 1, 0x7B]);
    command.extend((10..len).map(|octet| u8::try_from(octet % 251).unwrap()));
    command
}

fn open(trick: Trick) -> Result<Tis<Model, Waited>, TransportError> {
    Tis::open(Model::new(trick, echo), Waited::default(), Locality::Zero)
}

fn fault<B: Bus>(tis: &mut Tis<B, Waited>) -> TransportError {
    tis.transact(&command(40), &mut [0; 4096]).unwrap_err()
}

#[test]
fn a_command_goes_and_its_response_comes_whatever_the_burst_count() {
    for burst in [1, 7, 8, 64, 4096] {
        let mut tis = open(Trick::None).unwrap();
        tis.bus.burst = burst;
        for len in [10, 11, 12, 64, 65, 4096] {
            let mut response = [0; 4096];
            let got = tis.transact(&command(len), &mut response).unwrap();
            assert_eq!(response[..got], echo(&command(len)), "{burst}, {len}");
            assert_eq!(tis.bus.commands.pop(), Some((0, command(len))));
            assert_eq!(tis.bus.active, None, "the locality is still held");
        }
    }
}

#[test]
fn the_tpm_says_which_one_it_is() {
    let tis = open(Trick::None).unwrap();
    let identity = tis.identity();
    assert_eq!((identity.vendor, identity.device, identity.revision), (0x15D1, 0x001B, 0x10));
    assert_eq!(identity.capability, 0x3000_0697);
}

#[test]
fn each_locality_speaks_for_itself() {
    let mut tis = open(Trick::None).unwrap();
    for locality in Locality::ALL {
        tis.set_locality(locality);
        tis.transact(&command(12), &mut [0; 64]).unwrap();
        assert_eq!(tis.bus.commands.pop().unwrap().0, u16::from(locality.number()));
    }
}

#[test]
fn what_is_no_tpm_2_behind_fifo_is_told_apart_when_it_is_opened() {
    for (trick, fault) in [
        (Trick::Gone, Fault::Absent),
        (Trick::NoIds, Fault::Absent),
        (Trick::IsCrb, Fault::Crb),
        (Trick::IsTpm12, Fault::NotTpm2),
        (Trick::AccessNeverValid, Fault::AccessNotValid),
        (Trick::Reserved, Fault::AccessNotValid),
        (Trick::OtherLocalityHolds, Fault::LocalityRefused),
    ] {
        assert_eq!(open(trick).err(), Some(TransportError::Tis(fault)), "{trick:?}");
    }
}

#[test]
fn each_way_to_misbehave_has_its_own_fault_and_ends_in_time() {
    for (trick, fault) in [
        (Trick::LocalityTakenAfterGo, Fault::LocalityLost),
        (Trick::NeverReady, Fault::NeverReady),
        (Trick::NeverValid, Fault::StatusNotValid),
        (Trick::BurstZero, Fault::NoBurst),
        (Trick::StopsExpecting, Fault::StoppedExpecting),
        (Trick::AlwaysExpects, Fault::StillExpecting),
        (Trick::NeverAnswers, Fault::NoResponse),
        (Trick::ResponseSize(9), Fault::ResponseSize(9)),
        (Trick::ResponseSize(4097), Fault::ResponseSize(4097)),
        (Trick::ResponseSize(u32::MAX), Fault::ResponseSize(u32::MAX)),
        (Trick::EndsEarly, Fault::ResponseShort),
        (Trick::GoesOn, Fault::ResponseLong),
    ] {
        let mut tis = open(Trick::None).unwrap();
        tis.bus.trick = trick;
        assert_eq!(super::tests::fault(&mut tis), TransportError::Tis(fault), "{trick:?}");
        assert!(tis.delay.micros < 130_000_000, "{trick:?} took {} µs", tis.delay.micros);
        // And when it behaves again, everything works again.
        tis.bus.trick = Trick::None;
        if tis.bus.active == Some(4) {
            tis.bus.active = None;
        }
        tis.transact(&command(40), &mut [0; 4096]).unwrap();
    }
}

#[test]
fn a_failing_bus_tells_its_own_error() {
    let mut tis = open(Trick::None).unwrap();
    tis.bus.trick = Trick::BusFails;
    assert_eq!(fault(&mut tis), TransportError::Os(121));
}

#[test]
fn a_response_hurt_on_the_way_is_asked_for_again() {
    let mut tis = open(Trick::None).unwrap();
    tis.bus.trick = Trick::Cut(2);
    let mut response = [0; 4096];
    let len = tis.transact(&command(40), &mut response).unwrap();
    assert_eq!(response[..len], echo(&command(40)));
    assert_eq!((tis.bus.writes_of_retry, tis.bus.commands.len()), (2, 1));

    tis.bus.trick = Trick::Cut(3);
    assert_eq!(fault(&mut tis), TransportError::Tis(Fault::ResponseShort));
}

#[test]
fn a_command_that_takes_too_long_or_is_no_longer_wanted_is_cancelled() {
    for (cancel_after, limit) in [(None, 120_000_000), (Some(50_000), 50_000)] {
        let mut tis = open(Trick::None).unwrap();
        tis.bus.trick = Trick::AnswersWhenCancelled;
        tis.delay.cancel_after = cancel_after;
        let len = tis.transact(&command(40), &mut [0; 4096]).unwrap();
        assert_eq!(len, 40);
        assert!((limit..limit + 100_000).contains(&tis.delay.micros), "{}", tis.delay.micros);
    }
}

#[test]
fn a_response_that_a_predecessor_left_is_not_taken_for_ours() {
    let mut tis = open(Trick::None).unwrap();
    tis.bus.active = Some(0);
    tis.bus.state = State::Completion;
    let mut response = [0; 4096];
    let len = tis.transact(&command(16), &mut response).unwrap();
    assert_eq!(response[..len], echo(&command(16)));
}

#[test]
fn a_command_whose_header_lies_is_not_sent() {
    let mut tis = open(Trick::None).unwrap();
    let mut lying = command(40);
    lying[5] = 41;
    for bad in [&lying[..], &[], &[0x80, 0x01, 0, 0, 0, 6], &command(40)[..39]] {
        let error = tis.transact(bad, &mut [0; 64]).unwrap_err();
        assert_eq!(error, TransportError::Tis(Fault::CommandSize));
    }
    assert!(tis.bus.commands.is_empty());
}

#[test]
fn a_response_larger_than_its_buffer_is_refused() {
    let mut tis = open(Trick::None).unwrap();
    for room in [0, 9, 39] {
        let error = tis.transact(&command(40), &mut vec![0; room]).unwrap_err();
        assert!(matches!(error, TransportError::Tis(Fault::ResponseSize(_))), "{room}");
    }
}

#[test]
fn it_works_over_spi_with_and_without_wait_states() {
    for waits in [0, 1, 300] {
        let mut model = Model::new(Trick::None, echo);
        model.burst = 200;
        let bus = SpiBus::new(OnSpi::new(model, waits));
        let mut tis = Tis::open(bus, Waited::default(), Locality::Two).unwrap();
        let mut response = [0; 4096];
        let len = tis.transact(&command(1000), &mut response).unwrap();
        assert_eq!(response[..len], echo(&command(1000)), "{waits}");
    }
}

#[test]
fn a_wait_state_on_spi_that_never_ends_is_a_fault_and_frees_the_bus() {
    let mut bus = SpiBus::new(OnSpi::new(Model::new(Trick::None, echo), u32::MAX));
    let error = bus.read(0x018, &mut [0; 4]).unwrap_err();
    assert_eq!(error, TransportError::Tis(Fault::SpiWait));
    assert!(!bus.into_inner().selected);
}

#[test]
fn it_works_over_i2c() {
    let bus = I2cBus::new(OnI2c::new(Model::new(Trick::None, echo)));
    let mut tis = Tis::open(bus, Waited::default(), Locality::Zero).unwrap();
    assert_eq!(tis.identity().vendor, 0x15D1);
    for locality in [Locality::Zero, Locality::Three, Locality::Zero] {
        tis.set_locality(locality);
        let mut response = [0; 4096];
        let len = tis.transact(&command(300), &mut response).unwrap();
        assert_eq!(response[..len], echo(&command(300)));
    }
    assert_eq!(tis.bus.write(0x008, &[0; 4]), Err(TransportError::Tis(Fault::NoSuchRegister)));
}
