//! The device of the scene: its image with the agent in it, its sensor on the data disk, and what
//! its maker did.

use super::factory::{AGENT_FOLDER, Factory, SENSOR_PATH, write};
use super::plant::{BROKER_NAME, BROKER_ROUTE, CHECKPOINT_NAME, FLEET_NAME, Plant};
use crate::bpf;
use crate::device::{HOST, Hardware, SecureBoot};
use crate::image::{BootImage, Recipe};
use crate::initramfs::{Initramfs, Service};
use crate::kernel::Kernel;
use crate::tpm::{EndorsementAuthority, Tpm};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use touchstone_element_tpm2::manufacture;

/// The file in [`AGENT_FOLDER`] that the agent is started with.
pub(super) const AGENT_CONFIG: &str = "agent.toml";

/// What the kernel is told beside the rig's own: BPF programs may listen to its security hooks.
const COMMAND_LINE: &str = "gateway.mode=plant lsm=lockdown,yama,integrity,bpf";

/// Builds the boot image, not signed yet. The agent's configuration is on the data disk, so that
/// one image serves every plant; the agent is measured with the image, and IMA measures what it
/// reads from the disk.
pub(super) fn build_image(programs: &Path, sensor: &Path, folder: &Path) -> Result<BootImage> {
    let kernel = Kernel::find()?;
    let mut root = Initramfs::new(&kernel)?;
    root.program(&programs.join("touchstone-agent"), "/bin/touchstone-agent")?;
    root.program(&programs.join("touchstone-agent-watch"), "/bin/touchstone-agent-watch")?;
    root.file(bpf::INSTALLED, &std::fs::read(programs.join("watch.bpf.o"))?);
    root.libraries_of(sensor)?;
    // What systemd does elsewhere: packaging/systemd/touchstone-agent-watch.service.
    let agent = format!("exec /bin/touchstone-agent --config {AGENT_FOLDER}{AGENT_CONFIG}");
    root.service(&Service {
        name: "agent",
        command: &format!("sh -c '/bin/touchstone-agent-watch; {agent}'"),
    })?;
    root.service(&Service { name: "sensor", command: SENSOR_PATH })?;
    let initramfs = folder.join("initramfs.zst");
    root.write(&initramfs)?;
    BootImage::build(
        &Recipe { kernel: &kernel, initramfs: &initramfs, more_command_line: COMMAND_LINE },
        &folder.join("gateway.efi"),
    )
}

/// Makes a TPM and gives it the maker's identity for the device with this serial number.
pub(crate) fn manufacture(
    folder: &Path,
    serial: &str,
    authority: &EndorsementAuthority,
    factory: &Factory,
) -> Result<Tpm> {
    let tpm = Tpm::manufacture(&folder.join("tpm"), authority)?;
    tpm.visit(|socket| {
        let work = folder.join("maker");
        let mut element = touchstone_element_tpm2::Tpm::connect_unix(socket, work)?;
        manufacture::idevid::<anyhow::Error>(&mut element, |key| {
            factory.device_certificate(serial, &key.spki_der)
        })?;
        Ok(())
    })?;
    Ok(tpm)
}

/// Assembles a device with the sensor and the agent's configuration on its data disk.
pub(super) fn assemble(
    folder: &Path,
    image: &BootImage,
    secure_boot: &SecureBoot<'_>,
    sensor: &Path,
    configuration: &[(String, Vec<u8>)],
    tpm: Tpm,
) -> Result<Hardware> {
    let data = folder.join("data");
    let (app, agent) = (data.join("app"), data.join("agent"));
    for path in [&app, &agent, &data.join("inbox"), &data.join("state")] {
        std::fs::create_dir_all(path)?;
    }
    std::fs::copy(sensor, app.join("sensor"))?;
    for (name, content) in configuration {
        write(&agent.join(name), content)?;
    }
    Hardware::assemble(folder, image, secure_boot, &data, tpm)
}

/// The agent's configuration for this plant: every file with its name in [`AGENT_FOLDER`].
pub(super) fn configuration(plant: &Plant, factory: &Factory) -> Result<Vec<(String, Vec<u8>)>> {
    let files = [
        ("roots.pem", std::fs::read(&plant.roots)?),
        ("verifier.pem", std::fs::read(&plant.verifier)?),
        ("publisher.pem", factory.publisher.certificate.to_pem()?.into_bytes()),
        ("operator.pem", factory.operator.certificate.to_pem()?.into_bytes()),
        (AGENT_CONFIG, agent_config(plant).into_bytes()),
    ];
    Ok(files.map(|(name, content)| (name.to_owned(), content)).into())
}

fn agent_config(plant: &Plant) -> String {
    let seen = |address: SocketAddr| format!("{HOST}:{}", address.port());
    format!(
        r#"state_dir = "/data/state"

[fleet]
address = "{fleet}"
name = "{FLEET_NAME}"
roots = "{AGENT_FOLDER}roots.pem"
verifier = "{AGENT_FOLDER}verifier.pem"

[element]
use = "tpm:/dev/tpmrm0"

[collect]
event_log = "/sys/kernel/security/tpm0/binary_bios_measurements"
ima_log = "/sys/kernel/security/ima/binary_runtime_measurements"
watch = ["{SENSOR_PATH}"]
interval = "2s"
# The kernel tells when to look; without it this would be too seldom.
scan = "30s"

[respond]
contraindicated = "quarantine"
allow = []
nft = "/sbin/nft"
trial = "0s"

[[tunnel]]
listen = "127.0.0.1:1883"
checkpoint = "{checkpoint}"
checkpoint_name = "{CHECKPOINT_NAME}"
broker = "{BROKER_ROUTE}"
broker_name = "{BROKER_NAME}"
broker_roots = "{AGENT_FOLDER}roots.pem"
connections = 4

[update]
inbox = "/data/inbox"

[[update.role]]
name = "publisher"
roots = "{AGENT_FOLDER}publisher.pem"

[[update.role]]
name = "operator"
roots = "{AGENT_FOLDER}operator.pem"

[[update.component]]
name = "sensor"
path = "{SENSOR_PATH}"
restart_signal = "TERM"
"#,
        fleet = seen(plant.fleet),
        checkpoint = seen(plant.checkpoint),
    )
}
