//! Everybody who signs something in the scene, each with keys of their own: the device's maker, the
//! publisher of its software, its operator, and a stranger.

use crate::tools;
use crate::varstore::{SecureBootKeys, signature_list};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use touchstone_appraise::references::{Database, Document};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{Certificate, FOREVER, Name, TrustStore};
use touchstone_crypto::{SignatureAlgorithm, Signer, Verified};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_update::Manifest;

/// The tenant of the scene's fleet.
pub const TENANT: &str = "default";
/// The component that updates replace.
pub const COMPONENT: &str = "sensor";
/// Where that component is on the device.
pub const SENSOR_PATH: &str = "/data/app/sensor";
/// The folder of the agent's configuration on the device.
pub const AGENT_FOLDER: &str = "/data/agent/";

const YEAR: u64 = 365 * 24 * 3_600;

/// Somebody with a key and a certificate for it.
pub struct Signatory {
    /// The certificate.
    pub certificate: Certificate,
    key: SoftSigner,
}

/// Everybody who signs.
pub struct Factory {
    /// The device maker's CA, which identifies devices (IDevID).
    pub maker: Signatory,
    /// Publishes software and its reference values.
    pub publisher: Signatory,
    /// Runs the plant, and releases updates for it.
    pub operator: Signatory,
    /// Has a certificate like the others', but no say.
    pub stranger: Signatory,
}

impl Factory {
    /// New keys for all of them.
    pub fn new() -> Result<Self> {
        Ok(Self {
            maker: Signatory::new(Kind::Root, "Example Gateways, device CA")?,
            publisher: Signatory::new(Kind::CodeSigner, "Example Gateways, releases")?,
            operator: Signatory::new(Kind::CodeSigner, "Example Plant, operations")?,
            stranger: Signatory::new(Kind::CodeSigner, "Somebody Else")?,
        })
    }

    /// A device's IDevID certificate over the key that its TPM made.
    pub fn device_certificate(&self, serial: &str, spki_der: &[u8]) -> Result<Vec<u8>> {
        let issuer = Issuer::new(&self.maker.certificate, &self.maker.key)?;
        let subject = Name::common_name(serial)?;
        let template = Template::new(Kind::Device, subject, now()?, FOREVER);
        Ok(template.issue(&AwsLc, &issuer, spki_der)?.der().to_vec())
    }

    /// The reference values of a signed boot image, as the command line works them out before anything
    /// boots: what is measured of it, and the registers that this leads to; signed by the publisher.
    pub fn image_references(
        &self,
        touchstone: &Path,
        image: &Path,
        keys: &SecureBootKeys,
        folder: &Path,
    ) -> Result<Vec<u8>> {
        std::fs::create_dir_all(folder)?;
        let file = |name: &str, content: &[u8]| -> Result<PathBuf> {
            let path = folder.join(name);
            write(&path, content).map(|()| path)
        };
        let mut build = Command::new(touchstone);
        build.args(["reference", "build", "--tenant", TENANT, "--component", "boot-image"]);
        build.args(["--version", "1", "--uki"]).arg(image);
        build.arg("--signed-by").arg(file("db.pem", keys.db_pem.as_bytes())?);
        // No device has a dbx.
        for (name, lists) in [
            ("pk", signature_list(&keys.pk)?),
            ("kek", signature_list(&keys.kek)?),
            ("db", signature_list(&keys.db)?),
            ("dbx", Vec::new()),
        ] {
            let variable = file(&format!("{name}.esl"), &lists)?;
            build.arg("--efi-variable").arg(format!("{name}={}", variable.display()));
        }
        let key = self.publisher.write_key(folder, "publisher")?;
        build.arg("--cert").arg(self.publisher.write_certificate(folder, "publisher")?);
        build.arg("--key").arg(format!("file:{}", key.display()));
        let out = folder.join("image.references");
        tools::run(build.arg("--out").arg(&out))?;
        Ok(std::fs::read(&out)?)
    }

    /// Whose keys Secure Boot may trust, signed by the publisher.
    pub fn key_references(&self, keys: &SecureBootKeys) -> Result<Vec<u8>> {
        let mut document = Document::new(TENANT, "secure-boot", 1);
        document.secure_boot_key(&AwsLc, Database::Pk, &keys.pk);
        document.secure_boot_key(&AwsLc, Database::Kek, &keys.kek);
        document.secure_boot_key(&AwsLc, Database::Db, &keys.db);
        self.publish(&document)
    }

    /// The reference values of one version of the sensor with the libraries that it runs on,
    /// signed by the publisher.
    pub fn sensor_references(&self, version: u64, program: &Path) -> Result<Vec<u8>> {
        let mut document = Document::new(TENANT, COMPONENT, version);
        document.file(&AwsLc, SENSOR_PATH, &std::fs::read(program)?)?.file_scope("/data/app/");
        for library in tools::shared_libraries(program)? {
            document.file(&AwsLc, &library.to_string_lossy(), &std::fs::read(&library)?)?;
        }
        self.publish(&document)
    }

    /// The reference values of the agent's configuration, signed by the publisher: these files are
    /// all that may be read from its folder.
    pub fn configuration_references(&self, files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
        let mut document = Document::new(TENANT, "agent-configuration", 1);
        for (name, content) in files {
            document.file(&AwsLc, &format!("{AGENT_FOLDER}{name}"), content)?;
        }
        document.file_scope(AGENT_FOLDER);
        self.publish(&document)
    }

    fn publish(&self, document: &Document) -> Result<Vec<u8>> {
        let signer = (&self.publisher.certificate, &self.publisher.key as &dyn Signer);
        Ok(touchstone_cms::SignedData::sign(
            &AwsLc,
            &document.to_json(),
            touchstone_cms::DATA,
            &[signer],
            now()?,
        )?)
    }

    /// A document as the fleet gets to see it: signed by the publisher and opened again.
    pub fn opened(&self, document: &Document) -> Result<Verified<Document>> {
        let trust = TrustStore::from_pem(self.publisher.certificate.to_pem()?.as_bytes())?;
        Ok(Document::open(&AwsLc, &self.publish(document)?, &trust, now()?)?)
    }

    /// An update envelope for the sensor with these signatures on it.
    pub fn update(&self, version: u64, program: &[u8], signers: &[&Signatory]) -> Result<Vec<u8>> {
        let manifest = Manifest::new(&AwsLc, COMPONENT, version, program, "restores the sensor")?;
        let signers: Vec<_> = signers
            .iter()
            .map(|signatory| (&signatory.certificate, &signatory.key as &dyn Signer))
            .collect();
        Ok(touchstone_update::seal(&AwsLc, &manifest, program, &signers, now()?)?)
    }
}

impl Signatory {
    fn new(kind: Kind, name: &str) -> Result<Self> {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
        let now = now()?;
        let template = Template::new(kind, Name::common_name(name)?, now - 60, now + 10 * YEAR);
        let certificate = template.self_sign(&AwsLc, &key)?;
        Ok(Self { certificate, key })
    }

    /// Writes the certificate as `<name>.pem` into `folder`.
    pub fn write_certificate(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let path = folder.join(format!("{name}.pem"));
        write(&path, self.certificate.to_pem()?.as_bytes())?;
        Ok(path)
    }

    /// Writes the key as `<name>.key` into `folder`.
    pub fn write_key(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let path = folder.join(format!("{name}.key"));
        write(&path, self.key.to_pkcs8_pem().as_bytes())?;
        Ok(path)
    }
}

/// Writes a file, or says which could not be.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Seconds since 1970.
pub fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_update::{Role, Rules, Trust};

    #[test]
    fn an_update_with_both_signatures_opens_and_with_one_does_not() {
        let factory = Factory::new().unwrap();
        let role = |name: &str, by: &Signatory| Role {
            name: name.into(),
            trust: Trust::Pinned(by.certificate.clone()),
        };
        let rules = Rules {
            component: COMPONENT.into(),
            above: 1,
            roles: vec![role("publisher", &factory.publisher), role("operator", &factory.operator)],
        };
        let both = factory.update(2, b"new", &[&factory.publisher, &factory.operator]).unwrap();
        assert!(touchstone_update::open(&AwsLc, &both, &rules, now().unwrap()).is_ok());
        let one = factory.update(2, b"new", &[&factory.publisher]).unwrap();
        assert!(touchstone_update::open(&AwsLc, &one, &rules, now().unwrap()).is_err());
    }
}
