//! The TSS' own resource manager, tpm2-abrmd, between many users and a software TPM: another one than
//! the kernel's, which `device.rs` has.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use touchstone_peers::Swtpm;
use touchstone_system::tpm_users::{self, Open};
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{Transport, TransportError};

const NAME: &str = "com.intel.tss2.Tabrmd";
const PATIENCE: Duration = Duration::from_secs(20);

/// A message bus of its own, and the resource manager on it.
struct Broker {
    bus: PathBuf,
    children: Vec<Child>,
}

impl Broker {
    fn start(swtpm: &Swtpm) -> Self {
        let bus = swtpm.dir.path().join("bus");
        let config = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy>\
             </busconfig>",
            bus.display()
        );
        let config = swtpm.write("bus.conf", config.as_bytes());
        let daemon =
            start(Command::new("dbus-daemon").args(["--nofork", "--config-file", &config]));
        let mut broker = Self { bus, children: vec![daemon] };
        wait("the message bus", || UnixStream::connect(&broker.bus).is_ok());
        let tcti = format!("--tcti={}", swtpm.tcti());
        let address = format!("unix:path={}", broker.bus.display());
        let abrmd = start(
            Command::new("tpm2-abrmd")
                .args(["--session", "--allow-root", &tcti])
                .env("DBUS_SESSION_BUS_ADDRESS", address),
        );
        broker.children.push(abrmd);
        wait("tpm2-abrmd", || broker.connect().is_ok());
        broker
    }

    fn connect(&self) -> Result<Managed> {
        let mut bus = Bus::connect(&self.bus)?;
        let stream = UnixStream::from(bus.descriptor("/com/intel/tss2/Tabrmd/Tcti")?);
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Managed { stream, _bus: bus })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn start(command: &mut Command) -> Child {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().unwrap_or_else(|error| {
        panic!("{}: {error}; cargo xtask test installs it", quiet.get_program().display())
    })
}

fn wait(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if there() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} does not start");
}

/// As much of a D-Bus client as it takes to ask for a descriptor (D-Bus Specification).
struct Bus {
    stream: UnixStream,
    serial: u32,
}

impl Bus {
    fn connect(path: &Path) -> Result<Self> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // The user's number in decimal digits, and those in hexadecimal.
        let user = rustix::process::getuid().as_raw().to_string();
        let user = user.bytes().fold(String::new(), |hex, digit| hex + &format!("{digit:02x}"));
        stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        line(&mut stream, "OK ")?;
        stream.write_all(b"NEGOTIATE_UNIX_FD\r\n")?;
        line(&mut stream, "AGREE_UNIX_FD")?;
        stream.write_all(b"BEGIN\r\n")?;
        let mut bus = Self { stream, serial: 0 };
        let interface = "org.freedesktop.DBus";
        bus.call("/org/freedesktop/DBus", interface, "Hello", interface)?;
        Ok(bus)
    }

    /// Calls a method without arguments.
    fn call(&mut self, path: &str, interface: &str, member: &str, destination: &str) -> Result<()> {
        self.serial += 1;
        let mut fields = Vec::new();
        for (number, signature, text) in
            [(1, b'o', path), (2, b's', interface), (3, b's', member), (6, b's', destination)]
        {
            pad(&mut fields);
            fields.extend([number, 1, signature, 0]);
            fields.extend(u32::try_from(text.len())?.to_le_bytes());
            fields.extend(text.as_bytes());
            fields.push(0);
        }
        // Little endian, a call, no flags, version 1, no body.
        let mut message = vec![b'l', 1, 0, 1, 0, 0, 0, 0];
        message.extend(self.serial.to_le_bytes());
        message.extend(u32::try_from(fields.len())?.to_le_bytes());
        message.extend(fields);
        pad(&mut message);
        Ok(self.stream.write_all(&message)?)
    }

    /// Asks the resource manager for a connection: what comes first of the descriptors in its answer.
    fn descriptor(&mut self, path: &str) -> Result<OwnedFd> {
        self.call(path, "com.intel.tss2.TctiTabrmd", "CreateConnection", NAME)?;
        loop {
            let mut octets = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut more = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut octets)];
            let len = recvmsg(&self.stream, &mut into, &mut more, RecvFlags::CMSG_CLOEXEC)?.bytes;
            ensure!(len > 0, "the message bus hung up");
            for message in more.drain() {
                if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                    return descriptors.next().context("no descriptor");
                }
            }
            let text = String::from_utf8_lossy(&octets[..len]);
            ensure!(!text.contains(".Error."), "the message bus: {text:?}");
        }
    }
}

fn pad(octets: &mut Vec<u8>) {
    octets.resize(octets.len().next_multiple_of(8), 0);
}

fn line(stream: &mut UnixStream, expected: &str) -> Result<()> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet)?;
        line.extend(octet);
    }
    let line = String::from_utf8_lossy(&line);
    if line.starts_with(expected) { Ok(()) } else { bail!("{line:?} instead of {expected:?}") }
}

/// The resource manager's descriptor.
struct Managed {
    stream: UnixStream,
    _bus: Bus,
}

impl Transport for Managed {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        self.stream.write_all(command)?;
        self.stream.read_exact(&mut response[..10])?;
        let len = u32::from_be_bytes(response[2..6].try_into().unwrap()) as usize;
        let rest = response.get_mut(10..len).ok_or(TransportError::Malformed("a wild size"))?;
        self.stream.read_exact(rest)?;
        Ok(len)
    }

    fn pause(&mut self, millis: u32) {
        std::thread::sleep(Duration::from_millis(millis.into()));
    }

    fn is_managed(&self) -> bool {
        true
    }
}

/// `TPM2_StartAuthSession`: unsalted, unbound, policy, no cipher, SHA-256 (TPM 2.0 Part 3 §11.1).
const START_SESSION: &[u8] = &[
    0x80, 0x01, 0, 0, 0, 59, 0, 0, 0x01, 0x76, 0x40, 0, 0, 0x07, 0x40, 0, 0, 0x07, 0, 32, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 1,
    0, 0x10, 0, 0x0B,
];

#[test]
fn many_use_a_tpm_at_once_through_tpm2_abrmd_and_leave_nothing() {
    const USERS: usize = 8;
    let swtpm = Swtpm::blank_tcp();
    let broker = Broker::start(&swtpm);
    let open: &Open<'_> = &|| Ok(Box::new(broker.connect()?));
    tpm_users::provision(open).unwrap();
    let seen = tpm_users::crowd(open, USERS, 5).unwrap();
    assert_eq!((seen.objects, seen.sessions), (2 * USERS, 2 * USERS));
    assert_eq!(seen.right, 4 * 5 * USERS);
    tpm_users::unknown_command(open).unwrap();
    let objects = tpm_users::greedy(open).unwrap();
    eprintln!("{objects} objects for one");
    assert!(objects > 3, "more than the TPM has places for: {objects}");
    // A user that goes without a word, and leaves a session behind.
    let mut killed = open().unwrap();
    assert_eq!(killed.transact(START_SESSION, &mut [0; 4096]).unwrap(), 48);
    drop(killed);
    tpm_users::crowd(open, 2, 1).unwrap();
    // The resource manager tidies up beside the users that are there.
    std::thread::sleep(Duration::from_millis(500));
    drop(broker);
    let left = tpm_users::left(&|| Ok(Box::new(Stream::tcp(swtpm.address())?))).unwrap();
    assert_eq!(left, Vec::<u32>::new());
}
