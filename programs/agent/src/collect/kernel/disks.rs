//! What a disk's own controller says of its health: NVMe's log page, and ATA's SMART through the SCSI
//! layer. Both only read, and both need a privilege: `CAP_SYS_ADMIN`, and `CAP_SYS_RAWIO`.

use super::{Answering, Errno, File, Opcode, Result, Updater, ioctl, opcode};

/// Octets of NVMe's SMART / Health Information log page (NVM Express Base 2.0 §5.16.1.3).
pub(in crate::collect) const NVME_LOG: usize = 512;

/// Octets of what a SCSI device says of a command (`SCSI_SENSE_BUFFERSIZE` is 96).
const SENSE: usize = 64;
/// How long a controller may take, in milliseconds.
const PATIENCE: u32 = 5_000;

/// `struct nvme_passthru_cmd` of `<linux/nvme_ioctl.h>`.
#[repr(C)]
#[derive(Default)]
struct NvmeCommand {
    opcode: u8,
    flags: u8,
    rsvd1: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    addr: u64,
    metadata_len: u32,
    data_len: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// The health log of an NVMe controller, by a namespace or the controller itself.
pub(in crate::collect) fn nvme_health(disk: &File) -> Result<[u8; NVME_LOG]> {
    const GET_LOG_PAGE: u8 = 0x02;
    const HEALTH: u32 = 0x02;
    let mut log = [0_u8; NVME_LOG];
    let mut command = NvmeCommand {
        opcode: GET_LOG_PAGE,
        // The controller as a whole.
        nsid: u32::MAX,
        addr: log.as_mut_ptr() as u64,
        data_len: 512,
        // The number of 32-bit words less one, above the page.
        cdw10: (512 / 4 - 1) << 16 | HEALTH,
        timeout_ms: PATIENCE,
        ..NvmeCommand::default()
    };
    // SAFETY: the operation is `NVME_IOCTL_ADMIN_CMD`, whose structure this is, field by field; the command
    // reads a log page, and the kernel writes at most `data_len` octets to `addr`, which is `log`: that
    // many octets, alive and borrowed by nobody until this returns.
    let status = unsafe {
        const OPERATION: Opcode = opcode::read_write::<NvmeCommand>(b'N', 0x41);
        ioctl(disk, Answering::<OPERATION, NvmeCommand>::new(&mut command))
    }?;
    match status {
        0 => Ok(log),
        // The controller refused it.
        _ => Err(Errno::IO),
    }
}

/// `sg_io_hdr_t` of `<scsi/sg.h>`; its pointers are addresses here.
#[repr(C)]
#[derive(Default)]
struct SgIo {
    interface_id: i32,
    dxfer_direction: i32,
    cmd_len: u8,
    mx_sb_len: u8,
    iovec_count: u16,
    dxfer_len: u32,
    dxferp: usize,
    cmdp: usize,
    sbp: usize,
    timeout: u32,
    flags: u32,
    pack_id: i32,
    usr_ptr: usize,
    status: u8,
    masked_status: u8,
    msg_status: u8,
    sb_len_wr: u8,
    host_status: u16,
    driver_status: u16,
    resid: i32,
    duration: u32,
    info: u32,
}

/// What an ATA disk answers to SMART RETURN STATUS (ACS-3 §7.53.5): the sense data in which its
/// registers come back (SAT-4 §12.2.2).
pub(in crate::collect) fn ata_status(disk: &File) -> Result<Vec<u8>> {
    // ATA PASS-THROUGH (16): no data, and the registers are asked for (CK_COND).
    let command: [u8; 16] = [0x85, 3 << 1, 0x20, 0, 0xda, 0, 0, 0, 0, 0, 0x4f, 0, 0xc2, 0, 0xb0, 0];
    let mut sense = [0_u8; SENSE];
    let mut io = SgIo {
        interface_id: i32::from(b'S'),
        // SG_DXFER_NONE
        dxfer_direction: -1,
        cmd_len: 16,
        mx_sb_len: 64,
        cmdp: command.as_ptr() as usize,
        sbp: sense.as_mut_ptr() as usize,
        timeout: PATIENCE,
        ..SgIo::default()
    };
    // SAFETY: the operation is `SG_IO`, whose number is not made from its structure, which this is, field by
    // field. The kernel reads `cmd_len` octets at `cmdp`, which is `command`, and writes at most `mx_sb_len`
    // to `sbp`, which is `sense`: that many, alive and borrowed by nobody until this returns. The command
    // moves no data and changes nothing on the disk.
    unsafe { ioctl(disk, Updater::<0x2285, SgIo>::new(&mut io)) }?;
    Ok(sense.get(..usize::from(io.sb_len_wr)).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<NvmeCommand>(), 72);
        assert_eq!(size_of::<SgIo>(), 88);
    }
}
