//! Connections that do not leave directly: through a proxy, and to an instance whose certificate an
//! authority of the operator's own has signed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::Firn;
use firn_simulator::{Faults, Simulator};

/// A forwarding proxy for plain HTTP; counts what it was asked for.
fn proxy(count: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || forward(client.unwrap(), &count));
        }
    });
    url
}

/// Passes one request on, with the address that it names, and closes.
fn forward(mut client: TcpStream, count: &AtomicUsize) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    let (head, body) = loop {
        let n = client.read(&mut buffer).unwrap_or(0);
        if n == 0 {
            return;
        }
        seen.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    count.fetch_add(1, Ordering::SeqCst);
    let mut parts = head.splitn(3, ' ');
    let (method, url, rest) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let url: url::Url = url.parse().unwrap();
    let at = url.socket_addrs(|| None).unwrap()[0];
    let path = &url[url::Position::BeforePath..];
    let mut server = TcpStream::connect(at).unwrap();
    let rest = rest.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(format!("{method} {path} {rest}\r\n\r\n{body}").as_bytes()).unwrap();
    let _ = std::io::copy(&mut server, &mut client);
}

fn configure(firn: &Firn, base: &str) -> (bool, String) {
    firn.cli(&[
        "integration",
        "configure",
        "--name",
        "snow",
        "--org",
        "acme",
        "--base-url",
        base,
        "--username",
        "integration",
        "--password",
        "env:NOBODY",
        "--no-provision",
    ])
}

#[test]
fn everything_goes_through_the_proxy() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = runtime
        .block_on(Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()))
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let proxy = proxy(Arc::clone(&count));
    let firn = Firn::start(&place.path().join("data"), &["--proxy", &proxy], None);
    let file = place.path().join("snow.toml");
    let text = format!(
        "slug = \"snow\"\norganization_id = \"acme\"\nbase_url = \"{}\"\nenvironment = \"sandbox\"\n[credentials]\nusername = \"integration\"\npassword = \"integration\"\n",
        simulator.url()
    );
    std::fs::write(&file, text).unwrap();
    assert!(firn.cli(&["integration", "apply", file.to_str().unwrap()]).0);
    let (ok, said) = firn.cli(&["integration", "test", "snow"]);
    assert!(ok && said.contains("(sandbox)"), "{said}");
    let asked: u64 = simulator.requests().values().sum();
    assert!(asked > 5);
    assert_eq!(count.load(Ordering::SeqCst) as u64, asked, "each request passed the proxy");
    assert!(firn.cli(&["integration", "list"]).1.contains("sandbox"));
}

/// A server that speaks TLS with a certificate of an authority that nobody knows, and then answers
/// like an instance without rows.
#[test]
fn an_authority_of_ones_own_is_believed_when_it_is_named() {
    let place = tempfile::tempdir().unwrap();
    let authority = {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap(), params, key)
    };
    let (certificate, params, key) = authority;
    let issuer = rcgen::Issuer::new(params, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&own, &issuer).unwrap();
    let files = ["ca.pem", "leaf.pem", "key.pem"].map(|name| place.path().join(name));
    std::fs::write(&files[0], certificate.pem()).unwrap();
    std::fs::write(&files[1], leaf.pem()).unwrap();
    std::fs::write(&files[2], own.serialize_pem()).unwrap();
    // The system's OpenSSL is the server.
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", &port.to_string(), "-cert"])
        .arg(&files[1])
        .arg("-key")
        .arg(&files[2])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(mut server) = server else {
        eprintln!("skipped: there is no openssl; apt install openssl");
        return;
    };
    let base = format!("https://localhost:{port}");
    let examined = |more: &[&str], name: &str| {
        let firn = Firn::start(&place.path().join(name), more, None);
        let (ok, said) = configure(&firn, &base);
        assert!(ok, "{said}");
        let file = place.path().join("snow.toml");
        let text = format!(
            "slug = \"snow\"\norganization_id = \"acme\"\nbase_url = \"{base}\"\n[credentials]\nusername = \"u\"\npassword = \"p\"\n"
        );
        std::fs::write(&file, text).unwrap();
        assert!(firn.cli(&["integration", "apply", file.to_str().unwrap()]).0);
        firn.cli(&["integration", "test", "snow"]).1
    };
    crate::common::settle("the server does not come up", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let said = examined(&[], "a");
    assert!(said.contains("certificate") || said.contains("UnknownIssuer"), "{said}");
    let said = examined(&["--ca", files[0].to_str().unwrap()], "b");
    // It is spoken with now; what it answers is a page.
    assert!(said.contains("instead of the Table API"), "{said}");
    let _ = server.kill();
    let _ = server.wait();
    // A file without a certificate is told at once.
    let refused = Command::new(env!("CARGO_BIN_EXE_firn"))
        .args(["serve", "--data"])
        .arg(place.path().join("c"))
        .arg("--ca")
        .arg(&files[2])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds no certificate"));
}
