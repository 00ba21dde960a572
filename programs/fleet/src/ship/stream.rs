//! Syslog over TLS (RFC 5425): frames in one direction, and silence in the other.

use super::route::Connection;
use super::within;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use touchstone_audit::frame;

pub(super) struct Stream {
    io: Connection,
}

impl Stream {
    pub(super) const fn new(io: Connection) -> Self {
        Self { io }
    }

    pub(super) async fn send(&mut self, messages: impl Iterator<Item = String>) -> io::Result<()> {
        let frames: Vec<u8> = messages.flat_map(|message| frame(&message)).collect();
        within(async {
            self.io.write_all(&frames).await?;
            self.io.flush().await
        })
        .await
    }

    pub(super) async fn broken(&mut self) -> io::Error {
        let mut ignored = [0; 256];
        loop {
            match self.io.read(&mut ignored).await {
                Ok(0) => return io::ErrorKind::ConnectionAborted.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }
}
