//! The quarantine in a kernel: a network namespace with a wire between two ends.

use super::*;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const WORDS: &str = "needs root, `ip` and `nft`: run cargo xtask test, which installs them";

fn sh(script: &str) {
    let done = Command::new("sh").args(["-ec", script]).output().expect(WORDS);
    assert!(done.status.success(), "{WORDS}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A network namespace, for as long as the process that sits in it. Namespaces with names
/// (`ip netns`) need a `/` that is a mount point, which a chroot has not.
struct Space(std::process::Child);

impl Space {
    fn new() -> Self {
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let space = Self(Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap());
        let entered = || std::fs::read_link(space.file()).is_ok_and(|other| other != own);
        for _ in 0..500 {
            if entered() {
                return space;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{WORDS}: no network namespace was made");
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.id())
    }

    /// `program` as it is called inside.
    fn enter(&self, program: &str) -> String {
        format!("nsenter --net={} {program}", self.file())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

/// Two namespaces and a wire: the device (10.99.0.2) and the rest of the world (10.99.0.1).
struct Wire {
    device: Space,
    world: Space,
}

impl Wire {
    fn new() -> Self {
        let wire = Self { device: Space::new(), world: Space::new() };
        let (device, world) = (wire.device.enter("ip"), wire.world.enter("ip"));
        sh(&format!(
            "{device} link add tsv0 type veth peer name tsv1 netns {peer};
             {device} addr add 10.99.0.2/24 dev tsv0; {device} link set tsv0 up;
             {world} addr add 10.99.0.1/24 dev tsv1; {world} link set tsv1 up;
             {device} link set lo up; {world} link set lo up",
            peer = wire.world.id(),
        ));
        wire
    }

    /// A responder whose `nft` works in the device's namespace.
    fn responder(&self, state: &State) -> Responder {
        let nft = state.path("nft");
        if !nft.exists() {
            let script = format!(
                "#!/bin/sh\nPATH=/usr/sbin:/sbin:/usr/bin:/bin\nexport PATH\nexec {} \"$@\"\n",
                self.device.enter("nft")
            );
            state::write_new(&nft, script.as_bytes(), 0o755).unwrap();
        }
        // The wrapper finds its programs by PATH, which a cleared environment has not.
        let (responder, failed) = Responder::resume(&nft, state).unwrap();
        assert!(failed.is_none(), "{failed:?}");
        responder
    }

    /// Runs `work` on a thread inside a namespace.
    fn inside<T: Send + 'static>(space: &Space, work: impl FnOnce() -> T + Send + 'static) -> T {
        let file = std::fs::File::open(space.file()).expect(WORDS);
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

#[test]
fn quarantine_leaves_the_fleet_reachable_and_nothing_else_and_is_taken_back() {
    let wire = Wire::new();
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
    sh(&wire.device.enter("nft flush ruleset"));
    assert!(wire.reaches(1883));
    let mut restarted = wire.responder(&state);
    assert_eq!(restarted.current().unwrap().since, 7);
    assert!(!wire.reaches(1883));
    sh(&wire.device.enter("nft flush ruleset"));
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
