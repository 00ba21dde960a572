//! What a product adds to the words of policies, and a policy behind its base: nothing panics, and every
//! place in the whole leads back to a file. The base stands after the first line that is `---`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::convert::Infallible;
use touchstone_appraise::{catalog, extension};
use touchstone_policy::{Bundle, Policy};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let words = extension::extend(catalog(), text);
    let catalog = words.unwrap_or_else(|_| catalog());
    let (site, base) = text.split_once("\n---\n").unwrap_or((text, ""));
    let find = |_: &str| -> Result<_, Infallible> { Ok(Some(("base".into(), base.into()))) };
    let Ok(bundle) = Bundle::gather("site", site.into(), find);
    if let Err(faults) = Policy::parse(bundle.text(), &catalog) {
        for fault in &faults {
            let (file, at) = bundle.place(fault.at);
            assert!(matches!(file, "site" | "base") && at.line > 0);
            let _ = fault.excerpt(bundle.text());
        }
    }
});
