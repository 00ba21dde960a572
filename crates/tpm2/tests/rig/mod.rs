//! Our side of a software TPM, and tpm2-tools on the other.
#![allow(dead_code, reason = "each test uses its part of the rig")]

use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::object::{Created, NewObject, Object};
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{Auth, Hierarchy, Public, Tpm, signature, template};

pub(crate) const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

/// Where the parent is that both sides use.
pub(crate) const PARENT: &str = "0x81000001";

pub(crate) trait Rig {
    /// Our conversation with it, for as long as it is held.
    fn talk(&self) -> Tpm;

    /// One of tpm2-tools, after which nothing stays loaded.
    fn peer(&self, arguments: &[&str]) -> Vec<u8>;

    /// Makes the storage key of TSS2 key files persistent at [`PARENT`].
    fn with_parent(self) -> Self;
}

impl Rig for Swtpm {
    fn talk(&self) -> Tpm {
        let stream = Stream::tcp(self.address()).unwrap();
        let mut tpm = Tpm::new(Box::new(stream), &AwsLc);
        tpm.recover().unwrap();
        tpm
    }

    fn peer(&self, arguments: &[&str]) -> Vec<u8> {
        let said = self.tool(arguments);
        self.tool(&["tpm2_flushcontext", "-t"]);
        said
    }

    fn with_parent(self) -> Self {
        let mut tpm = self.talk();
        let parent = primary(&mut tpm, template::key_file_parent(false));
        tpm.make_persistent(Hierarchy::Owner, &parent, 0x8100_0001).unwrap();
        drop(tpm);
        self
    }
}

/// A primary key of the owner.
pub(crate) fn primary(tpm: &mut Tpm, template: Public) -> Object {
    let new = NewObject::new(template);
    tpm.create_primary(Hierarchy::Owner, Auth::empty(), &new).unwrap().0
}

/// The shared parent.
pub(crate) fn parent(tpm: &mut Tpm) -> Object {
    tpm.read_public(0x8100_0001).unwrap()
}

/// A new object under the shared parent, and loaded.
pub(crate) fn made(tpm: &mut Tpm, template: Public) -> (Created, Object) {
    let parent = parent(tpm);
    let created = tpm.create(&parent, Auth::empty(), &NewObject::new(template)).unwrap();
    let object = tpm.load(&parent, Auth::empty(), &created.private, &created.native).unwrap();
    (created, object)
}

/// With the size in front, as tpm2-tools keep both parts of a key.
pub(crate) fn tpm2b(octets: &[u8]) -> Vec<u8> {
    [&u16::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat()
}

/// Without the size in front.
pub(crate) fn inside(file: &[u8]) -> Vec<u8> {
    let (size, octets) = file.split_first_chunk::<2>().unwrap();
    assert_eq!(usize::from(u16::from_be_bytes(*size)), octets.len());
    octets.to_vec()
}

/// Whether a `TPMT_SIGNATURE` is by the key over the message.
pub(crate) fn verify(algorithm: SignatureAlgorithm, key: &Public, message: &[u8], signed: &[u8]) {
    let signed = signature::to_x509(signed, algorithm).unwrap();
    AwsLc.verify(algorithm, &key.spki_der().unwrap(), message, &signed).unwrap();
}
