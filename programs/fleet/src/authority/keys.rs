//! Keys of the CAs: in files of the state directory, or in an element, which signs in its own time
//! while everybody else goes on.

use crate::Error;
use crate::config::{CaSettings, KeyPlace};
use crate::state::StateDir;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;
use touchstone_certs::ToBeSigned;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, RsaBits, SoftSigner};
use touchstone_drive::element::{Desk, Elements};
use touchstone_element::{self as element, Element, KeyAlgorithm, KeySpec, KeyUse, Secret};
use touchstone_engine::Ticket;

/// Signatures that an element has before it at once.
const ROOM: usize = 64;
/// Signatures that wait for room. A TPM that makes ten a second is busy for a minute with them.
const WAITING: usize = 512;
/// An element that has not signed for so long hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// The key of a CA.
#[derive(Clone)]
pub struct CaKey {
    algorithm: SignatureAlgorithm,
    spki: Arc<[u8]>,
    by: By,
}

#[derive(Clone)]
enum By {
    File(Arc<SoftSigner>),
    Element { key: String, desk: mpsc::Sender<Work> },
}

/// A signature that somebody waits for.
struct Work {
    key: String,
    algorithm: SignatureAlgorithm,
    octets: Vec<u8>,
    answer: oneshot::Sender<Result<Vec<u8>, element::Error>>,
}

impl CaKey {
    /// The public key, `SubjectPublicKeyInfo` in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// How it signs.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Has something signed, and looks whether it was: a fault in an element gives nothing away.
    pub async fn finish<T: Send + 'static>(
        &self,
        what: &'static str,
        waiting: ToBeSigned<T>,
    ) -> Result<T, Error> {
        let signature = match &self.by {
            By::File(key) => key.sign(waiting.octets()).map_err(Error::crypto(what))?,
            By::Element { key, desk } => self.ask(key, desk, waiting.octets()).await?,
        };
        waiting.attach(&AwsLc, &signature).map_err(Error::crypto(what))
    }

    /// The same for who insists on waiting, on a thread where that may be done.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting(self.clone(), tokio::runtime::Handle::current())
    }

    async fn ask(
        &self,
        key: &str,
        desk: &mpsc::Sender<Work>,
        octets: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (answer, answered) = oneshot::channel();
        let (key, octets) = (key.to_owned(), octets.to_vec());
        let work = Work { key: key.clone(), algorithm: self.algorithm, octets, answer };
        desk.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => Error::Busy,
            TrySendError::Closed(_) => Error::Closed,
        })?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(signature)) => signature.map_err(Error::element(&key)),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(Error::Busy),
        }
    }
}

/// A key that is waited for.
pub(super) struct Waiting(CaKey, tokio::runtime::Handle);

impl Signer for Waiting {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm
    }

    fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, touchstone_crypto::Error> {
        match &self.0.by {
            By::File(key) => key.sign(message),
            By::Element { key, desk } => {
                let signature = self.1.block_on(self.0.ask(key, desk, message));
                signature.map_err(|_| touchstone_crypto::Error::SignerFailed)
            }
        }
    }
}

/// Opens every key, and makes those that are not there. One that is offline is `None`.
pub(super) async fn open(
    state: &StateDir,
    elements: &Elements,
    wanted: &[CaSettings],
) -> Result<Vec<Option<CaKey>>, Error> {
    let in_elements: Vec<CaSettings> =
        wanted.iter().filter(|ca| matches!(ca.key, KeyPlace::Element(_))).cloned().collect();
    let elements = elements.clone();
    // An element takes its time to open, and more of it to make a key.
    let found = tokio::task::spawn_blocking(move || find(&elements, &in_elements));
    let mut found = found.await.map_err(|_| Error::Closed)??;
    let mut keys = Vec::with_capacity(wanted.len());
    for ca in wanted {
        keys.push(match &ca.key {
            KeyPlace::File => Some(file(state, ca)?),
            KeyPlace::Element(_) => found.remove(&ca.name),
            KeyPlace::Offline => None,
        });
    }
    Ok(keys)
}

fn file(state: &StateDir, ca: &CaSettings) -> Result<CaKey, Error> {
    let make = || match (ca.algorithm, ca.algorithm.signatures().first()) {
        (_, None) => Err(touchstone_crypto::Error::Unsupported),
        (KeyAlgorithm::Rsa3072, Some(&usual)) => SoftSigner::generate_rsa(RsaBits::B3072, usual),
        (KeyAlgorithm::Rsa4096, Some(&usual)) => SoftSigner::generate_rsa(RsaBits::B4096, usual),
        (_, Some(&usual)) => SoftSigner::generate(usual),
    };
    let key = state.key_made_by(&format!("{}.key", ca.name), make)?;
    let (algorithm, spki) = (key.algorithm(), key.spki_der().into());
    Ok(CaKey { algorithm, spki, by: By::File(Arc::new(key)) })
}

/// The keys of elements by the name of their CA. Keys of one element share a desk.
fn find(elements: &Elements, wanted: &[CaSettings]) -> Result<BTreeMap<String, CaKey>, Error> {
    let mut open: BTreeMap<String, Opened> = BTreeMap::new();
    for ca in wanted {
        let KeyPlace::Element(reference) = &ca.key else { continue };
        let failed = |error| Error::element(&reference.to_string())(error);
        // A URI says all of its token; the others are of the one element of their kind.
        let place = reference.pkcs11_uri().unwrap_or(reference.kind().name()).to_owned();
        let found = if let Some((element, _)) = open.get_mut(&place) {
            let name = reference.name().unwrap_or_default();
            key(element.as_mut(), name, ca).map_err(failed)?
        } else {
            let (mut element, name) = elements.open(reference).map_err(failed)?;
            let found = key(element.as_mut(), &name, ca).map_err(failed)?;
            open.insert(place.clone(), (element, Vec::new()));
            found
        };
        if let Some((_, keys)) = open.get_mut(&place) {
            keys.push((ca.name.clone(), found));
        }
    }
    let mut all = BTreeMap::new();
    for (element, keys) in open.into_values() {
        let desk = Desk::new(element, ROOM).map_err(|error| Error::Network {
            what: "cannot start the thread of an element".into(),
            error,
        })?;
        let (sender, works) = mpsc::channel(WAITING);
        tokio::runtime::Handle::current().spawn(serve(desk, works));
        for (ca, found) in keys {
            let by = By::Element { key: found.name, desk: sender.clone() };
            all.insert(ca, CaKey { algorithm: found.algorithm, spki: found.spki.into(), by });
        }
    }
    Ok(all)
}

/// An element, and the keys of it that were found, by their CAs.
type Opened = (Box<dyn Element>, Vec<(String, Found)>);

struct Found {
    name: String,
    algorithm: SignatureAlgorithm,
    spki: Vec<u8>,
}

fn key(element: &mut dyn Element, name: &str, ca: &CaSettings) -> Result<Found, element::Error> {
    let public = if let Some(public) = element.public_key(name)? {
        public
    } else {
        let made = element.create_key(name, &KeySpec::new(KeyUse::Sign, ca.algorithm))?;
        tracing::info!(key = name, ca = ca.name, "made a key in the element");
        made
    };
    let needed = "a key that signs";
    let usual = public.signature().filter(|_| public.key_use == KeyUse::Sign);
    let algorithm =
        usual.ok_or_else(|| element::Error::WrongKind { name: name.to_owned(), needed })?;
    Ok(Found { name: name.to_owned(), algorithm, spki: public.spki_der })
}

/// Carries work to the desk and answers back, until nobody has work any more.
async fn serve(mut desk: Desk, mut works: mpsc::Receiver<Work>) {
    let mut open: BTreeMap<u64, oneshot::Sender<Result<Vec<u8>, element::Error>>> = BTreeMap::new();
    let mut next = 0;
    loop {
        tokio::select! {
            Some(work) = works.recv(), if open.len() < ROOM => {
                let Work { key, algorithm, octets, answer } = work;
                // Whoever gave up does not need the element's time.
                if answer.is_closed() {
                    continue;
                }
                next += 1;
                let job = Box::new(move |element: &mut dyn Element| {
                    element.sign(&key, algorithm, &octets).map(Secret::new)
                });
                match desk.begin_job(Ticket(next), job) {
                    Ok(()) => drop(open.insert(next, answer)),
                    Err(error) => {
                        tracing::error!(code = error.code(), "{error}");
                        let _ = answer.send(Err(element::Error::Poisoned));
                    }
                }
            }
            Some(answered) = desk.answer(), if !open.is_empty() => {
                let signature = answered.result.map(|octets| octets.expose().to_vec());
                if let Some(answer) = open.remove(&answered.ticket.0) {
                    // The caller may have gone; what was signed for it is forgotten.
                    let _ = answer.send(signature);
                }
            }
            else => return,
        }
    }
}
