//! Counters by name on a real TPM.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests fail loudly")]

mod open;

use open::Open;
use touchstone_element::laws;
use touchstone_element::{Counting, Element, Error};
use touchstone_peers::Swtpm;

#[test]
fn counters_only_rise() {
    let swtpm = Swtpm::blank();
    laws::counters_only_rise(&mut || Box::new(swtpm.open()));
}

#[test]
fn a_counter_is_an_index_that_tpm2_tools_see_and_outlives_the_keys_folder_and_a_restart() {
    let mut swtpm = Swtpm::blank_tcp();
    let first = swtpm.open().increment("boots").unwrap();
    let listed = String::from_utf8(swtpm.tool(&["tpm2_nvreadpublic"])).unwrap();
    assert!(listed.contains("nt=0x1"), "{listed}");
    let index = listed.lines().next().unwrap().trim_end_matches(':').to_owned();
    let value = swtpm.tool(&["tpm2_nvread", &index, "-C", "o"]);
    assert_eq!(value, first.to_be_bytes());
    swtpm.tool(&["tpm2_nvincrement", &index, "-C", "o"]);
    swtpm.restart();
    let mut tpm = swtpm.open_as("another folder");
    assert_eq!(tpm.counter("boots").unwrap(), Some(first + 1));
    assert_eq!(tpm.increment("boots").unwrap(), first + 2);
    assert!(tpm.counting().is_some());
    drop(tpm);

    // Somebody else's index in its place is not counted with.
    swtpm.tool(&["tpm2_nvundefine", &index, "-C", "o"]);
    swtpm.tool(&["tpm2_nvdefine", &index, "-C", "o", "-a", "ownerread|ownerwrite|nt=counter"]);
    let mut tpm = swtpm.open();
    assert!(matches!(tpm.increment("boots"), Err(Error::BadInput(_))));
    assert!(matches!(tpm.delete_counter("boots"), Err(Error::BadInput(_))));
    drop(tpm);
    swtpm.tool(&["tpm2_nvundefine", &index, "-C", "o"]);
    swtpm.assert_nothing_is_loaded();
}
