//! What can happen next: people, sides, network, crashes. Every step is tried in every state.

use firn_core::land::Reading;
use firn_core::plan::Input;
use firn_model::{
    EntryOrigin, Mirror, ObservedRecord, Order, Outcome, Phase, Revision, Side, Uncertainty, Verb,
    Write,
};

use super::bounds::{Edit, What};
use super::small::{Left, Message, OVER, Pending, Row, Small, index, message};

impl Small {
    // ---- what can happen next ------------------------------------------------------------

    /// Nothing is under way: only messages wait.
    pub(crate) fn at_rest(&self) -> bool {
        self.pending.iter().all(Option::is_none)
    }

    /// Every step that can be taken from here, and the state that it leads to.
    pub(crate) fn successors(&self) -> Vec<(String, Result<Small, String>)> {
        let mut next: Vec<(String, Result<Small, String>)> = Vec::new();
        self.people(&mut next);
        self.network(&mut next);
        self.hearing(&mut next);
        if self.left.crashes > 0 && self.left.faults > 0 && !self.at_rest() {
            let mut world = self.clone();
            world.left.crashes -= 1;
            world.left.faults -= 1;
            for side in Side::BOTH {
                world.give_up(side);
            }
            next.push(("the process dies and comes back".to_owned(), Ok(world)));
        }
        for (i, write) in self.late.iter().enumerate() {
            let mut world = self.clone();
            world.late.remove(i);
            let done = world.effect(write).map(|_| world);
            next.push((format!("a write that was given up takes effect: {}", verb(write)), done));
        }
        if self.limit_may_pass() {
            let mut world = self.clone();
            world.limit_passes();
            next.push(("the transaction limit passes".to_owned(), Ok(world)));
        }
        for (_, next) in &mut next {
            if let Ok(next) = next {
                next.normalise();
                next.forget_stale();
            }
        }
        next
    }

    /// Somebody waits for it. A request to ServiceNow is given up long before; a read that left
    /// before may be answered after it.
    fn limit_may_pass(&self) -> bool {
        let waiting = match self.link.external_side.flight.as_ref().map(|f| &f.phase) {
            Some(Phase::Verifying { sent, .. }) => self.now < sent.0 + OVER,
            _ => false,
        };
        let late = self.late.iter().any(|w| w.side == Side::External);
        let sending =
            self.pending[index(Side::External)].as_ref().is_some_and(|p| p.write.is_some());
        (waiting || late) && !sending
    }

    pub(crate) fn limit_passes(&mut self) {
        self.now += OVER;
        self.late.retain(|write| write.side == Side::Platform);
        self.tell(&[]);
    }

    fn people(&self, next: &mut Vec<(String, Result<Small, String>)>) {
        let Left { comments, deletions, .. } = self.left;
        if self.left.edits > 0 {
            for (i, edit) in self.fixed.bounds.script.iter().enumerate() {
                if self.left.made & (1 << i) == 0
                    && let Some(mut world) = self.edited(*edit)
                {
                    world.left.edits -= 1;
                    if self.fixed.bounds.once {
                        world.left.made |= 1 << i;
                    }
                    next.push((format!("{}: {:?}", edit.side, edit.what), Ok(world)));
                }
            }
        }
        // The same words on both sides: only identity tells them apart.
        if comments & 1 != 0 {
            let mut world = self.clone();
            world.left.comments &= !1;
            let row = Row { id: "c1".to_owned(), text: "ok".to_owned(), ours: false };
            world.comments.push(row.clone());
            world.messages.push(Message::Said(row).into());
            next.push(("platform: says ok".to_owned(), Ok(world)));
        }
        if comments & 2 != 0 && self.ticket.is_some() {
            let mut world = self.clone();
            world.left.comments &= !2;
            let row = world.new_row("ok", false);
            if let Some(ticket) = &mut world.ticket {
                ticket.version += 1;
            }
            world.messages.push(Message::Row(row).into());
            world.post_ticket();
            next.push(("servicenow: says ok".to_owned(), Ok(world)));
        }
        if deletions > 0 && self.ticket.is_some() {
            let mut world = self.clone();
            world.left.deletions -= 1;
            world.ticket = None;
            world.deleted.insert(format!("{:032x}", world.made));
            world.rows.clear();
            next.push(("servicenow: the ticket is deleted".to_owned(), Ok(world)));
        }
    }

    /// A person's edit, if it changes anything.
    fn edited(&self, edit: Edit) -> Option<Small> {
        let mut world = self.clone();
        world.now += 2_000;
        let now = world.now;
        let record = match edit.side {
            Side::Platform => &mut world.record,
            Side::External => world.ticket.as_mut()?,
        };
        let (slot, value) = match (edit.what, edit.side) {
            (What::Title(text), _) => (&mut record.title, text),
            (What::Resolved, Side::Platform) => (&mut record.status, "resolved"),
            (What::Resolved, Side::External) => (&mut record.status, "6"),
        };
        if slot.0 == value {
            return None;
        }
        *slot = (value.to_owned(), true);
        record.version += 1;
        record.at = now;
        match edit.side {
            Side::Platform => world.messages.push(Message::Event(world.shown_record()).into()),
            Side::External => world.post_ticket(),
        }
        Some(world)
    }

    pub(crate) fn network(&self, next: &mut Vec<(String, Result<Small, String>)>) {
        for side in Side::BOTH {
            let Some(pending) = &self.pending[index(side)] else { continue };
            let what = asked(pending);
            match &pending.answer {
                None => {
                    let mut world = self.clone();
                    let done = world.carry_out(side, pending).map(|answer| {
                        if let Some(pending) = &mut world.pending[index(side)] {
                            pending.answer = Some(answer);
                        }
                        world
                    });
                    next.push((format!("{side}: carries out {what}"), done));
                }
                Some(answer) => {
                    let mut world = self.clone();
                    world.pending[index(side)] = None;
                    let number = pending.exchange.number;
                    world.tell(&[Input::Answered { side, number, reading: answer.clone() }]);
                    next.push((format!("{side}: the answer to {what} arrives"), Ok(world)));
                }
            }
            if self.left.lost > 0 && self.left.faults > 0 {
                let mut world = self.clone();
                world.left.lost -= 1;
                world.left.faults -= 1;
                world.give_up(side);
                next.push((format!("{side}: the answer to {what} is lost"), Ok(world)));
            }
        }
    }

    /// Nobody waits for an answer any more. A write that has not taken effect yet may still do so.
    pub(crate) fn give_up(&mut self, side: Side) {
        let Some(pending) = self.pending[index(side)].take() else { return };
        if pending.answer.is_none() {
            self.late.extend(pending.write);
        }
        let outcome = Outcome::Unknown(Uncertainty::Open, "lost".to_owned());
        let number = pending.exchange.number;
        self.tell(&[Input::Answered { side, number, reading: Reading::Outcome(outcome) }]);
    }

    pub(crate) fn hearing(&self, next: &mut Vec<(String, Result<Small, String>)>) {
        for (i, message) in self.messages.iter().enumerate() {
            if self.messages.iter().take(i).any(|other| other == message) {
                continue;
            }
            let mut world = self.clone();
            world.messages.remove(i);
            world.hear(message);
            next.push((format!("heard: {}", heard(message)), Ok(world)));
            if self.left.doubled > 0 && self.left.faults > 0 {
                let mut world = self.clone();
                world.left.doubled -= 1;
                world.left.faults -= 1;
                world.hear(message);
                next.push((format!("heard, and will be again: {}", heard(message)), Ok(world)));
            }
        }
    }

    /// Forgets messages that can change nothing any more: what they tell of was overtaken, and
    /// hearing them now is seen to change nothing. Versions only grow, so that it would change
    /// nothing later either; keeping them would only multiply states.
    fn forget_stale(&mut self) {
        let mut i = 0;
        while let Some(message) = self.messages.get(i).cloned() {
            if self.is_stale(&message) {
                let mut heard = self.clone();
                heard.messages.remove(i);
                let without = heard.fingerprint();
                heard.hear(&message);
                heard.normalise();
                if heard.fingerprint() == without {
                    self.messages.remove(i);
                    continue;
                }
            }
            i += 1;
        }
    }

    fn is_stale(&self, message: &Message) -> bool {
        let overtaken = |side: Side, record: &ObservedRecord| {
            let Some(told) = record.revision else { return false };
            let not_newer = |known: Option<Revision>| {
                known.is_some_and(|k| matches!(told.order(&k), Order::Older | Order::Same))
            };
            let fields = self.link.fields.values().map(|f| f.seen(side).and_then(|s| s.revision));
            not_newer(self.link.side(side).revision) && fields.clone().all(not_newer)
        };
        let known = |origin: &EntryOrigin| {
            self.link.entries.iter().any(|entry| {
                entry.origin == *origin
                    || entry.mirror == Mirror::Mirrored(Some(origin.id().to_owned()))
            })
        };
        match message {
            Message::Ticket(record) => {
                self.link.external.is_some() && overtaken(Side::External, record)
            }
            Message::Event(record) => overtaken(Side::Platform, record),
            Message::Row(row) => known(&EntryOrigin::External(row.id.clone())),
            Message::Said(row) => known(&EntryOrigin::Platform(row.id.clone())),
        }
    }

    pub(crate) fn hear(&mut self, heard: &Message) {
        let observation = match heard {
            Message::Ticket(record) => message(Side::External, record.clone(), Vec::new()),
            Message::Event(record) => message(Side::Platform, record.clone(), Vec::new()),
            Message::Row(row) => {
                let entry = self.entry(row, Side::External);
                message(Side::External, ObservedRecord::default(), vec![entry])
            }
            Message::Said(row) => {
                let entry = self.entry(row, Side::Platform);
                message(Side::Platform, ObservedRecord::default(), vec![entry])
            }
        };
        // A ticket that is not known yet is not looked at; its first read shows everything.
        if observation.side == Side::External {
            let Some(known) = &self.link.external else { return };
            let about = &observation.record.id;
            if !about.is_empty() && about != known.sys_id.as_str() {
                return;
            }
        }
        self.tell(&[Input::Seen(observation)]);
    }
}

fn verb(write: &Write) -> String {
    match &write.verb {
        Verb::Create { .. } => "create".to_owned(),
        Verb::Update { set, .. } => {
            let set: Vec<String> = set.iter().map(|(n, t)| format!("{n}={}", t.shape)).collect();
            format!("{} {}", write.side, set.join(" "))
        }
        Verb::Retire { .. } => "retire".to_owned(),
        Verb::Append { .. } => format!("{} comment", write.side),
    }
}

fn asked(pending: &Pending) -> String {
    match &pending.write {
        Some(write) => {
            format!("{} ({})", verb(write), write.key.rsplit('-').next().unwrap_or_default())
        }
        None => format!("{:?}", pending.exchange.kind).to_lowercase(),
    }
}

fn heard(message: &Message) -> String {
    match message {
        Message::Ticket(record) | Message::Event(record) => {
            let shown: Vec<String> =
                record.attributes.iter().map(|(a, v)| format!("{a}={v}")).collect();
            shown.join(" ")
        }
        Message::Row(row) => format!("row {}{}", row.text, if row.ours { " (ours)" } else { "" }),
        Message::Said(row) => format!("comment {}", row.text),
    }
}
