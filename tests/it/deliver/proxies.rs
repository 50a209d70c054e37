//! The proxy of the configuration, and those of the environment.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use certhook::deliver::Settings;
use certhook::deliver::guard::Guard;
use certhook::deliver::transport::{HttpTransport, Response, Transport};
use certhook::model::delivery::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::fixture::{
    IMPATIENT, PATIENT, Receiver, Step, answer, listen, read_request, request, say, settings, strict, transport, url,
};
use super::secure::{Identity, Secure, TlsStream};

/// `user:pass word` as a proxy wants it.
const CREDENTIALS: &str = "proxy-authorization: Basic dXNlcjpwYXNzIHdvcmQ=";

fn through(proxy: &str, timeout: Duration) -> Settings {
    Settings { proxy: Some(url(proxy)), allow_http: true, ..strict(timeout) }
}

#[tokio::test]
async fn a_proxy_gets_everything_and_may_be_private_itself() {
    let proxy = Receiver::start(vec![answer(200, "", "")]).await;
    for host in ["localhost", "127.0.0.1"] {
        let settings = through(&format!("http://user:pass%20word@{host}:{}", proxy.address.port()), PATIENT);
        let transport = transport(&settings);
        for _ in 0..2 {
            let response = transport.send(request("http://receiver.invalid:81/hook?a=b")).await;
            assert_eq!(response.outcome, Outcome::Delivered, "{response:?}");
        }
        for seen in proxy.requests().split_off(proxy.requests().len() - 2) {
            assert!(seen.starts_with("POST http://receiver.invalid:81/hook?a=b HTTP/1.1\r\n"), "{seen}");
            assert!(seen.contains("\r\nhost: receiver.invalid:81\r\n") && seen.contains(CREDENTIALS), "{seen}");
        }
        assert!(!format!("{transport:?}").contains("pass"));

        let refused = transport.send(request("http://10.0.0.5/hook")).await;
        assert_eq!(refused.outcome, Outcome::AddressRefused, "a literal address is judged all the same");
    }
    assert_eq!(proxy.connections(), 2, "one for each proxy");
}

#[tokio::test]
async fn a_proxy_that_speaks_tls_is_spoken_to_over_tls() {
    let serve = |mut stream: TlsStream, _| async move {
        let request = read_request(&mut stream).await?;
        assert!(request.starts_with("POST http://receiver.invalid/ HTTP/1.1\r\n"), "{request}");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
    };
    let proxy = Secure::start(Identity::of(["localhost"]), serve).await;
    let settings = through(&proxy.url("localhost"), PATIENT);
    let settings = Settings { ca_file: proxy.trusted(PATIENT).ca_file, ..settings };
    let response = transport(&settings).send(request("http://receiver.invalid/")).await;
    assert_eq!((response.outcome, response.address), (Outcome::Delivered, Some(proxy.address())));
}

/// A proxy that passes every tunnel on to one address, and notes what it was asked.
fn tunnelling(to: String) -> (std::net::SocketAddr, JoinSet<Vec<String>>) {
    let listener = listen();
    let address = listener.local_addr().expect("an address");
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        let mut asked = Vec::new();
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a request"));
        }
        asked.push(String::from_utf8(head).expect("a text"));
        let mut next = TcpStream::connect(&to).await.expect("a receiver");
        stream.write_all(b"HTTP/1.1 200 Connection established\r\nvia: me\r\n\r\n").await.expect("it reads");
        // Ends when one side has gone.
        let _ = copy_bidirectional(&mut stream, &mut next).await;
        asked
    });
    (address, accepting)
}

#[tokio::test]
async fn what_goes_over_tls_goes_through_a_tunnel() {
    let serve = |mut stream: TlsStream, _| async move {
        loop {
            let request = read_request(&mut stream).await?;
            assert!(request.starts_with("POST /hook HTTP/1.1\r\n") && !request.contains("proxy-"), "{request}");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
    };
    let receiver = Secure::start(Identity::of(["receiver.invalid"]), serve).await;
    let (proxy, mut accepting) = tunnelling(receiver.address());
    let settings = through(&format!("http://user:pass%20word@{proxy}"), PATIENT);
    let settings = Settings { ca_file: receiver.trusted(PATIENT).ca_file, ..settings };
    let transport = transport(&settings);
    for _ in 0..2 {
        let response = transport.send(request("https://receiver.invalid/hook")).await;
        assert_eq!((response.outcome, response.address), (Outcome::Delivered, Some(proxy.to_string())));
    }
    drop(transport);
    let asked = accepting.join_next().await.expect("it ran").expect("without a panic");
    let expected =
        format!("CONNECT receiver.invalid:443 HTTP/1.1\r\nhost: receiver.invalid:443\r\n{CREDENTIALS}\r\n\r\n");
    assert_eq!(asked, [expected]);
    assert_eq!(receiver.connections(), 1);
}

async fn tunnel_through(script: Vec<Step>) -> Response {
    let proxy = Receiver::scripted(vec![script]).await;
    let settings = through(&format!("http://{}", proxy.address), IMPATIENT);
    let response = transport(&settings).send(request("https://receiver.invalid/")).await;
    assert!(proxy.said() < 256 * 1024, "{} bytes were taken", proxy.said());
    response
}

#[tokio::test]
async fn a_proxy_that_does_not_pass_on_is_no_connection() {
    for (script, error) in [
        (vec![say("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")], "the proxy answered 407"),
        (vec![say("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 5\r\n\r\nsorry")], "the proxy answered 502"),
        (vec![say("SSH-2.0-OpenSSH_9.6\r\n\r\n")], "the proxy does not speak HTTP"),
        (vec![Step::Repeat(vec![b'x'; 4096], Duration::ZERO)], "the proxy does not speak HTTP"),
        (vec![Step::ReadBytes(10), Step::Close], ""),
        (vec![Step::Hang], "no answer of the proxy within 300 ms"),
        (vec![say("HTTP/1.1 200 OK\r\n"), Step::Hang], "no answer of the proxy within 300 ms"),
    ] {
        let response = tunnel_through(script.clone()).await;
        assert_eq!(response.outcome, Outcome::ConnectFailed, "{script:?}: {response:?}");
        let told = response.error.expect("a reason");
        assert!(!told.is_empty() && told.contains(error), "{told}");
    }
}

#[tokio::test]
async fn a_tunnel_to_no_receiver_is_a_failure_of_tls() {
    let silent = vec![say("HTTP/1.1 200 OK\r\n\r\n"), Step::Hang];
    let response = tunnel_through(silent).await;
    assert_eq!(response.error.as_deref(), Some("no end of the TLS handshake within 300 ms"));
    let garbage = vec![say("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n"), Step::Hang];
    assert_eq!(tunnel_through(garbage).await.outcome, Outcome::TlsFailed);
}

#[test]
fn a_proxy_of_a_kind_that_we_do_not_speak_is_refused_at_the_start() {
    let settings = Settings { proxy: Some(url("socks5://user:password@10.0.0.1")), ..strict(PATIENT) };
    let error = HttpTransport::new(&settings, Arc::new(Guard::new(&settings))).expect_err("it is refused");
    assert_eq!(error.to_string(), "network.proxy cannot be used: its scheme must be http or https, not socks5");
}

/// Stands before the addresses of the receivers in the arguments of the child; the test runner takes it for the name of
/// a test that there is not.
const FOR_CHILD: &str = "send-to=";

/// No test by itself: it is what the next one starts as a process, with proxies in its environment.
#[tokio::test]
async fn a_process_that_sends_to_where_it_is_told() {
    let argument = std::env::args().find_map(|argument| argument.strip_prefix(FOR_CHILD).map(str::to_owned));
    let Some((plain, secure)) = argument.as_deref().and_then(|argument| argument.split_once(',')) else { return };
    let transport = transport(&settings(PATIENT));
    let response = transport.send(request(plain)).await;
    assert_eq!(response.outcome, Outcome::Delivered, "{response:?}");
    let response = transport.send(request(secure)).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "it does not know the certificate: {response:?}");
    println!("sent to both");
}

#[tokio::test]
async fn proxies_of_the_environment_are_never_called() {
    let plain = Receiver::start(vec![answer(200, "", "")]).await;
    let secure = Secure::start(Identity::of(["localhost"]), |_, _| async { io::Result::Ok(()) }).await;
    let proxy = Receiver::start(vec![answer(200, "", "")]).await;
    let mut command = Command::new(std::env::current_exe().expect("this test's binary"));
    command.args(["deliver::proxies::a_process_that_sends_to_where_it_is_told", "--exact", "--nocapture"]);
    command.arg(format!("{FOR_CHILD}{},{}", plain.url("/hook"), secure.url("localhost")));
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, proxy.url("/"));
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    let output = command.output().await.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("sent to both"), "{text}");
    assert_eq!((plain.requests().len(), secure.connections()), (1, 1));
    assert!(proxy.was_never_called().await);
}
