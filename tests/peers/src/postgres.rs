//! A PostgreSQL server in a folder of its own, on a Unix socket, and `psql` beside it.

use crate::process::run;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

const MISSING: &str = "postgresql is missing; run cargo xtask test, which installs it";
/// Ends the server with whoever holds the other end of its input, however that ends. A server that has
/// only begun to start ignores the signal by which it ends at once, but not the other.
const GUARD: &str = "folder=$1; shift; \"$@\" </dev/null & read -r word; \
                     kill -TERM $! 2>/dev/null; kill -QUIT $! 2>/dev/null; wait; \
                     [ \"$word\" = keep ] || rm -rf -- \"$folder\"";

/// A server; it is gone, with its folder, when this is dropped or the process ends.
pub struct Postgres {
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
    settings: Vec<String>,
    guard: Option<Child>,
}

impl Postgres {
    /// The user that owns the databases; whoever reaches the socket is it, without a password.
    pub const USER: &'static str = "touchstone";

    /// A server that is used by every test of a process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// A server of one's own, with these settings (`ssl=on`).
    pub fn start(settings: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap().keep();
        fs::set_permissions(&folder, Permissions::from_mode(0o711)).unwrap();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut server = Self { folder, bin: bin(), port, settings, guard: None };
        give(&server.folder);
        let user = Self::USER;
        let made = server.tool("initdb", &["-D", &server.data(), "-U", user, "-A", "trust", "-N"]);
        assert!(made.contains("Success"), "{made}");
        server.restart();
        server
    }

    /// An empty database of a name that no other has: its URL.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("fleet_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database, over the socket.
    pub fn url(&self, database: &str) -> String {
        let (folder, port, user) = (self.folder.display(), self.port, Self::USER);
        format!("postgres:///{database}?host={folder}&port={port}&user={user}")
    }

    /// The port, if the settings make it listen beside its socket.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What a statement answers, without anything around it.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", Self::USER, "-d", database, "-c", sql]);
        psql.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string()]);
        String::from_utf8(run(&mut psql)).unwrap()
    }

    /// Writes a file of the server's (`pg_hba.conf`, `server.key`); it counts from the next start on.
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.folder.join("data").join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        give(&path);
    }

    /// As a power cut would: every process of it, at once.
    pub fn kill(&self) {
        let text = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let first = text.lines().next().unwrap().to_owned();
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        for id in std::iter::once(first.as_str()).chain(children.split_whitespace()) {
            // A child that has just ended is as dead as it should be.
            let _ = kill_process(Pid::from_raw(id.parse().unwrap()).unwrap(), Signal::KILL);
        }
    }

    /// Starts it after [`Postgres::kill`], and waits until it serves.
    pub fn restart(&mut self) {
        self.stop("keep");
        for _ in 0..100 {
            let log = fs::File::options().create(true).append(true).open(self.folder.join("log"));
            let (log, port) = (log.unwrap(), self.port.to_string());
            let mut guard = Command::new("sh");
            guard.args(["-c", GUARD, "sh"]).arg(&self.folder);
            let server = self.command("postgres");
            guard.arg(server.get_program()).args(server.get_args()).args(["-D", &self.data()]);
            guard.arg("-k").arg(&self.folder).args(["-p", &port, "-c", "listen_addresses="]);
            guard.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
            guard.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
            guard.process_group(0);
            self.guard = Some(guard.spawn().unwrap());
            for waited in 0..100 {
                thread::sleep(Duration::from_millis(50));
                let mut ready = Command::new(self.bin.join("pg_isready"));
                ready.arg("-qh").arg(&self.folder).args(["-p", &port]);
                if ready.status().unwrap().success() {
                    return;
                }
                if waited > 40 && !self.folder.join("data/postmaster.pid").exists() {
                    break;
                }
            }
            // Those who were killed may not have let go of their memory yet.
            self.stop("keep");
            thread::sleep(Duration::from_millis(100));
        }
        panic!("{}", self.log());
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends it, and its folder unless that is to be kept.
    fn stop(&mut self, word: &str) {
        if let Some(mut guard) = self.guard.take() {
            writeln!(guard.stdin.take().unwrap(), "{word}").unwrap();
            guard.wait().unwrap();
        }
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    fn tool(&self, program: &str, arguments: &[&str]) -> String {
        String::from_utf8(run(self.command(program).args(arguments))).unwrap()
    }

    /// The server does not run as root: it is the user that its package made, then.
    fn command(&self, program: &str) -> Command {
        let path = self.bin.join(program);
        if !is_root() {
            return Command::new(path);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
        command.current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("PostgreSQL's log:\n{}", self.log());
        }
        self.stop("");
    }
}

/// To whoever runs the server.
fn give(path: &Path) {
    if is_root() {
        let id = |flag: &str| {
            let id = run(Command::new("id").args([flag, "postgres"]));
            String::from_utf8(id).unwrap().trim().parse().unwrap()
        };
        chown(path, Some(id("-u")), Some(id("-g"))).unwrap();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The newest version that is installed.
fn bin() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect(MISSING);
    let newest = versions
        .filter_map(|version| {
            let path = version.unwrap().path();
            let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
            path.join("bin/postgres").is_file().then_some((number, path.join("bin")))
        })
        .max();
    newest.expect(MISSING).1
}
