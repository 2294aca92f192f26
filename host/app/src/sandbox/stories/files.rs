//! Files: what a user and an agent attach, each on the other side once.

use axum::body::Bytes;
use firn_simulator::{Faults, Trouble};
use serde_json::json;

use super::super::Teller;
use super::super::stage::Stage;
use super::{fault, incident};

/// (g) Attachments both ways.
pub(super) async fn both_ways(stage: &Stage, teller: &mut Teller) {
    teller.chapter("g. Files travel both ways, once, and none comes back (seed 001)");
    let (id, side) = ("inc-320", &stage.incidents);
    let base = stage.platform_url();
    let platform = json!({ "callback_url": format!("{base}/callback"),
        "read_url": format!("{base}/records/{{id}}"),
        "attachment_read_url": format!("{base}/attachments/{{id}}"),
        "attachment_write_url": format!("{base}/records/{{id}}/attachments") });
    stage.patch(side, json!({ "platform": platform })).await;
    let path = format!("/integrations/{}/provision", side.id);
    let (_, installed) = stage.post(&path, "{}".to_owned()).await;
    let told = installed.to_string().contains("Attachment Webhook");
    teller.expect("a rule that tells of files is installed", told, "sys_attachment");
    incident(stage, id).await;

    let theirs = || -> Vec<String> {
        let record = stage.incidents.platform.record(id);
        record.map(|r| r.files.into_iter().map(|f| f.name).collect()).unwrap_or_default()
    };
    let shot = Bytes::from_static(b"\x89PNG of a slow checkout");
    side.platform.attach("incident", id, "card 4111111111111111.png", "image/png", shot.clone());
    let there = stage.until(|| files(stage, id).len() == 1).await;
    let same = file(stage, id, 0).await == shot;
    teller.expect("a user's file is on the ticket, byte for byte", there && same, "image/png");
    let names = files(stage, id);
    let masked = !names.concat().contains("4111111111111111");
    teller.expect("with what is private in its name masked", masked, names.concat());

    let log = Bytes::from_static(b"timeout after 9 s\n");
    attach(stage, id, "trace.log", "text/plain", log.clone()).await;
    let there = stage.until(|| theirs().iter().any(|name| name == "trace.log")).await;
    let copy = side.platform.record(id).and_then(|r| r.files.last().map(|f| f.content.clone()));
    teller.expect("an agent's file is on the platform", there && copy == Some(log), "text/plain");

    let lost = fault("POST", "attachment/file", Some(1), Trouble::DropAfterCommit);
    stage.simulator.set_faults(Faults { requests: vec![lost], ..Faults::default() });
    let graph = Bytes::from_static(b"GIF of a graph");
    side.platform.attach("incident", id, "graph.gif", "image/gif", graph);
    let there = stage.until(|| files(stage, id).iter().any(|name| name == "graph.gif")).await;
    stage.settled(side).await;
    stage.simulator.set_faults(Faults::default());
    let (ours, theirs) = (files(stage, id), theirs());
    teller.expect(
        "a file whose answer is lost is there once",
        there && ours.iter().filter(|name| *name == "graph.gif").count() == 1,
        format!("{} files", ours.len()),
    );
    teller.expect(
        "and no copy comes back",
        ours.len() == 3 && theirs.len() == 3,
        format!("{} and {} files", ours.len(), theirs.len()),
    );
}

/// The names of a ticket's files.
fn files(stage: &Stage, id: &str) -> Vec<String> {
    let ticket = stage.sys_id(id);
    let rows = stage.simulator.rows("sys_attachment").into_iter();
    let mine = rows.filter(|r| r.get("table_sys_id").is_some_and(|of| *of == ticket));
    mine.filter_map(|r| r.get("file_name").cloned()).collect()
}

/// What is in a file of a ticket.
async fn file(stage: &Stage, id: &str, n: usize) -> Bytes {
    let ticket = stage.sys_id(id);
    let rows = stage.simulator.rows("sys_attachment").into_iter();
    let mut mine = rows.filter(|r| r.get("table_sys_id").is_some_and(|of| *of == ticket));
    let row = mine.nth(n).and_then(|r| r.get("sys_id").cloned()).unwrap_or_default();
    let url = format!("{}/api/now/attachment/{row}/file", stage.simulator.url());
    match stage.http.get(url).basic_auth("ann.lee", Some("ann.lee")).send().await {
        Ok(answer) => answer.bytes().await.unwrap_or_default(),
        Err(_) => Bytes::new(),
    }
}

/// An agent attaches a file.
async fn attach(stage: &Stage, id: &str, name: &str, media: &str, content: Bytes) {
    let url = format!(
        "{}/api/now/attachment/file?table_name=incident&table_sys_id={}&file_name={name}",
        stage.simulator.url(),
        stage.sys_id(id)
    );
    let request = stage.http.post(url).basic_auth("ann.lee", Some("ann.lee"));
    let _ = request.header("content-type", media).body(content).send().await;
}
