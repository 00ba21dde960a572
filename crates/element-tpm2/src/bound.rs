//! Keys and secrets that are bound to a state: the policy that their file holds, and running it.

use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_tpm2::marshal::Writer;
use touchstone_tpm2::pem::PolicyCommand;
use touchstone_tpm2::{
    Auth, AuthValue, Command, Error, NewSession, PcrSelection, Policy, SessionId, Tpm, code,
};

/// The hash of our objects' names, and so of their policies.
const HASH: HashAlgorithm = HashAlgorithm::Sha256;

/// A policy under construction, and the commands by which a key file tells it.
pub(crate) struct Bound {
    policy: Policy,
    pub(crate) commands: Vec<PolicyCommand>,
}

impl Bound {
    pub(crate) const fn new() -> Self {
        Self { policy: Policy::new(), commands: Vec::new() }
    }

    /// These registers have these values.
    pub(crate) fn with_pcrs(
        mut self,
        pcrs: PcrSelection,
        values: &[Digest],
    ) -> Result<Self, Error> {
        self.policy = self.policy.pcrs(pcrs, values);
        let values: Vec<&[u8]> = values.iter().map(Digest::as_bytes).collect();
        let digest = AwsLc.hash(HASH, &values);
        // As the command has them (Part 3 §23.7), which is how key files have them, too.
        let parameters = Writer::default().sized(digest.as_bytes())?.octets(&pcrs.encode());
        let parameters = parameters.done();
        self.commands.push(PolicyCommand { code: code::POLICY_PCR.number, parameters });
        Ok(self)
    }

    /// The authorization value is known, too.
    pub(crate) fn with_value(mut self) -> Self {
        self.policy = self.policy.auth_value();
        let code = code::POLICY_AUTH_VALUE.number;
        self.commands.push(PolicyCommand { code, parameters: Vec::new() });
        self
    }

    pub(crate) fn digest(&self) -> Result<Digest, Error> {
        self.policy.digest(&AwsLc, HASH)
    }
}

/// Uses something by the policy of its file, or by its value when it has none.
pub(crate) fn using<T>(
    tpm: &mut Tpm,
    policy: &[PolicyCommand],
    value: &AuthValue,
    serve: impl FnOnce(&mut Tpm, Auth) -> Result<T, Error>,
) -> Result<T, Error> {
    if policy.is_empty() {
        return serve(tpm, Auth::Value(value.clone()));
    }
    // Who records an unsalted session can guess the value that it proves.
    tpm.with_session(&NewSession::policy(HASH).salted(), |tpm, session| {
        for command in policy {
            assert(tpm, session, command)?;
        }
        serve(tpm, Auth::Policy(session, value.clone()))
    })
}

fn assert(tpm: &mut Tpm, session: SessionId, command: &PolicyCommand) -> Result<(), Error> {
    let code = match code::Code::from_number(command.code) {
        Some(code::POLICY_AUTH_VALUE) => return tpm.policy_auth_value(session),
        Some(
            code @ (code::POLICY_PCR
            | code::POLICY_COMMAND_CODE
            | code::POLICY_LOCALITY
            | code::POLICY_PHYSICAL_PRESENCE),
        ) => code,
        _ => {
            return Err(Error::Unsupported("a policy of more than PCRs, value, command and place"));
        }
    };
    let parameters = Writer::default().octets(&command.parameters);
    tpm.run(&Command::new(code).handle(&session.entity()).parameters(parameters))?;
    Ok(())
}
