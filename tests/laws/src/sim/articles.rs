//! The knowledge base of a fake ServiceNow: drafts are made, read and written.

use std::collections::BTreeMap;

use firn_model::{HttpRequest, Method};
use serde_json::{Value as Json, json};

/// An article.
#[derive(Clone, Debug)]
pub(crate) struct Article {
    pub(crate) columns: BTreeMap<String, String>,
    pub(crate) mod_count: u32,
}

#[derive(Clone, Default)]
pub(crate) struct Articles {
    pub(crate) rows: BTreeMap<String, Article>,
    /// Everything that writes is refused with this.
    pub(crate) refuses: Option<u16>,
    /// A column that the user may neither write nor read.
    pub(crate) loses: Option<String>,
}

impl Articles {
    fn show(&self, id: &str, article: &Article) -> Json {
        let mut row = json!(article.columns);
        row["sys_id"] = id.into();
        row["number"] = format!("KB{:.7}", &id[id.len() - 7..]).into();
        row["sys_mod_count"] = article.mod_count.to_string().into();
        if let (Some(lost), Json::Object(row)) = (&self.loses, &mut row) {
            row.remove(lost);
        }
        row
    }

    /// A person changes one.
    pub(crate) fn edit(&mut self, id: &str, column: &str, value: &str) {
        if let Some(article) = self.rows.get_mut(id) {
            article.columns.insert(column.to_owned(), value.to_owned());
            article.mod_count += 1;
        }
    }

    /// Status and body of the answer to a request below `kb_knowledge`.
    pub(crate) fn serve(&mut self, request: &HttpRequest, rest: &[&str]) -> (u16, Json) {
        let none = json!({ "error": { "message": "No Record found" }, "status": "failure" });
        let mut set: BTreeMap<String, String> =
            request.json().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        if let Some(lost) = &self.loses {
            set.remove(lost);
        }
        if let (Some(status), false) = (self.refuses, request.method == Method::Get) {
            let said = json!({ "error": { "message": "Operation Failed" }, "status": "failure" });
            return (status, said);
        }
        match (request.method, rest) {
            (Method::Get, []) => {
                let query = request.query.iter().find(|(name, _)| name == "sysparm_query");
                let wanted = query.map_or("", |(_, query)| query.as_str());
                let wanted = wanted.split('^').next().unwrap_or_default();
                let wanted = wanted.strip_prefix("metaLIKE").unwrap_or_default();
                let found = self.rows.iter().filter(|(_, article)| {
                    article.columns.get("meta").is_some_and(|meta| meta.contains(wanted))
                });
                let rows: Vec<Json> = found.map(|(id, a)| self.show(id, a)).collect();
                (200, json!({ "result": rows }))
            }
            (Method::Get, [id]) => match self.rows.get(*id) {
                Some(article) => (200, json!({ "result": self.show(id, article) })),
                None => (404, none),
            },
            (Method::Post, []) => {
                let id = format!("{:032x}", 0xa000_0000_u32 as usize + self.rows.len());
                let article = Article { columns: set, mod_count: 0 };
                let shown = self.show(&id, &article);
                self.rows.insert(id, article);
                (201, json!({ "result": shown }))
            }
            (Method::Patch, [id]) => {
                let Some(article) = self.rows.get_mut(*id) else { return (404, none) };
                article.columns.extend(set);
                article.mod_count += 1;
                let article = article.clone();
                (200, json!({ "result": self.show(id, &article) }))
            }
            _ => (404, none),
        }
    }
}
