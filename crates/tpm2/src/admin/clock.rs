//! The TPM's clock (TPM 2.0 Part 1 §36, Part 3 §29).

use crate::command::Command;
use crate::handle::Hierarchy;
use crate::marshal::{Reader, Writer};
use crate::tpm::Tpm;
use crate::{Error, code};

/// How a TPM counts time (`TPMS_TIME_INFO`, Part 2 §10.11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Milliseconds since the TPM got power.
    pub time: u64,
    /// What outlives that.
    pub clock: ClockInfo,
}

impl Time {
    pub(crate) fn decode(parameters: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(parameters);
        let time = reader.u64()?;
        let clock = ClockInfo {
            clock: reader.u64()?,
            reset_count: reader.u32()?,
            restart_count: reader.u32()?,
            safe: reader.u8()? == 1,
        };
        reader.end()?;
        Ok(Self { time, clock })
    }
}

/// `TPMS_CLOCK_INFO` (Part 2 §10.11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds of powered time, as far as it was set.
    pub clock: u64,
    /// TPM resets since the last `TPM2_Clear`.
    pub reset_count: u32,
    /// Restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether no larger clock was reported before.
    pub safe: bool,
}

/// How much faster or slower the clock shall run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockRate {
    /// By one coarse step.
    CoarseSlower,
    /// By one medium step.
    MediumSlower,
    /// By one fine step.
    FineSlower,
    /// As it is.
    Same,
    /// By one fine step.
    FineFaster,
    /// By one medium step.
    MediumFaster,
    /// By one coarse step.
    CoarseFaster,
}

impl ClockRate {
    /// `TPM_CLOCK_ADJUST` (Part 2 §6.8), in two's complement.
    const fn number(self) -> u8 {
        match self {
            Self::CoarseSlower => 0xFD,
            Self::MediumSlower => 0xFE,
            Self::FineSlower => 0xFF,
            Self::Same => 0,
            Self::FineFaster => 1,
            Self::MediumFaster => 2,
            Self::CoarseFaster => 3,
        }
    }
}

impl Tpm {
    /// `TPM2_ReadClock`. Unsigned: [`time_stated`](Self::time_stated) is what a verifier believes.
    pub fn clock(&mut self) -> Result<Time, Error> {
        Time::decode(&self.run(&Command::new(code::READ_CLOCK))?.parameters)
    }

    /// `TPM2_ClockSet`: moves the clock forwards, never back. By the owner or the platform.
    pub fn set_clock(&mut self, by: Hierarchy, milliseconds: u64) -> Result<(), Error> {
        let auth = self.hierarchy_auth(by);
        let command = Command::new(code::CLOCK_SET).authorized(&by.entity(), auth);
        self.run(&command.parameters(Writer::default().u64(milliseconds)))?;
        Ok(())
    }

    /// `TPM2_ClockRateAdjust`. By the owner or the platform.
    pub fn adjust_clock(&mut self, by: Hierarchy, rate: ClockRate) -> Result<(), Error> {
        let auth = self.hierarchy_auth(by);
        let command = Command::new(code::CLOCK_RATE_ADJUST).authorized(&by.entity(), auth);
        self.run(&command.parameters(Writer::default().u8(rate.number())))?;
        Ok(())
    }
}
