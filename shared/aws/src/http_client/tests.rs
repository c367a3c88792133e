use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

/// What a server does with each connection.
type Server = fn(std::net::TcpStream);

/// Starts a server. Returns its address and the number of connections.
fn serve(server: Server) -> (String, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let uri = format!("http://{}", listener.local_addr().expect("an address"));
    let connections = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            *counted.lock().expect("not poisoned") += 1;
            let stream = stream.expect("a connection");
            std::thread::spawn(move || server(stream));
        }
    });
    (uri, connections)
}

/// Answers each request on the connection.
fn answering(mut stream: std::net::TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

async fn send(connector: &impl HttpConnector, uri: &str) -> Result<String, ConnectorError> {
    let mut request = HttpRequest::new(SdkBody::from("body"));
    request.set_uri(uri).expect("a URI");
    request.set_method("POST").expect("a method");
    let answer = connector.call(request).await?;
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.expect("a body");
    Ok(String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8"))
}

#[tokio::test]
async fn connections_are_kept_or_used_once() {
    let kept = connector();
    let alone = SharedHttpConnector::new(Alone { by: connector() });
    for (connector, expected) in [(kept, 1), (alone, 3)] {
        let (uri, made) = serve(answering);
        for _ in 0..3 {
            assert_eq!(send(&connector, &uri).await.expect("an answer"), "ok");
        }
        assert_eq!(*made.lock().expect("not poisoned"), expected);
    }
}

/// An address at which nobody listens while this value lives.
fn nowhere() -> (std::net::TcpListener, String) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    // The port is in use, but on another address.
    (taken, format!("http://127.0.0.2:{port}"))
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_from_who_breaks_off() {
    let connector = Alone { by: connector() };
    let (_taken, uri) = nowhere();
    let refused = send(&connector, &uri).await.expect_err("nobody listens");
    assert!(refused.is_io() && has_not_connected(&refused), "{refused:?}");
    // The server does not speak TLS.
    let (uri, _) = serve(answering);
    let mistaken = send(&connector, &uri.replace("http:", "https:")).await.expect_err("no TLS");
    assert!(mistaken.is_io() && has_not_connected(&mistaken), "{mistaken:?}");
    // The server reads the request, and closes the connection.
    let (uri, _) = serve(|mut stream| drop(stream.read(&mut [0; 4096])));
    let broken = send(&connector, &uri).await.expect_err("no answer");
    assert_eq!(broken.as_other(), Some(ErrorKind::TransientError), "{broken:?}");
    assert!(!has_not_connected(&broken), "{broken:?}");
}

#[tokio::test]
async fn what_takes_longer_than_it_may_is_a_timeout() {
    let short = Some(Duration::from_millis(50));
    let (silent, _) = serve(|stream| {
        std::thread::sleep(Duration::from_secs(60));
        drop(stream);
    });
    let reading = Connector::new([None, short]);
    let error = send(&reading, &silent).await.expect_err("no answer");
    assert!(error.is_timeout() && !has_not_connected(&error), "{error:?}");
    // A handshake that nobody answers is part of connecting.
    let connecting = Connector::new([short, None]);
    let error = send(&connecting, &silent.replace("http:", "https:")).await;
    let error = error.expect_err("no handshake");
    assert!(error.is_timeout() && has_not_connected(&error), "{error:?}");
    assert!(format!("{error:?}").contains("to connect"), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_the_sdk_finds_bad_serves_no_other_request() {
    let (uri, made) = serve(answering);
    let connector = connector();
    for expected in [1, 2] {
        let captured = CaptureSmithyConnection::new();
        let mut request = HttpRequest::new(SdkBody::from("body"));
        request.set_uri(uri.as_str()).expect("a URI");
        request.add_extension(captured.clone());
        let answer = connector.call(request).await.expect("an answer");
        captured.get().expect("a connection").poison();
        http_body_util::BodyExt::collect(answer.into_body()).await.expect("a body");
        assert_eq!(*made.lock().expect("not poisoned"), expected);
    }
}
