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

/// A PC that does nothing but hold a TPM, its registers at 0xFED4_0000.
pub struct Pc {
    swtpm: Child,
    qemu: Child,
    stream: BufReader<UnixStream>,
    dir: TempDir,
}

impl Pc {
    /// Switches it on. Nobody has started the TPM.
    pub fn start() -> Self {
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

    fn value(&mut self, kind: char, address: u32) -> u32 {
        let value = self.ask(format_args!("read{kind} {address:#x}"));
        u32::from_str_radix(value.trim_start_matches("0x"), 16).unwrap()
    }

    /// Reads from memory as a chipset does: four octets are a word, others come one by one, all from
    /// the same address.
    pub fn read(&mut self, address: u32, octets: &mut [u8]) {
        if let Ok(word) = <&mut [u8; 4]>::try_from(&mut *octets) {
            *word = self.value('l', address).to_le_bytes();
            return;
        }
        for octet in octets {
            *octet = u8::try_from(self.value('b', address)).unwrap();
        }
    }

    /// Writes to memory, as [`read`](Self::read) reads it.
    pub fn write(&mut self, address: u32, octets: &[u8]) {
        if let Ok(word) = octets.try_into() {
            self.ask(format_args!("writel {address:#x} {:#x}", u32::from_le_bytes(word)));
            return;
        }
        for octet in octets {
            self.ask(format_args!("writeb {address:#x} {octet:#x}"));
        }
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
