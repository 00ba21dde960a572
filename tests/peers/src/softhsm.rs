//! SoftHSM2, a PKCS#11 token in software, and `pkcs11-tool` beside it.

use crate::process::{output, run};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

const CONF: &str = "SOFTHSM2_CONF";
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

const CLIENTS: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
];

/// A token named `device`, in a folder of its own.
pub struct SoftHsm {
    folder: PathBuf,
    module: &'static str,
}

/// A token behind a process; it is gone when this is dropped.
pub struct Served {
    child: Child,
    socket: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // The server has a process for each client: they go together. It may have ended by itself;
        // then there is nothing to end.
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

impl SoftHsm {
    /// The user's PIN.
    pub const PIN: &'static str = "648219";
    /// The security officer's.
    pub const SO_PIN: &'static str = "73910284";

    /// Does `work` with a fresh token, in a process of its own. `test` is the name of the calling
    /// test, as `cargo test -- --exact` has it.
    ///
    /// A module is configured by the environment and started once per process, so a test runs
    /// itself again with `SOFTHSM2_CONF` set; only that second process does the work.
    pub fn with(test: &str, work: impl FnOnce(&Self)) {
        let module = MODULES.into_iter().find(|module| Path::new(module).is_file());
        let module = module.expect("softhsm2 is missing; run cargo xtask test, which installs it");
        if let Some(conf) = std::env::var_os("TOUCHSTONE_SOFTHSM") {
            let softhsm = Self { folder: PathBuf::from(conf), module };
            softhsm.write("ran", test.as_bytes());
            work(&softhsm);
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let softhsm = Self { folder: folder.path().to_owned(), module };
        let tokens = softhsm.path("tokens");
        fs::create_dir(&tokens).unwrap();
        let conf = format!("directories.tokendir = {tokens}\nobjectstore.backend = file\n");
        softhsm.write("softhsm2.conf", conf.as_bytes());
        softhsm.write("pin", format!("{}\n", Self::PIN).as_bytes());
        softhsm.init_token("device");
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        again.env("TOUCHSTONE_SOFTHSM", &softhsm.folder).env(CONF, softhsm.conf());
        // For p11-kit's client module: see `serve`.
        run(again.env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", softhsm.path("served"))));
        let ran = fs::read_to_string(softhsm.path("ran")).unwrap_or_default();
        assert_eq!(ran, test, "the test did not run itself: is its name right?");
    }

    /// The module's file.
    pub fn module(&self) -> &'static str {
        self.module
    }

    /// The path of a file in the folder. `pin` holds the PIN, `tokens` is where tokens live.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// SoftHSM's configuration, for `SOFTHSM2_CONF`.
    pub fn conf(&self) -> String {
        self.path("softhsm2.conf")
    }

    /// A URI for the token `device`: more of its path before the `?`, and where the PIN is.
    pub fn uri(&self, more: &str) -> String {
        self.uri_by(self.module, more)
    }

    /// The same by another module.
    pub fn uri_by(&self, module: &str, more: &str) -> String {
        let pin = self.path("pin");
        format!("pkcs11:token=device{more}?module-path={module}&pin-source=file:{pin}")
    }

    /// Serves the token from a process of its own, so that it can be taken away and come back. It
    /// is reached by the module [`served_module`](Self::served_module).
    pub fn serve(&self) -> Served {
        let socket = self.path("served");
        let arguments = ["server", "--foreground", "--provider", self.module, "--name", &socket];
        let mut command = self.command("p11-kit", &arguments);
        command
            .arg("pkcs11:token=device")
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("p11-kit: {error}; run cargo xtask test, which installs it")
        });
        let served = Served { child, socket };
        let there = (0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            Path::new(&served.socket).exists()
        });
        assert!(there, "p11-kit server does not serve; run cargo xtask test, which installs it");
        served
    }

    /// p11-kit's client, which shows the token that [`serve`](Self::serve) serves.
    pub fn served_module(&self) -> &'static str {
        let found = CLIENTS.into_iter().find(|module| Path::new(module).is_file());
        found.expect("p11-kit-modules is missing; run cargo xtask test, which installs it")
    }

    /// A module that shows the token as a card with three tries for its PIN; the file `logins` has
    /// a line for each try. While there is a file `leaks`, its keys say that they can be taken out.
    /// It also has AES-CFB, which SoftHSM lacks.
    pub fn card(&self) -> String {
        self.write("card.c", include_bytes!("card.c"));
        let text = |name: &str, value: &str| format!("-D{name}=\"{value}\"");
        let real = text("REAL", self.module);
        let (logins, leaks) =
            (text("LOGINS", &self.path("logins")), text("LEAKS", &self.path("leaks")));
        self.tool("cc", &["-shared", "-fPIC", "-o", "card.so", "card.c", &real, &logins, &leaks]);
        self.path("card.so")
    }

    /// Makes a token.
    pub fn init_token(&self, label: &str) {
        let pins = ["--so-pin", Self::SO_PIN, "--pin", Self::PIN];
        let what = ["--init-token", "--free", "--label", label];
        self.tool("softhsm2-util", &[&what[..], &pins].concat());
    }

    /// `pkcs11-tool`, logged in to the token `device`; what it says.
    pub fn pkcs11_tool(&self, arguments: &[&str]) -> String {
        let login = ["--token-label", "device", "--login", "--pin", Self::PIN];
        let module = ["--module", self.module];
        self.tool("pkcs11-tool", &[&module[..], &login, arguments].concat())
    }

    /// Runs a tool in the folder; it has to succeed.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&run(&mut self.command(program, arguments))).into_owned()
    }

    /// Runs a tool that may fail.
    pub fn attempt(&self, program: &str, arguments: &[&str]) -> Output {
        output(&mut self.command(program, arguments))
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder).env(CONF, self.conf());
        command
    }

    /// Reads a file of the folder.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.folder.join(name), content).unwrap();
    }
}
