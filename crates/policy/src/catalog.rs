//! Which claims there are, of which type, and what they mean.
//! The verifier's catalogue is in `appraise`; this is only the shape of one.

use crate::{Type, Value, suggest};
use alloc::collections::BTreeMap;
use alloc::string::String;

/// The claims that a policy may judge.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    claims: BTreeMap<String, ClaimKind>,
}

/// What is known about a claim before any evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimKind {
    /// Its type.
    pub kind: Type,
    /// What it says, as a phrase: `the kernel's command line`.
    pub about: String,
}

impl Catalog {
    /// A catalogue of no claims.
    pub fn new() -> Self {
        Self::default()
    }

    /// The catalogue with one claim more; a second declaration of a name replaces the first.
    #[must_use]
    pub fn with(mut self, name: &str, kind: Type, about: &str) -> Self {
        self.claims.insert(name.into(), ClaimKind { kind, about: about.into() });
        self
    }

    /// The claim of that name.
    pub fn claim(&self, name: &str) -> Option<&ClaimKind> {
        self.claims.get(name)
    }

    /// Every claim by name, in the order of names.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &ClaimKind)> {
        self.claims.iter().map(|(name, claim)| (name.as_str(), claim))
    }

    /// The name most like `name`, if one is like it.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        suggest::nearest(name, self.claims.keys().map(String::as_str))
    }
}

/// What the evidence and the reference values say about one device.
pub trait Claims: Sync {
    /// The value of the claim of that name; `None` if nothing is said about it, which no control
    /// survives that needs it.
    fn claim(&self, name: &str) -> Option<&Value>;
}

/// Claims in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimSet(BTreeMap<String, Value>);

impl ClaimSet {
    /// No claims.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says `value` about the claim `name`, instead of what was said before.
    pub fn insert(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// Nothing more is said about `name`.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Every claim by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl Claims for ClaimSet {
    fn claim(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl<N: AsRef<str>, V: Into<Value>> FromIterator<(N, V)> for ClaimSet {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(claims: I) -> Self {
        Self(claims.into_iter().map(|(name, value)| (name.as_ref().into(), value.into())).collect())
    }
}
