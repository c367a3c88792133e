//! Checks the response URL, and sends the response to it.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use landfall_core::partition;
use tokio::time::{Instant, sleep, timeout_at};

/// The longest that one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The pause after the first attempt. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The start of the names of CloudFormation's response buckets; the region follows.
const BUCKET: &str = "cloudformation-custom-resource-response-";

/// A presigned URL from CloudFormation.
#[derive(Clone)]
pub struct ResponseUrl(String);

/// The URL is not CloudFormation's, so nothing is sent to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the response URL does not lead to a bucket of CloudFormation's over https")]
pub struct UrlError;

/// Why a response did not arrive.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum SendError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("failed to send the response: it was refused with status {0}")]
    Refused(u16),
    #[error("failed to send the response in time, after {attempts} attempts: {last}")]
    OutOfTime { attempts: u32, last: String },
}

impl SendError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "response_url_refused",
            Self::Refused(_) => "response_refused",
            Self::OutOfTime { .. } => "response_not_sent",
        }
    }
}

impl ResponseUrl {
    /// Wraps the URL from a request.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the URL's text. It is a credential: keep it out of logs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Checks that the URL leads to CloudFormation in `region`, by a name of that region's
    /// partition. `admit_loopback` also allows this machine, which only an emulated AWS needs.
    ///
    /// # Errors
    /// Fails if the URL leads elsewhere. Otherwise, a forged event could have the response, which
    /// names roles, sent to anyone.
    pub fn check(&self, admit_loopback: bool, region: &str) -> Result<(), UrlError> {
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
        let suffix =
            partition::of_region(region).and_then(partition::dns_suffix).ok_or(UrlError)?;
        let own = OwnRegion { region, suffix };
        let host = authority.strip_suffix(":443").unwrap_or(authority).to_ascii_lowercase();
        let is_bucket = own.is_bucket_host(&host) || own.is_bucket_path(&host, path);
        if scheme == "https" && is_bucket { Ok(()) } else { Err(UrlError) }
    }

    /// Sends `body` repeatedly until it arrives, is refused for good, or `deadline` has come.
    /// CloudFormation uses the first response that it gets, so sending it twice is safe.
    ///
    /// # Errors
    /// Fails if the response did not arrive.
    pub async fn send(
        &self,
        http: &SharedHttpConnector,
        body: &str,
        deadline: Instant,
        admit_loopback: bool,
        region: &str,
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
                // The signature is wrong or has expired, and another attempt would not change that.
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
        // The URL is signed for a request without a content type.
        let mut request = HttpRequest::new(body.into());
        let is_set = request.set_method("PUT").is_ok() && request.set_uri(self.0.as_str()).is_ok();
        if !is_set {
            return Err("the URL cannot be used".to_owned());
        }
        let response = http.call(request).await;
        // The error's own text may repeat the URL.
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

/// The function's own region, which is also that of its stacks.
struct OwnRegion<'a> {
    region: &'a str,
    /// The DNS suffix of its partition.
    suffix: &'a str,
}

impl OwnRegion<'_> {
    /// Matches a host such as
    /// `cloudformation-custom-resource-response-useast1.s3[.-region].amazonaws.com`.
    fn is_bucket_host(&self, host: &str) -> bool {
        host.strip_prefix(BUCKET)
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(region, service)| self.is_bucket_of(region) && self.is_s3(service))
    }

    /// Matches a URL with the bucket in the path.
    fn is_bucket_path(&self, host: &str, path: &str) -> bool {
        path.strip_prefix('/')
            .and_then(|path| path.strip_prefix(BUCKET))
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(region, _)| self.is_bucket_of(region) && self.is_s3(host))
    }

    /// Matches the region as the bucket's name has it, without dashes.
    fn is_bucket_of(&self, text: &str) -> bool {
        self.region.replace('-', "") == text
    }

    /// Matches `s3`, `s3-region`, `s3.region` or `s3.dualstack.region`, before the partition's
    /// suffix.
    fn is_s3(&self, host: &str) -> bool {
        let service = host.strip_suffix(self.suffix).and_then(|rest| rest.strip_suffix('.'));
        service.is_some_and(|service| match service.split_once('.') {
            None => {
                service == "s3"
                    || service.strip_prefix("s3-").is_some_and(|label| label == self.region)
            }
            Some(("s3", region)) => {
                region.strip_prefix("dualstack.").unwrap_or(region) == self.region
            }
            Some(_) => false,
        })
    }
}

impl fmt::Debug for ResponseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseUrl(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: &str = "cloudformation-custom-resource-response-";

    fn is_admitted(url: &str, admit_loopback: bool, region: &str) -> bool {
        ResponseUrl::new(url.to_owned()).check(admit_loopback, region).is_ok()
    }

    #[test]
    fn responses_go_to_buckets_of_cloudformation_only() {
        for (region, url) in [
            (
                "us-east-1",
                format!("https://{B}useast1.s3.amazonaws.com/arn%3Aaws%3A?X-Amz-Signature=x"),
            ),
            ("us-east-2", format!("https://{B}useast2.s3.us-east-2.amazonaws.com/x")),
            ("eu-west-1", format!("https://{B}euwest1.s3-eu-west-1.amazonaws.com:443/x")),
            ("cn-north-1", format!("https://{B}cnnorth1.s3.cn-north-1.amazonaws.com.cn/x")),
            ("us-gov-west-1", format!("https://{B}usgovwest1.s3.us-gov-west-1.amazonaws.com/x")),
            ("us-iso-east-1", format!("https://{B}usisoeast1.s3.us-iso-east-1.c2s.ic.gov/x")),
            (
                "eu-isoe-west-1",
                format!("https://{B}euisoewest1.s3.eu-isoe-west-1.cloud.adc-e.uk/x"),
            ),
            (
                "us-isof-south-1",
                format!("https://{B}usisofsouth1.s3.us-isof-south-1.csp.hci.ic.gov/x"),
            ),
            ("eusc-de-east-1", format!("https://{B}euscdeeast1.s3.eusc-de-east-1.amazonaws.eu/x")),
            (
                "eu-central-1",
                format!("https://{B}eucentral1.s3.dualstack.eu-central-1.amazonaws.com/x"),
            ),
            ("eu-south-1", format!("https://s3.eu-south-1.amazonaws.com/{B}eusouth1/x")),
        ] {
            assert!(is_admitted(&url, false, region), "{url}");
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
            format!("https://{B}useast1.s3amazonaws.com/x"),
            "https://acme.s3.amazonaws.com/x".to_owned(),
            "https://169.254.169.254/latest".to_owned(),
            "http://127.0.0.1:4566/x".to_owned(),
        ] {
            assert!(!is_admitted(&url, false, "us-east-1"), "{url}");
        }
        // Each partition has a suffix of its own.
        for (region, url) in [
            ("eu-isoe-west-1", format!("https://{B}euisoewest1.s3.eu-isoe-west-1.amazonaws.com/x")),
            (
                "us-isof-south-1",
                format!("https://{B}usisofsouth1.s3.us-isof-south-1.cloud.adc-e.uk/x"),
            ),
            ("eu-west-1", format!("https://{B}euwest1.s3.eu-west-1.csp.hci.ic.gov/x")),
        ] {
            assert!(!is_admitted(&url, false, region), "{url}");
        }
    }

    #[test]
    fn responses_go_to_buckets_of_the_functions_own_region() {
        for url in [
            format!("https://{B}euwest1.s3.amazonaws.com/x"),
            format!("https://{B}euwest1.s3.eu-west-1.amazonaws.com/x"),
            format!("https://{B}euwest1.s3.dualstack.eu-west-1.amazonaws.com/x"),
            format!("https://s3-eu-west-1.amazonaws.com/{B}euwest1/x"),
        ] {
            assert!(is_admitted(&url, false, "eu-west-1"), "{url}");
            // Where it is not known where the function is, nobody is answered.
            assert!(!is_admitted(&url, false, ""), "{url}");
        }
        for url in [
            format!("https://{B}useast1.s3.amazonaws.com/x"),
            format!("https://{B}euwest1.s3.us-east-1.amazonaws.com/x"),
            format!("https://s3.eu-west-1.amazonaws.com/{B}useast1/x"),
        ] {
            assert!(!is_admitted(&url, false, "eu-west-1"), "{url}");
        }
    }

    #[test]
    fn responses_go_to_names_of_the_functions_own_partition() {
        for suffix in
            ["amazonaws.com.cn", "amazonaws.eu", "c2s.ic.gov", "sc2s.sgov.gov", "cloud.adc-e.uk"]
        {
            for url in [
                format!("https://{B}euwest1.s3.{suffix}/x"),
                format!("https://{B}euwest1.s3.eu-west-1.{suffix}/x"),
                format!("https://s3.eu-west-1.{suffix}/{B}euwest1/x"),
            ] {
                assert!(!is_admitted(&url, false, "eu-west-1"), "{url}");
            }
        }
        let own = format!("https://{B}cnnorth1.s3.cn-north-1.amazonaws.com/x");
        assert!(!is_admitted(&own, false, "cn-north-1"), "{own}");
    }

    #[test]
    fn the_switch_admits_this_machine_and_no_other() {
        for url in ["http://127.0.0.1:4566/x", "http://localhost/x", "http://[::1]:80/x"] {
            assert!(is_admitted(url, true, "eu-west-1"), "{url}");
            assert!(!is_admitted(url, false, "eu-west-1"), "{url}");
        }
        for url in
            ["http://10.0.0.1/x", "http://127.0.0.1.evil.example/x", "http://localhost@evil/x"]
        {
            assert!(!is_admitted(url, true, "eu-west-1"), "{url}");
        }
    }

    #[test]
    fn a_url_is_not_shown() {
        let url = ResponseUrl::new("https://marked".to_owned());
        assert!(!format!("{url:?}").contains("marked"));
    }
}
