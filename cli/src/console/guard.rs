//! Decides who may see the pages: the browser that opened the printed address, and nobody else.
//!
//! Other users of the machine can reach the port, and so can pages of other sites in the same browser. A name that
//! such a site makes lead here is in `Host`, so only this machine's own names pass.

use std::sync::{Mutex, PoisonError};

use anyhow::anyhow;
use axum::http::header::{COOKIE, HOST, HeaderMap, ORIGIN};
use axum::http::{Method, StatusCode, Uri};

/// What a browser has to show.
pub struct Guard {
    port: u16,
    /// The token of the printed address, until a browser has used it.
    token: Mutex<Option<String>>,
    session: String,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Serve,
    /// The browser gets this cookie, and goes on without the token.
    Admit(String),
    Refuse(StatusCode, &'static str),
}

impl Guard {
    /// Makes a guard with secrets of its own.
    pub fn new(port: u16) -> anyhow::Result<Self> {
        Ok(Self { port, token: Mutex::new(Some(secret()?)), session: secret()? })
    }

    /// Returns the address to open.
    pub fn address(&self) -> String {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let token = token.as_deref().unwrap_or_default();
        format!("http://127.0.0.1:{}/?t={token}", self.port)
    }

    /// Judges a request.
    pub fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Verdict {
        if !self.is_local(headers) {
            return Verdict::Refuse(StatusCode::FORBIDDEN, "This request comes from another site.");
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Verdict::Refuse(StatusCode::METHOD_NOT_ALLOWED, "The console only shows.");
        }
        // Browsers send the cookies of all ports of a host, so the name has the port.
        let name = format!("landfall-console-{}", self.port);
        if self.has_session(headers, &name) {
            return Verdict::Serve;
        }
        if *method == Method::GET && uri.path() == "/" && self.takes_token(uri) {
            let cookie = format!("{name}={}; HttpOnly; SameSite=Strict; Path=/", self.session);
            return Verdict::Admit(cookie);
        }
        let why = "Open the address that `landfall console` printed. It works once: for another browser, \
                   start another console.";
        Verdict::Refuse(StatusCode::UNAUTHORIZED, why)
    }

    fn is_local(&self, headers: &HeaderMap) -> bool {
        let hosts = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{}", self.port));
        let is_host = |host: &str| hosts.iter().any(|own| own == host);
        let all = |name: &str, is_ok: &dyn Fn(&str) -> bool| {
            headers.get_all(name).iter().all(|value| value.to_str().is_ok_and(is_ok))
        };
        headers.contains_key(HOST)
            && all(HOST.as_str(), &is_host)
            && all(ORIGIN.as_str(), &|origin| origin.strip_prefix("http://").is_some_and(is_host))
            && all("sec-fetch-site", &|site| matches!(site, "same-origin" | "none"))
    }

    fn has_session(&self, headers: &HeaderMap, name: &str) -> bool {
        let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            values.flat_map(|value| value.split(';')).filter_map(|it| it.split_once('='));
        pairs.any(|(key, value)| key.trim() == name && is_same(value, &self.session))
    }

    /// Takes the token, if it is the right one. Nobody can use it again.
    fn takes_token(&self, uri: &Uri) -> bool {
        let given = uri.query().and_then(|query| query.strip_prefix("t=")).unwrap_or_default();
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.take_if(|token| is_same(given, token)).is_some()
    }
}

/// Compares secrets in a time that doesn't depend on where they differ.
fn is_same(given: &str, secret: &str) -> bool {
    let pairs = given.bytes().zip(secret.bytes());
    given.len() == secret.len() && pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn secret() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("failed to get random bytes: {error}"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
