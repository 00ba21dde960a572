//! Tags of `EV_EVENT_TAG` (TCG_PCClientTaggedEvent, PFP §10.2.8) that somebody has given a meaning.

/// What a tag marks; `None` if it is not known here.
pub const fn tag_name(id: u32) -> Option<&'static str> {
    match id {
        // Linux, drivers/firmware/efi/libstub.
        0x8F3B_22EC => Some("Linux: initrd"),
        0x8F3B_22ED => Some("Linux: command line"),
        // systemd, TPM2_PCR_MEASUREMENTS.
        0xF5BC_582A => Some("systemd-boot: loader.conf"),
        0x6C46_F751 => Some("systemd-stub: device tree addon"),
        0x49DF_FE0F => Some("systemd-stub: initrd addon"),
        0xDAC0_8E1A => Some("systemd-stub: microcode addon"),
        0x13AE_D6DB => Some("systemd-stub: profile"),
        // Windows, wbcl.h: what kind of thing, in the upper half.
        _ => match id >> 16 {
            0x4001 => Some("Windows: container"),
            0x0002 => Some("Windows: information"),
            0x0003 => Some("Windows: error"),
            0x0004 => Some("Windows: parameter before the system starts"),
            0x0005 => Some("Windows: parameter of the system"),
            0x0006 => Some("Windows: authority"),
            0x0007 => Some("Windows: loaded module"),
            0x0008 => Some("Windows: trust point"),
            0x0009 => Some("Windows: early launch anti-malware"),
            0x000A => Some("Windows: virtualization-based security"),
            0x000B => Some("Windows: kernel soft reboot"),
            0x000C => Some("Windows: dynamic launch"),
            _ => None,
        },
    }
}
