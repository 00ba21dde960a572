//! What the kernel protects, and what somebody has loaded into it.

use super::{Collected, Fault, Root, list};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use touchstone_evidence::runtime::Observed;

const SECURITY: &str = "/sys/kernel/security";

/// kernel_lockdown(7): `none`, `integrity` or `confidentiality`. A kernel without it locks nothing.
pub fn lockdown(root: &Root) -> Collected {
    match root.read("/sys/kernel/security/lockdown")? {
        Some(text) => {
            let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
            let why = "no level is in brackets".to_owned();
            let path = root.path("/sys/kernel/security/lockdown");
            chosen.map(|(level, _)| level.into()).ok_or(Fault::Malformed { path, why })
        }
        None if has_security(root)? => Ok("none".into()),
        None => Err(Fault::Absent("securityfs is not mounted")),
    }
}

/// Whether only signed modules can be loaded, or none at all.
pub fn module_signatures(root: &Root) -> Collected {
    if root.read("/proc/modules")?.is_none() {
        return Ok(true.into());
    }
    if root.read("/proc/sys/kernel/modules_disabled")?.is_some_and(|it| it.trim() == "1") {
        return Ok(true.into());
    }
    let enforced = root.read("/sys/module/module/parameters/sig_enforce")?;
    // Lockdown demands signatures, too.
    let locked = root.read("/sys/kernel/security/lockdown")?;
    let locked = locked.is_some_and(|text| !text.contains("[none]"));
    Ok((locked || enforced.is_some_and(|text| text.trim() == "Y")).into())
}

/// The kernel's documentation, admin-guide/tainted-kernels: a bit for each thing that happened.
pub fn taint(root: &Root) -> Collected {
    let text = root.required("/proc/sys/kernel/tainted")?;
    let path = root.path("/proc/sys/kernel/tainted");
    let number: Result<i64, _> = text.trim().parse();
    number.map(Observed::from).map_err(|error| Fault::Malformed { path, why: error.to_string() })
}

/// What the firmware's variable says now. The event log, which is measured, says more.
pub fn secure_boot(root: &Root) -> Collected {
    const VARIABLE: &str =
        "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let path = root.path(VARIABLE);
    if !root.path("/sys/firmware/efi").exists() {
        return Ok(false.into());
    }
    let mut octets = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(16).read_to_end(&mut octets))
        .map_err(|error| Fault::Unreadable { path: path.clone(), why: error.to_string() })?;
    // Four octets of attributes, then the value (UEFI 2.10 §3.3).
    match octets.as_slice() {
        [_, _, _, _, value] => Ok((*value == 1).into()),
        _ => Err(Fault::Malformed { path, why: "it has not five octets".to_owned() }),
    }
}

/// The security modules in force, in their order.
pub fn security_modules(root: &Root) -> Collected {
    match root.read("/sys/kernel/security/lsm")? {
        Some(text) => {
            list(text.trim().split(',').filter(|it| !it.is_empty()).map(Observed::from).collect())
        }
        None => Err(Fault::Absent("securityfs is not mounted")),
    }
}

/// Whether nobody can start another kernel.
pub fn kexec_disabled(root: &Root) -> Collected {
    match root.read("/proc/sys/kernel/kexec_load_disabled")? {
        Some(text) => Ok((text.trim() == "1").into()),
        // A kernel that cannot do it at all.
        None => Ok((!root.path("/sys/kernel/kexec_loaded").exists()).into()),
    }
}

/// Whether debugfs is mounted anywhere.
pub fn debugfs(root: &Root) -> Collected {
    let mounts = super::mounts::read_mounts(root)?;
    Ok(mounts.iter().any(|mount| mount.kind == "debugfs").into())
}

/// The BPF programs that were loaded and compiled, as kallsyms shows them: `bpf_prog_TAG_NAME`.
pub fn bpf_programs(root: &Root) -> Collected {
    match root.read("/proc/sys/net/core/bpf_jit_kallsyms")? {
        Some(text) if text.trim() == "1" => {}
        Some(_) => return Err(Fault::Absent("net.core.bpf_jit_kallsyms is 0")),
        None => return Ok(Observed::List(Vec::new())),
    }
    let path = root.path("/proc/kallsyms");
    let fault =
        |error: std::io::Error| Fault::Unreadable { path: path.clone(), why: error.to_string() };
    // Some ten megabytes, of which nothing is kept.
    let mut reader = BufReader::with_capacity(64 << 10, File::open(&path).map_err(fault)?);
    let mut found = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).map_err(fault)? == 0 {
            return list(found);
        }
        found.extend(bpf_program(&line));
        if found.len() > super::MOST {
            return Err(Fault::TooMany);
        }
    }
}

/// `0000000000000000 t bpf_prog_6deef7357e7b4530_name [bpf]`, with a tab before the bracket
fn bpf_program(line: &str) -> Option<Observed> {
    let symbol = line.trim_end().strip_suffix("[bpf]")?.trim_end();
    let rest = symbol.split_ascii_whitespace().nth(2)?.strip_prefix("bpf_prog_")?;
    let (tag, name) = rest.split_once('_').unwrap_or((rest, ""));
    Some(Observed::record([("tag", tag.into()), ("name", name.into())]))
}

fn has_security(root: &Root) -> Result<bool, Fault> {
    let mounts = super::mounts::read_mounts(root)?;
    Ok(mounts.iter().any(|mount| mount.kind == "securityfs" && mount.target == SECURITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_bpf_is_told_from_its_trampolines() {
        let line = "0000000000000000 t bpf_prog_6deef7357e7b4530_sd_fw\t[bpf]\n";
        let expected =
            Observed::record([("tag", "6deef7357e7b4530".into()), ("name", "sd_fw".into())]);
        assert_eq!(bpf_program(line), Some(expected));
        assert_eq!(bpf_program("ffff t bpf_trampoline_1\t[bpf]"), None);
        assert_eq!(bpf_program("ffff T printk\n"), None);
    }
}
