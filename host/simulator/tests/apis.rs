//! The APIs besides the Table API, and what an administrator or a quirk changes about all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firn_simulator::{Access, Faults, Permit, Quirks, RequestFault, Simulator, Trouble};
use reqwest::{Client, Response};
use serde_json::{Value as Json, json};

struct Place {
    simulator: Simulator,
    client: Client,
}

impl Place {
    async fn new() -> Place {
        let listen = ([127, 0, 0, 1], 0).into();
        let simulator = Simulator::start(listen, 1, Faults::default()).await.unwrap();
        Place { simulator, client: Client::builder().no_proxy().build().unwrap() }
    }

    fn ask(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.simulator.url());
        self.client.request(method, url).basic_auth("integration", Some("integration"))
    }

    async fn call(&self, method: &str, path: &str, body: Json) -> (u16, Json) {
        let mut request = self.ask(method, path);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Json {
        let (status, body) = self.call("GET", path, Json::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body["result"].clone()
    }

    async fn incident(&self, body: Json) -> String {
        let (status, made) = self.call("POST", "/api/now/table/incident", body).await;
        assert_eq!(status, 201, "{made}");
        made["result"]["sys_id"].as_str().unwrap().to_owned()
    }
}

fn status(response: &Response) -> u16 {
    response.status().as_u16()
}

#[tokio::test]
async fn attachments_have_bytes_a_hash_and_a_parent() {
    let place = Place::new().await;
    let id = place.incident(json!({ "short_description": "x" })).await;
    let path =
        format!("/api/now/attachment/file?table_name=incident&table_sys_id={id}&file_name=a.txt");
    let sent = place.ask("POST", &path).header("content-type", "text/plain").body("hello");
    let answer = sent.send().await.unwrap();
    assert_eq!(status(&answer), 201);
    let row = answer.json::<Json>().await.unwrap()["result"].clone();
    let sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!((&row["hash"], &row["size_bytes"]), (&json!(sha), &json!("5")));
    let file = row["sys_id"].as_str().unwrap();
    let got = place.ask("GET", &format!("/api/now/attachment/{file}/file")).send().await.unwrap();
    assert_eq!(got.headers()["content-type"], "text/plain");
    assert!(got.headers()["x-attachment-metadata"].to_str().unwrap().contains(sha));
    assert_eq!(got.bytes().await.unwrap(), "hello");
    let listed = place.get(&format!("/api/now/attachment?sysparm_query=table_sys_id={id}")).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    // As a form; without a parent; without a name.
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"table_name\"\r\n\r\nincident\r\n--b\r\nContent-Disposition: form-data; name=\"table_sys_id\"\r\n\r\n{id}\r\n--b\r\nContent-Disposition: form-data; name=\"uploadFile\"; filename=\"b.bin\"\r\nContent-Type: application/x-test\r\n\r\n\u{1}\r\n--\r\n--b--\r\n"
    );
    let sent = place.ask("POST", "/api/now/attachment/upload");
    let sent = sent.header("content-type", "multipart/form-data; boundary=b").body(form);
    let row = sent.send().await.unwrap().json::<Json>().await.unwrap()["result"].clone();
    assert_eq!(
        (&row["file_name"], &row["content_type"], &row["size_bytes"]),
        (&json!("b.bin"), &json!("application/x-test"), &json!("5"))
    );
    let lost = path.replace(&id, &"0".repeat(32));
    let sent = place.ask("POST", &lost).header("content-type", "text/plain").body("x");
    assert_eq!(status(&sent.send().await.unwrap()), 404);
    let sent = place.ask("POST", &path.replace("a.txt", "")).header("content-type", "text/plain");
    assert_eq!(status(&sent.body("x").send().await.unwrap()), 400);
    let gone = place.ask("DELETE", &format!("/api/now/attachment/{file}")).send().await.unwrap();
    assert_eq!(status(&gone), 204);
    let got = place.ask("GET", &format!("/api/now/attachment/{file}/file")).send().await.unwrap();
    assert_eq!(status(&got), 404);
}

#[tokio::test]
async fn an_import_set_finds_by_its_key_or_makes() {
    let place = Place::new().await;
    let import = |text: &'static str| {
        place.call(
            "POST",
            "/api/now/import/imp_incident",
            json!({ "correlation_id": "k1", "short_description": text }),
        )
    };
    let (code, first) = import("one").await;
    assert_eq!((code, &first["result"][0]["status"]), (201, &json!("inserted")));
    assert!(first["import_set"].as_str().unwrap().starts_with("ISET"));
    let (_, second) = import("two").await;
    assert_eq!(second["result"][0]["status"], "updated");
    assert_eq!(second["result"][0]["sys_id"], first["result"][0]["sys_id"]);
    assert_eq!(import("two").await.1["result"][0]["status"], "ignored");
    // Twenty at once are one.
    let request = |_| {
        let body = json!({ "correlation_id": "k2", "short_description": "x" });
        tokio::spawn(place.ask("POST", "/api/now/import/imp_incident").json(&body).send())
    };
    for one in (0..20).map(request).collect::<Vec<_>>() {
        assert_eq!(status(&one.await.unwrap().unwrap()), 201);
    }
    let found = place.get("/api/now/table/incident?sysparm_query=correlation_id=k2").await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    // What a data policy refuses is told in the row.
    let (code, failed) = place
        .call(
            "POST",
            "/api/now/import/imp_incident",
            json!({ "correlation_id": "k3", "state": "6" }),
        )
        .await;
    assert_eq!((code, &failed["result"][0]["status"]), (201, &json!("error")));
}

#[tokio::test]
async fn counts_and_groups() {
    let place = Place::new().await;
    for state in ["1", "2", "2"] {
        place.incident(json!({ "state": state })).await;
    }
    let all = place.get("/api/now/stats/incident?sysparm_count=true").await;
    assert_eq!(all, json!({ "stats": { "count": "3" } }));
    let by = place
        .get("/api/now/stats/incident?sysparm_count=true&sysparm_group_by=state&sysparm_having=count^state^>^1&sysparm_max_fields=sys_updated_on")
        .await;
    assert_eq!(by[0]["groupby_fields"], json!([{ "field": "state", "value": "2" }]));
    assert_eq!(by[0]["stats"]["count"], "2");
    assert!(by[0]["stats"]["max"]["sys_updated_on"].as_str().unwrap().starts_with("20"));
    assert_eq!(by.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn requests_in_a_request() {
    let place = Place::new().await;
    let body = STANDARD.encode(r#"{"short_description":"in a batch"}"#);
    let json_header = json!([{ "name": "Content-Type", "value": "application/json" }]);
    let (status, answer) = place
        .call(
            "POST",
            "/api/now/v1/batch",
            json!({ "batch_request_id": "1", "rest_requests": [
                { "id": "a", "method": "POST", "url": "/api/now/table/incident", "headers": json_header, "body": body },
                { "id": "b", "method": "GET", "url": "/api/now/table/incident?sysparm_query=short_description=in a batch&sysparm_fields=number" },
                { "id": "c", "method": "GET", "url": "/api/now/table/nonsense" } ] }),
        )
        .await;
    assert_eq!((status, &answer["batch_request_id"]), (200, &json!("1")));
    let served = answer["serviced_requests"].as_array().unwrap();
    let codes: Vec<&Json> = served.iter().map(|one| &one["status_code"]).collect();
    assert_eq!(codes, [&json!(201), &json!(200), &json!(400)]);
    let found = STANDARD.decode(served[1]["body"].as_str().unwrap()).unwrap();
    let found: Json = serde_json::from_slice(&found).unwrap();
    assert_eq!(found["result"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn cases_and_what_was_said_of_them() {
    let place = Place::new().await;
    let path = "/api/sn_customerservice/case";
    let (status, made) =
        place.call("POST", path, json!({ "short_description": "x", "comments": "hello" })).await;
    assert_eq!(status, 201);
    let number = made["result"]["number"].as_str().unwrap().to_owned();
    assert!(number.starts_with("CS"));
    let case = place.get(&format!("{path}/{number}")).await;
    assert_eq!(case["sys_id"], made["result"]["sys_id"]);
    place.simulator.hide_journal(true);
    // The journal's own access rule does not reach here.
    let said = place.get(&format!("{path}/{number}/activities")).await;
    assert_eq!(said["entries"][0]["value"], "hello");
    assert_eq!(said["entries"][0]["login_name"], "integration");
    let (status, _) =
        place.call("PUT", &format!("{path}/{number}"), json!({ "state": "10" })).await;
    assert_eq!(status, 200);
    assert_eq!(place.get("/api/now/account").await[0]["name"], "Acme Corp");
    assert_eq!(place.get("/api/now/contact").await[0]["name"], "Cora Contact");
}

async fn resource(place: &Place, api: &str, path: &str, script: &str) {
    let columns = [
        ("name", path),
        ("web_service_definition", api),
        ("http_method", "POST"),
        ("relative_path", path),
        ("operation_script", script),
    ];
    place.simulator.create("sys_ws_operation", &columns).await.unwrap();
}

#[tokio::test]
async fn a_scripted_resource_keeps_a_key_unique_where_checking_first_does_not() {
    let place = Place::new().await;
    let api = [("name", "Tickets"), ("service_id", "tickets"), ("namespace", "acme")];
    let api = place.simulator.create("sys_ws_definition", &api).await.unwrap();
    resource(
        &place,
        &api,
        "/checked/{key}",
        "(function process(request, response) {
            var key = request.pathParams.key, there = new GlideRecord('incident');
            if (!there.get('correlation_id', key)) {
                there.initialize(); there.correlation_id = key; there.insert();
            }
            response.setStatus(201); response.setBody({ sys_id: there.getUniqueValue() });
        })(request, response);",
    )
    .await;
    resource(
        &place,
        &api,
        "/keyed/{key}",
        "(function process(request, response) {
            var made = new GlideRecord('incident');
            made.initialize(); made.setNewGuidValue(request.pathParams.key);
            made.short_description = request.body.data.text;
            response.setStatus(made.insert() ? 201 : 200);
            return { sys_id: request.pathParams.key };
        })(request, response);",
    )
    .await;
    let key = "0123456789abcdef0123456789abcdef";
    let at_once = |path: String| {
        let requests: Vec<_> = (0..12)
            .map(|_| {
                let request = place.ask("POST", &path).json(&json!({ "text": "x" })).send();
                tokio::spawn(async move { request.await.unwrap().status().as_u16() })
            })
            .collect();
        async {
            let mut codes = Vec::new();
            for request in requests {
                codes.push(request.await.unwrap());
            }
            codes
        }
    };
    let codes = at_once(format!("/api/acme/tickets/keyed/{key}")).await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 1, "{codes:?}");
    let mut doubled = false;
    // Between a script's check and its insert anything may happen.
    for round in 0..50 {
        at_once(format!("/api/acme/tickets/checked/k{round}")).await;
        let query = format!("/api/now/table/incident?sysparm_query=correlation_id=k{round}");
        doubled |= place.get(&query).await.as_array().unwrap().len() > 1;
        if doubled {
            break;
        }
    }
    assert!(doubled, "a check before an insert must not pass for a unique key");
    let (status, _) = place.call("POST", "/api/acme/tickets/nothing", json!({})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn media_types_and_methods() {
    let place = Place::new().await;
    let ask = |accept: &'static str| {
        place
            .ask("GET", "/api/now/table/sys_user?sysparm_limit=1&sysparm_fields=name")
            .header("accept", accept)
            .send()
    };
    assert_eq!(status(&ask("text/html").await.unwrap()), 406);
    let xml = ask("application/xml").await.unwrap();
    assert!(xml.headers()["content-type"].to_str().unwrap().starts_with("application/xml"));
    assert!(xml.text().await.unwrap().contains("<response><result><name>"));
    let sent = place.ask("POST", "/api/now/table/incident").header("content-type", "text/csv");
    assert_eq!(status(&sent.body("a,b").send().await.unwrap()), 415);
    let head = place.ask("HEAD", "/api/now/table/sys_user").send().await.unwrap();
    assert!(head.headers().contains_key("x-total-count"));
    let quiet = place.ask("POST", "/api/now/table/incident").header("x-no-response-body", "true");
    let quiet = quiet.json(&json!({})).send().await.unwrap();
    assert!(quiet.headers().contains_key("location"));
    assert_eq!(quiet.text().await.unwrap(), "");
    let id = place.incident(json!({})).await;
    let sent = place.ask("POST", &format!("/api/now/table/incident/{id}"));
    let sent = sent.header("x-http-method-override", "PATCH").json(&json!({ "impact": "1" }));
    assert_eq!(status(&sent.send().await.unwrap()), 200);
    // An empty list is nothing in the first version of the API.
    let nothing = "table/incident?sysparm_query=number=INC0";
    assert_eq!(place.call("GET", &format!("/api/now/v1/{nothing}"), Json::Null).await.0, 404);
    assert_eq!(place.call("GET", &format!("/api/now/v2/{nothing}"), Json::Null).await.0, 200);
}

#[tokio::test]
async fn what_else_a_client_may_meet() {
    let place = Place::new().await;
    // XML in, with an entity and an empty element.
    let sent =
        place.ask("POST", "/api/now/table/incident").header("content-type", "application/xml");
    let xml = "<request><entry><short_description>R &amp; D</short_description><description/></entry></request>";
    let made = sent.body(xml).send().await.unwrap();
    assert_eq!(status(&made), 201);
    assert_eq!(made.headers()["x-is-logged-in"], "true");
    let row = made.json::<Json>().await.unwrap()["result"].clone();
    assert_eq!(row["short_description"], "R & D");
    let id = row["sys_id"].as_str().unwrap();
    let sent = place.ask("POST", "/api/now/table/incident").header("content-type", "text/xml");
    assert_eq!(status(&sent.body("<request>").send().await.unwrap()), 400);
    // A long address under a short name.
    let long = format!("/api/now/table/incident?sysparm_query=sys_id={id}&sysparm_fields=number");
    let (code, short) = place.call("POST", "/api/now/tinyurl", json!({ "url": long })).await;
    assert_eq!(code, 201);
    let found = place.get(short["result"].as_str().unwrap()).await;
    assert_eq!(found, json!([{ "number": row["number"] }]));
    // What a change did, column by column.
    let path = format!("/api/now/table/incident/{id}");
    place.call("PATCH", &path, json!({ "short_description": "new" })).await;
    let query = format!(
        "/api/now/table/sys_audit?sysparm_query=documentkey={id}^fieldname=short_description"
    );
    let audit = place.get(&query).await;
    assert_eq!((&audit[0]["oldvalue"], &audit[0]["newvalue"]), (&json!("R & D"), &json!("new")));
    // The system's own columns are an administrator's to set, and only when asked for.
    let set = json!({ "urgency": "1", "sys_updated_on": "2020-01-01 00:00:00" });
    let aged = format!("{path}?sysparm_suppress_auto_sys_field=true");
    let (_, kept) = place.call("PATCH", &aged, set.clone()).await;
    assert_ne!(kept["result"]["sys_updated_on"], "2020-01-01 00:00:00");
    let set = json!({ "urgency": "2", "sys_updated_on": "2020-01-01 00:00:00" });
    let url = format!("{}{aged}", place.simulator.url());
    let sent = place.client.patch(url).basic_auth("admin", Some("admin")).json(&set);
    let old = sent.send().await.unwrap().json::<Json>().await.unwrap();
    assert_eq!(old["result"]["sys_updated_on"], "2020-01-01 00:00:00");
}

#[tokio::test]
async fn an_ordinary_script_runs_as_it_would_there() {
    let place = Place::new().await;
    let abort = [
        ("name", "No"),
        ("collection", "incident"),
        ("when", "before"),
        ("action_insert", "true"),
        ("script", "current.setAbortAction(true); gs.addErrorMessage('no'); nothing.here();"),
    ];
    let rule = place.simulator.create("sys_script", &abort).await.unwrap();
    assert_eq!(place.call("POST", "/api/now/table/incident", json!({})).await.0, 403);
    place.simulator.set("sys_script", &rule, "active", "false");
    let api = [("name", "Echo"), ("service_id", "echo"), ("namespace", "acme")];
    let api = place.simulator.create("sys_ws_definition", &api).await.unwrap();
    let script = "function helper(x) { return x + '!'; }\n(function process(request, response) {\n  if (request.pathParams.word == 'none') { throw new sn_ws_err.NotFoundError('nothing'); }\n  return helper(request.pathParams.word);\n})(request, response);";
    resource(&place, &api, "/{word}", script).await;
    let (code, said) = place.call("POST", "/api/acme/echo/hello", json!({})).await;
    assert_eq!((code, &said["result"]), (200, &json!("hello!")));
    assert_eq!(place.call("POST", "/api/acme/echo/none", json!({})).await.0, 404);
    // A fault that is misspelt is told.
    let misspelt = json!({ "requests": [{ "tims": 1, "trouble": "quota" }] });
    assert_eq!(place.call("PUT", "/simulator/faults", misspelt).await.0, 400);
}

#[tokio::test]
async fn rate_rules_have_headers_and_a_limit() {
    let place = Place::new().await;
    let free = place.ask("GET", "/api/now/table/sys_user").send().await.unwrap();
    assert!(!free.headers().contains_key("x-ratelimit-limit"));
    let all = [("type", "all"), ("request_limit", "100")];
    place.simulator.create("sys_rate_limit_rules", &all).await.unwrap();
    let mine = [("type", "user"), ("user", "integration"), ("request_limit", "2")];
    let rule = place.simulator.create("sys_rate_limit_rules", &mine).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = place.ask("GET", "/api/now/table/sys_user").send().await.unwrap();
        assert_eq!(answer.headers()["x-ratelimit-rule"], rule.as_str());
        assert_eq!(answer.headers()["x-ratelimit-limit"], "2");
        seen.push((status(&answer), answer.headers().contains_key("retry-after")));
    }
    assert_eq!(seen, [(200, false), (200, false), (429, true)]);
}

#[tokio::test]
async fn what_an_administrator_forbids() {
    let place = Place::new().await;
    let id = place.incident(json!({ "short_description": "x", "description": "hidden" })).await;
    let access = Access {
        hidden: vec!["task.description".to_owned()],
        read_only: vec!["incident.impact".to_owned()],
        rows: [("incident".to_owned(), "short_description=secret".to_owned())].into(),
        read: [("sys_choice".to_owned(), Permit::Refused), ("sys_user".to_owned(), Permit::Empty)]
            .into(),
        write: [("problem".to_owned(), Permit::Refused)].into(),
        api: vec!["stats".to_owned()],
        ..Access::default()
    };
    place.simulator.set_access(access);
    let row = place.get(&format!("/api/now/table/incident/{id}")).await;
    // A hidden column is not there at all: that is not the same as empty.
    assert!(row.get("description").is_none() && row.get("short_description").is_some());
    let path = format!("/api/now/table/incident/{id}");
    let (status, row) = place.call("PATCH", &path, json!({ "impact": "1", "urgency": "1" })).await;
    assert_eq!(
        (status, &row["result"]["impact"], &row["result"]["urgency"]),
        (200, &json!("3"), &json!("1"))
    );
    assert_eq!(place.call("GET", "/api/now/table/sys_choice", Json::Null).await.0, 403);
    assert_eq!(place.get("/api/now/table/sys_user").await, json!([]));
    assert_eq!(place.call("POST", "/api/now/table/problem", json!({})).await.0, 403);
    assert_eq!(
        place.call("GET", "/api/now/stats/incident?sysparm_count=true", Json::Null).await.0,
        403
    );
    // The limit is applied before rows are hidden: a short page is not the last one.
    place.incident(json!({ "short_description": "secret" })).await;
    let list = place.ask("GET", "/api/now/table/incident?sysparm_limit=2").send().await.unwrap();
    assert_eq!(list.headers()["x-total-count"], "2");
    assert_eq!(list.json::<Json>().await.unwrap()["result"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn dates_are_shown_in_the_users_own_zone() {
    let place = Place::new().await;
    let id = place.incident(json!({})).await;
    let users = place.simulator.rows("sys_user");
    let me = users.iter().find(|row| row["user_name"] == "integration").unwrap()["sys_id"].clone();
    place.simulator.set("sys_user", &me, "time_zone", "America/New_York");
    place.simulator.set("sys_user", &me, "date_format", "dd-MM-yyyy");
    place.simulator.set("incident", &id, "due_date", "2026-01-15 17:00:00");
    let path =
        format!("/api/now/table/incident/{id}?sysparm_display_value=all&sysparm_fields=due_date");
    let shown = place.get(&path).await;
    assert_eq!(
        shown["due_date"],
        json!({ "value": "2026-01-15 17:00:00", "display_value": "15-01-2026 12:00:00" })
    );
    let path = format!("/api/now/table/incident/{id}?sysparm_input_display_value=true");
    let body = json!({ "due_date": "16-01-2026 12:00:00", "state": "In Progress", "caller_id": "Ann Lee" });
    let (_, row) = place.call("PATCH", &path, body).await;
    assert_eq!(
        (&row["result"]["due_date"], &row["result"]["state"]),
        (&json!("2026-01-16 17:00:00"), &json!("2"))
    );
    assert_eq!(row["result"]["caller_id"]["value"].as_str().unwrap().len(), 32);
    let found = |query: &str| {
        let path = format!("/api/now/table/incident?sysparm_query=due_date={query}");
        let place = &place;
        async move { place.get(&path).await.as_array().unwrap().len() }
    };
    assert_eq!((found("2026-01-16 17:00:00").await, found("16-01-2026 12:00:00").await), (1, 0));
    place.simulator.set_quirks(Quirks { dates_in_user_zone: true, ..Quirks::default() });
    assert_eq!((found("2026-01-16 17:00:00").await, found("16-01-2026 12:00:00").await), (0, 1));
}

#[tokio::test]
async fn the_rest_of_the_query_grammar() {
    let place = Place::new().await;
    for (text, state) in [("Printer", "1"), ("printer two", "2"), ("", "2")] {
        place.incident(json!({ "short_description": text, "state": state })).await;
    }
    for (query, count) in [
        ("short_description*rinter", 2),
        ("short_description!*rinter", 1),
        ("short_description%two", 1),
        ("short_descriptionEMPTYSTRING", 1),
        ("short_descriptionANYTHING", 3),
        ("sys_created_byjavascript:gs.getUserID()", 3), // No operator: dropped.
        ("opened_by=javascript:gs.getUserID()", 3),
        ("opened_by=javascript:gs.exit()", 0),
        ("sys_created_on>javascript:gs.minutesAgoStart(5)", 3),
        ("sys_created_on>javascript:gs.endOfToday()", 0),
        ("sys_created_onONToday@javascript:gs.beginningOfToday()@javascript:gs.endOfToday()", 3),
        ("sys_created_onRELATIVEGE@hour@ago@1", 3),
        ("sys_created_onRELATIVELE@hour@ago@1", 0),
        ("impactSAMEASurgency", 3),
        ("stateNSAMEASurgency", 3),
        ("stateLT_FIELDurgency", 3),
        ("short_description=printer^EQ", 1),
        ("state=2^short_description=^ORshort_description=printer two", 2),
        ("short_description=printer^NQstate=2", 3),
        ("nonsense=1", 3),
        ("ORDERBYDESCshort_description", 3),
    ] {
        let path = format!("/api/now/table/incident?sysparm_query={query}");
        assert_eq!(place.get(&path).await.as_array().unwrap().len(), count, "{query}");
    }
    // By display values, without an encoded query.
    let found = place.get("/api/now/table/incident?state=In%20Progress").await;
    assert_eq!(found.as_array().unwrap().len(), 2);
    place.simulator.set_quirks(Quirks {
        case_sensitive: true,
        caret_escape: true,
        ..Quirks::default()
    });
    let found = place.get("/api/now/table/incident?sysparm_query=short_description=printer").await;
    assert_eq!(found, json!([]));
    let strict = [("name", "glide.invalid_query.returns_no_rows"), ("value", "true")];
    place.simulator.create("sys_properties", &strict).await.unwrap();
    assert_eq!(place.get("/api/now/table/incident?sysparm_query=nonsense=1").await, json!([]));
}

#[tokio::test]
async fn faults_that_leave_something_behind() {
    let place = Place::new().await;
    let fault = |trouble| Faults {
        requests: vec![RequestFault {
            method: Some("POST".to_owned()),
            path: None,
            percent: 100,
            times: Some(1),
            after: 1,
            trouble,
        }],
        ..Faults::default()
    };
    place.simulator.set_faults(fault(Trouble::LateCommit { ms: 300 }));
    // The first that fits is let through.
    place.incident(json!({})).await;
    let sent = place.ask("POST", "/api/now/table/incident").json(&json!({})).send().await;
    assert!(sent.is_err());
    assert_eq!(place.simulator.rows("incident").len(), 1);
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(place.simulator.rows("incident").len(), 2);
    for (trouble, code) in [(Trouble::Hibernating, 200), (Trouble::Quota, 500)] {
        place.simulator.set_faults(fault(trouble));
        place.incident(json!({})).await;
        let sent = place.ask("POST", "/api/now/table/incident").json(&json!({}));
        assert_eq!(status(&sent.send().await.unwrap()), code);
    }
}

#[tokio::test]
async fn switches_can_be_set_from_outside() {
    let place = Place::new().await;
    let path = "/simulator/quirks";
    let (status, _) = place.call("PUT", path, json!({ "texts-only": true })).await;
    assert_eq!(status, 204);
    let (_, quirks) = place.call("GET", path, Json::Null).await;
    assert_eq!((&quirks["texts-only"], &quirks["random-order"]), (&json!(true), &json!(false)));
    let (status, _) = place.call("POST", "/api/now/table/incident", json!({ "impact": 1 })).await;
    assert_eq!(status, 400);
    assert_eq!(place.call("PUT", path, json!({ "no-such": true })).await.0, 400);
    assert_eq!(place.call("PUT", "/simulator/access", json!({ "api": ["table"] })).await.0, 204);
    assert_eq!(place.call("GET", "/api/now/table/incident", Json::Null).await.0, 403);
    assert_eq!(place.call("GET", "/simulator/nothing", Json::Null).await.0, 404);
}
