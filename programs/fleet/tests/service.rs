//! The fleet as a service: its manager hears that it is ready, alive, and about to end.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use support::{Lab, Party};
use touchstone_certs::issue::Kind;

#[test]
fn the_service_manager_hears_that_the_fleet_is_ready_alive_and_stopping() {
    let mut lab = Lab::new(&Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap());
    let path = lab.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let hears = || {
        let mut heard = [0; 512];
        let len = manager.recv(&mut heard).unwrap();
        String::from_utf8(heard[..len].to_vec()).unwrap()
    };
    lab.environment.push(("NOTIFY_SOCKET", path.display().to_string()));
    lab.environment.push(("WATCHDOG_USEC", "600000".into()));
    lab.kill_and_restart();
    let ready = hears();
    assert_eq!(ready, format!("READY=1\nSTATUS=serves devices at {}", lab.device));
    for _ in 0..3 {
        assert_eq!(hears(), "WATCHDOG=1");
    }
    assert!(lab.terminate().success());
    while hears() != "STOPPING=1" {}
}
