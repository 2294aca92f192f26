//! Tokens that stand for masked values: HMAC-SHA-256 under a tenant's key, so that one value has one
//! token within a tenant, and nobody without the key can try all phone numbers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::{Secret, signature};

/// A new key for a tenant's tokens.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_token_key() -> std::io::Result<Secret> {
    Ok(Secret::new(STANDARD.encode(signature::random::<32>()?)))
}

/// The token of a canonical value of a type: 16 letters from a to p, which hold 64 bits. Letters
/// alone, so that a token is never taken for another number or key.
#[must_use]
pub fn token(key: &[u8], kind: &str, canonical: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(kind.as_bytes());
    mac.update(&[0]);
    mac.update(canonical.as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes[..8].iter().flat_map(|b| [b >> 4, b & 15]).map(|n| char::from(b'a' + n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_its_key_type_and_value() {
        let one = token(b"key", "PHONE", "+14155550132");
        assert_eq!(one.len(), 16);
        assert!(one.bytes().all(|b| (b'a'..=b'p').contains(&b)));
        assert_eq!(token(b"key", "PHONE", "+14155550132"), one);
        assert_ne!(token(b"other", "PHONE", "+14155550132"), one);
        assert_ne!(token(b"key", "US_SSN", "+14155550132"), one);
        assert_ne!(token(b"key", "PHONE", "+14155550133"), one);
    }
}
