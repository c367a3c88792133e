//! Refuses a request that CloudFormation cannot have sent, before any call is made.
//!
//! This module is pure: it depends only on the request, the settings and the time.

use std::time::Duration;

use landfall_core::lifecycle::Issued;
use landfall_core::moment::Time;
use landfall_core::roles::Home;

use crate::protocol::{Envelope, Signed};
use crate::settings::Settings;

/// How far apart the clocks of two AWS machines may be. A date further in the future is not
/// believed: it would make every later request seem late.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// A request that was issued longer ago than this has no effect. Lambda drops events after ten
/// minutes, so none of CloudFormation's is this old.
const ISSUED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// What is known about a request that CloudFormation may have sent.
#[derive(Debug)]
pub(crate) struct Passed {
    /// Where the stack is, which is where this function is.
    pub home: Home,
    /// When the request was issued, if its response URL says so. Otherwise, CloudFormation has to
    /// confirm it.
    pub issued: Option<Issued>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub(crate) enum Refusal {
    /// Sending the answer would refuse this URL too.
    #[error("the response URL is not CloudFormation's")]
    Url,
    #[error("the response URL has a date that is none")]
    Date,
    #[error("the request was issued too long ago, or is of the future")]
    Untimely,
    #[error("the response URL has expired")]
    Expired,
    #[error("the stack is not of this function's account and region")]
    Foreign,
}

impl Refusal {
    /// Returns a stable identifier for logs and metrics.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Url => "response_url_refused",
            Self::Date => "request_date_malformed",
            Self::Untimely | Self::Expired => "request_untimely",
            Self::Foreign => "request_foreign",
        }
    }
}

/// Lets a request through that CloudFormation may have sent by `now`.
///
/// # Errors
/// Fails if CloudFormation cannot have sent it.
pub(crate) fn check(
    envelope: &Envelope,
    settings: &Settings,
    now: Time,
) -> Result<Passed, Refusal> {
    let url = &envelope.response_url;
    if url.check(settings.admit_loopback, &settings.home.region).is_err() {
        return Err(Refusal::Url);
    }
    let issued = match url.signed().map_err(|_| Refusal::Date)? {
        Signed::At(issued) => {
            let at = issued.time();
            let is_timely = now.since(at) <= ISSUED_WITHIN && at.since(now) <= CLOCK_SKEW;
            Some(is_timely.then_some(issued).ok_or(Refusal::Untimely)?)
        }
        Signed::Until(end) if end < now => return Err(Refusal::Expired),
        // How long a URL is valid does not show when the request was issued.
        Signed::Until(_) | Signed::Undated => None,
    };
    let home = Home::of_stack(&envelope.stack_id).filter(|home| *home == settings.home);
    Ok(Passed { home: home.ok_or(Refusal::Foreign)?, issued })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use landfall_core::limits::Limits;

    use super::*;
    use crate::protocol::ResponseUrl;
    use crate::settings::Check;

    const NOON: Time = Time(1_769_860_800_000);

    fn settings() -> Settings {
        Settings {
            table: "t".to_owned(),
            admit_loopback: false,
            propagation: Duration::ZERO,
            home: Home {
                partition: "aws".to_owned(),
                account: "111111111111".to_owned(),
                region: "eu-west-1".to_owned(),
            },
            limits: Limits::ANY,
            check: Check::Resource,
        }
    }

    fn verdict(stack: &str, query: &str) -> Result<Option<Time>, Refusal> {
        let bucket = "cloudformation-custom-resource-response-euwest1";
        let envelope = Envelope {
            response_url: ResponseUrl::new(format!("https://{bucket}.s3.amazonaws.com/x{query}")),
            stack_id: stack.to_owned(),
            request_id: "r".to_owned(),
            logical_id: "Role".to_owned(),
            physical_id: None,
        };
        check(&envelope, &settings(), NOON).map(|passed| passed.issued.map(Issued::time))
    }

    const STACK: &str = "arn:aws:cloudformation:eu-west-1:111111111111:stack/s/1";

    #[test]
    fn a_date_is_believed_for_a_quarter_of_an_hour_and_none_of_the_future() {
        for (date, ahead, expected) in [
            ("20260131T120000Z", 0, Ok(())),
            ("20260131T120005Z", 5, Ok(())),
            ("20260131T120006Z", 6, Err(Refusal::Untimely)),
            ("20260131T121400Z", 840, Err(Refusal::Untimely)),
            ("20260131T114500Z", -900, Ok(())),
            ("20260131T114459Z", -901, Err(Refusal::Untimely)),
        ] {
            let at = Time(NOON.0.saturating_add_signed(ahead * 1_000));
            let said = verdict(STACK, &format!("?X-Amz-Date={date}"));
            assert_eq!(said, expected.map(|()| Some(at)), "{date}");
        }
    }

    #[test]
    fn a_date_that_is_none_is_refused_and_an_end_is_no_date() {
        for (query, expected) in [
            ("?X-Amz-Date=99999999T999999Z", Err(Refusal::Date)),
            ("?X-Amz-Date=", Err(Refusal::Date)),
            ("?X-Amz-Date=20260131T120000Z&X-Amz-Date=20260131T120000Z", Err(Refusal::Date)),
            ("?AWSAccessKeyId=A&Expires=1769860799&Signature=x", Err(Refusal::Expired)),
            ("?AWSAccessKeyId=A&Expires=1769860800&Signature=x", Ok(None)),
            ("?Expires=99999999999", Ok(None)),
            ("?Expires=tomorrow", Err(Refusal::Date)),
            ("?Expires=1769860900&Expires=1", Err(Refusal::Date)),
            ("", Ok(None)),
        ] {
            assert_eq!(verdict(STACK, query), expected, "{query}");
        }
    }

    #[test]
    fn a_stack_of_elsewhere_is_refused() {
        for stack in [
            "arn:aws:cloudformation:eu-west-1:222222222222:stack/s/1",
            "arn:aws:cloudformation:eu-west-2:111111111111:stack/s/1",
            "arn:aws-cn:cloudformation:eu-west-1:111111111111:stack/s/1",
            "nonsense",
        ] {
            assert_eq!(verdict(stack, ""), Err(Refusal::Foreign), "{stack}");
        }
    }
}
