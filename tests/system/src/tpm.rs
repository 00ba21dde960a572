//! The device's TPM 2.0: swtpm with an endorsement key certificate of a local authority, and a visit
//! of the device maker before the device is assembled.

use crate::process::{Launch, Process, listens};
use crate::tools::{self, run};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Who vouches for the endorsement keys: a root and an issuing authority, as swtpm makes them.
pub struct EndorsementAuthority {
    folder: PathBuf,
}

impl EndorsementAuthority {
    /// An authority that lives in `folder`; it is founded when the first TPM is made.
    pub fn new(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let state = folder.display();
        let write = |name: &str, content: String| std::fs::write(folder.join(name), content);
        write(
            "localca.conf",
            format!(
                "statedir = {state}\nsigningkey = {state}/issuer.key\n\
                 issuercert = {state}/issuer.pem\ncertserial = {state}/serial\n"
            ),
        )?;
        write(
            "localca.options",
            "--tpm-manufacturer id:00001014\n--tpm-model swtpm\n--tpm-version id:20191023\n\
             --platform-manufacturer Touchstone\n--platform-version 1\n--platform-model rig\n"
                .into(),
        )?;
        let tool = tools::find("swtpm_localca", "swtpm-tools")?;
        write(
            "setup.conf",
            format!(
                "create_certs_tool = {}\ncreate_certs_tool_config = {state}/localca.conf\n\
                 create_certs_tool_options = {state}/localca.options\nactive_pcr_banks = sha256\n",
                tool.display()
            ),
        )?;
        Ok(Self { folder: folder.into() })
    }

    /// The trust store: issuing authority, then its root, PEM. Present once a TPM was made.
    pub fn chain_pem(&self) -> Result<String> {
        ["issuer.pem", "swtpm-localca-rootca-cert.pem"]
            .iter()
            .map(|name| {
                std::fs::read_to_string(self.folder.join(name))
                    .with_context(|| format!("no {name}: no TPM has been made yet"))
            })
            .collect()
    }
}

/// A TPM with its state on the host's disk.
pub struct Tpm {
    state: PathBuf,
    certificates: Vec<Vec<u8>>,
}

/// `TPM2_Shutdown(TPM_SU_CLEAR)` (TPM 2.0 part 3 §9.4).
const SHUTDOWN: &[u8] = &[0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0];

impl Tpm {
    /// Makes a TPM: endorsement keys with certificates in NV, the SHA-256 bank alone.
    pub fn manufacture(state: &Path, authority: &EndorsementAuthority) -> Result<Self> {
        std::fs::create_dir_all(state)?;
        let written = state.join("ek-certificates");
        std::fs::create_dir_all(&written)?;
        run(Command::new(tools::find("swtpm_setup", "swtpm-tools")?)
            .args(["--tpm2", "--create-ek-cert", "--lock-nvram", "--overwrite"])
            .args(["--pcr-banks", "sha256"])
            .arg("--config")
            .arg(authority.folder.join("setup.conf"))
            .arg("--tpm-state")
            .arg(state)
            .arg("--write-ek-cert-files")
            .arg(&written))
        .context("no TPM could be made")?;
        let mut files: Vec<PathBuf> = written
            .read_dir()?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.sort_by_key(|path| !path.to_string_lossy().contains("rsa"));
        let certificates: Vec<Vec<u8>> =
            files.iter().map(std::fs::read).collect::<Result<_, _>>()?;
        ensure!(!certificates.is_empty(), "swtpm_setup wrote no EK certificate");
        Ok(Self { state: state.into(), certificates })
    }

    /// The endorsement key certificates, DER, RSA first.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// Starts the TPM by itself and lets `work` talk to it, as a device maker does: raw commands
    /// over the unix socket whose path it is given. What it stores in NV stays.
    pub fn visit<T>(&self, work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let socket = self.state.join("command.sock");
        let control = self.state.join("command.sock.ctrl");
        remove(&socket)?;
        remove(&control)?;
        let mut swtpm = self
            .swtpm()?
            .arg("--server")
            .arg(format!("type=unixio,path={}", socket.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", control.display()))
            .args(["--flags", "not-need-init,startup-clear"])
            .start()?;
        wait_for_socket(&mut swtpm, &socket)?;
        let result = work(&socket)?;
        // An orderly shutdown, or the TPM counts a failed authorization at the next startup.
        let mut stream = UnixStream::connect(&socket).context("the TPM is gone")?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(SHUTDOWN)?;
        let mut response = [0; 10];
        stream.read_exact(&mut response).context("no answer to TPM2_Shutdown")?;
        ensure!(response.ends_with(&[0; 4]), "TPM2_Shutdown failed: {response:02x?}");
        drop(stream);
        swtpm.stop()?;
        Ok(result)
    }

    /// Starts the TPM for QEMU, which drives it over the control socket.
    pub(crate) fn power_on(&self, control: &Path) -> Result<Process> {
        remove(control)?;
        let mut swtpm = self
            .swtpm()?
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", control.display()))
            .arg("--terminate")
            .start()?;
        wait_for_socket(&mut swtpm, control)?;
        Ok(swtpm)
    }

    fn swtpm(&self) -> Result<Launch> {
        let log = self.state.join("swtpm.log");
        Ok(Launch::new("swtpm", tools::find("swtpm", "swtpm")?, log)
            .args(["socket", "--tpm2", "--tpmstate"])
            .arg(format!("dir={},mode=0600", self.state.display())))
    }
}

fn wait_for_socket(swtpm: &mut Process, socket: &Path) -> Result<()> {
    swtpm.wait_until("its socket", Duration::from_secs(30), |_| listens(socket))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Scratch;

    #[test]
    fn a_made_tpm_has_certificates_and_keeps_what_its_maker_stores() {
        let scratch = Scratch::new().unwrap();
        let authority = EndorsementAuthority::new(&scratch.folder("ca").unwrap()).unwrap();
        let tpm = Tpm::manufacture(&scratch.folder("tpm").unwrap(), &authority).unwrap();
        assert_eq!(tpm.certificates().len(), 2);
        assert_eq!(authority.chain_pem().unwrap().matches("BEGIN CERTIFICATE").count(), 2);
        let tpm2 = |socket: &Path, tool: &str, args: &[&str]| {
            let program = tools::find(tool, "tpm2-tools")?;
            run(Command::new(program)
                .args(args)
                .env("TPM2TOOLS_TCTI", format!("swtpm:path={}", socket.display())))
        };
        tpm.visit(|socket| tpm2(socket, "tpm2_nvdefine", &["0x1500001", "-C", "o", "-s", "4"]))
            .unwrap();
        let public = tpm
            .visit(|socket| {
                let certificate = tpm2(socket, "tpm2_nvread", &["0x1c00002"])?;
                assert_eq!(certificate, tpm.certificates()[0]);
                tpm2(socket, "tpm2_nvreadpublic", &["0x1500001"])
            })
            .unwrap();
        assert!(String::from_utf8(public).unwrap().contains("0x1500001"));
    }
}
