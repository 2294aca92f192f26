//! A desk: an instance (the simulator, with the rules that Firn installs), a sample platform, and the real
//! binary between them, with one integration called `desk`.

use std::sync::Arc;

use firn::{SamplePlatform, listen};
use firn_simulator::{Access, Faults, Permit, Record, Simulator};
use serde_json::{Value as Json, json};

use super::{Api, Firn, TOKEN, settle};

pub(crate) struct Desk {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) platform: SamplePlatform,
    pub(crate) firn: Firn,
    pub(crate) api: Api,
    pub(crate) place: tempfile::TempDir,
    _listening: firn::Listening,
}

impl Desk {
    /// `settings` are laid over the preset's; `environment` is Firn's.
    pub(crate) fn new(settings: &Json, environment: &[(&str, String)]) -> Desk {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let any = ([127, 0, 0, 1], 0).into();
        let simulator = runtime.block_on(Simulator::start(any, 1, Faults::default())).unwrap();
        let platform = SamplePlatform::default();
        let listening = runtime.block_on(listen(any, platform.router())).unwrap();
        let base = format!("http://{}", listening.address);
        let place = tempfile::tempdir().unwrap();
        let (data, log) = (place.path().join("data"), place.path().join("log"));
        let firn = Firn::start_in(&data, &[], Some(&log), Some(TOKEN), environment);
        let api = Api::new(&firn, Some(TOKEN));
        let body = json!({
            "organization_id": "acme", "name": "Desk", "slug": "desk", "base_url": simulator.url(),
            "preset": "incidents", "provision": true, "settings": settings,
            "credentials": { "username": "integration", "password": "integration",
                "admin_username": "admin", "admin_password": "admin" },
            "platform": { "callback_url": format!("{base}/callback"), "read_url": format!("{base}/records/{{id}}") },
        });
        let (status, made) = api.call("POST", "/api/v1/integrations", &body);
        assert_eq!(status, 201, "{made}");
        let events = format!("{}/api/v1/integrations/desk/events", firn.url);
        platform.connect_with(events, Some(TOKEN.to_owned()));
        Desk {
            runtime,
            simulator: Arc::new(simulator),
            platform,
            firn,
            api,
            place,
            _listening: listening,
        }
    }

    pub(crate) fn at_rest(&self) {
        let path = "/api/v1/integrations/desk/sync-status";
        settle("it does not come to rest", || self.api.get(path)["backlog"] == 0);
    }

    /// Something of the integration's.
    pub(crate) fn of(&self, what: &str) -> Json {
        self.api.get(&format!("/api/v1/integrations/desk/{what}"))
    }

    pub(crate) fn edit(&self, id: &str, fields: Json) {
        let _in = self.runtime.enter();
        self.platform.edit("incident", id, fields);
    }

    /// An incident of the platform; gives once its ticket is there.
    pub(crate) fn incident(&self, id: &str, title: &str) {
        self.edit(
            id,
            json!({ "title": title, "description": "p99 is 9 s", "severity": "high",
            "status": "open", "assigned_to": null }),
        );
        settle("no ticket", || self.tickets(id).len() == 1);
        self.at_rest();
    }

    pub(crate) fn tickets(&self, id: &str) -> Vec<Record> {
        let rows = self.simulator.rows("incident").into_iter();
        rows.filter(|row| row.get("correlation_id").is_some_and(|key| key == id)).collect()
    }

    pub(crate) fn ticket(&self, id: &str, column: &str) -> String {
        self.tickets(id).first().and_then(|row| row.get(column).cloned()).unwrap_or_default()
    }

    /// An agent changes a ticket, with every rule and webhook.
    pub(crate) fn agent(&self, id: &str, body: &Json) {
        let sys_id = self.ticket(id, "sys_id");
        let url = format!("{}/api/now/table/incident/{sys_id}", self.simulator.url());
        let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        let sent = http.patch(url).basic_auth("ann.lee", Some("ann.lee")).json(body).send();
        let sent = sent.unwrap();
        assert!(sent.status().is_success(), "{}", sent.text().unwrap());
    }

    /// Both sides change a title; the platform first, and its event is late.
    pub(crate) fn collide(&self, id: &str, ours: &str, theirs: &str) {
        let back = self.platform.hold();
        self.edit(id, json!({ "title": ours }));
        std::thread::sleep(std::time::Duration::from_millis(1_200));
        self.agent(id, &json!({ "short_description": theirs }));
        let _in = self.runtime.enter();
        self.platform.release(back);
    }

    /// Whether the instance refuses new incidents.
    pub(crate) fn refuse(&self, refuses: bool) {
        let write = refuses.then(|| ("incident".to_owned(), Permit::Refused));
        let write = write.into_iter().collect();
        self.simulator.set_access(Access { write, ..Access::default() });
    }
}
