//! Webhook signatures: HMAC-SHA256, compared in constant time. What is signed, and which headers say so, is
//! in `firn_core::signature`; who keeps the secrets is the host's business, or a gateway's.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The most signatures of one message that are looked at.
const MOST: usize = 8;

/// What a message is signed with. Never empty, so that a missing secret cannot mean an empty key.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// The key of a secret: what follows `whsec_` is base64 (Standard Webhooks); other secrets are their own
    /// bytes. Nothing, if there is no such base64, or no byte.
    #[must_use]
    pub fn of(secret: &str) -> Option<Key> {
        let key = match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).ok()?,
            None => secret.as_bytes().to_vec(),
        };
        (!key.is_empty()).then(|| Key(Zeroizing::new(key)))
    }

    fn mac(&self, message: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(message.as_bytes());
        Some(mac)
    }

    /// The base64 signature of a message.
    #[must_use]
    pub fn sign(&self, message: &str) -> String {
        // A key of any length will do for an HMAC.
        let mac = self.mac(message).map(|mac| mac.finalize().into_bytes());
        mac.map(|bytes| STANDARD.encode(bytes)).unwrap_or_default()
    }
}

/// Whether one of the signatures (base64 or hexadecimal) is right under one of the keys.
#[must_use]
pub fn verify(keys: &[Key], message: &str, signatures: &[String]) -> bool {
    let mut valid = false;
    for signature in signatures.iter().take(MOST).filter_map(|s| decode(s)) {
        for key in keys {
            valid |= key.mac(message).is_some_and(|mac| mac.verify_slice(&signature).is_ok());
        }
    }
    valid
}

fn decode(signature: &str) -> Option<Vec<u8>> {
    let signature = signature.trim();
    if signature.len() == 64 {
        let byte = |i: usize| u8::from_str_radix(signature.get(i..i + 2)?, 16).ok();
        return (0..64).step_by(2).map(byte).collect();
    }
    STANDARD.decode(signature).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_keys_may_be_valid_and_none_refuses() {
        let old = Key::of("whsec_c2FtcGxlX2tleQ==").unwrap();
        let new = Key::of("whsec_AAECAwQFBgc=").unwrap();
        let expected = "4VWUI48lJvmGSF6MYmOVWA9c0hfu55Ur+3e+fUFFFr4=".to_owned();
        assert_eq!(old.sign("sample_data"), expected);
        let hex = "e15594238f2526f986485e8c626395580f5cd217eee7952bfb77be7d414516be".to_owned();
        let both = [new, old];
        assert!(verify(&both, "sample_data", std::slice::from_ref(&expected)));
        assert!(verify(&both, "sample_data", &[hex]));
        assert!(!verify(&both, "other_data", std::slice::from_ref(&expected)));
        assert!(!verify(&both[..1], "sample_data", std::slice::from_ref(&expected)));
        assert!(!verify(&[], "sample_data", &[expected]));
        assert!(
            Key::of("whsec_").is_none() && Key::of("").is_none() && Key::of("whsec_?").is_none()
        );
        assert_eq!(format!("{:?}", both[0]), "Key(..)");
    }
}
