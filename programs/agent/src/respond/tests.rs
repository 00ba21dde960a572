//! The quarantine in a kernel: a network namespace with a wire between two ends.

use super::*;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const WORDS: &str = "needs root, `ip` and `nft`: run cargo xtask test, which installs them";

fn sh(script: &str) {
    let done = Command::new("sh").args(["-ec", script]).output().expect(WORDS);
    assert!(done.status.success(), "{WORDS}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Two namespaces and a wire: the device (10.99.0.2) and the rest of the world (10.99.0.1).
struct Wire {
    device: String,
    world: String,
}

impl Wire {
    fn new(name: &str) -> Self {
        let unique = format!("{name}{}", std::process::id());
        let wire = Self { device: format!("tsd-{unique}"), world: format!("tsw-{unique}") };
        let (device, world) = (&wire.device, &wire.world);
        sh(&format!(
            "ip netns add {device}; ip netns add {world};
             ip -n {device} link add tsv0 type veth peer name tsv1 netns {world};
             ip -n {device} addr add 10.99.0.2/24 dev tsv0; ip -n {device} link set tsv0 up;
             ip -n {world} addr add 10.99.0.1/24 dev tsv1; ip -n {world} link set tsv1 up;
             ip -n {device} link set lo up; ip -n {world} link set lo up"
        ));
        wire
    }

    /// A responder whose `nft` works in the device's namespace.
    fn responder(&self, state: &State) -> Responder {
        let nft = state.path("nft");
        if !nft.exists() {
            let script = format!(
                "#!/bin/sh\nPATH=/usr/sbin:/sbin:/usr/bin:/bin\nexport PATH\nexec ip netns exec {} nft \"$@\"\n",
                self.device
            );
            state::write_new(&nft, script.as_bytes(), 0o755).unwrap();
        }
        // The wrapper finds its programs by PATH, which a cleared environment has not.
        let (responder, failed) = Responder::resume(&nft, state).unwrap();
        assert!(failed.is_none(), "{failed:?}");
        responder
    }

    /// Runs `work` on a thread inside a namespace.
    fn inside<T: Send + 'static>(namespace: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
        let file = std::fs::File::open(format!("/run/netns/{namespace}")).expect(WORDS);
        std::thread::spawn(move || {
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(kind))
                .expect(WORDS);
            work()
        })
        .join()
        .unwrap()
    }

    fn listen(&self, port: u16) -> TcpListener {
        Self::inside(&self.world, move || TcpListener::bind(("10.99.0.1", port)).unwrap())
    }

    fn reaches(&self, port: u16) -> bool {
        Self::inside(&self.device, move || {
            let there = SocketAddr::from(([10, 99, 0, 1], port));
            TcpStream::connect_timeout(&there, Duration::from_millis(700)).is_ok()
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let (device, world) = (&self.device, &self.world);
        sh(&format!("ip netns del {device}; ip netns del {world}"));
    }
}

#[test]
fn quarantine_leaves_the_fleet_reachable_and_nothing_else_and_is_taken_back() {
    let wire = Wire::new("q");
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    let (_fleet, _other) = (wire.listen(8443), wire.listen(1883));
    let allow = ["10.99.0.1:8443".parse().unwrap()];
    let mut responder = wire.responder(&state);
    assert!(wire.reaches(8443) && wire.reaches(1883));

    assert!(responder.quarantine(&allow, "code patched", 7).unwrap());
    assert!(wire.reaches(8443), "management must stay open");
    assert!(!wire.reaches(1883));
    assert!(!responder.quarantine(&allow, "again", 8).unwrap(), "idempotent");

    // An agent that was killed knows what it had done, and does it again where it is undone.
    sh(&format!("ip netns exec {} nft flush ruleset", wire.device));
    assert!(wire.reaches(1883));
    let mut restarted = wire.responder(&state);
    assert_eq!(restarted.current().unwrap().since, 7);
    assert!(!wire.reaches(1883));
    sh(&format!("ip netns exec {} nft flush ruleset", wire.device));
    assert!(restarted.quarantine(&allow, "still", 9).unwrap(), "a flushed table is put back");
    assert!(!wire.reaches(1883));

    assert!(restarted.release().unwrap());
    assert!(!restarted.release().unwrap());
    assert!(wire.reaches(1883));
    assert!(wire.responder(&state).current().is_none());
}

#[test]
fn a_quarantine_that_locks_everybody_out_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    let (mut responder, _) = Responder::resume(Path::new("/nonexistent/nft"), &state).unwrap();
    let error = responder.quarantine(&[], "x", 1).unwrap_err();
    assert_eq!(error.code(), "agent.respond.nothing-allowed");
    let error = responder.quarantine(&["192.0.2.1:1".parse().unwrap()], "x", 1).unwrap_err();
    assert_eq!(error.code(), "agent.respond.nft-missing");
    assert!(responder.current().is_none());
}
