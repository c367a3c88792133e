//! STS and Glue behind TLS, with a certificate of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub struct Server {
    port: u16,
    certificate: String,
    served: Arc<Mutex<Vec<&'static str>>>,
}

impl Server {
    pub fn start() -> Self {
        let own =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a configuration");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let served = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&served);
        // Ends with the process: it waits for the next connection until then.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // Who does not trust us hangs up: that is what one test is about.
                let _ = serve(connection, Arc::clone(&config), &log);
            }
        });
        Self { port, certificate: own.cert.pem(), served }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The operations that were asked for, in their order.
    pub fn served(&self) -> Vec<&'static str> {
        self.served.lock().expect("not poisoned").clone()
    }
}

/// One request of one connection.
fn serve(
    connection: TcpStream,
    config: Arc<ServerConfig>,
    log: &Mutex<Vec<&'static str>>,
) -> std::io::Result<()> {
    let session = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(session, connection));
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let (operation, answer) = match String::from_utf8_lossy(&body).contains("Action=AssumeRole") {
        true => ("AssumeRole", ASSUMED),
        false => ("StartJobRun", r#"{"JobRunId":"jr_1"}"#),
    };
    log.lock().expect("not poisoned").push(operation);
    let length = answer.len();
    let stream = stream.get_mut();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
    )?;
    stream.flush()
}

const ASSUMED: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <AssumeRoleResult><Credentials><AccessKeyId>ASIAOTHER</AccessKeyId>\
    <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
    <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>\
    </AssumeRoleResponse>";
