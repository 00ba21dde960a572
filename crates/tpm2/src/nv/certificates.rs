//! Certificates in indices: the maker's, one after another (TCG EK Credential Profile §2.2).

use crate::Error;
use alloc::vec::Vec;

/// The certificates that stand one after another in an index, without the filling behind them.
pub fn split_certificates(mut data: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let mut certificates = Vec::new();
    while let Some(0x30) = data.first() {
        let (certificate, rest) = split_der(data)?;
        certificates.push(certificate.to_vec());
        data = rest;
    }
    // Makers fill with either.
    if data.iter().all(|&octet| octet == 0) || data.iter().all(|&octet| octet == 0xFF) {
        Ok(certificates)
    } else {
        Err(Error::Malformed("an index holds something that is not a certificate"))
    }
}

fn split_der(data: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (header, len) = match data {
        [_, 0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [_, 0x81, len, ..] => (3, usize::from(*len)),
        [_, len @ 0..=0x7F, ..] => (2, usize::from(*len)),
        _ => return Err(Error::Malformed("a stored certificate has no proper length")),
    };
    data.split_at_checked(header + len).ok_or(Error::Malformed("a stored certificate is cut short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_come_apart_and_filling_is_left_out() {
        let (short, long) = ([0x30, 2, 1, 2], [&[0x30, 0x82, 1, 0], [7; 256].as_slice()].concat());
        for filling in [&[][..], &[0; 9], &[0xFF; 9]] {
            let data = [&short, long.as_slice(), filling].concat();
            assert_eq!(split_certificates(&data).unwrap(), [short.to_vec(), long.clone()]);
        }
        assert_eq!(split_certificates(&[]).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_cut_certificate_or_noise_is_refused() {
        for bad in [&[0x30][..], &[0x30, 0x83, 1, 1, 1], &[0x30, 5, 1], b"noise", &[0x30, 0, 1]] {
            assert!(matches!(split_certificates(bad), Err(Error::Malformed(_))), "{bad:?}");
        }
    }
}
