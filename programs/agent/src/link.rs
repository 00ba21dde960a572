//! The line between the agent's two halves: the keeper, which holds keys and privileges, and the
//! network half, which parses what strangers send and holds neither.
//!
//! The network half asks, the keeper answers; beyond that the keeper only says *look*. Everything
//! that can be asked is one variant of [`Ask`]: there is no way to name a key or a file that is not
//! in this list. The keeper takes the other half for hostile: each kind of message has its longest
//! length, what does not parse ends the line, and so many questions may be open and no more.
//!
//! What this is not: a decision. What an ask is answered with is for [`keeper`](crate::keeper) to say.

mod asking;
mod codec;
mod frame;
mod message;
mod serving;

pub use asking::{Gone, Line};
pub use frame::{Broken, HEADER, Head, Toward};
pub use message::{Ask, Forget, Identity, Key, Refused, Reply, Report, Standing, State, Why};
pub use serving::{Answer, End, serve};

#[cfg(test)]
mod tests;
