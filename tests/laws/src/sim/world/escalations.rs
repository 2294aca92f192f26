//! What one seed in seventeen has besides: a bot with an integration of its own that hands conversations over. It asks
//! for tickets, for the same once more, and for more in a conversation whose ticket is over; agents work in these
//! tickets. Its chances are its own, as those of `harder`. What is to hold: `wishes`.

use serde_json::{Value as Json, json};

use firn_model::{InboundKind, Link, Operation, TicketName};

use super::{Site, World, drawn};
use crate::sim::servicenow::Changed;

/// One seed in so many, and which.
const ESCALATED: (u64, u64) = (17, 6);
/// So many conversations there are, of which the last has an id that is too long for a key.
const CONVERSATIONS: u32 = 4;

/// The seed after `n` others, from one on, of those in which a bot acts.
pub(in crate::sim) fn escalated(from: u64, n: u64) -> u64 {
    super::harder::nth(ESCALATED, from, n)
}

/// The chances of such a seed.
pub(super) struct Escalations {
    rng: fastrand::Rng,
}

/// A request for a ticket.
pub(crate) struct Wish {
    /// The conversation.
    pub(crate) record: String,
    pub(crate) body: String,
    pub(crate) question: String,
    /// What stands in its evidence, and in no other's.
    pub(crate) mark: String,
    /// Somebody was told that it was taken.
    pub(crate) taken: bool,
}

impl Escalations {
    pub(super) fn of(seed: u64, sites: &mut Vec<Site>) -> Option<Escalations> {
        let (of, which) = ESCALATED;
        if seed % of != which {
            return None;
        }
        let mut rng = fastrand::Rng::with_seed(seed.rotate_left(16));
        let bot = drawn::bot(&mut rng, sites.len(), "acme");
        sites.push(bot);
        Some(Escalations { rng })
    }
}

impl World {
    /// So many sites have a platform with records; they are the first.
    pub(super) fn with_records(&self) -> usize {
        self.sites.len() - usize::from(self.escalations.is_some())
    }

    fn draw_bot(&mut self, of: u32) -> Option<u32> {
        self.escalations.as_mut().map(|escalations| escalations.rng.u32(0..of))
    }

    /// Now and then the bot asks for a ticket, or an agent does something with one.
    pub(super) fn bot_acts(&mut self) {
        let Some(drawn) = self.draw_bot(100) else { return };
        let here = std::mem::replace(&mut self.at, self.sites.len() - 1);
        match drawn {
            0..=11 => self.wish(),
            12..=16 => self.wish_again(),
            17..=34 => self.agent_works(),
            35 => self.delete_ticket(),
            36 => self.reclass(),
            37..=38 => self.reconcile(),
            39 => self.unlink(),
            40 => self.attach_conversation(),
            _ => {}
        }
        self.at = here;
    }

    fn wish(&mut self) {
        let (Some(which), Some(what)) = (self.draw_bot(CONVERSATIONS), self.draw_bot(8)) else {
            return;
        };
        self.met("escalation: asked for");
        self.edits += 6;
        let n = self.site().wishes.len();
        let mark = format!("token{}xwish{n}x", self.at);
        let mut record = format!("conversation-{which}");
        if which + 1 == CONVERSATIONS {
            record.push_str(&"-".repeat(100));
        }
        let question = match what {
            0 => format!("{mark} call +1555019{n:04}"),
            _ => mark.clone(),
        };
        let mut body = json!({ "session_id": record, "question": question, "summary": question,
            "escalation_reason": "low confidence", "why_refused": mark, "tags": ["vpn"] });
        if what > 4 {
            body["priority"] = json!("High");
        }
        let body = body.to_string();
        let wish = Wish { record, body: body.clone(), question, mark, taken: false };
        self.site_mut().wishes.push(wish);
        self.send_told(InboundKind::Escalation, body, 0);
    }

    /// An operator pairs a conversation with a ticket that is there.
    fn attach_conversation(&mut self) {
        let ids: Vec<String> = self.site().servicenow.tickets.keys().cloned().collect();
        let links: Vec<Link> = self.rows("link");
        if ids.is_empty() || links.is_empty() {
            return;
        }
        let (Some(which), Some(whose)) =
            (self.draw_bot(ids.len() as u32), self.draw_bot(links.len() as u32))
        else {
            return;
        };
        self.met("upheaval: record attached");
        let number = self.site().servicenow.tickets[&ids[which as usize]].columns["number"].clone();
        let record = links[whose as usize].platform_id.clone();
        self.site_mut().torn.insert(record.to_string());
        let integration = self.site().integration.id.clone();
        let ticket = TicketName::Number(number);
        self.operate(Operation::Attach { integration, record, ticket, table: None });
    }

    /// The same request: perhaps the bot has not understood the answer.
    fn wish_again(&mut self) {
        let count = self.site().wishes.len() as u32;
        if count == 0 {
            return;
        }
        let Some(which) = self.draw_bot(count) else { return };
        self.met("escalation: asked for once more");
        let body = self.site().wishes[which as usize].body.clone();
        self.send_told(InboundKind::Escalation, body, 0);
    }

    /// A request was answered as one that is taken.
    pub(super) fn granted(&mut self, body: &str, answer: &str) {
        let answer: Json = serde_json::from_str(answer).unwrap_or_default();
        self.met(match answer["status"].as_str() {
            Some("accepted") => "escalation: accepted",
            Some("pending") => "escalation: pending",
            Some("existing") => "escalation: existing",
            Some("reopened") => "escalation: reopened",
            _ => "escalation: answered otherwise",
        });
        let wish = self.site_mut().wishes.iter_mut().find(|wish| wish.body == body);
        if let Some(wish) = wish {
            wish.taken = true;
        }
    }

    /// An agent resolves, closes or opens a ticket again, writes another title, or says something.
    fn agent_works(&mut self) {
        let ids: Vec<String> = self.site().servicenow.tickets.keys().cloned().collect();
        if ids.is_empty() {
            return;
        }
        let (Some(which), Some(what)) = (self.draw_bot(ids.len() as u32), self.draw_bot(8)) else {
            return;
        };
        self.edits += 1;
        let (id, n, now) = (&ids[which as usize], self.edits, self.now);
        let text = format!("token{}xagent{n}x", self.at);
        let (column, value) = match what {
            0..=4 => ("state", ["6", "8", "7", "2", "1"][what as usize]),
            5 => ("short_description", text.as_str()),
            6 => ("comments", text.as_str()),
            _ => ("work_notes", text.as_str()),
        };
        self.say(|| format!("agent: {id} {column}={value}"));
        let servicenow = &mut self.site_mut().servicenow;
        let changed: Vec<Changed> = match column {
            "comments" | "work_notes" => servicenow.say(id, column, value, now),
            _ => servicenow.edit(id, column, value, now),
        };
        for changed in changed {
            self.tell(changed);
        }
    }
}
