//! From when until when a certificate is good: the two dates of X.509 (RFC 5280 section 4.1.2.5), read from its DER.

/// One DER element: its tag, its contents, and what follows it.
pub(crate) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The long form: so many bytes of length follow.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes.iter().fold(0, |n, b| (n << 8) | usize::from(*b));
            (length, rest)
        }
        _ => return None,
    };
    let (contents, after) = rest.split_at_checked(length)?;
    Some((tag, contents, after))
}

/// Seconds since 1970 of `UTCTime` (tag 0x17, years 1950 to 2049) or `GeneralizedTime` (tag 0x18).
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        0x17 => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        0x18 => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let (hour, minute, second) = (part(4)?, part(6)?, part(8)?);
    if rest.len() != 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days of the Gregorian calendar, the year counted from March so that a leap day comes last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
    let days = days + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// `notBefore` and `notAfter` of a certificate, in seconds since 1970, UTC.
pub fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut body, _) = element(certificate)?;
    if let (0xa0, _, after) = element(body)? {
        body = after;
    }
    // The serial number, the signature's algorithm and the issuer come first.
    for _ in 0..3 {
        (_, _, body) = element(body)?;
    }
    let (_, dates, _) = element(body)?;
    let (tag, from, dates) = element(dates)?;
    let from = time(tag, from)?;
    let (tag, until, _) = element(dates)?;
    Some((from, time(tag, until)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dates_are_those_that_were_written() {
        let cases = [
            ((2024, 2, 29), (2026, 3, 1), 1_709_164_800, 1_772_323_200),
            ((1999, 12, 31), (2050, 1, 1), 946_598_400, 2_524_608_000),
        ];
        for ((y, m, d), (y2, m2, d2), from, until) in cases {
            let mut params = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(y, m, d);
            params.not_after = rcgen::date_time_ymd(y2, m2, d2);
            let key = rcgen::KeyPair::generate().unwrap();
            let made = params.self_signed(&key).unwrap();
            assert_eq!(validity(made.der()), Some((from, until)));
            for cut in 0..made.der().len().min(200) {
                let _ = validity(&made.der()[..cut]);
            }
        }
        assert_eq!(time(0x17, b"991231235960"), None);
        assert_eq!(validity(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
