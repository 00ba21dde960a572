//! HMAC sessions salted to the storage root key: nobody between us and the TPM reads or changes
//! the parameters they protect (TPM 2.0 Part 1 §19.6, §21).
//!
//! One serves one command. What this is not: proof that the other end is a TPM at all; that is what
//! the endorsement key's certificate is for.

use crate::command::{self, Auth, Command, Entity, Protection};
use crate::context::{Answer, Context};
use crate::kdf::{self, Direction, Octets};
use crate::marshal::{Reader, Writer};
use crate::public::{ALG_AES, ALG_CFB, ALG_NULL, Key, Public};
use crate::response::SessionResponse;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::Error;

const RH_NULL: u32 = 0x4000_0007;
const SE_HMAC: u8 = 0;
const SE_POLICY: u8 = 1;
const HASH: HashAlgorithm = HashAlgorithm::Sha256;
const KEY_BITS: u16 = 128;
const KEY_LEN: usize = 16;
const IV_LEN: usize = 16;

/// Which way the first parameter is encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secret {
    /// The one we send.
    Sent,
    /// The one we get.
    Received,
}

impl Context {
    /// Runs a command whose first parameter, sent or received, only the TPM and we can read.
    /// Everything in command and response is authenticated.
    pub(crate) fn run_secret(
        &mut self,
        mut command: Command<'_>,
        secret: Secret,
    ) -> Result<Answer, Error> {
        let mut session = Session::start(self)?;
        let answer = session.run(self, &mut command, secret);
        let flushed = self.flush(session.handle);
        let answer = answer?;
        flushed?;
        Ok(answer)
    }

    /// Starts a policy session. The caller flushes it.
    pub(crate) fn start_policy(&mut self, hash: HashAlgorithm) -> Result<Entity, Error> {
        let mut nonce = [0; 16];
        AwsLc.random(&mut nonce)?;
        let null = Entity::fixed(RH_NULL);
        let parameters = Writer::default()
            .sized(&nonce)?
            .u16(0)
            .u8(SE_POLICY)
            .u16(ALG_NULL)
            .u16(hash.tpm_id())
            .done();
        let answer = self.run(&Command {
            code: command::START_AUTH_SESSION,
            handles: &[&null, &null],
            auths: &[],
            parameters,
        })?;
        answer.handle().map(Entity::fixed)
    }
}

struct Session {
    handle: u32,
    key: Octets,
    nonce_tpm: Vec<u8>,
}

impl Session {
    fn start(context: &mut Context) -> Result<Self, Error> {
        let srk = context.srk()?;
        let (salt, encrypted_salt) = salt(&srk.public)?;
        let mut nonce = [0; 32];
        AwsLc.random(&mut nonce)?;
        let null = Entity::fixed(RH_NULL);
        let parameters = Writer::default()
            .sized(&nonce)?
            .sized(&encrypted_salt)?
            .u8(SE_HMAC)
            .u16(ALG_AES)
            .u16(KEY_BITS)
            .u16(ALG_CFB)
            .u16(HASH.tpm_id())
            .done();
        let answer = context.run(&Command {
            code: command::START_AUTH_SESSION,
            handles: &[&srk.entity, &null],
            auths: &[],
            parameters,
        })?;
        let handle = answer.handle()?;
        let mut reader = Reader::new(&answer.parameters);
        let made = reader.sized().and_then(|nonce_tpm| {
            reader.end()?;
            let key = kdf::kdfa(HASH, &salt, b"ATH", nonce_tpm, &nonce, HASH.len())?;
            Ok(Self { handle, key, nonce_tpm: nonce_tpm.to_vec() })
        });
        if made.is_err() {
            context.flush(handle)?;
        }
        made
    }

    fn run(
        &mut self,
        context: &mut Context,
        command: &mut Command<'_>,
        secret: Secret,
    ) -> Result<Answer, Error> {
        let mut nonce = [0; 32];
        AwsLc.random(&mut nonce)?;
        let direction = match secret {
            Secret::Sent => command::DECRYPT,
            Secret::Received => command::ENCRYPT,
        };
        let attributes = command::CONTINUE_SESSION | direction;
        if secret == Secret::Sent {
            let (newer, older) = (&nonce, &self.nonce_tpm);
            self.cipher(&mut command.parameters, newer, older, Direction::Encrypt)?;
        }
        let hash = command.parameter_hash();
        let hmac = self.hmac(&hash, &nonce, &self.nonce_tpm, attributes)?;
        let protection =
            Protection { session: self.handle, nonce: &nonce, attributes, hmac: &hmac };
        let code = command.code;
        let octets = command.encode(Some(&protection))?;
        context.exchange(code, &octets, command.auths.len() + 1, |handle, parameters, sessions| {
            let last = sessions.last().ok_or(Error::Malformed("its session is missing"))?;
            self.check(code.number, parameters, &nonce, last)?;
            let mut parameters = parameters.to_vec();
            if secret == Secret::Received {
                self.cipher(&mut parameters, last.nonce, &nonce, Direction::Decrypt)?;
            }
            Ok(Answer { handle, parameters })
        })
    }

    fn check(
        &self,
        code: u32,
        parameters: &[u8],
        nonce: &[u8],
        session: &SessionResponse<'_>,
    ) -> Result<(), Error> {
        // rpHash (Part 1 §16.8): the response code is zero here.
        let hash = kdf::hash(HASH, &[&[0; 4], &code.to_be_bytes(), parameters]);
        let hmac = self.hmac(&hash, session.nonce, nonce, session.attributes)?;
        if kdf::same(&hmac, session.hmac) {
            Ok(())
        } else {
            Err(Error::Malformed("its HMAC is wrong: somebody sits between us and the TPM"))
        }
    }

    fn hmac(
        &self,
        hash: &[u8],
        newer: &[u8],
        older: &[u8],
        attributes: u8,
    ) -> Result<Vec<u8>, Error> {
        Ok(kdf::hmac(HASH, &self.key, &[hash, newer, older, &[attributes]])?)
    }

    /// The first parameter, a sized buffer, in place (Part 1 §21.3). Its size stays readable.
    fn cipher(
        &self,
        parameters: &mut [u8],
        newer: &[u8],
        older: &[u8],
        direction: Direction,
    ) -> Result<(), Error> {
        let len = Reader::new(parameters).sized()?.len();
        let data = parameters
            .get_mut(2..2 + len)
            .ok_or(Error::Malformed("its first parameter is cut short"))?;
        let key = kdf::kdfa(HASH, &self.key, b"CFB", newer, older, KEY_LEN + IV_LEN)?;
        let (key, iv) = key.split_at(KEY_LEN);
        Ok(kdf::cfb(key, iv, data, direction)?)
    }
}

/// A salt, and the same as only the storage root key can read it (Part 1 Annex C.6.3).
fn salt(srk: &Public) -> Result<(Octets, Vec<u8>), Error> {
    let Key::Ecc { curve, x, y } = &srk.key else {
        return Err(Error::Malformed("the storage root key is not an elliptic-curve key"));
    };
    let agreed = kdf::agree(curve.len(), x, y)?;
    let x = kdf::padded(x, curve.len())?;
    let salt = kdf::kdfe(HASH, &agreed.z, b"SECRET", &agreed.x, &x);
    Ok((salt, Writer::default().sized(&agreed.x)?.sized(&agreed.y)?.done()))
}

/// The steps by which a policy session earns its digest.
impl Context {
    /// `PolicySecret` of the endorsement hierarchy, whose authorization is empty.
    pub(crate) fn policy_endorsement(&mut self, session: &Entity) -> Result<(), Error> {
        let endorsement = Entity::fixed(crate::policy::RH_ENDORSEMENT);
        // Empty nonce, cpHash and reference, and no expiry.
        let parameters = Writer::default().u16(0).u16(0).u16(0).u32(0).done();
        self.run(&Command {
            code: command::POLICY_SECRET,
            handles: &[&endorsement, session],
            auths: &[Auth::Empty],
            parameters,
        })?;
        Ok(())
    }

    /// `PolicyCommandCode`.
    pub(crate) fn policy_command(&mut self, session: &Entity, command: u32) -> Result<(), Error> {
        self.run(&Command {
            code: command::POLICY_COMMAND_CODE,
            handles: &[session],
            auths: &[],
            parameters: command.to_be_bytes().to_vec(),
        })?;
        Ok(())
    }

    /// `PolicyOR`.
    pub(crate) fn policy_or(
        &mut self,
        session: &Entity,
        branches: &[Vec<u8>],
    ) -> Result<(), Error> {
        let count = u32::try_from(branches.len())
            .map_err(|_| Error::BadInput("a policy has too many branches"))?;
        let parameters = branches
            .iter()
            .try_fold(Writer::default().u32(count), |writer, branch| writer.sized(branch))?
            .done();
        self.run(&Command {
            code: command::POLICY_OR,
            handles: &[session],
            auths: &[],
            parameters,
        })?;
        Ok(())
    }
}
