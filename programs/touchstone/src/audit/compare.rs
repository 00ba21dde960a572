//! What of a log somebody received.

use super::read::each;
use crate::answer::{Answer, Answered, Failure};
use crate::cli::Filter;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

const DIGITS: usize = 64;
/// Octets of a line that are looked at.
const LINE: u64 = 1 << 20;
/// Ranges of missing entries that are listed.
const LISTED: usize = 1000;

pub(super) fn run(log: &Path, received: &Path, filter: &Filter) -> Answered {
    let mut times = hashes(received)?;
    let (mut entries, mut arrived, mut again) = (0_u64, 0_u64, 0_u64);
    let mut missing: Vec<(u64, u64)> = Vec::new();
    let more = each(log, filter, |entry| {
        entries += 1;
        match digits(entry.hash().as_bytes()).and_then(|hash| times.remove(&hash)) {
            Some(count) => {
                arrived += 1;
                again += u64::from(count) - 1;
            }
            None => match missing.last_mut() {
                Some((_, to)) if *to + 1 == entry.seq => *to = entry.seq,
                _ => missing.push((entry.seq, entry.seq)),
            },
        }
    })?;
    let lost = entries - arrived;
    let ranges: Vec<String> = missing.iter().take(LISTED).map(|range| shown(*range)).collect();
    let answer = Answer::new("touchstone.audit.compare/1")
        .good(lost == 0)
        .with("entries", entries)
        .with("received", arrived)
        .with("missing", lost)
        .with("missing_entries", ranges.clone())
        .with("duplicates", again)
        .with("more", more)
        .line(format_args!("{entries} entries: {arrived} received, {lost} missing, {again} again"));
    let answer =
        ranges.iter().fold(answer, |answer, range| answer.line(format_args!("missing {range}")));
    Ok(match (missing.len() > LISTED, more) {
        (true, _) => answer.word("there are more gaps than are listed; see --from"),
        (_, true) => answer.word("there are more entries than were compared; see --limit"),
        _ => answer,
    })
}

fn shown((from, to): (u64, u64)) -> String {
    if from == to { from.to_string() } else { format!("{from}-{to}") }
}

/// Every SHA-256 in hexadecimal that a file names, with how many lines do.
fn hashes(received: &Path) -> Result<HashMap<[u8; 32], u32>, Failure> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot read {}: {error}", received.display());
        Failure::unknown("touchstone.file.read", message, "check the path and who may read it")
    };
    let mut lines = BufReader::new(File::open(received).map_err(failed)?);
    let mut found = HashMap::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(found);
        }
        for word in line.split(|octet| !octet.is_ascii_hexdigit()) {
            if let Some(hash) = digits(word) {
                let times: &mut u32 = found.entry(hash).or_default();
                *times = times.saturating_add(1);
            }
        }
    }
}

fn digits(word: &[u8]) -> Option<[u8; 32]> {
    if word.len() != DIGITS {
        return None;
    }
    let mut hash = [0; 32];
    let nibble =
        |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (octet, pair) in hash.iter_mut().zip(word.chunks_exact(2)) {
        let (high, low) = (nibble(*pair.first()?)?, nibble(*pair.get(1)?)?);
        *octet = high << 4 | low;
    }
    Some(hash)
}
