//! RELP, the Reliable Event Logging Protocol (version 0, as librelp speaks it), as an engine: every
//! message is answered, so the sender knows which ones were taken and sends the others again.
//!
//! The [`Client`] keeps no message after it gave its frame out: what was not answered when a
//! conversation ends is the owner's to send again in the next one. Answers may come in any order;
//! an [`Event::Taken`] counts messages from the first on without gaps. What this is not: a queue, or
//! a judge of what a server does with what it took.
//!
//! ```
//! use touchstone_engine::{Engine, Instant, Output, Path};
//! use touchstone_relp::{Client, Event};
//!
//! let now = Instant::from_millis(0);
//! let mut client = Client::new(128);
//! let mut buf = [0; 1024];
//! let Output::Transmit { len, .. } = client.poll_output(now, &mut buf) else { panic!() };
//! assert!(buf[..len].starts_with(b"1 open "));
//!
//! let offers = b"1 rsp 37 200 OK\nrelp_version=0\ncommands=syslog\n";
//! client.handle_wire(now, Path::ONLY, &mut offers.to_vec());
//! assert_eq!(client.poll_output(now, &mut buf), Output::Event(Event::Open));
//! assert!(client.send(b"<13>1 - - - - - - hello"));
//! let Output::Transmit { len, .. } = client.poll_output(now, &mut buf) else { panic!() };
//! assert_eq!(&buf[..len], b"2 syslog 23 <13>1 - - - - - - hello\n");
//!
//! client.handle_wire(now, Path::ONLY, &mut b"2 rsp 6 200 OK\n".to_vec());
//! assert_eq!(client.poll_output(now, &mut buf), Output::Event(Event::Taken { upto: 1 }));
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

extern crate alloc;

mod client;
mod error;
mod frame;

pub use client::{Client, Event, MAX_WINDOW};
pub use error::{Error, Malformed};
pub use frame::{Command, Frame, MAX_DATA};
