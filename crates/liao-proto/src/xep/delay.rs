//! Times as XMPP writes them (XEP-0082 section 3), as XEP-0203 stamps use them.

/// `2026-01-02T03:04:05.678Z` for milliseconds since 1970, UTC.
pub fn utc_from_ms(ms: i64) -> String {
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (y, m, d) = civil(days);
    let (s, milli) = (in_day / 1000, in_day % 1000);
    format!(
        "{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}.{milli:03}Z",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

/// Milliseconds since 1970 of a date and time of XEP-0082; fractions and offsets are taken into account.
pub fn ms_from_utc(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (y, m, d) = (date.next()??, date.next()??, date.next()??);
    let zone = time.find(['Z', '+', '-'])?;
    let (clock, offset) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(|p| p.parse::<i64>().ok());
    let (h, min, s) = (clock.next()??, clock.next()??, clock.next()??);
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let offset_min = match offset {
        "Z" => 0,
        o => {
            let (oh, om) = o[1..].split_once(':')?;
            let minutes = oh.parse::<i64>().ok()? * 60 + om.parse::<i64>().ok()?;
            if o.starts_with('-') {
                -minutes
            } else {
                minutes
            }
        }
    };
    let ok = (1..=12).contains(&m) && (1..=31).contains(&d) && h < 24 && min < 60 && s < 61;
    let seconds = days_from_civil(y, m, d) * 86_400 + h * 3600 + (min - offset_min) * 60 + s;
    ok.then_some(seconds * 1000 + digits.parse::<i64>().ok()?)
}

/// Year, month and day of a day number since 1970, proleptic Gregorian.
fn civil(days: i64) -> (i64, i64, i64) {
    let mut year = 1969 + days.div_euclid(if days < 0 { 365 } else { 366 });
    while days_from_civil(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days_from_civil(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - days_from_civil(year, month, 1) + 1)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let y = year - 1;
    let leaps = y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
    let before = BEFORE[(month - 1).clamp(0, 11) as usize] + i64::from(leap && month > 2);
    y * 365 + leaps + before + day - 719_163
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_both_ways() {
        assert_eq!(utc_from_ms(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(ms_from_utc("1969-07-21T02:56:15Z"), Some(-14_159_025_000));
        assert_eq!(
            ms_from_utc("1969-07-20T21:56:15-05:00"),
            Some(-14_159_025_000)
        );
        assert_eq!(
            ms_from_utc("2000-02-29T12:00:00.5Z")
                .map(utc_from_ms)
                .as_deref(),
            Some("2000-02-29T12:00:00.500Z")
        );
        for ms in (-5_000_000_000_000i64..5_000_000_000_000).step_by(12_345_678_901) {
            assert_eq!(ms_from_utc(&utc_from_ms(ms)), Some(ms));
        }
        assert_eq!(ms_from_utc("yesterday"), None);
    }
}
