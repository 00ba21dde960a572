//! Files that the kernel keeps by fs-verity: the root of their Merkle tree stands in the list, and their
//! signature is one of version 3. `fsverity` says what the root is; the kernel in the device made it.

use super::*;

/// The file's path on the data disk.
pub(super) const FILE: &str = "/sealed";
/// Whose it is: nobody else has files there, so that a rule is for this one alone.
pub(super) const OWNER: &str = "4242";
/// What is in it, again and again.
pub(super) const CONTENT: &str = "sealed by a tree";

/// Before everything else, so that it was sealed when it is first read.
const SEAL: &str = "fsverity enable /data/sealed || echo 'no fs-verity'";
const READ: &str = "cat /data/sealed >/dev/null";
const RULE: &str = "measure func=FILE_CHECK digest_type=verity mask=MAY_READ fowner=4242\n";

pub(super) fn on_the_host(folder: &Path) -> PathBuf {
    folder.join("data").join(FILE.trim_start_matches('/'))
}

/// What `fsverity` says the file's digest is.
fn root_of(folder: &Path) -> Digest {
    let path = on_the_host(folder).display().to_string();
    let arguments = ["digest", "--compact", "--hash-alg=sha256", "--block-size=4096", &path];
    let printed = run("fsverity", "fsverity", folder, &arguments);
    let hex = String::from_utf8(printed).unwrap();
    Digest::new(HashAlgorithm::Sha256, &unhex(hex.trim())).unwrap()
}

/// A signature of version 3 by the key of `signed`, which is one of version 2 (Linux,
/// `security/integrity/integrity.h`: `signature_v2_hdr` and `ima_file_id`). OpenSSL signs; evmctl
/// cannot before its version 1.5.
pub(super) fn signature(folder: &Path, signed: &[u8]) -> Vec<u8> {
    const VERITY: u8 = 6;
    const SHA256: u8 = 4;
    let id = [&[VERITY, SHA256], root_of(folder).as_bytes()].concat();
    std::fs::write(folder.join("id"), id).unwrap();
    let arguments = ["dgst", "-sha256", "-sign", "key.pem", "id"];
    let signature = run("openssl", "openssl", folder, &arguments);
    let len = u16::try_from(signature.len()).unwrap().to_be_bytes();
    // Type, version 2 and hash come before the key's identifier.
    assert_eq!(signed[..3], [3, 2, SHA256]);
    [&[VERITY, 3, SHA256], &signed[3..7], &len, &signature].concat()
}

fn sealed(template: &str) -> Measured {
    let words = format!("ima_template={template} ima_hash=sha256");
    let policy = [RULE, &everything()].concat();
    let kernel = Kernel::find().unwrap();
    assert!(kernel.has("CONFIG_FS_VERITY").unwrap(), "{} has no fs-verity", kernel.version);
    let run = Run { kernel, words: &words, policy: &policy, before: SEAL, after: READ };
    let measured = Measured::of_run(&run);
    measured.check(template, HashAlgorithm::Sha256);
    let folder = measured.folder.path().join("ima");
    let entry = measured.of("/data/sealed");
    let digest = entry.file_digest().unwrap();
    assert_eq!(digest.kind, DigestKind::Verity);
    assert_eq!(entry.digest(), Some(root_of(&folder)));
    let content = std::fs::read(on_the_host(&folder)).unwrap();
    assert_ne!(entry.digest(), Some(super::digest(HashAlgorithm::Sha256, &content)));
    measured
}

#[test]
fn a_sealed_file_s_digest_and_signature_are_what_the_kernel_made_and_the_publisher_signed() {
    let measured = sealed("ima-sigv2");
    assert_eq!(measured.verdict("/data/sealed"), Ok(ACME.to_owned()));
    assert_eq!(measured.verdict("/data/bin/signed"), Ok(ACME.to_owned()));
}

#[test]
fn a_sealed_file_s_digest_is_read_where_there_is_no_signature() {
    let measured = sealed("ima-ngv2");
    assert_eq!(measured.verdict("/data/sealed"), Err(SignatureFault::Absent));
}
