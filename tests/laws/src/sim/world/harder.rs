//! What one seed in eleven has besides: further answers to what documents leave open, and what people and networks do
//! seldom. Its chances are its own, so that all other seeds are the worlds that they always were.

use std::collections::BTreeSet;

use firn_model::{Configure, InboundKind, Link, Operation};
use serde_json::Value as Json;

use super::{Site, World};
use crate::sim::servicenow::Rule;

/// One seed in so many, and which.
const SELDOM: (u64, u64) = (11, 4);
/// So many webhooks are remembered, to be sent again much later.
const REMEMBERED: usize = 40;
/// A day. In milliseconds.
const DAY: u64 = 86_400_000;

/// The seed after `n` others, from one on, of those that have more.
pub(in crate::sim) fn harder(from: u64, n: u64) -> u64 {
    nth(SELDOM, from, n)
}

/// Of the seeds that are one in so many, the one after `n` others, from one on.
pub(super) fn nth((of, which): (u64, u64), from: u64, n: u64) -> u64 {
    from + (which + of - from % of) % of + n * of
}

/// The chances of a seed that has more.
pub(super) struct Harder {
    rng: fastrand::Rng,
    /// Webhooks that were sent, and where.
    sent: Vec<(usize, String)>,
}

impl Harder {
    /// Whether a seed has more, and what of it is known from the start.
    pub(super) fn of(seed: u64, sites: &mut [Site]) -> Option<Harder> {
        let (of, which) = SELDOM;
        if seed % of != which {
            return None;
        }
        let mut rng = fastrand::Rng::with_seed(!seed);
        for site in sites {
            let quirks = &mut site.servicenow.quirks;
            quirks.journal_row_late = rng.bool();
            quirks.count_leaves_out_hidden = rng.bool();
            quirks.texts_only = rng.bool();
            quirks.last_row_first = rng.bool();
            quirks.journal_names_base = rng.bool();
            if rng.bool() {
                site.integration.settings.filters.mirror = Some("true".to_owned());
            }
        }
        Some(Harder { rng, sent: Vec::new() })
    }
}

/// What is no webhook, event or escalation of anybody's.
const JUNK: [&str; 8] = [
    "",
    "null",
    "[]",
    "{",
    "{\"sys_id\": 7}",
    "{\"sys_id\": \"0123456789abcdef0123456789abcdef\", \"current\": []}",
    "{\"id\": \"e\", \"type\": \"changed\", \"record\": \"rec-0\"}",
    "{\"record\": {\"id\": \"rec-0\", \"fields\": {\"title\": {\"a\": [1]}}}}",
];

impl World {
    /// A webhook is on its way: it may be sent once more, much later.
    pub(super) fn remember(&mut self, body: &str) {
        let at = self.at;
        if let Some(harder) = self.harder.as_mut().filter(|harder| harder.sent.len() < REMEMBERED) {
            harder.sent.push((at, body.to_owned()));
        }
    }

    fn draw(&mut self, of: u32) -> Option<u32> {
        self.harder.as_mut().map(|harder| harder.rng.u32(0..of))
    }

    /// Now and then something happens that happens seldom.
    pub(super) fn seldom(&mut self) {
        let Some(drawn) = self.draw(100) else { return };
        match drawn {
            0..=2 => self.junk(),
            3..=4 => self.sent_again(1),
            5 => self.sent_again(20),
            6..=7 => self.pause(),
            8..=9 => self.agent_opens(),
            10 => self.clock_jumps(),
            12 => self.rights_change(),
            13..=14 => self.instance_changes(),
            _ => {}
        }
    }

    /// It is refused, or kept in quarantine, and that is all.
    fn junk(&mut self) {
        let Some(drawn) = self.draw(JUNK.len() as u32 * 3) else { return };
        self.met("fault: junk comes in");
        let body = JUNK[drawn as usize / 3].to_owned();
        let kind = [InboundKind::Webhook, InboundKind::PlatformEvent, InboundKind::Escalation]
            [drawn as usize % 3];
        let signature = vec![
            ("webhook-id".to_owned(), format!("junk-{drawn}")),
            ("webhook-timestamp".to_owned(), (self.now.0 / 1000).to_string()),
            ("webhook-signature".to_owned(), "v1,good".to_owned()),
        ];
        self.shared.now.set(self.now);
        let event = self.inbound(kind, body, signature);
        self.handle(vec![event]);
    }

    fn sent_again(&mut self, times: usize) {
        let count = self.harder.as_ref().map_or(0, |harder| harder.sent.len()) as u32;
        if count == 0 {
            return;
        }
        let Some(drawn) = self.draw(count) else { return };
        self.met(if times > 1 { "fault: webhook many times" } else { "fault: webhook much later" });
        self.send_old(drawn as usize, times);
    }

    fn send_old(&mut self, which: usize, times: usize) {
        let Some((at, body)) = self.harder.as_ref().and_then(|h| h.sent.get(which)).cloned() else {
            return;
        };
        let here = std::mem::replace(&mut self.at, at);
        for n in 0..times {
            self.messages += 1;
            let id = self.messages;
            self.post(n as u64, super::Message::Webhook { id, body: body.clone() });
        }
        self.at = here;
    }

    fn enable(&mut self, enabled: bool) {
        // The process may die at it.
        if self.reconfigure(Some(enabled), serde_json::json!({})) == 200 {
            self.site_mut().integration.enabled = enabled;
        }
    }

    /// Changes settings, by a merge patch.
    pub(super) fn change(&mut self, settings: Json) {
        self.reconfigure(None, settings);
    }

    fn reconfigure(&mut self, enabled: Option<bool>, settings: Json) -> u16 {
        let given = Configure {
            id: self.site().integration.id.clone(),
            create: false,
            slug: None,
            name: None,
            base_url: None,
            platform: None,
            enabled,
            preset: None,
            settings,
        };
        self.ask(Operation::Configure { integration: Box::new(given) }).0
    }

    /// An operator pauses an integration, or lets it go on.
    fn pause(&mut self) {
        let enabled = !self.site().integration.enabled;
        self.met(if enabled { "operator: goes on" } else { "operator: pauses" });
        self.enable(enabled);
    }

    /// An agent opens a ticket of the desk's own.
    fn agent_opens(&mut self) {
        let Some(drawn) = self.draw(3) else { return };
        self.met("edit: agent opens a ticket");
        self.edits += 6;
        let class = ["incident", "incident", "problem"][drawn as usize];
        let (title, now) = (format!("token{}xopened{}", self.at, self.messages), self.now);
        let set = [("short_description", title.as_str()), ("description", "d")];
        let (id, changed) = self.site_mut().servicenow.open(class, &set, now);
        self.say(|| format!("agent: opens {id}, a {class}"));
        for changed in changed {
            self.tell(changed);
        }
    }

    /// Somebody sets the instance's clock.
    fn clock_jumps(&mut self) {
        let Some(drawn) = self.draw(240) else { return };
        self.met("fault: clock jumps");
        let site = self.site_mut();
        site.servicenow.quirks.clock += (i64::from(drawn) - 120) * 1_000;
        site.jumped = true;
    }

    /// A ticket may not be read for a while.
    fn rights_change(&mut self) {
        if !self.site().servicenow.hidden.is_empty() {
            self.site_mut().servicenow.hidden.clear();
            return;
        }
        let ids: Vec<String> = self.site().servicenow.tickets.keys().cloned().collect();
        if ids.is_empty() {
            return;
        }
        let Some(drawn) = self.draw(ids.len() as u32) else { return };
        self.met("fault: a ticket may not be read");
        self.site_mut().servicenow.hidden.push(ids[drawn as usize].clone());
        self.site_mut().hid = true;
    }

    /// A business rule of the instance's own comes, or goes.
    fn instance_changes(&mut self) {
        if !self.site().servicenow.rules.is_empty() {
            self.site_mut().servicenow.rules.clear();
            return;
        }
        let Some(drawn) = self.draw(3) else { return };
        let title = || "short_description".to_owned();
        let rule = match drawn {
            0 => Rule::Ignores(title()),
            1 => Rule::Rewrites(title(), format!("token{}xrewritten", self.at)),
            _ => Rule::Ignores("state".to_owned()),
        };
        self.met("fault: a business rule interferes");
        self.site_mut().servicenow.rules.push(rule);
    }

    /// What was in the way is not any more.
    pub(super) fn seldom_is_over(&mut self) {
        if self.harder.is_none() {
            return;
        }
        for at in 0..self.sites.len() {
            self.at = at;
            self.site_mut().servicenow.hidden.clear();
            self.site_mut().servicenow.rules.clear();
            self.shared.dies.set(None);
            // Whatever became of the last that was asked for.
            self.enable(true);
        }
        // What was said last can be read by then.
        self.now = self.now.plus(2_000);
    }

    /// What webhooks ever told comes once more, a day later: as far as it is known by now, whatever was lost.
    pub(super) fn a_day_later(&mut self) {
        if self.harder.is_none() {
            return;
        }
        let mut linked = BTreeSet::new();
        for at in 0..self.sites.len() {
            self.at = at;
            let links = self.rows::<Link>("link").into_iter();
            let links = links.filter(|link| link.tombstone.is_none());
            linked.extend(links.filter_map(|link| Some((at, link.external?.sys_id.to_string()))));
        }
        let Some(harder) = &self.harder else { return };
        let is_known = |(at, body): &(usize, String)| {
            let servicenow = &self.sites[*at].servicenow;
            let body: Json = serde_json::from_str(body).unwrap_or_default();
            let ticket = body["sys_id"].as_str().unwrap_or_default();
            // By a clock that was set, what is old may be newer than what is new.
            !self.sites[*at].jumped
                && linked.contains(&(*at, ticket.to_owned()))
                && servicenow.tickets.contains_key(ticket)
                && (body["journal"].is_null() || !servicenow.quirks.journal_hidden)
        };
        let known = harder.sent.iter().enumerate().filter(|(_, sent)| is_known(sent));
        let known: Vec<usize> = known.map(|(which, _)| which).collect();
        self.now = self.now.plus(DAY);
        for which in known {
            self.send_old(which, 1);
        }
    }
}
