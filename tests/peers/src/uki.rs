//! Unified kernel images of systemd's stub, and `systemd-measure`, which says what PCR 11 a boot of one
//! leads to.

use crate::tool;
use std::fs;
use std::path::Path;

/// systemd's stub on Debian 12 and 13 and on Ubuntu 24.04.
pub const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
const MEASURE: &str = "/usr/lib/systemd/systemd-measure";

/// What goes into an image: the section, the name of its file and of the option under which
/// `systemd-measure` takes it, and the content.
pub type Part<'a> = (&'a str, &'a str, &'a [u8]);

/// Builds `image.efi` of the stub and these sections in the folder, and gives it. Nobody can boot it:
/// the sections' addresses have to fit, and no more.
pub fn unified_kernel_image(folder: &Path, parts: &[Part<'_>]) -> Vec<u8> {
    let mut arguments = Vec::new();
    // Far behind the stub's own sections. Stubs since systemd 253 have an image base.
    let mut address = image_base(&fs::read(STUB).unwrap()) + 0x1000_0000;
    for (section, name, content) in parts {
        fs::write(folder.join(name), content).unwrap();
        arguments.extend(["--add-section".to_owned(), format!("{section}={name}")]);
        arguments.extend(["--change-section-vma".to_owned(), format!("{section}={address:#x}")]);
        address += 0x1_0000;
    }
    arguments.extend([STUB.to_owned(), "image.efi".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    tool("objcopy", folder, &arguments);
    fs::read(folder.join("image.efi")).unwrap()
}

/// Of a PE32+ image.
fn image_base(image: &[u8]) -> u64 {
    let pe = u32::from_le_bytes(*image.get(0x3C..).unwrap().first_chunk().unwrap()) as usize;
    // The signature and the file header before the optional header, and 24 octets of that.
    u64::from_le_bytes(*image.get(pe + 4 + 20 + 24..).unwrap().first_chunk().unwrap())
}

/// PCR 11 in hexadecimal, as `systemd-measure` computes it of the files that
/// [`unified_kernel_image`] left; `phases` with colons between them. Where it knows `.sbat`, it is given
/// that of the stub, which lies in every image.
pub fn systemd_measure(folder: &Path, parts: &[Part<'_>], phases: &str, bank: &str) -> String {
    let mut arguments =
        vec!["calculate".to_owned(), format!("--bank={bank}"), format!("--phase={phases}")];
    arguments.extend(parts.iter().map(|(_, name, _)| format!("--{name}={name}")));
    let help = String::from_utf8(tool(MEASURE, folder, &["--help"])).unwrap();
    if help.contains("--sbat=") {
        tool("objcopy", folder, &["-O", "binary", "--only-section=.sbat", STUB, "sbat"]);
        arguments.push("--sbat=sbat".to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let text = String::from_utf8(tool(MEASURE, folder, &arguments)).unwrap();
    let prefix = format!("11:{bank}=");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
}
