//! Reads the times in the signature of a response URL.

use landfall_core::lifecycle::Issued;
use landfall_core::moment::Time;

use super::ResponseUrl;

/// When a response URL was signed, or until when it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// `X-Amz-Date` of S3's current signatures: when CloudFormation issued the request.
    At(Issued),
    /// `Expires` of S3's older signatures, which do not say when they were made.
    Until(Time),
    /// The URL has neither.
    Undated,
}

/// A parameter should hold a time, and does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl ResponseUrl {
    /// Reads the time in the URL.
    ///
    /// # Errors
    /// Fails if the parameter occurs twice or holds no time. Nothing follows from such a URL, not
    /// even that it is undated.
    pub fn signed(&self) -> Result<Signed, Malformed> {
        let query = self.expose().split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let only = |name: &str| {
            let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
            match (values.next(), values.next()) {
                (_, Some(_)) => Err(Malformed),
                (value, None) => Ok(value),
            }
        };
        if let Some(date) = only("X-Amz-Date")? {
            return Issued::parse(date).map(Signed::At).ok_or(Malformed);
        }
        let Some(end) = only("Expires")? else { return Ok(Signed::Undated) };
        let is_number = !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
        let end = end.parse::<u64>().ok().filter(|_| is_number);
        end.and_then(|end| end.checked_mul(1_000))
            .map(|end| Signed::Until(Time(end)))
            .ok_or(Malformed)
    }
}
