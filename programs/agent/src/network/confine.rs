//! Giving up every privilege, for good: another user, no capabilities, no way to gain any, and a
//! folder of its own for the whole file system. It happens before the first octet from a network.

use crate::config::{Config, User};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, chroot, geteuid, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, no_new_privs,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};
use rustix::{fs::Gid, fs::Uid, io::Errno};
use std::path::{Path, PathBuf};

/// The folder, in the state folder, that is the file system of the network half.
const VIEW: &str = "view";

/// What looking up a name takes.
const RESOLVER: [&str; 3] = ["etc/resolv.conf", "etc/hosts", "etc/nsswitch.conf"];

/// Why the network half is not confined, and so does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such user.
    #[error(
        "no user `{0}` in /etc/passwd; make it (useradd --system {0}, or packaging/sysusers.d), or name another as `user` in [network]"
    )]
    NoUser(String),
    /// root is not a user without rights.
    #[error("the network half may not be root; name another `user` in [network]")]
    Root,
    /// Only root can become somebody else.
    #[error(
        "only root can become `{0}`; start the agent as root, or name its own user as `user` in [network]"
    )]
    NotRoot(String),
    /// The folder can not be made.
    #[error("{}: {source}; the network half needs this folder to live in", path.display())]
    View {
        /// The folder, or a file in it.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system does not take a privilege.
    #[error("cannot {what}: {source}; a service needs the capabilities that its unit names")]
    Kept {
        /// What was to be done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something is left after all.
    #[error("the network half still holds privileges: {0}")]
    Left(&'static str),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoUser(_) => "agent.network.user",
            Self::Root => "agent.network.root",
            Self::NotRoot(_) => "agent.network.not-root",
            Self::View { .. } => "agent.network.view",
            Self::Kept { .. } | Self::Left(_) => "agent.network.privileges",
        }
    }
}

/// Who the network half becomes: checked before it is started, too.
pub fn identity(config: &Config) -> Result<(Uid, Gid), Error> {
    let user = &config.network.user;
    let (uid, gid) = match user {
        User::Numbers(uid, gid) => (*uid, *gid),
        User::Name(name) => {
            let passwd = std::fs::read_to_string("/etc/passwd")
                .map_err(|source| Error::View { path: "/etc/passwd".into(), source })?;
            find(&passwd, name.as_str()).ok_or_else(|| Error::NoUser(name.to_string()))?
        }
    };
    if uid == 0 || gid == 0 {
        return Err(Error::Root);
    }
    let own = geteuid();
    if !own.is_root() && own.as_raw() != uid {
        return Err(Error::NotRoot(user.to_string()));
    }
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}

/// passwd(5): name, password, user, group and more, between colons.
fn find(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        Some((uid, fields.next()?.parse().ok()?))
    })
}

/// Brings the folder up to date: empty, but for what looking up names takes if there are names.
pub fn prepare(config: &Config) -> Result<(), Error> {
    let view = config.state_dir.join(VIEW);
    make(&view)?;
    let named = config.fleet.address.socket().is_none()
        || config.tunnels.iter().any(|tunnel| tunnel.checkpoint.socket().is_none());
    if named {
        make(&view.join("etc"))?;
        for name in RESOLVER {
            copy(&Path::new("/").join(name), &view.join(name))?;
        }
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let fault = |source| Error::View { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(fault)?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).map_err(fault)
}

/// Copies a file that has changed; one that is not there is not needed either.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let new = match std::fs::read(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|source| Error::View { path: from.to_owned(), source })?,
    };
    if std::fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    let part = to.with_extension("part");
    crate::state::write_new(&part, &new, 0o644)
        .and_then(|()| std::fs::rename(&part, to))
        .map_err(|source| Error::View { path: to.to_owned(), source })
}

/// Gives up every privilege. This must be the only thread.
pub fn confine(config: &Config) -> Result<(), Error> {
    let (uid, gid) = identity(config)?;
    let failed = |what| move |error: Errno| Error::Kept { what, source: error.into() };
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(failed("forbid core dumps"))?;
    if geteuid().is_root() {
        let view = config.state_dir.join(VIEW);
        let closed = |source| Error::View { path: view.clone(), source };
        std::env::set_current_dir(&view).map_err(closed)?;
        chroot(&view).map_err(failed("live in a folder"))?;
        std::env::set_current_dir("/").map_err(closed)?;
        for capability in CapabilitySet::all().iter() {
            match remove_capability_from_bounding_set(capability) {
                // A kernel that does not know it can not give it either.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(failed("drop a capability for good")(error)),
            }
        }
        set_thread_groups(&[]).map_err(failed("leave all groups"))?;
        set_thread_res_gid(gid, gid, gid).map_err(failed("change the group"))?;
        set_thread_res_uid(uid, uid, uid).map_err(failed("change the user"))?;
    }
    set_no_new_privs(true).map_err(failed("refuse new privileges"))?;
    clear_ambient_capability_set().map_err(failed("clear the ambient capabilities"))?;
    let empty = CapabilitySet::empty();
    let empty = CapabilitySets { effective: empty, permitted: empty, inheritable: empty };
    set_capabilities(None, empty).map_err(failed("drop all capabilities"))?;
    // Others of the same user may not look into its memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("hide the memory"))?;
    // Last, because a change of the user resets it. Whoever died before that has closed the line.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("die with the keeper"))?;
    nothing_is_left(uid)
}

/// What should have been given up is looked for once more, with other calls.
fn nothing_is_left(uid: Uid) -> Result<(), Error> {
    let unknown = |error: Errno| Error::Kept { what: "look at privileges", source: error.into() };
    let held = capabilities(None).map_err(unknown)?;
    if !(held.effective | held.permitted | held.inheritable).is_empty() {
        return Err(Error::Left("capabilities"));
    }
    if !no_new_privs().map_err(unknown)? {
        return Err(Error::Left("the way to new ones"));
    }
    if geteuid() != uid
        || geteuid().is_root()
        || set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok()
    {
        return Err(Error::Left("the user"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnet:x:990:991::/:/bin/false\nbad:x:y:0::/:\n";
        assert_eq!(find(passwd, "net"), Some((990, 991)));
        assert_eq!(find(passwd, "ne"), None);
        assert_eq!(find(passwd, "bad"), None);
    }
}
