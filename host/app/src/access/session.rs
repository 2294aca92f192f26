//! Sessions of the console: somebody has signed in with a token, and their browser shows a cookie instead.
//! A session lets in whoever its token lets in, as long as it does; it ends after twelve hours, or when its
//! owner signs out. It is a row: a restart signs nobody out.

use anyhow::{Context, Result};
use firn_model::{Change, Expect, Key, Millis, Put};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{Access, Caller, Gate, Kind, Refused, digest, same};
use crate::hex;
use crate::vault::system;

/// How long a session lasts. In milliseconds.
pub(crate) const LASTS: i64 = 12 * 3_600_000;

/// How many rows are looked at when one is added, for those that have ended.
const SWEPT: u32 = 1_000;

/// Whose a session is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Of {
    /// The holder's of a token that Firn made, by its id.
    Token(String),
    /// The holder's of the process's own token, by its digest: another one is another session.
    Own(String),
}

#[derive(Serialize, Deserialize)]
struct Kept {
    of: Of,
    ends: Millis,
}

/// Somebody who is signed in.
pub(crate) struct Session {
    pub(crate) caller: Caller,
    /// What a form of theirs has to show, so that it is known to be theirs.
    pub(crate) form_key: String,
}

/// The row of a session; only a digest of what the browser shows is kept.
fn place(cookie: &str) -> Key {
    Key::new(&system(), &["session", &digest(cookie)])
}

impl Access {
    /// Signs somebody in by a token. Gives what their browser is to show.
    pub(crate) fn sign_in(
        &self,
        gate: &Gate,
        given: &str,
        now: Millis,
    ) -> Result<Result<SecretString, Refused>> {
        let own = gate.own.as_ref().filter(|own| same(own.expose_secret(), given));
        let of = match own {
            Some(own) => Of::Own(digest(own.expose_secret())),
            None => match self.shown(given, now, Kind::Bearer) {
                Ok(token) => Of::Token(token.id),
                Err(refused) => return Ok(Err(refused)),
            },
        };
        let random: [u8; 32] = firn_remote::random()?;
        let cookie = hex(&random);
        let value = serde_json::to_string(&Kept { of, ends: now.plus(LASTS.unsigned_abs()) })?;
        let put = Some(Put { value, due: None });
        let mut changes = vec![Change { key: place(&cookie), expect: Expect::Absent, put }];
        for row in self.store.scan(&system(), "session/", None, SWEPT)? {
            let kept = serde_json::from_str::<Kept>(&row.value);
            if kept.map_or(true, |kept| kept.ends <= now) {
                changes.push(Change { key: row.key, expect: Expect::Any, put: None });
            }
        }
        self.store.commit(&changes).context("the session could not be stored")?;
        Ok(Ok(cookie.into()))
    }

    /// Who shows a cookie, if they are signed in.
    pub(crate) fn session(
        &self,
        gate: &Gate,
        cookie: &str,
        now: Millis,
    ) -> Result<Option<Session>> {
        let row = self.store.get(&[place(cookie)])?.pop().flatten();
        let Some(row) = row else { return Ok(None) };
        let kept: Kept = serde_json::from_str(&row.value)?;
        if kept.ends <= now {
            return Ok(None);
        }
        let caller = match kept.of {
            Of::Token(id) => self
                .find(&id)
                .map(|kept| kept.token)
                .filter(|token| !token.has_ended(now))
                .map(Caller::of),
            Of::Own(of) => gate
                .own
                .as_ref()
                .filter(|own| same(&digest(own.expose_secret()), &of))
                .map(|_| Caller::admin("admin")),
        };
        Ok(caller.map(|caller| Session { caller, form_key: self.form_key(cookie) }))
    }

    /// Ends a session.
    pub(crate) fn sign_out(&self, cookie: &str) -> Result<()> {
        let change = Change { key: place(cookie), expect: Expect::Any, put: None };
        self.store.commit(&[change]).context("the session could not be ended")
    }

    /// What a form has to show that belongs to a session; to `open`, where nobody signs in.
    pub(crate) fn form_key(&self, session: &str) -> String {
        self.mac(&format!("form of {session}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use firn_storage::Memory;

    use super::super::{Asked, Role};
    use super::*;

    #[test]
    fn a_session_lasts_as_long_as_its_token_and_no_longer_than_twelve_hours() {
        let access = Access::load(Arc::new(Memory::new())).unwrap();
        let gate = Gate::guarded(Some("own".to_owned().into()));
        let asked = Asked {
            name: "ops".to_owned(),
            role: Role::Operator,
            tenant: None,
            kind: Kind::Bearer,
            created: Millis(0),
            expires: Some(Millis(LASTS * 2)),
            by: "me".to_owned(),
        };
        let (token, text) = access.create(asked).unwrap();
        let sign_in = |given: &str, now| access.sign_in(&gate, given, Millis(now)).unwrap();
        let of = |cookie: &str, now| access.session(&gate, cookie, Millis(now)).unwrap();
        let cookie = sign_in(text.expose_secret(), 1).unwrap();
        let cookie = cookie.expose_secret();
        assert_eq!(of(cookie, LASTS).unwrap().caller.role, Role::Operator);
        assert!(of(cookie, LASTS + 1).is_none() && of("", 1).is_none());
        // Its form key is its own.
        let other = sign_in("own", 1).unwrap();
        let (a, b) = (of(cookie, 2).unwrap(), of(other.expose_secret(), 2).unwrap());
        assert!(a.form_key != b.form_key && b.caller.role == Role::Admin);
        // Another token of the process's own is another session.
        let others = Gate::guarded(Some("other".to_owned().into()));
        assert!(access.session(&others, other.expose_secret(), Millis(2)).unwrap().is_none());
        for wrong in ["", "ow", "own2", "firn_x_y"] {
            assert!(sign_in(wrong, 1).is_err(), "{wrong}");
        }
        access.sign_out(other.expose_secret()).unwrap();
        assert!(of(other.expose_secret(), 2).is_none());
        // What has ended goes when the next comes; a revoked token's session ends at once.
        let again = sign_in(text.expose_secret(), LASTS + 2).unwrap();
        assert_eq!(access.store.scan(&system(), "session/", None, 9).unwrap().len(), 1);
        access.revoke(&Caller::admin(""), &token.id).unwrap();
        assert!(of(again.expose_secret(), LASTS + 3).is_none());
    }
}
