//! "Did you mean": the known word that a mistyped one is closest to.

/// The word of `known` nearest to `word`, if it is near enough to be what was meant.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = word.chars().count().div_ceil(3).clamp(1, 4);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in characters; words beyond 64 characters are never near.
fn distance(from: &str, to: &str) -> usize {
    if from.len() > 64 || to.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, a) in from.chars().enumerate() {
        let mut left = index + 1;
        let mut above_left = index;
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let best = (above_left + usize::from(a != b)).min(left + 1).min(*cell + 1);
            above_left = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_a_stranger_is_not() {
        let known = ["interval", "watch", "event_log"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("wacth", known), Some("watch"));
        assert_eq!(nearest("eventlog", known), Some("event_log"));
        assert_eq!(nearest("broker", known), None);
        assert_eq!((distance("", "abc"), distance("abc", "")), (3, 3));
    }
}
