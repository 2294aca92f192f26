//! The end of a world, and the properties that hold there.

use std::rc::Rc;

use firn_core::plan::Input;
use firn_model::{Phase, Side};

use super::small::{Message, OVER, Posted, Row, Small, index};

impl Small {
    // ---- the end -------------------------------------------------------------------------

    /// Brings the world to an end without further faults, and checks the four properties.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        // Messages of the platform are sent until they are taken; webhooks may be lost for ever.
        let events: Vec<Posted> = std::mem::take(&mut self.messages);
        for message in &events {
            if matches!(**message, Message::Event(_) | Message::Said(_)) {
                self.hear(message);
                self.run()?;
            }
        }
        self.limit_passes();
        self.run()?;
        self.late.clear();
        for _ in 0..2 {
            self.reconcile()?;
        }
        let writes = self.writes;
        self.reconcile()?;
        if self.writes != writes {
            return Err("quiet: a third reconcile wrote again".to_owned());
        }
        self.converges()?;
        self.says_once()?;
        for field in &self.unseen {
            if !self.told.contains(field) {
                return Err(format!("keeps: {field} was overwritten unseen, and nobody was told"));
            }
        }
        Ok(())
    }

    pub(crate) fn reconcile(&mut self) -> Result<(), String> {
        for side in Side::BOTH {
            let state = Rc::make_mut(&mut self.link).side_mut(side);
            state.look = true;
            state.look_journal = side == Side::External;
        }
        self.tell(&[]);
        self.run()
    }

    /// Carries out and answers everything until nothing is left to do.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            let Some(side) = Side::BOTH.into_iter().find(|s| self.pending[index(*s)].is_some())
            else {
                return Ok(());
            };
            let Some(pending) = self.pending[index(side)].take() else { continue };
            let reading = match pending.answer.clone() {
                Some(answer) => answer,
                None => self.carry_out(side, &pending)?,
            };
            let number = pending.exchange.number;
            // An answer that only says "not yet" must not turn in circles here.
            let waits = matches!(
                self.link.external_side.flight.as_ref().map(|f| &f.phase),
                Some(Phase::Verifying { .. })
            );
            self.tell(&[Input::Answered { side, number, reading }]);
            if waits && self.late.iter().all(|w| w.side == Side::Platform) {
                self.now += OVER;
            }
        }
        Err("quiet: it never comes to rest".to_owned())
    }

    pub(crate) fn converges(&self) -> Result<(), String> {
        let Some(ticket) = self.ticket.as_ref().filter(|_| self.ours_is_there()) else {
            return match (!self.deleted.is_empty(), &self.link.tombstone) {
                (true, Some(_)) => Ok(()),
                // It was never known to be there, and a dead letter tells of the refused create.
                (true, None) if self.link.external_side.halted => Ok(()),
                (true, None) => Err("converges: the ticket is gone, and nobody noticed".to_owned()),
                (false, _) => Err("converges: there is no ticket".to_owned()),
            };
        };
        if self.link.external_side.halted {
            return Ok(()); // A create was refused; its dead letter waits for a person.
        }
        for (name, here, there) in [
            ("title", &self.record.title.0, &ticket.title.0),
            ("status", &self.record.status.0, &ticket.status.0),
        ] {
            let state = self.link.fields.iter().find(|(n, _)| n.as_str() == name).map(|(_, s)| s);
            let Some(state) = state else { return Err(format!("converges: {name} is unknown")) };
            let believed = |side| state.shape(side).map(ToString::to_string);
            if believed(Side::Platform).as_ref() != Some(here)
                || believed(Side::External).as_ref() != Some(there)
            {
                return Err(format!(
                    "converges: {name} is {here} and {there}, we believe {state:?}"
                ));
            }
            let means =
                |state: &str| if state == "6" { "resolved".to_owned() } else { "open".to_owned() };
            let agree = if name == "title" { here == there } else { *here == means(there) };
            if !agree && state.parked.is_none() {
                return Err(format!("converges: {name} is {here} here and {there} there"));
            }
        }
        Ok(())
    }

    /// Every entry is on the other side exactly once.
    pub(crate) fn says_once(&self) -> Result<(), String> {
        if !self.ours_is_there() {
            return Ok(());
        }
        let count = |rows: &[Row], ours| rows.iter().filter(|r| r.ours == ours).count();
        let counts = (
            count(&self.comments, false),
            count(&self.rows, true),
            count(&self.rows, false),
            count(&self.comments, true),
        );
        if counts.0 == counts.1 && counts.2 == counts.3 {
            return Ok(());
        }
        Err(format!(
            "comments: platform {} written, {} of them there; servicenow {} written, {} of them here",
            counts.0, counts.1, counts.2, counts.3
        ))
    }
}
