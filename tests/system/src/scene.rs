//! The whole loop, as the demo shows it and the system test checks it: one device from its first
//! boot to its healing, and a second one that is refused.
//! Every line that is reported was observed, at the device, the fleet or a peer.

mod attacks;
mod command_line;
pub mod factory;
pub(crate) mod gateway;
mod plant;
mod report;
mod steps;
mod watch;

pub use plant::Plant;
pub use report::Report;

use crate::device::{Device, Hardware, SecureBoot};
use crate::image::BootImage;
use crate::interrupt::Scratch;
use crate::tpm::EndorsementAuthority;
use crate::varstore::SecureBootKeys;
use anyhow::{Context, Result};
use factory::Factory;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use watch::Watch;

/// What a run does beyond the eight steps.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Also kill fleet and agent half-way and see them pick up where they were.
    pub kill: bool,
    /// Save pictures of the console into this folder.
    pub screenshots: Option<PathBuf>,
}

/// Everything that is running.
pub struct Scene {
    factory: Factory,
    keys: SecureBootKeys,
    authority: EndorsementAuthority,
    image: BootImage,
    unsigned: BootImage,
    sensors: [PathBuf; 2],
    /// The plant.
    pub plant: Plant,
    /// The agent's configuration, file by file.
    configuration: Vec<(String, Vec<u8>)>,
    watch: Watch,
    hardware: Hardware,
    device: Option<Device>,
    second: Option<Device>,
    /// The first device's id in the fleet, once it is known.
    id: String,
    scratch: Scratch,
}

impl Scene {
    /// Builds the image, founds the fleet, starts the peers, and assembles the first device.
    pub fn set(programs: &Path, report: &mut Report) -> Result<Self> {
        let scratch = Scratch::new()?;
        let folder = scratch.path();
        let factory = Factory::new()?;
        let keys = SecureBootKeys::generate("Example Gateways")?;
        let sensors = [1, 2].map(|version| programs.join(format!("touchstone-sensor-{version}")));

        report.begin("building the boot image: kernel, agent, sensor");
        let unsigned = gateway::build_image(programs, &sensors[0], folder)?;
        let image = unsigned.signed(&keys, &folder.join("gateway.signed.efi"))?;

        report.begin("making the device: TPM, endorsement certificate, IDevID");
        let authority = EndorsementAuthority::new(&scratch.folder("endorsement-authority")?)?;
        let first = scratch.folder("gateway-1")?;
        let tpm = gateway::manufacture(&first, "gateway-0001", &authority, &factory)?;

        report.begin("starting fleet, checkpoint, broker and SIEM");
        let references = [
            factory.image_references(
                &programs.join("touchstone"),
                image.path(),
                &keys,
                &folder.join("publishing"),
            )?,
            factory.key_references(&keys)?,
            factory.sensor_references(1, &sensors[0])?,
        ];
        let chain = authority.chain_pem()?;
        let plant =
            Plant::start(programs, &scratch.folder("plant")?, &factory, &chain, &references)?;
        let watch = Watch::start(plant.broker.observer)?;
        let configuration = gateway::configuration(&plant, &factory)?;
        plant.post("/api/v1/references", &factory.configuration_references(&configuration)?)?;
        let (sensor, secure_boot) = (&sensors[0], SecureBoot::On(&keys));
        let hardware =
            gateway::assemble(&first, &image, &secure_boot, sensor, &configuration, tpm)?;
        Ok(Self {
            factory,
            keys,
            authority,
            image,
            unsigned,
            sensors,
            plant,
            configuration,
            watch,
            hardware,
            device: None,
            second: None,
            id: String::new(),
            scratch,
        })
    }

    /// Plays all the steps.
    pub fn play(&mut self, report: &mut Report, options: &Options) -> Result<()> {
        self.boot(report)?;
        self.onboard(report)?;
        self.affirm(report)?;
        self.try_policy(report)?;
        self.identify(report)?;
        self.connect(report)?;
        self.picture(options, "affirming")?;
        if options.kill {
            self.kill(report)?;
        }
        self.catch(report)?;
        self.picture(options, "contraindicated")?;
        self.heal(report)?;
        self.refuse_changed(report)?;
        self.switch_on_rogue()?;
        self.reconfigure(report)?;
        self.refuse(report)?;
        self.picture(options, "refused")
    }

    /// Leaves the folder of the run behind, to look at.
    pub fn keep_folder(&mut self) -> &Path {
        self.scratch.keep();
        self.scratch.path()
    }

    fn device(&self) -> Result<&Device> {
        self.device.as_ref().context("the device is off")
    }
}

/// Asks `look` until it has an answer; after `limit` the error says what was waited for, and the
/// last reason why not.
fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let found = look();
        match found {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if start.elapsed() > limit => {
                anyhow::bail!("{what}: not seen within {} s", limit.as_secs())
            }
            Err(error) if start.elapsed() > limit => return Err(error.context(what.to_owned())),
            Ok(None) | Err(_) => std::thread::sleep(Duration::from_millis(150)),
        }
    }
}
