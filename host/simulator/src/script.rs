//! Business rules, executed: rows of `sys_script` run as JavaScript in QuickJS, with `current`,
//! `previous`, `gs`, `sn_ws.RESTMessageV2` and `GlideCertificateEncryption`. Each run has a fresh
//! context, limited memory and limited time; a script that fails leaves a line in `syslog`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine;
use hmac::{Hmac, Mac};
use rquickjs::{CatchResultExt, Context, Function, Runtime};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::tables::{Changed, Record};

const MEMORY: usize = 32 << 20;
const TIME: Duration = Duration::from_secs(5);

/// An outbound call of a script.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Outbound {
    pub(crate) url: String,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What a run left behind.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) outbound: Vec<Outbound>,
    pub(crate) log: Vec<(String, String)>,
    /// `current` as the script left it (of interest for before-rules).
    pub(crate) current: Record,
    pub(crate) aborted: bool,
}

/// What a script can ask of the instance.
pub(crate) struct World<'a> {
    pub(crate) property: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) guid: &'a dyn Fn() -> String,
    pub(crate) user: &'a str,
    pub(crate) now: String,
}

#[derive(Serialize)]
struct Given<'a> {
    table: &'a str,
    current: &'a Record,
    previous: Option<&'a Record>,
    shown: &'a Record,
    user: &'a str,
    now: &'a str,
}

/// The objects that scripts expect, in front of every script. ES5, like the engine of an instance.
const PRELUDE: &str = include_str!("prelude.js");

/// Runs one rule on one change.
pub(crate) fn run(
    script: &str,
    condition: &str,
    changed: &Changed,
    shown: &Record,
    world: &World<'_>,
) -> Ran {
    let ran = Rc::new(RefCell::new(Ran { current: changed.current.clone(), ..Ran::default() }));
    if let Err(why) = evaluate(script, condition, changed, shown, world, &ran) {
        ran.borrow_mut().log.push(("error".to_owned(), why));
    }
    Rc::try_unwrap(ran).map(RefCell::into_inner).unwrap_or_default()
}

fn evaluate(
    script: &str,
    condition: &str,
    changed: &Changed,
    shown: &Record,
    world: &World<'_>,
    ran: &Rc<RefCell<Ran>>,
) -> Result<(), String> {
    let runtime = Runtime::new().map_err(|e| e.to_string())?;
    runtime.set_memory_limit(MEMORY);
    runtime.set_max_stack_size(512 << 10);
    let end = Instant::now() + TIME;
    runtime.set_interrupt_handler(Some(Box::new(move || Instant::now() > end)));
    let context = Context::full(&runtime).map_err(|e| e.to_string())?;
    // What the script may ask during its run was read before it: it cannot wait for the instance.
    let given = serde_json::to_string(&Given {
        table: &changed.table,
        current: &changed.current,
        previous: changed.previous.as_ref(),
        shown,
        user: world.user,
        now: &world.now,
    })
    .map_err(|e| e.to_string())?;
    let properties: std::collections::BTreeMap<String, String> = names(script)
        .into_iter()
        .filter_map(|name| (world.property)(&name).map(|value| (name, value)))
        .collect();
    let properties = serde_json::to_string(&properties).map_err(|e| e.to_string())?;
    let guids: Vec<String> = (0..8).map(|_| (world.guid)()).collect();
    let guids = serde_json::to_string(&guids).map_err(|e| e.to_string())?;
    context.with(|ctx| {
        let globals = ctx.globals();
        let logged = Rc::clone(ran);
        let log = Function::new(ctx.clone(), move |level: String, text: String| {
            logged.borrow_mut().log.push((level, text));
        });
        let sent = Rc::clone(ran);
        let send = Function::new(ctx.clone(), move |json: String| {
            if let Ok(outbound) = serde_json::from_str(&json) {
                sent.borrow_mut().outbound.push(outbound);
            }
        });
        let left = Rc::clone(ran);
        let leave = Function::new(ctx.clone(), move |json: String, aborted: bool| {
            let mut ran = left.borrow_mut();
            if let Ok(current) = serde_json::from_str(&json) {
                ran.current = current;
            }
            ran.aborted = aborted;
        });
        let mac = Function::new(ctx.clone(), |key: String, data: String| sign(&key, &data));
        let set = || -> rquickjs::Result<()> {
            globals.set("__given", given)?;
            globals.set("__properties", properties)?;
            globals.set("__guids", guids)?;
            globals.set("__log", log?)?;
            globals.set("__send", send?)?;
            globals.set("__leave", leave?)?;
            globals.set("__mac", mac?)?;
            Ok(())
        };
        set().map_err(|e| e.to_string())?;
        let condition = if condition.trim().is_empty() { "true" } else { condition };
        let source = format!("{PRELUDE}\nif ({condition}) {{\n{script}\n}}\n__done();");
        ctx.eval::<(), _>(source).catch(&ctx).map_err(|e| e.to_string())
    })
}

/// Property names that a script mentions: every quoted text in it.
fn names(script: &str) -> Vec<String> {
    script.split(['\'', '"']).skip(1).step_by(2).map(str::to_owned).collect()
}

/// `generateMac(base64 key, 'HmacSHA256', data)`: base64 of the MAC.
fn sign(key: &str, data: &str) -> String {
    let engine = base64::engine::general_purpose::STANDARD;
    let Ok(key) = engine.decode(key) else { return String::new() };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
    mac.update(data.as_bytes());
    engine.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(script: &str) -> Ran {
        let changed = Changed {
            table: "incident".to_owned(),
            current: Record::from([
                ("sys_id".to_owned(), "1".to_owned()),
                ("state".to_owned(), "2".to_owned()),
            ]),
            previous: Some(Record::from([("state".to_owned(), "1".to_owned())])),
        };
        let world = World {
            property: &|name| (name == "x.url").then(|| "http://127.0.0.1:1/in".to_owned()),
            guid: &|| "0".repeat(32),
            user: "admin",
            now: "2026-04-29 14:30:00".to_owned(),
        };
        run(script, "", &changed, &changed.current, &world)
    }

    #[test]
    fn the_documented_check_value_of_generate_mac() {
        let expected = "4VWUI48lJvmGSF6MYmOVWA9c0hfu55Ur+3e+fUFFFr4=";
        assert_eq!(sign("c2FtcGxlX2tleQ==", "sample_data"), expected);
        let ran = ran(
            "gs.info(new GlideCertificateEncryption().generateMac('c2FtcGxlX2tleQ==', 'HmacSHA256', 'sample_data'));",
        );
        assert_eq!(ran.log, [("info".to_owned(), expected.to_owned())]);
    }

    #[test]
    fn a_rule_posts_what_changed() {
        let ran = ran(
            "(function executeRule(current, previous) {
               var r = new sn_ws.RESTMessageV2();
               r.setEndpoint(gs.getProperty('x.url'));
               r.setHttpMethod('POST');
               r.setRequestHeader('Content-Type', 'application/json');
               r.setRequestBody(JSON.stringify({ state: current.state.toString(), was: previous.state + '', odd: '${x}' }));
               r.executeAsync();
             })(current, previous);",
        );
        assert_eq!(ran.log, []);
        assert_eq!(ran.outbound.len(), 1);
        assert_eq!(ran.outbound[0].url, "http://127.0.0.1:1/in");
        // Substitution is on unless it is switched off: `${x}` has vanished.
        assert_eq!(ran.outbound[0].body, r#"{"state":"2","was":"1","odd":""}"#);
    }

    #[test]
    fn a_script_cannot_hang_or_break_the_instance() {
        assert!(ran("throw new Error('boom')").log[0].1.contains("boom"));
        assert!(ran("this is no script").log.len() == 1);
        assert!(
            ran("var a = []; while (true) { a.push(new Array(100000).join('x')); }").log.len() == 1
        );
    }
}
