//! Sealing: a value leaves memory only encrypted for its tenant. XChaCha20-Poly1305 under a key
//! derived per tenant from the data directory's master key; tenant and path are authenticated, so
//! that a row copied to another tenant or place does not open.

use chacha20poly1305::aead::{Aead, Payload};
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
    #[error("a stored value does not open; is this the right key file?")]
    DoesNotOpen,
    /// The system gave no randomness.
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(String),
}

/// Seals and opens values.
pub struct Sealer {
    master: Zeroizing<[u8; 32]>,
}

impl Sealer {
    /// A sealer under a master key.
    #[must_use]
    pub fn new(master: [u8; 32]) -> Sealer {
        Sealer { master: Zeroizing::new(master) }
    }

    fn cipher(&self, tenant: &str) -> XChaCha20Poly1305 {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.master.as_slice())
            .unwrap_or_else(|_| unreachable!("any length will do"));
        mac.update(b"firn tenant key 1");
        mac.update(tenant.as_bytes());
        let key = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
        XChaCha20Poly1305::new((&*key).into())
    }

    fn place(key: &Key) -> Vec<u8> {
        format!("{}\0{}", key.tenant, key.path).into_bytes()
    }

    /// Seals a value for its place.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn seal(&self, key: &Key, value: &str) -> Result<Vec<u8>, SealerError> {
        let mut nonce = [0_u8; NONCE];
        chacha20poly1305::aead::rand_core::RngCore::try_fill_bytes(
            &mut chacha20poly1305::aead::OsRng,
            &mut nonce,
        )
        .map_err(|e| SealerError::NoRandomness(e.to_string()))?;
        let payload = Payload { msg: value.as_bytes(), aad: &Self::place(key) };
        let sealed = self
            .cipher(key.tenant.as_str())
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| SealerError::DoesNotOpen)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a value.
    ///
    /// # Errors
    /// When it was sealed under another key, for another place, or was changed.
    pub fn open(&self, key: &Key, sealed: &[u8]) -> Result<String, SealerError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or(SealerError::DoesNotOpen)?;
        let payload = Payload { msg: sealed, aad: &Self::place(key) };
        let value = self
            .cipher(key.tenant.as_str())
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| SealerError::DoesNotOpen)?;
        String::from_utf8(value).map_err(|_| SealerError::DoesNotOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_model::TenantId;

    #[test]
    fn a_value_opens_only_in_its_place() {
        let sealer = Sealer::new([7; 32]);
        let a = Key::new(&TenantId::new("a").unwrap(), &["link", "1"]);
        let b = Key::new(&TenantId::new("b").unwrap(), &["link", "1"]);
        let sealed = sealer.seal(&a, "secret").unwrap();
        assert_eq!(sealer.open(&a, &sealed).unwrap(), "secret");
        assert_eq!(sealer.open(&b, &sealed), Err(SealerError::DoesNotOpen));
        assert_eq!(Sealer::new([8; 32]).open(&a, &sealed), Err(SealerError::DoesNotOpen));
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
    }
}
