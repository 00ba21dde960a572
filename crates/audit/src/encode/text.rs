//! Text that is safe in a line, and how much of it fits.

use crate::{Code, Entry};
use std::fmt::Write;

/// A name of ours in a header: printable ASCII without blanks, or `-`.
pub(super) fn word(text: &str, max: usize) -> String {
    let text: String = text.chars().filter(char::is_ascii_graphic).take(max).collect();
    if text.is_empty() { "-".into() } else { text }
}

/// Characters that steer a terminal, break a line or turn the direction of writing become visible:
/// a value must not look like a message of its own, nor like another one.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            let _ = write!(shown, "<{:02x}>", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Controls, separators of lines and paragraphs, and what Unicode Annex 9 calls explicit
/// directional formatting.
pub(super) const fn steers(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The code: one of ours, or what a later version wrote, as far as it can be shown.
pub(super) fn code(entry: &Entry) -> String {
    printable(&entry.code).chars().take(64).collect()
}

/// What happened, in words.
pub(super) fn about(entry: &Entry) -> String {
    Code::from_name(&entry.code).map_or_else(|| code(entry), |code| code.about().to_owned())
}

/// The subject, short enough for a headline.
pub(super) fn subject(entry: &Entry) -> String {
    printable(&entry.subject).chars().take(128).collect()
}

/// The circumstances as they can be shown, as long as together they cost no more than `room`
/// octets by that measure; and whether some were left out.
pub(super) fn fitting(
    entry: &Entry,
    room: usize,
    cost: impl Fn(&str, &str) -> usize,
) -> (Vec<(&str, String)>, bool) {
    let mut left = room;
    let mut shown = Vec::new();
    for (name, value) in &entry.detail {
        let value = printable(value);
        let Some(rest) = left.checked_sub(cost(name, &value)) else { return (shown, true) };
        left = rest;
        shown.push((name.as_str(), value));
    }
    (shown, false)
}

/// Octets that a string takes in JSON, with its quotes.
pub(super) fn in_json(text: &str) -> usize {
    text.chars().map(|c| if matches!(c, '"' | '\\') { 2 } else { c.len_utf8() }).sum::<usize>() + 2
}

/// RFC 3339 in UTC, from Unix seconds; the nil value beyond the year 9999.
pub(super) fn timestamp(time: u64) -> String {
    let (days, second) = (time / 86_400, time % 86_400);
    let Some((year, month, day)) = date(days) else { return "-".into() };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date of a day since 1970: whole cycles of 400 years, then years that start in
/// March, so that a leap day comes last.
fn date(days: u64) -> Option<(u64, u64, u64)> {
    if days >= 2_932_897 {
        return None;
    }
    let shifted = days + 719_468;
    let (cycle, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    Some((cycle * 400 + year + next, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_in_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "-"),
            (u64::MAX, "-"),
        ];
        for (time, text) in cases {
            assert_eq!(timestamp(time), text);
        }
    }

    #[test]
    fn what_steers_a_terminal_or_a_reader_is_shown() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{9b}2J\u{7f}"), "a<1b>[31m<0a>b<9b>2J<7f>");
        assert_eq!(printable("exe\u{202e}gpj\u{2028}é€"), "exe<202e>gpj<2028>é€");
    }
}
