//! Whole numbers, however they are written.

/// The value of a JSON number that is whole, such as `3600`, `3600.0` or `36e2`; `None` when it is not, or does not fit.
pub(super) fn whole(json: &str) -> Option<i128> {
    let (is_negative, digits) = match json.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, json),
    };
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if before.bytes().chain(after.bytes()).all(|b| b == b'0') {
        return Some(0);
    }
    // Anything beyond 40 digits either way is no i128: then it does not matter by how much.
    let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
    let shift = exponent.saturating_sub(i64::try_from(after.len()).ok()?);
    let significant = [before, after].concat();
    let significant = significant.trim_start_matches('0');
    let value = if shift >= 0 {
        let factor = 10_i128.checked_pow(u32::try_from(shift).ok()?)?;
        significant.parse::<i128>().ok()?.checked_mul(factor)?
    } else {
        let cut = usize::try_from(shift.unsigned_abs()).ok()?;
        let (kept, dropped) = significant.split_at(significant.len().checked_sub(cut)?);
        if dropped.bytes().any(|b| b != b'0') || kept.is_empty() {
            return None;
        }
        kept.parse().ok()?
    };
    Some(if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_are_read_exactly_however_they_are_written() {
        for (json, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e999999999999999999999", 0),
            ("3600", 3600),
            ("3600.0", 3600),
            ("3600.000e-0", 3600),
            ("36e2", 3600),
            ("36E+2", 3600),
            ("0.36e4", 3600),
            ("0.00036e7", 3600),
            ("360000e-2", 3600),
            ("-1.5e1", -15),
            ("9223372036854775807.0", i128::from(i64::MAX)),
            ("9007199254740993.0", 9_007_199_254_740_993),
        ] {
            assert_eq!(whole(json), Some(value), "{json}");
        }
    }

    #[test]
    fn what_is_not_whole_or_not_thinkable_is_none() {
        let long = "9".repeat(10_000);
        for json in [
            "0.5",
            "-1.25e1",
            "1e-1",
            "15e-1",
            "1e999999999999999999999",
            "1e-999999999999999999999",
            "1e39",
            "1e40",
            &long,
        ] {
            assert_eq!(whole(json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_integer_itself(value: i64, zeros in 0_usize..30, shift in 0_usize..18) {
            let fraction = "0".repeat(zeros + 1);
            prop_assert_eq!(whole(&value.to_string()), Some(i128::from(value)));
            prop_assert_eq!(whole(&format!("{value}.{fraction}")), Some(i128::from(value)));
            prop_assert_eq!(whole(&format!("{value}{}e-{shift}", "0".repeat(shift))), Some(i128::from(value)));
        }

        #[test]
        fn no_number_panics(json in "-?(0|[1-9][0-9]{0,45})(\\.[0-9]{1,45})?([eE][+-]?[0-9]{1,25})?") {
            let _ = whole(&json);
        }
    }
}
