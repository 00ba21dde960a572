//! A policy after loading: names resolved, types agreed. Only [`Policy::parse`] makes one.

use crate::Value;
use crate::ar4si::{Dimension, Tier, TrustValue};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A trust policy: what is required of a device, and what it means if it is not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) controls: Vec<Control>,
    /// Every claim that is read, once; operands refer to it by position.
    pub(crate) claims: Vec<String>,
}

impl Policy {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version: greater is newer.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Its controls, in the order in which they are written.
    pub fn controls(&self) -> &[Control] {
        &self.controls
    }

    /// The names of the claims that it reads.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.claims.iter().map(String::as_str)
    }
}

/// One requirement with its reason and its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    pub(crate) name: String,
    pub(crate) dimension: Dimension,
    pub(crate) fails: TrustValue,
    pub(crate) passes: TrustValue,
    pub(crate) because: String,
    pub(crate) requires: Vec<Test>,
}

impl Control {
    /// Its name, unique in the policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The dimension of the trustworthiness vector that it speaks about.
    pub const fn dimension(&self) -> Dimension {
        self.dimension
    }

    /// The tier of a device that does not meet it: warning or contraindicated.
    pub const fn severity(&self) -> Tier {
        self.fails.tier()
    }

    /// The value that a device gets which does not meet it.
    pub const fn fails(&self) -> TrustValue {
        self.fails
    }

    /// The value that a device gets which meets it.
    pub const fn passes(&self) -> TrustValue {
        self.passes
    }

    /// Why it is there, in the words of whoever wrote it.
    pub fn because(&self) -> &str {
        &self.because
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Any(Vec<Test>),
    All(Vec<Test>),
    Not(Box<Test>),
    Each { every: bool, variable: String, list: Operand, body: Box<Test> },
    Holds(Operand),
    Compare { left: Operand, how: Comparison, right: Operand },
    In { value: Operand, set: Operand },
    Within { list: Operand, set: Operand },
    Present(Operand),
    Empty(Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    StartsWith,
    EndsWith,
    Contains,
}

impl Comparison {
    pub(crate) const ALL: [Self; 9] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::AtMost,
        Self::Greater,
        Self::AtLeast,
        Self::StartsWith,
        Self::EndsWith,
        Self::Contains,
    ];

    /// As a policy writes it.
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::StartsWith => "starts-with",
            Self::EndsWith => "ends-with",
            Self::Contains => "contains",
        }
    }

    /// As a sentence has it: `wanted at least 1.2.0`.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Equal => "",
            Self::NotEqual => "anything but ",
            Self::Less => "less than ",
            Self::AtMost => "at most ",
            Self::Greater => "more than ",
            Self::AtLeast => "at least ",
            Self::StartsWith => "a text that starts with ",
            Self::EndsWith => "a text that ends with ",
            Self::Contains => "a text that contains ",
        }
    }

    pub(crate) const fn is_on_text(self) -> bool {
        matches!(self, Self::StartsWith | Self::EndsWith | Self::Contains)
    }
}

/// Something with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A claim: its position in [`Policy::claims`], and its name.
    Claim {
        slot: usize,
        name: String,
    },
    /// The variable of the `depth`-th enclosing `every` or `some`, or a field of it.
    Variable {
        depth: usize,
        name: String,
        field: Option<String>,
    },
    Literal(Value),
    Count(Box<Operand>),
}
