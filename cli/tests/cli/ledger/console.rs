//! `landfall console`, as a browser meets it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use landfall_core::batch::Batch;
use landfall_stand_ins::Act;
use tempfile::TempDir;

use super::desk::{Desk, id, member};
use crate::command;

const URI: &str = "/object?uri=s3%3A%2F%2Facme%2Dlanding%2Fa%2Ecsv";

/// A console at work, which ends with the value.
struct Console {
    child: Child,
    port: u16,
    token: String,
    _home: TempDir,
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer as text: the status, the headers and the body.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Console {
    fn start(desk: &Desk) -> Self {
        let home = TempDir::new().expect("a temporary folder");
        let mut command = command(home.path(), &["console"]);
        command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", home.path());
        command.envs(desk.environment()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("a started landfall");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("an address");
        let address = line.trim().strip_prefix("http://127.0.0.1:").expect("a loopback address");
        let (port, token) = address.split_once("/?t=").expect("a token");
        let port = port.parse().expect("a port");
        Self { child, port, token: token.to_owned(), _home: home }
    }

    /// Sends a request with these headers, `Host` included.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "{method} {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n")
            .expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer in UTF-8");
        let (headers, body) = text.split_once("\r\n\r\n").expect("headers and a body");
        let status = headers.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        Answer { status, headers: headers.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Opens the printed address, and returns the cookie.
    fn admitted(&self) -> String {
        let answer = self.send("GET", &format!("/?t={}", self.token), &[("Host", &self.host())]);
        assert_eq!(answer.status, 303, "{}", answer.headers);
        assert!(answer.headers.contains("location: /\r\n"), "{}", answer.headers);
        assert!(
            answer.headers.contains("; httponly; samesite=strict; path=/"),
            "{}",
            answer.headers
        );
        let cookie = answer.headers.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        cookie.and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned()
    }

    fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send("GET", path, &[("Host", &self.host()), ("Cookie", cookie)])
    }
}

async fn desk() -> (Desk, Batch) {
    let desk = Desk::new();
    desk.sealed(1, "orders", 0, &[member("a.csv")]).await;
    let parked = desk.parked(2, "orders", 60).await;
    (desk, parked)
}

#[tokio::test]
async fn the_json_of_a_page_is_what_the_command_prints() {
    let (desk, parked) = desk().await;
    let console = Console::start(&desk);
    let cookie = console.admitted();
    let uri = "s3://acme-landing/a.csv";
    for (path, args) in [
        (URI.replace("/object", "/object.json"), &["find", uri, "--json"][..]),
        (
            "/object.json?uri=s3://acme-landing/none.csv".to_owned(),
            &["find", "s3://acme-landing/none.csv", "--json"],
        ),
        (format!("/batch/{}.json", parked.id), &["batch", &parked.id, "--json"]),
        ("/parked.json".to_owned(), &["batches", "--state", "parked", "--json"]),
    ] {
        let answer = console.get(&path, &cookie);
        assert_eq!((answer.status, answer.body), (200, desk.landfall(args).stdout), "{path}");
    }
}

#[tokio::test]
async fn pages_say_what_became_of_an_object_and_of_a_batch_and_lead_from_one_to_the_other() {
    let (desk, parked) = desk().await;
    let console = Console::start(&desk);
    let cookie = console.admitted();
    let found = console.get("/search?q=s3://acme-landing/a.csv", &cookie);
    assert!(
        found.headers.contains(&format!("location: {}", URI.to_ascii_lowercase())),
        "{}",
        found.headers
    );
    let object = console.get(URI, &cookie).body;
    let batch = format!("/batch/{}", id(1));
    assert!(object.contains(&format!("href=\"{batch}\"")), "{object}");
    assert!(object.contains("<main data-live>"), "a sealed batch may change: {object}");
    assert!(console.get(&batch, &cookie).body.contains(&URI.replace('&', "&amp;")));
    let page = console.get(&format!("/batch/{}", parked.id), &cookie).body;
    assert!(page.contains(&format!("landfall retry {}", parked.id)), "{page}");
    assert!(page.contains("<main>"), "a parked batch waits for a person: {page}");
    assert!(console.get("/parked", &cookie).body.contains(&parked.id));
    let unknown = console.get(&format!("/batch/{}", id(9)), &cookie);
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("there is no batch"), "{}", unknown.body);
    assert_eq!(console.get("/batch/899bfd", &cookie).status, 400);
    assert_eq!(console.get("/object?uri=a.csv", &cookie).status, 400);
}

#[tokio::test]
async fn only_the_browser_that_first_opened_the_address_sees_a_page() {
    let (desk, _) = desk().await;
    let console = Console::start(&desk);
    let host = console.host();
    let wrong = format!("/?t={}", "0".repeat(32));
    for path in ["/", "/parked", "/console.js", "/nothing", &wrong] {
        assert_eq!(console.send("GET", path, &[("Host", &host)]).status, 401, "{path}");
    }
    let cookie = console.admitted();
    assert_eq!(console.get("/", &cookie).status, 200);
    let again = format!("/?t={}", console.token);
    assert_eq!(console.send("GET", &again, &[("Host", &host)]).status, 401, "the token works once");
    let (name, _) = cookie.split_once('=').expect("a value");
    assert_eq!(console.get("/", &format!("{name}={}", console.token)).status, 401);
}

#[tokio::test]
async fn other_sites_are_refused_even_with_the_cookie_and_nothing_is_written() {
    let (desk, _) = desk().await;
    let console = Console::start(&desk);
    let cookie = console.admitted();
    let (host, cookie) = (console.host(), ("Cookie", cookie.as_str()));
    let own = ("Host", host.as_str());
    let elsewhere = format!("evil.example:{}", console.port);
    let origin = format!("http://{host}");
    for (headers, status) in [
        (&[own, cookie, ("Origin", &origin), ("Sec-Fetch-Site", "same-origin")][..], 200),
        (&[own, cookie, ("Sec-Fetch-Site", "none")], 200),
        (&[cookie, ("Host", &elsewhere)], 403),
        (&[cookie, ("Host", "127.0.0.1")], 403),
        (&[own, cookie, ("Origin", "http://evil.example")], 403),
        (&[own, cookie, ("Origin", "null")], 403),
        (&[own, cookie, ("Sec-Fetch-Site", "cross-site")], 403),
        (&[own, cookie, ("Sec-Fetch-Site", "same-site")], 403),
    ] {
        assert_eq!(console.send("GET", "/", headers).status, status, "{headers:?}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(console.send(method, "/", &[own, cookie]).status, 405, "{method}");
    }
    assert_eq!(console.send("HEAD", "/", &[own, cookie]).status, 200);
}

#[tokio::test]
async fn every_answer_forbids_to_keep_it_to_frame_it_and_to_run_what_is_not_ours() {
    let (desk, _) = desk().await;
    let console = Console::start(&desk);
    let cookie = console.admitted();
    for (path, cookie) in [
        ("/", &*cookie),
        (URI, &cookie),
        ("/console.css", &cookie),
        ("/nothing", &cookie),
        ("/", ""),
    ] {
        let Answer { headers, body, .. } = console.get(path, cookie);
        for header in [
            "cache-control: no-store",
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(headers.contains(header), "{path}: {headers}");
        }
        assert!(!headers.contains("access-control-"), "{path}: {headers}");
        assert!(!body.contains("style=") && !body.contains("<script>"), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_hostile_key_is_text_and_a_hostile_name_leads_nowhere() {
    let desk = Desk::new();
    let key = "\"><script>alert(1)</script>\u{202e}\u{7}'&.csv";
    desk.sealed(1, "orders", 0, &[member(key)]).await;
    let console = Console::start(&desk);
    let cookie = console.admitted();
    let page = console.get(&format!("/batch/{}", id(1)), &cookie).body;
    let link = page.split("href=\"").find(|it| it.starts_with("/object?")).expect("a link");
    let link = link.split('"').next().expect("its end");
    let object = console.get(link, &cookie);
    assert_eq!(object.status, 200);
    assert!(object.body.contains("&lt;script&gt;alert(1)"), "{}", object.body);
    assert!(object.body.contains(&format!("href=\"/batch/{}\"", id(1))), "{}", object.body);
    for body in [page, object.body] {
        assert!(!body.contains("<script>") && !body.contains(['\u{202e}', '\u{7}']), "{body}");
    }
    let redirect = console.get("/search?q=//evil.example/%0d%0aa:b", &cookie);
    assert!(redirect.headers.contains("location: /object?uri="), "{}", redirect.headers);
}

#[tokio::test]
async fn expired_credentials_are_told_on_the_page_which_shows_no_credentials() {
    let (desk, _) = desk().await;
    let console = Console::start(&desk);
    let cookie = console.admitted();
    let code = "ExpiredTokenException";
    desk.stand_in.answer("GetItem", move |_, _| Act::Fail { status: 400, code });
    let answer = console.get(&format!("/batch/{}", id(1)), &cookie);
    assert_eq!(answer.status, 502);
    assert!(
        answer.body.contains("the credentials are invalid or have expired: get new ones"),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("AWS_SECRET") && !answer.body.contains(&console.token));
}
