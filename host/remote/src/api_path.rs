//! Where an instance has an API of somebody's own: a path that becomes part of our requests' addresses.

use serde::{Deserialize, Serialize};

/// The base path of a Scripted REST API: `/api/acme/firn_int_1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiPath(String);

/// Why a text is no such path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no path of an API; it is the Base API path of its form: /api/acme/firn_int_1")]
pub struct InvalidApiPath(String);

impl ApiPath {
    /// Checks a path.
    ///
    /// # Errors
    /// When it does not begin with `/api/`, or holds what would change the address.
    pub fn new(text: impl Into<String>) -> Result<ApiPath, InvalidApiPath> {
        let text = text.into();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-');
        match text.strip_prefix("/api/") {
            Some(rest) if !rest.is_empty() && rest.bytes().all(plain) => Ok(ApiPath(text)),
            _ => Err(InvalidApiPath(text.chars().take(120).collect())),
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ApiPath {
    type Error = InvalidApiPath;

    fn try_from(text: String) -> Result<ApiPath, InvalidApiPath> {
        ApiPath::new(text)
    }
}

impl From<ApiPath> for String {
    fn from(path: ApiPath) -> String {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_path() {
        assert!(ApiPath::new("/api/acme/firn_int_1").is_ok());
        for bad in [
            "",
            "/api/",
            "/apx/a",
            "/api/a b",
            "/api/a?b",
            "/api/../table",
            "/api/a#b",
            "https://x/api/a",
        ] {
            assert!(ApiPath::new(bad).is_err(), "{bad}");
        }
    }
}
