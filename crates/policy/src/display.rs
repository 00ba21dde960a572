//! Conditions as text again.

use crate::Value;
use crate::ast::{Operand, Test};
use crate::value::write_text;
use core::fmt::{self, Display, Formatter};

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(parts) => write_chain(f, parts, " or ", |part| matches!(part, Self::Any(_))),
            Self::All(parts) => {
                write_chain(f, parts, " and ", |part| matches!(part, Self::Any(_) | Self::All(_)))
            }
            Self::Not(inner) => match &**inner {
                Self::In { value, set } => write!(f, "{value} not in {set}"),
                Self::Present(operand) => write!(f, "{operand} is not present"),
                Self::Empty(operand) => write!(f, "{operand} is not empty"),
                Self::Any(_) | Self::All(_) | Self::Each { .. } | Self::Within { .. } => {
                    write!(f, "not ({inner})")
                }
                _ => write!(f, "not {inner}"),
            },
            Self::Each { every, variable, list, body } => {
                let word = if *every { "every" } else { "some" };
                if variable.is_empty() {
                    write!(f, "{word} {list}{}", Relation(body))
                } else {
                    write!(f, "{word} {variable} in {list}: {body}")
                }
            }
            Self::Holds(operand) => write!(f, "{operand}"),
            Self::Compare { left, how, right } => write!(f, "{left} {} {right}", how.symbol()),
            Self::In { value, set } => write!(f, "{value} in {set}"),
            Self::Within { list, set } => write!(f, "every {list} in {set}"),
            Self::Present(operand) => write!(f, "{operand} is present"),
            Self::Empty(operand) => write!(f, "{operand} is empty"),
        }
    }
}

/// Parts with a word between; in brackets where they would bind otherwise. A loop takes all that
/// follows it, so it never stands bare in a chain.
fn write_chain(
    f: &mut Formatter<'_>,
    parts: &[Test],
    word: &str,
    looser: impl Fn(&Test) -> bool,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { word })?;
        if looser(part) || matches!(part, Test::Each { variable, .. } if !variable.is_empty()) {
            write!(f, "({part})")?;
        } else {
            write!(f, "{part}")?;
        }
    }
    Ok(())
}

/// What is asked of each element that has no name.
struct Relation<'a>(&'a Test);

impl Display for Relation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Test::Compare { how, right, .. } => write!(f, " {} {right}", how.symbol()),
            Test::In { set, .. } => write!(f, " in {set}"),
            Test::Present(_) => f.write_str(" is present"),
            Test::Empty(_) => f.write_str(" is empty"),
            Test::Not(inner) => match &**inner {
                Test::In { set, .. } => write!(f, " not in {set}"),
                Test::Present(_) => f.write_str(" is not present"),
                Test::Empty(_) => f.write_str(" is not empty"),
                // The grammar has no other relations, and no other that is negated.
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { name, .. } if name.is_empty() => f.write_str("an element"),
            Self::Claim { name, .. }
            | Self::Variable { name, .. }
            | Self::Reference { name, .. } => f.write_str(name),
            Self::Field { record, name } => write!(f, "{record}.{name}"),
            Self::Entry { map, key } => {
                write!(f, "{map}[")?;
                write_text(f, key)?;
                f.write_str("]")
            }
            Self::Literal(value) => write!(f, "{value}"),
            Self::Count(inner) => write!(f, "count({inner})"),
            Self::Call { function, arguments } => {
                write!(f, "{}(", function.name())?;
                for (at, argument) in arguments.iter().enumerate() {
                    write!(f, "{}{argument}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::Now => f.write_str("now"),
            Self::Shifted { time, later, span } => {
                let sign = if *later { '+' } else { '-' };
                write!(f, "{time} {sign} {}", Value::Duration(*span))
            }
        }
    }
}
