//! Why a flow is not opened, or is cut: one variant per reason, each with a stable code, the HTTP
//! status that says it, and words.

use std::fmt;

/// Why a flow is not opened, or is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The request is not a `CONNECT`.
    Method,
    /// The route is not on the list.
    Route(String),
    /// No `Attestation-Result` came with the request.
    NoResult,
    /// The peer's certificate does not parse.
    PeerCertificate,
    /// The result does not admit the peer.
    Result(touchstone_appraise::Refusal),
    /// The fleet has issued a worse result since the one that was shown.
    Superseded {
        /// Its reasons.
        why: String,
    },
    /// The certificate of this key was revoked.
    Revoked {
        /// Why, as the fleet says.
        reason: String,
    },
    /// The fleet's feed is silent, so nobody would say if the device went bad.
    FeedSilent,
    /// No newer result came before the last one ran out.
    RanOut,
    /// As many flows are open as may be.
    Full,
    /// The device has as many flows open as it may.
    FullForDevice,
    /// What the route leads to can not be reached.
    Unreachable(String),
}

impl Refusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Method => "checkpoint.request.method",
            Self::Route(_) => "checkpoint.route.unknown",
            Self::NoResult => "checkpoint.result.missing",
            Self::PeerCertificate => "checkpoint.peer.certificate",
            Self::Result(refusal) => refusal.code(),
            Self::Superseded { .. } => "checkpoint.result.superseded",
            Self::Revoked { .. } => "checkpoint.certificate.revoked",
            Self::FeedSilent => "checkpoint.feed.silent",
            Self::RanOut => "checkpoint.result.ran-out",
            Self::Full => "checkpoint.flows.full",
            Self::FullForDevice => "checkpoint.flows.device-full",
            Self::Unreachable(_) => "checkpoint.route.unreachable",
        }
    }

    /// The HTTP status (RFC 9110 §15) that says it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Route(_) => 404,
            Self::NoResult => 401,
            Self::PeerCertificate
            | Self::Result(_)
            | Self::Superseded { .. }
            | Self::Revoked { .. }
            | Self::RanOut => 403,
            Self::Unreachable(_) => 502,
            Self::FeedSilent | Self::Full | Self::FullForDevice => 503,
        }
    }

    /// What the device, or its operator, can do.
    pub const fn next(&self) -> &'static str {
        match self {
            Self::Method => "ask with CONNECT host:port",
            Self::Route(_) => "ask the checkpoint's operator for a [[route]]",
            Self::NoResult => "send the latest EAR as the header Attestation-Result",
            Self::PeerCertificate | Self::Revoked { .. } => "attest and enroll again",
            Self::Result(_) | Self::Superseded { .. } | Self::RanOut => "attest again",
            Self::FeedSilent => "try again; the checkpoint has lost the fleet",
            Self::Full | Self::FullForDevice => "close a flow or try again later",
            Self::Unreachable(_) => "try again later; the destination does not answer",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("only CONNECT is understood here"),
            Self::Route(name) => write!(f, "no route to `{name}`"),
            Self::NoResult => f.write_str("no attestation result came with the request"),
            Self::PeerCertificate => f.write_str("the peer's certificate does not parse"),
            Self::Result(refusal) => refusal.fmt(f),
            Self::Superseded { why } => write!(f, "a newer result says no: {why}"),
            Self::Revoked { reason } => write!(f, "the certificate was revoked: {reason}"),
            Self::FeedSilent => f.write_str("the fleet's feed of results is silent"),
            Self::RanOut => f.write_str("no newer result came before the last one ran out"),
            Self::Full => f.write_str("as many flows are open as may be"),
            Self::FullForDevice => f.write_str("the device has as many flows open as it may"),
            Self::Unreachable(why) => write!(f, "the destination cannot be reached: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}
