//! Collectors of events, each in a folder of its own: rsyslogd, syslog-ng, OTLP receivers. Each can
//! be killed in mid-stream and started again at the same address.

use crate::process::run;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// The PEM files that a collector needs for mutual TLS.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Who may have issued the certificate of a sender.
    pub roots: PathBuf,
    /// The collector's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A collector that runs, until it is killed or dropped.
pub struct Collector {
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// What it received, a line each.
    pub received: PathBuf,
    /// What it said of itself.
    pub log: PathBuf,
    port: u16,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Collector {
    /// rsyslogd that takes RFC 5425. It writes a message before it reads the next one.
    pub fn rsyslog(folder: &Path, tls: &Credentials) -> Self {
        let Credentials { roots, certificate, key } = tls;
        let port = free_port();
        let input = format!(
            "module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\"\n\
               StreamDriver.AuthMode=\"x509/certvalid\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"keep\")\n"
        );
        let driver = format!(
            " DefaultNetstreamDriver=\"gtls\" DefaultNetstreamDriverCAFile=\"{}\" \
             DefaultNetstreamDriverCertFile=\"{}\" DefaultNetstreamDriverKeyFile=\"{}\"",
            roots.display(),
            certificate.display(),
            key.display()
        );
        Self::rsyslogd(folder, port, &driver, &input)
    }

    /// rsyslogd that takes RELP over mutual TLS. It writes a message before it answers for it.
    pub fn relp(folder: &Path, tls: &Credentials) -> Self {
        let Credentials { roots, certificate, key } = tls;
        let port = free_port();
        let input = format!(
            "module(load=\"imrelp\")\n\
             input(type=\"imrelp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"keep\" tls=\"on\"\n\
               tls.caCert=\"{}\" tls.myCert=\"{}\" tls.myPrivKey=\"{}\"\n\
               tls.authMode=\"certvalid\" maxDataSize=\"64k\")\n",
            roots.display(),
            certificate.display(),
            key.display()
        );
        Self::rsyslogd(folder, port, "", &input)
    }

    /// rsyslogd that takes messages over TCP, without TLS, and writes them in batches, as it is used
    /// when speed matters; with `sync` each batch is flushed to the disk.
    pub fn rsyslog_plain(folder: &Path, batch: usize, sync: bool) -> Self {
        let port = free_port();
        let input = format!(
            "module(load=\"imtcp\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"keep\")\n"
        );
        let queue = format!("queue.type=\"FixedArray\" queue.dequeueBatchSize=\"{batch}\"");
        let sync = if sync { " sync=\"on\"" } else { "" };
        Self::configured(folder, port, "", &queue, sync, &input)
    }

    fn rsyslogd(folder: &Path, port: u16, global: &str, input: &str) -> Self {
        Self::configured(folder, port, global, "queue.type=\"Direct\"", "", input)
    }

    fn configured(
        folder: &Path,
        port: u16,
        global: &str,
        queue: &str,
        file: &str,
        input: &str,
    ) -> Self {
        fs::create_dir_all(folder).unwrap();
        let (config, received) = (folder.join("rsyslog.conf"), folder.join("received"));
        let text = format!(
            "global(workDirectory=\"{}\" maxMessageSize=\"64k\"{global})\n\
             main_queue({queue})\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
             ruleset(name=\"keep\") {{\n\
               action(type=\"omfile\" file=\"{}\" template=\"raw\"{file}) }}\n\
             {input}",
            folder.display(),
            received.display()
        );
        fs::write(&config, text).unwrap();
        // A copy, because Ubuntu confines the program at its usual path to /var/log.
        let program = folder.join("rsyslogd");
        // Made by another process: what is open for writing here could be inherited by one that is just
        // being started, and then it cannot be run.
        run(Command::new("cp").arg(find("rsyslogd")).arg(&program));
        let at = |name: &str| folder.join(name).display().to_string();
        let arguments = ["-n", "-f", &at("rsyslog.conf"), "-i", &at("rsyslogd.pid")]
            .map(str::to_owned)
            .to_vec();
        Self::new(folder, port, program, arguments, Vec::new())
    }

    /// syslog-ng that takes RFC 5425. Distributions let it and rsyslog not be installed together, so
    /// `cargo xtask test` unpacks it.
    pub fn syslog_ng(folder: &Path, tls: &Credentials) -> Self {
        fs::create_dir_all(folder).unwrap();
        let root = unpacked("syslog-ng-core");
        let libraries = root.join("usr/lib/syslog-ng");
        let modules = subfolder(&libraries, |name| name.starts_with(|c: char| c.is_ascii_digit()));
        let multiarch = subfolder(&root.join("usr/lib"), |name| name.ends_with("-linux-gnu"));
        let merged = root.join("lib").join(multiarch.file_name().unwrap_or_default());
        let port = free_port();
        let Credentials { roots, certificate, key } = tls;
        let received = folder.join("received");
        let text = format!(
            "@version: current\n\
             source s {{ syslog(ip(\"127.0.0.1\") port({port}) transport(\"tls\") flags(store-raw-message)\n\
               tls(ca-file(\"{}\") cert-file(\"{}\") key-file(\"{}\") peer-verify(required-trusted))); }};\n\
             destination d {{ file(\"{}\" template(\"${{SDATA}} ${{MSGID}} ${{MSG}}\\n\")); }};\n\
             log {{ source(s); destination(d); }};\n",
            roots.display(),
            certificate.display(),
            key.display(),
            received.display()
        );
        let config = folder.join("syslog-ng.conf");
        fs::write(&config, text).unwrap();
        let at = |name: &str| folder.join(name).display().to_string();
        let arguments = vec![
            "--foreground".into(),
            "--no-caps".into(),
            format!("--cfgfile={}", config.display()),
            format!("--module-path={}", modules.display()),
            format!("--persist-file={}", at("persist")),
            format!("--pidfile={}", at("pid")),
            format!("--control={}", at("ctl")),
        ];
        let path =
            [&libraries, &multiarch, &merged].map(|path| path.display().to_string()).join(":");
        let program = root.join("usr/sbin/syslog-ng");
        Self::new(folder, port, program, arguments, vec![("LD_LIBRARY_PATH", path)])
    }

    /// An OTLP/HTTP receiver that answers when what it got is on the disk: OpenTelemetry's message
    /// definitions behind the HTTP server of Python.
    pub fn otlp(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let port = free_port();
        let script = workspace().join("tests/interop/otlp/receiver.py");
        let received = folder.join("received").display().to_string();
        let arguments = vec![script.display().to_string(), port.to_string(), received];
        Self::new(folder, port, python("otlp").join("bin/python"), arguments, Vec::new())
    }

    /// Rotel, an OpenTelemetry collector. It prints what it received, several lines each.
    pub fn rotel(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let port = free_port();
        let packages = subfolder(&python("otlp").join("lib"), |name| name.starts_with("python3"));
        let program = packages.join("site-packages/rotel/rotel-agent");
        let mut arguments = vec!["start".to_owned()];
        for (name, value) in [
            ("--otlp-http-endpoint", format!("127.0.0.1:{port}")),
            ("--otlp-grpc-endpoint", format!("127.0.0.1:{}", free_port())),
            ("--exporter", "blackhole".into()),
            ("--debug-log", "logs".into()),
            ("--debug-log-verbosity", "detailed".into()),
            ("--pid-file", folder.join("pid").display().to_string()),
        ] {
            arguments.extend([name.to_owned(), value]);
        }
        let mut rotel = Self::new(folder, port, program, arguments, Vec::new());
        rotel.received.clone_from(&rotel.log);
        rotel
    }

    fn new(
        folder: &Path,
        port: u16,
        program: PathBuf,
        arguments: Vec<String>,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let (received, log) = (folder.join("received"), folder.join("log"));
        fs::write(&received, b"").unwrap();
        let address = format!("127.0.0.1:{port}");
        let child = None;
        let mut collector =
            Self { address, received, log, port, program, arguments, environment, child };
        collector.start();
        collector
    }

    /// Starts it again, at the same address.
    pub fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(&self.log).unwrap();
        let program = self.program.display();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask test installs it"));
        self.child = Some(child);
        for _ in 0..6_000 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                panic!("{program} ended at once ({status}): {said}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{program} does not listen; see {}", self.log.display());
    }

    /// Kills it, whatever it is doing.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn find(program: &str) -> PathBuf {
    let found = ["/usr/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(program));
    let found = found.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is missing; run cargo xtask test, which installs it"))
}

/// Where `cargo xtask test` unpacked a package that cannot be installed beside the others.
fn unpacked(package: &str) -> PathBuf {
    let root = workspace().join("target/peers").join(package);
    assert!(root.is_dir(), "{} is missing; cargo xtask test unpacks it", root.display());
    root
}

/// An environment of Python that `cargo xtask test` made.
pub(crate) fn python(name: &str) -> PathBuf {
    let root = workspace().join("target/peers").join(name);
    assert!(root.is_dir(), "{} is missing; cargo xtask test makes it", root.display());
    root
}

pub(crate) fn subfolder(folder: &Path, wanted: impl Fn(&str) -> bool) -> PathBuf {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = names.find(|name| wanted(name)).unwrap_or_else(|| panic!("{}", folder.display()));
    folder.join(name)
}
