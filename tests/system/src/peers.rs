//! Real peers on this machine: a mosquitto that requires client certificates, and an rsyslogd that
//! takes messages over mutual TLS. Both listen where the device cannot reach them: QEMU's network
//! leads to 127.0.0.1 alone.

use crate::process::{Launch, Process};
use crate::tools;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// An address that only this machine reaches, and not the device.
pub const BACKSTAGE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const READY: Duration = Duration::from_mins(1);

/// The PEM files that a server needs for mutual TLS.
pub struct Credentials<'a> {
    /// Who may have issued a client's certificate.
    pub client_roots: &'a Path,
    /// The server's certificate chain.
    pub chain: &'a Path,
    /// Its key.
    pub key: &'a Path,
}

/// A port that is free at this moment.
pub fn free_port(address: Ipv4Addr) -> Result<SocketAddr> {
    let listener = TcpListener::bind(SocketAddrV4::new(address, 0))
        .with_context(|| format!("no free port on {address}"))?;
    Ok(listener.local_addr()?)
}

/// Whether somebody accepts connections there.
pub fn is_listening(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// An MQTT broker.
pub struct Broker {
    /// Where clients with a certificate connect, over TLS 1.3.
    pub address: SocketAddr,
    /// Where the rig itself listens in, in plaintext.
    pub observer: SocketAddr,
    /// The running mosquitto.
    pub process: Process,
}

impl Broker {
    /// Starts mosquitto with its files in `folder`.
    pub fn start(folder: &Path, credentials: &Credentials<'_>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (address, observer) = (free_port(BACKSTAGE)?, free_port(BACKSTAGE)?);
        let config = folder.join("mosquitto.conf");
        // Started by root, mosquitto would become a user who cannot read our files.
        let text = format!(
            "user root\npersistence false\nlog_dest stderr\nlog_type all\nper_listener_settings true\n\
             listener {} {}\ncafile {}\ncertfile {}\nkeyfile {}\ntls_version tlsv1.3\n\
             require_certificate true\nuse_subject_as_username true\nallow_anonymous false\n\
             listener {} {}\nallow_anonymous true\n",
            address.port(),
            address.ip(),
            credentials.client_roots.display(),
            credentials.chain.display(),
            credentials.key.display(),
            observer.port(),
            observer.ip(),
        );
        std::fs::write(&config, text)?;
        let mosquitto = tools::find("mosquitto", "mosquitto")?;
        let mut process = Launch::new("mosquitto", mosquitto, folder.join("mosquitto.log"))
            .arg("-c")
            .arg(&config)
            .start()?;
        let listening = |_: &mut Process| Ok(is_listening(address) && is_listening(observer));
        process.wait_until("its ports", READY, listening)?;
        Ok(Self { address, observer, process })
    }
}

/// A collector of syslog messages: RFC 5424 over RFC 5425, with client certificates.
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    /// The file into which it writes every message as it came, one per line.
    pub messages: PathBuf,
    /// The running rsyslogd.
    pub process: Process,
}

impl Collector {
    /// Starts rsyslogd with its files in `folder`.
    pub fn start(folder: &Path, credentials: &Credentials<'_>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let address = free_port(BACKSTAGE)?;
        let (config, messages) = (folder.join("rsyslog.conf"), folder.join("messages"));
        std::fs::write(&messages, b"")?;
        let text = format!(
            "global(workDirectory=\"{}\" DefaultNetstreamDriver=\"gtls\"\n\
               DefaultNetstreamDriverCAFile=\"{}\"\n\
               DefaultNetstreamDriverCertFile=\"{}\"\n\
               DefaultNetstreamDriverKeyFile=\"{}\")\n\
             module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\"\n\
               StreamDriver.AuthMode=\"x509/certvalid\")\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
             ruleset(name=\"keep\") {{ action(type=\"omfile\" file=\"{}\" template=\"raw\") }}\n\
             input(type=\"imtcp\" address=\"{}\" port=\"{}\" ruleset=\"keep\")\n",
            folder.display(),
            credentials.client_roots.display(),
            credentials.chain.display(),
            credentials.key.display(),
            messages.display(),
            address.ip(),
            address.port(),
        );
        std::fs::write(&config, text)?;
        // A copy, because Ubuntu confines the program at its usual path to /var/log. Made by another
        // process: what is open for writing here could be inherited by one that is just being started.
        let program = folder.join("rsyslogd");
        let from = tools::find("rsyslogd", "rsyslog")?;
        tools::run(Command::new("cp").arg(from).arg(&program))?;
        let mut process = Launch::new("rsyslogd", program, folder.join("rsyslogd.log"))
            .args(["-n", "-f"])
            .arg(&config)
            .arg("-i")
            .arg(folder.join("rsyslogd.pid"))
            .start()?;
        process.wait_until("its port", READY, |_| Ok(is_listening(address)))?;
        Ok(Self { address, messages, process })
    }

    /// The messages so far.
    pub fn received(&self) -> Result<Vec<String>> {
        let text = std::fs::read(&self.messages)?;
        Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
    }
}
