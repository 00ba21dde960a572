//! Turns engines: moves bytes, keeps time, answers asks.
//!
//! * [`TlsStream`]: a `tls::Session` over any tokio stream; [`serve()`] accepts many of them.
//! * [`run_exchange`] turns an engine whose peer speaks only in responses, as over HTTP;
//!   [`serve_message`] is the other end of it.
//! * [`blocking`]: the same two without a runtime.
//! * [`element`]: secure elements, opened from settings, answering asks.
//! * `http` (a feature) carries EST and SCEP.
//! * [`StapledStatus`] says whether a server's certificate still counts.
//! * [`ServiceManager`] hears that the loops turn.
//!
//! What this is not: a place that judges. Asks go to whoever called, and so does what was heard.
//!
//! ```
//! use touchstone_attest::{Attester, Event, Kind, Limits, Verifier};
//! use touchstone_drive::{Reply, run_exchange, serve_message};
//! use touchstone_engine::AskKind;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let mut fleet = Verifier::new(Kind::Attest, Limits::default());
//! let device = Attester::new(Kind::Attest, [7; 16], b"device-1", Limits::default());
//!
//! let heard = run_exchange(
//!     device,
//!     async |kind, challenge| {
//!         assert_eq!((kind, &challenge[..]), (AskKind::Evidence, &b"nonce"[..]));
//!         Reply::Bytes(b"quote".to_vec())
//!     },
//!     // Here stands a POST; this one reaches a fleet in the same room.
//!     async |mut message| {
//!         let served = serve_message(&mut fleet, &mut message, async |kind, _| match kind {
//!             AskKind::Challenge => Reply::Bytes(b"nonce".to_vec()),
//!             _ => Reply::Bytes(b"affirming".to_vec()),
//!         });
//!         Ok::<_, std::io::Error>(served.await.reply.unwrap_or_default())
//!     },
//! );
//! assert_eq!(heard.await.unwrap(), [Event::Result(b"affirming".to_vec())]);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

pub mod blocking;
mod clock;
pub mod element;
mod exchange;
#[cfg(feature = "http")]
pub mod http;
mod owner;
mod pump;
mod serve;
mod service;
mod status;
mod stream;

pub use clock::now;
pub use exchange::{ExchangeEnd, ExchangeError, Served, run_exchange, serve_message, try_exchange};
pub use owner::Reply;
pub use pump::ConnectError;
pub use serve::serve;
pub use service::{Pulse, ServiceManager};
pub use status::StapledStatus;
pub use stream::TlsStream;
