//! Configuration files of the programs: TOML read whole, every fault told at once with its line and
//! what to do about it.
//!
//! A program asks a [`Section`] for each field it knows. What the file holds and nobody asked for is
//! a fault too, so a mistyped field can not be passed over in silence. What this is not: a place
//! for secrets (there is a [`SecretReference`] to one), or for defaults that a program does not print.
//!
//! ```
//! let text = "listen = '127.0.0.1:80'\n[limits]\nflow = 9\n";
//! let faults = touchstone_settings::read("edge.toml", text, |root| {
//!     let listen: Option<std::net::SocketAddr> = root.required("listen");
//!     let flows = root.section("limits").and_then(|limits| limits.integer("flows", 1..=64, 8));
//!     Some((listen?, flows?))
//! })
//! .unwrap_err();
//! assert_eq!(
//!     faults.to_string(),
//!     "edge.toml:3: no field named `flow` in [limits]; did you mean `flows`?"
//! );
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod nearest;
mod secret;
mod section;

pub use nearest::nearest;
pub use secret::SecretReference;
pub use section::Section;

use std::cell::RefCell;
use std::fmt;
use toml::de::DeTable;

/// The longest file that is read, in octets: a configuration is written by people.
pub const LONGEST: usize = 1 << 20;

/// Reads `text` with `check`, which asks the root [`Section`] for what the program knows.
///
/// `check` asks for everything first and gives up (`None`) last, so that all faults are found in
/// one run. `None` without a fault is a fault of its own.
pub fn read<T>(
    file: &str,
    text: &str,
    check: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Result<T, Faults> {
    let reader = Reader { file, text, faults: RefCell::default() };
    if text.len() > LONGEST {
        reader.fault(0, format!("longer than {LONGEST} octets; this is no configuration file"));
        return Err(reader.into_faults());
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, format!("{}; see https://toml.io", error.message().trim()));
        }
        return Err(reader.into_faults());
    }
    let checked = check(&Section::root(&reader, table.get_ref()));
    match checked {
        Some(checked) if reader.faults.borrow().is_empty() => Ok(checked),
        _ => Err(reader.into_faults()),
    }
}

/// One fault of a file: where, what, and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file as it was named.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub words: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.words)
    }
}

/// Every fault of a file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The faults.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        "settings.faults"
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
}

impl Reader<'_> {
    fn fault(&self, at: usize, words: String) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
        self.faults.borrow_mut().push(Fault { file: self.file.to_owned(), line, words });
    }

    fn into_faults(self) -> Faults {
        let mut faults = self.faults.into_inner();
        if faults.is_empty() {
            faults.push(Fault {
                file: self.file.to_owned(),
                line: 1,
                words: "incomplete; compare with what --print-default prints".to_owned(),
            });
        }
        faults.sort_by_key(|fault| fault.line);
        Faults(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    type Edge = (SocketAddr, u64, Duration, Vec<String>, bool);

    fn edge(text: &str) -> Result<Edge, Faults> {
        read("edge.toml", text, |root| {
            let listen = root.required("listen");
            let flows = root.integer("flows", 1..=64, 8);
            let age = root.duration("max_age", Duration::from_secs(10));
            let names = root.list("names");
            let loud = root.flag("loud", false);
            Some((listen?, flows?, age?, names?, loud?))
        })
    }

    fn words(text: &str) -> String {
        edge(text).unwrap_err().to_string()
    }

    #[test]
    fn a_good_file_is_read_with_its_defaults() {
        let (listen, flows, age, names, loud) =
            edge("listen = '[::1]:5'\nmax_age = '1500ms'\nnames = ['a', 'b']").unwrap();
        assert_eq!((listen.port(), flows, age), (5, 8, Duration::from_millis(1500)));
        assert_eq!((names, loud), (vec!["a".to_owned(), "b".to_owned()], false));
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_line() {
        assert_eq!(
            words("listen = 'nowhere'\nflows = 65\nmax_age = '3 parsecs'\nloudd = true\nnames = 3"),
            "edge.toml:1: `listen` is not usable: invalid socket address syntax\n\
             edge.toml:2: `flows` is 65; it may be 1 to 64\n\
             edge.toml:3: `max_age` is not a duration; write it as \"500ms\", \"30s\", \"5m\", \"12h\" or \"7d\"\n\
             edge.toml:4: no field named `loudd`; did you mean `loud`?\n\
             edge.toml:5: `names` is an integer; it must be an array of strings"
        );
    }

    #[test]
    fn a_missing_field_and_a_stray_section_are_faults() {
        assert_eq!(
            words("[tunnel]\nx = 1"),
            "edge.toml:1: `listen` is missing; --print-default shows it\n\
             edge.toml:1: no field named `tunnel`; remove it"
        );
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        let told = words("listen = '1.2.3.4:5'\nflows = = 3\n");
        assert!(told.starts_with("edge.toml:2: "), "{told}");
        assert!(words(&"x".repeat(LONGEST + 1)).contains("no configuration file"));
    }
}
