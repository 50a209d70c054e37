//! Addresses that must not be called, however they are put.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use certhook::deliver::Settings;
use certhook::deliver::guard::{Guard, NoAddress, Refusal, Scheme};
use certhook::deliver::transport::{HttpTransport, Transport};
use certhook::model::delivery::Outcome;

use super::fixture::{IMPATIENT, Names, PATIENT, Receiver, answer, request, settings, strict, url};

const PUBLIC: &str = "93.184.215.14";
const KEPT: Duration = Duration::from_secs(60);

fn guard(settings: &Settings, names: Names, kept: Duration) -> (Arc<Guard>, Arc<Names>) {
    let names = Arc::new(names);
    (Arc::new(Guard::with_look_up(settings, Arc::clone(&names) as _, kept)), names)
}

async fn admit(settings: &Settings, to: &str) -> Result<(), String> {
    let names = Names::default()
        .with("public.test", &[PUBLIC, "2606:4700::1"])
        .with("private.test", &["10.0.0.5"])
        .with("mixed.test", &[PUBLIC, "fd00::5"])
        .with("metadata.test", &["::ffff:169.254.169.254"]);
    let (guard, _) = guard(settings, names, KEPT);
    guard.admit(&url(to)).await.map_err(|refusal| refusal.to_string())
}

#[tokio::test]
async fn a_url_that_may_not_be_called_is_refused_with_what_would_permit_it() {
    let add = |network: &str| format!("; to permit it, add \"{network}\" to delivery.allow_networks");
    let here =
        |name: &str| format!("leads to {name}, which resolves to 127.0.0.1, a loopback address{}", add("127.0.0.1/32"));
    for (to, expected) in [
        ("ftp://public.test/", "must be https, or http where that is allowed, not ftp".to_owned()),
        ("file:///etc/passwd", "must be https, or http where that is allowed, not file".to_owned()),
        ("https://user@public.test/", "must have no user name or password in it; give credentials in headers".into()),
        ("https://:pw@public.test/", "must have no user name or password in it; give credentials in headers".into()),
        ("https://10.0.0.5/", format!("leads to 10.0.0.5, a private address{}", add("10.0.0.5/32"))),
        ("https://2130706433/", format!("leads to 127.0.0.1, a loopback address{}", add("127.0.0.1/32"))),
        ("https://0x7f.1/", format!("leads to 127.0.0.1, a loopback address{}", add("127.0.0.1/32"))),
        ("https://localhost./", here("localhost.")),
        ("https://LOCALHOST.:8443/", here("localhost.")),
        ("https://crm.localhost/", here("crm.localhost")),
        ("https://crm.localhost./", here("crm.localhost.")),
        ("https://[::1]/", format!("leads to ::1, a loopback address{}", add("::1/128"))),
        ("https://[::ffff:a00:5]/", format!("leads to ::ffff:10.0.0.5, a private address{}", add("10.0.0.5/32"))),
        (
            "https://private.test/",
            format!("leads to private.test, which resolves to 10.0.0.5, a private address{}", add("10.0.0.5/32")),
        ),
        (
            "https://mixed.test/",
            format!("leads to mixed.test, which resolves to fd00::5, a unique-local address{}", add("fd00::5/128")),
        ),
        (
            "https://metadata.test/",
            format!(
                "leads to metadata.test, which resolves to ::ffff:169.254.169.254, a link-local address{}",
                add("169.254.169.254/32")
            ),
        ),
        (
            "http://public.test/",
            format!(
                "is plain http; use https, or add \"{PUBLIC}/32\" to delivery.allow_networks, or set \
                 delivery.allow_http"
            ),
        ),
        (
            "http://93.184.215.14/",
            format!(
                "is plain http; use https, or add \"{PUBLIC}/32\" to delivery.allow_networks, or set \
                 delivery.allow_http"
            ),
        ),
    ] {
        assert_eq!(admit(&strict(PATIENT), to).await, Err(expected), "{to}");
    }
}

#[tokio::test]
async fn what_is_public_or_permitted_is_admitted() {
    let network = |text: &str| vec![text.parse().expect("a network")];
    let private = Settings { allow_networks: network("10.0.0.0/8"), ..strict(PATIENT) };
    let clear = Settings { allow_http: true, ..strict(PATIENT) };
    for (settings, to) in [
        (&strict(PATIENT), "https://public.test/hook?x=1"),
        (&strict(PATIENT), "https://93.184.215.14:8443/"),
        (&strict(PATIENT), "https://[2606:4700::1]/"),
        (&strict(PATIENT), "https://not-there-yet.test/"),
        (&private, "https://private.test/"),
        (&private, "http://private.test/"),
        (&private, "http://10.1.2.3/"),
        (&private, "http://[::ffff:a01:203]/"),
        (&clear, "http://public.test/"),
        (&clear, "http://93.184.215.14/"),
    ] {
        assert_eq!(admit(settings, to).await, Ok(()), "{to}");
    }
    for to in ["http://127.0.0.1/", "https://private.test/", "http://private.test/"] {
        assert!(admit(&clear, to).await.is_err(), "allow_http opens no network: {to}");
    }
}

#[tokio::test]
async fn a_name_with_a_refused_address_is_never_connected_to() {
    let receiver = Receiver::start(vec![answer(200, "", "")]).await;
    let port = receiver.address.port();
    let names = Names::default()
        .with("loopback.test", &["127.0.0.1"])
        .with("mixed.test", &["127.0.0.1", PUBLIC])
        .with("mapped.test", &["::ffff:127.0.0.1"]);
    let settings = Settings { allow_http: true, ..strict(PATIENT) };
    let (guard, _) = guard(&settings, names, KEPT);
    let transport = HttpTransport::new(&settings, guard).expect("a transport");
    for host in ["loopback.test", "mixed.test", "mapped.test"] {
        for scheme in ["http", "https"] {
            let response = transport.send(request(&format!("{scheme}://{host}:{port}/?token=secret"))).await;
            assert_eq!(response.outcome, Outcome::AddressRefused, "{scheme} {host}: {response:?}");
            let error = response.error.expect("a reason");
            assert!(error.contains("delivery.allow_networks") && !error.contains("secret"), "{error}");
        }
    }
    assert!(receiver.was_never_called().await);
}

#[tokio::test]
async fn a_name_that_turns_private_after_it_was_admitted_is_refused_at_the_connection() {
    let receiver = Receiver::start(vec![answer(200, "", "")]).await;
    let names = Names::default().scripted("fickle.test", |asked_before| {
        let address: &str = if asked_before == 0 { PUBLIC } else { "127.0.0.1" };
        Ok(vec![address.parse().expect("an address")])
    });
    let settings = Settings { allow_http: true, ..strict(PATIENT) };
    let (guard, names) = guard(&settings, names, Duration::ZERO);
    let to = format!("http://fickle.test:{}/", receiver.address.port());
    assert_eq!(guard.admit(&url(&to)).await, Ok(()));
    let response = HttpTransport::new(&settings, guard).expect("a transport").send(request(&to)).await;
    assert_eq!(response.outcome, Outcome::AddressRefused);
    assert_eq!(names.calls("fickle.test"), 2, "the connection goes to what was checked, without another look-up");
    assert!(receiver.was_never_called().await);
}

#[tokio::test]
async fn a_permitted_name_is_connected_to_at_the_address_that_was_checked() {
    let receiver = Receiver::start(vec![answer(200, "", "")]).await;
    let settings = settings(PATIENT);
    let (guard, names) = guard(&settings, Names::default().with("inside.test", &["127.0.0.1"]), KEPT);
    let transport = HttpTransport::new(&settings, guard).expect("a transport");
    let response = transport.send(request(&format!("http://inside.test:{}/", receiver.address.port()))).await;
    assert_eq!((response.outcome, response.address), (Outcome::Delivered, Some(receiver.address.to_string())));
    assert_eq!(names.calls("inside.test"), 1);
}

#[tokio::test]
async fn plain_http_to_a_name_is_judged_by_what_it_resolves_to() {
    let names = Names::default().with("public.test", &[PUBLIC]).with("mixed.test", &["127.0.0.1", PUBLIC]);
    let (guard, _) = guard(&settings(PATIENT), names, KEPT);
    let refused = Err(NoAddress::Refused(Refusal::PlainHttp { address: PUBLIC.parse().expect("an address") }));
    assert_eq!(guard.resolve("public.test", Scheme::Http).await, refused);
    assert_eq!(guard.resolve("mixed.test", Scheme::Http).await, refused);
    assert!(guard.resolve("public.test", Scheme::Https).await.is_ok());
    assert!(guard.resolve("mixed.test", Scheme::Https).await.is_ok());
}

#[tokio::test]
async fn plain_http_to_a_name_that_does_not_resolve_is_admitted_only_where_it_may_turn_out_to_be_right() {
    let admitted = async |settings: Settings| {
        let (guard, _) = guard(&settings, Names::default(), KEPT);
        guard.admit(&url("http://later.test/")).await
    };
    assert_eq!(admitted(strict(PATIENT)).await, Err(Refusal::PlainHttpNowhere));
    assert_eq!(admitted(settings(PATIENT)).await, Ok(()), "its network may be one that is allowed");
    assert_eq!(admitted(Settings { allow_http: true, ..strict(PATIENT) }).await, Ok(()));
}

#[tokio::test]
async fn behind_a_proxy_only_the_proxy_itself_may_be_anywhere() {
    let settings = Settings { proxy: Some(url("http://proxy.test:3128")), ..strict(PATIENT) };
    let names = Names::default().with("proxy.test", &["10.0.0.1"]).with("private.test", &["10.0.0.1"]);
    let (guard, _) = guard(&settings, names, KEPT);
    assert!(guard.resolve("proxy.test", Scheme::Https).await.is_ok());
    assert!(guard.resolve("private.test", Scheme::Https).await.is_err());
    assert_eq!(guard.admit(&url("https://private.test/")).await, Ok(()), "the proxy resolves it, not we");
    assert_eq!(guard.admit(&url("http://public.test/")).await, Err(Refusal::PlainHttpBehindProxy));
}

#[tokio::test]
async fn answers_are_remembered_for_a_moment() {
    let names = || Names::default().with("public.test", &[PUBLIC]);
    for (kept, looked_up) in [(KEPT, 1), (Duration::ZERO, 3)] {
        let (guard, names) = guard(&strict(PATIENT), names(), kept);
        for _ in 0..3 {
            guard.resolve("public.test", Scheme::Https).await.expect("an address");
        }
        assert_eq!(names.calls("public.test"), looked_up);
    }
}

/// A look-up that hangs until the sender is dropped.
fn hanging() -> (mpsc::Sender<()>, impl Fn(usize) -> io::Result<Vec<IpAddr>> + Send + Sync) {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let script = move |_| {
        let _ = held.lock().expect("no test panics here").recv();
        Ok(vec![Ipv4Addr::new(93, 184, 215, 14).into()])
    };
    (release, script)
}

#[tokio::test]
async fn a_name_that_hangs_takes_one_look_up_and_holds_up_no_other_name() {
    let (release, hanging) = hanging();
    let names = Names::default().scripted("hanging.test", hanging).with("public.test", &[PUBLIC]);
    let (guard, names) = guard(&strict(PATIENT), names, KEPT);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let guard = Arc::clone(&guard);
        waiting.spawn(async move { guard.resolve("hanging.test", Scheme::Https).await });
    }
    assert!(guard.resolve("public.test", Scheme::Https).await.is_ok());
    drop(release);
    for answer in waiting.join_all().await {
        assert!(answer.is_ok(), "all who waited get the one answer: {answer:?}");
    }
    assert_eq!(names.calls("hanging.test"), 1);
}

#[tokio::test]
async fn a_name_that_hangs_is_a_failure_of_dns_before_the_deadline() {
    let (release, hanging) = hanging();
    let settings = strict(IMPATIENT);
    let (guard, names) = guard(&settings, Names::default().scripted("hanging.test", hanging), KEPT);
    let transport = HttpTransport::new(&settings, Arc::clone(&guard)).expect("a transport");
    for _ in 0..2 {
        let response = transport.send(request("https://hanging.test/")).await;
        assert_eq!(response.outcome, Outcome::DnsFailed);
        assert_eq!(response.error.as_deref(), Some("cannot resolve hanging.test: no answer within 150 ms"));
    }
    assert_eq!(names.calls("hanging.test"), 1, "the second attempt joins the look-up that the first one left");
    assert_eq!(guard.admit(&url("https://hanging.test/")).await, Ok(()), "it is checked at every connection");
    drop(release);
}

#[tokio::test]
async fn a_look_up_that_panics_or_finds_nothing_is_a_failure_of_dns() {
    let names = Names::default().with("empty.test", &[]).scripted("panic.test", |_| panic!("a test of panics"));
    let (guard, _) = guard(&strict(PATIENT), names, KEPT);
    for (host, reason) in
        [("empty.test", "it has no addresses"), ("panic.test", "the look-up panicked"), ("no.test", "no such name")]
    {
        let expected = NoAddress::Unresolved { host: host.into(), reason: reason.into() };
        assert_eq!(guard.resolve(host, Scheme::Https).await, Err(expected));
    }
}
