//! Engines without a runtime: for command lines, and for threads that have nothing else to do.

use crate::exchange::{Exchange, ExchangeEnd, Step};
use crate::pump::{ConnectError, Pump};
use crate::{Reply, now};
use std::io::{self, Read, Write};
use touchstone_engine::{AskKind, Engine};
use touchstone_tls::{ClientConfig, ServerConfig, ServerName, Session};

/// A TLS connection over a blocking transport, after its handshake.
///
/// Set the transport's own time limits: this one waits as long as it does.
#[derive(Debug)]
pub struct TlsStream<IO> {
    io: IO,
    pump: Pump,
}

impl<IO: Read + Write> TlsStream<IO> {
    /// Shakes hands with the server `name`.
    pub fn connect(io: IO, config: &ClientConfig, name: &ServerName) -> Result<Self, ConnectError> {
        let session = Session::client(config, name).map_err(ConnectError::Config)?;
        Self::handshake(io, session)
    }

    /// Shakes hands with a client.
    pub fn accept(io: IO, config: &ServerConfig) -> Result<Self, ConnectError> {
        let session = Session::server(config).map_err(ConnectError::Config)?;
        Self::handshake(io, session)
    }

    /// What binds a message to this connection (RFC 9266); see [`Session::channel_binding`].
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        self.pump.channel_binding()
    }

    /// The peer's certificates in DER, leaf first; none if it showed none.
    pub fn peer_certificates(&self) -> &[Vec<u8>] {
        self.pump.connected.as_ref().map_or(&[], |connected| &connected.peer_certificates)
    }

    /// Says that this end will send no more. The peer may go on.
    pub fn close(&mut self) -> io::Result<()> {
        self.pump.session.close();
        self.send()
    }

    fn handshake(io: IO, session: Session) -> Result<Self, ConnectError> {
        let mut stream = Self { io, pump: Pump::new(session) };
        loop {
            let sent = stream.send();
            if let Some(Err(error)) = stream.pump.ended {
                return Err(ConnectError::Tls(error));
            }
            sent?;
            if stream.pump.connected.is_some() {
                return Ok(stream);
            }
            stream.receive()?;
        }
    }

    fn send(&mut self) -> io::Result<()> {
        self.pump.turn();
        while !self.pump.unsent().is_empty() {
            match self.io.write(self.pump.unsent()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.pump.sent(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.io.flush()
    }

    fn receive(&mut self) -> io::Result<()> {
        if self.pump.offer_leftover() {
            return Ok(());
        }
        let mut bytes = vec![0; 16 * 1024];
        match self.io.read(&mut bytes) {
            Ok(0) => self.pump.end_of_wire(),
            Ok(len) => self.pump.receive(bytes.get_mut(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl<IO: Read + Write> Read for TlsStream<IO> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(read) = self.pump.read(out.len()) {
                return read.and_then(|mut data| data.read(out));
            }
            let received = self.receive();
            let sent = self.send();
            received.and(sent)?;
        }
    }
}

impl<IO: Read + Write> Write for TlsStream<IO> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(error) = self.pump.write_error() {
                return Err(error);
            }
            let taken = self.pump.session.send(data);
            if taken > 0 {
                return Ok(taken);
            }
            self.send()?;
            if self.pump.session.is_closing() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

/// Turns `engine` to its end, as [`crate::run_exchange`] does, and sleeps in between.
pub fn run_exchange<E: Engine, Post>(
    engine: E,
    mut owner: impl FnMut(AskKind, Vec<u8>) -> Reply,
    mut post: impl FnMut(Vec<u8>) -> Result<Vec<u8>, Post>,
) -> ExchangeEnd<E, Post> {
    let mut exchange = Exchange::new(engine);
    loop {
        match exchange.step() {
            Ok(Step::Post(message)) => {
                let response = post(message);
                exchange.posted(response);
            }
            Ok(Step::Ask(ticket, kind, question)) => {
                let reply = owner(kind, question);
                exchange.engine.handle_answer(now(), ticket, reply.as_answer());
            }
            Ok(Step::Sleep(duration)) => std::thread::sleep(duration),
            Err(end) => return end,
        }
    }
}
