//! Commands as they go to the TPM (TPM 2.0 Part 1 §18, Part 3).

use crate::kdf;
use crate::marshal::Writer;
use touchstone_crypto::HashAlgorithm;
use touchstone_element::Error;

/// A command's code and name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    /// Whether the response has a handle.
    pub(crate) makes_handle: bool,
}

macro_rules! codes {
    ($($constant:ident = $number:literal $name:literal $makes:literal;)*) => {
        $(pub(crate) const $constant: Code =
            Code { number: $number, name: $name, makes_handle: $makes };)*
    };
}

codes! {
    NV_UNDEFINE_SPACE = 0x122 "TPM2_NV_UndefineSpace" false;
    NV_DEFINE_SPACE = 0x12A "TPM2_NV_DefineSpace" false;
    CREATE_PRIMARY = 0x131 "TPM2_CreatePrimary" true;
    NV_WRITE = 0x137 "TPM2_NV_Write" false;
    ACTIVATE_CREDENTIAL = 0x147 "TPM2_ActivateCredential" false;
    CERTIFY = 0x148 "TPM2_Certify" false;
    NV_READ = 0x14E "TPM2_NV_Read" false;
    POLICY_SECRET = 0x151 "TPM2_PolicySecret" false;
    CREATE = 0x153 "TPM2_Create" false;
    LOAD = 0x157 "TPM2_Load" true;
    QUOTE = 0x158 "TPM2_Quote" false;
    SIGN = 0x15D "TPM2_Sign" false;
    FLUSH_CONTEXT = 0x165 "TPM2_FlushContext" false;
    NV_READ_PUBLIC = 0x169 "TPM2_NV_ReadPublic" false;
    POLICY_COMMAND_CODE = 0x16C "TPM2_PolicyCommandCode" false;
    POLICY_OR = 0x171 "TPM2_PolicyOR" false;
    READ_PUBLIC = 0x173 "TPM2_ReadPublic" false;
    START_AUTH_SESSION = 0x176 "TPM2_StartAuthSession" true;
    GET_CAPABILITY = 0x17A "TPM2_GetCapability" false;
    GET_RANDOM = 0x17B "TPM2_GetRandom" false;
    PCR_READ = 0x17E "TPM2_PCR_Read" false;
    PCR_EXTEND = 0x182 "TPM2_PCR_Extend" false;
}

/// Something in the TPM: where it is, and its name (Part 1 §16).
#[derive(Clone, Debug)]
pub(crate) struct Entity {
    pub(crate) handle: u32,
    pub(crate) name: Vec<u8>,
}

impl Entity {
    /// A hierarchy, a PCR or a session: its name is its handle.
    pub(crate) fn fixed(handle: u32) -> Self {
        Self { handle, name: handle.to_be_bytes().to_vec() }
    }
}

/// How the use of a handle is authorized.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Auth {
    /// The empty authorization value.
    Empty,
    /// A policy session without a secret of its own.
    Policy(u32),
}

/// `TPMA_SESSION` (Part 2 §8.4).
pub(crate) const CONTINUE_SESSION: u8 = 1;
pub(crate) const DECRYPT: u8 = 1 << 5;
pub(crate) const ENCRYPT: u8 = 1 << 6;

const ST_NO_SESSIONS: u16 = 0x8001;
const ST_SESSIONS: u16 = 0x8002;
const RS_PW: u32 = 0x4000_0009;

/// A command before it is sent.
pub(crate) struct Command<'a> {
    pub(crate) code: Code,
    /// The handles, in order.
    pub(crate) handles: &'a [&'a Entity],
    /// The authorizations of the first handles.
    pub(crate) auths: &'a [Auth],
    pub(crate) parameters: Vec<u8>,
}

/// A session that authorizes nothing but protects the parameters, as it goes into the command.
pub(crate) struct Protection<'a> {
    pub(crate) session: u32,
    pub(crate) nonce: &'a [u8],
    pub(crate) attributes: u8,
    pub(crate) hmac: &'a [u8],
}

impl Command<'_> {
    /// The octets to send.
    pub(crate) fn encode(&self, protection: Option<&Protection<'_>>) -> Result<Vec<u8>, Error> {
        let mut area = Writer::default();
        for auth in self.auths {
            let session = match *auth {
                Auth::Empty => RS_PW,
                Auth::Policy(session) => session,
            };
            area = area.u32(session).u16(0).u8(CONTINUE_SESSION).u16(0);
        }
        if let Some(protection) = protection {
            area = area
                .u32(protection.session)
                .sized(protection.nonce)?
                .u8(protection.attributes)
                .sized(protection.hmac)?;
        }
        let area = area.done();
        let handles: Vec<u8> =
            self.handles.iter().flat_map(|entity| entity.handle.to_be_bytes()).collect();
        let framed = if area.is_empty() { 0 } else { area.len() + 4 };
        let size = 10 + handles.len() + framed + self.parameters.len();
        let too_large = |_| Error::BadInput("the command is larger than a TPM takes");
        let tag = if area.is_empty() { ST_NO_SESSIONS } else { ST_SESSIONS };
        let mut writer = Writer::default()
            .u16(tag)
            .u32(u32::try_from(size).map_err(too_large)?)
            .u32(self.code.number)
            .octets(&handles);
        if !area.is_empty() {
            writer = writer.u32(u32::try_from(area.len()).map_err(too_large)?).octets(&area);
        }
        Ok(writer.octets(&self.parameters).done())
    }

    /// `cpHash` (Part 1 §16.7) with SHA-256.
    pub(crate) fn parameter_hash(&self) -> Vec<u8> {
        let code = self.code.number.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&code];
        parts.extend(self.handles.iter().map(|entity| entity.name.as_slice()));
        parts.push(&self.parameters);
        kdf::hash(HashAlgorithm::Sha256, &parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_framed_as_part_1_says() {
        let owner = Entity::fixed(0x4000_0001);
        let command = Command {
            code: CREATE_PRIMARY,
            handles: &[&owner],
            auths: &[Auth::Empty],
            parameters: vec![0xAA, 0xBB],
        };
        assert_eq!(
            command.encode(None).unwrap(),
            [
                0x80, 0x02, 0, 0, 0, 29, 0, 0, 0x01, 0x31, 0x40, 0, 0, 1, 0, 0, 0, 9, 0x40, 0, 0,
                9, 0, 0, 1, 0, 0, 0xAA, 0xBB
            ]
        );
    }
}
