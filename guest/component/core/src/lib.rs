//! The `core` component: the pure part alone, importing nothing. Conversions, nothing else.
#![allow(missing_docs, unsafe_code)]

wit_bindgen::generate!({ world: "core", path: "../../../wit" });

use exports::firn::sync::{masking, planner};
use firn_core::plan::{Input, advance};
use firn_core::settings;
use firn_model::{Integration, Link, Millis};

struct Core;

impl masking::Guest for Core {
    fn mask(text: String) -> masking::Masked {
        let masked = firn_core::masking::mask(&text);
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let spans = masked.spans.iter().map(|span| masking::Span {
            kind: span.kind.name().to_owned(),
            start: offset(span.start),
            end: offset(span.end),
        });
        masking::Masked { spans: spans.collect(), text: masked.text }
    }
}

impl planner::Guest for Core {
    fn advance(
        integration: String,
        link: String,
        inputs: String,
        now: i64,
    ) -> Result<String, String> {
        let integration: Integration =
            serde_json::from_str(&integration).map_err(|e| format!("integration: {e}"))?;
        let rules = settings::compile(integration)
            .map_err(|faults| serde_json::to_string(&faults).unwrap_or_default())?;
        let link: Link = serde_json::from_str(&link).map_err(|e| format!("link: {e}"))?;
        let inputs: Vec<Input> =
            serde_json::from_str(&inputs).map_err(|e| format!("inputs: {e}"))?;
        let plan = advance(&rules, link, &inputs, Millis(now));
        serde_json::to_string(&plan).map_err(|e| e.to_string())
    }
}

export!(Core);
