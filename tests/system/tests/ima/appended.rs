//! Signatures that are appended to kernel modules, as the kernel puts them into its list: verified
//! with the certificate that the kernel was built with, which stands in the same list.

use super::*;

/// Any module that the device has; it is loaded at boot, and again from the data disk.
const MODULE: &str = "nft_reject_inet";
const AGAIN: &str = "rmmod nft_reject_inet; insmod /data/module.ko || echo 'no module'";

/// An appended signature is only read where it may be appraised by; whether it holds is said, and
/// the module loaded all the same (`ima_appraise=log`).
const RULES: &str = "\
measure func=MODULE_CHECK fsmagic=0xef53 template=ima-modsig
appraise func=MODULE_CHECK fsmagic=0xef53 appraise_type=imasig|modsig
";

/// Puts the module where the data disk is made from.
pub(super) fn module(kernel: &Kernel, to: &Path) {
    let is_it = |path: &&PathBuf| path.file_stem().is_some_and(|stem| stem == MODULE);
    let module = kernel.modules.iter().find(is_it).expect("the rig has this module");
    std::fs::copy(module, to).unwrap();
}

/// The kernel of this machine's distribution if it was built for this, else Ubuntu's.
fn kernel() -> Option<Kernel> {
    const OPTION: &str = "CONFIG_IMA_APPRAISE_MODSIG";
    let own = Kernel::find().unwrap();
    if own.has(OPTION).unwrap() {
        return Some(own);
    }
    match Kernel::of_ubuntu() {
        Ok(kernel) => {
            assert!(kernel.has(OPTION).unwrap(), "Ubuntu's kernel {} has it not", kernel.version);
            Some(kernel)
        }
        // Ubuntu's archive is nobody's promise: a machine of Debian's may reach its own alone.
        Err(error) => {
            eprintln!(
                "NOT RUN: appended signatures of a kernel: {} was built without {OPTION}, and Ubuntu's is not \
                 to be had: {error:#}",
                own.version
            );
            None
        }
    }
}

#[test]
fn the_signature_of_a_module_is_by_the_key_that_the_kernel_was_built_with() {
    let words = "ima_template=ima-ng ima_hash=sha256 ima_appraise=log";
    let policy = [RULES, &everything()].concat();
    let Some(kernel) = kernel() else { return };
    let run = Run { kernel, words, policy: &policy, before: "", after: AGAIN };
    let measured = Measured::of_run(&run);
    let keys = measured.builtin_keys();
    let keys = Publishers::from_certificates(&AwsLc, keys.iter().map(Vec::as_slice)).unwrap();
    // It was read as a file by whoever loads it, and then by the kernel as a module.
    let of_module = |entry: &Entry<'_>| {
        entry.template.name() == "ima-modsig" && entry.path() == "/data/module.ko"
    };
    let entry = measured.log.entries().find(of_module).expect("the module was measured");
    let modsig = entry.field(Field::Modsig).unwrap();
    assert!(!modsig.is_empty(), "the module's signature is in the list");

    // What is signed is the file up to its signature: magic, a header of 12 octets, PKCS#7.
    let file = std::fs::read(measured.folder.path().join("ima/data/module.ko")).unwrap();
    let magic = touchstone_measure::ima::signature::APPENDED_MAGIC;
    let bare = file.strip_suffix(magic).unwrap();
    let bare = bare[..bare.len() - 12].strip_suffix(modsig).expect("as it stands in the file");
    let signed = entry.modsig_digest().unwrap().known().unwrap();
    assert_eq!(signed, digest(signed.algorithm(), bare));
    let of_file = entry.digest().unwrap();
    assert_eq!(of_file, digest(of_file.algorithm(), &file));

    let publisher = entry.verify_signature(&AwsLc, &keys).unwrap();
    println!("{} octets of module signed by {}", bare.len(), publisher.name());
    // Our own publisher has not signed it.
    let ours = entry.verify_signature(&AwsLc, &measured.publishers);
    assert_eq!(ours.map(|by| by.name().to_owned()), Err(SignatureFault::UnknownSigner));
}
