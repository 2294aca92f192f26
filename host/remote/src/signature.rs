//! Webhook signatures: HMAC-SHA256, compared in constant time. A missing secret refuses; it never
//! means an empty key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use crate::Secret;

/// A new secret: `whsec_` and the base64 of 32 random bytes.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_webhook_secret() -> std::io::Result<Secret> {
    Ok(Secret::new(format!("whsec_{}", STANDARD.encode(random::<32>()?))))
}

/// Random bytes that nobody can guess, from the operating system.
///
/// # Errors
/// When it gives none.
pub fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::getrandom(&mut bytes)?;
    Ok(bytes)
}

/// The key of a secret: what follows `whsec_` is base64; other secrets are their own bytes.
fn key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.resolve().ok()?;
    let text = text.expose_secret();
    let key = match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => text.as_bytes().to_vec(),
    };
    (!key.is_empty()).then_some(key)
}

fn mac(key: &[u8], message: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message.as_bytes());
    Some(mac)
}

/// The base64 signature of a message; `None` if the secret cannot be used.
#[must_use]
pub fn sign(secret: &Secret, message: &str) -> Option<String> {
    Some(STANDARD.encode(mac(&key(secret)?, message)?.finalize().into_bytes()))
}

/// Whether one of the signatures (base64 or hexadecimal) is right under one of the secrets;
/// `None` if there is no usable secret.
#[must_use]
pub fn verify(secrets: &[Secret], message: &str, signatures: &[String]) -> Option<bool> {
    let keys: Vec<Vec<u8>> = secrets.iter().filter_map(key).collect();
    if keys.is_empty() {
        return None;
    }
    let mut valid = false;
    for signature in signatures.iter().take(8).filter_map(|s| decode(s)) {
        for key in &keys {
            valid |= mac(key, message).is_some_and(|mac| mac.verify_slice(&signature).is_ok());
        }
    }
    Some(valid)
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
    use super::*;

    #[test]
    fn two_secrets_may_be_valid_and_none_refuses() {
        let old = Secret::new("whsec_c2FtcGxlX2tleQ==");
        let new = new_webhook_secret().unwrap();
        let expected = "4VWUI48lJvmGSF6MYmOVWA9c0hfu55Ur+3e+fUFFFr4=";
        assert_eq!(sign(&old, "sample_data").as_deref(), Some(expected));
        let hex = "e15594238f2526f986485e8c626395580f5cd217eee7952bfb77be7d414516be";
        let both = [new, old];
        assert_eq!(verify(&both, "sample_data", &[expected.to_owned()]), Some(true));
        assert_eq!(verify(&both, "sample_data", &[hex.to_owned()]), Some(true));
        assert_eq!(verify(&both, "other_data", &[expected.to_owned()]), Some(false));
        assert_eq!(verify(&both[..1], "sample_data", &[expected.to_owned()]), Some(false));
        assert_eq!(verify(&[], "sample_data", &[expected.to_owned()]), None);
        assert_eq!(verify(&[Secret::new("whsec_")], "sample_data", &[String::new()]), None);
    }
}
