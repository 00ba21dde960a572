//! A frame: `TXNR SP COMMAND SP DATALEN [SP DATA] LF`.

use crate::Malformed;
use alloc::format;
use alloc::vec::Vec;

/// Octets of data in a frame, at most: what version 0 agrees on.
pub const MAX_DATA: usize = 128 * 1024;
/// Octets of the longest header: two numbers, a command, three blanks.
const MAX_HEADER: usize = 9 + 1 + 32 + 1 + 9;

/// The commands that a client sends or gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Begins a session.
    Open,
    /// A message.
    Syslog,
    /// Ends a session.
    Close,
    /// The answer to one of those.
    Response,
    /// The server is about to close.
    ServerClose,
    /// Any other.
    Other,
}

impl Command {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Syslog => "syslog",
            Self::Close => "close",
            Self::Response => "rsp",
            Self::ServerClose => "serverclose",
            Self::Other => "other",
        }
    }

    fn of(name: &[u8]) -> Self {
        match name {
            b"open" => Self::Open,
            b"syslog" => Self::Syslog,
            b"close" => Self::Close,
            b"rsp" => Self::Response,
            b"serverclose" => Self::ServerClose,
            _ => Self::Other,
        }
    }
}

/// A frame that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which transaction: 1 to 999,999,999, and 0 for a hint.
    pub number: u32,
    /// What it is.
    pub command: Command,
    /// Its data.
    pub data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes` and how many octets it took; `None` if it is not all there.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((number, at)) = number(bytes, 0)? else { return Ok(None) };
        let Some((command, at)) = command(bytes, at)? else { return Ok(None) };
        let mut end = at;
        while bytes.get(end).is_some_and(u8::is_ascii_digit) {
            end += 1;
        }
        if end - at > 9 {
            return Err(Malformed::Number);
        }
        let Some(after) = bytes.get(end) else { return Ok(None) };
        let len = value(bytes.get(at..end).unwrap_or_default()).ok_or(Malformed::Number)?;
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_DATA);
        let len = len.ok_or(Malformed::Length)?;
        // Without data there is no blank; librelp sends one in the answer to a close all the same.
        let start = if *after == b' ' { end + 1 } else { end };
        if len > 0 && start == end {
            return Err(Malformed::End);
        }
        let Some(data) = bytes.get(start..start + len) else { return Ok(None) };
        match bytes.get(start + len) {
            None => Ok(None),
            Some(b'\n') => Ok(Some((Self { number, command, data }, start + len + 1))),
            Some(_) => Err(Malformed::End),
        }
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { number, command, data } = self;
        out.extend(format!("{number} {} {}", command.name(), data.len()).bytes());
        if !data.is_empty() {
            out.push(b' ');
            out.extend(*data);
        }
        out.push(b'\n');
    }

    /// The octets that a frame with so much data takes, at most.
    pub const fn room(data: usize) -> usize {
        MAX_HEADER + 1 + data + 1
    }
}

/// The number at `at` and the place after the blank behind it.
fn number(bytes: &[u8], at: usize) -> Result<Option<(u32, usize)>, Malformed> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.iter().position(|c| !c.is_ascii_digit()) {
        None if rest.len() > 9 => Err(Malformed::Number),
        None => Ok(None),
        Some(len) if rest.get(len) == Some(&b' ') && len <= 9 => {
            let number = value(rest.get(..len).unwrap_or_default()).ok_or(Malformed::Number)?;
            Ok(Some((number, at + len + 1)))
        }
        Some(_) => Err(Malformed::Number),
    }
}

fn command(bytes: &[u8], at: usize) -> Result<Option<(Command, usize)>, Malformed> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.iter().position(|c| !c.is_ascii_alphabetic()) {
        None if rest.len() > 32 => Err(Malformed::Command),
        None => Ok(None),
        Some(len) if rest.get(len) == Some(&b' ') && (1..=32).contains(&len) => {
            Ok(Some((Command::of(rest.get(..len).unwrap_or_default()), at + len + 1)))
        }
        Some(_) => Err(Malformed::Command),
    }
}

fn value(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_and_every_beginning_of_it_waits_for_more() {
        for (number, command, data) in [
            (1, Command::Open, &b"relp_version=0"[..]),
            (999_999_999, Command::Syslog, b"a\nb c"),
            (7, Command::Close, b""),
            (0, Command::ServerClose, b""),
        ] {
            let frame = Frame { number, command, data };
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            assert_eq!(Frame::decode(&bytes), Ok(Some((frame, bytes.len()))));
            assert!(bytes.len() <= Frame::room(data.len()));
            for end in 0..bytes.len() {
                assert_eq!(Frame::decode(&bytes[..end]), Ok(None), "{end} octets");
            }
        }
        assert_eq!(Frame::decode(b"3 rsp 0 \n").unwrap().unwrap().1, 9, "as librelp writes it");
    }

    #[test]
    fn what_is_no_frame_is_refused_at_its_first_wrong_octet() {
        for (bytes, fault) in [
            (&b"x"[..], Malformed::Number),
            (b" rsp 0\n", Malformed::Number),
            (b"1234567890", Malformed::Number),
            (b"1\n", Malformed::Number),
            (b"1  ", Malformed::Command),
            (b"1 r2p 0\n", Malformed::Command),
            (b"1 abcdefghijklmnopqrstuvwxyzabcdefg", Malformed::Command),
            (b"1 rsp x", Malformed::Number),
            (b"1 rsp 131073 ", Malformed::Length),
            (b"1 rsp 999999999 ", Malformed::Length),
            (b"1 rsp 1234567890 ", Malformed::Number),
            (b"1 rsp 3\n", Malformed::End),
            (b"1 rsp 0x", Malformed::End),
            (b"1 rsp 3 abcd", Malformed::End),
        ] {
            let shown = core::str::from_utf8(bytes).unwrap();
            assert_eq!(Frame::decode(bytes), Err(fault), "{shown}");
        }
    }
}
