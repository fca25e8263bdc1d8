//! A stable colour for each person: from the address to an angle to RGB (XEP-0392 section 5, HSLuv).

use sha1::{Digest, Sha1};

/// The hue of a text, in degrees (XEP-0392 section 5.1).
pub fn angle(text: &str) -> f64 {
    let hash = Sha1::digest(text.as_bytes());
    f64::from(u16::from_le_bytes([hash[0], hash[1]])) / 65536.0 * 360.0
}

/// sRGB from XYZ (the D65 white point that HSLuv is defined with).
const MATRIX: [[f64; 3]; 3] = [
    [
        3.240_969_941_904_521,
        -1.537_383_177_570_093,
        -0.498_610_760_293,
    ],
    [
        -0.969_243_636_280_87,
        1.875_967_501_507_72,
        0.041_555_057_407_175,
    ],
    [
        0.055_630_079_696_993,
        -0.203_976_958_888_97,
        1.056_971_514_242_878,
    ],
];
const WHITE_U: f64 = 0.197_830_006_642_83;
const WHITE_V: f64 = 0.468_319_994_938_79;
const KAPPA: f64 = 903.296_296_296_296_2;
const EPSILON: f64 = 0.008_856_451_679_035_631;

/// The longest chroma that all three channels can show at this lightness and hue.
fn longest_chroma(lightness: f64, hue: f64) -> f64 {
    let (sin, cos) = hue.to_radians().sin_cos();
    let cube = (lightness + 16.0).powi(3) / 1_560_896.0;
    let share = if cube > EPSILON {
        cube
    } else {
        lightness / KAPPA
    };
    let mut shortest = f64::MAX;
    for [a, b, c] in MATRIX {
        for bound in [0.0, 1.0] {
            let top = (284_517.0 * a - 94_839.0 * c) * share;
            let side = (838_422.0 * c + 769_860.0 * b + 731_718.0 * a) * lightness * share
                - 769_860.0 * bound * lightness;
            let bottom = (632_260.0 * c - 126_452.0 * b) * share + 126_452.0 * bound;
            let length = side / bottom / (sin - top / bottom * cos);
            if length >= 0.0 {
                shortest = shortest.min(length);
            }
        }
    }
    shortest
}

/// HSLuv at full saturation to RGB, each 0 to 1.
fn rgb(hue: f64, lightness: f64) -> [f64; 3] {
    let chroma = longest_chroma(lightness, hue);
    let (sin, cos) = hue.to_radians().sin_cos();
    let u = cos * chroma / (13.0 * lightness) + WHITE_U;
    let v = sin * chroma / (13.0 * lightness) + WHITE_V;
    let y = if lightness > 8.0 {
        ((lightness + 16.0) / 116.0).powi(3)
    } else {
        lightness / KAPPA
    };
    let x = y * 9.0 * u / (4.0 * v);
    let z = y * (12.0 - 3.0 * u - 20.0 * v) / (4.0 * v);
    MATRIX.map(|[a, b, c]| {
        let linear = a * x + b * y + c * z;
        let channel = if linear <= 0.003_130_8 {
            12.92 * linear
        } else {
            1.055 * linear.powf(1.0 / 2.4) - 0.055
        };
        channel.clamp(0.0, 1.0)
    })
}

/// A person's colour at a lightness of 0 to 100 that suits the background.
pub fn of(text: &str, lightness: f64) -> (u8, u8, u8) {
    let [r, g, b] = rgb(angle(text), lightness).map(|c| (c * 255.0).round() as u8);
    (r, g, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_test_vectors() {
        // XEP-0392, its test vectors at full range.
        for (text, hue, expected) in [
            ("Romeo", 327.255_249, [0.865, 0.000, 0.686]),
            ("juliet@capulet.lit", 209.410_400, [0.000, 0.515, 0.573]),
            ("😺", 331.199_341, [0.872, 0.000, 0.659]),
            ("council", 359.994_507, [0.918, 0.000, 0.394]),
            ("Board", 171.430_664, [0.000, 0.527, 0.457]),
        ] {
            assert!((angle(text) - hue).abs() < 1e-5, "{text}");
            for (got, expected) in rgb(angle(text), 50.0).iter().zip(expected) {
                assert!((got - expected).abs() < 0.001, "{text}: {got} {expected}");
            }
        }
    }
}
