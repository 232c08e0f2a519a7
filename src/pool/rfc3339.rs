//! Times as people and machines read them, in JSON: RFC 3339, in UTC, to the millisecond.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de, ser};

pub fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let time = Timestamp::try_from(*time).map_err(ser::Error::custom)?;
    to.collect_str(&format_args!("{time:.3}"))
}

pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(from)?;
    let time: Timestamp = text.parse().map_err(de::Error::custom)?;
    SystemTime::try_from(time).map_err(de::Error::custom)
}

/// A time that may be absent.
pub mod option {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Time(#[serde(with = "super")] SystemTime);

    pub fn serialize<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
        time.map(Time).serialize(to)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<SystemTime>, D::Error> {
        let time = Option::<Time>::deserialize(from)?;
        Ok(time.map(|Time(time)| time))
    }
}
