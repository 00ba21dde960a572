//! From text to [`Policy`]: the grammar of the book's reference, with every fault it can find in
//! one pass. What stands between the braces is in the modules below.

mod condition;
mod control;
mod exception;
mod layer;
mod literal;
mod trial;

pub(crate) use control::CLAUSES;

use crate::ast::Policy;
use crate::fault::{Fault, FaultKind, Position};
use crate::lex::{self, Placed, Token};
use crate::{Catalog, Type, Value, suggest};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What a policy may be at most.
pub struct Limits;

impl Limits {
    /// Octets of text, with its bases.
    pub const TEXT: usize = 256 * 1024;
    /// Controls.
    pub const CONTROLS: usize = 512;
    /// Policies on top of each other.
    pub const LAYERS: usize = 8;
    /// Exceptions, and tests.
    pub const EXTRAS: usize = 1024;
    /// Conditions and values within each other.
    pub const DEPTH: usize = 24;
    /// `every` and `some` within each other.
    pub const LOOPS: usize = 4;
    /// Faults reported at once.
    pub const FAULTS: usize = 20;
}

/// The words that begin what stands at the outermost level.
pub(crate) const ITEMS: [&str; 7] =
    ["policy", "reference", "control", "override", "remove", "exception", "test"];

/// What the layout of a text makes of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It begins an item.
    Item,
    /// It begins a clause inside braces.
    Clause,
    /// It ends a block of clauses.
    Close,
    /// It is a bracket that belongs to the word before it.
    Bound,
}

impl Policy {
    /// Loads a policy. Nothing of a policy with a fault is used; the faults are in the order of
    /// the text, at most [`Limits::FAULTS`] of them.
    ///
    /// A policy that extends another one stands behind it in `text`, the base first.
    pub fn parse(text: &str, catalog: &Catalog) -> Result<Self, Vec<Fault>> {
        if text.len() > Limits::TEXT {
            return Err(alloc::vec![too_large(text.len())]);
        }
        let mut faults = Vec::new();
        let (tokens, _) = lex::tokens(text, &mut faults);
        let mut parser = Parser::new(&tokens, catalog, faults);
        let done = parser.file();
        let Parser { policy, mut faults, .. } = parser;
        if done.is_ok() && faults.is_empty() {
            return Ok(policy);
        }
        finish(&mut faults, &tokens, text);
        Err(faults)
    }
}

/// A text as its tokens, comments and the marks of its layout; names may mean anything.
pub(crate) type Outline<'a> = (Vec<Placed>, Vec<lex::Comment<'a>>, Vec<(usize, Mark)>);

pub(crate) fn outline(text: &str) -> Result<Outline<'_>, Vec<Fault>> {
    if text.len() > Limits::TEXT {
        return Err(alloc::vec![too_large(text.len())]);
    }
    let mut faults = Vec::new();
    let (tokens, comments) = lex::tokens(text, &mut faults);
    let catalog = Catalog::new();
    let mut parser = Parser::new(&tokens, &catalog, faults);
    // That it stopped is a fault of syntax, or one that does not matter here.
    let _ = parser.file();
    let Parser { mut faults, marks, full, .. } = parser;
    faults.retain(|fault| fault.kind.is_of_syntax());
    if faults.is_empty() && !full {
        return Ok((tokens, comments, marks));
    }
    finish(&mut faults, &tokens, text);
    Err(faults)
}

fn too_large(len: usize) -> Fault {
    Fault {
        at: Position { line: 1, column: 1 },
        len: 1,
        kind: FaultKind::TooLarge,
        problem: format!("the policy has {len} octets"),
        remedy: format!("keep it within {}", Limits::TEXT),
    }
}

/// Puts the faults in order, leaves out what is too many, and says how long their places are.
fn finish(faults: &mut Vec<Fault>, tokens: &[Placed], text: &str) {
    faults.sort_by_key(|fault| fault.at);
    faults.truncate(Limits::FAULTS);
    for fault in faults {
        let found = tokens.binary_search_by_key(&fault.at, |placed| placed.at);
        let token = found.ok().and_then(|at| tokens.get(at));
        let octets = token.and_then(|placed| text.get(placed.octets.clone()));
        let len = octets.map_or(1, |octets| octets.chars().count());
        fault.len = u32::try_from(len).unwrap_or(u32::MAX).max(1);
    }
}

/// A fault was noted and the rest of the phrase makes no sense: go on with the next one.
struct Halt;

type Parsed<T> = Result<T, Halt>;

struct Parser<'a> {
    tokens: &'a [Placed],
    next: usize,
    /// Where the policy that is read ends: at [`Token::End`], or at the one that extends it.
    end: usize,
    catalog: &'a Catalog,
    policy: Policy,
    /// Where each control of the policy, each reference and each exception stands.
    controls_at: Vec<Position>,
    references_at: Vec<Position>,
    /// Whether each reference is used by a condition.
    references_used: Vec<bool>,
    /// Names that are to be controls of the layer when it ends.
    control_names: Vec<(String, Position)>,
    faults: Vec<Fault>,
    /// Faults were left out.
    full: bool,
    marks: Vec<(usize, Mark)>,
    /// Variables of the enclosing `every` and `some`, outermost first.
    scope: Vec<(String, Option<Type>)>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(tokens: &'a [Placed], catalog: &'a Catalog, faults: Vec<Fault>) -> Self {
        Self {
            tokens,
            next: 0,
            end: 0,
            catalog,
            policy: Policy {
                layers: Vec::new(),
                references: Vec::new(),
                controls: Vec::new(),
                removed: Vec::new(),
                exceptions: Vec::new(),
                trials: Vec::new(),
                claims: Vec::new(),
            },
            controls_at: Vec::new(),
            references_at: Vec::new(),
            references_used: Vec::new(),
            control_names: Vec::new(),
            faults,
            full: false,
            marks: Vec::new(),
            scope: Vec::new(),
            depth: 0,
        }
    }

    /// One of a few known words; `None` if it was another, which is noted.
    fn word<T>(
        &mut self,
        what: &str,
        names: &[&str],
        known: impl Fn(&str) -> Option<T>,
    ) -> Parsed<Option<T>> {
        let at = self.at();
        let Some(name) = self.peek().name().map(String::from) else {
            return self.unexpected(what, &format!("write one of {}", names.join(", ")));
        };
        self.advance();
        let found = known(&name);
        if found.is_none() {
            let near = suggest::nearest(&name, names.iter().copied());
            let remedy = near.map_or_else(
                || format!("write one of {}", names.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.note(at, FaultKind::UnknownWord, format!("`{name}` is not {what}"), remedy);
        }
        Ok(found)
    }

    /// A name without dots.
    fn identifier(&mut self, what: &str, remedy: &str) -> Parsed<String> {
        let Some(name) = self.peek().name().map(String::from) else {
            return self.unexpected(what, remedy);
        };
        if name.contains('.') {
            return self.unexpected(what, "write it without a dot");
        }
        self.advance();
        Ok(name)
    }

    /// A whole number from 1 on.
    fn number(&mut self, what: &str, remedy: &str) -> Parsed<u64> {
        if let Token::Literal(Value::Integer(number)) = self.peek()
            && let Ok(number @ 1..) = u64::try_from(*number)
        {
            self.advance();
            return Ok(number);
        }
        self.unexpected(what, remedy)
    }

    fn text(&mut self, what: &str) -> Parsed<String> {
        if let Token::Literal(Value::Text(text)) = self.peek() {
            let text = text.clone();
            self.advance();
            return Ok(text);
        }
        self.unexpected(what, "write it as text between double quotes")
    }

    /// The same, and it says something.
    fn words(&mut self, what: &str) -> Parsed<String> {
        let at = self.at();
        let text = self.text(what)?;
        if text.trim().is_empty() {
            let problem = format!("{what} is empty");
            self.note(at, FaultKind::Missing, problem, "write it in words".into());
        }
        Ok(text)
    }

    fn keyword(&mut self, word: &str, remedy: &str) -> Parsed<()> {
        if self.peek().name() == Some(word) {
            self.advance();
            return Ok(());
        }
        self.unexpected(&format!("`{word}`"), remedy)
    }

    fn symbol(&mut self, symbol: &str, remedy: &str) -> Parsed<()> {
        if self.peek().is(symbol) {
            self.advance();
            return Ok(());
        }
        self.unexpected(&format!("`{symbol}`"), remedy)
    }

    /// The clauses of a block, each read by `clause`, which is given the word that it begins with.
    /// Whether all of them were understood.
    fn block(
        &mut self,
        what: &str,
        known: &[&'static str],
        clause: &mut dyn FnMut(&mut Self, &'static str) -> Parsed<()>,
    ) -> Parsed<bool> {
        let mut whole = true;
        self.symbol("{", &format!("the clauses of {what} stand between `{{` and `}}`"))?;
        while !self.peek().is("}") {
            let item = self.peek().name().is_some_and(|name| ITEMS.contains(&name));
            if *self.peek() == Token::End || item {
                return self.unexpected("`}`", &format!("close {what} with `}}`"));
            }
            self.mark(Mark::Clause);
            let read = match self.clause_word(known) {
                Ok(word) => clause(self, word),
                Err(Halt) => Err(Halt),
            };
            if read.is_err() {
                whole = false;
                self.skip_to(known);
            }
        }
        self.mark(Mark::Close);
        self.advance();
        Ok(whole)
    }

    fn clause_word(&mut self, known: &[&'static str]) -> Parsed<&'static str> {
        let word = self.peek().name();
        if let Some(clause) = known.iter().find(|clause| word == Some(clause)) {
            self.advance();
            return Ok(clause);
        }
        let near = word.and_then(|word| suggest::nearest(word, known.iter().copied()));
        let remedy = near.map_or_else(
            || format!("a clause is one of {}", known.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        self.unexpected("a clause", &remedy)
    }

    /// Notes a clause that was there before.
    fn once(&mut self, seen: &mut Vec<&'static str>, clause: &'static str) {
        if seen.contains(&clause) {
            // The clause's word has just been taken.
            let before = self.next.saturating_sub(1);
            let at = self.tokens.get(before).map_or_else(|| self.at(), |placed| placed.at);
            let problem = format!("`{clause}` twice");
            self.note(at, FaultKind::Duplicate, problem, "keep one of them".into());
        }
        seen.push(clause);
    }

    /// Whether the next token is the word, which is then taken.
    fn take_word(&mut self, word: &str) -> bool {
        let here = self.peek().name() == Some(word);
        if here {
            self.advance();
        }
        here
    }

    /// Whether the next token is the symbol, which is then taken.
    fn take_symbol(&mut self, symbol: &str) -> bool {
        let here = self.peek().is(symbol);
        if here {
            self.advance();
        }
        here
    }

    fn peek(&self) -> &'a Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &'a Token {
        let token = Some(self.next + ahead).filter(|at| *at < self.end);
        token.and_then(|at| self.tokens.get(at)).map_or(&Token::End, |placed| &placed.token)
    }

    /// The place of the next token. Where a policy ends and another one follows, that of its last token:
    /// the two can be from different files.
    fn at(&self) -> Position {
        let follows = self.next >= self.end && self.end + 1 < self.tokens.len();
        let at = if follows { self.end.saturating_sub(1) } else { self.next };
        let placed = self.tokens.get(at).or(self.tokens.last());
        placed.map_or(Position { line: 1, column: 1 }, |placed| placed.at)
    }

    /// Whether a policy begins with this token, wherever it stands: a lost brace or half a sentence
    /// must not reach into the next file.
    fn begins_policy(&self, at: usize) -> bool {
        let name = |at: usize| self.tokens.get(at).and_then(|placed| placed.token.name());
        name(at) == Some("policy") && name(at + 1).is_some() && name(at + 2) == Some("version")
    }

    fn advance(&mut self) {
        self.next += 1;
    }

    /// Says what the next token is to the layout.
    fn mark(&mut self, mark: Mark) {
        self.marks.push((self.next, mark));
    }

    /// Goes on to one of the words, or to the `}` that closes what the fault is in.
    fn skip_to(&mut self, words: &[&str]) {
        let mut open = 0_usize;
        loop {
            let token = self.peek();
            let name = token.name();
            let word = name.is_some_and(|name| words.contains(&name));
            // A lost brace must not swallow the items after it.
            let item = name.is_some_and(|name| ITEMS.contains(&name));
            if *token == Token::End || item || (open == 0 && (word || token.is("}"))) {
                return;
            }
            open = match token {
                Token::Symbol("{") => open + 1,
                Token::Symbol("}") => open.saturating_sub(1),
                _ => open,
            };
            self.advance();
        }
    }

    fn unexpected<T>(&mut self, wanted: &str, remedy: &str) -> Parsed<T> {
        if *self.peek() == Token::Bad {
            return Err(Halt);
        }
        let problem = format!("{} where {wanted} should be", self.peek().describe());
        self.halt(self.at(), FaultKind::Unexpected, problem, remedy.into())
    }

    fn halt<T>(
        &mut self,
        at: Position,
        kind: FaultKind,
        problem: String,
        remedy: String,
    ) -> Parsed<T> {
        self.note(at, kind, problem, remedy);
        Err(Halt)
    }

    /// Whether more faults are noted than will be told.
    fn is_full(&self) -> bool {
        self.faults.len() >= lex::MAX_FAULTS
    }

    fn note(&mut self, at: Position, kind: FaultKind, problem: String, remedy: String) {
        if self.is_full() {
            self.full = true;
            return;
        }
        self.faults.push(Fault { at, len: 1, kind, problem, remedy });
    }
}

#[cfg(test)]
mod tests;
