//! What policies can speak of: claims, functions over them, and countermeasures. The verifier's
//! catalogue is in `appraise`; a product adds to it, without another version of this crate.

use crate::function::Function;
use crate::{Countermeasure, Grade, Time, Type, Value, suggest};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The claims, functions and countermeasures that a policy may name.
#[derive(Clone, Debug)]
pub struct Catalog {
    schema: u32,
    claims: BTreeMap<String, ClaimKind>,
    functions: BTreeMap<String, Function>,
    countermeasures: BTreeMap<String, Countermeasure>,
}

/// What is known about a claim before any evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimKind {
    /// Its type.
    pub kind: Type,
    /// What it says, as a phrase: `the kernel's command line`.
    pub about: String,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalog {
    /// A catalogue of schema 1 without claims and functions, and with the countermeasures that
    /// every Touchstone has.
    pub fn new() -> Self {
        let mut catalog = Self {
            schema: 1,
            claims: BTreeMap::new(),
            functions: BTreeMap::new(),
            countermeasures: BTreeMap::new(),
        };
        for (name, grade, about) in crate::countermeasure::STANDARD {
            catalog = catalog.with_countermeasure(name, *grade, about);
        }
        catalog
    }

    /// The catalogue as that version of its schema. The number rises when a claim changes its
    /// type or meaning, or goes; not when one comes.
    #[must_use]
    pub fn with_schema(mut self, schema: u32) -> Self {
        self.schema = schema;
        self
    }

    /// The catalogue with one claim more; a second declaration of a name replaces the first.
    #[must_use]
    pub fn with(mut self, name: &str, kind: Type, about: &str) -> Self {
        self.claims.insert(name.into(), ClaimKind { kind, about: about.into() });
        self
    }

    /// The catalogue with a function more: `name(..)` in conditions. It gets one value of each of
    /// the types `parameters`, and gives a value of the scalar type `result`, or `None` where it
    /// has none, which no control survives that needs it. It has to be pure: the same for the same
    /// values, whenever and wherever.
    #[must_use]
    pub fn with_function(
        mut self,
        name: &str,
        parameters: &[Type],
        result: Type,
        about: &str,
        apply: fn(&[&Value]) -> Option<Value>,
    ) -> Self {
        let function = Function::new(name, parameters, result, about, apply);
        self.functions.insert(name.into(), function);
        self
    }

    /// The catalogue with a countermeasure more: a name for `do`.
    #[must_use]
    pub fn with_countermeasure(mut self, name: &str, grade: Grade, about: &str) -> Self {
        let new = Countermeasure { name: name.into(), grade, about: about.into() };
        self.countermeasures.insert(name.into(), new);
        self
    }

    /// The version of its schema.
    pub const fn schema(&self) -> u32 {
        self.schema
    }

    /// The claim of that name.
    pub fn claim(&self, name: &str) -> Option<&ClaimKind> {
        self.claims.get(name)
    }

    /// Every claim by name, in the order of names.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &ClaimKind)> {
        self.claims.iter().map(|(name, claim)| (name.as_str(), claim))
    }

    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    /// Every function, in the order of names.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values()
    }

    /// The countermeasure of that name.
    pub fn countermeasure(&self, name: &str) -> Option<&Countermeasure> {
        self.countermeasures.get(name)
    }

    /// Every countermeasure, mildest first.
    pub fn countermeasures(&self) -> Vec<&Countermeasure> {
        let mut all: Vec<_> = self.countermeasures.values().collect();
        all.sort_by_key(|countermeasure| countermeasure.grade);
        all
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

    /// How long ago the claim was true: zero for what does not age, `None` if that is not known,
    /// which no control survives that says `fresh`.
    fn age(&self, name: &str) -> Option<Duration>;

    /// Both, where one look finds them.
    fn aged_claim(&self, name: &str) -> (Option<&Value>, Option<Duration>) {
        (self.claim(name), self.age(name))
    }

    /// What time it is.
    fn now(&self) -> Time;
}

/// Claims in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimSet {
    claims: BTreeMap<String, (Value, Option<Duration>)>,
    now: Time,
}

impl ClaimSet {
    /// No claims, in 1970.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same claims at that time.
    #[must_use]
    pub fn at(mut self, now: Time) -> Self {
        self.now = now;
        self
    }

    /// The same claims, each of that age.
    #[must_use]
    pub fn aged(mut self, age: Duration) -> Self {
        self.claims.values_mut().for_each(|(_, known)| *known = Some(age));
        self
    }

    /// Says `value` about the claim `name`, instead of what was said before; nothing of its age.
    pub fn insert(&mut self, name: &str, value: impl Into<Value>) {
        self.claims.insert(name.into(), (value.into(), None));
    }

    /// Says how old a claim is that is there.
    pub fn set_age(&mut self, name: &str, age: Duration) {
        if let Some((_, known)) = self.claims.get_mut(name) {
            *known = Some(age);
        }
    }

    /// Nothing more is said about `name`.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.claims.remove(name).map(|(value, _)| value)
    }

    /// Every claim by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.claims.iter().map(|(name, (value, _))| (name.as_str(), value))
    }
}

impl Claims for ClaimSet {
    fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name).map(|(value, _)| value)
    }

    fn age(&self, name: &str) -> Option<Duration> {
        self.claims.get(name)?.1
    }

    fn aged_claim(&self, name: &str) -> (Option<&Value>, Option<Duration>) {
        self.claims.get(name).map_or((None, None), |(value, age)| (Some(value), *age))
    }

    fn now(&self) -> Time {
        self.now
    }
}

impl<N: AsRef<str>, V: Into<Value>> FromIterator<(N, V)> for ClaimSet {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(claims: I) -> Self {
        let claims =
            claims.into_iter().map(|(name, value)| (name.as_ref().into(), (value.into(), None)));
        Self { claims: claims.collect(), now: Time::default() }
    }
}
