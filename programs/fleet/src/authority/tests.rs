use super::*;
use crate::config;
use crate::store::{Db, Store};
use std::path::Path;
use touchstone_certs::crl::{Crl, CrlTemplate, Revoked};
use touchstone_certs::issue::Issuer;
use touchstone_certs::ocsp::{self, Reason, Request, Response};
use touchstone_certs::{CertificateRequest, PathInputs, Revocation};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::SoftSigner;
use touchstone_enroll::scep;

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

/// The default configuration with other CAs.
fn configured(authority: &str) -> Config {
    let start = config::DEFAULT.find("[authority]").unwrap();
    let end = config::DEFAULT.find("[verdict]").unwrap();
    let text = [&config::DEFAULT[..start], authority, "\n", &config::DEFAULT[end..]].concat();
    config::read("fleet.toml", &text, Path::new("/")).unwrap()
}

fn state() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    (dir, state)
}

async fn device(authority: &Authority) -> Certificate {
    let key = SoftSigner::generate(P256).unwrap();
    let names = vec![alternative_name("urn:touchstone:device:dev-1")];
    let profile = authority.profile(DEVICE).unwrap();
    let subject = common_name("dev-1").unwrap();
    authority.issue(profile, subject, names, key.spki_der(), 3600).await.unwrap().certificate
}

fn believed(root: &Certificate, chain: &[Certificate]) -> bool {
    let trust = TrustStore::new(vec![root.clone()]);
    trust.validate(&AwsLc, &chain[0], &chain[1..], clock::now(), Purpose::DeviceIdentity).is_ok()
}

#[tokio::test]
async fn the_ca_is_made_once_and_what_it_signs_is_valid() {
    let (_dir, state) = state();
    let config = configured("[authority]");
    let first = Authority::open(&state, &config).await.unwrap();
    let again = Authority::open(&state, &config).await.unwrap();
    assert_eq!(first.certificates(), again.certificates());
    let cert = device(&first).await;
    assert_eq!(cert.subject(), "CN=dev-1");
    assert_eq!(cert.ocsp_urls(), ["http://127.0.0.1:8081/ocsp"]);
    assert!(believed(&first.roots()[0], &first.chain(&cert)));
    let rows: Vec<_> = first.own().iter().map(|issued| issued.row(None)).collect();
    let told: Vec<_> = rows.iter().map(|row| (row.kind, row.profile.as_str())).collect();
    assert_eq!(told, [("ca", "root"), ("ca", "issuing")]);
}

#[tokio::test]
async fn a_certificate_of_another_key_is_not_used() {
    let (_dir, state) = state();
    let config = configured("[authority]");
    Authority::open(&state, &config).await.unwrap();
    std::fs::remove_file(state.file("root.key")).unwrap();
    let error = Authority::open(&state, &config).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("restore both"), "{error}");
}

#[tokio::test]
async fn an_old_and_a_new_ca_stand_beside_each_other() {
    let (_dir, state) = state();
    let old = Authority::open(&state, &configured("[authority]")).await.unwrap();
    let before = device(&old).await;
    let rolled = configured(
        "[authority]\n[[authority.root]]\nname = 'root-2'\nalgorithm = 'p-384'\n\
         [[authority.root]]\nname = 'root'\n[[authority.issuing]]\nname = 'issuing-2'\n\
         [[authority.issuing]]\nname = 'issuing'\n",
    );
    let new = Authority::open(&state, &rolled).await.unwrap();
    let after = device(&new).await;
    assert_ne!(before.issuer(), after.issuer());
    let [root_2, root] = new.roots() else { panic!() };
    assert_eq!(root, &old.roots()[0], "the old root stays what it was");
    // A device that knows only the old root believes what the new one issues, by the link.
    assert!(believed(root, &new.chain(&after)));
    assert!(believed(root_2, &new.chain(&after)));
    // One that knows only the new root believes what the old one issued, by the other link.
    let known = [vec![before.clone()], new.certificates()].concat();
    assert!(believed(root_2, &known) && believed(root, &known));
    assert!(!believed(root_2, &old.chain(&before)), "not without the link");
    assert_eq!(new.certificates().len(), 6, "two issuing CAs, two roots, two links");
    let again = Authority::open(&state, &rolled).await.unwrap();
    assert_eq!(again.certificates(), new.certificates(), "links are made once");
    std::fs::copy(state.file("root-with-root-2.pem"), state.file("root-2-with-root.pem")).unwrap();
    let error = Authority::open(&state, &rolled).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("does not link"), "{error}");
}

#[tokio::test]
async fn an_offline_root_signs_elsewhere() {
    let (_dir, state) = state();
    let config = configured("[authority]\n[[authority.root]]\nname = 'vault'\nkey = 'offline'\n");
    let error = Authority::open(&state, &config).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("vault.pem: is missing; put the certificate"), "{error}");

    let key = SoftSigner::generate(P256).unwrap();
    let name = Name::common_name("Vault").unwrap();
    let now = clock::now();
    let vault =
        Template::new(Kind::Root, name, now - 60, now + 86400).self_sign(&AwsLc, &key).unwrap();
    state.write("vault.pem", vault.to_pem().unwrap().as_bytes()).unwrap();
    let error = Authority::open(&state, &config).await.map(drop).unwrap_err();
    assert!(
        error.to_string().contains("sign") && error.to_string().contains("issuing.csr"),
        "{error}"
    );

    let request = std::fs::read(state.file("issuing.csr")).unwrap();
    let request = CertificateRequest::from_pem(&request).unwrap().verify(&AwsLc).unwrap();
    let sign = |kind: Kind| {
        Template::new(kind, request.subject().clone(), now - 60, now + 3600)
            .issue(&AwsLc, &Issuer::new(&vault, &key).unwrap(), request.spki_der())
            .unwrap()
            .to_pem()
            .unwrap()
    };
    state.write("issuing.pem", sign(Kind::Server).as_bytes()).unwrap();
    let error = Authority::open(&state, &config).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("no CA's certificate"), "{error}");
    state.write("issuing.pem", sign(Kind::Intermediate { path_len: 0 }).as_bytes()).unwrap();
    let authority = Authority::open(&state, &config).await.unwrap();
    let cert = device(&authority).await;
    assert!(believed(&vault, &authority.chain(&cert)));
}

#[tokio::test]
async fn a_site_issues_for_its_own_names_alone() {
    let (_dir, state) = state();
    let config = configured(
        "[authority]\n[[authority.issuing]]\nname = 'plant-7'\n\
         permitted = ['dns:plant-7.example', 'ip:10.7.0.0/16']\n",
    );
    let authority = Authority::open(&state, &config).await.unwrap();
    let key = SoftSigner::generate(P256).unwrap();
    let profile = authority.profile("server").unwrap();
    let issue = async |name: &str| {
        let names = vec![alternative_name(name)];
        authority.issue(profile, Name::empty(), names, key.spki_der(), 3600).await
    };
    issue("a.plant-7.example").await.unwrap();
    issue("10.7.3.1").await.unwrap();
    for outside in ["a.plant-8.example", "10.8.0.1"] {
        let error = issue(outside).await.unwrap_err();
        assert_eq!(error.code(), "fleet.conflict", "{error}");
    }
}

#[tokio::test]
async fn a_key_in_a_software_element_signs_too() {
    let (dir, state) = state();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, [7; 32]).unwrap();
    let config = configured(&format!(
        "[authority]\nelements = ['software:{}/store?secret=file:{}']\n\
         [[authority.root]]\nname = 'root'\nkey = 'element:software/root'\nalgorithm = 'ml-dsa-65'\n\
         [[authority.issuing]]\nname = 'issuing'\nkey = 'element:software/issuing'\n",
        dir.path().display(),
        secret.display()
    ));
    let first = Authority::open(&state, &config).await.unwrap();
    let cert = device(&first).await;
    assert!(believed(&first.roots()[0], &first.chain(&cert)));
    assert!(!state.file("root.key").exists() && !state.file("issuing.key").exists());
    drop(first);
    // The store has one owner at a time; the first lets go of it beside us.
    let mut again = Authority::open(&state, &config).await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        again = Authority::open(&state, &config).await;
    }
    let again = again.unwrap();
    assert!(believed(&again.roots()[0], &again.chain(&device(&again).await)));
}

async fn store(state: &StateDir) -> Store {
    let path = state.database();
    Store::open(move || Db::open(&path, "default")).await.unwrap()
}

fn crl(file: &Published) -> Crl {
    Crl::decode(&file.octets).unwrap()
}

#[tokio::test]
async fn an_issuing_ca_that_its_root_revoked_issues_nothing_and_is_believed_by_nobody() {
    let (_dir, state) = state();
    let mut config = configured("[authority]");
    config.crl.url = Some("http://fleet.example".to_owned());
    let authority = Authority::open(&state, &config).await.unwrap();
    let store = store(&state).await;
    let (root, issuing) =
        (authority.roots()[0].clone(), authority.issuing()[0].certificate.clone());
    assert_eq!(issuing.crl_urls(), ["http://fleet.example/crl/root.crl"]);
    assert_eq!(issuing.issuer_urls(), ["http://fleet.example/ca/root.cer"]);
    assert_eq!(issuing.ocsp_urls(), ["http://127.0.0.1:8081/ocsp"]);
    assert_eq!(authority.certificate_of("root"), Some(&root));
    let own: Vec<_> = authority.own().iter().map(|issued| issued.row(None)).collect();
    let own = move |db: &mut Db| own.iter().try_for_each(|row| db.ensure_certificate(row, 1));
    store.call(own).await.unwrap();
    authority.publish(&store).await.unwrap();
    let cert = device(&authority).await;

    let valid = async || {
        let list = async |name: &str| crl(&authority.crl(name).unwrap());
        let crls = [list("root.crl").await, list("issuing.crl").await];
        let trust = TrustStore::new(vec![root.clone()]);
        let revocation = Revocation { crls: &crls, ..Revocation::default() };
        let inputs = PathInputs::new(clock::now(), Purpose::Any).with_revocation(revocation);
        let said = trust.validate_with(&AwsLc, &cert, std::slice::from_ref(&issuing), &inputs);
        said.map(drop).map_err(|error| (error.code(), error.to_string()))
    };
    let status = async || {
        let request = Request::new(&AwsLc, &issuing, &root, None).unwrap();
        let said = authority.status(&store, &request).await.unwrap().unwrap();
        let said = Response::decode(&said.octets).unwrap();
        let said = said.verify(&AwsLc, &issuing, &root, None, clock::now()).unwrap();
        said.into_inner().status
    };
    assert_eq!(valid().await, Ok(()));
    assert_eq!(status().await, ocsp::Status::Good);

    let serial = issuing.serial();
    let revoke = move |db: &mut Db| {
        db.revoke_certificate(&serial, None, "cACompromise", clock::now()).map(drop)
    };
    store.call(revoke).await.unwrap();
    // Lists are made at most once in two seconds.
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    authority.publish(&store).await.unwrap();
    assert!(matches!(status().await, ocsp::Status::Revoked { .. }));
    let (code, words) = valid().await.unwrap_err();
    assert_eq!(code, "certs.refused.revoked");
    assert!(words.contains("issuing"), "{words}");
    assert!(!authority.certificates().contains(&issuing));
    let key = SoftSigner::generate(P256).unwrap();
    let profile = authority.profile(DEVICE).unwrap();
    let name = common_name("dev-2").unwrap();
    let said = authority.issue(profile, name, Vec::new(), key.spki_der(), 60).await.unwrap_err();
    assert!(said.to_string().contains("revoked the issuing CA `issuing`"), "{said}");

    // Neither is a root's own certificate revoked, nor does a restart forget.
    let serial = root.serial();
    let said = store
        .call(move |db| db.revoke_certificate(&serial, None, "unspecified", clock::now()).map(drop))
        .await;
    assert!(said.unwrap_err().to_string().contains("not revoked but replaced"));
    let again = Authority::open(&state, &config).await.unwrap();
    again.publish(&store).await.unwrap();
    assert!(again.is_revoked(&again.issuing()[0]));
}

/// Two roots of one name, the second made by a rollover: keys that are elsewhere.
struct Vault {
    certificates: [Certificate; 2],
    keys: [SoftSigner; 2],
}

impl Vault {
    fn new() -> Self {
        let keys = [(); 2].map(|()| SoftSigner::generate(P256).unwrap());
        let certificates = [0, 1].map(|index| Self::root(index).self_sign(&AwsLc, &keys[index]));
        Self { certificates: certificates.map(Result::unwrap), keys }
    }

    fn root(index: usize) -> Template {
        let (name, age) = (Name::common_name("Vault").unwrap(), [600, 60][index]);
        Template::new(Kind::Root, name, clock::now() - age, clock::now() + 86400)
    }

    fn link(&self, of: usize, by: usize) -> String {
        let issuer = Issuer::new(&self.certificates[by], &self.keys[by]).unwrap();
        let link = Self::root(of).issue(&AwsLc, &issuer, self.keys[of].spki_der()).unwrap();
        link.to_pem().unwrap()
    }

    fn issue(&self, state: &StateDir) -> String {
        let request = std::fs::read(state.file("issuing.csr")).unwrap();
        let request = CertificateRequest::from_pem(&request).unwrap().verify(&AwsLc).unwrap();
        let issuer = Issuer::new(&self.certificates[0], &self.keys[0]).unwrap();
        let (kind, now) = (Kind::Intermediate { path_len: 0 }, clock::now());
        Template::new(kind, request.subject().clone(), now - 60, now + 3600)
            .issue(&AwsLc, &issuer, request.spki_der())
            .and_then(|made| made.to_pem())
            .unwrap()
    }

    fn list(&self, by: usize, at: (u64, u64), revoked: &[&Certificate]) -> String {
        let reason = Reason::CaCompromise;
        let one = |it: &&Certificate| Revoked { serial: it.serial(), at: at.0, reason };
        CrlTemplate::new(at.0, at.0, at.1)
            .with_revoked(revoked.iter().map(one).collect())
            .sign(&AwsLc, &self.certificates[by], &self.keys[by])
            .and_then(|made| made.to_pem())
            .unwrap()
    }
}

#[tokio::test]
async fn the_lists_and_the_links_of_an_offline_root_are_brought() {
    let (_dir, state) = state();
    let vault = Vault::new();
    let write = |file: &str, pem: &str| state.write(file, pem.as_bytes()).unwrap();
    let one = "[[authority.root]]\nname = 'vault'\nkey = 'offline'\n";
    let mut config = configured(&format!("[authority]\n{one}"));
    config.crl.url = Some("http://fleet.example".to_owned());
    write("vault.pem", &vault.certificates[0].to_pem().unwrap());
    let asked = Authority::open(&state, &config).await.map(drop).unwrap_err().to_string();
    let flags = "--crl-url http://fleet.example/crl/vault.crl \
                 --issuer-url http://fleet.example/ca/vault.cer";
    assert!(asked.contains(flags), "{asked}");
    write("issuing.pem", &vault.issue(&state));
    let authority = Authority::open(&state, &config).await.unwrap();
    let store = store(&state).await;
    let (now, issuing) = (clock::now(), authority.issuing()[0].certificate.clone());
    assert_eq!(authority.certificate_of("vault"), Some(&vault.certificates[0]));
    authority.publish(&store).await.unwrap();
    assert!(authority.crl("vault.crl").is_none(), "nobody has brought one");

    let stranger = Vault::new();
    for (pem, words) in [
        (stranger.list(0, (now, now + 60), &[]), "signed by no root"),
        (vault.list(0, (now + 900, now + 999), &[]), "from the future"),
        ("nonsense".to_owned(), ""),
        (vault.list(0, (now, now + 60), &[]).repeat(2), "holds 2 lists"),
    ] {
        write("vault.crl", &pem);
        let said = authority.publish(&store).await.unwrap_err().to_string();
        assert!(said.contains("vault.crl") && said.contains(words), "{said}");
        assert!(authority.crl("vault.crl").is_none());
    }
    write("vault.crl", &vault.list(0, (now - 9, now + 60), &[]));
    authority.publish(&store).await.unwrap();
    assert!(crl(&authority.crl("vault.crl").unwrap()).is_empty());
    assert!(!authority.is_revoked(&authority.issuing()[0]));
    write("vault.crl", &vault.list(0, (now - 99, now + 60), &[]));
    let said = authority.publish(&store).await.unwrap_err().to_string();
    assert!(said.contains("older than the one before"), "{said}");
    write("vault.crl", &vault.list(0, (now - 5, now + 60), &[&issuing]));
    authority.publish(&store).await.unwrap();
    assert!(authority.is_revoked(&authority.issuing()[0]));

    // After its rollover both roots have one name, and the new key signs the list.
    let two = "[[authority.root]]\nname = 'vault-2'\nkey = 'offline'\n";
    let next = "[[authority.issuing]]\nname = 'issuing'\n\
                [[authority.issuing]]\nname = 'issuing-2'\nnext = true\n";
    let config = configured(&format!("[authority]\n{two}{one}{next}"));
    write("vault-2.pem", &vault.certificates[1].to_pem().unwrap());
    write("vault.crl", &vault.list(1, (now - 4, now + 60), &[]));
    write("issuing-2.key", &state.read("issuing.key").unwrap().unwrap());
    write("issuing-2.pem", &state.read("issuing.pem").unwrap().unwrap());
    let links = [("vault-2-with-vault.pem", (1, 0)), ("vault-with-vault-2.pem", (0, 1))];
    for (file, (of, by)) in links {
        write(file, &vault.link(of, by));
    }
    let rolled = Authority::open(&state, &config).await.unwrap();
    rolled.publish(&store).await.unwrap();
    assert!(!rolled.is_revoked(&rolled.issuing()[0]), "the newest list counts");
    let told = rolled.certificates();
    let link = |file: &str| Certificate::from_pem(state.read(file).unwrap().unwrap().as_bytes());
    let brought = links.map(|(file, _)| link(file).unwrap().remove(0));
    assert!(brought.iter().all(|link| told.contains(link)), "by EST's cacerts");
    let message = rolled.next().await.unwrap().unwrap();
    let next = scep::next_ca_certificates(&AwsLc, &message, &issuing).unwrap().into_inner();
    assert!(brought.iter().all(|link| next.contains(link)), "by SCEP's GetNextCACert");
    // Whoever knows the old root believes the new one, and the other way round.
    for root in &vault.certificates {
        let cert = device(&rolled).await;
        assert!(believed(root, &[vec![cert], told.clone()].concat()));
    }
}

#[test]
fn names_are_told_apart() {
    assert!(matches!(alternative_name("::1"), AlternativeName::Ip(_)));
    assert!(matches!(alternative_name("urn:a:b"), AlternativeName::Uri(_)));
    assert!(matches!(alternative_name("broker"), AlternativeName::Dns(_)));
}
