//! Devices whose maker vouches for them by IAK and IDevID (TCG, TPM 2.0 Keys for Device Identity and
//! Attestation): keys and indices made by tpm2-tools, a fleet as it runs, and every way in which it is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;
#[path = "support/tpm_device.rs"]
mod tpm_device;

use serde_json::json;
use support::{Lab, Party, now};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, FOREVER, Name};
use touchstone_crypto::{SignatureAlgorithm, ecdsa};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::Element;
use touchstone_evidence::endorse::{MakersProof, lak_binding};
use touchstone_evidence::tpm::name_of;
use touchstone_peers::Swtpm;
use tpm_device::Device;

const RESTRICTED: &str = "|restricted";

/// What a maker does to one device, each step of which can go wrong.
struct Factory<'a> {
    maker: &'a Party,
    /// Who certifies the IAK.
    iak_by: &'a Party,
    /// Attributes of the IAK beside those of every key that signs.
    iak_is: &'a str,
    /// Serial numbers of the hardware module: in the IAK's certificate, and in the IDevID's.
    serials: [&'a str; 2],
    /// Until when the IAK's certificate counts.
    until: u64,
}

impl<'a> Factory<'a> {
    fn of(maker: &'a Party) -> Self {
        let (iak_is, serials) = (RESTRICTED, ["0007", "0007"]);
        Self { maker, iak_by: maker, iak_is, serials, until: now() + 86_400 }
    }

    fn make(&self, swtpm: &Swtpm) {
        let [of_iak, of_idevid] = self.serials;
        let idevid = swtpm.makers_key("0x81020000", "");
        let idevid = certify(self.maker, Kind::IDevId, of_idevid, &idevid, FOREVER);
        swtpm.keep_certificate("0x1C90000", idevid.der());
        let iak = swtpm.makers_key("0x81020001", self.iak_is);
        let iak = certify(self.iak_by, Kind::AttestationKey, of_iak, &iak, self.until);
        swtpm.keep_certificate("0x1C90008", iak.der());
    }
}

fn certify(by: &Party, kind: Kind, serial: &str, spki_der: &[u8], until: u64) -> Certificate {
    // 2.23.133.1.2: a TPM 2.0.
    let serial = serial.as_bytes().to_vec();
    let module = AlternativeName::HardwareModule { kind: "2.23.133.1.2".into(), serial };
    let name = Name::common_name("gateway-21").unwrap();
    let template = Template::new(kind, name, now() - 3600, until).with_names(vec![module]);
    let issuer = Issuer::new(&by.certificate, &by.key).unwrap();
    template.issue(&AwsLc, &issuer, spki_der).unwrap()
}

/// A fleet that wants this proof.
fn lab(onboarding: &str) -> Lab {
    let tpm_maker = Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap();
    believing(&tpm_maker, onboarding)
}

fn believing(tpm_makers: &str, onboarding: &str) -> Lab {
    Lab::configured(tpm_makers, |_, config| {
        let roots = r#"endorsement_roots = ["endorsement-roots.pem"]"#;
        let wanted = format!("onboarding = \"{onboarding}\"");
        match onboarding {
            "iak" => config.replace(roots, &wanted),
            _ => config.replace(roots, &format!("{roots}\n{wanted}")),
        }
    })
}

const BY_ITS_MAKER: &str = r#"
control maker {
  title    "The device's maker vouches for its TPM"
  severity critical
  require  "iak" in device.proofs and device.endorsed
  else     hardware contraindicated
}
"#;

#[tokio::test]
async fn a_device_is_onboarded_by_what_its_maker_put_in_and_judged_and_certified() {
    let swtpm = Swtpm::blank_tcp();
    let mut lab = lab("iak");
    let policy = format!("{}{BY_ITS_MAKER}", support::POLICY);
    std::fs::write(lab.path("policy.txt"), policy).unwrap();
    lab.kill_and_restart();
    Factory::of(&lab.maker).make(&swtpm);
    let device = Device::made(&swtpm);
    let welcome = device.onboard(&lab).await.unwrap();
    let id = welcome["device"].as_str().unwrap().to_owned();
    lab.kill_and_restart();
    assert_eq!(device.onboard(&lab).await.unwrap()["device"], id.as_str());

    let shown = lab.get(&format!("/api/v1/devices/{id}"));
    let identity = &shown["device"]["identity"];
    assert_eq!((&identity["proofs"], &identity["ek_issuer"]), (&json!(["iak"]), &json!(null)));
    let maker = &identity["maker"];
    assert_eq!(maker["iak_issuer"], "CN=Device Maker");
    assert_eq!(
        (&maker["hardware_kind"], &maker["hardware_serial"]),
        (&json!("2.23.133.1.2"), &json!("30303037"))
    );
    let events = lab.get("/api/v1/events?after=0&limit=1000");
    let events = events["events"].as_array().unwrap();
    let told: Vec<_> = events.iter().filter(|it| it["code"] == "device.onboarded").collect();
    assert_eq!((told.len(), &told[0]["detail"]["proofs"]), (1, &json!("iak")));

    // The attestation key that the IAK vouches for is a full one.
    let made = device.maker_identity();
    let result = device.attest(&lab, &made).await.unwrap();
    assert_eq!(result["tier"], "affirming", "{result}");
    let ldevid = device.enroll(&lab, &id, "ldevid-1").await.unwrap();
    assert_eq!(lab.ocsp_status(&ldevid.certificate.serial()), "good");
    let html = page(&lab, &format!("/console/devices/{id}"));
    assert!(html.contains("the IAK that the device&#39;s maker certified"), "{html}");
}

/// A page of the console, as an operator sees it.
fn page(lab: &Lab, path: &str) -> String {
    let token = lab.operator_token();
    let (status, link) =
        lab.api(&token, &["-X", "POST"], &format!("/api/v1/console/link?next={path}"));
    assert_eq!(status, 200, "{link}");
    let jar = lab.path("jar").display().to_string();
    let url = format!("http://{}{}", lab.console, link["path"].as_str().unwrap());
    let (_, html) = support::curl(&["-L", "-c", &jar, "-b", &jar, &url]);
    String::from_utf8(html).unwrap()
}

#[tokio::test]
async fn a_fleet_may_want_both_proofs_or_one_of_them() {
    let swtpm = Swtpm::manufactured();
    let roots = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
        .map(|name| std::fs::read_to_string(swtpm.dir.path().join(name)).unwrap());
    let lab = believing(&roots.concat(), "both");
    Factory::of(&lab.maker).make(&swtpm);
    let device = Device::made(&swtpm);
    let no = async |bundle| device.onboard_showing(&lab, &bundle, |it| it).await.unwrap_err();
    let mut bundle = device.bundle();
    bundle.maker = None;
    let refused = no(bundle).await;
    assert!(refused.starts_with("evidence.maker.no-iak: "), "{refused}");
    assert!(refused.contains("0x01c90008"), "it says where the certificate belongs: {refused}");
    let mut bundle = device.bundle();
    bundle.ek_certificates.clear();
    let refused = no(bundle).await;
    assert!(refused.starts_with("evidence.ek.no-certificate: "), "{refused}");

    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let shown = lab.get(&format!("/api/v1/devices/{id}"));
    let identity = &shown["device"]["identity"];
    assert_eq!(identity["proofs"], json!(["endorsement-key", "iak"]));
    assert!(identity["ek_issuer"].as_str().unwrap().contains("swtpm-localca"), "{identity}");
}

#[tokio::test]
async fn nothing_that_vouches_for_the_tpm_onboards_nobody() {
    let swtpm = Swtpm::blank_tcp();
    let lab = lab("either");
    let device = Device::new(&swtpm, &lab, "gateway-22");
    let refused = device.onboard(&lab).await.unwrap_err();
    assert!(refused.starts_with("evidence.endorsement.none: "), "{refused}");

    let (swtpm, lab) = (Swtpm::blank_tcp(), self::lab("endorsement-key"));
    Factory::of(&lab.maker).make(&swtpm);
    let refused = Device::made(&swtpm).onboard(&lab).await.unwrap_err();
    assert!(
        refused.starts_with("evidence.ek.no-certificate: "),
        "an IAK is not looked at: {refused}"
    );
}

/// What an honest agent says of a device that its maker got wrong; the fleet tells it, and knows nobody.
async fn refused(lab: &Lab, device: &Device, code: &str) -> String {
    let refused = device.onboard(lab).await.unwrap_err();
    assert!(refused.starts_with(&format!("{code}: ")), "wanted {code}: {refused}");
    let events = lab.get("/api/v1/events?after=0&limit=1000");
    let mut events = events["events"].as_array().unwrap().iter();
    let told = events.find(|it| it["code"] == "device.refused").unwrap();
    assert_eq!(told["detail"]["reason_code"], code);
    assert_eq!(lab.get("/api/v1/devices")["devices"], json!([]));
    refused
}

#[tokio::test]
async fn an_iak_by_a_maker_that_nobody_knows_is_refused() {
    let (swtpm, lab) = (Swtpm::blank_tcp(), lab("either"));
    let stranger = Party::new(Kind::Root, "Somebody Else");
    Factory { iak_by: &stranger, ..Factory::of(&lab.maker) }.make(&swtpm);
    let device = Device::made(&swtpm);
    let words = refused(&lab, &device, "certs.refused.untrusted-issuer").await;
    assert!(words.contains("the maker's certificate of the IAK: "), "{words}");
}

#[tokio::test]
async fn an_iak_whose_certificate_has_run_out_is_refused() {
    let (swtpm, lab) = (Swtpm::blank_tcp(), lab("either"));
    Factory { until: now() - 60, ..Factory::of(&lab.maker) }.make(&swtpm);
    let words = refused(&lab, &Device::made(&swtpm), "certs.refused.expired").await;
    assert!(words.contains("the maker's certificate of the IAK: "), "{words}");
}

#[tokio::test]
async fn an_idevid_of_another_device_is_refused() {
    let (swtpm, lab) = (Swtpm::blank_tcp(), lab("either"));
    Factory { serials: ["0007", "0008"], ..Factory::of(&lab.maker) }.make(&swtpm);
    refused(&lab, &Device::made(&swtpm), "evidence.maker.module").await;
}

#[tokio::test]
async fn an_iak_certificate_of_another_key_is_refused() {
    let (swtpm, lab) = (Swtpm::blank_tcp(), lab("either"));
    Factory::of(&lab.maker).make(&swtpm);
    let device = Device::made(&swtpm);
    let mut bundle = device.bundle();
    let another = Party::new(Kind::Root, "another key");
    let spki = another.certificate.spki_der();
    let of_another = certify(&lab.maker, Kind::AttestationKey, "0007", spki, now() + 60);
    bundle.maker.as_mut().unwrap().certificates = vec![of_another.der().to_vec()];
    let refused = device.onboard_showing(&lab, &bundle, |it| it).await.unwrap_err();
    assert!(refused.starts_with("evidence.maker.key: "), "{refused}");
    // What another device's IAK says does not make ours its.
    let mut bundle = device.bundle();
    let (other, elsewhere) = (Swtpm::blank_tcp(), Factory::of(&lab.maker));
    elsewhere.make(&other);
    bundle.maker = Device::made(&other).bundle().maker;
    let refused = device.onboard_showing(&lab, &bundle, |it| it).await.unwrap_err();
    assert!(refused.starts_with("evidence.certify.name: "), "{refused}");
}

/// A key that signs anything can be made to say what no TPM ever said, and here it does.
#[tokio::test]
async fn an_iak_that_is_not_restricted_is_refused() {
    let (swtpm, lab) = (Swtpm::blank_tcp(), lab("either"));
    Factory { iak_is: "", ..Factory::of(&lab.maker) }.make(&swtpm);
    let device = Device::made(&swtpm);
    let mut bundle = device.bundle();
    assert_eq!(bundle.maker, None, "an honest agent does not show it");
    let iak = device.tpm.lock().unwrap().public_key("iak").unwrap().unwrap();
    let certificates = {
        use touchstone_element::Attesting;
        device.tpm.lock().unwrap().initial_attestation().unwrap().unwrap().certificates
    };
    let attest = forged_certify(&bundle.lak_public, &lak_binding(&AwsLc, &iak.native));
    let by = SignatureAlgorithm::EcdsaP256Sha256;
    let signed = device.tpm.lock().unwrap().sign("iak", by, &attest).unwrap();
    let fixed = ecdsa::der_to_fixed(&signed, 32).unwrap();
    let signature = [&[0x00, 0x18, 0x00, 0x0B][..], &sized(&fixed[..32]), &sized(&fixed[32..])];
    let signature = signature.concat();
    bundle.maker = Some(MakersProof { iak_public: iak.native, certificates, attest, signature });
    let refused = device.onboard_showing(&lab, &bundle, |it| it).await.unwrap_err();
    assert!(
        refused.starts_with("evidence.maker.attributes: the IAK is not restricted"),
        "{refused}"
    );
}

/// `TPMS_ATTEST` as `TPM2_Certify` makes it (TPM 2.0 Part 2 §10.12.8), made by nobody's TPM.
fn forged_certify(object: &[u8], qualifying: &[u8]) -> Vec<u8> {
    let name = name_of(&AwsLc, object).unwrap();
    let mut attest = 0xFF54_4347u32.to_be_bytes().to_vec();
    attest.extend(0x8017u16.to_be_bytes());
    attest.extend(sized(&[0; 34]));
    attest.extend(sized(qualifying));
    attest.extend([0; 17 + 8]);
    attest.extend([sized(&name), sized(&[0; 34])].concat());
    attest
}

fn sized(octets: &[u8]) -> Vec<u8> {
    [&u16::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat()
}
