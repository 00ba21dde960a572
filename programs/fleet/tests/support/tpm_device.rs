//! A device with a software TPM of its own, that speaks to a fleet as an agent would.

use crate::support::{Lab, now};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use touchstone_attest::{Attester, Event, Kind, Limits};
use touchstone_certs::{Certificate, CertificateRequest, Name};
use touchstone_crypto::{Crypto, HashAlgorithm, Signer};
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::{Reply, TlsStream, run_exchange};
use touchstone_element::{
    Attesting, Credential, Element, ElementSigner, KeyAlgorithm, KeySpec, KeyUse, PcrSelection,
    PublicKey, Registers,
};
use touchstone_element_tpm2::{Tpm, manufacture};
use touchstone_engine::AskKind;
use touchstone_enroll::{AttestedRequest, TpmCertify, est};
use touchstone_evidence::endorse::{
    Bundle, CertifiedKey, MakersProof, identity_binding, lak_binding,
};
use touchstone_evidence::runtime::{Process, RuntimeClaims};
use touchstone_evidence::tpm::{Attest, Moment};
use touchstone_evidence::{Challenge, Evidence, QuoteParts, binding, eat::Eat, envelope};
use touchstone_peers::Swtpm;
use touchstone_tls::{ClientSetup, Identity, ServerName};

/// A device with its maker's identity.
pub(crate) struct Device {
    pub(crate) tpm: Arc<Mutex<Tpm>>,
    lak: PublicKey,
    idevid: Vec<Vec<u8>>,
    /// The key that puts evidence into a token, and what is done to the token before it is sent; none sends bare
    /// evidence.
    pub(crate) token: Option<Token>,
    /// What the agent says about anonymous code.
    pub(crate) foreign_code: u32,
    /// The bank that its kernel extends.
    pub(crate) bank: HashAlgorithm,
    /// Its IMA list, entry by entry.
    pub(crate) list: Vec<Vec<u8>>,
    /// The entry that was shown first the last time, and how many were shown.
    pub(crate) shown: Mutex<(u32, usize)>,
    /// Its agent sends a long list in parts of so many octets, or as many as it is asked for.
    pub(crate) part: Option<u32>,
}

/// How evidence goes into a token.
#[derive(Clone)]
pub(crate) struct Token {
    /// The key's name.
    pub(crate) key: String,
    /// What is done to it before it is signed.
    pub(crate) change: fn(&mut Eat),
}

impl Token {
    pub(crate) fn by(key: &str) -> Self {
        Self { key: key.to_owned(), change: |_| {} }
    }
}

/// An LDevID: the key's name and the chain.
pub(crate) struct Ldevid {
    pub(crate) key: String,
    pub(crate) certificate: Certificate,
    chain: Vec<Vec<u8>>,
}

/// An HTTP answer: status, `Touchstone-Code`, body.
pub(crate) type Answer = (u16, String, Vec<u8>);

impl Device {
    /// Comes out of the maker's factory.
    pub(crate) fn new(swtpm: &Swtpm, lab: &Lab, name: &str) -> Self {
        let state = swtpm.dir.path().join("state");
        let mut tpm = Tpm::connect_tcp(swtpm.address().to_string(), state).unwrap();
        let identity = manufacture::idevid(&mut tpm, |public| {
            let certificate =
                lab.maker.issue(touchstone_certs::issue::Kind::Device, name, &public.spki_der);
            Ok::<_, touchstone_element::Error>(certificate.der().to_vec())
        })
        .unwrap();
        Self::with(tpm, identity.certificates)
    }

    /// One whose maker was here before: its keys are in the TPM, with their certificates.
    pub(crate) fn made(swtpm: &Swtpm) -> Self {
        let state = swtpm.dir.path().join("state");
        let mut tpm = Tpm::connect_tcp(swtpm.address().to_string(), state).unwrap();
        let identity = tpm.device_identity().unwrap().unwrap();
        Self::with(tpm, identity.certificates)
    }

    fn with(mut tpm: Tpm, idevid: Vec<Vec<u8>>) -> Self {
        let lak = tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, KeyAlgorithm::P256)).unwrap();
        let tpm = Arc::new(Mutex::new(tpm));
        let (list, shown) = (Vec::new(), Mutex::default());
        let bank = HashAlgorithm::Sha256;
        Self { tpm, lak, idevid, token: None, foreign_code: 0, bank, list, shown, part: None }
    }

    /// Starts again after a loss of power, with nothing measured yet.
    pub(crate) fn reboot(&mut self, swtpm: &mut Swtpm) {
        swtpm.restart();
        let state = swtpm.dir.path().join("state");
        *self.tpm.lock().unwrap() = Tpm::connect_tcp(swtpm.address().to_string(), state).unwrap();
        self.list.clear();
    }

    /// The same, with a key in the place of the attestation key that signs whatever it is given.
    pub(crate) fn with_an_open_attestation_key(mut self) -> Self {
        let spec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);
        self.lak = self.tpm.lock().unwrap().create_key("open", &spec).unwrap();
        self
    }

    /// Runs a program: the kernel measures it.
    pub(crate) fn measure(&mut self, path: &str) {
        let data = template_data(path);
        let digest = AwsLc.hash(self.bank, &[&data]);
        self.tpm.lock().unwrap().extend_pcr(10, &[digest]).unwrap();
        self.list.push(entry(&data));
    }

    pub(crate) fn maker_identity(&self) -> Identity {
        self.identity("idevid", &self.idevid)
    }

    pub(crate) fn local_identity(&self, ldevid: &Ldevid) -> Identity {
        self.identity(&ldevid.key, &ldevid.chain)
    }

    fn identity(&self, key: &str, chain: &[Vec<u8>]) -> Identity {
        let signer = ElementSigner::new(Arc::clone(&self.tpm), key).unwrap();
        Identity::from_signer(chain, Arc::new(signer)).unwrap()
    }

    /// Onboards: the welcome, or the refusal's code.
    pub(crate) async fn onboard(&self, lab: &Lab) -> Result<Value, String> {
        self.onboard_answering(lab, |opened| opened).await
    }

    /// Onboards, and answers with this in the place of what the TPM opened.
    pub(crate) async fn onboard_answering(
        &self,
        lab: &Lab,
        answer: impl FnMut(Vec<u8>) -> Vec<u8>,
    ) -> Result<Value, String> {
        self.onboard_showing(lab, &self.bundle(), answer).await
    }

    /// What it hands over at onboarding; with what its IAK says, if it has one that attests.
    pub(crate) fn bundle(&self) -> Bundle {
        let mut tpm = self.tpm.lock().unwrap();
        let endorsement = tpm.endorsement().unwrap();
        let idevid = tpm.device_identity().unwrap().unwrap();
        let binding = identity_binding(&AwsLc, &self.lak.native);
        let certified = tpm.certify("idevid", "lak", &binding).unwrap();
        let iak = tpm.initial_attestation().unwrap();
        let iak = iak.filter(|iak| iak.public.key_use == KeyUse::Attest);
        let maker = iak.map(|iak| {
            let binding = lak_binding(&AwsLc, &iak.public.native);
            let said = tpm.certify("lak", "iak", &binding).unwrap();
            MakersProof {
                iak_public: iak.public.native,
                certificates: iak.certificates,
                attest: said.attest,
                signature: said.signature,
            }
        });
        Bundle {
            ek_public: endorsement.native_public,
            ek_certificates: endorsement.certificates,
            lak_public: self.lak.native.clone(),
            device_identity: Some(CertifiedKey {
                public: idevid.public.native,
                attest: certified.attest,
                signature: certified.signature,
            }),
            maker,
        }
    }

    /// Onboards by handing over this.
    pub(crate) async fn onboard_showing(
        &self,
        lab: &Lab,
        bundle: &Bundle,
        mut answer: impl FnMut(Vec<u8>) -> Vec<u8>,
    ) -> Result<Value, String> {
        let owner = async |kind, question: Vec<u8>| {
            assert_eq!(kind, AskKind::Activate);
            let (blob, rest) = sized(&question);
            let (secret, _) = sized(rest);
            let credential = Credential { blob: blob.to_vec(), secret: secret.to_vec() };
            let opened = self.tpm.lock().unwrap().activate("lak", &credential).unwrap();
            Reply::Bytes(answer(opened.expose().to_vec()))
        };
        let begin = bundle.encode();
        self.exchange(lab, Kind::Enroll, &self.maker_identity(), &begin, owner).await
    }

    /// Attests: the result, or the refusal's code.
    pub(crate) async fn attest(&self, lab: &Lab, identity: &Identity) -> Result<Value, String> {
        let owner = async |kind, question: Vec<u8>| {
            assert_eq!(kind, AskKind::Evidence);
            Reply::Bytes(self.evidence(&Challenge::decode(&question).unwrap()))
        };
        let begin: &[u8] = if self.part.is_some() { br#"{"ima_parts":true}"# } else { b"{}" };
        self.exchange(lab, Kind::Attest, identity, begin, owner).await
    }

    fn evidence(&self, challenge: &Challenge) -> Vec<u8> {
        let claims = RuntimeClaims {
            agent_version: "0.1.0".into(),
            watched: vec!["/bin/app".into()],
            processes: vec![Process {
                path: "/bin/app".into(),
                pid: 7,
                start: 1,
                anonymous_executable: self.foreign_code,
                ranges: Vec::new(),
            }],
            ..RuntimeClaims::default()
        };
        let runtime = claims.encode();
        let pcrs: Vec<u8> =
            challenge.selection.pcrs.iter().map(|&pcr| u8::try_from(pcr).unwrap()).collect();
        let selection = PcrSelection::new(challenge.selection.algorithm, &pcrs);
        let qualifying = binding(&AwsLc, &challenge.nonce, &runtime);
        let quote = self.tpm.lock().unwrap().quote("lak", &selection, &qualifying).unwrap();
        let parts = QuoteParts { attest: quote.attest, signature: quote.signature };
        // As the agent does: of another boot, everything.
        let boot = Moment::of(&Attest::decode(&parts.attest).unwrap()).boot();
        let known = challenge.ima.filter(|mark| mark.boot == boot).map_or(0, |mark| mark.entries);
        let mut part = self.list.get(known as usize..).unwrap_or_default();
        let (most, mut octets) = (challenge.part.min(self.part), 0);
        let fits = part.iter().take_while(|entry| {
            let before = octets;
            octets += u32::try_from(entry.len()).unwrap();
            most.is_none_or(|most| before < most)
        });
        let fits = fits.count();
        let goes_on = fits < part.len();
        part = &part[..fits];
        *self.shown.lock().unwrap() = (known, fits);
        let list = (known, &part.concat()[..]);
        let evidence = if goes_on {
            Evidence::encode_part(&parts, list, &runtime)
        } else {
            Evidence::encode_from(&parts, &empty_event_log(), list, &runtime, &[])
        };
        match &self.token {
            Some(token) => self.envelop(token, &challenge.nonce, &evidence),
            None => evidence,
        }
    }

    fn envelop(&self, token: &Token, nonce: &[u8], evidence: &[u8]) -> Vec<u8> {
        let signer = ElementSigner::new(Arc::clone(&self.tpm), &token.key).unwrap();
        let maker = Certificate::decode(&self.idevid[0]).unwrap();
        let ueid = envelope::ueid(&AwsLc, maker.spki_der());
        let sealed = envelope::seal(evidence, nonce, &ueid, &signer).unwrap();
        let mut eat = Eat::dangerous_unverified_cwt(&sealed).unwrap();
        (token.change)(&mut eat);
        eat.to_cwt(&signer).unwrap()
    }

    async fn exchange(
        &self,
        lab: &Lab,
        kind: Kind,
        identity: &Identity,
        begin: &[u8],
        owner: impl AsyncFnMut(AskKind, Vec<u8>) -> Reply,
    ) -> Result<Value, String> {
        let mut session = [0; 16];
        AwsLc.random(&mut session).unwrap();
        let path = match kind {
            Kind::Enroll => "/v1/exchange/enroll",
            Kind::Attest => "/v1/exchange/attest",
        };
        let engine = Attester::new(kind, session, begin, Limits::default());
        let mut refused = None;
        let post = async |message: Vec<u8>| {
            let (status, _, body) = request(lab, identity, "POST", path, &[], message).await;
            assert!([200, 204].contains(&status), "{status}: {}", String::from_utf8_lossy(&body));
            Ok::<_, std::io::Error>(body)
        };
        let events = match run_exchange(engine, owner, post).await {
            Ok(events) => events,
            Err(error) => error.events,
        };
        for event in events {
            match event {
                Event::Result(body) => return Ok(serde_json::from_slice(&body).unwrap()),
                Event::Refused { code, text } => refused = Some(format!("{code}: {text}")),
                Event::Concluded => {}
            }
        }
        Err(refused.expect("an exchange ends with a result or a refusal"))
    }

    /// Enrolls by EST with a new key of that name.
    pub(crate) async fn enroll(
        &self,
        lab: &Lab,
        device: &str,
        key: &str,
    ) -> Result<Ldevid, Answer> {
        let csr = self.attested_request(device, key);
        let identity = self.maker_identity();
        self.est(lab, &identity, "simpleenroll", key, csr).await
    }

    /// Renews by EST with the same key.
    pub(crate) async fn renew(&self, lab: &Lab, ldevid: &Ldevid) -> Result<Ldevid, Answer> {
        let signer = ElementSigner::new(Arc::clone(&self.tpm), &ldevid.key).unwrap();
        let subject = Name::decode(ldevid.certificate.subject_der()).unwrap();
        let csr = touchstone_certs::request::build(&subject, &[], &[], &signer).unwrap();
        let identity = self.local_identity(ldevid);
        self.est(lab, &identity, "simplereenroll", &ldevid.key, csr).await
    }

    /// A request whose key the TPM vouches for, for the device of that id.
    pub(crate) fn attested_request(&self, device: &str, key: &str) -> Vec<u8> {
        let qualifying = touchstone_evidence::endorse::ldevid_binding(&AwsLc, device);
        let certify = {
            let mut tpm = self.tpm.lock().unwrap();
            let public = match tpm.public_key(key).unwrap() {
                Some(public) => public,
                None => {
                    tpm.create_key(key, &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256)).unwrap()
                }
            };
            let certified = tpm.certify(key, "lak", &qualifying).unwrap();
            TpmCertify {
                attest: certified.attest,
                signature: certified.signature,
                public: public.native,
            }
        };
        let signer = ElementSigner::new(Arc::clone(&self.tpm), key).unwrap();
        Self::request_by(device, &certify, &signer)
    }

    /// A request by any key, with a statement about another one.
    pub(crate) fn misattested_request(&self, device: &str, signer: &dyn Signer) -> Vec<u8> {
        let good = self.attested_request(device, "ldevid");
        let request = CertificateRequest::decode(&good).unwrap().verify(&AwsLc).unwrap();
        let attested = AttestedRequest::from_request(request.into_inner()).unwrap();
        Self::request_by(device, attested.certify(), signer)
    }

    fn request_by(device: &str, certify: &TpmCertify, signer: &dyn Signer) -> Vec<u8> {
        let subject = Name::common_name(device).unwrap();
        AttestedRequest::build(&subject, &[], certify, &[], signer).unwrap()
    }

    pub(crate) async fn est(
        &self,
        lab: &Lab,
        identity: &Identity,
        operation: &str,
        key: &str,
        csr: Vec<u8>,
    ) -> Result<Ldevid, Answer> {
        let path = format!("/.well-known/est/{operation}");
        let body = est::encode_request(&csr).into_bytes();
        let headers = [("content-type", "application/pkcs10")];
        let answer = request(lab, identity, "POST", &path, &headers, body).await;
        if answer.0 != 200 {
            return Err(answer);
        }
        let spki = ElementSigner::new(Arc::clone(&self.tpm), key).unwrap();
        let certificate =
            est::decode_enrolled(est::ENROLLED_TYPE, &answer.2, spki.spki_der()).unwrap();
        assert!(certificate.not_before() <= now());
        let issuing = std::fs::read(lab.path("state/issuing.pem")).unwrap();
        let issuing = Certificate::from_pem(&issuing).unwrap().remove(0);
        let chain = vec![certificate.der().to_vec(), issuing.der().to_vec()];
        Ok(Ldevid { key: key.to_owned(), certificate, chain })
    }
}

/// One request on a connection of its own.
pub(crate) async fn request(
    lab: &Lab,
    identity: &Identity,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let pem = std::fs::read(lab.roots()).unwrap();
    let roots = touchstone_tls::certificates_from_pem(&pem).unwrap();
    let tls = ClientSetup::new(&roots).identity(identity.clone()).build().unwrap();
    let tcp = tokio::net::TcpStream::connect(&lab.device).await.unwrap();
    let name = ServerName::parse("fleet.test").unwrap();
    let stream = TlsStream::connect(tcp, &tls, &name).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request =
        hyper::Request::builder().method(method).uri(path).header("host", "fleet.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let code = response.headers().get("touchstone-code");
    let code = code.map_or_else(String::new, |code| code.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, code, body.to_vec())
}

/// The template data of an `ima-ng` entry about a file.
fn template_data(path: &str) -> Vec<u8> {
    let digest = AwsLc.hash(HashAlgorithm::Sha256, &[path.as_bytes()]);
    let digest = [b"sha256:\0", digest.as_bytes()].concat();
    [counted(&digest), counted(&[path.as_bytes(), &[0]].concat())].concat()
}

/// An entry as the kernel shows it.
fn entry(data: &[u8]) -> Vec<u8> {
    let template = AwsLc.hash(HashAlgorithm::Sha1, &[data]);
    [&10u32.to_le_bytes(), template.as_bytes(), &counted(b"ima-ng"), &counted(data)].concat()
}

fn counted(octets: &[u8]) -> Vec<u8> {
    [&u32::try_from(octets.len()).unwrap().to_le_bytes(), octets].concat()
}

fn sized(octets: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = octets.split_at(2);
    rest.split_at(usize::from(u16::from_be_bytes([len[0], len[1]])))
}

/// A log of a boot in which nothing was measured: its first event says in which form it is written
/// (TCG PC Client Platform Firmware Profile §10.4.5).
fn empty_event_log() -> Vec<u8> {
    let mut id = b"Spec ID Event03\0".to_vec();
    id.extend([0; 4]);
    id.extend([0, 2, 0, 2]);
    id.extend(1u32.to_le_bytes());
    id.extend(0x000Bu16.to_le_bytes());
    id.extend(32u16.to_le_bytes());
    id.push(0);
    let mut log = Vec::new();
    log.extend(0u32.to_le_bytes());
    log.extend(3u32.to_le_bytes());
    log.extend([0; 20]);
    log.extend(u32::try_from(id.len()).unwrap().to_le_bytes());
    log.extend(id);
    log
}
