//! A policy after loading: names resolved, types agreed, layers put together. Only
//! [`Policy::parse`] makes one.

use crate::ar4si::{Dimension, Tier, TrustValue};
use crate::function::Function;
use crate::{Countermeasure, Time, Type, Value};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// A trust policy: what is required of a device, and what follows if it is not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it was made of, the base first; never empty.
    pub(crate) layers: Vec<Layer>,
    pub(crate) references: Vec<Reference>,
    pub(crate) controls: Vec<Control>,
    pub(crate) removed: Vec<Removed>,
    pub(crate) exceptions: Vec<Exception>,
    pub(crate) trials: Vec<Trial>,
    /// Every claim that is read, once; operands refer to it by position.
    pub(crate) claims: Vec<String>,
}

impl Policy {
    /// Its name.
    pub fn name(&self) -> &str {
        self.layers.last().map_or("", |layer| &layer.name)
    }

    /// Its version: greater is newer.
    pub fn version(&self) -> u64 {
        self.layers.last().map_or(0, |layer| layer.version)
    }

    /// The policies that it was made of, the base first and itself last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The references that it declares.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Its controls, in the order in which they are written.
    pub fn controls(&self) -> &[Control] {
        &self.controls
    }

    /// The control of that name.
    pub fn control(&self, name: &str) -> Option<&Control> {
        self.controls.iter().find(|control| control.name == name)
    }

    /// The controls of its bases that it does without.
    pub fn removed(&self) -> &[Removed] {
        &self.removed
    }

    /// Its exceptions.
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// The names of the claims that it reads.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.claims.iter().map(String::as_str)
    }
}

/// One of the policies that a policy was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// The version of the claims' schema that it was written against.
    pub schema: u32,
}

/// A set of values that a policy declares: `reference publishers ["CN=Acme"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its name, without `reference.`.
    pub name: String,
    /// The values: always a set.
    pub value: Value,
    /// The type of its elements.
    pub kind: Type,
    /// Where it is overridden, and why; the first override first.
    pub overrides: Vec<Override>,
}

/// A change that a policy makes to what one of its bases says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The policy that makes it.
    pub layer: String,
    /// Why, in the words of whoever wrote it.
    pub because: String,
    /// What was said before: `fresh 30s`, as many lines as there are clauses replaced or added.
    pub before: Vec<String>,
}

/// A control of a base that a policy does without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The control.
    pub control: Control,
    /// The policy that does without it.
    pub layer: String,
    /// Why.
    pub because: String,
}

/// How much a control matters to those who run the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// To be looked at when there is time.
    Low,
    /// To be looked at within days.
    Medium,
    /// To be looked at today.
    High,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word in policies and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One requirement with its reason, its weight and its consequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) severity: Severity,
    pub(crate) maps: Vec<String>,
    pub(crate) fresh: Option<Duration>,
    pub(crate) requires: Vec<Test>,
    pub(crate) passes: TrustValue,
    pub(crate) fails: TrustValue,
    pub(crate) countermeasures: Vec<Countermeasure>,
    pub(crate) because: String,
    pub(crate) layer: String,
    pub(crate) overrides: Vec<Override>,
}

impl Control {
    /// Its name, unique in the policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it asks for, in a few words.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How much it matters to those who run the fleet.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// The requirements of standards that it answers: `IEC62443-4-2:CR3.4`.
    pub fn maps(&self) -> &[String] {
        &self.maps
    }

    /// How old the claims may be at most that it reads.
    pub const fn fresh(&self) -> Option<Duration> {
        self.fresh
    }

    /// The dimension of the trustworthiness vector that it speaks about.
    pub const fn dimension(&self) -> Dimension {
        self.fails.dimension()
    }

    /// The tier of a device that does not meet it: warning or contraindicated.
    pub const fn tier(&self) -> Tier {
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

    /// What is to be done about a device that does not meet it, mildest first.
    pub fn countermeasures(&self) -> &[Countermeasure] {
        &self.countermeasures
    }

    /// Why it is there, in the words of whoever wrote it; may be empty.
    pub fn because(&self) -> &str {
        &self.because
    }

    /// The policy that it comes from.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// What later policies changed of it.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }
}

/// Leave to miss controls for a while. A control that is not met and excepted claims nothing about
/// the device, and has no consequences; that it is excepted is told with the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    pub(crate) name: String,
    pub(crate) controls: Vec<String>,
    pub(crate) by: String,
    pub(crate) because: String,
    pub(crate) until: Time,
    pub(crate) when: Option<Test>,
    pub(crate) layer: String,
}

impl Exception {
    /// Its name, unique in the policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The controls that may be missed.
    pub fn controls(&self) -> &[String] {
        &self.controls
    }

    /// Who gave it.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Why.
    pub fn because(&self) -> &str {
        &self.because
    }

    /// From when on it counts no more.
    pub const fn until(&self) -> Time {
        self.until
    }

    /// The policy that it comes from.
    pub fn layer(&self) -> &str {
        &self.layer
    }
}

/// A test of the policy by itself: claims, and what must become of controls.
#[derive(Clone, Debug, Eq)]
pub(crate) struct Trial {
    pub(crate) name: String,
    pub(crate) layer: usize,
    pub(crate) line: u32,
    pub(crate) given: Vec<Given>,
    pub(crate) at: Time,
    pub(crate) expects: Vec<Expectation>,
}

/// Where it stands is no part of what it says.
impl PartialEq for Trial {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.layer, &self.given, self.at, &self.expects)
            == (&other.name, other.layer, &other.given, other.at, &other.expects)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) claim: String,
    pub(crate) value: Value,
    pub(crate) age: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    Control { name: String, end: End },
    Tier(Tier),
}

/// What can become of a control, as tests have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Passes,
    Fails,
    Unknown,
    Excepted,
}

impl End {
    pub(crate) const ALL: [Self; 4] = [Self::Passes, Self::Fails, Self::Unknown, Self::Excepted];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::Fails => "fails",
            Self::Unknown => "unknown",
            Self::Excepted => "excepted",
        }
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
    /// A reference that the policy declares: its position in [`Policy::references`].
    Reference {
        at: usize,
        name: String,
    },
    /// The variable of the `depth`-th enclosing `every` or `some`; without a name if it has none.
    Variable {
        depth: usize,
        name: String,
    },
    /// A field of a record.
    Field {
        record: Box<Operand>,
        name: String,
    },
    /// The value of that name in a map.
    Entry {
        map: Box<Operand>,
        key: String,
    },
    Literal(Value),
    Count(Box<Operand>),
    Call {
        function: Function,
        arguments: Vec<Operand>,
    },
    /// What time it is.
    Now,
    /// A time so much later, or earlier.
    Shifted {
        time: Box<Operand>,
        later: bool,
        span: Duration,
    },
}
