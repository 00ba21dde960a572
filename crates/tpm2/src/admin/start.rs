//! Startup and shutdown (TPM 2.0 Part 3 §9), which the firmware does where there is one.

use crate::command::Command;
use crate::marshal::Writer;
use crate::tpm::Tpm;
use crate::{Error, code, response_code};

/// How a TPM starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Startup {
    /// With everything that is not permanent as after manufacture.
    Clear,
    /// With what [`Shutdown::State`] saved.
    State,
}

/// How a TPM is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing is kept but what is permanent.
    Clear,
    /// What is loaded into registers is saved for [`Startup::State`].
    State,
}

const SU_CLEAR: u16 = 0;
const SU_STATE: u16 = 1;

impl Tpm {
    /// `TPM2_Startup`; gives whether it was needed. What the conversation had loaded is gone.
    pub fn startup(&mut self, how: Startup) -> Result<bool, Error> {
        let number = if how == Startup::Clear { SU_CLEAR } else { SU_STATE };
        let command = Command::new(code::STARTUP).parameters(Writer::default().u16(number));
        match self.run(&command) {
            Ok(_) => {
                self.lost_all();
                Ok(true)
            }
            Err(Error::Refused(refusal)) if refusal.is(response_code::INITIALIZE) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `TPM2_Shutdown`: the next loss of power is an orderly one, unless a command comes first.
    pub fn shutdown(&mut self, how: Shutdown) -> Result<(), Error> {
        let number = if how == Shutdown::Clear { SU_CLEAR } else { SU_STATE };
        self.run(&Command::new(code::SHUTDOWN).parameters(Writer::default().u16(number)))?;
        Ok(())
    }
}
