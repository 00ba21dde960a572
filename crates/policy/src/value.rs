//! Claim values, their types, and how each is written.
//! Where the values come from is the caller's business ([`Claims`](crate::Claims)).

use crate::Time;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use touchstone_crypto::Digest;

/// The type of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`.
    Boolean,
    /// A whole number in 64 bits, signed.
    Integer,
    /// Text in UTF-8.
    Text,
    /// A version of one to four numbers: `1.4.2`.
    Version,
    /// A span of time: `90s`.
    Duration,
    /// A digest with its algorithm: `sha256:<hex>`.
    Digest,
    /// A point in time: `2026-12-31`.
    Time,
    /// Values of one type, in order.
    List(Box<Type>),
    /// Values of one scalar type without order: what reference values are.
    Set(Box<Type>),
    /// Values of one type by name.
    Map(Box<Type>),
    /// Named fields.
    Record(Vec<(Cow<'static, str>, Type)>),
}

impl Type {
    /// A list of `element`.
    pub fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// A set of `element`.
    pub fn set(element: Self) -> Self {
        Self::Set(Box::new(element))
    }

    /// A record of these fields.
    pub fn record<const N: usize>(fields: [(&'static str, Self); N]) -> Self {
        Self::Record(fields.into_iter().map(|(name, kind)| (Cow::Borrowed(name), kind)).collect())
    }

    /// A map of names to `element`.
    pub fn map(element: Self) -> Self {
        Self::Map(Box::new(element))
    }

    /// An X.509 certificate, as a record (RFC 5280 §4.1).
    pub fn certificate() -> Self {
        Self::record([
            ("subject", Self::Text),
            ("issuer", Self::Text),
            ("serial", Self::Text),
            ("not-before", Self::Time),
            ("not-after", Self::Time),
            ("fingerprint", Self::Digest),
        ])
    }

    /// The type of the elements of a list, set or map.
    pub fn element(&self) -> Option<&Self> {
        match self {
            Self::List(element) | Self::Set(element) | Self::Map(element) => Some(element),
            _ => None,
        }
    }

    /// The type of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Record(fields) => {
                fields.iter().find(|(known, _)| known == name).map(|(_, kind)| kind)
            }
            _ => None,
        }
    }

    /// With its article: `an integer`.
    pub(crate) fn one(&self) -> String {
        format!("{} {self}", if *self == Self::Integer { "an" } else { "a" })
    }

    /// Whether values of it can be compared with `<`.
    pub const fn is_ordered(&self) -> bool {
        matches!(self, Self::Integer | Self::Version | Self::Duration | Self::Time)
    }

    /// Whether it is a single value: no list, set, map or record.
    pub const fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Set(_) | Self::Map(_) | Self::Record(_))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Integer => f.write_str("integer"),
            Self::Text => f.write_str("text"),
            Self::Version => f.write_str("version"),
            Self::Duration => f.write_str("duration"),
            Self::Digest => f.write_str("digest"),
            Self::Time => f.write_str("time"),
            Self::List(element) => write!(f, "list of {element}"),
            Self::Set(element) => write!(f, "set of {element}"),
            Self::Map(element) => write!(f, "map of {element}"),
            Self::Record(_) if *self == Self::certificate() => f.write_str("certificate"),
            Self::Record(fields) => {
                f.write_str("record {")?;
                for (at, (name, kind)) in fields.iter().enumerate() {
                    write!(f, "{} {name} {kind}", if at == 0 { "" } else { "," })?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// The value of a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
    /// A version.
    Version(Version),
    /// A span of time, to the millisecond.
    Duration(Duration),
    /// A digest.
    Digest(Digest),
    /// A point in time.
    Time(Time),
    /// Values in order.
    List(Vec<Value>),
    /// Values to look things up in.
    Set(Set),
    /// Values by name.
    Map(Map),
    /// Named fields.
    Record(Record),
}

impl Value {
    /// A list.
    pub fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(values.into_iter().collect())
    }

    /// A set.
    pub fn set(values: impl IntoIterator<Item = Self>) -> Self {
        Self::Set(values.into_iter().collect())
    }

    /// A record.
    pub fn record<const N: usize>(fields: [(&'static str, Self); N]) -> Self {
        Self::Record(fields.into_iter().map(|(n, value)| (Cow::Borrowed(n), value)).collect())
    }

    /// The elements of a list, set or map.
    pub fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            Self::Set(set) => Some(set.as_slice()),
            Self::Map(map) => Some(&map.values),
            _ => None,
        }
    }

    /// The field of a record.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Record(record) => record.field(name),
            _ => None,
        }
    }

    /// The number, if it is one: the event index in a record, say.
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether it is of `kind`. An element that is not makes its list not.
    pub fn is(&self, kind: &Type) -> bool {
        match (self, kind) {
            (Self::Boolean(_), Type::Boolean)
            | (Self::Integer(_), Type::Integer)
            | (Self::Text(_), Type::Text)
            | (Self::Version(_), Type::Version)
            | (Self::Duration(_), Type::Duration)
            | (Self::Digest(_), Type::Digest)
            | (Self::Time(_), Type::Time) => true,
            (Self::List(values), Type::List(element)) => values.iter().all(|v| v.is(element)),
            (Self::Set(set), Type::Set(element)) => set.as_slice().iter().all(|v| v.is(element)),
            (Self::Map(map), Type::Map(element)) => map.values.iter().all(|v| v.is(element)),
            (Self::Record(record), Type::Record(fields)) => fields
                .iter()
                .all(|(name, kind)| record.field(name).is_none_or(|value| value.is(kind))),
            _ => false,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Version> for Value {
    fn from(value: Version) -> Self {
        Self::Version(value)
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Duration(value)
    }
}

impl From<Digest> for Value {
    fn from(value: Digest) -> Self {
        Self::Digest(value)
    }
}

impl From<Time> for Value {
    fn from(value: Time) -> Self {
        Self::Time(value)
    }
}

/// As a policy writes it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(text) => write_text(f, text),
            Self::Version(version) => write!(f, "{version}"),
            Self::Duration(duration) => write_duration(f, *duration),
            Self::Digest(digest) => write!(f, "{digest}"),
            Self::Time(time) => write!(f, "{time}"),
            Self::List(values) => write_values(f, values),
            Self::Set(set) => write_values(f, set.as_slice()),
            Self::Map(map) => {
                f.write_str("{")?;
                for (at, (name, value)) in map.iter().enumerate() {
                    f.write_str(if at == 0 { " " } else { ", " })?;
                    write_text(f, name)?;
                    write!(f, " {value}")?;
                }
                f.write_str(" }")
            }
            Self::Record(record) => {
                f.write_str("{")?;
                for (at, (name, value)) in record.0.iter().enumerate() {
                    write!(f, "{} {name} {value}", if at == 0 { "" } else { "," })?;
                }
                f.write_str(" }")
            }
        }
    }
}

fn write_values(f: &mut fmt::Formatter<'_>, values: &[Value]) -> fmt::Result {
    f.write_str("[")?;
    for (at, value) in values.iter().enumerate() {
        write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
    }
    f.write_str("]")
}

/// Text between quotes: nothing in it can end the line or steer a terminal.
pub(crate) fn write_text(f: &mut impl fmt::Write, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            c if is_unprintable(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// Controls, and the marks that reverse the direction of what follows.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The units of a duration, greatest first, in milliseconds.
pub(crate) const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

fn write_duration(f: &mut fmt::Formatter<'_>, duration: Duration) -> fmt::Result {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return f.write_str("0s");
    }
    let exact = UNITS.iter().find(|(_, size)| millis % size == 0);
    exact.map_or(Ok(()), |(unit, size)| write!(f, "{}{unit}", millis / size))
}

/// Values without order or repetition: sorted, so that looking one up is a binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Set(Vec<Value>);

impl Set {
    /// Whether `value` is in it.
    pub fn contains(&self, value: &Value) -> bool {
        self.0.binary_search(value).is_ok()
    }

    /// The values in their order.
    pub fn as_slice(&self) -> &[Value] {
        &self.0
    }
}

impl FromIterator<Value> for Set {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let mut values: Vec<Value> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        Self(values)
    }
}

/// Values by name: sorted by it, and no name twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Map {
    names: Vec<String>,
    values: Vec<Value>,
}

impl Map {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.names.binary_search_by(|known| known.as_str().cmp(name)).ok()?;
        self.values.get(at)
    }

    /// Every value with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.names.iter().map(String::as_str).zip(&self.values)
    }
}

/// Of two values with one name the last stands.
impl FromIterator<(String, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(values: I) -> Self {
        let sorted: alloc::collections::BTreeMap<String, Value> = values.into_iter().collect();
        let (names, values) = sorted.into_iter().unzip();
        Self { names, values }
    }
}

/// Named fields, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record(Vec<(Cow<'static, str>, Value)>);

impl Record {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Every field with its name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }
}

impl FromIterator<(Cow<'static, str>, Value)> for Record {
    fn from_iter<I: IntoIterator<Item = (Cow<'static, str>, Value)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

/// A version of up to four numbers; those not written are zero, so `1.2` is `1.2.0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u32; 4]);

impl Version {
    /// The version `major.minor.patch`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self([major, minor, patch, 0])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.0;
        write!(f, "{major}.{minor}.{patch}")?;
        if build == 0 { Ok(()) } else { write!(f, ".{build}") }
    }
}

/// The text is not one to four numbers of 32 bits with dots between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseVersionError;

impl fmt::Display for ParseVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a version; write one to four numbers with dots between them, as in 1.4.2")
    }
}

impl core::error::Error for ParseVersionError {}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        let mut version = Self::default();
        let mut room = version.0.iter_mut();
        for part in text.split('.') {
            if part.is_empty() || !part.bytes().all(|c| c.is_ascii_digit()) {
                return Err(ParseVersionError);
            }
            let number = room.next().ok_or(ParseVersionError)?;
            *number = part.parse().map_err(|_| ParseVersionError)?;
        }
        Ok(version)
    }
}

/// The text is not whole numbers with units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseDurationError;

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a duration; write numbers with the units d, h, m, s, ms, as in 90s or 1h30m",
        )
    }
}

impl core::error::Error for ParseDurationError {}

/// Reads `90s`, `500ms`, `1h30m`: greater units first, each at most once.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let mut rest = text;
    let mut millis = 0_u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(ParseDurationError)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, size) = units.find(|(name, _)| *name == unit).ok_or(ParseDurationError)?;
        let number: u64 = number.parse().map_err(|_| ParseDurationError)?;
        let part = number.checked_mul(*size).ok_or(ParseDurationError)?;
        millis = millis.checked_add(part).ok_or(ParseDurationError)?;
        rest = tail;
    }
    if text.is_empty() { Err(ParseDurationError) } else { Ok(Duration::from_millis(millis)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn versions_compare_by_number() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("1.10.0") > version("1.9.9"));
        assert_eq!(version("1.2"), version("1.2.0.0"));
        assert_eq!(version("1.2.3.4").to_string(), "1.2.3.4");
        for bad in ["", "1.", ".1", "1.2.3.4.5", "1.x", "+1.2", "99999999999.0"] {
            assert_eq!(bad.parse::<Version>(), Err(ParseVersionError), "{bad}");
        }
    }

    #[test]
    fn durations_read_and_write() {
        let shown = |text| Value::Duration(parse_duration(text).unwrap()).to_string();
        assert_eq!(shown("90s"), "90s");
        assert_eq!(shown("1h30m"), "90m");
        assert_eq!(shown("86400s"), "1d");
        assert_eq!(shown("0ms"), "0s");
        for bad in ["", "5", "5x", "s", "1s1m", "1s1s", "99999999999999999999d", "-1s"] {
            assert_eq!(parse_duration(bad), Err(ParseDurationError), "{bad}");
        }
    }

    #[test]
    fn text_from_a_device_cannot_steer_a_terminal() {
        assert_eq!(Value::from("a\u{1b}[2J\u{202e}\"").to_string(), r#""a\u{1b}[2J\u{202e}\"""#);
    }

    #[test]
    fn a_value_knows_its_type() {
        let kind = Type::list(Type::record([("index", Type::Integer), ("path", Type::Text)]));
        let good = Value::list([Value::record([("index", 1.into()), ("path", "/a".into())])]);
        let bad = Value::list([Value::record([("index", "1".into())])]);
        assert!(good.is(&kind) && !bad.is(&kind));
        assert_eq!(kind.to_string(), "list of record { index integer, path text }");
    }
}
