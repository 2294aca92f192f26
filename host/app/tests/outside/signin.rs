//! Signing in to an instance: every grant, tokens that end in the middle, a consent in a browser and
//! its end. Faults 23 to 25: nothing is lost, nobody is hammered, nobody is signed out by us.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::common::{Firn, TOKEN, settle};
use firn_simulator::{Faults, Simulator};
use serde_json::{Value as Json, json};

struct Place {
    directory: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    simulator: Simulator,
}

impl Place {
    fn new() -> Place {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let simulator = runtime
            .block_on(Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()))
            .unwrap();
        Place { directory: tempfile::tempdir().unwrap(), runtime, simulator }
    }

    fn firn(&self) -> Firn {
        Firn::start(&self.directory.path().join("data"), &[], None)
    }

    /// Applies a settings file with these credentials; gives what was said.
    fn apply(&self, firn: &Firn, credentials: &str) -> (bool, String) {
        let path = self.directory.path().join("snow.toml");
        let text = format!(
            "slug = \"snow\"\norganization_id = \"acme\"\nbase_url = \"{}\"\nexternal_user = \"integration\"\n\n[credentials]\n{credentials}\n",
            self.simulator.url()
        );
        std::fs::write(&path, text).unwrap();
        firn.cli(&["integration", "apply", path.to_str().unwrap()])
    }

    /// How often a token was asked for: everything else is on a table.
    fn tokens_asked(&self) -> u64 {
        self.simulator.requests().get("POST ").copied().unwrap_or_default()
    }

    fn requests(&self) -> u64 {
        self.simulator.requests().values().sum()
    }
}

fn client() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// The platform makes a record; its ticket follows.
fn event(firn: &Firn, record: &str, version: u64, title: &str) {
    let fields = match version {
        1 => {
            json!({ "title": title, "description": "d", "severity": "high", "status": "open", "assigned_to": "" })
        }
        _ => json!({ "title": title }),
    };
    let body = json!({ "id": format!("{record}-{version}"), "type": "changed", "occurred_at": "2026-04-29T14:30:00Z",
        "record": { "kind": "incident", "id": record, "version": version, "partial": version > 1, "fields": fields } });
    let url = format!("{}/api/v1/integrations/snow/events", firn.url);
    let answer = client().post(url).bearer_auth(TOKEN).json(&body).send().unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().unwrap());
}

fn sign_in(firn: &Firn) -> Json {
    let url = format!("{}/api/v1/integrations/snow", firn.url);
    let shown: Json = client().get(url).bearer_auth(TOKEN).send().unwrap().json().unwrap();
    shown["sign_in"].clone()
}

fn titles(place: &Place) -> Vec<String> {
    place.simulator.rows("incident").iter().map(|row| row["short_description"].clone()).collect()
}

/// A person at the consent page: allows it, or not. Gives where the browser was sent, and what it saw.
fn consent(url: &str, decision: &str) -> (u16, String) {
    let page = client().get(url).send().unwrap();
    assert!(page.text().unwrap().contains("asks to act for you"));
    let form = [("username", "integration"), ("password", "integration"), ("decision", decision)];
    let back = client().post(url).form(&form).send().unwrap();
    assert_eq!(back.status().as_u16(), 302);
    let to = back.headers()["location"].to_str().unwrap().to_owned();
    let seen = client().get(to).send().unwrap();
    (seen.status().as_u16(), seen.text().unwrap())
}

fn connect(firn: &Firn, decision: &str) -> (u16, String) {
    connect_as(firn, "snow", decision)
}

/// Runs `firn integration connect` with a person who decides.
pub(crate) fn connect_as(firn: &Firn, slug: &str, decision: &str) -> (u16, String) {
    let mut command = firn.command(&["integration", "connect", slug, "--no-browser"]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(running.stdout.take().unwrap()));
    let url =
        lines.by_ref().map(Result::unwrap).find(|line| line.contains("/oauth_auth.do")).unwrap();
    let seen = consent(url.trim(), decision);
    if decision == "allow" {
        assert!(running.wait().unwrap().success());
        assert!(lines.map(Result::unwrap).any(|line| line.starts_with("connected")));
    } else {
        let ended = running.wait_with_output().unwrap();
        assert!(!ended.status.success());
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains("snow is not connected") && said.contains("access_denied"), "{said}");
    }
    seen
}

#[test]
fn a_person_consents_in_a_browser_and_firn_works_until_the_consent_ends() {
    let place = Place::new();
    let firn = place.firn();
    let credentials =
        "grant = \"authorization-code\"\nclient_id = \"firn\"\nclient_secret = \"firn\"";
    let (done, said) = place.apply(&firn, credentials);
    assert!(done, "{said}");
    assert_eq!(sign_in(&firn)["state"], "never-connected");

    // Work waits until somebody consents; nobody is asked for anything.
    event(&firn, "R1", 1, "before the consent");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(place.requests(), 0, "{:?}", place.simulator.requests());
    let (done, said) = firn.cli(&["integration", "sync-status", "snow"]);
    assert!(done && said.contains("firn integration connect"), "{said}");

    // No, then yes. A ticket is good once; nobody can make one up.
    let (status, said) = connect(&firn, "deny");
    assert_eq!((status, said.contains("access_denied")), (400, true), "{said}");
    let forged = format!("{}/oauth/callback?state=0123&code=abc", firn.url);
    assert_eq!(client().get(forged).send().unwrap().status().as_u16(), 400);
    let (status, said) = connect(&firn, "allow");
    assert_eq!((status, said.contains("is connected")), (200, true), "{said}");
    assert_eq!(sign_in(&firn)["state"], "good");
    assert!(sign_in(&firn)["refresh_token_ends"].is_string());
    assert!(sign_in(&firn)["consent_refused"].is_null());
    event(&firn, "R2", 1, "after the consent");
    settle("no ticket after the consent", || {
        titles(&place).contains(&"after the consent".to_owned())
    });

    // The token ends in the middle: one new one, however much waits for it.
    place.simulator.revoke_tokens();
    let asked = place.tokens_asked();
    for n in 0..8 {
        event(&firn, &format!("M{n}"), 1, &format!("while it ends {n}"));
    }
    settle("not all tickets after the token's end", || titles(&place).len() == 10);
    assert_eq!(place.tokens_asked(), asked + 1, "one refresh for all");

    // A restart keeps the consent.
    drop(firn);
    let firn = place.firn();
    event(&firn, "R3", 1, "after a restart");
    settle("no ticket after a restart", || titles(&place).contains(&"after a restart".to_owned()));

    // The consent ends: the queue is kept, nobody is hammered, one finding tells.
    place.simulator.revoke_consents();
    for n in 0..8 {
        event(&firn, &format!("E{n}"), 1, &format!("after the end {n}"));
    }
    settle("nobody notices the end", || sign_in(&firn)["state"] == "needs-reconnect");
    let requests = place.requests();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(place.requests(), requests, "nobody is asked again within the minute");
    let findings = format!("{}/api/v1/integrations/snow/findings", firn.url);
    let told = client().get(&findings).bearer_auth(TOKEN).send().unwrap().text().unwrap();
    assert_eq!(told.matches(r#""kind":"sign-in-failed""#).count(), 1, "{told}");

    // Consent again: what waited goes on at once, nothing is lost and nothing doubled.
    connect(&firn, "allow");
    let told = client().get(findings).bearer_auth(TOKEN).send().unwrap().text().unwrap();
    assert!(!told.contains("sign-in-failed"), "{told}");
    assert_eq!(sign_in(&firn)["state"], "good");
    settle("what waited is not delivered", || titles(&place).len() == 11 + 8);
    let mut all = titles(&place);
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!((all.len(), count), (19, 19), "{all:?}");
    drop(place.runtime);
}

/// A refresh token that is good once: the new one is kept before anything is done with it.
#[test]
fn a_refresh_token_that_changes_is_kept_over_a_crash() {
    let place = Place::new();
    let firn = place.firn();
    let credentials = "grant = \"authorization-code\"\nclient_id = \"firn\"\nclient_secret = \"firn\"\nrefresh_token_ends = \"2199-01-31\"";
    assert!(place.apply(&firn, credentials).0);
    place.simulator.tokens_live(Duration::from_secs(6), true);
    connect(&firn, "allow");
    assert!(sign_in(&firn)["refresh_token_ends"].as_str().unwrap().starts_with("2199-01-31"));
    let mut firn = firn;
    for round in 0..3 {
        place.simulator.revoke_tokens();
        let title = format!("round {round}");
        event(&firn, &format!("R{round}"), 1, &title);
        settle("no ticket", || titles(&place).contains(&title));
        // Killed at once: what was kept was kept before.
        drop(firn);
        firn = place.firn();
    }
    assert_eq!(sign_in(&firn)["state"], "good");
}

/// A public client has no secret and gets no refresh token: PKCE proves it, and its end is told.
#[test]
fn a_public_client_proves_itself() {
    let place = Place::new();
    let firn = place.firn();
    assert!(place.apply(&firn, "grant = \"authorization-code\"\nclient_id = \"firn-public\"").0);
    connect(&firn, "allow");
    event(&firn, "R1", 1, "public");
    settle("no ticket", || titles(&place) == ["public"]);
    assert!(sign_in(&firn)["refresh_token_ends"].is_null());
    place.simulator.revoke_consents();
    event(&firn, "R1", 2, "later");
    settle("nobody notices", || sign_in(&firn)["state"] == "needs-reconnect");
    let why = sign_in(&firn)["why"].as_str().unwrap().to_owned();
    assert!(why.contains("firn integration connect"), "{why}");
}

#[test]
fn a_signed_assertion_signs_in() {
    let place = Place::new();
    let firn = place.firn();
    let key = place.directory.path().join("key.pem");
    let public = make_key(&key);
    let credentials = format!(
        "client_id = \"firn\"\nclient_secret = \"firn\"\nsubject = \"integration\"\nprivate_key = \"file:{}\"\nkey_id = \"k1\"",
        key.display()
    );
    assert!(place.apply(&firn, &credentials).0);
    assert_eq!(sign_in(&firn)["grant"], "jwt-bearer");
    // The instance does not know the key yet.
    event(&firn, "R1", 1, "signed");
    settle("nobody notices", || sign_in(&firn)["state"] == "needs-reconnect");
    place.simulator.trust_key(&public);
    // The same again does not wake it before the minute is over; other credentials do.
    let requests = place.requests();
    assert!(place.apply(&firn, &credentials).0);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(place.requests(), requests);
    assert!(place.apply(&firn, &credentials.replace("k1", "k2")).0);
    settle("no ticket", || titles(&place) == ["signed"]);
    assert_eq!(sign_in(&firn)["state"], "good");
}

/// Makes a private key (PEM); gives its public half.
fn make_key(path: &Path) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(path, key.serialize_pem()).unwrap();
    key.public_key_pem()
}

/// A password that was changed on the instance: one request a minute, so that the account is not
/// locked; the queue is kept, and other credentials go to work at once.
#[test]
fn a_wrong_password_is_not_tried_again_and_again() {
    let place = Place::new();
    let firn = place.firn();
    assert!(place.apply(&firn, "username = \"integration\"\npassword = \"old\"").0);
    for n in 0..5 {
        event(&firn, &format!("R{n}"), 1, &format!("waits {n}"));
    }
    settle("nobody notices", || sign_in(&firn)["state"] == "needs-reconnect");
    std::thread::sleep(Duration::from_secs(2));
    assert!(place.requests() <= 5, "{:?}", place.simulator.requests());
    assert!(titles(&place).is_empty());
    assert!(place.apply(&firn, "username = \"integration\"\npassword = \"integration\"").0);
    assert_eq!(sign_in(&firn)["state"], "good");
    settle("what waited is not delivered", || titles(&place).len() == 5);
}

#[test]
fn credentials_that_sign_nobody_in_are_refused_with_what_is_missing() {
    let place = Place::new();
    let firn = place.firn();
    for (credentials, remedy) in [
        ("grant = \"authorization-code\"", "authorization-code needs client_id"),
        ("grant = \"magic\"\nclient_id = \"a\"", "unknown variant"),
        ("client_id = \"a\"", "client-credentials needs client_id and client_secret"),
        ("username = \"a\"", "basic needs username and password"),
        (
            "client_id = \"a\"\nclient_secret = \"b\"\nprivate_key = \"c\"",
            "subject and private_key",
        ),
        (
            "username = \"a\"\npassword = \"b\"\nrefresh_token_ends = \"2027-01-31\"",
            "refresh_token_ends",
        ),
        (
            "grant = \"authorization-code\"\nclient_id = \"a\"\nrefresh_token_ends = \"soon\"",
            "2027-01-31",
        ),
    ] {
        let (done, said) = place.apply(&firn, credentials);
        assert!(!done && said.contains(remedy), "{credentials}: {said}");
    }
    // Who needs no consent is told so.
    assert!(place.apply(&firn, "username = \"integration\"\npassword = \"integration\"").0);
    let (done, said) = firn.cli(&["integration", "connect", "snow", "--no-browser"]);
    assert!(!done && said.contains("it signs in by basic"), "{said}");
}
