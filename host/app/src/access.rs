//! Who may come in, and what they may do. Tokens are random, kept as a digest, and shown once; OAuth
//! clients exchange theirs for access tokens that end after an hour. What is not allowed is refused.
//!
//! A token belongs to one tenant, or to all of them. What belongs to another tenant does not exist for
//! it.

mod session;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use anyhow::{Context, Result};
use clap::ValueEnum;
use firn_model::{Change, CommitError, Expect, Integration, Key, Millis, Put, TenantId};
use firn_remote::Secret;
use firn_storage::Store;
use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::hex;
use crate::vault::system;

pub(crate) use session::LASTS;

/// How long an access token of an OAuth client lasts. In milliseconds.
pub(crate) const ACCESS: i64 = 3_600_000;

/// The most tokens that one tenant has.
const TOKENS: usize = 1_000;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To look at what is there.
    Read,
    /// To send events and escalations, as a platform does.
    Send,
    /// To mend what is stuck.
    Operate,
    /// To set up integrations, and to let others in.
    Administer,
}

/// What a token is for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A platform: sends events and escalations, sees nothing.
    Sender,
    /// Looks at everything, changes nothing.
    Viewer,
    /// Looks, sends, and mends what is stuck.
    Operator,
    /// Everything, also setting up integrations and tokens.
    Admin,
}

impl Role {
    /// Whether the role has a right.
    #[must_use]
    pub fn grants(self, right: Right) -> bool {
        match self {
            Role::Admin => true,
            Role::Operator => right <= Right::Operate,
            Role::Viewer => right == Right::Read,
            Role::Sender => right == Right::Send,
        }
    }
}

/// Whoever sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The name that the audit keeps.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Whose integrations they see; `None` is everybody's.
    pub(crate) tenant: Option<TenantId>,
}

impl Caller {
    /// Whoever has the process's own token, or stands before an open API.
    pub(crate) fn admin(name: &str) -> Caller {
        Caller { name: name.to_owned(), role: Role::Admin, tenant: None }
    }

    fn of(token: Token) -> Caller {
        // Names are given again; the number never is.
        let name = format!("{} ({})", token.name, token.id);
        Caller { name, role: token.role, tenant: token.tenant }
    }

    pub(crate) fn sees(&self, tenant: &TenantId) -> bool {
        self.tenant.as_ref().is_none_or(|own| own == tenant)
    }

    /// One of all tenants is seen by those alone.
    fn sees_token(&self, token: &Token) -> bool {
        token.tenant.as_ref().map_or(self.tenant.is_none(), |tenant| self.sees(tenant))
    }

    pub(crate) fn sees_integration(&self, integration: &Integration) -> bool {
        self.sees(&integration.tenant)
    }
}

/// Whether a token opens the API itself, or is exchanged first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Sent with every request.
    Bearer,
    /// An OAuth client's secret: exchanged at `/oauth/token`.
    Client,
}

/// A token as it is kept: never the token itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Token {
    /// Its number: the part of it that is no secret. Of an OAuth client, the `client_id`.
    pub(crate) id: String,
    /// What people call it; the audit does too.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Whose integrations it sees; null is everybody's.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) kind: Kind,
    /// Milliseconds since 1970.
    pub(crate) created: Millis,
    /// When it ends, if it does. Milliseconds since 1970.
    pub(crate) expires: Option<Millis>,
    /// Who made it.
    pub(crate) by: String,
}

impl Token {
    /// Whether it is an administrator's of all tenants, without end: nobody is locked out as long as there
    /// is one.
    fn is_everybodys(&self) -> bool {
        self.tenant.is_none()
            && self.role == Role::Admin
            && self.kind == Kind::Bearer
            && self.expires.is_none()
    }

    fn has_ended(&self, now: Millis) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// With what tells it from others.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    token: Token,
    /// SHA-256, in hexadecimal. The token has 256 random bits: nothing slower is needed.
    digest: String,
}

/// What became of a wish to end a token.
pub(crate) enum Revoked {
    Ended(Token),
    Unknown,
    /// Several have the name; these are their ids.
    Several(Vec<String>),
    /// It is the last administrator's of all tenants: nobody could make another.
    Last,
}

/// Why a token is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    #[error("there is a token {0:?} already; revoke it first")]
    NameTaken(String),
    #[error("there are {TOKENS} tokens already; revoke some")]
    Full,
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// A token that somebody asks for.
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) kind: Kind,
    pub(crate) created: Millis,
    pub(crate) expires: Option<Millis>,
    pub(crate) by: String,
}

impl Asked {
    fn made(self) -> Result<(Kept, SecretString)> {
        let random: [u8; 38] = firn_remote::random()?;
        let (id, secret) = random.split_at(6);
        let id = hex(id);
        let text = format!("firn_{id}_{}", hex(secret));
        let Asked { name, role, tenant, kind, created, expires, by } = self;
        let token = Token { id, name, role, tenant, kind, created, expires, by };
        Ok((Kept { token, digest: digest(&text) }, text.into()))
    }
}

/// All tokens, in memory and in the store.
pub(crate) struct Access {
    store: Arc<dyn Store>,
    tokens: RwLock<BTreeMap<String, Kept>>,
    /// How often this process has changed any.
    changes: AtomicU64,
    /// Signs access tokens.
    key: Secret,
}

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such token, or it is no more.
    Unknown,
    /// It has ended.
    Ended,
    /// It is an OAuth client's secret.
    Client,
}

fn key_of(id: &str) -> Key {
    Key::new(&system(), &["token", id])
}

fn digest(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

pub(crate) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// `firn_ID_SECRET`: the prefix tells scanners what it is, the id finds it.
fn id_of(token: &str) -> Option<&str> {
    token.strip_prefix("firn_")?.split_once('_').map(|(id, _)| id)
}

/// All tokens, as they are stored.
fn stored(store: &dyn Store) -> Result<BTreeMap<String, Kept>> {
    let mut tokens = BTreeMap::new();
    for row in store.scan(&system(), "token/", None, u32::MAX - 1)? {
        let kept: Kept = serde_json::from_str(&row.value)?;
        tokens.insert(kept.token.id.clone(), kept);
    }
    Ok(tokens)
}

/// The key of access tokens. Whoever stores it first has made it.
fn key(store: &dyn Store) -> Result<Secret> {
    let place = Key::new(&system(), &["access-key"]);
    loop {
        if let Some(row) = store.get(std::slice::from_ref(&place))?.pop().flatten() {
            return Ok(serde_json::from_str(&row.value)?);
        }
        let made = firn_remote::new_token_key()?;
        let put = Some(Put { value: serde_json::to_string(&made)?, due: None });
        match store.commit(&[Change { key: place.clone(), expect: Expect::Absent, put }]) {
            Ok(()) => return Ok(made),
            Err(CommitError::Stale(_)) => {}
            Err(why) => return Err(why.into()),
        }
    }
}

impl Access {
    pub(crate) fn load(store: Arc<dyn Store>) -> Result<Access> {
        let tokens = RwLock::new(stored(&*store)?);
        let key = key(&*store)?;
        Ok(Access { store, tokens, changes: AtomicU64::new(0), key })
    }

    /// Reads all tokens anew: another process may have made some, or ended them.
    pub(crate) fn reload(&self) -> Result<()> {
        loop {
            let before = {
                // Nobody is in the middle of a change then.
                let _tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
                self.changes.load(Ordering::SeqCst)
            };
            let stored = stored(&*self.store)?;
            let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
            // What this process has changed since may not be in what was read.
            if self.changes.load(Ordering::SeqCst) == before {
                *tokens = stored;
                return Ok(());
            }
        }
    }

    /// All tokens, to change them. What is stored and what is known are changed while they are held.
    fn changing(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Kept>> {
        let tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::SeqCst);
        tokens
    }

    /// Makes a token. What is given back is shown once.
    pub(crate) fn create(&self, asked: Asked) -> Result<(Token, SecretString), NotMade> {
        let (kept, text) = asked.made()?;
        Ok((self.keep(kept)?, text))
    }

    /// Whether there is an administrator's token of all tenants.
    pub(crate) fn has_everybodys(&self) -> bool {
        self.list(&Caller::admin("")).iter().any(Token::is_everybodys)
    }

    /// Makes an administrator's token of all tenants, if there is none: `tell` is told it before it opens
    /// anything, so that nobody is locked out by what breaks off in between. Says what was made.
    pub(crate) fn first(
        &self,
        now: Millis,
        tell: impl FnOnce(&str) -> Result<()>,
    ) -> Result<Option<Token>> {
        let all = self.list(&Caller::admin(""));
        if all.iter().any(Token::is_everybodys) {
            return Ok(None);
        }
        // Somebody may have called another token so.
        let taken = all.iter().any(|token| token.name == "admin");
        let asked = Asked {
            name: if taken { format!("admin since {}", now.0) } else { "admin".to_owned() },
            role: Role::Admin,
            tenant: None,
            kind: Kind::Bearer,
            created: now,
            expires: None,
            by: "a start without one".to_owned(),
        };
        let (kept, text) = asked.made()?;
        tell(text.expose_secret())?;
        Ok(Some(self.keep(kept)?))
    }

    fn keep(&self, kept: Kept) -> Result<Token, NotMade> {
        let mut tokens = self.changing();
        let token = kept.token.clone();
        let ended = |other: &Token| other.has_ended(token.created);
        let theirs = tokens.values().map(|kept| &kept.token).filter(|t| t.tenant == token.tenant);
        let theirs: Vec<&Token> = theirs.filter(|other| !ended(other)).collect();
        if theirs.iter().any(|other| other.name == token.name) {
            return Err(NotMade::NameTaken(token.name));
        }
        if theirs.len() >= TOKENS {
            return Err(NotMade::Full);
        }
        let over: Vec<String> =
            tokens.values().filter(|kept| ended(&kept.token)).map(|k| k.token.id.clone()).collect();
        let value = serde_json::to_string(&kept).context("the token cannot be written")?;
        let put = Some(Put { value, due: None });
        let mut changes = vec![Change { key: key_of(&token.id), expect: Expect::Absent, put }];
        // Those that have ended are kept for nothing.
        let gone = |id: &String| Change { key: key_of(id), expect: Expect::Any, put: None };
        changes.extend(over.iter().map(gone));
        self.store.commit(&changes).context("the token could not be stored")?;
        tokens.retain(|id, _| !over.contains(id));
        tokens.insert(token.id.clone(), kept);
        Ok(token)
    }

    pub(crate) fn list(&self, caller: &Caller) -> Vec<Token> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let all = tokens.values().map(|kept| &kept.token);
        let mut seen: Vec<Token> = all.filter(|t| caller.sees_token(t)).cloned().collect();
        seen.sort_by_key(|token| token.created);
        seen
    }

    /// Ends a token for good; by its id, or by its name if only one has it. Gives what it was.
    pub(crate) fn revoke(&self, caller: &Caller, reference: &str) -> Result<Revoked> {
        // Held to the end: of the last two administrators' both are not ended at once.
        let mut tokens = self.changing();
        let seen = || tokens.values().map(|kept| &kept.token).filter(|t| caller.sees_token(t));
        let named: Vec<&Token> = match seen().find(|token| token.id == reference) {
            Some(token) => vec![token],
            None => seen().filter(|token| token.name == reference).collect(),
        };
        let token = match named.as_slice() {
            [] => return Ok(Revoked::Unknown),
            [one] => (*one).clone(),
            several => return Ok(Revoked::Several(several.iter().map(|t| t.id.clone()).collect())),
        };
        let others = tokens.values().any(|k| k.token.id != token.id && k.token.is_everybodys());
        if token.is_everybodys() && !others {
            return Ok(Revoked::Last);
        }
        let change = Change { key: key_of(&token.id), expect: Expect::Any, put: None };
        self.store.commit(&[change]).context("the token could not be removed")?;
        tokens.remove(&token.id);
        Ok(Revoked::Ended(token))
    }

    fn find(&self, id: &str) -> Option<Kept> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Whom a token lets in.
    pub(crate) fn admit(&self, given: &str, now: Millis) -> Result<Caller, Refused> {
        let token = match given.strip_prefix("firn_at_") {
            Some(access) => self.exchanged(access, now)?,
            None => self.shown(given, now, Kind::Bearer)?,
        };
        Ok(Caller::of(token))
    }

    fn shown(&self, given: &str, now: Millis, kind: Kind) -> Result<Token, Refused> {
        // An unknown one costs what a known one costs.
        let shown = digest(given);
        let kept = self.find(id_of(given).unwrap_or_default());
        let right = same(&shown, kept.as_ref().map_or("", |kept| kept.digest.as_str()));
        match kept.map(|kept| kept.token).filter(|_| right) {
            None => Err(Refused::Unknown),
            Some(token) if token.has_ended(now) => Err(Refused::Ended),
            Some(token) if token.kind == kind => Ok(token),
            Some(token) if token.kind == Kind::Client => Err(Refused::Client),
            Some(_) => Err(Refused::Unknown),
        }
    }

    /// An access token for an OAuth client: `firn_at_ID.END.MAC`. Nothing is stored: it ends by itself, or
    /// with the client.
    pub(crate) fn exchange(
        &self,
        client: &str,
        secret: &str,
        now: Millis,
    ) -> Result<(SecretString, Token), Refused> {
        let token = self.shown(secret, now, Kind::Client)?;
        if !same(&token.id, client) {
            return Err(Refused::Unknown);
        }
        let end = now.0 + ACCESS;
        let end = token.expires.map_or(end, |expires| end.min(expires.0));
        let text = format!("{}.{end}", token.id);
        Ok((format!("firn_at_{text}.{}", self.mac(&text)).into(), token))
    }

    fn exchanged(&self, access: &str, now: Millis) -> Result<Token, Refused> {
        let (text, mac) = access.rsplit_once('.').ok_or(Refused::Unknown)?;
        if !same(&self.mac(text), mac) {
            return Err(Refused::Unknown);
        }
        let (id, end) = text.split_once('.').ok_or(Refused::Unknown)?;
        let end: i64 = end.parse().map_err(|_| Refused::Unknown)?;
        if end <= now.0 {
            return Err(Refused::Ended);
        }
        let token = self.find(id).ok_or(Refused::Unknown)?.token;
        if token.has_ended(now) { Err(Refused::Ended) } else { Ok(token) }
    }

    fn mac(&self, text: &str) -> String {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.key.expose().as_bytes())
            .unwrap_or_else(|_| unreachable!("any length will do"));
        mac.update(text.as_bytes());
        hex(&mac.finalize().into_bytes())
    }
}

/// What opens the API.
#[derive(Clone)]
pub struct Gate {
    /// The process's own token, if it was given one: an administrator's, of all tenants.
    pub own: Option<SecretString>,
    /// Nothing is asked for: the sandbox, on loopback.
    pub open: bool,
}

impl Gate {
    /// Everybody is an administrator: the sandbox, on loopback.
    #[must_use]
    pub fn open() -> Gate {
        Gate { own: None, open: true }
    }

    /// Tokens are asked for; `own` is one of them, if there is any.
    #[must_use]
    pub fn guarded(own: Option<SecretString>) -> Gate {
        Gate { own, open: false }
    }

    pub(crate) fn admit(
        &self,
        access: &Access,
        given: Option<&str>,
        now: Millis,
    ) -> Result<Caller, Option<Refused>> {
        if self.open {
            return Ok(Caller::admin("anybody"));
        }
        let given = given.ok_or(None)?;
        if self.own.as_ref().is_some_and(|own| same(own.expose_secret(), given)) {
            return Ok(Caller::admin("admin"));
        }
        access.admit(given, now).map_err(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_storage::Memory;

    fn access() -> Access {
        Access::load(Arc::new(Memory::new())).unwrap()
    }

    fn tenant(name: &str) -> Option<TenantId> {
        Some(TenantId::new(name).unwrap())
    }

    fn asked(name: &str, role: Role, kind: Kind, expires: Option<Millis>) -> Asked {
        let (name, by) = (name.to_owned(), "me".to_owned());
        Asked { name, role, tenant: tenant("acme"), kind, created: Millis(0), expires, by }
    }

    #[test]
    fn a_token_lets_in_until_it_ends_or_is_revoked() {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let access = Access::load(Arc::clone(&store)).unwrap();
        let asked = asked("ops", Role::Operator, Kind::Bearer, Some(Millis(1_000)));
        let (token, text) = access.create(asked).unwrap();
        let text = text.expose_secret();
        let name = format!("ops ({})", token.id);
        let caller = Caller { name, role: Role::Operator, tenant: tenant("acme") };
        assert_eq!(access.admit(text, Millis(999)), Ok(caller.clone()));
        assert_eq!(access.admit(text, Millis(1_000)), Err(Refused::Ended));
        for wrong in
            [&text[..text.len() - 1], &format!("{text}0"), "", "firn_", "firn_x_y", "firn_at_"]
        {
            assert_eq!(access.admit(wrong, Millis(0)), Err(Refused::Unknown), "{wrong}");
        }
        // Only its digest is kept.
        let row = store.get(&[key_of(&token.id)]).unwrap().remove(0).unwrap();
        assert!(!row.value.contains(text.rsplit('_').next().unwrap()));
        // It is there after a restart, and gone after it was revoked.
        let again = Access::load(Arc::clone(&store)).unwrap();
        assert_eq!(again.admit(text, Millis(0)), Ok(caller));
        let stranger = Caller { tenant: tenant("other"), ..Caller::admin("x") };
        assert!(matches!(again.revoke(&stranger, "ops").unwrap(), Revoked::Unknown));
        assert!(matches!(again.revoke(&Caller::admin("x"), "ops").unwrap(), Revoked::Ended(_)));
        assert_eq!(again.admit(text, Millis(0)), Err(Refused::Unknown));
        assert_eq!(Access::load(store).unwrap().admit(text, Millis(0)), Err(Refused::Unknown));
    }

    #[test]
    fn a_client_exchanges_its_secret_and_does_not_come_in_with_it() {
        let access = access();
        let (client, secret) =
            access.create(asked("genesys", Role::Sender, Kind::Client, None)).unwrap();
        let secret = secret.expose_secret();
        assert_eq!(access.admit(secret, Millis(0)), Err(Refused::Client));
        assert_eq!(access.exchange("other", secret, Millis(0)).err(), Some(Refused::Unknown));
        let (token, _) = access.exchange(&client.id, secret, Millis(0)).unwrap();
        let token = token.expose_secret();
        assert_eq!(access.admit(token, Millis(ACCESS - 1)).unwrap().role, Role::Sender);
        assert_eq!(access.admit(token, Millis(ACCESS)), Err(Refused::Ended));
        let later = token.replace(&ACCESS.to_string(), &(ACCESS + 1).to_string());
        assert_eq!(access.admit(&later, Millis(0)), Err(Refused::Unknown), "nobody prolongs it");
        access.revoke(&Caller::admin("x"), &client.id).unwrap();
        assert_eq!(
            access.admit(token, Millis(0)),
            Err(Refused::Unknown),
            "it ends with its client"
        );
    }

    #[test]
    fn there_is_always_an_administrator() {
        let access = access();
        access.create(asked("admin", Role::Viewer, Kind::Bearer, None)).unwrap();
        let everybodys = Asked { tenant: None, ..asked("admin", Role::Viewer, Kind::Bearer, None) };
        access.create(everybodys).unwrap();
        let made = access.first(Millis(5), |_| Ok(())).unwrap().unwrap();
        assert_eq!((made.role, &made.tenant), (Role::Admin, &None));
        assert!(access.first(Millis(6), |_| Ok(())).unwrap().is_none(), "one is enough");
        let admin = Caller::admin("x");
        assert!(matches!(access.revoke(&admin, &made.id).unwrap(), Revoked::Last));
        assert!(
            matches!(access.revoke(&admin, "admin").unwrap(), Revoked::Several(ids) if ids.len() == 2)
        );
        // What could not be told opens nothing.
        let fresh = Access::load(Arc::new(Memory::new())).unwrap();
        assert!(fresh.first(Millis(0), |_| anyhow::bail!("the disk is full")).is_err());
        assert!(fresh.list(&admin).is_empty());
    }

    #[test]
    fn roles_grant_what_they_say() {
        use Right::{Administer, Operate, Read, Send};
        let rights = [Read, Send, Operate, Administer];
        let granted = |role: Role| rights.map(|right| role.grants(right));
        assert_eq!(granted(Role::Sender), [false, true, false, false]);
        assert_eq!(granted(Role::Viewer), [true, false, false, false]);
        assert_eq!(granted(Role::Operator), [true, true, true, false]);
        assert_eq!(granted(Role::Admin), [true; 4]);
    }
}
