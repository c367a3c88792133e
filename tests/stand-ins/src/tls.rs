//! AWS behind TLS, with a certificate of its own. It passes requests on to the stand-ins.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server that listens until the process ends.
pub struct Server {
    port: u16,
    certificate: String,
}

impl Server {
    /// Starts a server in front of the one at `endpoint`.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start(endpoint: &str) -> Self {
        let own =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
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
        let behind = endpoint.strip_prefix("http://").expect("plain HTTP").to_owned();
        // The thread ends with the process. Until then it waits for the next connection.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (config, behind) = (Arc::clone(&config), behind.clone());
                // A client that doesn't trust the certificate hangs up. One test relies on that.
                thread::spawn(move || relay(connection, config, &behind).ok());
            }
        });
        Self { port, certificate: own.cert.pem() }
    }

    /// Returns the server's URL. It has an address instead of a name, so that S3's buckets are part
    /// of the path.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Returns the certificate as PEM. Clients must trust it.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }
}

/// Relays the requests of one connection and their answers, one after the other, until either side
/// closes.
fn relay(front: TcpStream, config: Arc<ServerConfig>, behind: &str) -> std::io::Result<()> {
    // Without this, an answer in two parts waits until the other side acknowledges the first.
    front.set_nodelay(true)?;
    let session = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut front = BufReader::new(StreamOwned::new(session, front));
    let mut behind = BufReader::new(TcpStream::connect(behind)?);
    loop {
        copy(&mut front, behind.get_mut())?;
        copy(&mut behind, front.get_mut())?;
    }
}

/// Copies one HTTP message, whose headers give its length.
fn copy(from: &mut impl BufRead, to: &mut impl Write) -> std::io::Result<()> {
    let mut message = Vec::new();
    let mut length = 0;
    loop {
        let begin = message.len();
        if from.read_until(b'\n', &mut message)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&message[begin..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    from.take(length).read_to_end(&mut message)?;
    to.write_all(&message)?;
    to.flush()
}
