//! The numbers by which a TPM describes itself (`TPM_PT`, TPM 2.0 Part 2 §6.13).

use crate::Error;
use crate::tpm::Tpm;
use alloc::string::String;
use alloc::vec::Vec;

macro_rules! properties {
    (
        $(#[$doc:meta])* $group:ident {
            $($(#[$about:meta])* $name:ident = $number:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $group {
            $($(#[$about])* pub $name: u32,)*
        }

        impl $group {
            /// Picks them out of what the TPM listed.
            pub fn from_list(listed: &[(u32, u32)]) -> Self {
                let value = |number: u32| {
                    listed.iter().find(|(known, _)| *known == number).map_or(0, |(_, value)| *value)
                };
                Self { $($name: value($number),)* }
            }

            /// Name and value of each.
            pub fn named(&self) -> Vec<(&'static str, u32)> {
                [$((stringify!($name), self.$name)),*].to_vec()
            }
        }
    };
}

properties! {
    /// What does not change while the firmware stays (`PT_FIXED`). Zero where a TPM does not say.
    Fixed {
        /// `2.0`, as four characters.
        family = 0x100,
        /// The level of the specification.
        level = 0x101,
        /// The revision of the specification, times 100.
        revision = 0x102,
        /// The day of the year of the specification.
        day_of_year = 0x103,
        /// The year of the specification.
        year = 0x104,
        /// The maker, as four characters, as registered with the TCG.
        manufacturer = 0x105,
        /// The first four characters of the maker's own name for it.
        vendor_1 = 0x106,
        /// The next.
        vendor_2 = 0x107,
        /// The next.
        vendor_3 = 0x108,
        /// The last.
        vendor_4 = 0x109,
        /// The maker's own number for it.
        vendor_type = 0x10A,
        /// The firmware's version, upper half.
        firmware_1 = 0x10B,
        /// The firmware's version, lower half.
        firmware_2 = 0x10C,
        /// Octets of data in one command.
        input_buffer = 0x10D,
        /// Objects that can be loaded at once, at least.
        transient_min = 0x10E,
        /// Objects that can be kept, at least.
        persistent_min = 0x10F,
        /// Sessions that can be loaded at once, at least.
        loaded_min = 0x110,
        /// Sessions that can be open at once.
        active_sessions_max = 0x111,
        /// Registers in a bank.
        pcr_count = 0x112,
        /// Octets of a selection of registers, at least.
        pcr_select_min = 0x113,
        /// Saves between the oldest and the newest saved session.
        context_gap_max = 0x114,
        /// Counters at once; 0 as many as fit.
        counters_max = 0x116,
        /// Octets of an index.
        index_max = 0x117,
        /// How memory is shared between sessions, objects and storage.
        memory = 0x118,
        /// Milliseconds between two saves of the clock.
        clock_update = 0x119,
        /// The hash of saved contexts.
        context_hash = 0x11A,
        /// The cipher of saved contexts.
        context_symmetric = 0x11B,
        /// The key size of it.
        context_symmetric_bits = 0x11C,
        /// Increments of an orderly counter between two saves.
        orderly_count = 0x11D,
        /// Octets of a command.
        max_command = 0x11E,
        /// Octets of a response.
        max_response = 0x11F,
        /// Octets of the longest digest.
        max_digest = 0x120,
        /// Octets of a saved object.
        max_object_context = 0x121,
        /// Octets of a saved session.
        max_session_context = 0x122,
        /// Of the platform's specification: its family.
        platform_family = 0x123,
        /// Its level.
        platform_level = 0x124,
        /// Its revision.
        platform_revision = 0x125,
        /// Its day of the year.
        platform_day_of_year = 0x126,
        /// Its year.
        platform_year = 0x127,
        /// Split signing operations at once.
        split_max = 0x128,
        /// Commands in all.
        total_commands = 0x129,
        /// Commands of the TPM 2.0 library.
        library_commands = 0x12A,
        /// Commands of the maker's own.
        vendor_commands = 0x12B,
        /// Octets of an index that one command reads or writes.
        nv_buffer_max = 0x12C,
        /// `TPMA_MODES`: 1 FIPS 140-2, 2 FIPS 140-3.
        modes = 0x12D,
        /// Octets of a capability list.
        max_cap_buffer = 0x12E,
    }
}

properties! {
    /// What changes (`PT_VAR`). Zero where a TPM does not say.
    Variable {
        /// `TPMA_PERMANENT`: 1 owner, 2 endorsement, 4 lockout have a value; 0x100 clearing is
        /// forbidden; 0x200 locked out; 0x400 the TPM made its endorsement seed.
        permanent = 0x200,
        /// `TPMA_STARTUP_CLEAR`: 1 platform, 2 owner, 4 endorsement, 8 the platform's indices are
        /// enabled; 0x8000_0000 the last shutdown was orderly.
        startup_clear = 0x201,
        /// Indices that are defined.
        indices = 0x202,
        /// Sessions that are loaded.
        loaded_sessions = 0x203,
        /// Sessions that can be loaded besides.
        loaded_sessions_left = 0x204,
        /// Sessions that are open.
        active_sessions = 0x205,
        /// Sessions that can be opened besides.
        active_sessions_left = 0x206,
        /// Objects that can be loaded besides.
        transient_left = 0x207,
        /// Objects that are kept.
        persistent = 0x208,
        /// Objects that can be kept besides.
        persistent_left = 0x209,
        /// Counters that are defined.
        counters = 0x20A,
        /// Counters that can be defined besides.
        counters_left = 0x20B,
        /// The set of algorithms in use.
        algorithm_set = 0x20C,
        /// Curves in use.
        loaded_curves = 0x20D,
        /// Wrong tries that are not forgiven yet.
        lockout_counter = 0x20E,
        /// Wrong tries that lock it.
        max_auth_fail = 0x20F,
        /// Seconds until one wrong try is forgiven.
        lockout_interval = 0x210,
        /// Seconds until the lockout authorization works again after a wrong one.
        lockout_recovery = 0x211,
        /// Milliseconds until storage is written again.
        nv_write_recovery = 0x212,
        /// The command audit's counter, upper half.
        audit_counter_0 = 0x213,
        /// The command audit's counter, lower half.
        audit_counter_1 = 0x214,
    }
}

impl Fixed {
    /// The maker, as registered with the TCG: `IBM`, `IFX`, `STM`.
    pub fn maker(&self) -> String {
        characters(&[self.manufacturer])
    }

    /// The maker's own name for it.
    pub fn model(&self) -> String {
        characters(&[self.vendor_1, self.vendor_2, self.vendor_3, self.vendor_4])
    }
}

/// The printable characters of properties that are text.
fn characters(values: &[u32]) -> String {
    let octets = values.iter().flat_map(|value| value.to_be_bytes());
    let shown = octets.filter(|octet| (0x20..0x7F).contains(octet)).map(char::from);
    String::from(shown.collect::<String>().trim())
}

const FIXED: u32 = 0x100;
const VARIABLE: u32 = 0x200;

impl Tpm {
    /// What does not change while the firmware stays.
    pub fn properties_fixed(&mut self) -> Result<Fixed, Error> {
        Ok(Fixed::from_list(&self.properties(FIXED)?))
    }

    /// What changes.
    pub fn properties_variable(&mut self) -> Result<Variable, Error> {
        Ok(Variable::from_list(&self.properties(VARIABLE)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_are_read_as_text_and_what_is_missing_is_zero() {
        let fixed =
            Fixed::from_list(&[(0x105, 0x4942_4D00), (0x106, 0x5357_2020), (0x107, 0x2054_504D)]);
        assert_eq!((fixed.maker().as_str(), fixed.model().as_str()), ("IBM", "SW   TPM"));
        assert_eq!(fixed.max_command, 0);
        assert_eq!(Variable::default().named().len(), 21);
    }
}
