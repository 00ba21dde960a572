//! What goes into a statement and comes out of it: the same with every database.

use super::connection::Fault;
use crate::Error;

/// A parameter of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param<'a> {
    Null,
    Integer(i64),
    /// No column holds such a number.
    TooLarge,
    Text(&'a str),
    Blob(&'a [u8]),
}

/// What can be a parameter.
pub(super) trait AsParam {
    fn as_param(&self) -> Param<'_>;
}

macro_rules! integers {
    ($($kind:ty)*) => {$(
        impl AsParam for $kind {
            fn as_param(&self) -> Param<'_> {
                i64::try_from(*self).map_or(Param::TooLarge, Param::Integer)
            }
        }
    )*};
}
integers!(u32 u64 usize i64);

impl AsParam for bool {
    fn as_param(&self) -> Param<'_> {
        Param::Integer(i64::from(*self))
    }
}

impl AsParam for str {
    fn as_param(&self) -> Param<'_> {
        Param::Text(self)
    }
}

impl AsParam for String {
    fn as_param(&self) -> Param<'_> {
        Param::Text(self)
    }
}

impl AsParam for [u8] {
    fn as_param(&self) -> Param<'_> {
        Param::Blob(self)
    }
}

impl AsParam for Vec<u8> {
    fn as_param(&self) -> Param<'_> {
        Param::Blob(self)
    }
}

impl<const N: usize> AsParam for [u8; N] {
    fn as_param(&self) -> Param<'_> {
        Param::Blob(self)
    }
}

impl<T: AsParam> AsParam for Option<T> {
    fn as_param(&self) -> Param<'_> {
        self.as_ref().map_or(Param::Null, AsParam::as_param)
    }
}

impl<T: AsParam + ?Sized> AsParam for &T {
    fn as_param(&self) -> Param<'_> {
        (*self).as_param()
    }
}

impl AsParam for Param<'_> {
    fn as_param(&self) -> Param<'_> {
        *self
    }
}

/// The parameters of a statement, in order.
pub(super) trait Params {
    /// Does `work` with them.
    fn with<T>(self, work: impl FnOnce(&[Param<'_>]) -> T) -> T;
}

impl<P: AsParam, const N: usize> Params for [P; N] {
    fn with<T>(self, work: impl FnOnce(&[Param<'_>]) -> T) -> T {
        work(&self.each_ref().map(AsParam::as_param))
    }
}

/// Parameters of several kinds.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        $crate::store::value::listed([$($crate::store::value::AsParam::as_param(&$value)),*])
    };
}
pub(super) use params;

/// What [`params!`] says; a function, so that what is borrowed lives as long as the call.
pub(super) fn listed<const N: usize>(params: [Param<'_>; N]) -> [Param<'_>; N] {
    params
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// What a column can be read as.
pub(super) trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(number) = value { Some(*number) } else { None }
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for u32 {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Blob(octets) = value { Some(octets.clone()) } else { None }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Blob(octets) = value { octets.as_slice().try_into().ok() } else { None }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        if *value == Value::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

/// One row of an answer.
#[derive(Debug)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    /// A column, counted from 0.
    pub(super) fn get<T: FromValue>(&self, index: usize) -> Result<T, Fault> {
        let value = self.0.get(index).and_then(T::from_value);
        value.ok_or(Fault::Failed(Error::Row { what: "column" }))
    }
}
