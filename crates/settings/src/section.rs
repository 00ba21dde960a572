//! A table of the file, asked field by field.

use crate::{Reader, nearest};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table of the file. Fields that were never asked for become faults when it goes out of scope.
pub struct Section<'r> {
    reader: &'r Reader<'r>,
    name: String,
    at: usize,
    table: &'r DeTable<'r>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'r> Section<'r> {
    pub(crate) fn root(reader: &'r Reader<'r>, table: &'r DeTable<'r>) -> Self {
        Self { reader, name: String::new(), at: 0, table, asked: RefCell::default() }
    }

    /// The table `[key]`; a fault if it is not there.
    pub fn section(&self, key: &'static str) -> Option<Section<'r>> {
        let found = self.optional_section(key);
        if found.is_none() && self.value(key).is_none() {
            self.fault(format!("the section [{key}] is missing; --print-default shows it"));
        }
        found
    }

    /// The table `[key]`, if it is there.
    pub fn optional_section(&self, key: &'static str) -> Option<Section<'r>> {
        let value = self.value(key)?;
        self.open(key, value)
    }

    /// The tables `[[key]]`, or the empty list.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'r>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "an array of tables: [[..]]");
            return Vec::new();
        };
        array.iter().filter_map(|value| self.open(key, value)).collect()
    }

    fn open(&self, key: &'static str, value: &'r Spanned<DeValue<'r>>) -> Option<Section<'r>> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table: [..]");
            return None;
        };
        let name = if self.name.is_empty() { key.into() } else { format!("{}.{key}", self.name) };
        let at = value.span().start;
        Some(Section { reader: self.reader, name, at, table, asked: RefCell::default() })
    }

    /// A text that must be there and parse as a `T`.
    pub fn required<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<T> {
        if self.value(key).is_none() {
            self.fault(format!("`{key}` is missing; --print-default shows it"));
        }
        self.parse(key).flatten()
    }

    /// A text that may be there: `None` is a fault, `Some(None)` an absent field.
    pub fn optional<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<Option<T>> {
        self.parse(key)
    }

    /// A text with a default.
    pub fn or<T: FromStr<Err: Display>>(&self, key: &'static str, default: T) -> Option<T> {
        self.parse(key).map(|value| value.unwrap_or(default))
    }

    #[expect(clippy::option_option, reason = "a fault and an absence are different answers")]
    fn parse<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<Option<T>> {
        let Some(value) = self.value(key) else { return Some(None) };
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a string");
            return None;
        };
        self.text(key, value, text).map(Some)
    }

    fn text<T: FromStr<Err: Display>>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        text: &str,
    ) -> Option<T> {
        text.parse().inspect_err(|error| self.refuse_at(key, value, error)).ok()
    }

    /// A list of texts; absent means empty.
    pub fn list<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<Vec<T>> {
        let Some(value) = self.value(key) else { return Some(Vec::new()) };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "an array of strings");
            return None;
        };
        let parsed: Vec<Option<T>> = array
            .iter()
            .map(|value| {
                let text = value.get_ref().as_str();
                if text.is_none() {
                    self.wrong_type(key, value, "a string");
                }
                self.text(key, value, text?)
            })
            .collect();
        parsed.into_iter().collect()
    }

    /// A whole number within `range`.
    pub fn integer(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Option<u64> {
        let Some(value) = self.value(key) else { return Some(default) };
        let Some(number) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "an integer");
            return None;
        };
        let digits = number.as_str();
        let parsed = u64::from_str_radix(digits, number.radix()).ok();
        parsed.filter(|number| range.contains(number)).or_else(|| {
            let (least, most) = (range.start(), range.end());
            self.fault_at(value, format!("`{key}` is {digits}; it may be {least} to {most}"));
            None
        })
    }

    /// True or false.
    pub fn flag(&self, key: &'static str, default: bool) -> Option<bool> {
        let Some(value) = self.value(key) else { return Some(default) };
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(key, value, "true or false");
        }
        flag
    }

    /// A span of time, written as `"500ms"`, `"30s"`, `"5m"`, `"12h"` or `"7d"`.
    pub fn duration(&self, key: &'static str, default: Duration) -> Option<Duration> {
        let Some(value) = self.value(key) else { return Some(default) };
        let parsed = value.get_ref().as_str().and_then(duration);
        if parsed.is_none() {
            self.fault_at(
                value,
                format!(
                    "`{key}` is not a duration; write it as \"500ms\", \"30s\", \"5m\", \"12h\" or \"7d\""
                ),
            );
        }
        parsed
    }

    /// Says that the field `key`, although it parsed, can not be used.
    pub fn refuse(&self, key: &'static str, reason: impl Display) {
        match self.value(key) {
            Some(value) => self.refuse_at(key, value, &reason),
            None => self.fault(format!("`{key}` is not usable: {reason}")),
        }
    }

    /// A fault of the section as a whole.
    pub fn fault(&self, words: String) {
        let place = if self.name.is_empty() { words } else { format!("[{}]: {words}", self.name) };
        self.reader.fault(self.at, place);
    }

    fn value(&self, key: &'static str) -> Option<&'r Spanned<DeValue<'r>>> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key)
    }

    fn refuse_at(&self, key: &str, value: &Spanned<DeValue<'_>>, reason: &impl Display) {
        self.fault_at(value, format!("`{key}` is not usable: {reason}"));
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
        self.fault_at(value, format!("`{key}` is {article} {found}; it must be {wanted}"));
    }

    fn fault_at(&self, value: &Spanned<DeValue<'_>>, words: String) {
        self.reader.fault(value.span().start, words);
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        for key in self.table.keys().filter(|key| !asked.contains(key.get_ref().as_ref())) {
            let name = key.get_ref();
            let place =
                if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
            let remedy = match nearest(name, asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "remove it".to_owned(),
            };
            self.reader
                .fault(key.span().start, format!("no field named `{name}`{place}; {remedy}"));
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit = match unit.trim() {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.checked_mul(unit).map(Duration::from_secs)
}
