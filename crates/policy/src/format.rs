//! The one layout of a policy. It moves words and keeps them, comments included: the text that
//! comes out loads as the same policy, and is its own layout.

use crate::Fault;
use crate::lex::{Comment, Placed, Token};
use crate::parse::{Mark, outline};
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::ops::Range;
use core::slice::Iter;

/// Characters of a line, where there is a place to break it.
const WIDTH: usize = 100;
/// In front of a clause.
const INDENT: usize = 2;
/// From a clause's word to what follows it.
const WORD: usize = 9;

/// Lays out a policy. The names in it need not mean anything; the text has to be of the grammar.
pub fn format(text: &str) -> Result<String, Vec<Fault>> {
    let (tokens, comments, marks) = outline(text)?;
    let mut layout = Layout {
        text,
        tokens: &tokens,
        bound: marks.iter().filter(|(_, mark)| *mark == Mark::Bound).map(|(at, _)| *at).collect(),
        comments: comments.iter().peekable(),
        out: String::with_capacity(text.len()),
        column: 0,
        last: None,
        line: 0,
    };
    let starts: Vec<(usize, Mark)> =
        marks.into_iter().filter(|(_, mark)| *mark != Mark::Bound).collect();
    let end = tokens.len().saturating_sub(1);
    for (index, (first, mark)) in starts.iter().enumerate() {
        let next = starts.get(index + 1).map_or(end, |(next, _)| *next);
        layout.put(*first, next, *mark);
    }
    layout.remarks(end, 0);
    Ok(layout.out)
}

struct Layout<'a> {
    text: &'a str,
    tokens: &'a [Placed],
    bound: Vec<usize>,
    comments: Peekable<Iter<'a, Comment<'a>>>,
    out: String,
    column: usize,
    /// The word of the last item, and whether it stands on one line.
    last: Option<(&'a str, bool)>,
    /// The line of the text on which the last comment of its own stood.
    line: u32,
}

impl<'a> Layout<'a> {
    /// One line of the layout: the tokens from `first` to before `next`.
    fn put(&mut self, first: usize, next: usize, mark: Mark) {
        let indent = if mark == Mark::Clause { INDENT } else { 0 };
        if mark == Mark::Item {
            self.part(first, next);
        }
        self.remarks(first, if mark == Mark::Item { 0 } else { INDENT });
        let hanging = match mark {
            Mark::Clause => INDENT + WORD,
            _ => INDENT,
        };
        self.space(indent);
        for at in first..next {
            let lexeme = self.lexeme(at);
            if at > first {
                self.between(first..next, at, lexeme, mark, hanging);
            }
            self.write(lexeme);
        }
        self.trailing(next);
        self.end_line();
    }

    /// What comes between a token of a line and the one before it.
    fn between(&mut self, line: Range<usize>, at: usize, lexeme: &str, mark: Mark, hanging: usize) {
        if self.interrupted(at, hanging) {
            return;
        }
        if mark == Mark::Clause && at == line.start + 1 {
            let word = self.lexeme(line.start).chars().count();
            self.space(WORD.saturating_sub(word).max(1));
            return;
        }
        let before = self.lexeme(at - 1);
        let close = matches!(lexeme, "," | ")" | "]") || matches!(before, "(" | "[");
        if close || self.bound.binary_search(&at).is_ok() {
            return;
        }
        let breaks = matches!(lexeme, "and" | "or") || matches!(before, "," | ":");
        if breaks && self.column + 1 + self.reach(at, line.end) > WIDTH {
            self.end_line();
            self.space(hanging);
        } else {
            self.space(1);
        }
    }

    /// Characters from a token to the next place where its line may break.
    fn reach(&self, at: usize, end: usize) -> usize {
        let mut reach = self.lexeme(at).chars().count();
        for next in at + 1..end {
            let lexeme = self.lexeme(next);
            if matches!(lexeme, "and" | "or") || reach > WIDTH {
                break;
            }
            reach += lexeme.chars().count() + 1;
            if matches!(lexeme, "," | ":") {
                break;
            }
        }
        reach
    }

    /// Puts the comments that stand inside a line; the line goes on below them.
    fn interrupted(&mut self, at: usize, hanging: usize) -> bool {
        let mut found = false;
        while let Some(comment) = self.comments.next_if(|comment| comment.before <= at) {
            if comment.alone || found {
                self.end_line();
                self.space(hanging);
            } else {
                self.space(2);
            }
            self.write(comment.text);
            found = true;
        }
        if found {
            self.end_line();
            self.space(hanging);
        }
        found
    }

    /// A comment behind the last token of a line.
    fn trailing(&mut self, next: usize) {
        let here = |comment: &&Comment<'_>| comment.before <= next && !comment.alone;
        if let Some(comment) = self.comments.next_if(here) {
            self.space(2);
            self.write(comment.text);
        }
    }

    /// Comments on lines of their own, before a line of the layout.
    fn remarks(&mut self, before: usize, indent: usize) {
        let mut line = 0;
        while let Some(comment) = self.comments.next_if(|comment| comment.before <= before) {
            let apart = line != 0 && comment.line > line + 1 && indent == 0;
            let closing = before + 1 == self.tokens.len() && !self.out.is_empty();
            if apart || (line == 0 && closing) {
                self.end_line();
            }
            line = comment.line;
            self.space(indent);
            self.write(comment.text);
            self.end_line();
        }
        self.line = line;
        let begins = self.tokens.get(before).map_or(0, |placed| placed.at.line);
        if line != 0 && indent == 0 && begins > line + 1 && before + 1 < self.tokens.len() {
            self.end_line();
        }
    }

    /// The empty line between items, except between short ones of one kind.
    fn part(&mut self, first: usize, next: usize) {
        let text = self.text;
        let word = self.tokens.get(first).and_then(|placed| text.get(placed.octets.clone()));
        let short = !self.tokens.get(next.saturating_sub(1)).is_some_and(|p| p.token.is("{"));
        let together = self.last.is_some_and(|(last, was)| was && short && word == Some(last));
        let commented = self.comments.peek().is_some_and(|comment| comment.before <= first);
        if self.last.is_some() && (!together || commented) {
            self.end_line();
        }
        // The words of items are those of the grammar, so they live as long as it does.
        let known = crate::parse::ITEMS.into_iter().find(|item| word == Some(item));
        self.last = Some((known.unwrap_or_default(), short));
    }

    fn lexeme(&self, at: usize) -> &'a str {
        let text = self.text;
        let placed = self.tokens.get(at).filter(|placed| placed.token != Token::End);
        placed.and_then(|placed| text.get(placed.octets.clone())).unwrap_or_default()
    }

    fn write(&mut self, lexeme: &str) {
        self.out.push_str(lexeme);
        self.column += lexeme.chars().count();
    }

    fn space(&mut self, count: usize) {
        self.out.extend(core::iter::repeat_n(' ', count));
        self.column += count;
    }

    fn end_line(&mut self) {
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
        self.out.push('\n');
        self.column = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;
    use crate::sample::{GATEWAY, catalog};

    #[test]
    fn the_example_is_laid_out_already() {
        assert_eq!(format(GATEWAY).unwrap(), GATEWAY);
    }

    #[test]
    fn everything_finds_its_place() {
        let text = "# head\n\n# of it\npolicy  p version 1 schema 1 # one\nreference a[1,\n2]  \
            reference b [ 3 ]\n# about c\ncontrol c{title \"t\" severity low # sev\n\n\n require \
            ima.violations in reference.a and # why\n # and why\n not (ima.violations in \
            reference.b)else executables warning\n # last\n}\ntest \"t\"{given runtime.code=[{pid \
            1,path \"a\"},{}] expect c fails}  # tail\n\n# end";
        let wanted = "# head\n\n# of it\npolicy p version 1 schema 1  # one\n\nreference a [1, 2]\n\
            reference b [3]\n\n# about c\ncontrol c {\n  title    \"t\"\n  severity low  # sev\n  \
            require  ima.violations in reference.a and  # why\n           # and why\n           not \
            (ima.violations in reference.b)\n  else     executables warning\n  # last\n}\n\ntest \
            \"t\" {\n  given    runtime.code = [{ pid 1, path \"a\" }, { }]\n  expect   c \
            fails\n}  # tail\n\n# end\n";
        let laid = format(text).unwrap();
        assert_eq!(laid, wanted);
        assert_eq!(format(&laid).unwrap(), laid);
        assert_eq!(Policy::parse(&laid, &catalog()), Policy::parse(text, &catalog()));
    }

    #[test]
    fn long_lines_break_where_they_may() {
        let long = "boot.command-line contains \"0123456789012345678901234567890123456789\"";
        let text = alloc::format!(
            "policy p version 1 schema 1 control c {{ title \"t\" severity low require {long} and \
             {long} or {long} else executables warning }}"
        );
        let laid = format(&text).unwrap();
        assert!(laid.lines().all(|line| line.chars().count() <= WIDTH), "{laid}");
        assert!(laid.contains("\n           and boot"), "{laid}");
        assert_eq!(format(&laid).unwrap(), laid);
    }

    #[test]
    fn what_is_not_of_the_grammar_has_no_layout() {
        for text in ["", "policy p version 1 schema 1 control c {", "policy p version 1 schema 1 $"]
        {
            assert!(format(text).is_err(), "{text}");
        }
        assert!(format("policy p version 1 schema 9 control c { require some.thing }").is_ok());
    }
}
