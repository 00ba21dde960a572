//! What is wrong with a policy: where, what, and what to do about it.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

/// A place in a policy's text: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// One fault in a policy. Shown as `14:9: no claim named ..; did you mean ..?`; whoever read the
/// file puts its name and a colon in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Position,
    /// How many characters of that line it is about.
    pub len: u32,
    /// Which check it failed.
    pub kind: FaultKind,
    /// What is wrong, as a phrase.
    pub problem: String,
    /// The next step.
    pub remedy: String,
}

impl Fault {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// The line of the policy that it is about with a mark under the place, as two lines that go
    /// below the fault itself.
    pub fn excerpt(&self, text: &str) -> String {
        /// Characters of a line that are shown before the place and in all.
        const BEFORE: usize = 60;
        const SHOWN: usize = 100;
        let line = usize::try_from(self.at.line).unwrap_or(usize::MAX).saturating_sub(1);
        let column = usize::try_from(self.at.column).unwrap_or(usize::MAX).saturating_sub(1);
        let source = text.lines().nth(line).unwrap_or_default();
        let skipped = column.saturating_sub(BEFORE);
        let shown = source.chars().skip(skipped).take(SHOWN);
        // What steers a terminal is shown as one character, so that the mark stays where it is.
        let shown: String = shown
            .map(|c| if c == '\t' { ' ' } else { c })
            .map(|c| if crate::value::is_unprintable(c) { '\u{fffd}' } else { c })
            .collect();
        let number = self.at.line.to_string();
        let margin = " ".repeat(number.len());
        let room = SHOWN.saturating_sub(column - skipped).max(1);
        let marks = usize::try_from(self.len).unwrap_or(usize::MAX).clamp(1, room);
        let indent = " ".repeat(column - skipped);
        format!("  {number} | {shown}\n  {margin} | {indent}{}", "^".repeat(marks))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.at.line, self.at.column, self.problem, self.remedy)
    }
}

impl core::error::Error for Fault {}

/// The checks that a policy can fail when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// A limit of size, count or depth.
    TooLarge,
    /// A character or literal that is none of the grammar's.
    BadToken,
    /// A token where the grammar has another.
    Unexpected,
    /// A schema that the catalogue does not have.
    Schema,
    /// The policy that this one extends is not there, or another version of it.
    Base,
    /// A claim or a declared reference that there is not.
    UnknownClaim,
    /// A field that the record does not have.
    UnknownField,
    /// A function that the catalogue does not have.
    UnknownFunction,
    /// A control that the policy does not have.
    UnknownControl,
    /// A dimension, tier, severity, value or countermeasure that there is not, or not there.
    UnknownWord,
    /// Types that do not go together.
    TypeMismatch,
    /// A name or a clause given twice.
    Duplicate,
    /// A name that hides another one.
    Shadowed,
    /// A declaration that nothing uses.
    Unused,
    /// A clause that a control cannot be without.
    Missing,
    /// Countermeasures that are not in the order of their grades.
    Order,
    /// A condition that can never hold, or that asks for nothing.
    Vain,
}

impl FaultKind {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "policy.limit",
            Self::BadToken => "policy.token",
            Self::Unexpected => "policy.syntax",
            Self::Schema => "policy.schema",
            Self::Base => "policy.base",
            Self::UnknownClaim => "policy.claim.unknown",
            Self::UnknownField => "policy.field.unknown",
            Self::UnknownFunction => "policy.function.unknown",
            Self::UnknownControl => "policy.control.unknown",
            Self::UnknownWord => "policy.word.unknown",
            Self::TypeMismatch => "policy.type",
            Self::Duplicate => "policy.duplicate",
            Self::Shadowed => "policy.shadowed",
            Self::Unused => "policy.unused",
            Self::Missing => "policy.missing",
            Self::Order => "policy.order",
            Self::Vain => "policy.vain",
        }
    }

    /// Whether the text is not of the grammar, whatever the names in it mean.
    pub(crate) const fn is_of_syntax(self) -> bool {
        matches!(self, Self::TooLarge | Self::BadToken | Self::Unexpected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_under_the_place() {
        let at = Position { line: 2, column: 3 };
        let (problem, remedy) = (String::new(), String::new());
        let fault = Fault { at, len: 4, kind: FaultKind::Vain, problem, remedy };
        assert_eq!(fault.excerpt("one\na\tword\u{1b}"), "  2 | a word\u{fffd}\n    |   ^^^^");
        let far = Fault { at: Position { line: 1, column: 200 }, ..fault };
        let shown = far.excerpt(&"x".repeat(300));
        let lines: alloc::vec::Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0].find('x').unwrap() + 60, lines[1].find('^').unwrap());
        assert_eq!(far.excerpt(""), alloc::format!("  1 | \n    | {}^^^^", " ".repeat(60)));
    }
}
