//! Our side of a software TPM.

use touchstone_element_tpm2::Tpm;
use touchstone_peers::Swtpm;

pub(crate) trait Open {
    /// Our side of it, with keys in the folder `name`.
    fn open_as(&self, name: &str) -> Tpm;

    /// Our side of it.
    fn open(&self) -> Tpm {
        self.open_as("state")
    }
}

impl Open for Swtpm {
    fn open_as(&self, name: &str) -> Tpm {
        let state = self.dir.path().join(name);
        if self.is_tcp() {
            Tpm::connect_tcp(self.address().to_string(), state).unwrap()
        } else {
            Tpm::connect_unix(self.socket(), state).unwrap()
        }
    }
}
