//! The console: every page in every role, forms that are not ours, and an operator's day in a real browser.

mod browser;

use std::collections::BTreeSet;
use std::time::Duration;

use firn::all_pages;
use firn::api::{Method, Who};
use reqwest::blocking::Client;
use reqwest::redirect::Policy;
use serde_json::{Value as Json, json};

use crate::access::{asks, token};
use crate::common::desk::Desk;
use crate::common::{Api, Firn, TOKEN, settle};
use browser::Browser;

/// What each page asks for, written down a second time: a new one without a line here fails.
const PAGES: &str = "
anybody     GET    /assets/{file}
anybody     GET    /sign-in
anybody     POST   /sign-in
read        GET    /
read        POST   /sign-out
read        GET    /console/live
read        GET    /console/{integration}
read        GET    /console/{integration}/audit
read        GET    /console/{integration}/conflicts
read        GET    /console/{integration}/conflicts/{conflict}
read        GET    /console/{integration}/dead-letters
read        GET    /console/{integration}/dead-letters/{entry}
read        GET    /console/{integration}/doctor
read        GET    /console/{integration}/findings
read        GET    /console/{integration}/knowledge
read        GET    /console/{integration}/links
read        GET    /console/{integration}/links/{link}
read        GET    /console/{integration}/rules
read        GET    /console/{integration}/runs
read        GET    /console/{integration}/runs/{run}
read        GET    /console/{integration}/settings
read        POST   /console/{integration}/settings
operate     POST   /console/{integration}/conflicts/{conflict}/resolve
operate     POST   /console/{integration}/dead-letters
operate     POST   /console/{integration}/dead-letters/{entry}/discard
operate     POST   /console/{integration}/dead-letters/{entry}/retry
operate     POST   /console/{integration}/doctor
operate     POST   /console/{integration}/findings
operate     POST   /console/{integration}/links/{link}/resync
operate     POST   /console/{integration}/links/{link}/unlink
operate     POST   /console/{integration}/rules/{version}/dry-run
administer  POST   /console/{integration}/rules
administer  POST   /console/{integration}/rules/rollback
administer  POST   /console/{integration}/rules/deactivate
administer  POST   /console/{integration}/rules/{version}/activate
operate     POST   /console/{integration}/runs
operate     POST   /console/{integration}/runs/{run}/confirm
operate     POST   /console/{integration}/runs/{run}/stop
administer  POST   /console/{integration}/settings/apply
administer  POST   /console/{integration}/settings/versions/{version}/restore
";

/// A browser as far as HTTP goes: it keeps one cookie and follows nothing.
pub(crate) struct Visitor {
    url: String,
    pub(crate) cookie: Option<String>,
    http: Client,
}

pub(crate) struct Seen {
    pub(crate) status: u16,
    to: String,
    pub(crate) text: String,
    headers: reqwest::header::HeaderMap,
}

impl Visitor {
    fn new(url: &str) -> Visitor {
        let http = Client::builder().no_proxy().redirect(Policy::none());
        let http = http.timeout(Duration::from_secs(20)).build().unwrap();
        Visitor { url: url.to_owned(), cookie: None, http }
    }

    /// Signed in with a token.
    pub(crate) fn signed_in(url: &str, token: &str) -> Visitor {
        let mut visitor = Visitor::new(url);
        let seen = visitor.post("/sign-in", &[("token", token), ("next", "/")], &[]);
        assert_eq!((seen.status, seen.to.as_str()), (303, "/"), "{}", seen.text);
        let cookie = seen.headers["set-cookie"].to_str().unwrap();
        for part in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=43200"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        visitor.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        visitor
    }

    fn sent(&self, request: reqwest::blocking::RequestBuilder) -> Seen {
        let request = match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        let response = request.send().unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let to = headers.get("location").map(|to| to.to_str().unwrap().to_owned());
        // What never ends is not read to its end.
        let stream = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let text = if stream { String::new() } else { response.text().unwrap() };
        Seen { status, to: to.unwrap_or_default(), text, headers }
    }

    pub(crate) fn get(&self, path: &str) -> Seen {
        self.sent(self.http.get(format!("{}{path}", self.url)))
    }

    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Seen {
        let mut request = self.http.post(format!("{}{path}", self.url)).form(form);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sent(request)
    }

    /// What each form on a page has to show.
    pub(crate) fn form_key(&self) -> String {
        let page = self.get("/").text;
        let at = page.find(r#"name="form_key" value=""#).unwrap();
        page[at + 23..].split('"').next().unwrap().to_owned()
    }
}

#[test]
fn every_page_in_every_role_of_every_tenant() {
    let mut written: Vec<String> = PAGES
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut there: Vec<String> = all_pages()
        .into_iter()
        .map(|(method, path, who)| format!("{} {} {path}", asks(who), method.name()))
        .collect();
    written.sort();
    there.sort();
    assert_eq!(there, written);

    let desk = Desk::new(&json!({}), &[]);
    desk.incident("inc-1", "Checkout is slow");
    let url = &desk.firn.url;
    for (name, rights) in [
        ("sender", &[][..]),
        ("viewer", &["read"]),
        ("operator", &["read", "operate"]),
        ("admin", &["read", "operate", "administer"]),
    ] {
        for tenant in [Some("acme"), Some("other"), None] {
            let secret = token(&desk.api, &format!("{name} {tenant:?}"), name, tenant);
            if name == "sender" {
                let seen = Visitor::new(url).post("/sign-in", &[("token", &secret)], &[]);
                assert_eq!(seen.status, 401, "{}", seen.text);
                assert!(
                    seen.text.contains("sees nothing") && seen.headers.get("set-cookie").is_none()
                );
                continue;
            }
            let visitor = Visitor::signed_in(url, &secret);
            let form_key = visitor.form_key();
            for (method, path, who) in all_pages() {
                if who == Who::Anybody || path == "/sign-out" {
                    continue;
                }
                let address = path.replace("{integration}", "desk").replace("{version}", "999");
                let address = address
                    .split('/')
                    .map(|part| if part.starts_with('{') { "nothing" } else { part })
                    .collect::<Vec<_>>()
                    .join("/");
                let seen = match method {
                    Method::Get => visitor.get(&address),
                    _ => visitor.post(&address, &[("form_key", &form_key)], &[]),
                };
                let about =
                    format!("{name} of {tenant:?}: {} {address}: {}", method.name(), seen.status);
                if !rights.contains(&asks(who)) {
                    assert_eq!(seen.status, 403, "{about}");
                } else if tenant == Some("other") && path.contains("{integration}") {
                    assert_eq!(seen.status, 404, "{about}");
                    assert!(!seen.text.contains("Checkout"), "{about}");
                } else {
                    assert!(
                        !matches!(seen.status, 401 | 403 | 500 | 503),
                        "{about}: {}",
                        seen.text
                    );
                }
                let policy = seen.headers["content-security-policy"].to_str().unwrap();
                assert!(
                    policy.contains("default-src 'none'") && !policy.contains("unsafe"),
                    "{policy}"
                );
                if seen.text.contains("<html") {
                    let inline = [" style=", "<style", "<script>", " onclick=", "javascript:"];
                    assert!(!inline.iter().any(|part| seen.text.contains(part)), "{about}");
                }
            }
        }
    }
    // Nobody who is not signed in sees anything, and comes back to where they wanted to be.
    let stranger = Visitor::new(url);
    for (method, path, who) in all_pages() {
        if let Who::Holder(_) = who {
            let address = path.replace("{integration}", "desk");
            let seen = match method {
                Method::Get => stranger.get(&address),
                _ => stranger.post(&address, &[], &[]),
            };
            assert_eq!(seen.status, 303, "{address}");
            assert!(seen.to.starts_with("/sign-in"), "{address}: {}", seen.to);
        }
    }
    let seen = stranger.get("/console/desk/links?q=inc");
    assert_eq!(seen.to, "/sign-in?next=%2Fconsole%2Fdesk%2Flinks%3Fq%3Dinc");
    let seen = stranger.get(&seen.to);
    assert!(seen.text.contains("&#x2f;console&#x2f;desk&#x2f;links?q=inc"), "{}", seen.text);
    for wrong in ["", "x", "firn_0000_1111", "outside-toke"] {
        let seen = stranger.post("/sign-in", &[("token", wrong)], &[]);
        assert_eq!(seen.status, 401, "{wrong}");
        assert!(seen.headers.get("set-cookie").is_none() && seen.text.contains("role=\"alert\""));
    }
    // A page that is none says so.
    let viewer = Visitor::signed_in(url, TOKEN);
    for none in ["/console/desk/links/l-00000000000000000000", "/console/nobody", "/assets/none.js"]
    {
        let seen = viewer.get(none);
        assert_eq!(seen.status, 404, "{none}");
        assert!(seen.text.contains("<h1>") && seen.text.contains("there is no"), "{}", seen.text);
    }
}

#[test]
fn a_form_that_is_not_ours_does_nothing() {
    let desk = Desk::new(&json!({}), &[]);
    let url = &desk.firn.url;
    let visitor = Visitor::signed_in(url, TOKEN);
    let form_key = visitor.form_key();
    let runs = || desk.of("reconcile")["runs"].as_array().unwrap().len();
    let own = url.clone();
    for (form, headers, status) in [
        (vec![], vec![], 403),
        (vec![("form_key", "")], vec![], 403),
        (vec![("form_key", "0000")], vec![], 403),
        (vec![("form_key", form_key.as_str())], vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("form_key", form_key.as_str())], vec![("sec-fetch-site", "same-site")], 403),
        (vec![("form_key", form_key.as_str())], vec![("origin", "https://evil.example")], 403),
        (vec![("form_key", form_key.as_str())], vec![("origin", "null")], 403),
        (vec![("form_key", form_key.as_str())], vec![("origin", own.as_str())], 303),
    ] {
        let seen = visitor.post("/console/desk/runs", &form, &headers);
        assert_eq!(seen.status, status, "{form:?} {headers:?}");
        assert_eq!(runs(), usize::from(status == 303), "{form:?} {headers:?}");
    }
    // Whoever is signed in may sign in again, and the session of before is over.
    let mut twice = Visitor::signed_in(url, TOKEN);
    let first = twice.cookie.clone();
    let seen = twice.post("/sign-in", &[("token", TOKEN)], &[]);
    assert_eq!(seen.status, 303);
    assert_eq!(twice.get("/").status, 303, "the session of before is over");
    twice.cookie =
        Some(seen.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned());
    assert!(twice.get("/").status == 200 && twice.cookie != first);
    // Somebody else's key is none, and signing in elsewhere cannot be forced.
    let other = Visitor::signed_in(url, TOKEN);
    assert_ne!(other.form_key(), form_key);
    let seen = other.post("/console/desk/runs", &[("form_key", &form_key)], &[]);
    assert_eq!(seen.status, 403);
    let seen = Visitor::new(url).post(
        "/sign-in",
        &[("token", TOKEN)],
        &[("sec-fetch-site", "cross-site")],
    );
    assert_eq!(seen.status, 403);
    // Whoever has signed out is out, also with the cookie of before; the other is not.
    let seen = visitor.post("/sign-out", &[("form_key", &form_key)], &[]);
    assert_eq!((seen.status, seen.to.as_str()), (303, "/sign-in"));
    assert!(seen.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!((visitor.get("/").status, other.get("/").status), (303, 200));
    // Too much is too much.
    let long = "x".repeat(1 << 20);
    let form_key = other.form_key();
    let seen =
        other.post("/console/desk/settings", &[("form_key", &form_key), ("document", &long)], &[]);
    assert_eq!(seen.status, 413);
}

/// Where nobody signs in, a page of another site must not do so in a browser's name.
#[test]
fn an_open_firn_is_not_for_other_sites_pages() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = runtime.block_on(crate::common::pair::Place::new());
    let url = place.url.trim_end_matches("/api/v1");
    let asked = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = place.http.request(method, format!("{url}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        runtime.block_on(async { request.body("{}").send().await.unwrap().status().as_u16() })
    };
    for path in ["/", "/api/v1/integrations", "/metrics", "/console/live"] {
        assert_eq!(asked("GET", path, &[("host", "evil.example")]), 421, "{path}");
    }
    assert_eq!(asked("GET", "/", &[]), 200);
    // The cookie of another Firn on this host, which a browser shows here too, ends no stream.
    let live = place.http.get(format!("{url}/console/live")).header("cookie", "firn=anothers");
    let ended = runtime.block_on(async {
        let mut stream = live.send().await.unwrap();
        let whole = async { while stream.chunk().await.unwrap().is_some() {} };
        tokio::time::timeout(Duration::from_secs(5), whole).await.is_ok()
    });
    assert!(!ended, "the stream ended");
    let token = "/api/v1/tokens";
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("content-type", "text/plain")][..],
        &[("origin", "https://evil.example")],
        &[("host", "evil.example")],
    ] {
        assert!(matches!(asked("POST", token, headers), 403 | 421), "{headers:?}");
    }
    assert_eq!(asked("POST", token, &[]), 400, "it is asked, and says what it lacks");
}

#[test]
fn pages_say_what_they_are_told_and_escape_it() {
    let desk = Desk::new(
        &json!({ "fields": { "title": { "owner": "shared", "strategy": "manual-review" } } }),
        &[],
    );
    let evil = "<img src=x onerror=alert(1)>\"'";
    desk.incident("inc-1", "fine");
    desk.collide("inc-1", evil, "<script>alert(2)</script>");
    settle("no conflict", || {
        desk.of("conflicts")["conflicts"].as_array().is_some_and(|c| !c.is_empty())
    });
    let visitor = Visitor::signed_in(&desk.firn.url, TOKEN);
    let link = desk.of("links")["links"][0]["id"].as_str().unwrap().to_owned();
    for page in ["/console/desk", "/console/desk/conflicts", &format!("/console/desk/links/{link}")]
    {
        let seen = visitor.get(page);
        assert_eq!(seen.status, 200, "{page}");
        assert!(
            !seen.text.contains("<img src=x") && !seen.text.contains("<script>alert"),
            "{page}"
        );
        if page != "/console/desk" {
            assert!(seen.text.contains("&lt;img src=x"), "{page}: {}", seen.text);
        }
    }
    let sought = visitor.get("/console/desk/links?q=%22%3E%3Cscript%3E");
    assert!(
        sought.text.contains("no links") && !sought.text.contains("\"><script>"),
        "{}",
        sought.text
    );
}

#[test]
fn settings_are_checked_tried_compared_and_applied() {
    let desk = Desk::new(&json!({}), &[]);
    desk.incident("inc-1", "Checkout is slow");
    let visitor = Visitor::signed_in(&desk.firn.url, TOKEN);
    let form_key = visitor.form_key();
    let page = visitor.get("/console/desk/settings").text;
    let start = page.find("<textarea").unwrap();
    let text = &page[start..page[start..].find("</textarea>").unwrap() + start];
    let text = text.split_once('>').unwrap().1;
    let own = text.replace("&quot;", "\"").replace("&#x2f;", "/").replace("&#x27;", "'");
    assert!(own.contains("preset = \"incidents\"") && own.contains("callback_url"), "{own}");
    let ask = |document: &str, what: &str| {
        let form = [("form_key", form_key.as_str()), ("document", document), ("do", what)];
        let seen = visitor.post("/console/desk/settings", &form, &[("x-firn-part", "answer")]);
        assert_eq!(seen.status, 200, "{}", seen.text);
        seen.text
    };
    // What is shown is what holds.
    assert!(ask(&own, "check").contains("sound"));
    assert!(ask(&own, "compare").contains("it is so already"), "{}", ask(&own, "compare"));
    assert!(ask(&own, "try").contains("as they are now"));
    // Wrong on purpose.
    let said = ask(&format!("{own}\nstrategy = "), "compare");
    assert!(said.contains("1 error") && said.contains("not TOML"), "{said}");
    let wrong = own.replacen("preset =", "strategy = \"coin-toss\"\nnonsense = 1\npreset =", 1);
    let said = ask(&wrong, "compare");
    assert!(
        said.contains("2 errors") && said.contains("coin-toss") && !said.contains(">Apply<"),
        "{said}"
    );
    let said = ask(&own.replace("slug = \"desk\"", "slug = \"other\""), "check");
    assert!(said.contains("another integration"), "{said}");
    // Another value map, on what came in.
    let changed = format!("{own}\n[fields.title]\nmax = 9\n");
    let said = ask(&changed, "try");
    assert!(said.contains("in another way") && said.contains("Checkout…"), "{said}");
    let changed = own.replacen("preset =", "strategy = \"manual-review\"\npreset =", 1);
    let said = ask(&changed, "compare");
    assert!(said.contains("manual-review") && said.contains(">Apply<"), "{said}");
    assert_eq!(desk.api.get("/api/v1/integrations/desk")["version"], 1, "only looked");
    let form = [("form_key", form_key.as_str()), ("document", changed.as_str()), ("version", "1")];
    let seen = visitor.post("/console/desk/settings/apply", &form, &[]);
    assert_eq!(
        (seen.status, seen.to.as_str()),
        (303, "/console/desk/settings?done=apply"),
        "{}",
        seen.text
    );
    let shown = desk.api.get("/api/v1/integrations/desk");
    assert_eq!(
        (&shown["version"], &shown["settings"]["strategy"]),
        (&2.into(), &"manual-review".into())
    );
    // Somebody else was first: what they did is not undone unseen.
    let seen = visitor.post("/console/desk/settings/apply", &form, &[]);
    assert!(seen.status == 409 && seen.text.contains("version 2 holds now"), "{}", seen.text);
    let seen =
        visitor.post("/console/desk/settings/versions/1/restore", &[("form_key", &form_key)], &[]);
    assert_eq!(seen.status, 303, "{}", seen.text);
    assert_eq!(
        desk.api.get("/api/v1/integrations/desk")["settings"]["strategy"],
        "last-write-wins"
    );
    // What was taken away of the preset is told: a document cannot say so.
    let change = json!({ "settings": { "fields": { "assigned_to": null } } });
    assert_eq!(desk.api.call("PATCH", "/api/v1/integrations/desk", &change).0, 200);
    let page = visitor.get("/console/desk/settings").text;
    assert!(page.contains("Taken away:") && page.contains("fields.assigned_to"), "{page}");
    // Whoever may not apply learns whether a document is sound, and nothing of what came in.
    let operator = Visitor::signed_in(&desk.firn.url, &token(&desk.api, "o", "operator", None));
    let key = operator.form_key();
    for (what, status) in [("check", 200), ("try", 403), ("compare", 403)] {
        let form = [("form_key", key.as_str()), ("document", own.as_str()), ("do", what)];
        let seen = operator.post("/console/desk/settings", &form, &[("x-firn-part", "answer")]);
        assert_eq!(seen.status, status, "{what}: {}", seen.text);
    }
}

/// What an operator does of a morning, with keyboard and mouse.
#[test]
fn an_operators_day_in_a_browser() {
    let Some(browser) = Browser::start() else { return };
    let settings = json!({ "fields": { "title": { "owner": "shared", "strategy": "manual-review" } },
            "learning": { "enabled": true, "delay": 100 } });
    let desk = Desk::new(&settings, &[]);
    let secret = token(&desk.api, "the operator", "operator", Some("acme"));
    desk.incident("inc-1", "Checkout is slow");
    desk.incident("inc-2", "Login fails");

    // Signing in: wrongly first. Then back to where they wanted to be.
    browser.open(&format!("{}/console/desk", desk.firn.url));
    browser.types("#token", "firn_0000_wrong");
    browser.click("button.main");
    browser.until("it says why", |b| b.text("#why").contains("no such token"));
    browser.types("#token", &secret);
    browser.click("button.main");
    browser.until("the overview", |b| b.address().ends_with("/console/desk"));
    browser.until("live", |b| b.text("#pulse") == "live");
    assert_eq!(browser.text("h1"), "Desk in step");

    // A conflict arrives while they look.
    desk.collide("inc-1", "from the platform", "from the agent");
    browser.until("the conflict shows", |b| b.text(".tiles .waits dd") == "1");
    browser.until("and in the feed", |b| b.text("#feed").contains("both sides changed title"));
    assert_eq!(browser.text("h1"), "Desk needs a person");
    browser.looked_at("overview");
    browser.click("nav.tabs a[href$='/conflicts']");
    browser.until("its values", |b| {
        let card = b.text("article.conflict");
        ["from the agent", "Checkout is slow", "from the platform"].iter().all(|v| card.contains(v))
    });
    browser.looked_at("conflicts");
    // Why is it so?
    browser.click("article.conflict h2 a[href*='/links/']");
    browser.until("the link", |b| b.text("details.parked").contains("waits for a person"));
    let why = browser.text("details.parked");
    assert!(
        why.contains("Whose it is: shared") && why.contains("because the record was new"),
        "{why}"
    );
    browser.looked_at("link");
    browser.click("details.parked a[href*='/conflicts/']");
    browser.click("button[value='platform']");
    browser.until("it is decided", |b| b.text("p.note.done").starts_with("Decided"));
    settle("not written", || desk.ticket("inc-1", "short_description") == "from the platform");
    assert_eq!(desk.ticket("inc-1", "short_description"), "from the platform");
    let by = desk.of("conflicts").to_string();
    assert!(by.contains("the operator"), "{by}");

    // A third value, typed in; by keyboard alone.
    desk.collide("inc-2", "SSO fails", "Login is broken");
    browser.until("the second shows by itself", |b| b.text("main").contains("SSO fails"));
    browser.types("article.conflict input[name='value']", "SSO: login fails\u{e007}");
    browser.until("the third value", |_| {
        desk.ticket("inc-2", "short_description") == "SSO: login fails"
    });

    // A dead letter: why, and tried again in bulk once the cause is mended.
    desk.refuse(true);
    desk.edit(
        "inc-3",
        json!({ "title": "Search is slow", "description": "write to zz.sentinel@example.com",
        "severity": "high", "status": "open", "assigned_to": null }),
    );
    browser.click("nav.tabs a[href$='/dead-letters']");
    browser.until("it is listed", |b| b.text("main").contains("ACL Exception"));
    browser.looked_at("dead-letters");
    browser.click("table.list th[scope='row'] a");
    browser.until("what it would write", |b| b.text("main").contains("What it would write"));
    let shown = browser.text("main");
    assert!(shown.contains("Search is slow") && !shown.contains("zz.sentinel"), "{shown}");
    browser.looked_at("dead-letter");
    desk.refuse(false);
    browser.click("nav.tabs a[href$='/dead-letters']");
    browser.click("#every");
    browser.click("button[value='retry']");
    browser.until("it was tried again", |b| b.text("p.note.done").starts_with("Tried again"));
    settle("no ticket", || desk.tickets("inc-3").len() == 1);

    // A dry run finds what was changed behind our back, and shows it as a difference.
    desk.at_rest();
    desk.simulator.set(
        "incident",
        &desk.ticket("inc-2", "sys_id"),
        "short_description",
        "changed unseen",
    );
    browser.click("nav.tabs a[href$='/runs']");
    browser.click("button[value='dry-run']");
    browser.until("the run is over", |b| b.text("h1").ends_with("finished"));
    let found = browser.text("main");
    assert!(found.contains("changed unseen") && found.contains("SSO: login fails"), "{found}");
    browser.looked_at("run");

    // The doctor, the settings, and out.
    browser.click("nav.tabs a[href$='/doctor']");
    browser.click("button.main");
    browser.until("the doctor has asked", |b| b.text("h1").contains("all well"));
    browser.looked_at("doctor");
    browser.click("nav.tabs a[href$='/settings']");
    browser.types("#document", "\nstrategy = \"coin-toss\"");
    browser.until("checked as it is typed", |b| b.text("#answer").contains("coin-toss"));
    assert!(!browser.text("main").contains("Restore…"), "an operator does not change settings");
    browser.looked_at("settings");
    browser.open(&format!("{}/console/desk/audit?q=title", desk.firn.url));
    assert!(browser.text("ol.feed").contains("sent to ServiceNow"));
    browser.looked_at("audit");
    // What solved a ticket is learnt, and found again.
    desk.agent(
        "inc-2",
        &json!({ "work_notes": "Fixed: renewed the certificate of the identity provider." }),
    );
    desk.edit("inc-2", json!({ "status": "resolved" }));
    settle("nothing is learnt", || desk.of("knowledge")["cases"][0]["solved"].is_array());
    browser.open(&format!("{}/console/desk/knowledge", desk.firn.url));
    browser.types("#q", "expired cert");
    browser.click("form.find button");
    browser.until("it is found", |b| b.text("main").contains("identity provider"));
    browser.looked_at("knowledge");
    for page in ["links", "findings", "runs"] {
        browser.open(&format!("{}/console/desk/{page}", desk.firn.url));
        browser.looked_at(page);
    }
    // What was seen is dismissed.
    browser.open(&format!("{}/console/desk/findings", desk.firn.url));
    assert!(browser.text("ul.findings").contains("refused"), "{}", browser.text("main"));
    browser.click("#every");
    browser.click("form.ticked button");
    browser.until("it is dismissed", |b| b.text("p.note.done").starts_with("Dismissed"));
    assert!(browser.text("main").contains("None."), "{}", browser.text("main"));
    browser.open(&desk.firn.url);
    browser.looked_at("all");
    browser.click("form.who button");
    browser.until("signed out", |b| b.text("h1") == "Sign in");
    browser.looked_at("sign-in");
    assert_eq!(
        browser.complaints(),
        BTreeSet::new(),
        "what the browser or the checker complains about"
    );
}

/// A restart signs nobody out.
#[test]
fn a_session_outlives_the_process_and_not_its_token() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    let secret = token(&api, "v", "viewer", None);
    let mut visitor = Visitor::signed_in(&firn.url, &secret);
    assert_eq!(visitor.get("/").status, 200);
    drop(firn);
    let firn = Firn::start(data.path(), &[], None);
    visitor.url.clone_from(&firn.url);
    assert_eq!(visitor.get("/").status, 200);
    let api = Api::new(&firn, Some(TOKEN));
    let tokens: Json = api.get("/api/v1/tokens");
    let id = tokens["tokens"][0]["id"].as_str().unwrap();
    assert_eq!(api.call("DELETE", &format!("/api/v1/tokens/{id}"), &json!({})).0, 200);
    assert_eq!(visitor.get("/").status, 303);
}
