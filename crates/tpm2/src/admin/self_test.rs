//! Self-tests (TPM 2.0 Part 3 §10).

use crate::command::Command;
use crate::marshal::{Reader, Writer};
use crate::tpm::Tpm;
use crate::{Error, code, response_code};
use alloc::vec::Vec;
use core::fmt;

/// What the last self-test found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The response code: zero is good.
    pub response: u32,
    /// What the maker says beside it, in the maker's own form.
    pub details: Vec<u8>,
}

impl TestResult {
    /// Whether everything that was tested works, and everything was tested.
    pub const fn is_good(&self) -> bool {
        self.response == 0
    }

    pub(crate) fn decode(parameters: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(parameters);
        let details = reader.sized()?.to_vec();
        let response = reader.u32()?;
        reader.end()?;
        Ok(Self { response, details })
    }

    /// Whether something is broken, as opposed to not tested yet.
    pub const fn is_failure(&self) -> bool {
        !matches!(
            response_code::base(self.response),
            0 | response_code::NEEDS_TEST | response_code::TESTING
        )
    }
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.response {
            0 => f.write_str("every test passed"),
            response_code::NEEDS_TEST => f.write_str("not everything was tested yet"),
            response_code::TESTING => f.write_str("the tests are running"),
            response => {
                let (name, words) = (response_code::name(response), response_code::words(response));
                write!(f, "{name} (0x{response:03x}): {words}")
            }
        }
    }
}

/// More algorithms than there are.
const MAX_ALGORITHMS: u32 = 128;

impl Tpm {
    /// `TPM2_SelfTest`: of everything, or of what was not tested yet. Waits for the end.
    pub fn self_test(&mut self, everything: bool) -> Result<(), Error> {
        let parameters = Writer::default().u8(u8::from(everything));
        self.run(&Command::new(code::SELF_TEST).parameters(parameters))?;
        Ok(())
    }

    /// `TPM2_IncrementalSelfTest`: of these algorithms (`TPM_ALG_ID`). Gives those that are still to
    /// be tested.
    pub fn incremental_self_test(&mut self, algorithms: &[u16]) -> Result<Vec<u16>, Error> {
        let count = u32::try_from(algorithms.len()).ok().filter(|count| *count <= MAX_ALGORITHMS);
        let count = count.ok_or(Error::BadInput("there are not so many algorithms"))?;
        let start = Writer::default().u32(count);
        let parameters = algorithms.iter().fold(start, |writer, id| writer.u16(*id));
        let command = Command::new(code::INCREMENTAL_SELF_TEST).parameters(parameters);
        let answer = self.run(&command)?;
        let mut reader = Reader::new(&answer.parameters);
        let count = reader.u32()?;
        if count > MAX_ALGORITHMS {
            return Err(Error::Malformed("it lists more algorithms than there are"));
        }
        let left = (0..count).map(|_| reader.u16()).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(left)
    }

    /// `TPM2_GetTestResult`. A TPM that failed still answers this.
    pub fn test_result(&mut self) -> Result<TestResult, Error> {
        TestResult::decode(&self.run(&Command::new(code::GET_TEST_RESULT))?.parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_result_is_told_in_words() {
        let result = |response| TestResult { response, details: Vec::new() };
        assert_eq!(result(0).to_string(), "every test passed");
        assert!(!result(0x153).is_failure() && !result(0x153).is_good());
        assert!(result(0x101).is_failure());
        assert!(result(0x101).to_string().starts_with("TPM_RC_FAILURE (0x101): "));
    }
}
