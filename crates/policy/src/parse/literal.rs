//! Values as a policy writes them: sets of literals, and what tests give for claims.

use super::{Limits, Parsed, Parser};
use crate::fault::{FaultKind, Position};
use crate::lex::Token;
use crate::value::{Map, Record};
use crate::{Set, Type, Value, Version, suggest};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl Parser<'_> {
    /// `set = "[" literal { "," literal } [ "," ] "]"`: always a set, with the type of its elements.
    pub(super) fn set(&mut self, element: Option<&Type>) -> Parsed<(Value, Option<Type>)> {
        let at = self.at();
        self.symbol("[", "a set begins with `[`")?;
        let mut values = Vec::new();
        let mut kind = element.cloned();
        while !self.peek().is("]") {
            let here = self.at();
            let Token::Literal(value) = self.peek() else {
                return self.unexpected("a literal", "a set in a policy holds literals and commas");
            };
            self.advance();
            let value = widened(value.clone(), kind.as_ref());
            let own = type_of(&value);
            match &kind {
                Some(kind) if *kind != own => {
                    let problem = format!("{} among values of type {kind}", own.one());
                    let remedy = "write values of one type".into();
                    self.note(here, FaultKind::TypeMismatch, problem, remedy);
                }
                Some(_) => {}
                None => kind = Some(own),
            }
            values.push(value);
            if !self.take_symbol(",") && !self.peek().is("]") {
                return self.unexpected("`,` or `]`", "values of a set have commas between them");
            }
        }
        self.advance();
        let set: Set = values.into_iter().collect();
        if set.as_slice().is_empty() {
            let remedy = "name at least one value".into();
            self.note(at, FaultKind::Missing, "nothing is in an empty set".into(), remedy);
        }
        Ok((Value::Set(set), kind))
    }

    /// A value of that type; of any without one. `None` if it is not, which is noted.
    pub(super) fn given_value(
        &mut self,
        kind: Option<&Type>,
        depth: usize,
    ) -> Parsed<Option<Value>> {
        let at = self.at();
        if depth > Limits::DEPTH {
            let problem = format!("values more than {} deep", Limits::DEPTH);
            return self.halt(at, FaultKind::TooLarge, problem, "give a simpler value".into());
        }
        if self.take_symbol("[") {
            return self.given_elements(kind, at, depth);
        }
        if self.take_symbol("{") {
            return self.given_fields(kind, at, depth);
        }
        let Token::Literal(value) = self.peek() else {
            return self.unexpected("a value", "write a literal, `[..]` or `{ name value, .. }`");
        };
        self.advance();
        let value = widened(value.clone(), kind);
        Ok(self.fits(value, kind, at))
    }

    fn fits(&mut self, value: Value, kind: Option<&Type>, at: Position) -> Option<Value> {
        let kind = kind?;
        if value.is(kind) {
            return Some(value);
        }
        let problem = format!("this is not a {kind}");
        let remedy = "write a value of the claim's type".into();
        self.note(at, FaultKind::TypeMismatch, problem, remedy);
        None
    }

    fn given_elements(
        &mut self,
        kind: Option<&Type>,
        at: Position,
        depth: usize,
    ) -> Parsed<Option<Value>> {
        let element = kind.and_then(Type::element);
        let mut values = Vec::new();
        while !self.peek().is("]") {
            values.push(self.given_value(element, depth + 1)?);
            if !self.take_symbol(",") && !self.peek().is("]") {
                return self.unexpected("`,` or `]`", "values have commas between them");
            }
        }
        self.advance();
        if matches!(kind, Some(Type::List(_) | Type::Set(_))) && values.iter().any(Option::is_none)
        {
            return Ok(None);
        }
        let values = values.into_iter().flatten();
        let value = match kind {
            Some(Type::Set(_)) => Value::set(values),
            _ => Value::list(values),
        };
        Ok(self.fits(value, kind, at))
    }

    /// Fields of a record, or entries of a map.
    fn given_fields(
        &mut self,
        kind: Option<&Type>,
        at: Position,
        depth: usize,
    ) -> Parsed<Option<Value>> {
        let mut fields: Vec<(Cow<'static, str>, Value)> = Vec::new();
        let mut whole = true;
        while !self.peek().is("}") {
            let here = self.at();
            let name = match self.peek() {
                Token::Name(name) | Token::Literal(Value::Text(name)) => name.clone(),
                _ => return self.unexpected("a name", "write `{ name value, .. }`"),
            };
            self.advance();
            let own = match kind {
                Some(Type::Map(element)) => Some(&**element),
                Some(record) => record.field(&name),
                None => None,
            };
            if let (Some(Type::Record(known)), None) = (kind, own) {
                let names: Vec<&str> = known.iter().map(|(name, _)| name.as_ref()).collect();
                let remedy = suggest::nearest(&name, names.iter().copied()).map_or_else(
                    || format!("its fields are {}", names.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                let problem = format!("the record has no field `{name}`");
                self.note(here, FaultKind::UnknownField, problem, remedy);
            }
            if fields.iter().any(|(known, _)| *known == name) {
                let problem = format!("`{name}` twice");
                self.note(here, FaultKind::Duplicate, problem, "keep one of them".into());
            }
            match self.given_value(own, depth + 1)? {
                Some(value) => fields.push((Cow::Owned(name), value)),
                None => whole = false,
            }
            if !self.take_symbol(",") && !self.peek().is("}") {
                return self.unexpected("`,` or `}`", "fields have commas between them");
            }
        }
        self.advance();
        if kind.is_some() && !whole {
            return Ok(None);
        }
        let value = match kind {
            Some(Type::Map(_)) => {
                let entries = fields.into_iter().map(|(name, value)| (String::from(name), value));
                Value::Map(entries.collect::<Map>())
            }
            _ => Value::Record(fields.into_iter().collect::<Record>()),
        };
        Ok(self.fits(value, kind, at))
    }
}

/// A whole number where a version is wanted is that version: `agent.version >= 2`.
pub(super) fn widened(value: Value, wanted: Option<&Type>) -> Value {
    match value {
        Value::Integer(number) if wanted == Some(&Type::Version) => {
            u32::try_from(number).map_or(value, |major| Version::new(major, 0, 0).into())
        }
        value => value,
    }
}

/// The type of a literal.
pub(super) fn type_of(value: &Value) -> Type {
    match value {
        Value::Boolean(_) => Type::Boolean,
        Value::Integer(_) => Type::Integer,
        Value::Version(_) => Type::Version,
        Value::Duration(_) => Type::Duration,
        Value::Digest(_) => Type::Digest,
        Value::Time(_) => Type::Time,
        // The grammar has no other literals than these and text.
        Value::Text(_) | Value::List(_) | Value::Set(_) | Value::Map(_) | Value::Record(_) => {
            Type::Text
        }
    }
}
