//! Many users of one TPM at the same time, behind a resource manager: each holds keys, sealed data
//! and sessions, and finds them again after the others have used the TPM's few slots.
//! What this is not: a test of what the TPM computes; `crates/tpm2` has those.

use anyhow::{Context, Result, bail, ensure};
use std::thread;
use touchstone_crypto::{Crypto, Curve, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_tpm2::attestation::Attester;
use touchstone_tpm2::object::SigningScheme;
use touchstone_tpm2::policy::Means;
use touchstone_tpm2::template::{self, KeyPair};
use touchstone_tpm2::{
    Auth, AuthValue, Command, Error, Hierarchy, NewObject, NewSession, Object, PcrSelection,
    Policy, SessionId, Slots, Tpm, Transport, code, response_code, signature,
};

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
/// Where the owner keeps the storage root key: so nobody has to make one to salt a session.
const ROOT_KEY: u32 = 0x8100_0001;
/// TPM 2.0 Part 2 §7.2: transient objects, loaded sessions, saved sessions.
const KINDS: [u32; 3] = [0x8000_0000, 0x0200_0000, 0x0300_0000];

/// How a user reaches the TPM.
pub type Open<'a> = dyn Fn() -> Result<Box<dyn Transport + Send>> + Sync + 'a;

/// What was seen of a crowd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Objects that were loaded at the same time.
    pub objects: usize,
    /// Sessions that were open at the same time.
    pub sessions: usize,
    /// Signatures, quotes and secrets that came out right.
    pub right: usize,
}

fn conversation(open: &Open<'_>) -> Result<Tpm> {
    let mut tpm = Tpm::new(open()?, &AwsLc);
    tpm.recover()?;
    Ok(tpm)
}

/// Makes the storage root key persistent, if it is not.
pub fn provision(open: &Open<'_>) -> Result<()> {
    let mut tpm = conversation(open)?;
    if tpm.read_public(ROOT_KEY).is_err() {
        let root = tpm.srk()?;
        tpm.make_persistent(Hierarchy::Owner, &root, ROOT_KEY)?;
    }
    Ok(())
}

/// What one user keeps loaded and open. Linux' resource manager brings all of it back for each of its
/// commands, and TPMs of three slots need one more for the storage root key.
struct User {
    number: usize,
    tpm: Tpm,
    key: Object,
    sealed: Object,
    session: SessionId,
}

impl User {
    fn value(number: usize) -> AuthValue {
        AuthValue::new(format!("value of user {number}").as_bytes())
    }

    fn secret(number: usize) -> Vec<u8> {
        format!("secret of user {number}").into_bytes()
    }

    fn policy() -> Policy {
        Policy::new().auth_value().command(code::UNSEAL)
    }

    fn settle(number: usize, open: &Open<'_>) -> Result<Self> {
        let mut tpm = conversation(open)?;
        let (pair, scheme) = (KeyPair::Ecc(Curve::P256), SigningScheme::Ecdsa(SHA256));
        let key = made(&mut tpm, &NewObject::new(template::signing(pair, scheme)));
        let key = key.context("a key")?;
        let mut template = template::sealed();
        template.policy = Self::policy().digest(&AwsLc, SHA256)?.as_bytes().to_vec();
        let secret = Self::secret(number);
        let sealed = NewObject::new(template).auth(Self::value(number)).data(&secret);
        let sealed = made(&mut tpm, &sealed).context("sealed data")?;
        let session = tpm.start(&NewSession::hmac()).context("a session")?;
        Ok(Self { number, tpm, key, sealed, session })
    }

    /// Uses all that it holds, so many times.
    fn work(&mut self, rounds: usize) -> Result<usize> {
        for round in 0..rounds {
            self.signs(round).context("signing")?;
            self.attests(round).context("a quote")?;
            self.opens().context("unsealing")?;
            self.tpm.random(&mut [0; 32]).context("random octets")?;
        }
        Ok(4 * rounds)
    }

    fn signs(&mut self, round: usize) -> Result<()> {
        let message = format!("{} in round {round}", self.number);
        let digest = AwsLc.hash(SHA256, &[message.as_bytes()]);
        let auth = Auth::Session(self.session, AuthValue::default());
        let signed = self.tpm.sign(&self.key, auth, SigningScheme::OfKey, digest.as_bytes())?;
        verify(&self.key, message.as_bytes(), &signed)
    }

    fn attests(&mut self, round: usize) -> Result<()> {
        let nonce = format!("nonce {} {round}", self.number);
        let pcrs = PcrSelection::new(SHA256, &[0, 7, 16])?;
        let by = Attester::new(&self.key, Auth::empty(), nonce.as_bytes());
        let quote = self.tpm.quote(&by, &pcrs)?;
        let nonce = nonce.as_bytes();
        ensure!(quote.attest.windows(nonce.len()).any(|part| part == nonce), "another's nonce");
        verify(&self.key, &quote.attest, &quote.signature)
    }

    /// By its value in a session that encrypts, and by its policy.
    fn opens(&mut self) -> Result<()> {
        let value = Self::value(self.number);
        let auth = Auth::Session(self.session, value.clone());
        let by_value = self.tpm.unseal(&self.sealed, auth)?;
        let sealed = &self.sealed;
        let policy = Self::policy();
        let by_policy =
            self.tpm.with_policy(&policy, SHA256, &Means::default(), &value, |tpm, auth| {
                tpm.unseal(sealed, auth)
            })?;
        let secret = Self::secret(self.number);
        ensure!(by_value[..] == secret && by_policy[..] == secret, "another's secret");
        Ok(())
    }
}

fn made(tpm: &mut Tpm, new: &NewObject<'_>) -> Result<Object> {
    let root = tpm.read_public(ROOT_KEY)?;
    let created = tpm.create(&root, Auth::empty(), new)?;
    Ok(tpm.load(&root, Auth::empty(), &created.private, &created.native)?)
}

fn verify(key: &Object, message: &[u8], signed: &[u8]) -> Result<()> {
    let signed = signature::to_x509(signed, ALGORITHM)?;
    AwsLc.verify(ALGORITHM, &key.public.spki_der()?, message, &signed)?;
    Ok(())
}

/// So many users at the same time: each loads and opens all it is given, and when everybody has,
/// all use it in so many rounds.
pub fn crowd(open: &Open<'_>, users: usize, rounds: usize) -> Result<Seen> {
    let mut crowd = at_once((0..users).collect(), |number| User::settle(number, open))?;
    // Each one's own session encrypts, beside the one that it started.
    for user in &mut crowd {
        user.tpm.random(&mut [0; 8])?;
    }
    let mut seen = Seen { objects: 2 * users, sessions: 2 * users, right: 0 };
    let right = at_once(crowd, |mut user| {
        let number = user.number;
        user.work(rounds).with_context(|| format!("user {number}"))
    })?;
    seen.right = right.iter().sum();
    Ok(seen)
}

/// Does something for each at the same time, and gives what came of all.
fn at_once<T: Send, U: Send>(all: Vec<T>, each: impl Fn(T) -> Result<U> + Sync) -> Result<Vec<U>> {
    let each = &each;
    thread::scope(|scope| {
        let threads: Vec<_> = all.into_iter().map(|one| scope.spawn(move || each(one))).collect();
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(ended) => ended,
            Err(_) => bail!("a user's thread panicked"),
        });
        ended.collect()
    })
}

/// One user takes more than the resource manager gives to one: it is told, and what it has works on.
pub fn greedy(open: &Open<'_>) -> Result<usize> {
    let mut tpm = conversation(open)?;
    let root = tpm.read_public(ROOT_KEY)?;
    let sealed = NewObject::new(template::sealed()).data(b"one of many");
    let created = tpm.create(&root, Auth::empty(), &sealed)?;
    let mut loaded = Vec::new();
    let full = loop {
        ensure!(loaded.len() < 1000, "nobody counts the objects");
        match tpm.load(&root, Auth::empty(), &created.private, &created.native) {
            Ok(object) => loaded.push(object),
            Err(error) => break error,
        }
    };
    ensure!(full == Error::Exhausted(Slots::Objects), "one object too many: {full} ({full:?})");
    for object in &loaded {
        ensure!(tpm.unseal(object, Auth::empty())?[..] == *b"one of many", "another's data");
    }
    let objects = loaded.len();
    while let Some(object) = loaded.pop() {
        tpm.flush(object.entity.handle)?;
    }
    let mut sessions = Vec::new();
    let full = loop {
        ensure!(sessions.len() < 1000, "nobody counts the sessions");
        match tpm.start(&NewSession::hmac()) {
            Ok(session) => sessions.push(session),
            Err(error) => break error,
        }
    };
    ensure!(full == Error::Exhausted(Slots::Sessions), "one session too many: {full} ({full:?})");
    drop(tpm);
    ensure!(objects >= 2, "two are what everybody works with");
    Ok(objects)
}

/// Users open sessions until the TPM itself has no more: the last one is told, and serves itself
/// when another has gone. Gives how many sessions there were.
pub fn full_house(open: &Open<'_>) -> Result<usize> {
    let mut house = Vec::new();
    let mut sessions = 0;
    let full = 'house: loop {
        let mut tpm = conversation(open)?;
        for _ in 0..2 {
            match tpm.start(&NewSession::hmac()) {
                Ok(_) => sessions += 1,
                Err(error) => {
                    house.push(tpm);
                    break 'house error;
                }
            }
        }
        house.push(tpm);
        ensure!(sessions < 1000, "nobody counts the sessions");
    };
    ensure!(full == Error::Exhausted(Slots::Sessions), "a full house: {full} ({full:?})");
    let mut last = house.pop().context("nobody is there")?;
    let refused = last.random(&mut [0; 8]);
    ensure!(refused == Err(Error::Exhausted(Slots::Sessions)), "a full house: {refused:?}");
    drop(house.pop());
    last.random(&mut [0; 8]).context("after another has gone")?;
    for tpm in &mut house {
        ensure!(tpm.read_public(ROOT_KEY).is_ok(), "who is there is served");
    }
    Ok(sessions)
}

/// A command that no TPM of ours has: the resource manager says so in the TPM's place.
pub fn unknown_command(open: &Open<'_>) -> Result<()> {
    let mut tpm = conversation(open)?;
    let upgrade = code::Code { number: 0x12F, name: "TPM2_FieldUpgradeStart", ..code::SELF_TEST };
    match tpm.run(&Command::new(upgrade)) {
        Err(Error::Refused(refusal)) if refusal.is(response_code::COMMAND_CODE) => Ok(()),
        other => bail!("a command that is not there: {other:?}"),
    }
}

/// What is loaded and open in the TPM, seen without a resource manager.
pub fn left(open: &Open<'_>) -> Result<Vec<u32>> {
    let mut tpm = Tpm::new(open()?, &AwsLc);
    ensure!(!tpm.is_managed(), "a resource manager shows each user only its own");
    let mut left = Vec::new();
    for first in KINDS {
        left.extend(tpm.handles(first)?);
    }
    Ok(left)
}
