//! RELP: turns the engine of `touchstone-relp` over a connection.

use super::route::Connection;
use super::{PATIENCE, within};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use touchstone_drive::now;
use touchstone_engine::{Engine, Output, Path};
use touchstone_relp::{Client, Event};

/// Messages without an answer, as librelp's own clients have it.
const WINDOW: usize = 128;

pub(super) struct Relp {
    io: Connection,
    client: Client,
    /// Messages that the server took in this session.
    taken: u64,
    buf: Vec<u8>,
}

impl Relp {
    pub(super) async fn open(io: Connection) -> io::Result<Self> {
        let buf = vec![0; 16 * 1024];
        let mut relp = Self { io, client: Client::new(WINDOW), taken: 0, buf };
        while relp.turn().await? != Some(Event::Open) {}
        Ok(relp)
    }

    /// Sends messages until all of them are taken; how many were is always in `taken`.
    pub(super) async fn send(&mut self, messages: &[String], taken: &mut usize) -> io::Result<()> {
        let before = self.taken;
        let mut given = 0;
        while *taken < messages.len() {
            while let Some(message) = messages.get(given) {
                if !self.client.send(message.as_bytes()) {
                    break;
                }
                given += 1;
            }
            if let Some(Event::Taken { upto }) = self.turn().await? {
                self.taken = upto;
                *taken = usize::try_from(upto - before).unwrap_or(usize::MAX);
            }
        }
        Ok(())
    }

    pub(super) async fn broken(&mut self) -> io::Error {
        loop {
            if let Err(error) = self.turn().await {
                return error;
            }
        }
    }

    /// One thing that the engine has to do; waiting for octets is one. Safe to be given up.
    async fn turn(&mut self) -> io::Result<Option<Event>> {
        let closed = || io::Error::from(io::ErrorKind::ConnectionAborted);
        match self.client.poll_output(now(), &mut self.buf) {
            Output::Transmit { len, .. } => {
                let octets = self.buf.get(..len).unwrap_or_default();
                within(self.io.write_all(octets)).await?;
                Ok(None)
            }
            Output::Event(event) => Ok(Some(event)),
            Output::Wait(until) => {
                within(self.io.flush()).await?;
                let mut octets = [0; 4096];
                // The engine says itself that its time is over, when it is asked again.
                let patience = until.map_or(PATIENCE * 100, |until| until.since(now()));
                if let Ok(read) = timeout(patience, self.io.read(&mut octets)).await {
                    let read = read?;
                    let mut rest = octets.get_mut(..read).ok_or_else(closed)?;
                    if rest.is_empty() {
                        return Err(closed());
                    }
                    while !rest.is_empty() {
                        let took = self.client.handle_wire(now(), Path::ONLY, rest);
                        rest = rest.get_mut(took..).ok_or_else(closed)?;
                    }
                }
                Ok(None)
            }
            Output::Closed(how) => Err(how.map_or_else(io::Error::other, |()| closed())),
            // Neither is said by this engine.
            Output::Ask(_) | Output::Grow(_) => Err(closed()),
        }
    }
}
