//! A policy as text again, in the one layout that we write. Comments are not kept.

use crate::ar4si::TrustValue;
use crate::ast::{Control, Operand, Policy, Test};
use crate::value::write_text;
use core::fmt::{self, Display, Formatter};

/// Loads again as an equal policy.
impl Display for Policy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("policy ")?;
        write_text(f, &self.name)?;
        writeln!(f, " version {} {{", self.version)?;
        for (at, control) in self.controls.iter().enumerate() {
            write!(f, "{}{control}", if at == 0 { "" } else { "\n" })?;
        }
        f.write_str("}\n")
    }
}

/// As it stands in a policy.
impl Display for Control {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "  control {} {{", self.name)?;
        writeln!(f, "    dimension {}", self.dimension)?;
        writeln!(f, "    severity  {}", self.severity())?;
        for (clause, value) in [("fails ", self.fails), ("passes", self.passes)] {
            if value != TrustValue::usual(self.dimension, value.tier()) {
                writeln!(f, "    {clause}    {value}")?;
            }
        }
        f.write_str("    because   ")?;
        write_text(f, &self.because)?;
        f.write_str("\n")?;
        for test in &self.requires {
            writeln!(f, "    require   {test}")?;
        }
        f.write_str("  }\n")
    }
}

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
                Self::Any(_) | Self::All(_) | Self::Each { .. } => write!(f, "not ({inner})"),
                _ => write!(f, "not {inner}"),
            },
            Self::Each { every, variable, list, body } => {
                let word = if *every { "every" } else { "some" };
                write!(f, "{word} {variable} in {list}: {body}")
            }
            Self::Holds(operand) => write!(f, "{operand}"),
            Self::Compare { left, how, right } => write!(f, "{left} {} {right}", how.symbol()),
            Self::In { value, set } => write!(f, "{value} in {set}"),
            Self::Within { list, set } => write!(f, "{list} within {set}"),
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
        if looser(part) || matches!(part, Test::Each { .. }) {
            write!(f, "({part})")?;
        } else {
            write!(f, "{part}")?;
        }
    }
    Ok(())
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { name, .. } | Self::Variable { name, field: None, .. } => {
                f.write_str(name)
            }
            Self::Variable { name, field: Some(field), .. } => write!(f, "{name}.{field}"),
            Self::Literal(value) => write!(f, "{value}"),
            Self::Count(inner) => write!(f, "count({inner})"),
        }
    }
}
