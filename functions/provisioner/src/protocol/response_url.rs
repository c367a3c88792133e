//! Where a response goes, and how it gets there.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use time::{Date, Month};
use tokio::time::{Instant, sleep, timeout_at};

/// One attempt takes no longer.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The pause after the first attempt; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The endings of S3's names in the partitions.
const AWS_SUFFIXES: [&str; 5] =
    ["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "c2s.ic.gov", "sc2s.sgov.gov"];

/// CloudFormation's buckets for responses begin with this, and go on with the region.
const BUCKET: &str = "cloudformation-custom-resource-response-";

/// A presigned URL of CloudFormation's.
#[derive(Clone)]
pub struct ResponseUrl(String);

/// A URL that nothing is sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the response URL does not lead to a bucket of CloudFormation's over https")]
pub struct UrlError;

/// Why a response did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("failed to send the response: it was refused with status {0}")]
    Refused(u16),
    #[error("failed to send the response in time, after {attempts} attempts: {last}")]
    OutOfTime { attempts: u32, last: String },
}

impl SendError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "response_url_refused",
            Self::Refused(_) => "response_refused",
            Self::OutOfTime { .. } => "response_not_sent",
        }
    }
}

impl ResponseUrl {
    /// Wraps the text of a request.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for whoever masks it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// When CloudFormation issued the request, if the URL's signature tells: the digits of its
    /// `X-Amz-Date`, which only say which of two came first.
    pub fn issued(&self) -> Option<u64> {
        let (_, query) = self.0.split_once('?')?;
        let date = query.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Date="))?;
        let (day, time) = date.strip_suffix('Z')?.split_once('T')?;
        let is_date = day.len() == 8 && time.len() == 6;
        format!("{day}{time}").parse().ok().filter(|_| is_date)
    }

    /// The same as a time, if there is such a day.
    pub fn issued_at(&self) -> Option<SystemTime> {
        let digits = self.issued()?;
        let field = |unit: u64, size: u64| digits / unit % size;
        let (year, month, day) =
            (field(10_000_000_000, 10_000), field(100_000_000, 100), field(1_000_000, 100));
        let (hour, minute, second) = (field(10_000, 100), field(100, 100), field(1, 100));
        let byte = |number: u64| u8::try_from(number).ok();
        let month = Month::try_from(byte(month)?).ok()?;
        let day = Date::from_calendar_date(i32::try_from(year).ok()?, month, byte(day)?).ok()?;
        let time = day.with_hms(byte(hour)?, byte(minute)?, byte(second)?).ok()?;
        (year >= 1970).then(|| time.assume_utc().into())
    }

    /// Whether it leads to CloudFormation, in `region` if that is known; `admit_loopback` lets it lead
    /// to this machine too, which serves an emulated AWS and nothing else.
    ///
    /// # Errors
    /// It leads elsewhere: an event that somebody made up could otherwise have the response, which
    /// names roles, sent to whom they like.
    pub fn check(&self, admit_loopback: bool, region: Option<&str>) -> Result<(), UrlError> {
        let (scheme, rest) = self.0.split_once("://").ok_or(UrlError)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if !authority.chars().all(is_plain) {
            return Err(UrlError);
        }
        if admit_loopback && scheme == "http" && is_loopback(authority) {
            return Ok(());
        }
        let host = authority.strip_suffix(":443").unwrap_or(authority).to_ascii_lowercase();
        match scheme == "https"
            && (is_bucket_host(&host, region) || is_bucket_path(&host, path, region))
        {
            true => Ok(()),
            false => Err(UrlError),
        }
    }

    /// Sends `body`, again and again until it arrives, is refused for good, or `deadline` has come.
    /// CloudFormation takes the first response that it gets, so sending one twice does no harm.
    ///
    /// # Errors
    /// It did not arrive.
    pub async fn send(
        &self,
        http: &SharedHttpConnector,
        body: &str,
        deadline: Instant,
        admit_loopback: bool,
        region: Option<&str>,
    ) -> Result<(), SendError> {
        self.check(admit_loopback, region)?;
        let mut pause = FIRST_PAUSE;
        let mut attempts = 0;
        let mut last = String::from("there was no time for one");
        while Instant::now() < deadline {
            attempts += 1;
            let attempt = timeout_at(deadline.min(Instant::now() + ATTEMPT), self.put(http, body));
            match attempt.await {
                Ok(Ok(200..=299)) => return Ok(()),
                // The signature is wrong, or has expired: it will be so the next time.
                Ok(Ok(status @ 400..=499)) if status != 408 && status != 429 => {
                    return Err(SendError::Refused(status));
                }
                Ok(Ok(status)) => last = format!("status {status}"),
                Ok(Err(error)) => last = error,
                Err(_) => last = "no answer".to_owned(),
            }
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause *= 2;
        }
        Err(SendError::OutOfTime { attempts, last })
    }

    async fn put(&self, http: &SharedHttpConnector, body: &str) -> Result<u16, String> {
        // No content type: the URL is signed for none.
        let mut request = HttpRequest::new(body.into());
        let is_set = request.set_method("PUT").is_ok() && request.set_uri(self.0.as_str()).is_ok();
        if !is_set {
            return Err("the URL cannot be used".to_owned());
        }
        let response = http.call(request).await;
        // The error's own words may repeat the URL.
        response.map(|response| response.status().as_u16()).map_err(|error| {
            let what = match () {
                () if error.is_timeout() => "a time-out",
                () if error.is_io() => "no connection",
                () => "a broken exchange",
            };
            what.to_owned()
        })
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    matches!(host, "127.0.0.1" | "localhost" | "[::1]")
}

/// `cloudformation-custom-resource-response-useast1.s3[.-region].amazonaws.com`.
fn is_bucket_host(host: &str, own: Option<&str>) -> bool {
    host.strip_prefix(BUCKET)
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(region, service)| is_region(region, own) && is_s3(service, own))
}

/// The same with the bucket in the path.
fn is_bucket_path(host: &str, path: &str, own: Option<&str>) -> bool {
    path.strip_prefix('/')
        .and_then(|path| path.strip_prefix(BUCKET))
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(region, _)| is_region(region, own) && is_s3(host, own))
}

/// A region as the bucket's name has it, without its dashes: the function's own, which is the stack's.
fn is_region(text: &str, own: Option<&str>) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && own.is_none_or(|own| own.replace('-', "") == text)
}

/// `s3`, `s3-region`, `s3.region` or `s3.dualstack.region`, before a partition's ending.
fn is_s3(host: &str, own: Option<&str>) -> bool {
    AWS_SUFFIXES.iter().any(|suffix| {
        let service = host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.'));
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && own.is_none_or(|own| own == label)
        };
        service.is_some_and(|service| match service.split_once('.') {
            None => service == "s3" || service.strip_prefix("s3-").is_some_and(is_label),
            Some(("s3", region)) => is_label(region.strip_prefix("dualstack.").unwrap_or(region)),
            Some(_) => false,
        })
    })
}

impl fmt::Debug for ResponseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseUrl(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_admitted(url: &str, admit_loopback: bool) -> bool {
        ResponseUrl::new(url.to_owned()).check(admit_loopback, None).is_ok()
    }

    #[test]
    fn responses_go_to_buckets_of_cloudformation_only() {
        const B: &str = "cloudformation-custom-resource-response-";
        for url in [
            format!("https://{B}useast1.s3.amazonaws.com/arn%3Aaws%3A?X-Amz-Signature=x"),
            format!("https://{B}useast2.s3.us-east-2.amazonaws.com/x"),
            format!("https://{B}euwest1.s3-eu-west-1.amazonaws.com:443/x"),
            format!("https://{B}cnnorth1.s3.cn-north-1.amazonaws.com.cn/x"),
            format!("https://{B}eucentral1.s3.dualstack.eu-central-1.amazonaws.com/x"),
            format!("https://s3.eu-south-1.amazonaws.com/{B}eusouth1/x"),
        ] {
            assert!(is_admitted(&url, false), "{url}");
        }
        for url in [
            String::new(),
            "https://".to_owned(),
            format!("http://{B}useast1.s3.amazonaws.com/x"),
            format!("https://{B}useast1.s3.amazonaws.com.evil.example/x"),
            format!("https://{B}useast1.s3.amazonaws.com@evil.example/x"),
            format!("https://evil.example/{B}useast1/x"),
            format!("https://evil.example#{B}useast1.s3.amazonaws.com/x"),
            format!("https://evil.example\\{B}useast1.s3.amazonaws.com/x"),
            format!("https://{B}useast1.s3.evil.com.amazonaws.com/x"),
            format!("https://{B}useast1.ec2.amazonaws.com/x"),
            format!("https://{B}useast1.s3.amazonaws.com:8443/x"),
            "https://acme.s3.amazonaws.com/x".to_owned(),
            "https://169.254.169.254/latest".to_owned(),
            "http://127.0.0.1:4566/x".to_owned(),
        ] {
            assert!(!is_admitted(&url, false), "{url}");
        }
    }

    #[test]
    fn responses_go_to_buckets_of_the_functions_own_region() {
        const B: &str = "cloudformation-custom-resource-response-";
        let is_own = |url: String| ResponseUrl::new(url).check(false, Some("eu-west-1")).is_ok();
        for url in [
            format!("https://{B}euwest1.s3.amazonaws.com/x"),
            format!("https://{B}euwest1.s3.eu-west-1.amazonaws.com/x"),
            format!("https://{B}euwest1.s3.dualstack.eu-west-1.amazonaws.com/x"),
            format!("https://s3-eu-west-1.amazonaws.com/{B}euwest1/x"),
        ] {
            assert!(is_own(url.clone()), "{url}");
        }
        for url in [
            format!("https://{B}useast1.s3.amazonaws.com/x"),
            format!("https://{B}euwest1.s3.us-east-1.amazonaws.com/x"),
            format!("https://s3.eu-west-1.amazonaws.com/{B}useast1/x"),
        ] {
            assert!(!is_own(url.clone()), "{url}");
        }
    }

    #[test]
    fn the_time_of_issue_is_read_to_the_second() {
        let at = |date: &str| {
            let url = ResponseUrl::new(format!("https://b/k?X-Amz-Date={date}"));
            let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
            url.issued_at().and_then(since).map(|time| time.as_secs())
        };
        assert_eq!(at("19700101T000000Z"), Some(0));
        assert_eq!(at("20240229T120000Z"), Some(1_709_208_000));
        assert_eq!(at("20261231T235959Z"), Some(1_798_761_599));
        assert_eq!(at("20270101T000000Z"), Some(1_798_761_600));
        for date in [
            "20261301T000000Z",
            "20260001T000000Z",
            "20260101T240000Z",
            "19690101T000000Z",
            "20260101T006000Z",
        ] {
            assert_eq!(at(date), None, "{date}");
        }
    }

    #[test]
    fn the_switch_admits_this_machine_and_no_other() {
        for url in ["http://127.0.0.1:4566/x", "http://localhost/x", "http://[::1]:80/x"] {
            assert!(is_admitted(url, true), "{url}");
            assert!(!is_admitted(url, false), "{url}");
        }
        for url in
            ["http://10.0.0.1/x", "http://127.0.0.1.evil.example/x", "http://localhost@evil/x"]
        {
            assert!(!is_admitted(url, true), "{url}");
        }
    }

    #[test]
    fn the_signature_tells_which_of_two_requests_came_first() {
        let issued = |url: &str| ResponseUrl::new(url.to_owned()).issued();
        let one =
            issued("https://b/k?X-Amz-Algorithm=A&X-Amz-Date=20261231T235959Z&X-Amz-Expires=7200");
        assert_eq!(one, Some(20_261_231_235_959));
        assert!(one < issued("https://b/k?X-Amz-Date=20270101T000000Z"));
        for url in [
            "https://b/k",
            "https://b/k?Expires=1",
            "https://b/k?X-Amz-Date=+1T000000Z",
            "http://x?X-Amz-Date=",
        ] {
            assert_eq!(issued(url), None, "{url}");
        }
    }

    #[test]
    fn a_url_is_not_shown() {
        let url = ResponseUrl::new("https://marked".to_owned());
        assert!(!format!("{url:?}").contains("marked"));
    }
}
