//! PKCS#11 modules: loaded once per process, started, and started anew when a token has gone.
//! What is on them is for [`Token`](crate::Token) to find.
//!
//! A module is the one thing here that a process has only once: `C_Initialize` and `C_Finalize` work
//! on all of its users (PKCS#11 3.0 §5.4). So modules stand in one table, calls hold a lock that a
//! restart waits for, and what was opened before a restart is known by its [`Generation`].

use crate::refusal::{Fault, refusal};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Pkcs11Error, RvError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};
use touchstone_element::{Error, Secret};

static MODULES: Mutex<Vec<Arc<Module>>> = Mutex::new(Vec::new());

/// How often a module is started anew at most, while a token is away.
const RESTART_EVERY: Duration = Duration::from_secs(1);

/// Folders that modules are in, for those who give a name only.
const FOLDERS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/pkcs11",
    "/usr/lib/x86_64-linux-gnu/softhsm",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu/pkcs11",
    "/usr/lib/aarch64-linux-gnu/softhsm",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64/pkcs11",
    "/usr/lib64",
    "/usr/lib/pkcs11",
    "/usr/lib/softhsm",
    "/usr/lib",
    "/usr/local/lib",
];

/// Counts the starts of a module: a session of another generation is gone.
pub(crate) type Generation = u64;

/// PINs that a token refused, by the token's label and serial number.
pub(crate) type RefusedPins = BTreeMap<(String, String), Secret>;

/// A loaded module.
pub(crate) struct Module {
    path: PathBuf,
    state: RwLock<State>,
    refused: Mutex<RefusedPins>,
}

struct State {
    pkcs11: Pkcs11,
    generation: Generation,
    /// Started by us, so that we may end it.
    ours: bool,
    running: bool,
    started: Instant,
    /// A child of `fork` shares nothing with the module (PKCS#11 3.0 §5.4.1).
    process: u32,
}

impl Module {
    /// The module of a URI's `module-path` and `module-name`.
    pub(crate) fn locate(path: Option<&str>, name: Option<&str>) -> Result<PathBuf, Error> {
        let folders: Vec<&str> = match (path, name) {
            // RFC 7512 §2.3: a folder, in which the name is.
            (Some(path), Some(_)) if Path::new(path).is_dir() => vec![path],
            (Some(path), _) => return Ok(PathBuf::from(path)),
            (None, Some(_)) => FOLDERS.to_vec(),
            (None, None) => {
                return Err(Error::BadInput(
                    "the URI names no module; add `module-path=/path/of/module.so` or \
                     `module-name=softhsm2` after its `?`",
                ));
            }
        };
        let name = name.unwrap_or_default();
        let files = [format!("lib{name}.so"), format!("{name}.so")];
        let places = folders.iter().flat_map(|folder| {
            files.iter().map(|file| Path::new(folder).join(file)).collect::<Vec<_>>()
        });
        places.into_iter().find(|place| place.is_file()).ok_or_else(|| Error::Unreachable {
            at: format!("the PKCS#11 module `{name}`"),
            source: io::Error::new(
                io::ErrorKind::NotFound,
                "no such module is installed; install it or give module-path",
            ),
        })
    }

    /// Loads and starts a module, or finds it loaded.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, Error> {
        let unreachable = |why| Error::Unreachable { at: path.display().to_string(), source: why };
        let path = path.canonicalize().map_err(unreachable)?;
        let mut modules = MODULES.lock().map_err(|_| Error::Poisoned)?;
        if let Some(known) = modules.iter().find(|module| module.path == path) {
            return Ok(Arc::clone(known));
        }
        let pkcs11 = Pkcs11::new(&path)
            .map_err(|why| unreachable(io::Error::new(io::ErrorKind::InvalidData, why)))?;
        let mut state = State {
            pkcs11,
            generation: 0,
            ours: false,
            running: false,
            started: Instant::now(),
            process: std::process::id(),
        };
        state.start()?;
        let module = Arc::new(Self { path, state: RwLock::new(state), refused: Mutex::default() });
        modules.push(Arc::clone(&module));
        Ok(module)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Calls the module. No restart happens meanwhile.
    pub(crate) fn call<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Pkcs11, Generation) -> Result<T, E>,
    ) -> Result<T, E> {
        let state = self.state.read().map_err(|_| Error::Poisoned)?;
        state.call(work)
    }

    /// Calls the module while nobody else in this process does. For what makes, changes or deletes
    /// objects: modules that are sound for threads that use keys are not all sound for threads that
    /// look at keys while others make them (SoftHSM 2.6).
    pub(crate) fn call_alone<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Pkcs11, Generation) -> Result<T, E>,
    ) -> Result<T, E> {
        let state = self.state.write().map_err(|_| Error::Poisoned)?;
        state.call(work)
    }

    /// Ends and starts the module, so that it looks for its tokens anew: some only do so then. Says
    /// whether it did; it does not when another one did so a moment ago, or when somebody else in
    /// this process started the module.
    pub(crate) fn restart(&self) -> Result<bool, Error> {
        let mut state = self.state.write().map_err(|_| Error::Poisoned)?;
        check_process(state.process, std::process::id())?;
        if state.running && (!state.ours || state.started.elapsed() < RESTART_EVERY) {
            return Ok(false);
        }
        // From here on every session is gone, also when starting fails.
        state.generation += 1;
        if std::mem::take(&mut state.running) {
            match state.pkcs11.clone().finalize() {
                Ok(()) | Err(Pkcs11Error::Pkcs11(RvError::CryptokiNotInitialized, _)) => {}
                Err(error) => return Err(refusal(&error)),
            }
        }
        state.start().map(|()| true)
    }

    /// The PINs that were refused, locked for as long as one logs in.
    pub(crate) fn refused_pins(&self) -> Result<MutexGuard<'_, RefusedPins>, Error> {
        self.refused.lock().map_err(|_| Error::Poisoned)
    }
}

impl State {
    fn call<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Pkcs11, Generation) -> Result<T, E>,
    ) -> Result<T, E> {
        check_process(self.process, std::process::id())?;
        if !self.running {
            return Err(Error::Removed.into());
        }
        work(&self.pkcs11, self.generation)
    }

    fn start(&mut self) -> Result<(), Error> {
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        self.started = Instant::now();
        self.ours = match self.pkcs11.initialize(arguments) {
            Ok(()) => true,
            Err(Pkcs11Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => false,
            Err(error) if Fault::lost(&error) => return Err(Error::Removed),
            Err(error) => return Err(refusal(&error)),
        };
        self.running = true;
        Ok(())
    }
}

/// Refuses a module in another process than the one that started it.
fn check_process(started_by: u32, now_in: u32) -> Result<(), Error> {
    if started_by == now_in {
        return Ok(());
    }
    Err(Error::Unsupported("a PKCS#11 module after fork; open the token in the child"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_named_or_said_to_be_missing() {
        assert!(matches!(Module::locate(None, None), Err(Error::BadInput(_))));
        assert_eq!(Module::locate(Some("/a/b.so"), None).unwrap(), Path::new("/a/b.so"));
        let error = Module::locate(None, Some("no-such-module")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot reach the element at the PKCS#11 module `no-such-module`"
        );
    }

    #[test]
    fn a_child_of_fork_does_not_use_its_parents_module() {
        assert!(check_process(7, 7).is_ok());
        assert_eq!(check_process(7, 8).unwrap_err().code(), "element.unsupported");
    }

    #[test]
    fn what_is_no_module_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.so");
        std::fs::write(&path, "text").unwrap();
        for path in [path, folder.path().join("none.so")] {
            assert!(matches!(Module::load(&path), Err(Error::Unreachable { .. })));
        }
    }
}
