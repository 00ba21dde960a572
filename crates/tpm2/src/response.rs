//! Responses as they come off the transport (TPM 2.0 Part 1 §18).

use crate::marshal::Reader;
use crate::{Error, response_code};
use alloc::vec::Vec;

const ST_NO_SESSIONS: u16 = 0x8001;
const ST_SESSIONS: u16 = 0x8002;

/// What a response holds, undecoded beyond its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// The command was carried out.
    Done {
        /// The handle of what was made, for commands that make something.
        handle: Option<u32>,
        /// The parameters.
        parameters: &'a [u8],
        /// One per session of the command, in their order.
        sessions: Vec<SessionResponse<'a>>,
    },
    /// The response code, when it was not.
    Failed(u32),
}

/// A session's part of a response, `TPMS_AUTH_RESPONSE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionResponse<'a> {
    /// The TPM's next nonce.
    pub nonce: &'a [u8],
    /// `TPMA_SESSION`.
    pub attributes: u8,
    /// The HMAC over the response.
    pub hmac: &'a [u8],
}

impl<'a> Response<'a> {
    /// Takes a whole response apart. `handle`: the command makes something; `sessions`: how many
    /// sessions it had.
    pub fn decode(response: &'a [u8], handle: bool, sessions: usize) -> Result<Self, Error> {
        let mut reader = Reader::new(response);
        let tag = reader.u16()?;
        let size = reader.u32()?;
        let code = reader.u32()?;
        if usize::try_from(size).ok() != Some(response.len()) {
            return Err(Error::Malformed("its size is not the one in its header"));
        }
        if code != 0 {
            return Ok(Self::Failed(response_code::without_layer(code)));
        }
        let expected = if sessions == 0 { ST_NO_SESSIONS } else { ST_SESSIONS };
        if tag != expected {
            return Err(Error::Malformed("its tag does not fit the command"));
        }
        let handle = if handle { Some(reader.u32()?) } else { None };
        if sessions == 0 {
            return Ok(Self::Done { handle, parameters: reader.rest(), sessions: Vec::new() });
        }
        let len = reader.u32()?;
        let parameters = reader.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        let sessions = (0..sessions).map(|_| session(&mut reader)).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self::Done { handle, parameters, sessions })
    }
}

fn session<'a>(reader: &mut Reader<'a>) -> Result<SessionResponse<'a>, Error> {
    Ok(SessionResponse { nonce: reader.sized()?, attributes: reader.u8()?, hmac: reader.sized()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marshal::Writer;
    use alloc::vec;

    fn with_session(parameters: &[u8]) -> Vec<u8> {
        let body = Writer::default()
            .u32(0x8000_0001)
            .u32(u32::try_from(parameters.len()).unwrap())
            .octets(parameters)
            .u16(0)
            .u8(1)
            .u16(0)
            .done();
        let size = u32::try_from(body.len() + 10).unwrap();
        Writer::default().u16(ST_SESSIONS).u32(size).u32(0).octets(&body).done()
    }

    #[test]
    fn a_response_comes_apart_into_handle_parameters_and_sessions() {
        let octets = with_session(b"parameters");
        let session = SessionResponse { nonce: &[], attributes: 1, hmac: &[] };
        assert_eq!(
            Response::decode(&octets, true, 1).unwrap(),
            Response::Done {
                handle: Some(0x8000_0001),
                parameters: b"parameters",
                sessions: vec![session]
            }
        );
    }

    #[test]
    fn a_cut_or_longer_response_is_refused_even_when_its_header_agrees() {
        let octets = with_session(b"parameters");
        for len in (0..octets.len()).chain([octets.len() + 1]) {
            let mut bad = octets.clone();
            bad.resize(len, 0);
            assert!(Response::decode(&bad, true, 1).is_err());
            if let Some(size) = bad.get_mut(2..6) {
                size.copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
                assert!(Response::decode(&bad, true, 1).is_err(), "{len}");
            }
        }
    }

    #[test]
    fn a_success_without_the_sessions_that_were_sent_is_refused() {
        let octets = Writer::default().u16(ST_NO_SESSIONS).u32(10).u32(0).done();
        assert!(Response::decode(&octets, false, 1).is_err());
        assert!(Response::decode(&octets, false, 0).is_ok());
        let failed = Writer::default().u16(ST_NO_SESSIONS).u32(10).u32(0x922).done();
        assert_eq!(Response::decode(&failed, false, 1).unwrap(), Response::Failed(0x922));
    }
}
