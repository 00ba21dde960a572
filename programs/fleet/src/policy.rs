//! The policy file: as text with its bases beside it, or signed by everybody whom the configuration
//! names.

use crate::authority::sha256_hex;
use crate::config::TrustFiles;
use crate::trust::{certificates, read};
use crate::{Error, clock};
use std::path::Path;
use touchstone_appraise::{catalog, extension};
use touchstone_certs::TrustStore;
use touchstone_crypto_awslc::AwsLc;
use touchstone_policy::{Bundle, Catalog, Fault, Limits, Policy};
use touchstone_update::{Role, Rules, Trust, inspect, open};

/// The largest file of a policy, in octets: the text, and what an envelope puts around it.
const LARGEST: u64 = 1 << 20;

/// A policy that loads, and what is to be remembered of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// The digest of its text with its bases.
    pub sha256: String,
    /// It was signed by everybody who has to: no version may follow a later one.
    pub signed: bool,
}

/// Reads the policy that the configuration names. All that is wrong is told at once.
pub fn load(files: &TrustFiles) -> Result<Loaded, Vec<Error>> {
    let catalog = words(files)?;
    let bundle = if files.policy_signers.is_empty() {
        gather(&files.policy).map_err(|error| vec![error])?
    } else {
        verified(files)?
    };
    let policy = Policy::parse(bundle.text(), &catalog)
        .map_err(|faults| faults.iter().map(|fault| told(&bundle, fault)).collect::<Vec<_>>())?;
    let signed = !files.policy_signers.is_empty();
    if signed {
        let (name, version) = (policy.name(), policy.version());
        declared(&files.policy, name, version).map_err(|error| vec![error])?;
    }
    Ok(Loaded { policy, sha256: sha256_hex(bundle.text().as_bytes()), signed })
}

/// What policies may speak of here.
fn words(files: &TrustFiles) -> Result<Catalog, Vec<Error>> {
    let mut known = catalog();
    for path in &files.policy_schemas {
        known = text(path)
            .and_then(|text| {
                extension::extend(known, &text)
                    .map_err(|error| Error::content(path, error.to_string()))
            })
            .map_err(|error| vec![error])?;
    }
    Ok(known)
}

fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read(path, LARGEST)?).map_err(|_| Error::content(path, "it is not UTF-8"))
}

/// A policy behind its bases, which lie beside it as `NAME.policy`.
fn gather(path: &Path) -> Result<Bundle, Error> {
    let folder = path.parent().unwrap_or(Path::new(""));
    Bundle::gather(&path.display().to_string(), text(path)?, |base| {
        let beside = folder.join(format!("{base}.policy"));
        if !beside.exists() {
            return Ok(None);
        }
        Ok(Some((beside.display().to_string(), text(&beside)?)))
    })
}

fn told(bundle: &Bundle, fault: &Fault) -> Error {
    let (file, at) = bundle.place(fault.at);
    Error::content(Path::new(file), Fault { at, ..fault.clone() }.to_string())
}

/// The text inside an envelope that everybody signed who has to.
fn verified(files: &TrustFiles) -> Result<Bundle, Vec<Error>> {
    let path = &files.policy;
    let mut faults = Vec::new();
    let mut roles = Vec::new();
    for (name, file) in &files.policy_signers {
        match certificates(file) {
            Ok(found) => roles.push(Role { name: name.clone(), trust: trust(found) }),
            Err(error) => faults.push(error),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let fail = |words: String| vec![Error::content(path, words)];
    let envelope = read(path, LARGEST).map_err(|error| vec![error])?;
    let refused = |refused: touchstone_update::Refused| {
        let next = "sign it with `touchstone policy sign`, once for each of `policy_signers`";
        fail(format!("{refused} ({}); {next}", refused.code()))
    };
    let component = inspect(&envelope).map_err(refused)?.manifest.component;
    if !component.starts_with("policy.") {
        return Err(fail(format!("the envelope holds `{component}` and no policy")));
    }
    let wanted = Rules { component, above: 0, roles };
    let update = open(&AwsLc, &envelope, &wanted, clock::now()).map_err(refused)?;
    let most = update.payload().len() <= Limits::TEXT;
    let text = String::from_utf8(update.payload().to_vec()).ok().filter(|_| most);
    let text = text.ok_or_else(|| fail("what was signed is no text of a policy".into()))?;
    let none = |_: &str| Ok::<_, std::convert::Infallible>(None);
    let Ok(bundle) = Bundle::gather(&path.display().to_string(), text, none);
    Ok(bundle)
}

fn trust(mut certificates: Vec<touchstone_certs::Certificate>) -> Trust {
    if certificates.len() == 1 && certificates.iter().all(|certificate| !certificate.is_ca()) {
        Trust::Pinned(certificates.swap_remove(0))
    } else {
        Trust::Anchors(TrustStore::new(certificates))
    }
}

/// The envelope says the same of itself as the policy that is in it.
fn declared(path: &Path, name: &str, version: u64) -> Result<(), Error> {
    let manifest = inspect(&read(path, LARGEST)?)
        .map_err(|refused| Error::content(path, refused.to_string()))?
        .manifest;
    if manifest.component == format!("policy.{name}") && manifest.version == version {
        return Ok(());
    }
    let words = format!(
        "the envelope is for {} version {}, the policy in it is {name} version {version}",
        manifest.component, manifest.version
    );
    Err(Error::content(path, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_certs::issue::{Kind, Template};
    use touchstone_certs::{Certificate, Name};
    use touchstone_crypto::SignatureAlgorithm;
    use touchstone_crypto_awslc::SoftSigner;
    use touchstone_update::{Manifest, countersign, seal};

    const TEXT: &str = "policy plant version 3 schema 1\ncontrol onboarded { title \"t\" severity low \
        require device.onboarded else instance-identity contraindicated }";

    struct Scene {
        folder: tempfile::TempDir,
        files: TrustFiles,
        signers: Vec<(Certificate, SoftSigner)>,
    }

    /// A fleet whose policy two people must sign, and a third who may not.
    fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let mut signers = Vec::new();
        for name in ["security", "plant", "stranger"] {
            let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
            let (name_of, now) = (Name::common_name(name).unwrap(), clock::now());
            let template = Template::new(Kind::CodeSigner, name_of, now - 60, now + 3600);
            let certificate = template.self_sign(&AwsLc, &key).unwrap();
            let path = folder.path().join(format!("{name}.pem"));
            std::fs::write(path, certificate.to_pem().unwrap()).unwrap();
            signers.push((certificate, key));
        }
        let role = |name: &str| (name.to_owned(), folder.path().join(format!("{name}.pem")));
        let files = TrustFiles {
            endorsement_roots: Vec::new(),
            onboarding: touchstone_evidence::endorse::Wanted::Either,
            device_roots: Vec::new(),
            reference_signers: Vec::new(),
            policy: folder.path().join("plant.policy"),
            policy_signers: vec![role("security"), role("plant")],
            policy_schemas: Vec::new(),
            references: Vec::new(),
        };
        Scene { folder, files, signers }
    }

    impl Scene {
        fn signed(&self, component: &str, version: u64, text: &str, by: &[usize]) {
            let manifest = Manifest::new(&AwsLc, component, version, text.as_bytes(), "").unwrap();
            let now = clock::now();
            let (certificate, key) = &self.signers[by[0]];
            let first: (&Certificate, &dyn touchstone_crypto::Signer) = (certificate, key);
            let mut envelope = seal(&AwsLc, &manifest, text.as_bytes(), &[first], now).unwrap();
            for index in &by[1..] {
                let (certificate, key) = &self.signers[*index];
                envelope = countersign(&AwsLc, &envelope, (certificate, key), now).unwrap();
            }
            std::fs::write(&self.files.policy, envelope).unwrap();
        }

        fn refused(&self) -> String {
            load(&self.files).unwrap_err()[0].to_string()
        }
    }

    #[test]
    fn a_policy_counts_with_every_signature_and_no_other() {
        let scene = scene();
        scene.signed("policy.plant", 3, TEXT, &[0, 1]);
        let loaded = load(&scene.files).unwrap();
        assert_eq!(
            (loaded.policy.name(), loaded.policy.version(), loaded.signed),
            ("plant", 3, true)
        );

        scene.signed("policy.plant", 3, TEXT, &[0]);
        assert!(scene.refused().contains("update.role.missing"), "{}", scene.refused());
        scene.signed("policy.plant", 3, TEXT, &[0, 1, 2]);
        assert!(scene.refused().contains("update.signer.unknown"), "{}", scene.refused());
        scene.signed("policy.plant", 4, TEXT, &[0, 1]);
        assert!(scene.refused().contains("the policy in it is plant version 3"));
        scene.signed("policy.other", 3, TEXT, &[0, 1]);
        assert!(scene.refused().contains("the envelope is for policy.other"));
        scene.signed("application", 3, TEXT, &[0, 1]);
        assert!(scene.refused().contains("holds `application` and no policy"));
        let typo = TEXT.replace("onboarded else", "onborded else");
        scene.signed("policy.plant", 3, &typo, &[0, 1]);
        assert!(scene.refused().contains("did you mean `device.onboarded`?"));
        std::fs::write(&scene.files.policy, TEXT).unwrap();
        assert!(scene.refused().contains("touchstone policy sign"), "{}", scene.refused());
    }

    #[test]
    fn text_is_read_with_its_bases_beside_it() {
        let mut scene = scene();
        scene.files.policy_signers.clear();
        std::fs::write(scene.folder.path().join("base.policy"), TEXT.replace("plant", "base"))
            .unwrap();
        std::fs::write(
            &scene.files.policy,
            "policy plant version 1 schema 1 extends base version 3",
        )
        .unwrap();
        let loaded = load(&scene.files).unwrap();
        assert_eq!((loaded.policy.layers().len(), loaded.signed), (2, false));
        let typo = TEXT.replace("plant version", "base vershun");
        std::fs::write(scene.folder.path().join("base.policy"), typo).unwrap();
        assert!(scene.refused().contains("base.policy:1:13:"), "{}", scene.refused());
    }
}
