//! `Time` (RFC 5280 §4.1.2.5): seconds since 1970, and back.

use crate::Error;
use core::time::Duration;
use der::asn1::{AnyRef, GeneralizedTime};
use der::{DateTime, Tag, Tagged};
use x509_cert::time::Time;

/// Unix seconds of a `UTCTime` or `GeneralizedTime` in the only form that DER and RFC 5280 allow:
/// with seconds, in Greenwich. What lies before 1970 reads as 0, for nothing here is that old.
pub(crate) fn read(time: AnyRef<'_>, part: &'static str) -> Result<u64, Error> {
    let malformed = || Error::malformed(part);
    let digits = time.value().strip_suffix(b"Z").ok_or_else(malformed)?;
    let (year, rest) = match (time.tag(), digits.len()) {
        (Tag::UtcTime, 12) => {
            let (year, rest) = digits.split_at_checked(2).ok_or_else(malformed)?;
            let year = number(year).ok_or_else(malformed)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (Tag::GeneralizedTime, 14) => {
            let (year, rest) = digits.split_at_checked(4).ok_or_else(malformed)?;
            (number(year).ok_or_else(malformed)?, rest)
        }
        _ => return Err(malformed()),
    };
    let mut fields = [0_u8; 5];
    for (field, digits) in fields.iter_mut().zip(rest.chunks(2)) {
        let value = number(digits).and_then(|value| u8::try_from(value).ok());
        *field = value.ok_or_else(malformed)?;
    }
    let [month, day, hour, minute, second] = fields;
    // A year of the same shape stands in for those that the library does not know.
    let known = if year < 1970 { 1972 + year % 4 } else { year };
    let date = DateTime::new(known, month, day, hour, minute, second).map_err(|_| malformed())?;
    Ok(if year < 1970 { 0 } else { date.unix_duration().as_secs() })
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u16::from(digit))
    })
}

/// A moment before the year 10000.
pub(crate) fn date(at: u64) -> Result<DateTime, Error> {
    DateTime::from_unix_duration(Duration::from_secs(at)).map_err(Error::der("time"))
}

/// `UTCTime` to 2049, `GeneralizedTime` after it.
pub(crate) fn encode(at: u64) -> Result<Time, Error> {
    date(at).map(Time::from)
}

pub(crate) fn generalized(at: u64) -> Result<GeneralizedTime, Error> {
    date(at).map(GeneralizedTime::from_date_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Result<u64, Error> {
        read(AnyRef::new(Tag::UtcTime, text.as_bytes()).unwrap(), "time")
    }

    fn generalized(text: &str) -> Result<u64, Error> {
        read(AnyRef::new(Tag::GeneralizedTime, text.as_bytes()).unwrap(), "time")
    }

    #[test]
    fn two_digits_are_of_1950_to_2049() {
        assert_eq!(utc("700101000001Z"), Ok(1));
        assert_eq!(utc("500101000000Z"), Ok(0));
        assert_eq!(utc("491231235959Z"), Ok(2_524_607_999));
        assert_eq!(generalized("20500101000000Z"), Ok(2_524_608_000));
        assert_eq!(generalized("99991231235959Z"), Ok(crate::FOREVER));
    }

    #[test]
    fn fractions_zones_missing_seconds_and_days_that_never_were_are_refused() {
        let bad =
            ["7001010000Z", "700101000001+0100", "700101000001", "700230000000Z", "70010100000aZ"];
        for text in bad {
            assert!(utc(text).is_err(), "{text}");
        }
        for text in ["20500101000000.5Z", "205001010000Z", "20501301000000Z", "20500101240000Z"] {
            assert!(generalized(text).is_err(), "{text}");
        }
    }
}
