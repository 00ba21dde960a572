//! The fleet's feed of results as a checkpoint reads it, cut anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_checkpoint::feed::{Line, Lines, Malformed};

fuzz_target!(|data: &[u8]| {
    // The first octet says how long the pieces are.
    let Some((&size, bytes)) = data.split_first() else { return };
    let heard = |size: usize| {
        let mut lines = Lines::default();
        let mut heard = Vec::new();
        for piece in bytes.chunks(size) {
            let taken: Result<(), Malformed> = lines.push(piece, |line| {
                heard.push(Line::decode(line));
                Ok(())
            });
            if taken.is_err() {
                break;
            }
        }
        heard
    };
    assert_eq!(heard(usize::from(size) + 1), heard(bytes.len().max(1)));
});
