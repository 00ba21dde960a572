//! Policies and what stands at their outermost level.

use super::{ITEMS, Limits, Mark, Parsed, Parser};
use crate::ast::{Layer, Override, Reference, Removed};
use crate::fault::FaultKind;
use crate::lex::Token;
use crate::{Value, reach, suggest};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Parser<'_> {
    /// `file = layer { layer }`
    pub(super) fn file(&mut self) -> Parsed<()> {
        let whole = self.tokens.len().saturating_sub(1);
        loop {
            let next = (self.next + 1..whole).find(|at| self.begins_policy(*at));
            self.end = next.unwrap_or(whole);
            self.layer()?;
            if self.next >= whole {
                break;
            }
        }
        self.check_references();
        self.check_conditions();
        Ok(())
    }

    /// `layer = header { item }`
    fn layer(&mut self) -> Parsed<()> {
        self.header()?;
        let first = self.policy.layers.len() == 1;
        while *self.peek() != Token::End && self.peek().name() != Some("policy") {
            if self.item().is_err() {
                self.skip_to(&ITEMS);
                // A brace too many: what comes after it is read all the same.
                if self.peek().is("}") {
                    self.advance();
                }
            }
        }
        if first && self.policy.controls.is_empty() && self.faults.is_empty() {
            let (at, remedy) = (self.at(), "write at least one `control`".into());
            return self.halt(at, FaultKind::Missing, "a policy without controls".into(), remedy);
        }
        self.check_control_names();
        Ok(())
    }

    /// `header = "policy" name "version" integer "schema" integer
    ///           [ "extends" name "version" integer ]`
    fn header(&mut self) -> Parsed<()> {
        self.mark(Mark::Item);
        self.keyword("policy", "a policy starts with `policy NAME version 1 schema 1`")?;
        let at = self.at();
        let name = self.identifier("the policy's name", "write a word without quotes")?;
        if self.policy.layers.iter().any(|layer| layer.name == name) {
            let problem = format!("a second policy named `{name}`");
            self.note(at, FaultKind::Duplicate, problem, "rename one of them".into());
        }
        if self.policy.layers.len() >= Limits::LAYERS {
            let problem = format!("more than {} policies on top of each other", Limits::LAYERS);
            return self.halt(at, FaultKind::TooLarge, problem, "put some together".into());
        }
        self.keyword("version", "write `version` and a whole number after the name")?;
        let counts = "write a whole number from 1 on; count it up with every change";
        let version = self.number("a version", counts)?;
        let schema = self.schema()?;
        self.extends()?;
        self.policy.layers.push(Layer { name, version, schema });
        Ok(())
    }

    fn schema(&mut self) -> Parsed<u32> {
        let known = self.catalog.schema();
        let remedy =
            format!("write `schema {known}`: the version of the claims that it is written for");
        self.keyword("schema", &remedy)?;
        let at = self.at();
        let schema = self.number("the claims' schema", &remedy)?;
        if schema != u64::from(known) {
            let problem = format!("the policy is for schema {schema}, the claims have {known}");
            let remedy = if schema > u64::from(known) {
                "load it with a newer release, or with the product's schema".to_string()
            } else {
                format!("look through the claims that changed, then write `schema {known}`")
            };
            self.note(at, FaultKind::Schema, problem, remedy);
        }
        Ok(u32::try_from(schema).unwrap_or(u32::MAX))
    }

    fn extends(&mut self) -> Parsed<()> {
        let at = self.at();
        let base = self.policy.layers.last().cloned();
        if !self.take_word("extends") {
            let Some(base) = base else { return Ok(()) };
            let remedy = format!("write `extends {} version {}`", base.name, base.version);
            return self.unexpected("`extends`", &remedy);
        }
        let name = self.identifier("the name of the base", "write the base's name")?;
        self.keyword("version", "write `version` and the base's version")?;
        let version = self.number("the base's version", "write the base's version")?;
        match base {
            Some(base) if base.name == name && base.version == version => {}
            Some(base) if base.name == name => {
                let problem =
                    format!("`{name}` is there in version {}, not {version}", base.version);
                let remedy = "look through what changed in the base, then write its version";
                self.note(at, FaultKind::Base, problem, remedy.into());
            }
            Some(base) => {
                let problem = format!("the policy before this one is `{}`", base.name);
                self.note(at, FaultKind::Base, problem, format!("put `{name}` before it"));
            }
            None => {
                let problem = format!("the policy `{name}` that this one extends is not here");
                let remedy = format!("give it together with {name}.policy, the base first");
                self.note(at, FaultKind::Base, problem, remedy);
            }
        }
        Ok(())
    }

    fn item(&mut self) -> Parsed<()> {
        self.mark(Mark::Item);
        let Some(word) = self.peek().name() else {
            return self.unexpected("an item", &format!("an item is one of {}", ITEMS.join(", ")));
        };
        match word {
            "reference" => {
                self.advance();
                self.reference(false)
            }
            "control" => {
                self.advance();
                self.control()
            }
            "override" => {
                self.advance();
                if self.take_word("reference") {
                    return self.reference(true);
                }
                self.keyword(
                    "control",
                    "write `override control NAME` or `override reference NAME`",
                )?;
                self.override_control()
            }
            "remove" => {
                self.advance();
                self.keyword("control", "write `remove control NAME because \"..\"`")?;
                self.remove()
            }
            "exception" => {
                self.advance();
                self.exception()
            }
            "test" => {
                self.advance();
                self.trial()
            }
            other => {
                let remedy = suggest::nearest(other, ITEMS).map_or_else(
                    || format!("an item is one of {}", ITEMS.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                self.unexpected("an item", &remedy)
            }
        }
    }

    /// `[ "override" ] "reference" name set [ "because" text ]`
    fn reference(&mut self, overrides: bool) -> Parsed<()> {
        let at = self.at();
        let name = self.identifier("the reference's name", "write `reference NAME [..]`")?;
        let known = self.policy.references.iter().position(|known| known.name == name);
        let wanted = known.and_then(|at| self.policy.references.get(at)).map(|r| r.kind.clone());
        if !self.peek().is("[") {
            return self.unexpected("`[`", "write the values between `[` and `]`");
        }
        let set = self.set(wanted.filter(|_| overrides).as_ref())?;
        let because = if overrides {
            self.keyword("because", "say why the base's values are replaced: `because \"..\"`")?;
            self.words("the reason")?
        } else {
            String::new()
        };
        let (Value::Set(values), Some(kind)) = set else { return Ok(()) };
        let value = Value::Set(values);
        match known {
            Some(index) if overrides => {
                let layer = self.layer_name();
                if let Some(known) = self.policy.references.get_mut(index) {
                    let before = alloc::vec![format!("reference {name} {}", known.value)];
                    known.overrides.push(Override { layer, because, before });
                    known.value = value;
                }
            }
            Some(_) => {
                let problem = format!("a second reference named `{name}`");
                let remedy = "rename it, or write `override reference` to replace a base's".into();
                self.note(at, FaultKind::Duplicate, problem, remedy);
            }
            None if overrides => {
                let near =
                    suggest::nearest(&name, self.policy.references.iter().map(|r| r.name.as_str()));
                let remedy = near.map_or_else(
                    || "without a base's reference of that name write `reference`".into(),
                    |near| format!("did you mean `{near}`?"),
                );
                let problem = format!("no reference named `{name}` to override");
                self.note(at, FaultKind::UnknownClaim, problem, remedy);
            }
            None => {
                let overrides = Vec::new();
                self.policy.references.push(Reference { name, value, kind, overrides });
                self.references_at.push(at);
                self.references_used.push(false);
            }
        }
        Ok(())
    }

    /// `"remove" "control" name "because" text`
    fn remove(&mut self) -> Parsed<()> {
        let at = self.at();
        let name = self.identifier("the control's name", "write the control's name")?;
        self.keyword("because", "say why it is not needed here: `because \"..\"`")?;
        let because = self.words("the reason")?;
        let layer = self.layer_name();
        let found = self.policy.controls.iter().position(|control| control.name == name);
        match found.and_then(|index| Some((index, self.policy.controls.get(index)?))) {
            Some((_, control)) if control.layer == layer => {
                let problem = format!("`{name}` is a control of this policy itself");
                self.note(at, FaultKind::Duplicate, problem, "take out the control".into());
            }
            Some((index, _)) => {
                let control = self.policy.controls.remove(index);
                self.controls_at.remove(index);
                self.policy.removed.push(Removed { control, layer, because });
            }
            None => self.unknown_control(&name, at),
        }
        Ok(())
    }

    pub(super) fn layer_name(&self) -> String {
        self.policy.name().to_string()
    }

    pub(super) fn unknown_control(&mut self, name: &str, at: crate::Position) {
        if self.is_full() {
            return;
        }
        let names = self.policy.controls.iter().map(|control| control.name.as_str());
        let remedy = suggest::nearest(name, names).map_or_else(
            || "name a control of this policy or of one of its bases".into(),
            |near| format!("did you mean `{near}`?"),
        );
        let problem = format!("no control named `{name}`");
        self.note(at, FaultKind::UnknownControl, problem, remedy);
    }

    /// Names in exceptions and tests, which may stand before the control.
    fn check_control_names(&mut self) {
        for (name, at) in core::mem::take(&mut self.control_names) {
            if self.policy.control(&name).is_none() {
                self.unknown_control(&name, at);
            }
        }
    }

    fn check_references(&mut self) {
        let unused = self.references_used.iter().zip(&self.references_at);
        let unused = unused.zip(&self.policy.references).filter(|((used, _), _)| !**used);
        let unused: Vec<_> =
            unused.map(|((_, at), reference)| (*at, reference.name.clone())).collect();
        for (at, name) in unused {
            let problem = format!("no condition reads `ref.{name}`");
            let claim = format!("reference.{name}");
            let remedy = match self.catalog.claim(&claim) {
                Some(_) => format!("use it, or take it out; `{claim}` is a claim, and another set"),
                None => "use it, or take it out".into(),
            };
            self.note(at, FaultKind::Unused, problem, remedy);
        }
    }

    /// Conditions that can never hold, and such that read nothing.
    fn check_conditions(&mut self) {
        if !self.faults.is_empty() {
            return;
        }
        let mut found = Vec::new();
        for (control, at) in self.policy.controls.iter().zip(&self.controls_at) {
            let name = &control.name;
            if let Some(why) = reach::contradiction(&control.requires, &self.policy) {
                let problem = format!("control `{name}` can never pass: {why}");
                found.push((*at, problem, "correct the condition that is meant"));
            } else if control.claims().is_empty() {
                let problem = format!("control `{name}` reads no claim");
                found.push((*at, problem, "require something of the device"));
            }
        }
        for (at, problem, remedy) in found {
            self.note(at, FaultKind::Vain, problem, remedy.to_string());
        }
        if self.faults.is_empty() && self.policy.controls.is_empty() {
            let (at, remedy) = (self.at(), "keep at least one control".into());
            self.note(at, FaultKind::Missing, "a policy without controls".into(), remedy);
        }
    }
}
