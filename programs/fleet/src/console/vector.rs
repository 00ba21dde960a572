//! The trustworthiness vector as a picture: a ring of eight segments, one for each dimension of
//! AR4SI, in the colour of its tier.

use crate::api::types::VectorEntry;
use std::f64::consts::TAU;
use std::fmt::Write;

/// The dimensions in the order of draft-ietf-rats-ar4si §2.3.
const DIMENSIONS: [(&str, &str); 8] = [
    ("instance-identity", "identity"),
    ("configuration", "configuration"),
    ("executables", "executables"),
    ("file-system", "file system"),
    ("hardware", "hardware"),
    ("runtime-opaque", "runtime"),
    ("storage-opaque", "storage"),
    ("sourced-data", "sourced data"),
];

const CENTRE: (f64, f64) = (190.0, 150.0);
const OUTER: f64 = 94.0;
const INNER: f64 = 62.0;
const GAP: f64 = 0.035;

/// Inline SVG. `tier` stands in the middle; only known words and numbers reach the markup.
pub(crate) fn svg(vector: &[VectorEntry], tier: &str) -> String {
    let tier = known(tier);
    let mut svg = String::from(
        r#"<svg class="vector" viewBox="0 26 380 248" role="img" aria-label="Trustworthiness vector">"#,
    );
    for (index, (dimension, label)) in (0u8..).zip(DIMENSIONS) {
        let entry = vector.iter().find(|entry| same(&entry.dimension, dimension));
        let (tier, value) = entry.map_or(("none", 0), |entry| (known(&entry.tier), entry.value));
        let from = TAU * (f64::from(index) - 0.5) / 8.0 - TAU / 4.0;
        let (start, end) = (from + GAP, from + TAU / 8.0 - GAP);
        let (x, y) = point(from + TAU / 16.0, OUTER + 13.0);
        let anchor = match x - CENTRE.0 {
            dx if dx > 12.0 => "start",
            dx if dx < -12.0 => "end",
            _ => "middle",
        };
        // Writing to a string has no way to fail.
        let _ = write!(
            svg,
            r#"<path class="{tier}" d="{}"><title>{label}: {value}</title></path><text x="{x:.1}" y="{:.1}" text-anchor="{anchor}">{label}</text>"#,
            segment(start, end),
            y + 4.0,
        );
    }
    let (x, y) = CENTRE;
    let _ = write!(
        svg,
        r#"<text class="middle {tier}" x="{x}" y="{:.0}" text-anchor="middle">{tier}</text></svg>"#,
        y + 5.0
    );
    svg
}

fn segment(start: f64, end: f64) -> String {
    let (a, b) = (point(start, OUTER), point(end, OUTER));
    let (c, d) = (point(end, INNER), point(start, INNER));
    format!(
        "M{:.1} {:.1}A{OUTER} {OUTER} 0 0 1 {:.1} {:.1}L{:.1} {:.1}A{INNER} {INNER} 0 0 0 {:.1} {:.1}Z",
        a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1
    )
}

fn point(angle: f64, radius: f64) -> (f64, f64) {
    (CENTRE.0 + radius * angle.cos(), CENTRE.1 + radius * angle.sin())
}

/// Draft versions differ in `-` and `_`.
fn same(entry: &str, dimension: &str) -> bool {
    entry.replace('_', "-") == dimension
}

/// The class of a tier.
pub(crate) fn known(tier: &str) -> &'static str {
    match tier {
        "affirming" => "affirming",
        "warning" => "warning",
        "contraindicated" => "contraindicated",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dimension_is_drawn_in_its_colour_and_nothing_foreign_reaches_the_markup() {
        let entry = |dimension: &str, tier: &str| VectorEntry {
            dimension: dimension.into(),
            value: 96,
            name: "<b>".into(),
            tier: tier.into(),
        };
        let picture = svg(
            &[entry("executables", "contraindicated"), entry("file_system", "<script>")],
            "contraindicated",
        );
        assert_eq!(picture.matches("<path").count(), 8);
        assert_eq!(picture.matches(r#"<path class="contraindicated""#).count(), 1);
        assert_eq!(picture.matches(r#"<path class="none""#).count(), 7);
        assert!(!picture.contains("script") && !picture.contains("<b>"));
    }
}
