//! Status requests and responses: what is read can be written, and is read the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_certs::ocsp::{Request, Response};

fuzz_target!(|bytes: &[u8]| {
    let _ = Response::decode(bytes);
    if let Ok(path) = core::str::from_utf8(bytes) {
        let _ = Request::from_path(path);
    }
    let Ok(request) = Request::decode(bytes) else { return };
    let der = request.encode().expect("what was read can be written");
    assert_eq!(Request::decode(&der), Ok(request));
});
