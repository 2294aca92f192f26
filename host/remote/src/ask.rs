//! Reading rows of an instance for a person who wants to know whether settings fit it. Nothing is
//! written, nothing is tried again.

use serde_json::Value as Json;

use crate::signin::SignIn;
use crate::visit::Visit;
use crate::{Addresses, Carrier, Credentials, Egress};

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
        egress: &Egress,
        base_url: &str,
        credentials: Credentials,
    ) -> Result<Reader, String> {
        let carrier = Carrier::through(addresses, egress).map_err(|e| e.to_string())?;
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
        let visit = Visit {
            signin: &self.signin,
            ..Visit::with(&self.carrier, &self.base, &self.credentials)
        };
        let said =
            visit.rows(table, query, &fields.join(","), limit).await.map_err(|e| e.to_string())?;
        let result = said.json["result"].clone();
        if said.status == 200 && !result.is_array() {
            return Err("it does not answer as the Table API does".to_owned());
        }
        Ok(Rows { status: said.status, result })
    }
}
