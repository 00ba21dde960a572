//! Unified kernel images: what they are measured as, and the registers that a boot of them leads to.

use crate::answer::{Answer, Failure};
use crate::cli::Images;
use crate::files::{self, LARGE, SMALL};
use crate::signing;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::path::Path;
use touchstone_appraise::references::{Document, ReferenceValue};
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::predict::{
    Boot, InnerKernel, PHASES, SecureBoot, Step, Uki, signature_data,
};
use touchstone_measure::tcg::{EventType, SignatureDatabase};
use touchstone_measure::{Error, authenticode};

/// The registers that are told.
const TOLD: [u32; 6] = [4, 7, 9, 11, 12, 13];
/// The stub from which on it depends on shim whether the kernel in an image is measured.
const STUB_ASKS_SHIM: u32 = 258;

/// Adds images with what they are measured as, and the registers that they lead to.
pub(super) fn predict(
    mut answer: Answer,
    document: &mut Document,
    images: &Images,
) -> Result<Answer, Failure> {
    if images.ukis.is_empty() {
        return Ok(answer);
    }
    let bank = HashAlgorithm::from(images.bank);
    let loaders = images.loaders.iter().map(|path| files::read(path, LARGE));
    let loaders = loaders.collect::<Result<Vec<_>, _>>()?;
    let initrd = images.initrd.as_ref().map(|path| files::read(path, LARGE)).transpose()?;
    let variables = variables(images)?;
    let phases = phases(images)?;
    let mut told = Vec::new();
    for path in &images.ukis {
        let shown = path.display().to_string();
        let refused = |error: Error| {
            let next = "give a unified kernel image as ukify makes it, and the loaders before it";
            Failure::unknown(error.code(), format!("{shown}: {error}"), next)
        };
        let uki = files::read(path, LARGE)?;
        let mut boot = Boot::of(&uki);
        boot.loaders = loaders.iter().map(Vec::as_slice).collect();
        boot.initrd = initrd.as_deref();
        boot.command_line = images.command_line.as_deref();
        boot.secure_boot = variables.as_ref().map(Variables::secure_boot);
        let prediction = Told::of(&mut boot, &phases, bank).map_err(refused)?;
        if let Some(line) = Uki::decode(&uki).map_err(refused)?.section(".cmdline", 0)
            && let Ok(line) = core::str::from_utf8(line)
        {
            document.command_line(line.trim_end_matches(['\n', '\0']));
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        document.values.extend(prediction.steps.iter().filter_map(|step| value_of(step, &name)));
        for (index, values) in &prediction.values {
            for value in values {
                document.values.push(ReferenceValue::Pcr { index: *index, value: *value });
                answer = answer.line(format_args!("PCR {index:<6} {value}"));
            }
        }
        for (index, why) in &prediction.left_out {
            answer = answer.word(format_args!("{shown}: PCR {index} is not told: {why}"));
        }
        told.push(prediction.to_json(&shown));
    }
    if let Some(line) = &images.command_line {
        document.command_line(line);
    }
    document.values.sort_unstable();
    document.values.dedup();
    Ok(answer.with("predicted", told))
}

/// What one measurement is compared with: an image of the firmware's, or what others measure.
fn value_of(step: &Step, image: &str) -> Option<ReferenceValue> {
    let name = format!("{} of {image}", step.what);
    match step.kind {
        EventType::EFI_BOOT_SERVICES_APPLICATION => {
            Some(ReferenceValue::BootImage { name, digest: step.digest })
        }
        EventType::IPL | EventType::EVENT_TAG => {
            Some(ReferenceValue::Measurement { name, digest: step.digest })
        }
        _ => None,
    }
}

/// The registers that one image leads to.
struct Told {
    values: BTreeMap<u32, Vec<Digest>>,
    left_out: Vec<(u32, &'static str)>,
    steps: Vec<Step>,
}

impl Told {
    fn of<'a>(
        boot: &mut Boot<'a>,
        phases: &[&'a [&'a str]],
        bank: HashAlgorithm,
    ) -> Result<Self, Error> {
        let shim = boot.loaders.iter().any(|loader| is_shim(loader));
        let mut told = Self { values: BTreeMap::new(), left_out: Vec::new(), steps: Vec::new() };
        if shim {
            told.left_out.push((7, "shim measures variables of its own into it"));
            if Uki::decode(boot.uki)?.stub_version() >= STUB_ASKS_SHIM {
                let why = "whether the kernel in the image is measured depends on shim";
                told.left_out.push((4, why));
                boot.inner_kernel = Some(InnerKernel::NotMeasured);
            }
        }
        for phases in phases {
            boot.phases = phases;
            let prediction = boot.predict(&AwsLc, bank)?;
            for (index, why) in prediction.unpredictable() {
                if !told.leaves_out(*index) {
                    told.left_out.push((*index, why));
                }
            }
            for index in TOLD {
                let value = prediction.value(&AwsLc, index).filter(|_| !told.leaves_out(index));
                let values = told.values.entry(index).or_default();
                values.extend(value.filter(|value| !values.contains(value)));
            }
            told.steps.extend_from_slice(prediction.steps());
        }
        told.values.retain(|_, values| !values.is_empty());
        Ok(told)
    }

    fn leaves_out(&self, index: u32) -> bool {
        self.left_out.iter().any(|(other, _)| *other == index)
    }

    fn to_json(&self, image: &str) -> serde_json::Value {
        let texts =
            |values: &Vec<Digest>| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        let pcrs: Map<_, _> =
            self.values.iter().map(|(index, of)| (index.to_string(), texts(of).into())).collect();
        let left_out: Map<_, _> =
            self.left_out.iter().map(|(index, why)| (index.to_string(), (*why).into())).collect();
        json!({ "image": image, "pcrs": pcrs, "not_told": left_out })
    }
}

/// Shim says so in its SBAT; before it had one, by the variable that it tells its keys in.
fn is_shim(image: &[u8]) -> bool {
    let variable: Vec<u8> = "MokListRT".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let own_line =
        |sbat: &[u8]| sbat.split(|octet| *octet == b'\n').any(|of| of.starts_with(b"shim,"));
    authenticode::sections(image).is_ok_and(|sections| {
        sections.iter().any(|section| section.name == ".sbat" && own_line(section.data))
            || sections.iter().any(|section| {
                section.data.windows(variable.len()).any(|window| window == variable)
            })
    })
}

/// For each moment at which devices quote, the phases until then.
fn phases(images: &Images) -> Result<Vec<&'static [&'static str]>, Failure> {
    if images.phases.is_empty() {
        return Ok(vec![&[]]);
    }
    let until = |last: &String| {
        let at = PHASES.iter().position(|phase| phase == last);
        at.and_then(|at| PHASES.get(..=at)).ok_or_else(|| {
            let message = format!("`{last}` is no phase of a boot");
            Failure::usage(message, format_args!("give one of {}", PHASES.join(", ")))
        })
    };
    images.phases.iter().map(until).collect()
}

/// Secure Boot's variables, and the entry of db that images are verified with.
#[derive(Default)]
struct Variables {
    pk: Vec<u8>,
    kek: Vec<u8>,
    db: Vec<u8>,
    dbx: Vec<u8>,
    entry: Vec<u8>,
}

impl Variables {
    fn secure_boot(&self) -> SecureBoot<'_> {
        SecureBoot::on(&self.pk, &self.kek, &self.db, &self.dbx).verified_by_db(&self.entry)
    }
}

fn variables(images: &Images) -> Result<Option<Variables>, Failure> {
    let Some(signed_by) = &images.signed_by else { return Ok(None) };
    let mut found = Variables::default();
    let mut given = Vec::new();
    for argument in &images.efi_variables {
        let (name, path) = files::pair(argument, "`--efi-variable db=FILE`")?;
        let to = match name {
            "pk" => &mut found.pk,
            "kek" => &mut found.kek,
            "db" => &mut found.db,
            "dbx" => &mut found.dbx,
            other => {
                let message = format!("`{other}` is no variable of Secure Boot");
                return Err(Failure::usage(message, "write pk, kek, db or dbx"));
            }
        };
        if given.contains(&name) {
            return Err(Failure::usage(format!("`{name}` is given twice"), "give it once"));
        }
        given.push(name);
        *to = signature_lists(Path::new(path))?;
    }
    if let Some(missing) = ["pk", "kek", "db", "dbx"].iter().find(|name| !given.contains(name)) {
        let next = "give all four; an empty file is a variable that does not exist";
        return Err(Failure::usage(format!("`--efi-variable {missing}=FILE` is missing"), next));
    }
    let certificate = signing::certificates(signed_by)?.swap_remove(0);
    let database = SignatureDatabase::decode(&found.db);
    let entry = database
        .as_ref()
        .and_then(|database| database.entries.iter().find(|entry| entry.data == certificate.der()));
    let Some(entry) = entry else {
        let message = format!("db does not hold {}", certificate.subject());
        let next =
            "give the db of the devices, and the certificate in it that the image is signed with";
        return Err(Failure::unknown("reference.uki.signed-by", message, next));
    };
    found.entry = signature_data(entry.owner, certificate.der());
    Ok(Some(found))
}

/// The content of a variable: efivarfs puts four octets of attributes before it.
fn signature_lists(path: &Path) -> Result<Vec<u8>, Failure> {
    let octets = files::read(path, SMALL)?;
    let lists = |octets: &[u8]| octets.is_empty() || SignatureDatabase::decode(octets).is_some();
    if lists(&octets) {
        return Ok(octets);
    }
    match octets.get(4..) {
        Some(rest) if lists(rest) => Ok(rest.to_vec()),
        _ => {
            let message =
                format!("{} holds no signature lists (UEFI 2.10 §32.4.1)", path.display());
            let next = "copy the variable from /sys/firmware/efi/efivars, or use an .esl file";
            Err(Failure::unknown("reference.uki.variable", message, next))
        }
    }
}
