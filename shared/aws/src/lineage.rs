//! Sends lineage to an HTTP endpoint or an event bus. `landfall_core::lineage` decides what to
//! send, and `advance` when.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use landfall_core::arn::{BusArn, SecretArn, is_bus_name};
use landfall_core::secret::Secret;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::config::pooled_connector;
use crate::events::SOURCE;
use crate::ledger::LedgerError;
use crate::sdk_error::sdk_error_parts;
use crate::secret_value::{SecretError, SecretValue};
use crate::signed::{is_loopback, send};

/// The most time that sending one event may take, and that reading the key may take.
const ATTEMPT: Duration = Duration::from_millis(1_500);

/// The shortest time until the key is read again, after the endpoint refused it or reading it
/// failed.
const READ_ANEW: Duration = Duration::from_secs(60);

/// The detail type of an event on a bus.
const DETAIL_TYPE: &str = "OpenLineage RunEvent";

/// The destination of lineage, as the environment names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// An HTTP endpoint; each event is the body of a `POST`.
    Http {
        /// The URL, which may hold credentials.
        url: Secret,
        /// The host of the URL, which may be shown.
        host: String,
        /// The key that is sent as a bearer token.
        api_key: Option<ApiKey>,
    },
    /// The name or ARN of an EventBridge bus; each event is the detail of one.
    Bus(String),
}

/// The key by which an endpoint recognises its senders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiKey {
    /// A key in the environment, where anyone who can read the function's configuration sees it.
    Plain(Secret),
    /// The ARN of a Secrets Manager secret that holds the key as text.
    Secret(String),
}

/// Why lineage was not sent. Only the lineage is lost.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum LineageError {
    #[error("failed to send lineage to `{to}`: {reason}")]
    NotSent { to: String, reason: String },
    #[error("failed to send lineage to `{to}`: it was refused: {reason}")]
    Refused { to: String, reason: String },
    #[error("failed to read the key for lineage")]
    KeyNotRead(#[source] SecretError),
    #[error("failed to send lineage in time")]
    OutOfTime,
    #[error("failed to send the inputs of a run")]
    Members(#[source] LedgerError),
}

impl LineageError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotSent { .. } => "lineage_not_sent",
            Self::Refused { .. } => "lineage_refused",
            Self::KeyNotRead(_) => "lineage_key_not_read",
            Self::OutOfTime => "lineage_out_of_time",
            Self::Members(_) => "lineage_members_not_read",
        }
    }
}

/// The name of a malformed variable, and what it should be.
pub(crate) type Malformed = (&'static str, &'static str);

impl Destination {
    /// Reads `LANDFALL_LINEAGE_URL` and `LANDFALL_LINEAGE_API_KEY_ARN` (or, with a warning,
    /// `LANDFALL_LINEAGE_API_KEY`), or `LANDFALL_LINEAGE_BUS`; returns `None` if neither a URL nor
    /// a bus is set. `LANDFALL_ADMIT_LOOPBACK_LINEAGE_URL` (default: false) lets the URL lead to
    /// this machine without TLS.
    pub(crate) fn read(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Malformed> {
        const URL: &str = "LANDFALL_LINEAGE_URL";
        const KEY: &str = "LANDFALL_LINEAGE_API_KEY";
        const KEY_ARN: &str = "LANDFALL_LINEAGE_API_KEY_ARN";
        const BUS: &str = "LANDFALL_LINEAGE_BUS";
        const SWITCH: &str = "LANDFALL_ADMIT_LOOPBACK_LINEAGE_URL";
        let admit_loopback = match variable(SWITCH).map(|text| text.parse()) {
            None => false,
            Some(Ok(switch)) => switch,
            Some(Err(_)) => return Err((SWITCH, "true or false")),
        };
        let (name, api_key) = match (variable(KEY), variable(KEY_ARN)) {
            (Some(_), Some(_)) => return Err((KEY, "set alone: the key is in the secret already")),
            (Some(key), None) if !is_token(&key) => {
                return Err((KEY, "a token of printable ASCII characters"));
            }
            (None, Some(arn)) if SecretArn::parse(&arn).is_none() => {
                return Err((KEY_ARN, "the whole ARN of a secret in Secrets Manager"));
            }
            (Some(key), None) => (KEY, Some(ApiKey::Plain(Secret::new(key)))),
            (None, arn) => (KEY_ARN, arn.map(ApiKey::Secret)),
        };
        match (variable(URL), variable(BUS)) {
            (None, None) if api_key.is_some() => {
                Err((name, "beside `LANDFALL_LINEAGE_URL`, without which it has no use"))
            }
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err((BUS, "alone: lineage goes to a URL or to a bus, not to both"))
            }
            (Some(url), None) => {
                let host = endpoint_host(&url, admit_loopback)
                    .ok_or((URL, "an https URL without a user name, a password and a fragment"))?;
                Ok(Some(Self::Http { url: Secret::new(url), host, api_key }))
            }
            (None, Some(_)) if api_key.is_some() => {
                Err((name, "beside `LANDFALL_LINEAGE_URL`; a bus takes the function's role"))
            }
            (None, Some(bus)) if is_bus_name(&bus) || BusArn::parse(&bus).is_some() => {
                Ok(Some(Self::Bus(bus)))
            }
            (None, Some(_)) => Err((BUS, "the name or the ARN of an event bus")),
        }
    }
}

/// Returns the host of the URL, if lineage may be sent there.
fn endpoint_host(text: &str, admit_loopback: bool) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_secure =
        url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url) && admit_loopback);
    let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    // The parser drops spaces and line ends, but the client does not.
    let is_printable = text.bytes().all(|b| b.is_ascii_graphic());
    url.host_str().filter(|_| is_secure && is_bare && is_printable).map(str::to_owned)
}

/// Returns `true` if a header can hold `text` as a bearer token.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Sends events to the destination of lineage.
#[derive(Debug)]
pub struct Lineage {
    way: Way,
}

#[derive(Debug)]
enum Way {
    Http { http: SharedHttpConnector, url: Secret, host: String, api_key: Option<Key> },
    Bus { client: aws_sdk_eventbridge::Client, bus: String },
}

#[derive(Debug)]
enum Key {
    Plain(Secret),
    Kept(Box<Kept>),
}

/// A key that is read when it is first needed, and kept.
#[derive(Debug)]
struct Kept {
    secret: SecretValue,
    /// When the key was last read, and the result.
    read: Mutex<Option<(Instant, Result<Secret, SecretError>)>>,
}

impl Kept {
    /// Returns the key. After a failure, it is not read again at once.
    async fn get(&self) -> Result<Secret, SecretError> {
        let mut read = self.read.lock().await;
        match &*read {
            Some((_, Ok(key))) => Ok(key.clone()),
            Some((at, Err(error))) if at.elapsed() < READ_ANEW => Err(error.clone()),
            _ => self.read_into(&mut read).await,
        }
    }

    /// Returns another key than the one that was refused, if there is one by now.
    async fn instead_of(&self, refused: &Secret) -> Option<Secret> {
        let mut read = self.read.lock().await;
        let found = match &*read {
            // Another task has read it meanwhile.
            Some((_, Ok(key))) if key != refused => Ok(key.clone()),
            Some((at, _)) if at.elapsed() < READ_ANEW => return None,
            _ => self.read_into(&mut read).await,
        };
        found.ok().filter(|key| key != refused)
    }

    async fn read_into(
        &self,
        read: &mut Option<(Instant, Result<Secret, SecretError>)>,
    ) -> Result<Secret, SecretError> {
        let found = timeout(ATTEMPT, self.secret.read()).await;
        let found =
            found.unwrap_or_else(|_| Err(self.secret.failed("no answer"))).and_then(|key| {
                // Pasted or piped text can end with a line break.
                let text = key.expose().trim_end_matches(['\r', '\n']);
                if is_token(text) {
                    Ok(Secret::new(text))
                } else {
                    Err(self.secret.failed("it is no token of printable ASCII characters"))
                }
            });
        *read = Some((Instant::now(), found.clone()));
        found
    }
}

impl Lineage {
    /// Returns the sender. Makes no call.
    pub fn new(destination: &Destination, config: &SdkConfig) -> Self {
        let way = match destination.clone() {
            Destination::Http { url, host, api_key } => {
                let api_key = api_key.map(|key| match key {
                    ApiKey::Plain(key) => Key::Plain(key),
                    ApiKey::Secret(arn) => Key::Kept(Box::new(Kept {
                        secret: SecretValue::new(&arn, config),
                        read: Mutex::new(None),
                    })),
                });
                Way::Http { http: pooled_connector(), url, host, api_key }
            }
            Destination::Bus(bus) => {
                Way::Bus { client: aws_sdk_eventbridge::Client::new(config), bus }
            }
        };
        Self { way }
    }

    /// Sends an event. Sending it twice is safe: a receiver recognises it by its run and time.
    ///
    /// # Errors
    /// Fails if the event did not arrive, or may not have.
    pub async fn send(&self, event: String) -> Result<(), LineageError> {
        match &self.way {
            Way::Bus { client, bus } => self.in_time(put(client, bus, event)).await,
            Way::Http { http, url, host, api_key } => {
                let key = match api_key {
                    None => None,
                    Some(Key::Plain(key)) => Some(key.clone()),
                    Some(Key::Kept(kept)) => {
                        Some(kept.get().await.map_err(LineageError::KeyNotRead)?)
                    }
                };
                let post = |key, event| self.in_time(post(http, url, host, key, event));
                let mut status = post(key.clone(), event.clone()).await?;
                // The key may have been changed, so that the endpoint refuses the old value.
                if let (401 | 403, Some(Key::Kept(kept)), Some(refused)) = (status, api_key, &key)
                    && let Some(key) = kept.instead_of(refused).await
                {
                    status = post(Some(key), event).await?;
                }
                match status {
                    200..300 => Ok(()),
                    _ => Err(LineageError::Refused {
                        to: host.clone(),
                        reason: format!("status {status}"),
                    }),
                }
            }
        }
    }

    async fn in_time<T>(
        &self,
        sent: impl Future<Output = Result<T, LineageError>>,
    ) -> Result<T, LineageError> {
        timeout(ATTEMPT, sent).await.unwrap_or_else(|_| {
            let (Way::Http { host: to, .. } | Way::Bus { bus: to, .. }) = &self.way;
            Err(LineageError::NotSent { to: to.clone(), reason: "no answer".to_owned() })
        })
    }
}

/// Posts an event, and returns the status of the answer.
async fn post(
    http: &SharedHttpConnector,
    url: &Secret,
    host: &str,
    api_key: Option<Secret>,
    event: String,
) -> Result<u16, LineageError> {
    let request = || {
        let mut request = HttpRequest::new(event.clone().into());
        request.set_method("POST").ok()?;
        request.set_uri(url.expose()).ok()?;
        let headers = request.headers_mut();
        headers.try_insert("content-type", "application/json").ok()?;
        if let Some(key) = &api_key {
            headers.try_insert("authorization", format!("Bearer {}", key.expose())).ok()?;
        }
        Some(request)
    };
    match send(http, request, "the URL or the key cannot be used").await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(reason) => {
            Err(LineageError::NotSent { to: host.to_owned(), reason: reason.to_owned() })
        }
    }
}

async fn put(
    client: &aws_sdk_eventbridge::Client,
    bus: &str,
    event: String,
) -> Result<(), LineageError> {
    let entry = PutEventsRequestEntry::builder()
        .event_bus_name(bus)
        .source(SOURCE)
        .detail_type(DETAIL_TYPE)
        .detail(event)
        .build();
    let answer = client.put_events().entries(entry).send().await;
    let refused = |reason: String| LineageError::Refused { to: bus.to_owned(), reason };
    match answer {
        Ok(answer) if answer.failed_entry_count() == 0 => Ok(()),
        Ok(answer) => {
            let code = answer.entries().iter().find_map(|entry| entry.error_code());
            Err(refused(code.unwrap_or("no reason").to_owned()))
        }
        Err(error) => {
            let (code, message) = sdk_error_parts(&error);
            let reason = format!("{code}: {message}");
            Err(match error.as_service_error() {
                Some(_) => refused(reason),
                None => LineageError::NotSent { to: bus.to_owned(), reason },
            })
        }
    }
}

#[cfg(test)]
mod tests;
