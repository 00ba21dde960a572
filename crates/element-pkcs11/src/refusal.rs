//! What a module answers when it does not do as asked: in words, with what to do about it.

use cryptoki::context::Function;
use cryptoki::error::{Error as Pkcs11Error, RvError};
use touchstone_element::{Error, Refusal};

/// Why a piece of work on a session failed: the module said no, or we did.
#[derive(Debug)]
pub(crate) enum Fault {
    Module(Pkcs11Error),
    Ours(Error),
}

impl From<Pkcs11Error> for Fault {
    fn from(error: Pkcs11Error) -> Self {
        Self::Module(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Module(error) => refusal(&error),
            Fault::Ours(error) => error,
        }
    }
}

impl Fault {
    /// Whether there is no reaching the token, or no telling.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Module(error) => Self::lost(error) || Self::vague(error),
            Self::Ours(error) => matches!(error, Error::Removed),
        }
    }

    /// The error for a token that was there before.
    pub(crate) fn removed(self) -> Error {
        if self.is_away() { Error::Removed } else { self.into() }
    }

    /// The return value that the module gave.
    pub(crate) fn value(error: &Pkcs11Error) -> Option<RvError> {
        match error {
            Pkcs11Error::Pkcs11(value, _) => Some(*value),
            _ => None,
        }
    }

    /// Whether the session or the token behind it is gone.
    pub(crate) fn lost(error: &Pkcs11Error) -> bool {
        matches!(
            Self::value(error),
            Some(
                RvError::DeviceRemoved
                    | RvError::TokenNotPresent
                    | RvError::TokenNotRecognized
                    | RvError::SlotIdInvalid
                    | RvError::SessionHandleInvalid
                    | RvError::SessionClosed
                    | RvError::CryptokiNotInitialized
                    | RvError::UserNotLoggedIn
            )
        )
    }

    /// Whether the module says no more than that something went wrong: the token may be gone.
    pub(crate) fn vague(error: &Pkcs11Error) -> bool {
        matches!(
            Self::value(error),
            Some(
                RvError::GeneralError
                    | RvError::FunctionFailed
                    | RvError::DeviceError
                    | RvError::ObjectHandleInvalid
                    | RvError::KeyHandleInvalid
            )
        )
    }
}

/// The module's no, as an error of the element.
pub(crate) fn refusal(error: &Pkcs11Error) -> Error {
    match error {
        Pkcs11Error::Pkcs11(value, function) => match value {
            RvError::DeviceRemoved | RvError::TokenNotPresent => Error::Removed,
            RvError::PinLocked => Error::LockedOut { recovery: None },
            RvError::DeviceMemory => Error::Exhausted("the token's memory; delete what is unused"),
            RvError::SessionCount => Error::Exhausted("sessions of the token; close other users"),
            _ => Error::Refused(words(*value, *function)),
        },
        Pkcs11Error::NullFunctionPointer | Pkcs11Error::NotSupported => {
            Error::Unsupported("a function that the module lacks")
        }
        _ => Error::Malformed("an attribute or a length that PKCS#11 does not know"),
    }
}

fn words(value: RvError, function: Function) -> Refusal {
    let (response, name, words) = TABLE.iter().find(|(known, ..)| *known == value).map_or_else(
        || unknown(value),
        |(_, code, name, words)| (*code, (*name).to_owned(), *words),
    );
    Refusal { command: command(function), response, name, about: None, words }
}

fn unknown(value: RvError) -> (u32, String, &'static str) {
    let (code, words) = match value {
        RvError::VendorDefined(code) => (code, "a code of the token's maker; see its manual"),
        RvError::UnknownErrorCode(code) => (code, "a code that PKCS#11 3.0 does not have"),
        other => return (0, format!("{other:?}"), "see PKCS#11 3.0 §5.1"),
    };
    let code = u32::try_from(code).unwrap_or(u32::MAX);
    (code, format!("CKR_{code:08X}"), words)
}

const fn command(function: Function) -> &'static str {
    match function {
        Function::Initialize => "C_Initialize",
        Function::Finalize => "C_Finalize",
        Function::GetInfo => "C_GetInfo",
        Function::GetSlotList => "C_GetSlotList",
        Function::GetSlotInfo => "C_GetSlotInfo",
        Function::GetTokenInfo => "C_GetTokenInfo",
        Function::GetMechanismList => "C_GetMechanismList",
        Function::GetMechanismInfo => "C_GetMechanismInfo",
        Function::OpenSession => "C_OpenSession",
        Function::GetSessionInfo => "C_GetSessionInfo",
        Function::Login => "C_Login",
        Function::CreateObject => "C_CreateObject",
        Function::DestroyObject => "C_DestroyObject",
        Function::GetAttributeValue => "C_GetAttributeValue",
        Function::SetAttributeValue => "C_SetAttributeValue",
        Function::FindObjectsInit | Function::FindObjects => "C_FindObjects",
        Function::EncryptInit | Function::Encrypt => "C_Encrypt",
        Function::DecryptInit | Function::Decrypt => "C_Decrypt",
        Function::SignInit | Function::Sign | Function::SignUpdate | Function::SignFinal => {
            "C_Sign"
        }
        Function::GenerateKey => "C_GenerateKey",
        Function::GenerateKeyPair => "C_GenerateKeyPair",
        Function::DeriveKey => "C_DeriveKey",
        Function::GenerateRandom => "C_GenerateRandom",
        _ => "PKCS#11",
    }
}

/// PKCS#11 3.0 §5.1: what may come, the value, its name, and what to do.
#[rustfmt::skip]
const TABLE: &[(RvError, u32, &str, &str)] = &[
    (RvError::HostMemory, 0x02, "CKR_HOST_MEMORY", "the computer is out of memory"),
    (RvError::SlotIdInvalid, 0x03, "CKR_SLOT_ID_INVALID", "the reader is gone; connect it again"),
    (RvError::GeneralError, 0x05, "CKR_GENERAL_ERROR", "the module failed; see its log, and whether its files can be read and written"),
    (RvError::FunctionFailed, 0x06, "CKR_FUNCTION_FAILED", "the token failed; try again, and see the module's log"),
    (RvError::ArgumentsBad, 0x07, "CKR_ARGUMENTS_BAD", "the module does not take these parameters; choose another algorithm"),
    (RvError::CantLock, 0x0a, "CKR_CANT_LOCK", "the module cannot serve threads"),
    (RvError::AttributeReadOnly, 0x10, "CKR_ATTRIBUTE_READ_ONLY", "the token does not let this object be changed"),
    (RvError::AttributeSensitive, 0x11, "CKR_ATTRIBUTE_SENSITIVE", "the token keeps this value to itself"),
    (RvError::AttributeTypeInvalid, 0x12, "CKR_ATTRIBUTE_TYPE_INVALID", "the token does not know an attribute of this object"),
    (RvError::AttributeValueInvalid, 0x13, "CKR_ATTRIBUTE_VALUE_INVALID", "the token does not take such a key"),
    (RvError::ActionProhibited, 0x1b, "CKR_ACTION_PROHIBITED", "the token's policy forbids it; ask its owner"),
    (RvError::DataInvalid, 0x20, "CKR_DATA_INVALID", "the token does not take this input"),
    (RvError::DataLenRange, 0x21, "CKR_DATA_LEN_RANGE", "the input is too long or too short for this key"),
    (RvError::DeviceError, 0x30, "CKR_DEVICE_ERROR", "the token or its reader failed; take it out and put it back"),
    (RvError::EncryptedDataInvalid, 0x40, "CKR_ENCRYPTED_DATA_INVALID", "the ciphertext is damaged or for another key"),
    (RvError::EncryptedDataLenRange, 0x41, "CKR_ENCRYPTED_DATA_LEN_RANGE", "the ciphertext is damaged or for another key"),
    (RvError::FunctionCanceled, 0x50, "CKR_FUNCTION_CANCELED", "somebody cancelled it at the token; try again"),
    (RvError::FunctionNotSupported, 0x54, "CKR_FUNCTION_NOT_SUPPORTED", "the module lacks this function"),
    (RvError::KeyHandleInvalid, 0x60, "CKR_KEY_HANDLE_INVALID", "the key was deleted meanwhile"),
    (RvError::KeySizeRange, 0x62, "CKR_KEY_SIZE_RANGE", "the token does not take keys of this size"),
    (RvError::KeyTypeInconsistent, 0x63, "CKR_KEY_TYPE_INCONSISTENT", "the key is of another kind"),
    (RvError::KeyFunctionNotPermitted, 0x68, "CKR_KEY_FUNCTION_NOT_PERMITTED", "the key is not for this; make one that is"),
    (RvError::MechanismInvalid, 0x70, "CKR_MECHANISM_INVALID", "the token lacks this algorithm; see its capabilities"),
    (RvError::MechanismParamInvalid, 0x71, "CKR_MECHANISM_PARAM_INVALID", "the token does not take these parameters; choose another algorithm"),
    (RvError::ObjectHandleInvalid, 0x82, "CKR_OBJECT_HANDLE_INVALID", "the object was deleted meanwhile"),
    (RvError::OperationActive, 0x90, "CKR_OPERATION_ACTIVE", "the module is still at something else; try again"),
    (RvError::OperationNotInitialized, 0x91, "CKR_OPERATION_NOT_INITIALIZED", "the module does not take this in several calls, as a key that asks each time needs"),
    (RvError::PinIncorrect, 0xa0, "CKR_PIN_INCORRECT", "the PIN is wrong"),
    (RvError::PinInvalid, 0xa1, "CKR_PIN_INVALID", "the PIN has characters that the token does not take"),
    (RvError::PinLenRange, 0xa2, "CKR_PIN_LEN_RANGE", "the PIN is too short or too long for the token"),
    (RvError::PinExpired, 0xa3, "CKR_PIN_EXPIRED", "the PIN has expired; set a new one with the token's own tool"),
    (RvError::SessionReadOnly, 0xb5, "CKR_SESSION_READ_ONLY", "the token is write-protected"),
    (RvError::SessionReadWriteSoExists, 0xb8, "CKR_SESSION_READ_WRITE_SO_EXISTS", "the security officer is logged in; log out there"),
    (RvError::TemplateIncomplete, 0xd0, "CKR_TEMPLATE_INCOMPLETE", "the token wants more attributes than PKCS#11 asks for"),
    (RvError::TemplateInconsistent, 0xd1, "CKR_TEMPLATE_INCONSISTENT", "the token does not take such a key"),
    (RvError::TokenNotRecognized, 0xe1, "CKR_TOKEN_NOT_RECOGNIZED", "the module does not know this kind of card"),
    (RvError::TokenWriteProtected, 0xe2, "CKR_TOKEN_WRITE_PROTECTED", "the token is write-protected"),
    (RvError::UserNotLoggedIn, 0x101, "CKR_USER_NOT_LOGGED_IN", "the token asks for a PIN; add pin-source to its URI"),
    (RvError::UserPinNotInitialized, 0x102, "CKR_USER_PIN_NOT_INITIALIZED", "the token has no PIN yet; set one with its own tool"),
    (RvError::UserAnotherAlreadyLoggedIn, 0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", "somebody else is logged in; log out there"),
    (RvError::RandomNoRng, 0x121, "CKR_RANDOM_NO_RNG", "the token has no random source"),
    (RvError::DomainParamsInvalid, 0x130, "CKR_DOMAIN_PARAMS_INVALID", "the token lacks this curve"),
    (RvError::CurveNotSupported, 0x140, "CKR_CURVE_NOT_SUPPORTED", "the token lacks this curve"),
    (RvError::FunctionRejected, 0x200, "CKR_FUNCTION_REJECTED", "the token's user said no"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_function_the_value_and_what_to_do() {
        let error = refusal(&Pkcs11Error::Pkcs11(RvError::KeyFunctionNotPermitted, Function::Sign));
        assert_eq!(
            error.to_string(),
            "C_Sign refused with CKR_KEY_FUNCTION_NOT_PERMITTED (0x068): the key is not for this; \
             make one that is"
        );
        let error =
            refusal(&Pkcs11Error::Pkcs11(RvError::VendorDefined(0x8000_0001), Function::Login));
        assert!(error.to_string().contains("CKR_80000001"), "{error}");
    }

    #[test]
    fn every_value_of_the_table_stands_there_once() {
        for (place, (value, code, name, words)) in TABLE.iter().enumerate() {
            let later = TABLE.iter().skip(place + 1);
            assert!(later.clone().all(|other| other.0 != *value && other.1 != *code), "{name}");
            assert!(name.starts_with("CKR_") && !words.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn a_token_that_is_away_is_told_apart_from_one_that_refuses() {
        let told = |value| Pkcs11Error::Pkcs11(value, Function::Sign);
        assert!(matches!(refusal(&told(RvError::DeviceRemoved)), Error::Removed));
        assert!(Fault::lost(&told(RvError::SessionHandleInvalid)));
        assert!(Fault::vague(&told(RvError::DeviceError)));
        assert!(!Fault::lost(&told(RvError::MechanismInvalid)));
        assert!(!Fault::vague(&told(RvError::MechanismInvalid)));
        assert!(matches!(refusal(&told(RvError::PinLocked)), Error::LockedOut { .. }));
    }
}
