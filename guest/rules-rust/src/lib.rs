//! Incidents of people who must not wait are of high severity in ServiceNow at least, whatever the
//! platform says.
//!
//! Which hooks there are, what each is given and what it may answer: `wit/deps/firn-rules.wit`. A hook that
//! is to be asked has to stand in `wit/world.wit` too.

wit_bindgen::generate!({ world: "rules", path: "wit", generate_all });

use exports::firn::rules::value::{Change, Guest, Verdict};
use firn::rules::log;
use firn::rules::types::{Side, Subject};

/// CHANGE. Who must not wait, by e-mail.
const VIPS: &[&str] = &["ceo@example.com", "cfo@example.com"];

/// The platform's attribute that names the caller. It is there if the settings map it:
///
/// ```toml
/// [fields.caller]
/// kind = "reference"
/// column = "caller_id"
/// table = "sys_user"
/// key = "email"
/// ```
const CALLER: &str = "caller";

struct Rules;

impl Guest for Rules {
    fn decide(about: Subject, change: Change) -> Result<Verdict, String> {
        if change.field != "severity" || change.from != Side::Platform {
            return Ok(Verdict::Keep);
        }
        let caller = about.platform.iter().find(|(name, _)| name == CALLER);
        let caller = caller.map_or("", |(_, value)| value.as_str()).to_lowercase();
        if !VIPS.contains(&caller.as_str()) {
            return Ok(Verdict::Keep);
        }
        log::line(&format!("{} comes from somebody who must not wait", about.record_id));
        Ok(match change.value.as_str() {
            "medium" | "low" => Verdict::Instead("high".to_owned()),
            _ => Verdict::Keep,
        })
    }
}

export!(Rules);
