//! The simulator as a client of ServiceNow would find it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_simulator::{Faults, RequestFault, Simulator, Trouble};
use reqwest::{Client, Response};
use serde_json::{Value as Json, json};

async fn start() -> (Simulator, Client) {
    let simulator =
        Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()).await.unwrap();
    (simulator, Client::builder().no_proxy().build().unwrap())
}

async fn get(simulator: &Simulator, client: &Client, path: &str) -> Response {
    client
        .get(format!("{}{path}", simulator.url()))
        .basic_auth("integration", Some("integration"))
        .send()
        .await
        .unwrap()
}

async fn write(
    simulator: &Simulator,
    client: &Client,
    method: &str,
    path: &str,
    body: Json,
) -> (u16, Json) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = client
        .request(method, format!("{}{path}", simulator.url()))
        .basic_auth("integration", Some("integration"));
    let response = request.json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

async fn rows(simulator: &Simulator, client: &Client, query: &str) -> Vec<Json> {
    let answer: Json =
        get(simulator, client, &format!("/api/now/table/{query}")).await.json().await.unwrap();
    answer["result"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_fresh_incident_has_the_real_shape() {
    let (simulator, client) = start().await;
    let ann =
        rows(&simulator, &client, "sys_user?sysparm_query=user_name=ann.lee").await[0]["sys_id"]
            .clone();
    let (status, created) = write(
        &simulator,
        &client,
        "POST",
        "/api/now/table/incident",
        json!({ "short_description": "x", "impact": 2, "urgency": "1", "caller_id": ann }),
    )
    .await;
    assert_eq!(status, 201);
    let row = &created["result"];
    let scalars = row.as_object().unwrap().values().filter(|v| !v.is_object());
    assert!(scalars.clone().all(Json::is_string), "every scalar is text");
    assert_eq!(
        (&row["priority"], &row["sys_mod_count"], &row["assigned_to"]),
        (&json!("2"), &json!("0"), &json!(""))
    );
    assert!(row["caller_id"]["link"].as_str().unwrap().contains("/sys_user/"));
    let id = row["sys_id"].as_str().unwrap();
    let shown: Json = get(&simulator, &client, &format!("/api/now/table/incident/{id}?sysparm_display_value=all&sysparm_fields=state,caller_id,caller_id.email")).await.json().await.unwrap();
    assert_eq!(shown["result"]["state"], json!({ "display_value": "New", "value": "1" }));
    assert_eq!(shown["result"]["caller_id"]["display_value"], "Ann Lee");
    assert_eq!(shown["result"]["caller_id.email"]["value"], "ann.lee@example.com");
    let plain: Json = get(&simulator, &client, &format!("/api/now/table/incident/{id}?sysparm_exclude_reference_link=true&sysparm_fields=caller_id,nonsense")).await.json().await.unwrap();
    assert_eq!(plain["result"], json!({ "caller_id": ann }));
}

#[tokio::test]
async fn updates_count_and_no_change_does_not() {
    let (simulator, client) = start().await;
    let (_, created) = write(
        &simulator,
        &client,
        "POST",
        "/api/now/table/incident",
        json!({ "short_description": "x" }),
    )
    .await;
    let path = format!("/api/now/table/incident/{}", created["result"]["sys_id"].as_str().unwrap());
    let (_, same) =
        write(&simulator, &client, "PATCH", &path, json!({ "short_description": "x" })).await;
    assert_eq!(same["result"]["sys_mod_count"], "0");
    let (_, changed) = write(
        &simulator,
        &client,
        "PATCH",
        &path,
        json!({ "comments": "hello", "work_notes": "psst" }),
    )
    .await;
    assert_eq!(
        (&changed["result"]["sys_mod_count"], &changed["result"]["comments"]),
        (&json!("1"), &json!(""))
    );
    let said = rows(
        &simulator,
        &client,
        "sys_journal_field?sysparm_query=elementINcomments,work_notes^ORDERBYelement",
    )
    .await;
    assert_eq!(
        said.iter().map(|r| r["value"].as_str().unwrap()).collect::<Vec<_>>(),
        ["hello", "psst"]
    );
    assert_eq!(said[0]["sys_created_by"], "integration");
    simulator.hide_journal(true);
    assert!(
        rows(&simulator, &client, "sys_journal_field").await.is_empty(),
        "hidden is an empty list with status 200"
    );
}

#[tokio::test]
async fn resolving_is_guarded_by_a_data_policy() {
    let (simulator, client) = start().await;
    let (_, created) =
        write(&simulator, &client, "POST", "/api/now/table/incident", json!({})).await;
    let path = format!("/api/now/table/incident/{}", created["result"]["sys_id"].as_str().unwrap());
    let (status, refused) = write(
        &simulator,
        &client,
        "PATCH",
        &path,
        json!({ "state": "6", "close_code": "Solved (Permanently)", "close_notes": "n" }),
    )
    .await;
    assert_eq!(status, 403, "an unknown close code counts as none");
    assert!(refused["error"]["detail"].as_str().unwrap().contains("Resolution code"), "{refused}");
    let (status, _) = write(
        &simulator,
        &client,
        "PATCH",
        &path,
        json!({ "state": "7", "close_code": "User error", "close_notes": "n" }),
    )
    .await;
    assert_eq!(status, 200);
    let (status, _) = write(&simulator, &client, "PATCH", &path, json!({ "state": "2" })).await;
    assert_eq!(status, 403, "closed stays closed");
}

#[tokio::test]
async fn encoded_queries() {
    let (simulator, client) = start().await;
    for (n, state) in ["1", "2", "2", "1"].iter().enumerate() {
        let body = json!({ "short_description": format!("item {n}"), "state": state, "correlation_id": if n < 2 { format!("k{n}") } else { String::new() } });
        write(&simulator, &client, "POST", "/api/now/table/incident", body).await;
    }
    let count = async |query: &str| {
        rows(&simulator, &client, &format!("incident?sysparm_query={query}")).await.len()
    };
    assert_eq!(count("state=1").await, 2);
    assert_eq!(count("state=1^ORstate=2").await, 4);
    assert_eq!(count("state=2^correlation_idISEMPTY").await, 1);
    assert_eq!(count("state=2^NQcorrelation_id=k0").await, 3);
    assert_eq!(count("correlation_idINk0,k1").await, 2);
    assert_eq!(count("short_descriptionLIKEitem").await, 4);
    assert_eq!(count("short_descriptionENDSWITH3^EQ").await, 1);
    assert_eq!(count("correlation_id=").await, 2, "an empty key matches rows without one");
    assert_eq!(count("nonsense=1").await, 4, "what is not understood is dropped");
    let first = rows(
        &simulator,
        &client,
        "incident?sysparm_query=ORDERBYDESCshort_description&sysparm_limit=1",
    )
    .await;
    assert_eq!(first[0]["short_description"], "item 3");
    let page =
        get(&simulator, &client, "/api/now/table/task?sysparm_limit=3&sysparm_offset=3").await;
    assert_eq!(page.headers()["x-total-count"], "4");
    let link = page.headers()["link"].to_str().unwrap().to_owned();
    assert!(link.contains("rel=\"prev\"") && !link.contains("rel=\"next\""), "{link}");
    assert_eq!(
        get(&simulator, &client, "/api/now/v1/table/incident?sysparm_query=state=8").await.status(),
        404
    );
    assert_eq!(get(&simulator, &client, "/api/now/table/nonsense").await.status(), 400);
}

#[tokio::test]
async fn sign_in_by_basic_and_oauth() {
    let (simulator, client) = start().await;
    let url = format!("{}/oauth_token.do", simulator.url());
    let grant = async |form: &[(&str, &str)]| {
        let response = client.post(&url).form(form).send().await.unwrap();
        (response.status().as_u16(), response.json::<Json>().await.unwrap())
    };
    let client_is = [("client_id", "firn"), ("client_secret", "firn")];
    let with = |more: &[(&'static str, &'static str)]| [&client_is, more].concat();
    let (status, first) =
        grant(&with(&[("grant_type", "password"), ("username", "admin"), ("password", "admin")]))
            .await;
    assert_eq!(status, 200);
    let (_, again) =
        grant(&with(&[("grant_type", "password"), ("username", "admin"), ("password", "admin")]))
            .await;
    assert_eq!(first["access_token"], again["access_token"], "the same token while it lives");
    let (status, _) = grant(&with(&[("grant_type", "client_credentials")])).await;
    assert_eq!(status, 200);
    let refresh = first["refresh_token"].as_str().unwrap().to_owned();
    let (status, renewed) = grant(&[
        ("client_id", "firn"),
        ("client_secret", "firn"),
        ("grant_type", "refresh_token"),
        ("refresh_token", &refresh),
    ])
    .await;
    assert_eq!((status, &renewed["refresh_token"]), (200, &first["refresh_token"]));
    let (status, refused) =
        grant(&with(&[("grant_type", "password"), ("username", "admin"), ("password", "wrong")]))
            .await;
    assert_eq!((status, &refused["error"]), (401, &json!("server_error")));
    let bearer = first["access_token"].as_str().unwrap();
    let scripts = client
        .get(format!("{}/api/now/table/sys_script", simulator.url()))
        .bearer_auth(bearer)
        .send()
        .await
        .unwrap();
    assert_eq!(scripts.status(), 200);
    simulator.revoke_tokens();
    let scripts = client
        .get(format!("{}/api/now/table/sys_script", simulator.url()))
        .bearer_auth(bearer)
        .send()
        .await
        .unwrap();
    assert_eq!(scripts.status(), 401);
    assert_eq!(
        get(&simulator, &client, "/api/now/table/sys_script").await.status(),
        403,
        "rules are for administrators"
    );
}

#[tokio::test]
async fn faults_on_demand() {
    let (simulator, client) = start().await;
    let strike = |trouble| Faults {
        requests: vec![RequestFault {
            method: Some("POST".to_owned()),
            path: None,
            percent: 100,
            times: Some(1),
            after: 0,
            trouble,
        }],
        ..Faults::default()
    };
    let post = || {
        client
            .post(format!("{}/api/now/table/incident", simulator.url()))
            .basic_auth("integration", Some("integration"))
            .json(&json!({}))
            .send()
    };
    simulator.set_faults(strike(Trouble::Status { code: 429, retry_after: Some(7) }));
    let refused = post().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    assert_eq!(simulator.rows("incident").len(), 0);
    simulator.set_faults(strike(Trouble::DropAfterCommit));
    assert!(post().await.is_err());
    assert_eq!(simulator.rows("incident").len(), 1);
    simulator.set_faults(strike(Trouble::StatusAfterCommit { code: 500 }));
    assert_eq!(post().await.unwrap().status(), 500);
    assert_eq!(simulator.rows("incident").len(), 2);
    assert_eq!(post().await.unwrap().status(), 201, "once is once");
    simulator.unique_index("incident", "correlation_id");
    let key = json!({ "correlation_id": "k" });
    assert_eq!(
        write(&simulator, &client, "POST", "/api/now/table/incident", key.clone()).await.0,
        201
    );
    assert_eq!(write(&simulator, &client, "POST", "/api/now/table/incident", key).await.0, 403);
}

#[tokio::test]
async fn a_before_rule_changes_and_aborts() {
    let (simulator, client) = start().await;
    let rule = |name: &str, script: &str| json!({ "name": name, "collection": "task", "when": "before", "action_insert": "true", "active": "true", "script": script });
    for body in [
        rule(
            "calm",
            "(function(current) { current.setValue('short_description', 'calm: ' + current.short_description); })(current);",
        ),
        rule(
            "no pests",
            "if (current.short_description.toString().indexOf('pest') >= 0) { current.setAbortAction(true); }",
        ),
    ] {
        let request = client
            .post(format!("{}/api/now/table/sys_script", simulator.url()))
            .basic_auth("admin", Some("admin"));
        assert_eq!(request.json(&body).send().await.unwrap().status(), 201);
    }
    let (_, created) = write(
        &simulator,
        &client,
        "POST",
        "/api/now/table/incident",
        json!({ "short_description": "fire" }),
    )
    .await;
    assert_eq!(created["result"]["short_description"], "calm: fire");
    let (status, refused) = write(
        &simulator,
        &client,
        "POST",
        "/api/now/table/incident",
        json!({ "short_description": "pest" }),
    )
    .await;
    assert_eq!(status, 403);
    assert!(refused["error"]["detail"].as_str().unwrap().contains("no pests"), "{refused}");
}
