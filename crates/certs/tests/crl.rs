//! CRLs: made here and read by OpenSSL, GnuTLS and NSS; made by OpenSSL and read here; and when one
//! counts.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use touchstone_certs::crl::{CrlTemplate, Only, Revoked, partition_of};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::Reason;
use touchstone_certs::{
    Certificate, Crl, Error, Name, PathInputs, Purpose, Revocation, TrustStore,
};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::{openssl, tool};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

struct Ca {
    certificate: Certificate,
    key: SoftSigner,
}

impl Ca {
    fn new() -> Self {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let name = Name::common_name("Plant CA").unwrap();
        let template = Template::new(Kind::Root, name, NOW - DAY, NOW + 100 * DAY);
        Self { certificate: template.self_sign(&AwsLc, &key).unwrap(), key }
    }

    fn leaf(&self, serial: u8, urls: &[&str]) -> Certificate {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let name = Name::common_name(&format!("leaf {serial}")).unwrap();
        let mut template = Template::new(Kind::Device, name, NOW - DAY, NOW + 90 * DAY);
        template.serial = Some(vec![serial]);
        let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
        template.with_crls(urls).issue(&AwsLc, &issuer, key.spki_der()).unwrap()
    }

    fn sign(&self, template: &CrlTemplate) -> Crl {
        template.sign(&AwsLc, &self.certificate, &self.key).unwrap()
    }

    fn ask(&self, leaf: &Certificate, crls: &[Crl], at: u64, grace: u64) -> &'static str {
        let trust = TrustStore::new(vec![self.certificate.clone()]);
        let revocation = Revocation { crls, grace, ..Revocation::default() };
        let inputs = PathInputs::new(at, Purpose::Any).with_revocation(revocation);
        let said = trust.validate_with(&AwsLc, leaf, &[], &inputs);
        said.as_ref().map_or_else(Error::code, |_| "valid")
    }
}

fn revoked(serial: u8, reason: Reason) -> Revoked {
    Revoked { serial: format!("{serial:02x}"), at: NOW - 60, reason }
}

fn list(number: u64) -> CrlTemplate {
    CrlTemplate::new(number, NOW - 60, NOW + DAY)
}

#[test]
fn a_certificate_is_good_while_a_fresh_list_does_not_name_it() {
    let ca = Ca::new();
    let (good, bad) = (ca.leaf(1, &[]), ca.leaf(2, &[]));
    let crl = ca.sign(&list(7).with_revoked(vec![revoked(2, Reason::KeyCompromise)]));
    assert_eq!((crl.number().as_str(), crl.len()), ("07", 1));
    assert_eq!(crl.revoked().next().unwrap(), revoked(2, Reason::KeyCompromise));
    let crls = [crl];
    assert_eq!(ca.ask(&good, &crls, NOW, 0), "valid");
    assert_eq!(ca.ask(&bad, &crls, NOW, 0), "certs.refused.revoked");
    assert_eq!(ca.ask(&good, &[], NOW, 0), "certs.refused.status-undetermined");
}

#[test]
fn a_list_out_of_date_decides_nothing_but_within_a_stated_grace() {
    let ca = Ca::new();
    let good = ca.leaf(1, &[]);
    let crls = [ca.sign(&list(1))];
    assert_eq!(ca.ask(&good, &crls, NOW + DAY, 0), "valid");
    assert_eq!(ca.ask(&good, &crls, NOW + DAY + 1, 0), "certs.crl.stale");
    assert_eq!(ca.ask(&good, &crls, NOW + DAY + 3600, 3600), "valid");
    assert_eq!(ca.ask(&good, &crls, NOW + DAY + 3601, 3600), "certs.crl.stale");
    assert_eq!(ca.ask(&good, &crls, NOW - 361, 0), "certs.crl.future");
}

#[test]
fn a_list_by_somebody_else_decides_nothing() {
    let (ca, other) = (Ca::new(), Ca::new());
    let good = ca.leaf(1, &[]);
    assert_eq!(ca.ask(&good, &[other.sign(&list(1))], NOW, 0), "certs.crl.unauthorized");
    assert!(list(1).sign(&AwsLc, &ca.certificate, &other.key).is_err());
}

#[test]
fn a_delta_revokes_and_takes_off_hold() {
    let ca = Ca::new();
    let (one, two, three) = (ca.leaf(1, &[]), ca.leaf(2, &[]), ca.leaf(3, &[]));
    let full = ca.sign(&list(10).with_revoked(vec![
        revoked(2, Reason::CertificateHold),
        revoked(3, Reason::KeyCompromise),
    ]));
    let changes = vec![revoked(1, Reason::Superseded), revoked(2, Reason::RemoveFromCrl)];
    let delta = CrlTemplate { base: Some(10), ..list(12).with_revoked(changes) };
    let crls = [ca.sign(&delta), full.clone()];
    assert_eq!(crls[0].base_number().as_deref(), Some("0a"));
    assert_eq!(ca.ask(&one, &crls, NOW, 0), "certs.refused.revoked");
    assert_eq!(ca.ask(&two, &crls, NOW, 0), "valid");
    assert_eq!(ca.ask(&three, &crls, NOW, 0), "certs.refused.revoked");
    // A delta to a later list does not fit, and one alone is no list.
    let later = ca.sign(&CrlTemplate { base: Some(11), ..delta.clone() });
    assert_eq!(ca.ask(&two, &[later, full], NOW, 0), "certs.refused.revoked");
    assert_eq!(ca.ask(&two, &crls[..1], NOW, 0), "certs.refused.status-undetermined");
    assert!(
        CrlTemplate { base: Some(12), ..delta }.sign(&AwsLc, &ca.certificate, &ca.key).is_err()
    );
}

#[test]
fn a_partition_speaks_for_the_certificates_that_name_it() {
    let ca = Ca::new();
    let url = |part: u32| format!("http://crl.example/{part}.crl");
    let place = |serial: u8| url(partition_of(&[serial], 4).unwrap());
    let leaf = |serial: u8| ca.leaf(serial, &[&place(serial)]);
    let part = |part: u32, list: CrlTemplate| CrlTemplate { partition: vec![url(part)], ..list };
    let crls = [
        ca.sign(&part(1, list(1))),
        ca.sign(&part(2, list(1).with_revoked(vec![revoked(6, Reason::Superseded)]))),
    ];
    assert_eq!(crls[0].distribution_point_urls(), [url(1)]);
    assert_eq!(ca.ask(&leaf(5), &crls, NOW, 0), "valid");
    assert_eq!(ca.ask(&leaf(6), &crls, NOW, 0), "certs.refused.revoked");
    assert_eq!(ca.ask(&leaf(7), &crls, NOW, 0), "certs.refused.status-undetermined");
    assert_eq!(ca.ask(&ca.leaf(8, &[]), &crls, NOW, 0), "certs.refused.status-undetermined");
}

#[test]
fn a_list_of_ca_certificates_says_nothing_of_devices() {
    let ca = Ca::new();
    let crls = [ca.sign(&CrlTemplate { only: Some(Only::CaCertificates), ..list(1) })];
    assert_eq!(ca.ask(&ca.leaf(1, &[]), &crls, NOW, 0), "certs.refused.status-undetermined");
    let crls = [ca.sign(&CrlTemplate { only: Some(Only::UserCertificates), ..list(1) })];
    assert_eq!(ca.ask(&ca.leaf(1, &[]), &crls, NOW, 0), "valid");
}

#[test]
fn a_signature_that_takes_its_time_is_attached_later() {
    let ca = Ca::new();
    let algorithm = ca.key.algorithm();
    let waiting = list(3).to_be_signed(&AwsLc, &ca.certificate, algorithm).unwrap();
    let signature = ca.key.sign(waiting.octets()).unwrap();
    let crl = waiting.attach(&AwsLc, &signature).unwrap();
    crl.verify_signature(&AwsLc, ca.certificate.spki_der()).unwrap();
}

#[test]
fn openssl_gnutls_and_nss_read_our_lists() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let ca = Ca::new();
    let entries = vec![revoked(2, Reason::KeyCompromise), revoked(3, Reason::Unspecified)];
    let crl = ca.sign(&list(7).with_revoked(entries));
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).unwrap();
    write("ca.pem", ca.certificate.to_pem().unwrap());
    write("crl.pem", crl.to_pem().unwrap());
    write("1.pem", ca.leaf(1, &[]).to_pem().unwrap());
    write("2.pem", ca.leaf(2, &[]).to_pem().unwrap());
    let said = openssl(dir, &["crl", "-in", "crl.pem", "-noout", "-text", "-CAfile", "ca.pem"]);
    assert!(said.contains("Key Compromise") && said.contains("verify OK"), "{said}");
    let at = NOW.to_string();
    let verify = |leaf: &'static str| {
        let args = ["verify", "-attime", &at, "-crl_check", "-CRLfile", "crl.pem", "-CAfile"];
        touchstone_peers::attempt("openssl", dir, &[&args[..], &["ca.pem", leaf]].concat())
    };
    assert!(format!("{:?}", verify("1.pem")).contains("1.pem: OK"));
    assert!(format!("{:?}", verify("2.pem")).contains("certificate revoked"));
    let said = tool("certtool", dir, &["--crl-info", "--infile", "crl.pem"]);
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("Revoked certificates (2)"), "{said}");
    let nss = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        tool(words[0], dir, &words[1..])
    };
    std::fs::write(dir.join("crl.der"), crl.der()).unwrap();
    nss("certutil -N -d sql:. --empty-password");
    nss("certutil -A -d sql:. -n ca -t C,, -a -i ca.pem");
    nss("crlutil -I -d sql:. -i crl.der -B");
    let said = String::from_utf8_lossy(&nss("crlutil -L -d sql:. -n ca")).into_owned();
    assert!(said.contains("Serial Number: 2"), "{said}");
}

#[test]
fn we_read_the_lists_of_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n\
                  default_crl_days=1\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n";
    std::fs::write(dir.join("ca.cnf"), config).unwrap();
    std::fs::write(dir.join("index"), "").unwrap();
    std::fs::write(dir.join("number"), "1F\n").unwrap();
    let run = |line: &str| openssl(dir, &line.split(' ').collect::<Vec<_>>());
    run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
    );
    run(
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.csr -subj /CN=a",
    );
    run("x509 -req -in a.csr -CA ca.pem -CAkey ca.key -set_serial 77 -days 1 -out a.pem");
    let list = "ca -config ca.cnf -gencrl -keyfile ca.key -cert ca.pem -out";
    run(&format!("{list} before.pem"));
    run("ca -config ca.cnf -keyfile ca.key -cert ca.pem -revoke a.pem -crl_reason superseded");
    run(&format!("{list} after.pem"));
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let trust = TrustStore::from_pem(&read("ca.pem")).unwrap();
    let leaf = Certificate::from_pem(&read("a.pem")).unwrap().remove(0);
    let ask = |name: &str| {
        let crls = Crl::from_pem(&read(name)).unwrap();
        let revocation = Revocation { crls: &crls, ..Revocation::default() };
        let inputs =
            PathInputs::new(crls[0].this_update(), Purpose::Any).with_revocation(revocation);
        let said = trust.validate_with(&AwsLc, &leaf, &[], &inputs);
        (crls[0].number(), said.as_ref().map_or_else(Error::code, |_| "valid"))
    };
    assert_eq!(ask("before.pem"), ("1f".into(), "valid"));
    assert_eq!(ask("after.pem"), ("20".into(), "certs.refused.revoked"));
}

#[test]
fn a_list_that_breaks_its_rules_is_malformed() {
    let ca = Ca::new();
    let good = ca.sign(&list(300).with_revoked(vec![revoked(2, Reason::Superseded)]));
    let der = good.der();
    assert!(Crl::decode(der).is_ok());
    let mut trailing = der.to_vec();
    trailing.push(0);
    // BER: the outer length is indefinite.
    let mut indefinite = vec![0x30, 0x80];
    indefinite.extend_from_slice(&der[3..]);
    indefinite.extend_from_slice(&[0, 0]);
    let mut lying = der.to_vec();
    lying[2] = lying[2].wrapping_add(1);
    for bad in [&trailing[..], &indefinite, &lying, &der[..der.len() - 1], &[], b"-----BEGIN"] {
        assert_eq!(Crl::decode(bad).unwrap_err().code(), "certs.malformed");
    }
}
