//! What a verb ends with, and how that is shown.

use serde_json::{Map, Value};
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// An answer: good, or no.
#[derive(Debug)]
pub(crate) struct Answer {
    good: bool,
    schema: &'static str,
    data: Map<String, Value>,
    text: String,
    raw: String,
    octets: Zeroizing<Vec<u8>>,
    words: Vec<String>,
}

impl Answer {
    /// A good answer whose JSON has this schema.
    pub(crate) fn new(schema: &'static str) -> Self {
        Self {
            good: true,
            schema,
            data: Map::new(),
            text: String::new(),
            raw: String::new(),
            octets: Zeroizing::default(),
            words: Vec::new(),
        }
    }

    /// The same, but the answer is no unless `good`.
    pub(crate) fn good(mut self, good: bool) -> Self {
        self.good = good;
        self
    }

    /// A member of the JSON object.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.into(), value.into());
        self
    }

    /// Every member of an object that came from elsewhere.
    pub(crate) fn with_all(mut self, members: Map<String, Value>) -> Self {
        self.data.extend(members);
        self
    }

    /// A line of data for people.
    pub(crate) fn line(mut self, line: impl fmt::Display) -> Self {
        self.text.push_str(&line.to_string());
        self.text.push('\n');
        self
    }

    /// Octets that are the data, as they are; in JSON the member `hex`.
    pub(crate) fn octets(mut self, octets: &[u8]) -> Self {
        self.octets = Zeroizing::new(octets.to_vec());
        self
    }

    /// Lines of data that are safe for terminals and have to stay as they are.
    pub(crate) fn lines_as_they_are(mut self, lines: &str) -> Self {
        self.raw.push_str(lines);
        self
    }

    /// A line of words beside the data.
    pub(crate) fn word(mut self, words: impl fmt::Display) -> Self {
        self.words.push(words.to_string());
        self
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    usage: bool,
    code: String,
    message: String,
    next: String,
}

impl Failure {
    /// The question was not put right.
    pub(crate) fn usage(message: impl fmt::Display, next: impl fmt::Display) -> Self {
        let (message, next) = (message.to_string(), next.to_string());
        Self { usage: true, code: "touchstone.usage".into(), message, next }
    }

    /// The question could not be answered.
    pub(crate) fn unknown(code: &str, message: impl fmt::Display, next: impl fmt::Display) -> Self {
        let (message, next) = (message.to_string(), next.to_string());
        Self { usage: false, code: code.into(), message, next }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "touchstone: {}; {} ({})", self.message, self.next, self.code)
    }
}

/// The end of a verb.
pub(crate) type Answered = Result<Answer, Failure>;

/// Shows the end of a verb and gives its exit code.
pub(crate) fn finish(answered: Answered, json: bool) -> ExitCode {
    let code = match &answered {
        Ok(answer) => u8::from(!answer.good),
        Err(failure) if failure.usage => 2,
        Err(_) => 3,
    };
    let shown = match answered {
        Ok(answer) => show(answer, json),
        Err(failure) => writeln!(io::stderr(), "{}", plain(&failure.to_string())),
    };
    match shown {
        // Whoever reads stopped reading, as `head` does; the answer stands.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(3),
        _ => ExitCode::from(code),
    }
}

fn show(answer: Answer, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let mut object = Map::new();
        object.insert("schema".into(), answer.schema.into());
        object.insert("good".into(), answer.good.into());
        object.extend(answer.data);
        if !answer.octets.is_empty() {
            object.insert("hex".into(), hex(&answer.octets).into());
        }
        serde_json::to_writer_pretty(&mut out, &Value::Object(object))?;
        writeln!(out)?;
    } else {
        out.write_all(plain(&answer.text).as_bytes())?;
        out.write_all(answer.raw.as_bytes())?;
        out.write_all(&answer.octets)?;
    }
    out.flush()?;
    let mut err = io::stderr().lock();
    for words in &answer.words {
        writeln!(err, "{}", plain(words))?;
    }
    Ok(())
}

/// Text that came from devices, files and servers must not steer the terminal.
fn plain(text: &str) -> String {
    let shown = |c: char| {
        let steers = c.is_control() && !matches!(c, '\n' | '\t');
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers || turns { '\u{fffd}' } else { c }
    };
    text.chars().map(shown).collect()
}

/// Octets in hexadecimal.
pub(crate) fn hex(octets: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect()
}

/// Columns of text, each as wide as its widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n\u{202e}"), "a\u{fffd}[2Jb\n\u{fffd}");
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(table(&[row(["a", "b"]), row(["long", ""])]), "a     b\nlong");
    }
}
