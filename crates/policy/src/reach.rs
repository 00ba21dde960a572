//! Whether a condition can hold at all. Bounds, sets and presence are followed for each operand by
//! itself; what goes beyond that is taken for possible, so a good policy is never refused.

use crate::ast::{Comparison, Operand, Policy, Test};
use crate::evaluate::{Facts, Truth, holds};
use crate::{ClaimSet, Value};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Alternatives that are looked at before the rest is taken for possible.
const ALTERNATIVES: u32 = 512;

/// Why these conditions can never hold together; `None` if they may.
pub(crate) fn contradiction(tests: &[Test], policy: &Policy) -> Option<String> {
    let goals = tests.iter().map(|test| (test, true)).collect();
    let mut search = Search { policy, left: ALTERNATIVES };
    search.try_all(goals, Known::new()).err()
}

/// What is required of each operand so far, by its text.
type Known<'a> = BTreeMap<String, Domain<'a>>;

type Possible = Result<(), String>;

/// A condition, and whether it is to hold or not to hold.
type Goal<'a> = (&'a Test, bool);

struct Search<'a> {
    policy: &'a Policy,
    left: u32,
}

impl<'a> Search<'a> {
    fn try_all(&mut self, mut goals: Vec<Goal<'a>>, mut known: Known<'a>) -> Possible {
        while let Some((test, wanted)) = goals.pop() {
            match (test, wanted) {
                (Test::All(parts), true) | (Test::Any(parts), false) => {
                    goals.extend(parts.iter().map(|part| (part, wanted)));
                }
                (Test::All(parts), false) | (Test::Any(parts), true) => {
                    return self.try_any(parts, wanted, &goals, &known);
                }
                (Test::Not(inner), _) => goals.push((inner, !wanted)),
                (Test::Each { every, list, body, .. }, _) => {
                    self.each(*every, list, body, wanted, &mut known)?;
                }
                _ => self.atom(test, wanted, &mut known)?,
            }
        }
        Ok(())
    }

    fn try_any(
        &mut self,
        parts: &'a [Test],
        wanted: bool,
        goals: &[Goal<'a>],
        known: &Known<'a>,
    ) -> Possible {
        let mut why = String::new();
        for part in parts {
            let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
            self.left = left;
            let mut goals = goals.to_vec();
            goals.push((part, wanted));
            match self.try_all(goals, known.clone()) {
                Ok(()) => return Ok(()),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    /// Some element must meet the body, or every one there is.
    fn each(
        &mut self,
        every: bool,
        list: &'a Operand,
        body: &'a Test,
        wanted: bool,
        known: &mut Known<'a>,
    ) -> Possible {
        let inside = self.try_all(alloc::vec![(body, wanted)], Known::new());
        if every != wanted {
            inside?;
            return count(list, known, true, &format!("some element of {list}"));
        }
        match inside {
            Ok(()) => Ok(()),
            // Nothing meets it, so there must be nothing.
            Err(why) => count(list, known, false, &why),
        }
    }

    fn atom(&mut self, test: &'a Test, wanted: bool, known: &mut Known<'a>) -> Possible {
        if let Some(truth) = self.constant(test) {
            return if truth == wanted {
                Ok(())
            } else {
                Err(format!("`{test}` is always {truth}"))
            };
        }
        let told = if wanted { format!("`{test}`") } else { format!("`not {test}`") };
        match test {
            Test::Holds(operand) => {
                let only = alloc::vec![Value::Boolean(wanted)];
                domain(operand, known).among(only, told)
            }
            Test::Compare { left, how, right } => {
                if let Some(bound) = self.value(right) {
                    return domain(left, known).compare(*how, wanted, bound, told);
                }
                if let (Some(bound), Some(how)) = (self.value(left), turned(*how)) {
                    return domain(right, known).compare(how, wanted, bound, told);
                }
                Ok(())
            }
            Test::In { value, set } => {
                let Some(values) = self.value(set).and_then(Value::elements) else { return Ok(()) };
                let domain = domain(value, known);
                if wanted {
                    domain.among(values.to_vec(), told)
                } else {
                    domain.without(values, told)
                }
            }
            Test::Present(operand) => domain(operand, known).present(wanted, told),
            Test::Empty(operand) => count(operand, known, !wanted, &told),
            _ => Ok(()),
        }
    }

    /// The truth of a condition that depends on nothing.
    fn constant(&self, test: &'a Test) -> Option<bool> {
        let (left, right) = match test {
            Test::Holds(operand) => (operand, operand),
            Test::Compare { left, right, .. } => (left, right),
            Test::In { value, set } => (value, set),
            _ => return None,
        };
        self.value(left).zip(self.value(right))?;
        let nothing = ClaimSet::new();
        match holds(test, &Facts::new(self.policy, &nothing), None) {
            Truth::True => Some(true),
            Truth::False => Some(false),
            Truth::Unknown => None,
        }
    }

    /// The value of a literal or a declared reference.
    fn value(&self, operand: &'a Operand) -> Option<&'a Value> {
        match operand {
            Operand::Literal(value) => Some(value),
            Operand::Reference { at, .. } => Some(&self.policy.references.get(*at)?.value),
            _ => None,
        }
    }
}

/// What `a < b` is from the other side.
const fn turned(how: Comparison) -> Option<Comparison> {
    use Comparison as C;
    Some(match how {
        C::Equal => C::Equal,
        C::NotEqual => C::NotEqual,
        C::Less => C::Greater,
        C::AtMost => C::AtLeast,
        C::Greater => C::Less,
        C::AtLeast => C::AtMost,
        C::StartsWith | C::EndsWith | C::Contains => return None,
    })
}

fn domain<'k, 'a>(operand: &Operand, known: &'k mut Known<'a>) -> &'k mut Domain<'a> {
    let domain = known.entry(operand.to_string()).or_default();
    if matches!(operand, Operand::Count(_)) && domain.low.is_none() {
        domain.low = Some((Value::Integer(0), false));
    }
    domain
}

/// How many elements a list has: none, or at least one.
fn count(list: &Operand, known: &mut Known<'_>, some: bool, told: &str) -> Possible {
    let domain = known.entry(format!("count({list})")).or_default();
    if domain.low.is_none() {
        domain.low = Some((Value::Integer(0), false));
    }
    if some {
        domain.raise(Value::Integer(1), false);
    } else {
        domain.lower(Value::Integer(0), false);
    }
    domain.checked(told.to_string())
}

/// The values that an operand may still have.
#[derive(Clone, Default)]
struct Domain<'a> {
    low: Option<(Value, bool)>,
    high: Option<(Value, bool)>,
    only: Option<Vec<Value>>,
    never: Vec<&'a Value>,
    absent: bool,
    needed: bool,
    /// The conditions that made it so.
    told: Vec<String>,
}

impl<'a> Domain<'a> {
    fn compare(
        &mut self,
        how: Comparison,
        wanted: bool,
        bound: &'a Value,
        told: String,
    ) -> Possible {
        use Comparison as C;
        let how = if wanted {
            how
        } else {
            match how {
                C::Equal => C::NotEqual,
                C::NotEqual => C::Equal,
                C::Less => C::AtLeast,
                C::AtMost => C::Greater,
                C::Greater => C::AtMost,
                C::AtLeast => C::Less,
                C::StartsWith | C::EndsWith | C::Contains => return Ok(()),
            }
        };
        self.needed = true;
        match how {
            C::Equal => return self.among(alloc::vec![bound.clone()], told),
            C::NotEqual => self.never.push(bound),
            C::Less => self.lower(bound.clone(), true),
            C::AtMost => self.lower(bound.clone(), false),
            C::Greater => self.raise(bound.clone(), true),
            C::AtLeast => self.raise(bound.clone(), false),
            C::StartsWith | C::EndsWith | C::Contains => {}
        }
        self.checked(told)
    }

    fn among(&mut self, values: Vec<Value>, told: String) -> Possible {
        self.needed = true;
        self.only = Some(match self.only.take() {
            Some(before) => before.into_iter().filter(|value| values.contains(value)).collect(),
            None => values,
        });
        self.checked(told)
    }

    fn without(&mut self, values: &'a [Value], told: String) -> Possible {
        self.needed = true;
        self.never.extend(values);
        self.checked(told)
    }

    fn present(&mut self, wanted: bool, told: String) -> Possible {
        self.needed |= wanted;
        self.absent |= !wanted;
        self.checked(told)
    }

    /// A bound that leaves no whole number out counts as the next one.
    fn raise(&mut self, bound: Value, strict: bool) {
        let (bound, strict) = match (&bound, strict) {
            (Value::Integer(number), true) if *number < i64::MAX => {
                (Value::Integer(number + 1), false)
            }
            _ => (bound, strict),
        };
        let tighter = self
            .low
            .as_ref()
            .is_none_or(|(low, open)| bound > *low || (bound == *low && strict && !open));
        if tighter {
            self.low = Some((bound, strict));
        }
    }

    fn lower(&mut self, bound: Value, strict: bool) {
        let (bound, strict) = match (&bound, strict) {
            (Value::Integer(number), true) if *number > i64::MIN => {
                (Value::Integer(number - 1), false)
            }
            _ => (bound, strict),
        };
        let tighter = self
            .high
            .as_ref()
            .is_none_or(|(high, open)| bound < *high || (bound == *high && strict && !open));
        if tighter {
            self.high = Some((bound, strict));
        }
    }

    fn checked(&mut self, told: String) -> Possible {
        self.told.push(told);
        let inside = |value: &Value| {
            let above = self
                .low
                .as_ref()
                .is_none_or(|(low, strict)| value > low || (value == low && !strict));
            let below = self
                .high
                .as_ref()
                .is_none_or(|(high, strict)| value < high || (value == high && !strict));
            above && below && !self.never.contains(&value)
        };
        let possible = match (&self.only, &self.low, &self.high) {
            (Some(only), ..) => only.iter().any(inside),
            (None, Some((low, a)), Some((high, b))) => {
                low < high || (low == high && !a && !b && inside(low))
            }
            _ => true,
        };
        if possible && !(self.absent && self.needed) {
            return Ok(());
        }
        let told = &self.told;
        Err(match told.as_slice() {
            [only] => format!("{only} holds for no value"),
            _ => format!("{} exclude each other", told.join(" and ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::FaultKind;
    use crate::sample::requiring;
    use alloc::string::ToString;

    #[test]
    fn what_can_never_hold_is_told_with_its_reason() {
        let never = [
            ("agent.version >= 2 and agent.version < 1.5", "`agent.version >= 2.0.0`"),
            ("ima.violations > 3 and ima.violations < 4", "exclude each other"),
            ("element.kind == \"tpm2\" and element.kind == \"software\"", "exclude each other"),
            ("element.kind in [\"a\", \"b\"] and element.kind not in [\"b\", \"a\"]", "exclude"),
            ("boot.secure-boot and not boot.secure-boot", "exclude each other"),
            ("boot.secure-boot is not present and boot.secure-boot", "exclude each other"),
            ("count(boot.images) < 0", "holds for no value"),
            ("boot.images is empty and count(boot.images) > 0", "exclude each other"),
            ("boot.images is empty and some i in boot.images: i.event == 1", "exclude"),
            ("some i in boot.images: i.event > 3 and i.event < 2", "exclude each other"),
            ("boot.images is not empty and every i in boot.images: 1 == 2", "exclude"),
            ("3 == 4 and boot.secure-boot", "always false"),
            ("boot.secure-boot and (false or not true)", "always true"),
            ("not (ima.violations <= 5 or ima.violations >= 3)", "exclude each other"),
            ("(ima.violations == 1 or ima.violations == 2) and ima.violations > 2", "exclude"),
            ("3 > ima.violations and 4 < ima.violations", "exclude each other"),
        ];
        for (test, why) in never {
            let faults = requiring(test).unwrap_err();
            assert_eq!(faults[0].kind, FaultKind::Vain, "{test}: {faults:?}");
            assert!(faults[0].to_string().contains(why), "{test}: {}", faults[0]);
        }
    }

    #[test]
    fn what_may_hold_is_left_alone() {
        for test in [
            "agent.version >= 2 or agent.version < 1.5",
            "ima.violations >= 3 and ima.violations <= 3",
            "boot.secure-boot is not present or boot.secure-boot",
            "every i in boot.images: i.event > 3 and i.event < 2",
            "boot.command-line starts-with \"a\" and boot.command-line starts-with \"b\"",
            "every boot.pk in reference.pk and boot.pk is not empty",
            "evidence.age < 1m and evidence.age >= 0s",
            "some a in boot.images: some b in boot.images: a.event == 1 and b.event == 2",
        ] {
            assert!(requiring(test).is_ok(), "{test}: {:?}", requiring(test));
        }
    }
}
