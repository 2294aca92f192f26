//! The other records of an instance: every class of tickets (seed 003), cases, the directory and the articles (seed
//! 001). Each capability with rights that are missing, with records that are deleted, and with what was there before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::pair::{Pair, Place};
use firn_simulator::{Access, Faults, Permit, Record, Simulator};
use serde_json::{Value as Json, json};

impl Pair {
    fn row(&self, table: &str, id: &str) -> Record {
        let rows = self.simulator.rows(table).into_iter();
        rows.into_iter().find(|row| row["sys_id"] == id).unwrap_or_default()
    }

    /// An agent writes into a row, with every rule and webhook.
    async fn writes(&self, table: &str, id: &str, body: Json) {
        let url = format!("{}/api/now/table/{table}/{id}", self.simulator.url());
        let sent = self.place.http.patch(url).basic_auth("admin", Some("admin")).json(&body);
        let answer = sent.send().await.unwrap();
        assert!(answer.status().is_success(), "{table}: {}", answer.text().await.unwrap());
    }

    async fn deletes(&self, table: &str, id: &str) {
        let url = format!("{}/api/now/table/{table}/{id}", self.simulator.url());
        let sent = self.place.http.delete(url).basic_auth("admin", Some("admin"));
        assert!(sent.send().await.unwrap().status().is_success());
    }

    fn heard(&self, id: &str, words: &str) -> usize {
        let said = self.platform.record(id).unwrap_or_default().comments;
        said.iter().filter(|comment| comment.text.contains(words)).count()
    }

    fn written(&self, id: &str, words: &str) -> usize {
        let rows = self.simulator.rows("sys_journal_field");
        rows.iter().filter(|row| row["element_id"] == id && row["value"].contains(words)).count()
    }
}

/// Columns and their values.
type Columns<'t> = &'t [(&'t str, &'t str)];

/// Polled every second, so that nobody has to wait for what no webhook tells of.
fn soon() -> Json {
    json!({ "polling": { "interval": 1000, "interval_alone": 1000 } })
}

/// A ticket of a class: told to the platform, changed and spoken of on both sides, and closed from the platform.
async fn story(pair: &Pair, table: &str, kind: &str, closes: &str, closed: Columns<'_>) {
    let title = format!("A {table} of theirs");
    let id = pair.simulator.create(table, &[("short_description", &title)]).await.unwrap();
    pair.until("it is not told of", || pair.field(&id, "title") == title.as_str()).await;
    let record = pair.platform.record(&id).unwrap();
    assert_eq!((record.kind.as_str(), &record.fields["state"]), (kind, &json!("open")), "{table}");
    pair.settled().await;
    pair.writes(table, &id, json!({ "short_description": "changed", "comments": "from the desk" }))
        .await;
    pair.until("the change is not told", || pair.field(&id, "title") == "changed").await;
    pair.until("the comment is not told", || pair.heard(&id, "from the desk") == 1).await;
    pair.platform.say(kind, &id, "pat", "from the platform", "public");
    pair.until("the comment is not written", || pair.written(&id, "from the platform") == 1).await;
    pair.platform.edit(kind, &id, json!({ "state": closes }));
    let is_closed = || {
        let row = pair.row(table, &id);
        closed.iter().all(|(column, value)| row.get(*column).is_some_and(|is| is == value))
    };
    pair.until("the state is not written", is_closed).await;
    pair.settled().await;
    assert_eq!((pair.heard(&id, "from"), pair.written(&id, "from")), (2, 2), "{table}");
}

/// Seed 003's six classes, each with its own states.
#[tokio::test(flavor = "multi_thread")]
async fn every_class_of_tickets_is_told_changed_spoken_of_and_closed() {
    let place = Place::new().await;
    let pair = Pair::of_preset(&place, "neo", "neo", soon()).await;
    let classes: [(&str, &str, Columns<'_>); 6] = [
        ("incident", "resolved", &[("state", "6"), ("close_code", "Solution provided")]),
        ("problem", "resolved", &[("state", "106"), ("resolution_code", "fix_applied")]),
        ("change_request", "closed", &[("state", "3"), ("close_code", "successful")]),
        ("sc_request", "closed", &[("state", "3")]),
        ("sc_req_item", "closed", &[("state", "3")]),
        ("sc_task", "closed", &[("state", "3")]),
    ];
    for (table, closes, closed) in classes {
        story(&pair, table, "ticket", closes, closed).await;
    }
    assert_eq!(pair.findings().await, [""; 0]);
    let links = pair.place.get("/integrations/neo/links").await;
    assert_eq!(links["links"].as_array().unwrap().len(), 6, "each once");
}

/// A case: its own states and numbers, its account, contact and escalation; its comments by the Case API, since the
/// journal's table may not be read; what the platform changes of it is put back; deleted, it is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_case_is_kept_in_step_where_the_journals_table_is_hidden() {
    let place = Place::new().await;
    let pair = Pair::of_preset(&place, "desk", "helpdesk", soon()).await;
    let read = [("sys_journal_field".to_owned(), Permit::Empty)].into();
    pair.simulator.set_access(Access { read, ..Access::default() });
    let id_of = |table: &str| pair.simulator.rows(table)[0]["sys_id"].clone();
    let (account, contact) = (id_of("customer_account"), id_of("customer_contact"));
    let case = "sn_customerservice_case";
    let columns = [
        ("short_description", "The invoice is wrong"),
        ("account", account.as_str()),
        ("contact", &contact),
    ];
    let id = pair.simulator.create(case, &columns).await.unwrap();
    pair.until("it is not told of", || pair.field(&id, "contact") == "cora@example.com").await;
    let record = pair.platform.record(&id).unwrap();
    assert_eq!(record.kind, "case");
    assert_eq!(record.fields["account"], "Acme Corp");
    assert!(pair.row(case, &id)["number"].starts_with("CS"));
    pair.settled().await;

    pair.writes(case, &id, json!({ "comments": "Which month is it?", "state": "18" })).await;
    pair.until("the comment is not told", || pair.heard(&id, "Which month") == 1).await;
    pair.until("the state is not told", || pair.field(&id, "status") == "awaiting-info").await;
    pair.platform.say("case", &id, "cora", "It is May.", "public");
    pair.until("the answer is not written", || pair.written(&id, "It is May.") == 1).await;

    let reason = [("source_record", id.as_str()), ("reason", "It is the third time.")];
    let escalation = pair.simulator.create("sn_customerservice_escalation", &reason).await.unwrap();
    pair.writes(case, &id, json!({ "active_escalation": escalation })).await;
    let number = pair.row("sn_customerservice_escalation", &escalation)["number"].clone();
    pair.until("the escalation is not told", || pair.field(&id, "escalation") == number.as_str())
        .await;
    pair.settled().await;
    pair.platform.edit("case", &id, json!({ "status": "closed" }));
    pair.until("it is not put back", || pair.field(&id, "status") == "awaiting-info").await;
    pair.settled().await;
    assert_eq!((pair.heard(&id, "May"), pair.written(&id, "May")), (1, 1));
    pair.deletes(case, &id).await;
    pair.told("record-gone").await;
}

/// Accounts, contacts and users: told as they are, changes too; nothing is written on the instance, not even where the
/// platform changes something; the deleted are told; whoever may not be seen is named by the doctor.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_told_to_the_platform_and_never_written() {
    let place = Place::new().await;
    let pair = Pair::of_preset(&place, "crm", "crm", soon()).await;
    let id_of = |table: &str| pair.simulator.rows(table)[0]["sys_id"].clone();
    let (account, contact) = (id_of("customer_account"), id_of("customer_contact"));
    // What was there before.
    pair.until("the account is not told", || pair.field(&account, "name") == "Acme Corp").await;
    pair.until("the contact is not told", || pair.field(&contact, "email") == "cora@example.com")
        .await;
    let kind = |id: &str| pair.platform.record(id).unwrap_or_default().kind;
    assert_eq!((kind(&account), kind(&contact)), ("account".into(), "contact".into()));
    let users = pair.simulator.rows("sys_user");
    let ann = users.iter().find(|user| user["user_name"] == "ann.lee").unwrap()["sys_id"].clone();
    pair.until("a user is not told", || kind(&ann) == "user").await;
    assert_eq!(pair.field(&ann, "status"), "active");

    // Something new, by webhook; something changed; an address is told as it is, and what is said of somebody is not.
    let columns = [
        ("name", "Bea Buyer"),
        ("email", "bea@example.com"),
        ("phone", "415-555-0132"),
        ("title", "Buyer, call 415-555-0132"),
        ("account", account.as_str()),
    ];
    let bea = pair.simulator.create("customer_contact", &columns).await.unwrap();
    pair.until("the contact is not told", || pair.field(&bea, "account") == "Acme Corp").await;
    assert_eq!(pair.field(&bea, "phone"), "415-555-0132");
    let title = pair.field(&bea, "title");
    let title = title.as_str().unwrap();
    assert!(title.starts_with("Buyer") && !title.contains("415-555"), "{title}");
    pair.writes("customer_contact", &bea, json!({ "active": "false" })).await;
    pair.until("the change is not told", || pair.field(&bea, "status") == "inactive").await;
    pair.settled().await;
    let before = pair.row("customer_contact", &bea);
    pair.platform.edit("contact", &bea, json!({ "name": "Somebody else" }));
    pair.until("it is not put back", || pair.field(&bea, "name") == "Bea Buyer").await;
    pair.settled().await;
    assert_eq!(pair.row("customer_contact", &bea), before);
    assert_eq!(pair.patches(), 1, "the one that was the agent's own");

    pair.deletes("customer_contact", &bea).await;
    pair.told("record-gone").await;
    let said = pair.platform.record(&bea);
    assert!(said.is_some(), "it is the platform's to decide what becomes of it");

    let check = |report: &Json, name: &str| {
        let mut checks = report["checks"].as_array().unwrap().iter();
        checks.find(|c| c["name"] == name).unwrap_or_else(|| panic!("{name}: {report:#}")).clone()
    };
    let (_, report) = pair.place.post("/integrations/crm/test", json!({})).await;
    for name in ["read customer_account", "read customer_contact", "read sys_user", "Account API"] {
        assert_eq!(check(&report, name)["verdict"], "good", "{name}");
    }
    assert!(!report.to_string().contains("write customer_"), "nothing is written");
    let read = [("customer_contact".to_owned(), Permit::Refused)].into();
    pair.simulator.set_access(Access { read, ..Access::default() });
    let (_, report) = pair.place.post("/integrations/crm/test", json!({})).await;
    let refused = check(&report, "read customer_contact");
    assert_eq!(refused["verdict"], "bad", "{refused}");
    assert!(refused["remedy"].as_str().unwrap().contains("csm_ws_integration"), "{refused}");
    assert_eq!(check(&report, "read customer_account")["verdict"], "good");
}

/// Knowledge articles: told as Markdown with where they belong and how they stand; never written.
#[tokio::test(flavor = "multi_thread")]
async fn articles_are_told_as_markdown_with_their_state() {
    let place = Place::new().await;
    let pair = Pair::of_preset(&place, "content", "content", soon()).await;
    let base = pair.simulator.create("kb_knowledge_base", &[("title", "IT")]).await.unwrap();
    let category = pair.simulator.create("kb_category", &[("label", "VPN")]).await.unwrap();
    let text = "<h2>VPN drops</h2><p>Ask <b>the desk</b>, or call 415-555-0132.</p><ul><li>Restart</li></ul>";
    let columns = [
        ("short_description", "VPN drops every 20 minutes"),
        ("text", text),
        ("kb_knowledge_base", base.as_str()),
        ("kb_category", &category),
        ("workflow_state", "draft"),
    ];
    let id = pair.simulator.create("kb_knowledge", &columns).await.unwrap();
    pair.until("it is not told of", || pair.field(&id, "status") == "draft").await;
    let body = pair.field(&id, "body");
    let body = body.as_str().unwrap();
    assert!(body.starts_with("## VPN drops\n\nAsk **the desk**, or call "), "{body}");
    assert!(body.ends_with("\n\n- Restart"), "{body}");
    assert!(!body.contains('<') && !body.contains("555-0132"), "Markdown, masked: {body}");
    assert_eq!(pair.platform.record(&id).unwrap().kind, "article");
    assert_eq!(
        (pair.field(&id, "knowledge_base"), pair.field(&id, "category")),
        (json!("IT"), json!("VPN"))
    );
    pair.writes("kb_knowledge", &id, json!({ "workflow_state": "published" })).await;
    pair.until("that it is published is not told", || pair.field(&id, "status") == "published")
        .await;
    pair.settled().await;
    pair.platform.edit("article", &id, json!({ "title": "Something else", "status": "retired" }));
    pair.until("it is not put back", || {
        pair.field(&id, "title") == "VPN drops every 20 minutes"
            && pair.field(&id, "status") == "published"
    })
    .await;
    pair.settled().await;
    assert_eq!(
        pair.row("kb_knowledge", &id)["workflow_state"],
        "published",
        "nobody publishes or retires but they"
    );
    // How it is set is told as well as what it says.
    let bold = json!({ "text": text.replace("<li>Restart", "<li><b>Restart</b>") });
    pair.writes("kb_knowledge", &id, bold).await;
    let shown = || pair.field(&id, "body").as_str().unwrap_or_default().ends_with("- **Restart**");
    pair.until("that it is bold now is not told", shown).await;
    // The next version is a row of its own; the one before is outdated.
    let next = [
        ("short_description", "VPN drops every 20 minutes"),
        ("text", "<p>Update the client.</p>"),
        ("workflow_state", "published"),
        ("article_id", id.as_str()),
        ("display_number", "KB0010001 v2.0"),
    ];
    let next = pair.simulator.create("kb_knowledge", &next).await.unwrap();
    let outdated = json!({ "workflow_state": "outdated", "latest": "false", "article_id": id });
    pair.writes("kb_knowledge", &id, outdated).await;
    pair.until("which version holds is not told", || {
        pair.field(&id, "status") == "outdated"
            && pair.field(&id, "latest") == "false"
            && pair.field(&next, "latest") == "true"
            && pair.field(&next, "version") == "KB0010001 v2.0"
            && pair.field(&next, "article") == pair.field(&id, "article")
    })
    .await;
    pair.deletes("kb_knowledge", &id).await;
    pair.told("record-gone").await;
}

/// The files of an article, and what is told when articles may not be read any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_articles_files_travel_and_a_right_that_is_missing_is_told() {
    let place = Place::new().await;
    let pair = Pair::of_preset_with_files(&place, "content", "content", soon()).await;
    let columns = [("short_description", "VPN drops"), ("workflow_state", "published")];
    let id = pair.simulator.create("kb_knowledge", &columns).await.unwrap();
    pair.until("it is not told of", || pair.field(&id, "status") == "published").await;
    let url = format!(
        "{}/api/now/attachment/file?table_name=kb_knowledge&table_sys_id={id}&file_name=steps.txt",
        pair.simulator.url()
    );
    let file = place.http.post(url).basic_auth("admin", Some("admin"));
    let file = file.header("content-type", "text/plain").body("Open Settings.");
    assert_eq!(file.send().await.unwrap().status(), 201);
    pair.until("its file does not travel", || {
        let files = pair.platform.record(&id).unwrap().files;
        files.iter().any(|file| file.name == "steps.txt" && file.content == "Open Settings.")
    })
    .await;
    pair.settled().await;
    let test = "/integrations/content/test";
    let check = |report: &Json| {
        let mut checks = report["checks"].as_array().unwrap().iter();
        checks.find(|check| check["name"] == "read kb_knowledge").unwrap().clone()
    };
    assert_eq!(check(&pair.place.post(test, json!({})).await.1)["verdict"], "good");
    let read = [("kb_knowledge".to_owned(), Permit::Refused)].into();
    pair.simulator.set_access(Access { read, ..Access::default() });
    let refused = check(&pair.place.post(test, json!({})).await.1);
    assert_eq!(refused["verdict"], "bad", "{refused}");
    pair.told("polling-refused").await;
    assert_eq!(pair.field(&id, "status"), "published", "what is known stays");
}

/// What was there before, much of it: each once, and never more requests than the limit allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_directory_is_told_within_the_budget() {
    // 10,000 by hand: FIRN_RECORDS=10000 cargo test --release --test outside records::a_large
    let many = std::env::var("FIRN_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    let place = Place::new().await;
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default());
    let simulator = Arc::new(simulator.await.unwrap());
    for n in 0..many {
        let (name, email) = (format!("Person {n}"), format!("person-{n}@example.com"));
        let columns = [("name", name.as_str()), ("email", &email)];
        simulator.create("customer_contact", &columns).await.unwrap();
    }
    let settings = json!({ "limits": { "requests_per_second": 20, "at_once": 2 },
        "tickets": [{ "table": "customer_contact" }] });
    let began = Instant::now();
    let pair = Pair::on(&place, "large", "crm", settings, Arc::clone(&simulator)).await;
    let contacts = simulator.rows("customer_contact");
    assert_eq!(contacts.len(), many + 1);
    let told = |row: &Record| pair.platform.record(&row["sys_id"]).is_some();
    let end = Instant::now() + Duration::from_secs(600);
    while !contacts.iter().all(told) {
        assert!(
            Instant::now() < end,
            "{} are told",
            contacts.iter().filter(|row| told(row)).count()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    pair.settled().await;
    let asked: u64 = simulator.requests().values().sum();
    let took = began.elapsed();
    eprintln!("{many} records told in {took:?}, with {asked} requests to the instance");
    assert_eq!(pair.platform.writes(), many as u64 + 1, "each once");
    assert!(asked < many as u64 / 10 + 200, "page by page, not one by one: {asked}");
    assert!(simulator.meter().most_in_a_second <= 25, "the limit holds");
}

/// A filter that asks for what no webhook shows: the row is read first, at once, and nobody slips through.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_let_in_is_told_by_the_row_and_not_by_what_a_webhook_leaves_out() {
    let place = Place::new().await;
    let settings = json!({ "tickets": [{ "table": "customer_contact" }],
        "filters": { "mirror": "'other.org' not in ticket.email" },
        // Longer than this test waits: only the webhook can have brought it.
        "polling": { "interval": 600_000, "interval_alone": 600_000 } });
    let pair = Pair::of_preset(&place, "some", "crm", settings).await;
    let contact = pair.simulator.rows("customer_contact")[0]["sys_id"].clone();
    pair.until("who was there is not told", || pair.platform.record(&contact).is_some()).await;
    pair.settled().await;
    let other = [("name", "Otto Other"), ("email", "otto@other.org")];
    let other = pair.simulator.create("customer_contact", &other).await.unwrap();
    let ours = [("name", "Bea Buyer"), ("email", "bea@example.com")];
    let ours = pair.simulator.create("customer_contact", &ours).await.unwrap();
    pair.until("a contact is not told", || pair.field(&ours, "email") == "bea@example.com").await;
    pair.settled().await;
    assert!(pair.platform.record(&other).is_none(), "let in by what a webhook left out");
    pair.writes("customer_contact", &other, json!({ "email": "otto@example.com" })).await;
    pair.until("who may come in now is not told", || pair.field(&other, "name") == "Otto Other")
        .await;
}
