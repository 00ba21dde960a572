//! Response codes: which are worth another try, and all of them in words (TPM 2.0 Part 2 §6.6).

/// A response code that is about no position: format-0 as it is, format-1 without parameter, handle
/// or session number.
pub const fn base(response: u32) -> u32 {
    if response & FORMAT_1 != 0 { response & 0x0BF } else { response }
}

/// Whose answers stand in the TPM's place, in its own words (TCG TSS 2.0 Overview, the layers of codes):
/// Linux' resource manager says so that the TPM does not have a command.
const RESOURCE_MANAGER: u32 = 11;

/// The TPM's code, also where a resource manager says it.
pub(crate) const fn without_layer(response: u32) -> u32 {
    if response >> 16 == RESOURCE_MANAGER { response & 0xFFFF } else { response }
}

const FORMAT_1: u32 = 0x080;
const PARAMETER: u32 = 0x040;
const SESSION: u32 = 0x800;

macro_rules! codes {
    ($($name:ident = $number:literal, $words:literal;)*) => {
        $(
            #[doc = concat!("`TPM_RC_", stringify!($name), "`: ", $words, ".")]
            pub const $name: u32 = $number;
        )*
        /// Number, name, what it means and what to do.
        static WORDS: &[(u32, &str, &str)] =
            &[$(($number, concat!("TPM_RC_", stringify!($name)), $words)),*];
    };
}

// Part 2 §6.6.3 Table 16.
codes! {
    BAD_TAG = 0x01E, "the TPM is a 1.2 or did not understand the command's tag; \
        this software speaks to a TPM 2.0 only";
    // Format 0, errors.
    INITIALIZE = 0x100, "the TPM was not started, or was started twice; \
        the firmware has to send TPM2_Startup once after power-on";
    FAILURE = 0x101, "the TPM failed its self-test and does nothing more; \
        power the device off and on, and replace it when that does not help";
    SEQUENCE = 0x103, "the operation is not expected at this step; start the sequence again";
    PRIVATE = 0x10B, "the request is not for this TPM's maker; check the command";
    HMAC = 0x119, "the HMAC of a saved context is wrong; it is damaged or of another TPM";
    DISABLED = 0x120, "the command is disabled in this TPM; enable it in the firmware setup";
    EXCLUSIVE = 0x121, "other commands came between those of an exclusive audit session; \
        start the session again";
    AUTH_TYPE = 0x124, "the entity cannot be authorized in this way; \
        use the value or the policy that it was made with";
    AUTH_MISSING = 0x125, "the command came without an authorization; give one for every handle \
        that needs it";
    POLICY = 0x126, "the policy assertion failed, or its expression is too complex; \
        check the policy against the state it asks for";
    PCR = 0x127, "the PCR does not fit the command, or its state was lost; check its number";
    PCR_CHANGED = 0x128, "a PCR changed since the policy was checked; run the policy again";
    UPGRADE = 0x12D, "the TPM's firmware is being upgraded; finish that first";
    TOO_MANY_CONTEXTS = 0x12E, "the counter of contexts is used up; restart the TPM";
    AUTH_UNAVAILABLE = 0x12F, "the entity has no authorization value or policy for this use; \
        use the other";
    REBOOT = 0x130, "the TPM needs a restart of the device";
    UNBALANCED = 0x131, "the asymmetric key and the cipher or hash differ in strength; \
        choose algorithms that match";
    COMMAND_SIZE = 0x142, "the command's size does not fit what it holds; this is a fault of the \
        sender";
    COMMAND_CODE = 0x143, "this TPM does not have the command; do without it";
    AUTHSIZE = 0x144, "the authorization area's size is out of range; this is a fault of the \
        sender";
    AUTH_CONTEXT = 0x145, "this command takes no session; send it without one";
    NV_RANGE = 0x146, "the octets are outside the index; check offset and size against its \
        definition";
    NV_SIZE = 0x147, "the index is larger than this TPM takes; make it smaller";
    NV_LOCKED = 0x148, "the index is locked; it stays so until the TPM starts again or, for good, \
        when it was defined that way";
    NV_AUTHORIZATION = 0x149, "the index may not be used with this authorization; \
        use the owner's, the platform's, its own value or its policy, as it was defined";
    NV_UNINITIALIZED = 0x14A, "the index was never written; write it first";
    NV_SPACE = 0x14B, "the TPM's storage is full; undefine an index or evict a key nobody needs";
    NV_DEFINED = 0x14C, "the index or persistent key exists already; choose another handle or \
        remove it first";
    BAD_CONTEXT = 0x150, "the saved context cannot be loaded; it is of an earlier start of the TPM";
    CPHASH = 0x151, "the policy was already bound to other parameters or names; \
        run one CpHash, NameHash or Template in a policy";
    PARENT = 0x152, "the parent is no storage key, or not the one the key was made under; \
        load the right parent";
    NEEDS_TEST = 0x153, "the TPM has to test itself first; run the self-test";
    NO_RESULT = 0x154, "the TPM cannot compute this; the numbers have no result";
    SENSITIVE = 0x155, "the sensitive area does not parse after it was decrypted; \
        check its key";
    READ_ONLY = 0x156, "the TPM is in read-only mode; leave it to change anything";
    // Format 1.
    ASYMMETRIC = 0x081, "this TPM does not offer the asymmetric algorithm; choose another";
    ATTRIBUTES = 0x082, "the entity's attributes do not allow it; check what it was made for";
    HASH = 0x083, "this TPM does not offer the hash algorithm here; choose another";
    VALUE = 0x084, "a value is out of range or does not fit its context; check the parameter";
    HIERARCHY = 0x085, "the hierarchy is disabled or not right for this; \
        enable it in the firmware setup";
    KEY_SIZE = 0x087, "this TPM does not offer the key size; choose another";
    MGF = 0x088, "this TPM does not offer the mask generation function";
    MODE = 0x089, "this TPM does not offer the cipher's mode here; CFB is offered everywhere";
    TYPE = 0x08A, "the key or object is of the wrong kind for this command; choose another";
    HANDLE = 0x08B, "nothing is at the handle; load or define it first";
    KDF = 0x08C, "this TPM does not offer the key derivation function";
    RANGE = 0x08D, "a value is out of range; check the parameter";
    AUTH_FAIL = 0x08E, "the authorization value is wrong, and this try counts towards a lockout; \
        find the right value before the next one";
    NONCE = 0x08F, "the nonce has the wrong size or value; start the session again";
    PP = 0x090, "somebody has to be present at the device and confirm";
    SCHEME = 0x092, "this TPM does not offer the scheme, or the key has another; choose another";
    SIZE = 0x095, "a structure has the wrong size for this TPM; check the parameter";
    SYMMETRIC = 0x096, "this TPM does not offer the cipher, or not for this key; choose another";
    TAG = 0x097, "the structure's tag is not the one expected here; check the parameter";
    SELECTOR = 0x098, "a union's selector is wrong; check the parameter";
    INSUFFICIENT = 0x09A, "the parameters end too early; check their encoding";
    SIGNATURE = 0x09B, "the signature is not by this key over this; check key and message";
    KEY = 0x09C, "the key does not fit its own algorithm or use; choose another";
    POLICY_FAIL = 0x09D, "the entity's policy is not satisfied; compare what it asks for with the \
        state of the device";
    INTEGRITY = 0x09F, "made by another TPM, under another parent, or before this TPM was cleared; \
        delete it and make or enrol it again";
    TICKET = 0x0A0, "the ticket is not this TPM's; a restricted key signs only what the TPM itself \
        hashed and stated";
    RESERVED_BITS = 0x0A1, "bits are set that have to be clear; check the attributes";
    BAD_AUTH = 0x0A2, "the authorization value is wrong; find the right one (tries for this entity \
        are not counted)";
    EXPIRED = 0x0A3, "the authorization or policy has expired; authorize again";
    POLICY_CC = 0x0A4, "the policy is for another command; use it with the one it names";
    BINDING = 0x0A5, "the public and the private part do not belong together; \
        check that both files are of the same key";
    CURVE = 0x0A6, "this TPM does not offer the curve; choose another";
    ECC_POINT = 0x0A7, "the point is not on the curve; check the public key";
    FW_LIMITED = 0x0A8, "the firmware-limited object was made under another firmware; \
        make it again";
    SVN_LIMITED = 0x0A9, "the firmware is older than the object allows; update the firmware";
    CHANNEL = 0x0B0, "the command needs a secure channel; open one";
    CHANNEL_KEY = 0x0B1, "the secure channel was opened with another key";
    // Format 0, warnings.
    CONTEXT_GAP = 0x901, "a saved session is too old and stands in the way of new ones; \
        flush saved sessions, or use /dev/tpmrm0";
    OBJECT_MEMORY = 0x902, "the TPM is full of objects; use /dev/tpmrm0, or flush what others left \
        loaded (tpm2_flushcontext -t)";
    SESSION_MEMORY = 0x903, "the TPM is full of sessions; use /dev/tpmrm0, or flush what others left \
        open (tpm2_flushcontext -l)";
    MEMORY = 0x904, "the TPM is out of memory; use /dev/tpmrm0, or flush what others left loaded";
    SESSION_HANDLES = 0x905, "the TPM has no more session handles; flush loaded and saved sessions \
        (tpm2_flushcontext -l -s)";
    OBJECT_HANDLES = 0x906, "the TPM has no more object handles; use /dev/tpmrm0, or flush what \
        others left loaded (tpm2_flushcontext -t)";
    LOCALITY = 0x907, "not allowed at this locality; send it from the one it asks for";
    YIELDED = 0x908, "the TPM paused; send the command again";
    CANCELED = 0x909, "the command was cancelled; send it again when it is still wanted";
    TESTING = 0x90A, "the TPM is testing itself; send the command again";
    REFERENCE_H0 = 0x910, "the first handle refers to something that is not loaded; load it first";
    REFERENCE_H1 = 0x911, "the second handle refers to something that is not loaded; load it first";
    REFERENCE_H2 = 0x912, "the third handle refers to something that is not loaded; load it first";
    REFERENCE_H3 = 0x913, "the fourth handle refers to something that is not loaded; load it first";
    REFERENCE_H4 = 0x914, "the fifth handle refers to something that is not loaded; load it first";
    REFERENCE_H5 = 0x915, "the sixth handle refers to something that is not loaded; load it first";
    REFERENCE_H6 = 0x916, "the seventh handle refers to something that is not loaded; load it first";
    REFERENCE_S0 = 0x918, "the first session is not open any more; start another";
    REFERENCE_S1 = 0x919, "the second session is not open any more; start another";
    REFERENCE_S2 = 0x91A, "the third session is not open any more; start another";
    REFERENCE_S3 = 0x91B, "the fourth session is not open any more; start another";
    REFERENCE_S4 = 0x91C, "the fifth session is not open any more; start another";
    REFERENCE_S5 = 0x91D, "the sixth session is not open any more; start another";
    REFERENCE_S6 = 0x91E, "the seventh session is not open any more; start another";
    NV_RATE = 0x920, "the TPM writes its storage as fast as it may; wait a moment";
    LOCKOUT = 0x921, "locked out after too many wrong authorizations; wait for the recovery time, \
        or reset the lockout with the lockout authorization (tpm2_dictionarylockout -c)";
    RETRY = 0x922, "the TPM could not start the command; send it again";
    NV_UNAVAILABLE = 0x923, "the TPM's storage is not available now; send the command again";
}

/// The code's name: `TPM_RC_AUTH_FAIL`.
pub fn name(response: u32) -> &'static str {
    entry(response).map_or("an unknown code", |(_, name, _)| name)
}

/// What it means, and what to do.
pub fn words(response: u32) -> &'static str {
    entry(response).map_or(UNKNOWN, |(_, _, words)| words)
}

const UNKNOWN: &str = "the code is not in the TPM 2.0 library; look in the maker's documentation";

fn entry(response: u32) -> Option<&'static (u32, &'static str, &'static str)> {
    // Above the twelve bits are the layers of other software; bit 10 marks a maker's own code.
    if response & !0xFFF != 0 || response & FORMAT_1 == 0 && response & 0x400 != 0 {
        return None;
    }
    WORDS.iter().find(|(number, ..)| *number == base(response))
}

/// What it complains of: a parameter, handle or session and its number, counted from one.
pub const fn about(response: u32) -> Option<(&'static str, u8)> {
    if response & !0xFFF != 0 || response & FORMAT_1 == 0 {
        return None;
    }
    let [.., low] = (response >> 8).to_be_bytes();
    let (what, number) = if response & PARAMETER != 0 {
        ("parameter", low & 0xF)
    } else if response & SESSION != 0 {
        ("session", low & 0x7)
    } else {
        ("handle", low & 0x7)
    };
    if number == 0 { None } else { Some((what, number)) }
}

/// Whether the TPM is busy with something else, and the same command may be sent again.
pub const fn is_busy(response: u32) -> bool {
    matches!(response, RETRY | YIELDED | TESTING | NV_RATE | NV_UNAVAILABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Refusal;
    use alloc::string::ToString;
    use tpm2_protocol::data::TpmRc;

    fn refusal(response: u32) -> Refusal {
        Refusal { command: "TPM2_Load", response }
    }

    #[test]
    fn codes_of_both_formats_are_told_in_words() {
        let integrity = refusal(0x1df);
        assert_eq!(
            (integrity.name(), integrity.about()),
            ("TPM_RC_INTEGRITY", Some(("parameter", 1)))
        );
        assert!(integrity.to_string().starts_with(
            "TPM2_Load refused with TPM_RC_INTEGRITY (0x1df, parameter 1): made by another TPM"
        ));
        assert_eq!(refusal(0x18b).about(), Some(("handle", 1)));
        assert_eq!(refusal(0x98e).about(), Some(("session", 1)));
        assert_eq!(refusal(0x100).name(), "TPM_RC_INITIALIZE");
        assert_eq!(refusal(0x921).name(), "TPM_RC_LOCKOUT");
        assert!(refusal(0x98e).is(AUTH_FAIL));
    }

    #[test]
    fn every_code_that_another_library_knows_has_its_name_and_words_here() {
        let mut known = 0;
        for response in 1..0x1000 {
            let Ok(theirs) = TpmRc::try_from(response) else { continue };
            assert_eq!(name(response), theirs.base().to_string(), "{response:03x}");
            assert_ne!(words(response), UNKNOWN, "{response:03x}");
            known += 1;
        }
        assert!(known > 500, "{known}");
    }

    #[test]
    fn a_resource_manager_speaks_for_the_tpm_and_other_software_does_not() {
        assert_eq!(without_layer(0x000B_0143), COMMAND_CODE);
        for other in [0x143, 0x000A_0143, 0x010B_0143, 0xffff_ffff] {
            assert_eq!(without_layer(other), other);
        }
    }

    #[test]
    fn a_busy_tpm_is_asked_again_and_noise_is_not() {
        for busy in [0x922, 0x908, 0x90a, 0x920, 0x923] {
            assert!(is_busy(busy), "{busy:x}");
        }
        for noise in [0xffff_ffff, 0xdead_beef, 0x0000_0fff, 0x8000_0000] {
            assert!(!is_busy(noise));
            assert_eq!((name(noise), about(noise).is_some()), ("an unknown code", noise == 0xfff));
        }
    }
}
