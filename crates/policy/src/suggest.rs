//! "Did you mean": the known word that is nearest to a mistyped one.

use alloc::vec::Vec;

/// The candidate with the fewest edits to `word`, if that is few for its length.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A longer word is no typing mistake, and the cost below is the product of the lengths.
    if word.len() > 80 {
        return None;
    }
    let allowed = (word.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits between the words: insert, delete, replace, or swap two neighbours.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (row, c) in a.chars().enumerate() {
        let mut current = Vec::with_capacity(b.len() + 1);
        let mut left = row + 1;
        current.push(left);
        let mut previous = None;
        for (column, &d) in b.iter().enumerate() {
            let at = |line: &[usize], index| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut edits = (at(&above, column) + usize::from(c != d))
                .min(at(&above, column + 1) + 1)
                .min(left + 1);
            if last == Some(d) && previous == Some(c) {
                edits = edits.min(at(&before, column.wrapping_sub(1)) + 1);
            }
            current.push(edits);
            left = edits;
            previous = Some(d);
        }
        before = core::mem::replace(&mut above, current);
        last = Some(c);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("boot.hsah", "boot.hash"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }

    #[test]
    fn only_a_likely_word_is_suggested() {
        let words = ["boot.secure-boot", "boot.digest", "agent.version"];
        assert_eq!(nearest("boot.secureboot", words), Some("boot.secure-boot"));
        assert_eq!(nearest("agent.verison", words), Some("agent.version"));
        assert_eq!(nearest("network.up", words), None);
    }
}
