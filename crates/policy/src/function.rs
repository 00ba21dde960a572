//! Functions of the host that conditions may call: typed, total, and without a memory.

use crate::{Type, Value};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A function with its signature.
#[derive(Clone)]
pub struct Function {
    name: String,
    parameters: Vec<Type>,
    result: Type,
    about: String,
    apply: fn(&[&Value]) -> Option<Value>,
}

impl Function {
    pub(crate) fn new(
        name: &str,
        parameters: &[Type],
        result: Type,
        about: &str,
        apply: fn(&[&Value]) -> Option<Value>,
    ) -> Self {
        Self {
            name: name.into(),
            parameters: parameters.into(),
            result,
            about: about.into(),
            apply,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The types of what it is given.
    pub fn parameters(&self) -> &[Type] {
        &self.parameters
    }

    /// The type of what it gives.
    pub const fn result(&self) -> &Type {
        &self.result
    }

    /// What it gives, as a phrase.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Its value for these; `None` also where they or what it gives are not of the types that were
    /// agreed.
    pub(crate) fn apply(&self, values: &[&Value]) -> Option<Value> {
        let fits = values.len() == self.parameters.len()
            && values.iter().zip(&self.parameters).all(|(value, kind)| value.is(kind));
        if !fits {
            return None;
        }
        (self.apply)(values).filter(|value| value.is(&self.result))
    }
}

/// A catalogue has one function of a name.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.parameters, &self.result)
            == (&other.name, &other.parameters, &other.result)
    }
}

impl Eq for Function {}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Its signature: `before(time, time) -> boolean`.
impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (at, kind) in self.parameters.iter().enumerate() {
            write!(f, "{}{kind}", if at == 0 { "" } else { ", " })?;
        }
        write!(f, ") -> {}", self.result)
    }
}
