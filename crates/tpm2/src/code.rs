//! Command codes (TPM 2.0 Part 2 §6.5.2), and what has to be known of a command before it is sent:
//! whether its response has a handle, and which way its first parameter is secret.

/// A command's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `TPM_CC`.
    pub number: u32,
    /// The name: `TPM2_Quote`.
    pub name: &'static str,
    /// Whether the response has a handle.
    pub makes_handle: bool,
    /// Whether the first parameter sent is a sized buffer that nobody else should read.
    pub sends_secret: bool,
    /// Whether the first parameter received is.
    pub receives_secret: bool,
}

impl Code {
    /// The code of that number.
    pub fn from_number(number: u32) -> Option<Self> {
        ALL.iter().copied().find(|code| code.number == number)
    }
}

macro_rules! codes {
    ($($constant:ident = $number:literal $name:literal $($trait:ident)*;)*) => {
        $(
            #[doc = concat!("`TPM2_", $name, "`.")]
            pub const $constant: Code = Code {
                $($trait: true,)*
                ..Code {
                    number: $number,
                    name: concat!("TPM2_", $name),
                    makes_handle: false,
                    sends_secret: false,
                    receives_secret: false,
                }
            };
        )*
        /// Every command here.
        pub static ALL: &[Code] = &[$($constant),*];
    };
}

codes! {
    NV_UNDEFINE_SPACE_SPECIAL = 0x11F "NV_UndefineSpaceSpecial";
    EVICT_CONTROL = 0x120 "EvictControl";
    HIERARCHY_CONTROL = 0x121 "HierarchyControl";
    NV_UNDEFINE_SPACE = 0x122 "NV_UndefineSpace";
    CHANGE_EPS = 0x124 "ChangeEPS";
    CHANGE_PPS = 0x125 "ChangePPS";
    CLEAR = 0x126 "Clear";
    CLEAR_CONTROL = 0x127 "ClearControl";
    CLOCK_SET = 0x128 "ClockSet";
    HIERARCHY_CHANGE_AUTH = 0x129 "HierarchyChangeAuth" sends_secret;
    NV_DEFINE_SPACE = 0x12A "NV_DefineSpace" sends_secret;
    PCR_ALLOCATE = 0x12B "PCR_Allocate";
    PCR_SET_AUTH_POLICY = 0x12C "PCR_SetAuthPolicy";
    PP_COMMANDS = 0x12D "PP_Commands";
    SET_PRIMARY_POLICY = 0x12E "SetPrimaryPolicy";
    CLOCK_RATE_ADJUST = 0x130 "ClockRateAdjust";
    CREATE_PRIMARY = 0x131 "CreatePrimary" makes_handle sends_secret;
    NV_GLOBAL_WRITE_LOCK = 0x132 "NV_GlobalWriteLock";
    GET_COMMAND_AUDIT_DIGEST = 0x133 "GetCommandAuditDigest";
    NV_INCREMENT = 0x134 "NV_Increment";
    NV_SET_BITS = 0x135 "NV_SetBits";
    NV_EXTEND = 0x136 "NV_Extend" sends_secret;
    NV_WRITE = 0x137 "NV_Write" sends_secret;
    NV_WRITE_LOCK = 0x138 "NV_WriteLock";
    DICTIONARY_ATTACK_LOCK_RESET = 0x139 "DictionaryAttackLockReset";
    DICTIONARY_ATTACK_PARAMETERS = 0x13A "DictionaryAttackParameters";
    NV_CHANGE_AUTH = 0x13B "NV_ChangeAuth" sends_secret;
    PCR_EVENT = 0x13C "PCR_Event";
    PCR_RESET = 0x13D "PCR_Reset";
    SEQUENCE_COMPLETE = 0x13E "SequenceComplete" sends_secret receives_secret;
    SET_ALGORITHM_SET = 0x13F "SetAlgorithmSet";
    SET_COMMAND_CODE_AUDIT_STATUS = 0x140 "SetCommandCodeAuditStatus";
    INCREMENTAL_SELF_TEST = 0x142 "IncrementalSelfTest";
    SELF_TEST = 0x143 "SelfTest";
    STARTUP = 0x144 "Startup";
    SHUTDOWN = 0x145 "Shutdown";
    STIR_RANDOM = 0x146 "StirRandom" sends_secret;
    ACTIVATE_CREDENTIAL = 0x147 "ActivateCredential" receives_secret;
    CERTIFY = 0x148 "Certify";
    POLICY_NV = 0x149 "PolicyNV";
    CERTIFY_CREATION = 0x14A "CertifyCreation";
    DUPLICATE = 0x14B "Duplicate" sends_secret receives_secret;
    GET_TIME = 0x14C "GetTime";
    GET_SESSION_AUDIT_DIGEST = 0x14D "GetSessionAuditDigest";
    NV_READ = 0x14E "NV_Read" receives_secret;
    NV_READ_LOCK = 0x14F "NV_ReadLock";
    OBJECT_CHANGE_AUTH = 0x150 "ObjectChangeAuth" sends_secret;
    POLICY_SECRET = 0x151 "PolicySecret";
    REWRAP = 0x152 "Rewrap" sends_secret;
    CREATE = 0x153 "Create" sends_secret;
    ECDH_ZGEN = 0x154 "ECDH_ZGen" receives_secret;
    HMAC = 0x155 "HMAC" sends_secret receives_secret;
    IMPORT = 0x156 "Import" sends_secret;
    LOAD = 0x157 "Load" makes_handle;
    QUOTE = 0x158 "Quote";
    RSA_DECRYPT = 0x159 "RSA_Decrypt" receives_secret;
    HMAC_START = 0x15B "HMAC_Start" makes_handle sends_secret;
    SEQUENCE_UPDATE = 0x15C "SequenceUpdate" sends_secret;
    SIGN = 0x15D "Sign";
    UNSEAL = 0x15E "Unseal" receives_secret;
    POLICY_SIGNED = 0x160 "PolicySigned";
    CONTEXT_LOAD = 0x161 "ContextLoad" makes_handle;
    CONTEXT_SAVE = 0x162 "ContextSave";
    ECDH_KEY_GEN = 0x163 "ECDH_KeyGen" receives_secret;
    ENCRYPT_DECRYPT = 0x164 "EncryptDecrypt";
    FLUSH_CONTEXT = 0x165 "FlushContext";
    LOAD_EXTERNAL = 0x167 "LoadExternal" makes_handle sends_secret;
    MAKE_CREDENTIAL = 0x168 "MakeCredential" sends_secret;
    NV_READ_PUBLIC = 0x169 "NV_ReadPublic";
    POLICY_AUTHORIZE = 0x16A "PolicyAuthorize";
    POLICY_AUTH_VALUE = 0x16B "PolicyAuthValue";
    POLICY_COMMAND_CODE = 0x16C "PolicyCommandCode";
    POLICY_COUNTER_TIMER = 0x16D "PolicyCounterTimer";
    POLICY_CP_HASH = 0x16E "PolicyCpHash";
    POLICY_LOCALITY = 0x16F "PolicyLocality";
    POLICY_NAME_HASH = 0x170 "PolicyNameHash";
    POLICY_OR = 0x171 "PolicyOR";
    POLICY_TICKET = 0x172 "PolicyTicket";
    READ_PUBLIC = 0x173 "ReadPublic";
    RSA_ENCRYPT = 0x174 "RSA_Encrypt" sends_secret;
    START_AUTH_SESSION = 0x176 "StartAuthSession" makes_handle;
    VERIFY_SIGNATURE = 0x177 "VerifySignature";
    ECC_PARAMETERS = 0x178 "ECC_Parameters";
    GET_CAPABILITY = 0x17A "GetCapability";
    GET_RANDOM = 0x17B "GetRandom" receives_secret;
    GET_TEST_RESULT = 0x17C "GetTestResult";
    HASH = 0x17D "Hash";
    PCR_READ = 0x17E "PCR_Read";
    POLICY_PCR = 0x17F "PolicyPCR";
    POLICY_RESTART = 0x180 "PolicyRestart";
    READ_CLOCK = 0x181 "ReadClock";
    PCR_EXTEND = 0x182 "PCR_Extend";
    PCR_SET_AUTH_VALUE = 0x183 "PCR_SetAuthValue" sends_secret;
    NV_CERTIFY = 0x184 "NV_Certify";
    EVENT_SEQUENCE_COMPLETE = 0x185 "EventSequenceComplete" sends_secret;
    HASH_SEQUENCE_START = 0x186 "HashSequenceStart" makes_handle sends_secret;
    POLICY_PHYSICAL_PRESENCE = 0x187 "PolicyPhysicalPresence";
    POLICY_DUPLICATION_SELECT = 0x188 "PolicyDuplicationSelect";
    POLICY_GET_DIGEST = 0x189 "PolicyGetDigest";
    TEST_PARMS = 0x18A "TestParms";
    COMMIT = 0x18B "Commit";
    POLICY_PASSWORD = 0x18C "PolicyPassword";
    ZGEN_2PHASE = 0x18D "ZGen_2Phase" receives_secret;
    EC_EPHEMERAL = 0x18E "EC_Ephemeral";
    POLICY_NV_WRITTEN = 0x18F "PolicyNvWritten";
    POLICY_TEMPLATE = 0x190 "PolicyTemplate";
    CREATE_LOADED = 0x191 "CreateLoaded" makes_handle sends_secret;
    POLICY_AUTHORIZE_NV = 0x192 "PolicyAuthorizeNV";
    ENCRYPT_DECRYPT_2 = 0x193 "EncryptDecrypt2" sends_secret receives_secret;
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use tpm2_protocol::data::TpmCc;

    #[test]
    fn numbers_and_names_are_those_another_library_has() {
        let plain = |name: &str| name.replace('_', "").to_uppercase();
        for code in ALL {
            assert_eq!(Code::from_number(code.number), Some(*code));
            let theirs: String = TpmCc::try_from(code.number).unwrap().to_string();
            let (theirs, ours) = (plain(&theirs), plain(code.name));
            let bare = |name: &str| name.replacen("TPM2", "", 1).replacen("TPMCC", "", 1);
            assert_eq!(bare(&ours), bare(&theirs));
        }
    }
}
