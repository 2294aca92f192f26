//! Who may come in: every route in every role of every tenant, tokens, OAuth clients, the first start;
//! the same request twice; settings that were changed meanwhile.

use std::time::Duration;

use crate::common::{Api, Firn, TOKEN, answered};
use firn::api::{Method, Who, all_routes, openapi};
use firn::{Right, Role};
use serde_json::{Value as Json, json};

/// What each route asks for, written down a second time: a new one without a line here fails.
const ROUTES: &str = "
anybody     GET    /healthz
anybody     GET    /readyz
anybody     GET    /readyz/{integration}
anybody     GET    /api/v1/openapi.json
anybody     GET    /oauth/callback
anybody     POST   /oauth/token
anybody     POST   /api/v1/webhooks/{integration}
send        POST   /api/v1/integrations/{integration}/events
send        POST   /api/v1/integrations/{integration}/escalations
read        GET    /metrics
read        GET    /api/v1/audit
read        GET    /api/v1/integrations
read        GET    /api/v1/integrations/{integration}
read        GET    /api/v1/integrations/{integration}/audit
read        GET    /api/v1/integrations/{integration}/conflicts
read        GET    /api/v1/integrations/{integration}/conflicts/{conflict}
read        GET    /api/v1/integrations/{integration}/deliveries
read        GET    /api/v1/integrations/{integration}/dlq
read        GET    /api/v1/integrations/{integration}/dlq/{entry}
read        GET    /api/v1/integrations/{integration}/field-ownership
read        GET    /api/v1/integrations/{integration}/findings
read        GET    /api/v1/integrations/{integration}/knowledge
read        GET    /api/v1/integrations/{integration}/knowledge/{summary}
read        GET    /api/v1/knowledge/search
read        GET    /api/v1/integrations/{integration}/links
read        GET    /api/v1/integrations/{integration}/links/{link}
read        GET    /api/v1/integrations/{integration}/links/{link}/explain
operate     GET    /api/v1/integrations/{integration}/provision
read        GET    /api/v1/integrations/{integration}/quarantine
read        GET    /api/v1/integrations/{integration}/reconcile
read        GET    /api/v1/integrations/{integration}/reconcile/schedule
read        GET    /api/v1/integrations/{integration}/reconcile/{run}
read        GET    /api/v1/integrations/{integration}/rules
read        GET    /api/v1/integrations/{integration}/sync-status
read        GET    /api/v1/integrations/{integration}/versions
operate     POST   /api/v1/integrations/{integration}/conflicts/{conflict}/resolve
operate     POST   /api/v1/integrations/{integration}/dlq/discard
operate     POST   /api/v1/integrations/{integration}/findings/dismiss
operate     POST   /api/v1/integrations/{integration}/dlq/retry
operate     POST   /api/v1/integrations/{integration}/dlq/{entry}/discard
operate     POST   /api/v1/integrations/{integration}/dlq/{entry}/retry
operate     POST   /api/v1/integrations/{integration}/links
operate     POST   /api/v1/integrations/{integration}/links/{link}/resync
operate     POST   /api/v1/integrations/{integration}/links/{link}/unlink
operate     POST   /api/v1/integrations/{integration}/poll
operate     POST   /api/v1/integrations/{integration}/reconcile
operate     POST   /api/v1/integrations/{integration}/reconcile/schedule
operate     POST   /api/v1/integrations/{integration}/reconcile/{run}/confirm
operate     POST   /api/v1/integrations/{integration}/reconcile/{run}/stop
operate     POST   /api/v1/integrations/{integration}/test
administer  GET    /api/v1/integrations/{integration}/provision/export
administer  POST   /api/v1/integrations
administer  PATCH  /api/v1/integrations/{integration}
administer  DELETE /api/v1/integrations/{integration}
administer  POST   /api/v1/integrations/{integration}/connect
administer  POST   /api/v1/integrations/{integration}/field-ownership/{field}
administer  DELETE /api/v1/integrations/{integration}/field-ownership/{field}
administer  POST   /api/v1/integrations/{integration}/provision
administer  POST   /api/v1/integrations/{integration}/unprovision
administer  POST   /api/v1/integrations/{integration}/versions/{version}/restore
operate     POST   /api/v1/integrations/{integration}/rules/{version}/dry-run
administer  POST   /api/v1/integrations/{integration}/rules
administer  DELETE /api/v1/integrations/{integration}/rules
administer  POST   /api/v1/integrations/{integration}/rules/rollback
administer  POST   /api/v1/integrations/{integration}/rules/{version}/activate
administer  POST   /api/v1/apply
administer  GET    /api/v1/tokens
administer  POST   /api/v1/tokens
administer  DELETE /api/v1/tokens/{token}
administer  POST   /api/v1/tenants/{tenant}/forget
";

/// What each role may, written down a second time.
const ROLES: [(Role, &str, &[&str]); 4] = [
    (Role::Sender, "sender", &["send"]),
    (Role::Viewer, "viewer", &["read"]),
    (Role::Operator, "operator", &["read", "send", "operate"]),
    (Role::Admin, "admin", &["read", "send", "operate", "administer"]),
];

/// The word that tells a problem from others.
fn kind(said: &Json) -> &str {
    said["type"].as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default()
}

pub(crate) fn asks(who: Who) -> &'static str {
    match who {
        Who::Anybody => "anybody",
        Who::Holder(Right::Read) => "read",
        Who::Holder(Right::Send) => "send",
        Who::Holder(Right::Operate) => "operate",
        Who::Holder(Right::Administer) => "administer",
    }
}

/// A tenant's integration at an instance where nobody is.
fn integration(api: &Api, tenant: &str) -> String {
    let body = json!({ "organization_id": tenant, "name": format!("of {tenant}"),
        "base_url": "http://127.0.0.1:9", "settings": { "polling": { "mode": "off" } },
        "credentials": { "username": "u", "password": "p" } });
    let (status, made) = api.call("POST", "/api/v1/integrations", &body);
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

pub(crate) fn token(api: &Api, name: &str, role: &str, tenant: Option<&str>) -> String {
    let body = json!({ "name": name, "role": role, "tenant": tenant });
    let (status, made) = api.call("POST", "/api/v1/tokens", &body);
    assert_eq!(status, 201, "{made}");
    made["secret"].as_str().unwrap().to_owned()
}

#[test]
fn every_route_asks_for_what_it_should() {
    let mut written: Vec<String> = ROUTES
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut there: Vec<String> = all_routes()
        .into_iter()
        .map(|(method, path, who)| format!("{} {} {path}", asks(who), method.name()))
        .collect();
    written.sort();
    there.sort();
    assert_eq!(there, written);
}

#[test]
fn every_route_in_every_role_of_every_tenant() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let admin = Api::new(&firn, Some(TOKEN));
    let acme = integration(&admin, "acme");
    for (role, name, rights) in ROLES {
        assert_eq!(serde_json::to_value(role).unwrap(), name);
        for tenant in [Some("acme"), Some("other"), None] {
            let whose = tenant.unwrap_or("all");
            let secret = token(&admin, &format!("{name} of {whose}"), name, tenant);
            let api = Api::new(&firn, Some(&secret));
            for (method, path, who) in all_routes() {
                let Who::Holder(_) = who else { continue };
                let address = path
                    .replace("{integration}", &acme)
                    .replace("{tenant}", "acme")
                    .replace("{version}", "999");
                let address = address
                    .split('/')
                    .map(|part| if part.starts_with('{') { "nothing" } else { part })
                    .collect::<Vec<_>>()
                    .join("/");
                // Nothing is removed or installed by those that may.
                let request = api.request(method.name(), &address).header("if-match", "\"no\"");
                let request = match method {
                    Method::Get => request,
                    _ => request.json(&json!({ "nothing": 1 })),
                };
                let (status, said) = answered(request);
                let about =
                    format!("{name} of {whose}: {} {address}: {status} {said}", method.name());
                if !rights.contains(&asks(who)) || (path == "/metrics" && tenant.is_some()) {
                    assert_eq!(status, 403, "{about}");
                } else if whose == "other" && path.contains("{integration}") {
                    assert_eq!(status, 404, "{about}");
                    assert_eq!(kind(&said), "unknown-integration", "{about}");
                } else if whose == "other" && path.contains("{tenant}") {
                    assert!(matches!(status, 404 | 422), "{about}");
                } else {
                    assert!(!matches!(status, 401 | 403 | 500 | 503), "{about}");
                    assert_ne!(kind(&said), "unknown-integration", "{about}");
                }
                if status >= 400 {
                    assert_eq!(said["status"], status, "a problem document: {about}");
                }
            }
        }
    }
    // And without one, or with something else.
    for wrong in
        [None, Some(""), Some("firn_0000_1111"), Some("outside-toke"), Some("outside-token2")]
    {
        let api = Api::new(&firn, wrong);
        for (method, path, who) in all_routes() {
            if let Who::Holder(_) = who {
                let address = path.replace("{integration}", &acme);
                let (status, _) = answered(api.request(method.name(), &address));
                assert_eq!(status, 401, "{wrong:?} {} {path}", method.name());
            }
        }
    }
    // What it was asked for is there still.
    assert_eq!(admin.get(&format!("/api/v1/integrations/{acme}"))["id"], json!(acme));
}

#[test]
fn tenants_do_not_see_or_touch_each_other() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let admin = Api::new(&firn, Some(TOKEN));
    let (acme, other) = (integration(&admin, "acme"), integration(&admin, "other"));
    let theirs = Api::new(&firn, Some(&token(&admin, "their admin", "admin", Some("other"))));
    let ids = |api: &Api| -> Vec<String> {
        let all = api.get("/api/v1/integrations");
        let all = all["integrations"].as_array().unwrap();
        all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&theirs), [other]);
    assert_eq!(ids(&admin).len(), 2);
    // By name or by id, it is not there.
    for name in [acme.as_str(), "of acme", "of%20acme", "of-acme"] {
        let (status, _) = answered(theirs.request("GET", &format!("/api/v1/integrations/{name}")));
        assert_eq!(status, 404, "{name}");
    }
    let create = json!({ "organization_id": "acme", "name": "x", "base_url": "http://127.0.0.1:9",
        "credentials": { "username": "u", "password": "p" } });
    assert_eq!(theirs.call("POST", "/api/v1/integrations", &create).0, 403);
    let document = json!({ "document": { "slug": "new", "organization_id": "acme", "preset": "bot",
        "base_url": "http://127.0.0.1:9", "credentials": { "username": "u", "password": "p" } } });
    assert_eq!(theirs.call("POST", "/api/v1/apply", &document).0, 403);
    let change = json!({ "document": { "slug": "of-acme", "strategy": "manual-review" } });
    assert!(theirs.call("POST", "/api/v1/apply", &change).0 >= 400);
    assert_eq!(
        theirs
            .call(
                "POST",
                "/api/v1/tokens",
                &json!({ "name": "t", "role": "viewer", "tenant": "acme" })
            )
            .0,
        403
    );
    // Theirs is theirs, also where nothing is said.
    let (status, made) =
        theirs.call("POST", "/api/v1/tokens", &json!({ "name": "t", "role": "viewer" }));
    assert_eq!((status, &made["tenant"]), (201, &json!("other")));
    let names = |api: &Api| api.get("/api/v1/tokens")["tokens"].as_array().unwrap().len();
    assert_eq!((names(&theirs), names(&admin)), (2, 2));
    assert_eq!(
        theirs.call("POST", "/api/v1/tenants/acme/forget", &json!({ "key": "call-1" })).0,
        404
    );
}

/// What lies on the host is nobody's but the host's: a tenant's administrator cannot have it sent anywhere.
#[test]
fn a_tenants_administrator_does_not_read_the_hosts_secrets() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let admin = Api::new(&firn, Some(TOKEN));
    let acme = integration(&admin, "acme");
    let theirs = Api::new(&firn, Some(&token(&admin, "acme's admin", "admin", Some("acme"))));
    let path = format!("/api/v1/integrations/{acme}");
    for secret in ["env:FIRN_TOKEN", "file:/proc/self/environ", "exec:id"] {
        for body in [
            json!({ "credentials": { "username": "u", "password": secret } }),
            json!({ "credentials": { "username": "u", "password": "p", "admin_username": "a", "admin_password": secret } }),
        ] {
            let (status, said) = theirs.call("PATCH", &path, &body);
            assert_eq!(status, 422, "{body} {said}");
        }
        let create = json!({ "organization_id": "acme", "name": "mine", "base_url": "http://127.0.0.1:9",
            "credentials": { "username": "u", "password": "p" }, "webhook_secret": secret });
        assert_eq!(theirs.call("POST", "/api/v1/integrations", &create).0, 422, "{secret}");
        let document = json!({ "document": { "slug": "of-acme", "callback_secret": secret } });
        assert_eq!(theirs.call("POST", "/api/v1/apply", &document).0, 422, "{secret}");
    }
    // What the host's administrator set up with one is not moved to an address of theirs.
    let body = json!({ "credentials": { "username": "u", "password": "env:SNOW_PASSWORD" } });
    assert_eq!(admin.call("PATCH", &path, &body).0, 200);
    let moved = json!({ "base_url": "http://127.0.0.1:10" });
    assert_eq!(theirs.call("PATCH", &path, &moved).0, 422);
    assert_eq!(theirs.call("PATCH", &path, &json!({ "name": "renamed" })).0, 200);
    let own = json!({ "base_url": "http://127.0.0.1:10", "credentials": { "username": "u", "password": "q" } });
    assert_eq!(theirs.call("PATCH", &path, &own).0, 200);
    // A command, of whatever secret, only where commands are allowed.
    let exec = json!({ "document": { "slug": "of-acme", "callback_secret": "exec:id" } });
    assert_eq!(admin.call("POST", "/api/v1/apply", &exec).0, 422);
    let audit = admin.get(&format!("{path}/audit")).to_string();
    assert!(audit.contains("secrets-changed") && audit.contains("acme's admin ("), "{audit}");
    // A client's token in the server's own environment makes nobody an administrator.
    let viewer = token(&admin, "viewer", "viewer", None);
    drop(firn);
    let firn = Firn::start_with(data.path(), &[], None, Some(&viewer));
    let api = Api::new(&firn, Some(&viewer));
    assert_eq!(answered(api.request("GET", "/api/v1/integrations")).0, 200);
    assert_eq!(answered(api.request("GET", "/api/v1/tokens")).0, 403);
}

#[test]
fn an_oauth_client_gets_a_token_that_ends() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let admin = Api::new(&firn, Some(TOKEN));
    let calls = integration(&admin, "acme");
    let (ok, said) = firn
        .cli(&["token", "create", "genesys", "--role", "sender", "--tenant", "acme", "--client"]);
    assert!(ok && said.contains("/oauth/token"), "{said}");
    let of = |name: &str| {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().next_back().unwrap().to_owned()
    };
    let (id, secret) = (of("client id"), of("client secret"));
    let nobody = Api::new(&firn, None);
    let ask = |form: &[(&str, &str)], basic: Option<(&str, &str)>| {
        let request = nobody.request("POST", "/oauth/token").form(form);
        answered(match basic {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        })
    };
    let grant = ("grant_type", "client_credentials");
    let (status, by_form) = ask(&[grant, ("client_id", &id), ("client_secret", &secret)], None);
    assert_eq!(
        (status, &by_form["token_type"], &by_form["expires_in"]),
        (200, &json!("Bearer"), &json!(3600))
    );
    let (status, by_basic) = ask(&[grant], Some((&id, &secret)));
    assert_eq!(status, 200, "{by_basic}");
    for (form, basic, status, error) in [
        (vec![grant], None, 401, "invalid_client"),
        (vec![grant], Some((id.as_str(), "wrong")), 401, "invalid_client"),
        (vec![grant], Some(("nobody", secret.as_str())), 401, "invalid_client"),
        (vec![grant, ("client_id", &id), ("client_secret", "")], None, 401, "invalid_client"),
        (vec![("grant_type", "password")], None, 400, "unsupported_grant_type"),
        (vec![], Some((id.as_str(), secret.as_str())), 400, "invalid_request"),
        (vec![grant, grant], None, 400, "invalid_request"),
        (
            vec![grant, ("client_id", &id), ("client_secret", &secret)],
            Some((&id, &secret)),
            400,
            "invalid_request",
        ),
    ] {
        let (was, said) = ask(&form, basic);
        assert_eq!((was, &said["error"]), (status, &json!(error)), "{form:?} {said}");
    }
    // It sends, and sees nothing; its secret itself opens nothing.
    let access = by_form["access_token"].as_str().unwrap();
    let sender = Api::new(&firn, Some(access));
    let event = json!({ "id": "e1", "type": "record.updated", "occurred_at": "2026-11-27T10:00:00Z",
        "record": { "kind": "incident", "id": "r1", "version": 1, "partial": false, "fields": {} } });
    let (status, said) =
        sender.call("POST", &format!("/api/v1/integrations/{calls}/events"), &event);
    assert_eq!(status, 202, "{said}");
    assert_eq!(answered(sender.request("GET", "/api/v1/integrations")).0, 403);
    assert_eq!(
        answered(Api::new(&firn, Some(&secret)).request("GET", "/api/v1/integrations")).0,
        401
    );
    let (ok, said) = firn.cli(&["token", "revoke", "genesys", "--yes"]);
    assert!(ok, "{said}");
    let (status, said) =
        sender.call("POST", &format!("/api/v1/integrations/{calls}/events"), &event);
    assert_eq!(status, 401, "{said}");
    assert_eq!(ask(&[grant], Some((&id, &secret))).0, 401);
}

#[test]
fn the_first_start_makes_a_token_and_says_where() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log");
    let place = data.path().join("data");
    let firn = Firn::start_with(&place, &[], Some(&log), None);
    let file = place.join("admin-token");
    let secret = std::fs::read_to_string(&file).unwrap();
    assert!(std::fs::read_to_string(&log).unwrap().contains("admin-token"));
    assert!(secret.starts_with("firn_"), "scanners know it by its prefix");
    let open =
        |firn: &Firn| answered(Api::new(firn, Some(&secret)).request("GET", "/api/v1/tokens"));
    assert_eq!(open(&firn).0, 200);
    assert_eq!(answered(Api::new(&firn, Some(TOKEN)).request("GET", "/api/v1/tokens")).0, 401);
    // The last one is not ended: nobody could make another.
    let admin = Api::new(&firn, Some(&secret));
    let id = secret.split('_').nth(1).unwrap();
    let (status, said) = answered(admin.request("DELETE", &format!("/api/v1/tokens/{id}")));
    assert_eq!((status, kind(&said)), (409, "last-administrator"));
    drop((admin, firn));
    // It holds without its file, and no other is made.
    std::fs::remove_file(&file).unwrap();
    let firn = Firn::start_with(&place, &[], None, None);
    assert_eq!(open(&firn).0, 200);
    assert!(!file.exists());
    // A token that ends, ends.
    let admin = Api::new(&firn, Some(&secret));
    let (_, made) = admin.call(
        "POST",
        "/api/v1/tokens",
        &json!({ "name": "brief", "role": "viewer", "expires_in": "1s" }),
    );
    let brief = Api::new(&firn, made["secret"].as_str());
    assert_eq!(answered(brief.request("GET", "/api/v1/integrations")).0, 200);
    std::thread::sleep(Duration::from_millis(1_100));
    let (status, said) = answered(brief.request("GET", "/api/v1/integrations"));
    assert!(status == 401 && said["detail"].as_str().unwrap().contains("has ended"), "{said}");
    for (body, status) in [
        (json!({ "name": "admin", "role": "viewer" }), 409),
        (json!({ "name": "", "role": "viewer" }), 422),
        (json!({ "name": "x", "role": "owner" }), 400),
        (json!({ "name": "x", "role": "viewer", "expires_in": "soon" }), 422),
        (json!({ "name": "x", "role": "viewer", "expires_in": "-1h" }), 422),
        (json!({ "name": "x", "role": "viewer", "tenant": "_firn" }), 403),
    ] {
        let (was, said) = admin.call("POST", "/api/v1/tokens", &body);
        assert_eq!(was, status, "{body} {said}");
    }
    // Who did what is written down, and nothing of a token's secret.
    let audit = admin.get("/api/v1/audit").to_string();
    assert!(audit.contains("token-created") && audit.contains("by admin"), "{audit}");
    assert!(!audit.contains(made["secret"].as_str().unwrap()));
}

#[test]
fn the_same_request_twice_is_done_once() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let admin = Api::new(&firn, Some(TOKEN));
    let body = |name: &str| {
        json!({ "organization_id": "acme", "name": name, "base_url": "http://127.0.0.1:9",
        "settings": { "polling": { "mode": "off" } }, "credentials": { "username": "u", "password": "p" } })
    };
    let create = |key: &str, name: &str| {
        admin
            .request("POST", "/api/v1/integrations")
            .header("idempotency-key", key)
            .json(&body(name))
    };
    let (status, first) = answered(create("k1", "one"));
    assert_eq!(status, 201, "{first}");
    let again = create("k1", "one").send().unwrap();
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!((again.status().as_u16(), again.json::<Json>().unwrap()), (201, first.clone()));
    let (status, said) = answered(create("k1", "two"));
    assert_eq!((status, kind(&said)), (422, "key-used"));
    assert_eq!(answered(create("k2", "one")).0, 409, "another key is another request");
    assert_eq!(answered(create(&"k".repeat(256), "three")).0, 400);
    // Another caller's key is another key.
    let theirs = Api::new(&firn, Some(&token(&admin, "second", "admin", None)));
    let request = theirs.request("POST", "/api/v1/integrations").header("idempotency-key", "k1");
    assert_eq!(answered(request.json(&body("four"))).0, 201);
    // At once: one is made, and the others are told so or given its answer.
    let path = format!("/api/v1/integrations/{}/reconcile", first["id"].as_str().unwrap());
    let runs: Vec<(u16, Json)> = std::thread::scope(|scope| {
        let ask = || {
            answered(admin.request("POST", &path).header("idempotency-key", "run").json(&json!({})))
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(runs.iter().all(|(status, _)| matches!(status, 202 | 409)), "{runs:?}");
    assert_eq!(admin.get(&path)["runs"].as_array().unwrap().len(), 1);
    // It is there after a restart.
    drop(firn);
    let firn = Firn::start(data.path(), &[], None);
    let admin = Api::new(&firn, Some(TOKEN));
    let request = admin.request("POST", "/api/v1/integrations").header("idempotency-key", "k1");
    assert_eq!(answered(request.json(&body("one"))).1["id"], first["id"]);
}

#[test]
fn settings_that_were_changed_meanwhile_are_not_overwritten() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let admin = Api::new(&firn, Some(TOKEN));
    let path = format!("/api/v1/integrations/{}", integration(&admin, "acme"));
    let tag = |response: &reqwest::blocking::Response| {
        response.headers()["etag"].to_str().unwrap().to_owned()
    };
    let seen = tag(&admin.request("GET", &path).send().unwrap());
    assert_eq!(tag(&admin.request("GET", &path).send().unwrap()), seen);
    let change = |seen: &str, name: &str| {
        admin
            .request("PATCH", &path)
            .header("if-match", seen)
            .json(&json!({ "name": name }))
            .send()
            .unwrap()
    };
    let changed = change(&seen, "first");
    assert_eq!(changed.status(), 200);
    let present = tag(&changed);
    assert_ne!(present, seen);
    let stale = change(&seen, "second");
    assert_eq!(stale.status(), 412);
    assert!(stale.text().unwrap().contains(&present.replace('"', "\\\"")));
    let (status, _) = answered(admin.request("DELETE", &path).header("if-match", &seen));
    assert_eq!(status, 412);
    assert_eq!(admin.get(&path)["name"], "first");
    assert_eq!(change(&format!("\"x\", {present}"), "third").status(), 200);
    assert_eq!(change("*", "fourth").status(), 200);
}

#[test]
fn listings_come_page_by_page() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let admin = Api::new(&firn, Some(TOKEN));
    let id = integration(&admin, "acme");
    for n in 0..7 {
        // Not to be understood: kept, with its reason.
        let event = json!({ "id": format!("e{n}"), "type": "x" });
        let (status, _) = admin.call("POST", &format!("/api/v1/integrations/{id}/events"), &event);
        assert_eq!(status, 422);
    }
    let all = admin.get(&format!("/api/v1/integrations/{id}/quarantine"));
    assert_eq!((all["quarantine"].as_array().unwrap().len(), &all["next"]), (7, &Json::Null));
    let mut found = Vec::new();
    let mut after = String::new();
    for _ in 0..10 {
        let page = admin.get(&format!("/api/v1/integrations/{id}/quarantine?limit=3{after}"));
        found.extend(page["quarantine"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(json!(found), all["quarantine"]);
    let (status, said) =
        answered(admin.request("GET", &format!("/api/v1/integrations/{id}/links?limit=x")));
    assert_eq!((status, kind(&said)), (400, "malformed-query"));
    for query in ["links?state=nope", "links?stat=working", "audit?evnt=write", "quarantine?x=1"] {
        let path = format!("/api/v1/integrations/{id}/{query}");
        assert_eq!(answered(admin.request("GET", &path)).0, 400, "{query}");
    }
}

#[test]
fn the_document_names_every_route() {
    let document = openapi();
    assert_eq!(document["openapi"], "3.1.0");
    let mut named = 0;
    for (method, path, who) in all_routes() {
        let operation = &document["paths"][path][method.name().to_ascii_lowercase()];
        assert!(operation["summary"].is_string(), "{} {path}", method.name());
        let open = operation["security"].as_array().is_some_and(Vec::is_empty);
        assert_eq!(open, who == Who::Anybody, "{path}");
        named += 1;
    }
    let there: usize =
        document["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(named, there);
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
