//! swtpm, a software TPM, and tpm2-tools beside it.

use crate::process::{output, run, tool};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How the TPM is reached.
#[derive(Clone)]
enum At {
    Unix { data: PathBuf, control: PathBuf },
    Tcp { data: u16, control: u16 },
}

/// A running swtpm; it goes when this is dropped, and its state with it.
pub struct Swtpm {
    child: Child,
    at: At,
    flags: &'static str,
    /// Its state, and room for the files of a test.
    pub dir: TempDir,
}

/// Started as firmware leaves it.
const STARTED: &str = "not-need-init,startup-clear";
/// Powered, and nothing else: `CMD_INIT` on the control channel and `TPM2_Startup` are to come.
const BARE: &str = "";

impl Swtpm {
    /// An empty TPM at a Unix socket.
    pub fn blank() -> Self {
        Self::start(tempfile::tempdir().unwrap(), false, STARTED)
    }

    /// An empty TPM at two TCP ports, as tpm2-tools want it.
    pub fn blank_tcp() -> Self {
        Self::start(tempfile::tempdir().unwrap(), true, STARTED)
    }

    /// An empty TPM at Unix sockets that nobody has initialized or started.
    pub fn bare() -> Self {
        Self::start(tempfile::tempdir().unwrap(), false, BARE)
    }

    /// The same at two TCP ports.
    pub fn bare_tcp() -> Self {
        Self::start(tempfile::tempdir().unwrap(), true, BARE)
    }

    /// A TPM with endorsement keys and certificates of its maker, at TCP ports.
    pub fn manufactured() -> Self {
        Self::with_bank("sha256")
    }

    /// The same, with only this bank of PCRs.
    pub fn with_bank(bank: &str) -> Self {
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
             create_certs_tool_options = {}\nactive_pcr_banks = {bank}\n",
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
        Self::start(dir, true, STARTED)
    }

    fn start(dir: TempDir, tcp: bool, flags: &'static str) -> Self {
        for _ in 0..10 {
            let at = if tcp {
                let data = free_ports();
                At::Tcp { data, control: data + 1 }
            } else {
                let path = |name: &str| dir.path().join(name);
                At::Unix { data: path("data"), control: path("control") }
            };
            if let Some(child) = spawn(dir.path(), &at, flags) {
                return Self { child, at, flags, dir };
            }
        }
        panic!("swtpm does not start");
    }

    /// The data channel's path.
    pub fn socket(&self) -> &Path {
        match &self.at {
            At::Unix { data, .. } => data,
            At::Tcp { .. } => panic!("this one listens on TCP"),
        }
    }

    /// The control channel's path.
    pub fn control_socket(&self) -> &Path {
        match &self.at {
            At::Unix { control, .. } => control,
            At::Tcp { .. } => panic!("this one listens on TCP"),
        }
    }

    /// Whether it listens on TCP.
    pub fn is_tcp(&self) -> bool {
        matches!(self.at, At::Tcp { .. })
    }

    /// The data channel's address.
    pub fn address(&self) -> SocketAddr {
        match self.at {
            At::Tcp { data, .. } => ([127, 0, 0, 1], data).into(),
            At::Unix { .. } => panic!("this one listens on a Unix socket"),
        }
    }

    /// The control channel's address.
    pub fn control_address(&self) -> SocketAddr {
        match self.at {
            At::Tcp { control, .. } => ([127, 0, 0, 1], control).into(),
            At::Unix { .. } => panic!("this one listens on a Unix socket"),
        }
    }

    /// How tpm2-tools and other users of the TSS find it.
    pub fn tcti(&self) -> String {
        let At::Tcp { data, .. } = self.at else { panic!("tpm2-tools want TCP") };
        format!("swtpm:host=127.0.0.1,port={data}")
    }

    /// One of tpm2-tools at work on this TPM; what it prints. Nobody else may hold it open.
    pub fn tool(&self, arguments: &[&str]) -> Vec<u8> {
        run(&mut self.command(arguments))
    }

    /// The same for a tool that may fail: whether it succeeded, and all it said.
    pub fn attempt(&self, arguments: &[&str]) -> (bool, String) {
        let output = output(&mut self.command(arguments));
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (program, arguments) = arguments.split_first().unwrap();
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).env("TPM2TOOLS_TCTI", self.tcti()).args(arguments);
        command
    }

    /// Makes a P-256 key that signs with SHA-256 as a maker does with tpm2-tools, and keeps it at a
    /// persistent handle; what else it is, such as `restricted`, is in `more`. Its
    /// `SubjectPublicKeyInfo` in DER.
    pub fn makers_key(&self, handle: &str, more: &str) -> Vec<u8> {
        let attributes =
            format!("fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign{more}");
        let template =
            ["-C", "e", "-g", "sha256", "-G", "ecc256:ecdsa-sha256:null", "-a", &attributes];
        let primary = ["tpm2_createprimary", "-Q", "-c", "maker.ctx"];
        self.tool(&[&primary[..], &template].concat());
        self.tool(&["tpm2_evictcontrol", "-Q", "-C", "o", "-c", "maker.ctx", handle]);
        self.tool(&["tpm2_flushcontext", "-t"]);
        self.tool(&["tpm2_readpublic", "-Q", "-c", handle, "-f", "der", "-o", "maker.der"]);
        self.read("maker.der")
    }

    /// Puts a certificate into an index as a maker does with tpm2-tools.
    pub fn keep_certificate(&self, index: &str, der: &[u8]) {
        let (file, size) = (self.write("certificate.der", der), der.len().to_string());
        // 1 if nothing is there.
        self.attempt(&["tpm2_nvundefine", "-Q", "-C", "p", index]);
        let open = "ppread|ppwrite|ownerread|authread|no_da|platformcreate";
        self.tool(&["tpm2_nvdefine", "-Q", "-C", "p", "-s", &size, "-a", open, index]);
        self.tool(&["tpm2_nvwrite", "-Q", "-C", "p", "-i", &file, index]);
    }

    /// Fails if an object is loaded or a session open.
    pub fn assert_nothing_is_loaded(&self) {
        for kind in ["handles-transient", "handles-loaded-session", "handles-saved-session"] {
            let listed = String::from_utf8(self.tool(&["tpm2_getcap", kind])).unwrap();
            assert_eq!(listed, "", "{kind}");
        }
    }

    /// Writes a file beside the TPM's state; its path.
    pub fn write(&self, name: &str, data: &[u8]) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, data).unwrap();
        path.display().to_string()
    }

    /// Reads a file beside the TPM's state.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }

    /// From now on the TPM can store nothing, as if its memory were worn out: with the next attempt
    /// it goes into failure mode.
    pub fn wear_out(&self) {
        // Where swtpm writes its state before it takes the old one's place.
        std::fs::create_dir(self.dir.path().join("TMP2-00.permall")).unwrap();
    }

    /// Takes that back. A TPM that has failed stays so until it starts again.
    pub fn repair(&self) {
        std::fs::remove_dir(self.dir.path().join("TMP2-00.permall")).unwrap();
    }

    /// Stops the TPM, as pulling it out would (`kill -9`).
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops the TPM if it runs, and starts it again at the same place with the same state.
    pub fn restart(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let At::Unix { data, control } = &self.at {
            drop(std::fs::remove_file(data));
            drop(std::fs::remove_file(control));
        }
        for _ in 0..50 {
            if let Some(child) = spawn(self.dir.path(), &self.at, self.flags) {
                self.child = child;
                return;
            }
            // The port may still be held by connections of before.
            thread::sleep(Duration::from_millis(100));
        }
        panic!("swtpm does not start again");
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(state: &Path, at: &At, flags: &str) -> Option<Child> {
    let (server, control) = match at {
        At::Tcp { data, control } => {
            (format!("type=tcp,port={data}"), format!("type=tcp,port={control}"))
        }
        At::Unix { data, control } => {
            let form = |path: &Path| format!("type=unixio,path={}", path.display());
            (form(data), form(control))
        }
    };
    let mut command = Command::new("swtpm");
    command
        .args(["socket", "--tpm2", "--tpmstate"])
        .arg(format!("dir={}", state.display()))
        .args(["--server", &server, "--ctrl", &control])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if !flags.is_empty() {
        command.args(["--flags", flags]);
    }
    let mut child =
        command.spawn().expect("swtpm is missing; run cargo xtask test, which installs it");
    if is_up(&mut child, at) {
        return Some(child);
    }
    drop(child.kill());
    drop(child.wait());
    None
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
            At::Unix { data, control } => data.exists() && control.exists(),
            At::Tcp { data, .. } => TcpStream::connect(("127.0.0.1", *data)).is_ok(),
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
