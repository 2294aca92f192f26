//! The draft of an article that is made of a summary, for a person to review. Firn makes drafts and publishes none.

use std::collections::BTreeMap;

use firn_model::{ArticlePolicy, CaseSummary, Maker, Passage, SysId};

use super::extract::cut;
use crate::format;

/// The lengths of the columns, in characters.
const TITLE: usize = 100;
const KEYWORDS: usize = 1_000;

/// What an article is found again by: a key word that nothing else has. Of the ticket, so that whichever link speaks
/// for it, there is one.
#[must_use]
pub fn key(ticket: &SysId) -> String {
    format!("firn-{ticket}")
}

/// What a draft has to say.
#[must_use]
pub fn content(summary: &CaseSummary) -> BTreeMap<&'static str, String> {
    let text = |plain: &str| format::write(firn_model::TextFormat::Html, plain);
    let list = |title: &str, passages: &[Passage]| {
        if passages.is_empty() {
            return String::new();
        }
        let items: String =
            passages.iter().map(|passage| format!("<li>{}</li>", text(&passage.text))).collect();
        format!("<h2>{title}</h2><ul>{items}</ul>")
    };
    let ticket = summary.ticket.number.as_deref().unwrap_or(summary.ticket.sys_id.as_str());
    let maker = match summary.maker {
        Maker::Extract => "of the words of",
        Maker::Rules => "by rules of",
        Maker::Model => "by a language model of",
    };
    let named = if summary.articles.is_empty() {
        String::new()
    } else {
        format!("<p>See also {}.</p>", text(&summary.articles.join(", ")))
    };
    let body = format!(
        "<p>{}</p>{}{}{named}<p><em>Drafted {maker} {}; to be reviewed by a person before it is published.</em></p>",
        text(&summary.asked),
        list("What was found", &summary.found),
        list("What solved it", &summary.solved),
        text(ticket),
    );
    let key = key(&summary.ticket.sys_id);
    let room = KEYWORDS - key.len() - 2;
    let tags = cut(&summary.tags.join(", "), room);
    let keywords = if tags.is_empty() { key } else { format!("{key}, {tags}") };
    let title = summary.asked.lines().next().unwrap_or_default();
    BTreeMap::from([("short_description", cut(title, TITLE)), ("text", body), ("meta", keywords)])
}

/// What a new one has besides.
#[must_use]
pub fn beginning(policy: &ArticlePolicy, summary: &CaseSummary) -> BTreeMap<&'static str, String> {
    let mut columns = content(summary);
    columns.insert("workflow_state", "draft".to_owned());
    columns.insert("kb_knowledge_base", policy.knowledge_base.to_string());
    columns.insert("source", summary.ticket.sys_id.to_string());
    if let Some(category) = &policy.category {
        columns.insert("kb_category", category.to_string());
    }
    columns
}
