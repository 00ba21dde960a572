//! QEMU's `tpm-tis` device with swtpm behind it, reached over QEMU's test protocol (qtest): no
//! guest runs (`-S`), we read and write the device's registers from outside.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, thread};
use tempfile::TempDir;
use touchstone_tpm2::TransportError;
use touchstone_tpm2::tis::{Bus, Delay};

/// Where a PC has the TPM.
const BASE: u32 = 0xFED4_0000;
const FIFO: u16 = 0x024;

/// A PC that does nothing but hold a TPM.
pub(crate) struct Pc {
    swtpm: Child,
    qemu: Child,
    stream: BufReader<UnixStream>,
    dir: TempDir,
}

impl Pc {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut swtpm = spawn(
            Command::new("swtpm")
                .args(["socket", "--tpm2", "--tpmstate"])
                .arg(format!("dir={}", dir.path().display()))
                .arg("--ctrl")
                .arg(format!("type=unixio,path={}", at("control").display())),
            &at("swtpm.log"),
        );
        wait_for(&mut swtpm, || at("control").exists().then_some(()));
        let listener = UnixListener::bind(at("qtest")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut qemu = spawn(
            Command::new("qemu-system-x86_64")
                .args(["-machine", "q35,accel=tcg", "-S", "-display", "none", "-nodefaults"])
                .args(["-qtest-log", "none", "-qtest"])
                .arg(format!("unix:{}", at("qtest").display()))
                .arg("-chardev")
                .arg(format!("socket,id=c,path={}", at("control").display()))
                .args(["-tpmdev", "emulator,id=t,chardev=c", "-device", "tpm-tis,tpmdev=t"]),
            &at("qemu.log"),
        );
        let stream = wait_for(&mut qemu, || Some(listener.accept().ok()?.0));
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { swtpm, qemu, stream: BufReader::new(stream), dir }
    }

    /// One command of the test protocol and what follows its `OK`.
    fn ask(&mut self, command: fmt::Arguments<'_>) -> String {
        writeln!(self.stream.get_mut(), "{command}").unwrap();
        let mut line = String::new();
        while !line.starts_with("OK") {
            line.clear();
            let len = self.stream.read_line(&mut line).unwrap();
            let told = || std::fs::read_to_string(self.dir.path().join("qemu.log"));
            assert_ne!(len, 0, "QEMU ended: {:?}", told());
            // Interrupt lines tell of themselves in between.
            assert!(line.starts_with("OK") || line.starts_with("IRQ"), "{command}: {line}");
        }
        line.trim_start_matches("OK").trim().to_owned()
    }

    fn word(&mut self, kind: char, address: u32) -> u32 {
        let word = self.ask(format_args!("read{kind} {address:#x}"));
        u32::from_str_radix(word.trim_start_matches("0x"), 16).unwrap()
    }
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap_or_else(|error| {
        let program = command.get_program().display();
        panic!("{program}: {error}; run cargo xtask test, which installs it")
    })
}

fn wait_for<T>(child: &mut Child, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(child.try_wait().unwrap().is_none(), "a program ended before it was up");
        assert!(Instant::now() < until, "a program does not come up");
        thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Pc {
    fn drop(&mut self) {
        for child in [&mut self.qemu, &mut self.swtpm] {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The registers in the PC's memory: octets at the FIFO, words elsewhere, as a chipset has it.
impl Bus for Pc {
    type Error = TransportError;

    fn read(&mut self, address: u16, octets: &mut [u8]) -> Result<(), TransportError> {
        let at = BASE + u32::from(address);
        if address & 0xFFF != FIFO && octets.len() == 4 {
            octets.copy_from_slice(&self.word('l', at).to_le_bytes());
            return Ok(());
        }
        for octet in octets {
            *octet = u8::try_from(self.word('b', at)).unwrap();
        }
        Ok(())
    }

    fn write(&mut self, address: u16, octets: &[u8]) -> Result<(), TransportError> {
        let at = BASE + u32::from(address);
        if let (true, Ok(word)) = (address & 0xFFF != FIFO, octets.try_into()) {
            self.ask(format_args!("writel {at:#x} {:#x}", u32::from_le_bytes(word)));
            return Ok(());
        }
        for octet in octets {
            self.ask(format_args!("writeb {at:#x} {octet:#x}"));
        }
        Ok(())
    }
}

/// Time as it passes.
pub(crate) struct Sleep;

impl Delay for Sleep {
    fn micros(&mut self, micros: u32) {
        thread::sleep(Duration::from_micros(micros.into()));
    }
}
