//! What a TPM states: about its registers, its keys and itself.

use crate::told::local;
use crate::tpm::{Tpm, selected};
use touchstone_crypto::Digest;
use touchstone_element::{
    Attested, Attesting, Credential, DeviceIdentity, Endorsement, Error, KeyUse, PcrSelection,
    Registers, Secret,
};
use touchstone_tpm2::marshal::{Reader, Writer};
use touchstone_tpm2::public::ALG_NULL;
use touchstone_tpm2::template::DeviceKey;
use touchstone_tpm2::{Command, code};

const ATTESTS: &str = "a key that signs what the TPM states";

impl Attesting for Tpm {
    fn endorsement(&mut self) -> Result<Endorsement, Error> {
        Ok(self.find_endorsement()?.endorsement.clone())
    }

    fn device_identity(&mut self) -> Result<Option<DeviceIdentity>, Error> {
        self.maker_key(DeviceKey::IDevId)
    }

    fn initial_attestation(&mut self) -> Result<Option<DeviceIdentity>, Error> {
        self.maker_key(DeviceKey::Iak)
    }

    fn quote(
        &mut self,
        key: &str,
        selection: &PcrSelection,
        data: &[u8],
    ) -> Result<Attested, Error> {
        let selection = selected(selection)?.encode();
        let parameters = qualifying(data)?.u16(ALG_NULL).octets(&selection);
        self.with_key_for(key, KeyUse::Attest, ATTESTS, |tpm, key| {
            let answer = tpm.using(key, |tpm, auth| {
                let quote = Command::new(code::QUOTE).authorized(&key.object.entity, auth);
                tpm.run(&quote.parameters(parameters))
            })?;
            attested(&answer.parameters)
        })
    }

    fn certify(&mut self, object: &str, by_key: &str, data: &[u8]) -> Result<Attested, Error> {
        let parameters = qualifying(data)?.u16(ALG_NULL);
        self.with_key(object, |tpm, object| {
            tpm.with_key_for(by_key, KeyUse::Attest, ATTESTS, |tpm, by| {
                tpm.with_admin(object, code::CERTIFY, |tpm, auth| {
                    let certify =
                        Command::new(code::CERTIFY).authorized(&object.object.entity, auth);
                    let answer = tpm.using(by, |tpm, auth| {
                        let certify = certify.authorized(&by.object.entity, auth);
                        tpm.run(&certify.parameters(parameters))
                    })?;
                    attested(&answer.parameters)
                })
            })
        })
    }

    fn activate(&mut self, key: &str, credential: &Credential) -> Result<Secret, Error> {
        let start = Writer::default().sized(&credential.blob);
        let parameters = start.and_then(|blob| blob.sized(&credential.secret)).map_err(local)?;
        let activate = Command::new(code::ACTIVATE_CREDENTIAL).parameters(parameters);
        self.with_endorsement_key(|tpm, endorsement| {
            tpm.with_key(key, |tpm, key| {
                tpm.with_admin(key, code::ACTIVATE_CREDENTIAL, |tpm, admin| {
                    let activate = activate.authorized(&key.object.entity, admin);
                    tpm.with_endorsement_auth(&endorsement.public, |tpm, auth| {
                        tpm.open_credential(&activate.authorized(&endorsement.entity, auth))
                    })
                })
            })
        })
    }
}

impl Registers for Tpm {
    fn read_pcrs(&mut self, selection: &PcrSelection) -> Result<Vec<Digest>, Error> {
        let selection = selected(selection)?;
        self.ask(|tpm| tpm.pcr_read(&selection))
    }

    fn extend_pcr(&mut self, pcr: u8, digests: &[Digest]) -> Result<(), Error> {
        self.ask(|tpm| tpm.pcr_extend(pcr, digests))
    }
}

impl Tpm {
    fn open_credential(&mut self, activate: &Command) -> Result<Secret, Error> {
        let answer = self.ask(|tpm| tpm.run(activate))?;
        Ok(Secret::new(Reader::new(&answer.parameters).sized().map_err(local)?.to_vec()))
    }
}

fn qualifying(data: &[u8]) -> Result<Writer, Error> {
    if data.len() > 64 {
        return Err(Error::BadInput("qualifying data is 64 octets at most"));
    }
    Writer::default().sized(data).map_err(local)
}

fn attested(parameters: &[u8]) -> Result<Attested, Error> {
    let mut reader = Reader::new(parameters);
    let attest = reader.sized().map_err(local)?.to_vec();
    Ok(Attested { attest, signature: reader.rest().to_vec() })
}
