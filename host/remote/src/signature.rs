//! The secrets that webhooks are signed with. A missing secret refuses; it never means an empty key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firn_signature::Key;
use secrecy::ExposeSecret;

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

fn key(secret: &Secret) -> Option<Key> {
    Key::of(secret.resolve().ok()?.expose_secret())
}

/// The base64 signature of a message; `None` if the secret cannot be used.
#[must_use]
pub fn sign(secret: &Secret, message: &str) -> Option<String> {
    Some(key(secret)?.sign(message))
}

/// Whether one of the signatures (base64 or hexadecimal) is right under one of the secrets;
/// `None` if there is no usable secret.
#[must_use]
pub fn verify(secrets: &[Secret], message: &str, signatures: &[String]) -> Option<bool> {
    let keys: Vec<Key> = secrets.iter().filter_map(key).collect();
    (!keys.is_empty()).then(|| firn_signature::verify(&keys, message, signatures))
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
        let both = [new, old];
        assert_eq!(verify(&both, "sample_data", &[expected.to_owned()]), Some(true));
        assert_eq!(verify(&both, "other_data", &[expected.to_owned()]), Some(false));
        assert_eq!(verify(&both[..1], "sample_data", &[expected.to_owned()]), Some(false));
        assert_eq!(verify(&[], "sample_data", &[expected.to_owned()]), None);
        assert_eq!(verify(&[Secret::new("whsec_")], "sample_data", &[String::new()]), None);
    }
}
