//! Signed envelopes: whatever verifies has a signer, and how the octets are cut into pieces changes
//! no verdict. The first octet says how long the pieces are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_cms::{Error, SignedData, SignedReader};
use touchstone_crypto_awslc::AwsLc;

fn stream(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize), Error> {
    let (mut reader, mut content) = (SignedReader::new(&AwsLc), Vec::new());
    for octets in bytes.chunks(piece) {
        reader.read(octets, |it| content.extend_from_slice(it.dangerous()))?;
    }
    let signed = reader.verify(&[])?;
    assert!(!signed.signers().is_empty());
    Ok((content, signed.signers().len()))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let whole = stream(bytes, bytes.len().max(1));
    assert_eq!(whole, stream(bytes, 1 + usize::from(*first)));
    let memory = SignedData::decode(bytes).and_then(|decoded| {
        let _ = decoded.unverified_signers();
        decoded.verify(&AwsLc)
    });
    assert_eq!(whole, memory.map(|it| (it.content().to_vec(), it.signers().len())));
});
