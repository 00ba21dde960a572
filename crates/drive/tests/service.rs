//! A service manager hears that we are ready and alive, and silence when a loop hangs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};
use touchstone_drive::{Pulse, ServiceManager};

const WATCHDOG: Duration = Duration::from_millis(300);

struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
    path: OsString,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self { socket, path: path.into(), _folder: folder }
    }

    fn hears(&self) -> String {
        let mut heard = [0; 512];
        let len = self.socket.recv(&mut heard).unwrap();
        String::from_utf8(heard[..len].to_vec()).unwrap()
    }

    fn hears_nothing_for(&self, time: Duration) -> bool {
        let mut heard = [0; 512];
        let until = Instant::now() + time;
        self.socket.set_nonblocking(true).unwrap();
        while Instant::now() < until {
            if self.socket.recv(&mut heard).is_ok() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn forget_what_was_heard(&self) {
        let mut heard = [0; 512];
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut heard).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn the_manager_hears_in_one_line_what_is_said_in_words() {
    let manager = Manager::new();
    let service = ServiceManager::at(&manager.path, None).unwrap();
    service.ready("serving\nWATCHDOG=1").unwrap();
    assert_eq!(manager.hears(), "READY=1\nSTATUS=serving WATCHDOG=1");
    service.status("waiting").unwrap();
    assert_eq!(manager.hears(), "STATUS=waiting");
    service.stopping().unwrap();
    assert_eq!(manager.hears(), "STOPPING=1");
}

#[test]
fn an_abstract_socket_is_found() {
    let name = format!("touchstone-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    ServiceManager::at(format!("@{name}").as_ref(), None).unwrap().stopping().unwrap();
    let mut heard = [0; 16];
    assert_eq!(socket.recv(&mut heard).unwrap(), 10);
}

#[test]
fn a_loop_that_turns_is_alive_and_one_that_blocks_its_thread_is_silent() {
    let manager = Manager::new();
    let service = ServiceManager::at(&manager.path, Some(WATCHDOG)).unwrap();
    let (block, blocked) = std::sync::mpsc::channel::<()>();
    let main = std::thread::spawn(move || {
        runtime().block_on(async {
            tokio::select! {
                () = service.keep_alive(&[]) => {}
                () = async {
                    loop {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        if blocked.try_recv().is_ok() {
                            // The main loop waits for something that does not come.
                            let _ = blocked.recv();
                            return;
                        }
                    }
                } => {}
            }
        });
    });
    for _ in 0..3 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    block.send(()).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    manager.forget_what_was_heard();
    assert!(manager.hears_nothing_for(WATCHDOG * 2));
    drop(block);
    main.join().unwrap();
}

#[test]
fn a_loop_that_hangs_beside_a_runtime_that_turns_is_silent_too() {
    let manager = Manager::new();
    let service = ServiceManager::at(&manager.path, Some(WATCHDOG)).unwrap();
    let pulse = Pulse::new(WATCHDOG);
    runtime().block_on(async {
        let life = async {
            for _ in 0..10 {
                pulse.beat();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(manager.hears(), "WATCHDOG=1");
            // From here on the loop hangs.
            tokio::time::sleep(WATCHDOG * 2).await;
            manager.forget_what_was_heard();
            tokio::time::sleep(WATCHDOG * 2).await;
            assert!(manager.hears_nothing_for(Duration::from_millis(1)));
        };
        tokio::select! {
            () = service.keep_alive(std::slice::from_ref(&pulse)) => {}
            () = life => {}
        }
    });
}
