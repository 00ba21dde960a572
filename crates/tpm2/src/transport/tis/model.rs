//! A TPM's FIFO registers for tests: the PTP's state machine, and what breaks it on demand. What it
//! answers is a function of the test's own.

use super::register::{
    ACCESS, DATA_FIFO, DID_VID, INTERFACE_ID, INTF_CAPABILITY, RID, STS, Status, access,
};
use super::{Bus, Delay, I2c, Spi};
use crate::transport::TransportError;
use std::collections::VecDeque;
use std::vec::Vec;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trick {
    None,
    Gone,
    NoIds,
    IsCrb,
    IsTpm12,
    AccessNeverValid,
    Reserved,
    OtherLocalityHolds,
    LocalityTakenAfterGo,
    NeverReady,
    NeverValid,
    BurstZero,
    StopsExpecting,
    AlwaysExpects,
    NeverAnswers,
    AnswersWhenCancelled,
    ResponseSize(u32),
    EndsEarly,
    GoesOn,
    /// That many responses arrive cut, then one whole.
    Cut(u32),
    BusFails,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Idle,
    Ready,
    Reception,
    Execution,
    Completion,
}

/// The TPM.
pub(super) struct Model {
    pub(super) trick: Trick,
    pub(super) burst: u16,
    pub(super) state: State,
    pub(super) active: Option<u16>,
    pub(super) commands: Vec<(u16, Vec<u8>)>,
    pub(super) writes_of_retry: u32,
    answer: fn(&[u8]) -> Vec<u8>,
    received: Vec<u8>,
    response: Vec<u8>,
    left: VecDeque<u8>,
    /// Looks at the status before the command is done.
    busy: u32,
    refuses: bool,
}

impl Model {
    pub(super) fn new(trick: Trick, answer: fn(&[u8]) -> Vec<u8>) -> Self {
        Self {
            trick,
            burst: 8,
            state: State::Idle,
            active: None,
            commands: Vec::new(),
            writes_of_retry: 0,
            answer,
            received: Vec::new(),
            response: Vec::new(),
            left: VecDeque::new(),
            busy: 0,
            refuses: false,
        }
    }

    fn register(&mut self, locality: u16, offset: u16) -> u32 {
        if self.trick == Trick::Gone {
            return u32::MAX;
        }
        match offset {
            ACCESS => self.access(locality).into(),
            DID_VID if self.trick == Trick::NoIds => 0,
            DID_VID => 0x001B_15D1,
            RID => 0x10,
            INTERFACE_ID if self.trick == Trick::IsCrb => 0x0000_4001,
            INTERFACE_ID => 0x0000_2000,
            INTF_CAPABILITY if self.trick == Trick::IsTpm12 => 0x2000_0697,
            INTF_CAPABILITY => 0x3000_0697,
            STS if self.active == Some(locality) => self.status(),
            _ => u32::MAX,
        }
    }

    fn access(&self, locality: u16) -> u8 {
        let active = if self.active == Some(locality) { access::ACTIVE } else { 0 };
        match self.trick {
            Trick::AccessNeverValid => active,
            Trick::Reserved => access::VALID | active | 0x40,
            _ => access::VALID | active | 1,
        }
    }

    fn status(&mut self) -> u32 {
        if self.state == State::Execution {
            self.busy = self.busy.saturating_sub(1);
            if self.busy == 0 {
                self.complete();
            }
        }
        let tpm2 = if self.trick == Trick::IsTpm12 { 0 } else { 1 << 26 };
        let valid = if self.trick == Trick::NeverValid { 0 } else { Status::VALID };
        let burst = if self.trick == Trick::BurstZero { 0 } else { u32::from(self.burst) << 8 };
        let bits = match self.state {
            State::Ready => Status::COMMAND_READY,
            State::Reception if self.expects() => Status::EXPECT,
            State::Completion if self.avails() => Status::DATA_AVAIL,
            _ => 0,
        };
        tpm2 | valid | burst | bits
    }

    fn expects(&self) -> bool {
        match self.trick {
            Trick::StopsExpecting => false,
            Trick::AlwaysExpects => true,
            _ => self.received.len() < 6 || self.received.len() < size(&self.received),
        }
    }

    fn avails(&self) -> bool {
        !self.left.is_empty() || self.trick == Trick::GoesOn
    }

    fn complete(&mut self) {
        self.state = State::Completion;
        self.commands.push((self.active.unwrap(), self.received.clone()));
        self.response = (self.answer)(&self.received);
        if let Trick::ResponseSize(size) = self.trick {
            self.response[2..6].copy_from_slice(&size.to_be_bytes());
        }
        self.offer();
    }

    fn offer(&mut self) {
        self.left = self.response.iter().copied().collect();
        match &mut self.trick {
            Trick::EndsEarly => self.left.truncate(self.response.len() - 1),
            Trick::Cut(times) if *times > 0 => {
                *times -= 1;
                self.left.truncate(self.response.len() - 3);
            }
            _ => {}
        }
    }

    fn write_status(&mut self, bits: u32) {
        if bits & Status::COMMAND_READY != 0 {
            self.refuses = false;
            self.received.clear();
            self.left.clear();
            self.state = match self.state {
                _ if self.trick == Trick::NeverReady => State::Idle,
                // PTP, "State Transition": of completed comes idle first.
                State::Completion => State::Idle,
                _ => State::Ready,
            };
        }
        if bits & Status::GO != 0 && self.state == State::Reception {
            self.state = State::Execution;
            self.busy = match self.trick {
                Trick::NeverAnswers | Trick::AnswersWhenCancelled => u32::MAX,
                _ => 3,
            };
            if self.trick == Trick::LocalityTakenAfterGo {
                self.active = Some(4);
            }
        }
        if bits & Status::RESPONSE_RETRY != 0 && self.state == State::Completion {
            self.writes_of_retry += 1;
            self.offer();
        }
        if bits & Status::CANCEL != 0 && self.trick == Trick::AnswersWhenCancelled {
            self.busy = 2;
        }
    }
}

fn size(octets: &[u8]) -> usize {
    u32::from_be_bytes(octets[2..6].try_into().unwrap()) as usize
}

#[derive(Debug)]
pub(super) struct BusFailed;

impl From<BusFailed> for TransportError {
    fn from(BusFailed: BusFailed) -> Self {
        Self::Os(121)
    }
}

impl Bus for Model {
    type Error = BusFailed;

    fn read(&mut self, address: u16, octets: &mut [u8]) -> Result<(), BusFailed> {
        let (locality, offset) = (address >> 12, address & 0xFFF);
        if self.trick == Trick::BusFails && self.state == State::Execution {
            return Err(BusFailed);
        }
        if offset == DATA_FIFO {
            assert!(octets.len() <= usize::from(self.burst), "beyond the burst count");
            octets.fill_with(|| self.left.pop_front().unwrap_or(0xFF));
            return Ok(());
        }
        let value = self.register(locality, offset).to_le_bytes();
        octets.copy_from_slice(&value[..octets.len()]);
        Ok(())
    }

    fn write(&mut self, address: u16, octets: &[u8]) -> Result<(), BusFailed> {
        let (locality, offset) = (address >> 12, address & 0xFFF);
        match offset {
            ACCESS if octets[0] & access::REQUEST_USE != 0 => {
                let free = self.active.is_none() && self.trick != Trick::OtherLocalityHolds;
                self.active = if free { Some(locality) } else { self.active };
            }
            ACCESS if self.active == Some(locality) => self.active = None,
            STS if self.active == Some(locality) => {
                self.write_status(u32::from_le_bytes(octets.try_into().unwrap()));
            }
            DATA_FIFO if matches!(self.state, State::Ready | State::Reception) => {
                assert!(octets.len() <= usize::from(self.burst), "beyond the burst count");
                self.state = State::Reception;
                self.received.extend(octets);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Time that only counts.
#[derive(Default)]
pub(super) struct Waited {
    pub(super) micros: u64,
    pub(super) cancel_after: Option<u64>,
}

impl Delay for Waited {
    fn micros(&mut self, micros: u32) {
        self.micros += u64::from(micros);
    }

    fn cancels(&mut self) -> bool {
        self.cancel_after.is_some_and(|after| self.micros >= after)
    }
}

/// The TPM behind SPI: it takes the header, holds its wait states and then serves the data.
pub(super) struct OnSpi {
    pub(super) model: Model,
    pub(super) waits: u32,
    pub(super) selected: bool,
    header: Option<[u8; 4]>,
    left: u32,
}

impl OnSpi {
    pub(super) fn new(model: Model, waits: u32) -> Self {
        Self { model, waits, selected: false, header: None, left: 0 }
    }
}

impl Spi for OnSpi {
    type Error = BusFailed;

    fn select(&mut self, selected: bool) -> Result<(), BusFailed> {
        self.selected = selected;
        self.header = None;
        Ok(())
    }

    fn exchange(&mut self, octets: &mut [u8]) -> Result<(), BusFailed> {
        assert!(self.selected, "clocked without chip select");
        let Some([head, base, high, low]) = self.header else {
            self.header = Some(octets.try_into().unwrap());
            self.left = self.waits;
            octets[3] = u8::from(self.left == 0);
            return Ok(());
        };
        if self.left > 0 {
            assert_eq!(octets.len(), 1, "data in a wait state");
            self.left -= 1;
            octets[0] = u8::from(self.left == 0);
            return Ok(());
        }
        assert_eq!(base, 0xD4);
        assert_eq!(usize::from(head & 0x3F) + 1, octets.len(), "not the size of the header");
        let address = u16::from_be_bytes([high, low]);
        if head & 0x80 == 0 {
            self.model.write(address, octets)
        } else {
            self.model.read(address, octets)
        }
    }
}

/// The TPM behind I2C.
pub(super) struct OnI2c {
    pub(super) model: Model,
    pub(super) waited: u32,
    locality: u16,
}

impl OnI2c {
    pub(super) fn new(model: Model) -> Self {
        Self { model, waited: 0, locality: 0 }
    }

    fn address(&mut self, register: u8) -> u16 {
        assert!(self.waited >= 250, "no guard time");
        self.waited = 0;
        let offset = match register {
            0x04 => ACCESS,
            0x48 => DID_VID,
            0x4C => RID,
            same => u16::from(same),
        };
        self.locality << 12 | offset
    }
}

impl I2c for OnI2c {
    type Error = BusFailed;

    fn read(&mut self, register: u8, octets: &mut [u8]) -> Result<(), BusFailed> {
        let address = self.address(register);
        self.model.read(address, octets)
    }

    fn write(&mut self, register: u8, octets: &[u8]) -> Result<(), BusFailed> {
        let address = self.address(register);
        if register == 0 {
            self.locality = u16::from(octets[0]);
            return Ok(());
        }
        self.model.write(address, octets)
    }

    fn wait(&mut self, micros: u32) {
        self.waited += micros;
    }
}
