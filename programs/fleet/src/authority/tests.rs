use super::*;
use crate::config;
use std::path::Path;
use touchstone_certs::CertificateRequest;
use touchstone_certs::issue::Issuer;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::SoftSigner;

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

#[test]
fn names_are_told_apart() {
    assert!(matches!(alternative_name("::1"), AlternativeName::Ip(_)));
    assert!(matches!(alternative_name("urn:a:b"), AlternativeName::Uri(_)));
    assert!(matches!(alternative_name("broker"), AlternativeName::Dns(_)));
}
