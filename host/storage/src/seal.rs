//! Sealing: a value leaves memory only encrypted. An envelope of two layers: values are sealed under
//! data keys, which lie in the store itself, wrapped by the master key, which does not. So the master
//! key can be changed without touching a row.
//!
//! XChaCha20-Poly1305 under a key derived per tenant from a data key; tenant and path are
//! authenticated, so that a row copied to another tenant or place does not open.

use std::collections::BTreeMap;

use chacha20poly1305::aead::rand_core::RngCore;
use chacha20poly1305::aead::{Aead, OsRng, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use firn_model::Key;

const NONCE: usize = 24;

/// Why a value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealerError {
    /// It was sealed under another key, for another place, or was changed.
    #[error("a stored value does not open; it was changed, or belongs to another place")]
    DoesNotOpen,
    /// The keys of the store are wrapped by another master key.
    #[error("the master key is not the one of this store")]
    WrongMaster,
    /// The system gave no randomness.
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(String),
}

/// A key of 256 bits. Wiped when dropped, never printed.
#[derive(Clone)]
pub(crate) struct RawKey(Zeroizing<[u8; 32]>);

impl RawKey {
    pub(crate) fn random() -> Result<RawKey, SealerError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        OsRng
            .try_fill_bytes(bytes.as_mut_slice())
            .map_err(|e| SealerError::NoRandomness(e.to_string()))?;
        Ok(RawKey(bytes))
    }

    /// A keyed digest of some parts; where one ends and the next begins counts.
    pub(crate) fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.0.as_slice())
            .unwrap_or_else(|_| unreachable!("any length will do"));
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn cipher(&self, purpose: &[u8], name: &[u8]) -> XChaCha20Poly1305 {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.0.as_slice())
            .unwrap_or_else(|_| unreachable!("any length will do"));
        mac.update(purpose);
        mac.update(name);
        let key = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
        XChaCha20Poly1305::new((&*key).into())
    }
}

fn seal(cipher: &XChaCha20Poly1305, place: &[u8], value: &[u8]) -> Result<Vec<u8>, SealerError> {
    let mut nonce = [0_u8; NONCE];
    OsRng.try_fill_bytes(&mut nonce).map_err(|e| SealerError::NoRandomness(e.to_string()))?;
    let sealed = cipher
        .encrypt(XNonce::from_slice(&nonce), Payload { msg: value, aad: place })
        .map_err(|_| SealerError::DoesNotOpen)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn open(
    cipher: &XChaCha20Poly1305,
    place: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealerError> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or(SealerError::DoesNotOpen)?;
    cipher
        .decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: place })
        .map(Zeroizing::new)
        .map_err(|_| SealerError::DoesNotOpen)
}

/// The key that wraps a store's own keys. It is kept apart from the store.
#[derive(Clone)]
pub struct MasterKey(RawKey);

impl MasterKey {
    /// A key from its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> MasterKey {
        MasterKey(RawKey(Zeroizing::new(bytes)))
    }

    /// A new one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn random() -> Result<MasterKey, SealerError> {
        RawKey::random().map(MasterKey)
    }

    /// Its bytes, to be kept somewhere safe.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// It is itself the first data key of stores that were made before there were others.
    pub(crate) fn as_data_key(&self) -> RawKey {
        self.0.clone()
    }

    pub(crate) fn wrap(&self, name: &str, key: &RawKey) -> Result<Vec<u8>, SealerError> {
        seal(&self.0.cipher(b"firn key wrap 1", b""), name.as_bytes(), key.0.as_slice())
    }

    pub(crate) fn unwrap(&self, name: &str, wrapped: &[u8]) -> Result<RawKey, SealerError> {
        let bytes = open(&self.0.cipher(b"firn key wrap 1", b""), name.as_bytes(), wrapped)
            .map_err(|_| SealerError::WrongMaster)?;
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| SealerError::WrongMaster)?;
        Ok(RawKey(Zeroizing::new(key)))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// The keys of a store: under which values are sealed, and the one of the audit's chain.
pub(crate) struct Keyring {
    pub(crate) data: BTreeMap<i64, RawKey>,
    pub(crate) audit: RawKey,
}

impl Keyring {
    fn cipher(key: &RawKey, tenant: &str) -> XChaCha20Poly1305 {
        key.cipher(b"firn tenant key 1", tenant.as_bytes())
    }

    fn place(key: &Key) -> Vec<u8> {
        format!("{}\0{}", key.tenant, key.path).into_bytes()
    }

    /// Seals a value for its place. Gives the number of the data key with it.
    pub(crate) fn seal(&self, key: &Key, value: &str) -> Result<(i64, Vec<u8>), SealerError> {
        let (id, data) = self.data.last_key_value().ok_or(SealerError::WrongMaster)?;
        let cipher = Self::cipher(data, key.tenant.as_str());
        Ok((*id, seal(&cipher, &Self::place(key), value.as_bytes())?))
    }

    /// Opens a value that was sealed under the data key of this number.
    pub(crate) fn open(&self, key: &Key, id: i64, sealed: &[u8]) -> Result<String, SealerError> {
        let data = self.data.get(&id).ok_or(SealerError::DoesNotOpen)?;
        let cipher = Self::cipher(data, key.tenant.as_str());
        let value = open(&cipher, &Self::place(key), sealed)?;
        String::from_utf8(value.to_vec()).map_err(|_| SealerError::DoesNotOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_model::TenantId;

    fn ring(first: u8) -> Keyring {
        let data = BTreeMap::from([(1, RawKey(Zeroizing::new([first; 32])))]);
        Keyring { data, audit: RawKey(Zeroizing::new([9; 32])) }
    }

    #[test]
    fn a_value_opens_only_in_its_place() {
        let ours = ring(7);
        let a = Key::new(&TenantId::new("a").unwrap(), &["link", "1"]);
        let b = Key::new(&TenantId::new("b").unwrap(), &["link", "1"]);
        let elsewhere = Key::new(&TenantId::new("a").unwrap(), &["link", "2"]);
        let (id, sealed) = ours.seal(&a, "secret").unwrap();
        assert_eq!(ours.open(&a, id, &sealed).unwrap(), "secret");
        for (key, ring) in [(&b, &ours), (&elsewhere, &ours), (&a, &ring(8))] {
            assert_eq!(ring.open(key, id, &sealed), Err(SealerError::DoesNotOpen));
        }
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
    }

    #[test]
    fn a_key_unwraps_only_under_its_master_and_name() {
        let (ours, other) = (MasterKey::new([7; 32]), MasterKey::new([8; 32]));
        let key = RawKey::random().unwrap();
        let wrapped = ours.wrap("data 1", &key).unwrap();
        assert_eq!(*ours.unwrap("data 1", &wrapped).unwrap().0, *key.0);
        assert!(ours.unwrap("data 2", &wrapped).is_err());
        assert!(other.unwrap("data 1", &wrapped).is_err());
    }
}
