//! A software TPM of its own for each test, and tpm2-tools beside it.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use touchstone_element_tpm2::Tpm;

/// How the TPM is reached.
enum At {
    Unix(PathBuf),
    Tcp(u16),
}

/// A running swtpm; it goes when this is dropped, and its state with it.
pub(crate) struct Swtpm {
    child: Child,
    at: At,
    pub(crate) dir: TempDir,
}

fn run(command: &mut Command) -> Vec<u8> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| {
        panic!("{program}: {error}; run cargo xtask test, which installs it")
    });
    let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {err}{}", String::from_utf8_lossy(out));
    output.stdout
}

/// Runs a program that has to succeed; its standard output.
pub(crate) fn tool(program: &str, folder: &Path, arguments: &[&str]) -> Vec<u8> {
    run(Command::new(program).current_dir(folder).args(arguments))
}

impl Swtpm {
    /// An empty TPM at a Unix socket.
    pub(crate) fn blank() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start(dir, false)
    }

    /// An empty TPM at two TCP ports, as tpm2-tools want it.
    pub(crate) fn blank_tcp() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start(dir, true)
    }

    /// A TPM with endorsement keys and certificates of its maker, at TCP ports.
    pub(crate) fn manufactured() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let options = "--tpm-manufacturer IBM --tpm-model swtpm --tpm-version 2\n\
                       --platform-manufacturer Test --platform-model Test --platform-version 1\n";
        std::fs::write(at("options"), options).unwrap();
        let ca = format!(
            "statedir = {0}\nsigningkey = {0}/signkey.pem\nissuercert = {0}/issuercert.pem\n\
             certserial = {0}/certserial\n",
            dir.path().display()
        );
        std::fs::write(at("localca.conf"), ca).unwrap();
        let setup = format!(
            "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {}\n\
             create_certs_tool_options = {}\nactive_pcr_banks = sha256\n",
            at("localca.conf"),
            at("options")
        );
        std::fs::write(at("setup.conf"), setup).unwrap();
        let state = dir.path().display().to_string();
        let config = at("setup.conf");
        let arguments = [
            "--tpm2",
            "--tpmstate",
            &state,
            "--config",
            &config,
            "--create-ek-cert",
            "--overwrite",
        ];
        tool("swtpm_setup", dir.path(), &arguments);
        Self::start(dir, true)
    }

    fn start(dir: TempDir, tcp: bool) -> Self {
        for _ in 0..10 {
            let (at, server, control) = if tcp {
                let port = free_ports();
                let (server, control) =
                    (format!("type=tcp,port={port}"), format!("type=tcp,port={}", port + 1));
                (At::Tcp(port), server, control)
            } else {
                let path = |name: &str| dir.path().join(name);
                let form = |name: &str| format!("type=unixio,path={}", path(name).display());
                (At::Unix(path("data")), form("data"), form("control"))
            };
            let mut child = Command::new("swtpm")
                .args(["socket", "--tpm2", "--tpmstate"])
                .arg(format!("dir={}", dir.path().display()))
                .args(["--server", &server, "--ctrl", &control])
                .args(["--flags", "not-need-init,startup-clear"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("swtpm is missing; run cargo xtask test, which installs it");
            if is_up(&mut child, &at) {
                return Self { child, at, dir };
            }
        }
        panic!("swtpm does not start");
    }

    /// Our side of it, with keys in the folder `name`.
    pub(crate) fn open_as(&self, name: &str) -> Tpm {
        let state = self.dir.path().join(name);
        match &self.at {
            At::Unix(path) => Tpm::connect_unix(path, state),
            At::Tcp(port) => Tpm::connect_tcp(format!("127.0.0.1:{port}"), state),
        }
        .unwrap()
    }

    /// Our side of it.
    pub(crate) fn open(&self) -> Tpm {
        self.open_as("state")
    }

    /// The data channel's path.
    pub(crate) fn socket(&self) -> &Path {
        match &self.at {
            At::Unix(path) => path,
            At::Tcp(_) => panic!("this one listens on TCP"),
        }
    }

    /// One of tpm2-tools at work on this TPM. Nobody else may hold it open.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Vec<u8> {
        let At::Tcp(port) = self.at else { panic!("tpm2-tools want TCP") };
        let (program, arguments) = arguments.split_first().unwrap();
        let tcti = format!("swtpm:host=127.0.0.1,port={port}");
        run(Command::new(program)
            .current_dir(self.dir.path())
            .env("TPM2TOOLS_TCTI", tcti)
            .args(arguments))
    }

    /// Fails if anything is loaded.
    pub(crate) fn assert_nothing_is_loaded(&self) {
        for kind in ["handles-transient", "handles-loaded-session"] {
            let listed = String::from_utf8(self.tool(&["tpm2_getcap", kind])).unwrap();
            assert_eq!(listed, "", "{kind}");
        }
    }

    /// Writes a file beside the TPM's state; its path.
    pub(crate) fn write(&self, name: &str, data: &[u8]) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, data).unwrap();
        path.display().to_string()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }

    /// Stops the TPM, as pulling it out would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Two ports in a row that nobody uses.
fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

fn is_up(child: &mut Child, at: &At) -> bool {
    for _ in 0..1000 {
        let up = match at {
            At::Unix(path) => path.exists(),
            At::Tcp(port) => TcpStream::connect(("127.0.0.1", *port)).is_ok(),
        };
        if up {
            // The probe's connection has to be gone before the next one is served.
            thread::sleep(Duration::from_millis(50));
            return child.try_wait().unwrap().is_none();
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}
