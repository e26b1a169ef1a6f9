//! 16-bit floats (IEEE 754 binary16) to and from `f32`.

/// The nearest 16-bit float, ties to even; beyond ±65,504 infinite.
pub(crate) fn from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let exponent = ((bits >> 23) & 0xff) as i32;
    let fraction = bits & 0x7f_ffff;
    if exponent == 0xff {
        return sign | 0x7c00 | u16::from(fraction != 0) << 9;
    }
    let exponent = exponent - 127 + 15;
    if exponent >= 31 {
        return sign | 0x7c00;
    }
    // Bits to drop from the 24-bit significand; more where the result is subnormal.
    let (significand, shift, base) = if exponent <= 0 {
        if exponent < -10 {
            return sign;
        }
        (fraction | 0x80_0000, (14 - exponent) as u32, 0)
    } else {
        (fraction, 13, (exponent as u32) << 10)
    };
    let kept = base + (significand >> shift);
    let (rest, half) = (significand & ((1 << shift) - 1), 1 << (shift - 1));
    let up = rest > half || rest == half && kept & 1 == 1;
    // A carry out of the fraction raises the exponent, as it should.
    sign | (kept + u32::from(up)) as u16
}

/// The same number as `f32`; exact.
pub(crate) fn to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1f;
    let fraction = u32::from(half) & 0x3ff;
    match exponent {
        0 => {
            let magnitude = fraction as f32 / 16_777_216.0;
            if sign == 0 { magnitude } else { -magnitude }
        }
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // numpy: np.float16(x).view(np.uint16)
        for (value, half) in [
            (0.0, 0),
            (-0.0, 0x8000),
            (1.0, 0x3c00),
            (-2.5, 0xc100),
            (0.1, 0x2e66),
            (65_504.0, 0x7bff),
            (65_520.0, 0x7c00),
            (1e-8, 0),
            (6e-8, 1),
            (6.1e-5, 0x03ff),
            (1.000_488_3, 0x3c00),
            (1.001_464_8, 0x3c02),
            (f32::INFINITY, 0x7c00),
        ] {
            assert_eq!(from_f32(value), half, "{value}");
        }
        assert!(to_f32(from_f32(f32::NAN)).is_nan());
    }

    #[test]
    fn every_half_comes_back() {
        for half in 0..=u16::MAX {
            let value = to_f32(half);
            if !value.is_nan() {
                assert_eq!(from_f32(value), half, "{half:#x} is {value}");
            }
        }
    }
}
