//! Whole numbers as JSON has them: `3` and `3.0` are the same, and some programs write all of theirs the second way.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Above it a float does not hold every whole number.
const FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// For `deserialize_with`.
pub fn number<'a, D: Deserializer<'a>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(Whole(PhantomData))
}

/// For `deserialize_with` of a field that may be absent.
pub fn option<'a, D: Deserializer<'a>, T: TryFrom<u64>>(from: D) -> Result<Option<T>, D::Error> {
    from.deserialize_option(OptionalWhole(PhantomData))
}

struct Whole<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, not below 0 and not too large")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        let unexpected = serde::de::Unexpected::Unsigned(number);
        T::try_from(number).map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        match number.fract() == 0.0 && (0.0..=FLOAT_MAX).contains(&number) {
            true => self.visit_u64(number as u64),
            false => Err(E::invalid_value(
                serde::de::Unexpected::Float(number),
                &self,
            )),
        }
    }
}

struct OptionalWhole<T>(PhantomData<T>);

impl<'a, T: TryFrom<u64>> Visitor<'a> for OptionalWhole<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or null")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'a>>(self, from: D) -> Result<Self::Value, D::Error> {
        number(from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Order {
        #[serde(deserialize_with = "number")]
        machines: u32,
        #[serde(default, deserialize_with = "option")]
        after_s: Option<u64>,
    }

    fn read(machines: serde_json::Value, after_s: serde_json::Value) -> Result<Order, String> {
        let order = json!({ "machines": machines, "after_s": after_s });
        serde_json::from_value(order).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (machines, after_s) in [(json!(3), json!(7)), (json!(3.0), json!(7.0))] {
            let order = read(machines, after_s).unwrap();
            assert_eq!((order.machines, order.after_s), (3, Some(7)));
        }
        assert_eq!(read(json!(0), json!(null)).unwrap().after_s, None);
        let short: Order = serde_json::from_value(json!({ "machines": 1 })).unwrap();
        assert_eq!(short.after_s, None);
        for wrong in [
            json!(3.5),
            json!(-1),
            json!(-1.0),
            json!(1e300),
            json!(4_294_967_296_u64),
            json!("3"),
            json!(true),
        ] {
            let told = read(wrong.clone(), json!(null)).unwrap_err();
            assert!(told.contains("a whole number"), "{wrong}: {told}");
        }
    }
}
