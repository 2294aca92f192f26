//! Reading rows of an instance for a person who wants to know whether settings fit it. Nothing is
//! written, nothing is tried again.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::Value as Json;

use crate::signin::{SignIn, Who};
use crate::{Addresses, Carrier, Credentials, carrier};

/// Reads rows of one instance with one set of credentials.
pub struct Reader {
    carrier: Carrier,
    base: url::Url,
    credentials: Credentials,
    signin: SignIn,
}

/// The answer to one question: HTTP status, and the rows.
#[derive(Debug, Clone)]
pub struct Rows {
    /// HTTP status.
    pub status: u16,
    /// The answer's `result`: a list if the status is 200; else null, or what came with the refusal.
    pub result: Json,
}

impl Reader {
    /// For an instance's address.
    ///
    /// # Errors
    /// When the address is not allowed.
    pub fn new(
        addresses: Addresses,
        base_url: &str,
        credentials: Credentials,
    ) -> Result<Reader, String> {
        let carrier = Carrier::new(addresses).map_err(|e| e.to_string())?;
        let base = carrier.addresses().check(base_url).map_err(|e| e.to_string())?;
        Ok(Reader { carrier, base, credentials, signin: SignIn::default() })
    }

    /// Asks for rows of a table.
    ///
    /// # Errors
    /// Why there was no answer, no sign-in, or an answer that is none of the Table API (a sign-in
    /// page, an instance that hibernates).
    pub async fn rows(
        &self,
        table: &str,
        query: &str,
        fields: &[String],
        limit: u32,
    ) -> Result<Rows, String> {
        let who = Who {
            base: &self.base,
            integration: None,
            credentials: &self.credentials,
            granted: None,
        };
        let header = self
            .signin
            .header(self.carrier.client(), &who, None)
            .await
            .map_err(|e| e.to_string())?;
        let mut url =
            self.base.join(&format!("/api/now/table/{table}")).map_err(|e| e.to_string())?;
        url.query_pairs_mut()
            .append_pair("sysparm_query", query)
            .append_pair("sysparm_fields", &fields.join(","))
            .append_pair("sysparm_limit", &limit.to_string())
            .append_pair("sysparm_exclude_reference_link", "true");
        let mut response = self
            .carrier
            .client()
            .get(url)
            .timeout(Duration::from_secs(30))
            .header("accept", "application/json")
            .header("authorization", header.expose_secret())
            .send()
            .await
            .map_err(|e| e.without_url().to_string())?;
        let status = response.status().as_u16();
        let body = carrier::body(&mut response).await?;
        let answer: Json = serde_json::from_slice(&body).unwrap_or_default();
        let result = answer["result"].clone();
        if status == 200 && !result.is_array() {
            return Err("it does not answer as the Table API does".to_owned());
        }
        Ok(Rows { status, result })
    }
}
