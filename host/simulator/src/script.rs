//! Scripts, executed: rows of `sys_script` and `sys_ws_operation` run as JavaScript in QuickJS, with
//! `current`, `previous`, `gs`, `GlideRecord`, `sn_ws.RESTMessageV2` and `GlideCertificateEncryption`.
//! Each run has a fresh context, limited memory and limited time; a script that fails leaves a line
//! in `syslog`. Every call of a script that touches the database locks the instance for itself alone.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine;
use hmac::{Hmac, Mac};
use rquickjs::{CatchResultExt, Context, Function, Runtime, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::Sha256;

use crate::query::Query;
use crate::session::Session;
use crate::tables::{Changed, Record, now};

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

/// What a rule left behind.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// `current` as the script left it (of interest for before-rules).
    pub(crate) current: Record,
    pub(crate) aborted: bool,
}

/// A request as a Scripted REST resource sees it.
#[derive(Debug, Serialize)]
pub(crate) struct RestRequest {
    pub(crate) body: String,
    pub(crate) query: std::collections::BTreeMap<String, Vec<String>>,
    pub(crate) path: std::collections::BTreeMap<String, String>,
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    pub(crate) uri: String,
}

/// What it answered.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RestAnswer {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) body: Json,
    /// The script failed; the reason.
    #[serde(default)]
    pub(crate) failed: Option<String>,
}

#[derive(Serialize)]
struct Given<'a> {
    table: &'a str,
    current: &'a Record,
    previous: Option<&'a Record>,
    shown: &'a Record,
    user: &'a str,
    user_id: String,
    now: &'a str,
}

/// The objects that scripts expect, in front of every script. ES5, like the engine of an instance.
const PRELUDE: &str = include_str!("prelude.js");

/// Runs one rule on one change.
pub(crate) fn rule(
    session: &Rc<Session>,
    script: &str,
    condition: &str,
    changed: &Changed,
    shown: &Record,
) -> Ran {
    let left = Rc::new(RefCell::new(Ran { current: changed.current.clone(), aborted: false }));
    let condition = if condition.trim().is_empty() { "true" } else { condition };
    // A script that throws after it aborted has aborted.
    let source = format!(
        "try {{ if ({condition}) {{\n{script}\n}} }} catch (__e) {{ if (!__aborted) {{ throw __e; }} __log('error', String(__e)); }}\n__done();"
    );
    let leaving = Rc::clone(&left);
    let leave = move |row: String, aborted: bool| {
        let mut left = leaving.borrow_mut();
        left.aborted = aborted;
        if let Ok(row) = serde_json::from_str(&row) {
            left.current = row;
        }
    };
    if let Err(why) = evaluate(session, &source, changed, shown, &json!(null), leave) {
        session.log("error", &why);
    }
    Rc::try_unwrap(left).map(RefCell::into_inner).unwrap_or_default()
}

/// Runs a Scripted REST resource.
pub(crate) fn rest(session: &Rc<Session>, script: &str, request: &RestRequest) -> RestAnswer {
    let answer = Rc::new(RefCell::new(RestAnswer { status: 200, ..RestAnswer::default() }));
    let leaving = Rc::clone(&answer);
    let leave = move |text: String, _: bool| {
        if let Ok(given) = serde_json::from_str(&text) {
            *leaving.borrow_mut() = given;
        }
    };
    let nothing = Changed { table: String::new(), current: Record::new(), previous: None };
    // What the script as a whole comes to is what its last expression does.
    let source = format!(
        "var __returned;\ntry {{ __returned = (0, eval)({}); }} catch (__e) {{\n  if (!__e || !__e.status) {{ throw __e; }}\n  response.setError(__e);\n}}\n__answer(__returned);",
        Json::from(script)
    );
    let request = serde_json::to_value(request).unwrap_or_default();
    let ran = evaluate(session, &source, &nothing, &Record::new(), &request, leave);
    let mut answer = Rc::try_unwrap(answer).map(RefCell::into_inner).unwrap_or_default();
    if let Err(why) = ran {
        session.log("error", &why);
        answer = RestAnswer { status: 500, failed: Some(why), ..RestAnswer::default() };
    }
    answer
}

fn evaluate(
    session: &Rc<Session>,
    source: &str,
    changed: &Changed,
    shown: &Record,
    request: &Json,
    leave: impl Fn(String, bool) + 'static,
) -> Result<(), String> {
    let runtime = Runtime::new().map_err(|e| e.to_string())?;
    runtime.set_memory_limit(MEMORY);
    runtime.set_max_stack_size(512 << 10);
    let end = Instant::now() + TIME;
    runtime.set_interrupt_handler(Some(Box::new(move || Instant::now() > end)));
    let context = Context::full(&runtime).map_err(|e| e.to_string())?;
    let (user_id, latin1) = {
        let instance = session.lock();
        let user = instance.tables.first("sys_user", "user_name", &session.user);
        (
            user.and_then(|u| u.get("sys_id").cloned()).unwrap_or_default(),
            instance.tables.quirks.mac_in_latin1,
        )
    };
    let given = serde_json::to_string(&Given {
        table: &changed.table,
        current: &changed.current,
        previous: changed.previous.as_ref(),
        shown,
        user: &session.user,
        user_id,
        now: &now(),
    })
    .map_err(|e| e.to_string())?;
    let request = request.to_string();
    let source = format!("{PRELUDE}\n{source}");
    context.with(|ctx| {
        let globals = ctx.globals();
        let logging = Rc::clone(session);
        let log = Function::new(ctx.clone(), move |level: String, text: String| {
            logging.log(&level, &text);
        });
        let sending = Rc::clone(session);
        let send = Function::new(ctx.clone(), move |call: String| {
            if let Ok(call) = serde_json::from_str(&call) {
                sending.send_later(call);
            }
        });
        let leave = Function::new(ctx.clone(), leave);
        let mac = Function::new(ctx.clone(), move |key: String, data: String| {
            if latin1 {
                let narrow: Vec<u8> =
                    data.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
                return sign(&key, &narrow);
            }
            sign(&key, data.as_bytes())
        });
        let asking = Rc::clone(session);
        let database = Function::new(ctx.clone(), move |asked: String| {
            let asked: Json = serde_json::from_str(&asked).unwrap_or_default();
            database(&asking, &asked).to_string()
        });
        let functions = [
            ("__log", log),
            ("__send", send),
            ("__leave", leave),
            ("__mac", mac),
            ("__db", database),
        ];
        for (name, function) in functions {
            let function = function.map_err(|e| e.to_string())?;
            globals.set(name, function).map_err(|e| e.to_string())?;
        }
        globals.set("__given", given).map_err(|e| e.to_string())?;
        globals.set("__request", request).map_err(|e| e.to_string())?;
        ctx.eval::<Value<'_>, _>(source).catch(&ctx).map(|_| ()).map_err(|e| e.to_string())
    })
}

/// What a script asks of the database. Each question takes the lock for itself.
fn database(session: &Rc<Session>, asked: &Json) -> Json {
    let text = |name: &str| asked[name].as_str().unwrap_or_default();
    let table = text("table");
    let set = || -> Record { serde_json::from_value(asked["set"].clone()).unwrap_or_default() };
    let workflow = asked["workflow"] != false;
    match text("op") {
        "property" => {
            let instance = session.lock();
            let row = instance.tables.first("sys_properties", "name", text("name"));
            json!(row.and_then(|row| row.get("value").cloned()))
        }
        "target" => json!(crate::schema::reference(text("name")).unwrap_or_default()),
        "rights" => {
            let instance = session.lock();
            let columns = asked["columns"].as_array().into_iter().flatten();
            let rights: serde_json::Map<String, Json> = columns
                .filter_map(Json::as_str)
                .map(|column| {
                    let right =
                        instance.access.right(&instance.tables, &session.user, table, column);
                    (column.to_owned(), json!(right))
                })
                .collect();
            Json::Object(rights)
        }
        "guid" => json!(session.lock().tables.guid()),
        "query" => {
            let instance = session.lock();
            let query = Query::parse(text("query"), &instance.tables, table);
            let mut rows: Vec<&Record> = instance
                .tables
                .of(table)
                .filter(|row| query.matches(&instance.tables, row))
                .collect();
            rows.sort_by(|a, b| query.compare(&instance.tables, a, b));
            rows.truncate(usize::try_from(asked["limit"].as_u64().unwrap_or(10_000)).unwrap_or(0));
            let rows: Vec<Json> = rows
                .into_iter()
                .map(|row| json!({ "row": row, "shown": instance.shown(row) }))
                .collect();
            json!(rows)
        }
        "insert" => match session.insert(table, &set(), workflow) {
            Ok(row) => json!({ "row": row }),
            Err(why) => json!({ "error": why.to_string() }),
        },
        "update" => match session.update(table, text("sys_id"), &set(), workflow) {
            Ok(row) => json!({ "row": row }),
            Err(why) => json!({ "error": why.to_string() }),
        },
        "delete" => match session.delete(table, text("sys_id"), workflow) {
            Ok(()) => json!({ "row": {} }),
            Err(why) => json!({ "error": why.to_string() }),
        },
        _ => Json::Null,
    }
}

/// `generateMac(base64 key, 'HmacSHA256', data)`: base64 of the MAC.
fn sign(key: &str, data: &[u8]) -> String {
    let engine = base64::engine::general_purpose::STANDARD;
    let Ok(key) = engine.decode(key) else { return String::new() };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
    mac.update(data);
    engine.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Instance;

    fn session() -> Rc<Session> {
        let instance = Instance::new(1, crate::Faults::default());
        Session::new(&std::sync::Arc::new(std::sync::Mutex::new(instance)), "admin")
    }

    fn ran(session: &Rc<Session>, script: &str) -> Ran {
        let changed = Changed {
            table: "incident".to_owned(),
            current: Record::from([
                ("sys_id".to_owned(), "1".to_owned()),
                ("state".to_owned(), "2".to_owned()),
            ]),
            previous: Some(Record::from([("state".to_owned(), "1".to_owned())])),
        };
        rule(session, script, "", &changed, &changed.current)
    }

    fn logged(session: &Session) -> Vec<String> {
        let instance = session.lock();
        let mut lines: Vec<&Record> = instance.tables.of("syslog").collect();
        // The second half of a sys_id counts.
        lines.sort_by_key(|row| row["sys_id"][16..].to_owned());
        let told = lines.into_iter().map(|row| row["message"].clone());
        told.filter(|line| !line.starts_with("an insert into")).collect()
    }

    #[test]
    fn the_documented_check_value_of_generate_mac() {
        let expected = "4VWUI48lJvmGSF6MYmOVWA9c0hfu55Ur+3e+fUFFFr4=";
        assert_eq!(sign("c2FtcGxlX2tleQ==", b"sample_data"), expected);
        let session = session();
        ran(
            &session,
            "gs.info(new GlideCertificateEncryption().generateMac('c2FtcGxlX2tleQ==', 'HmacSHA256', 'sample_data'));",
        );
        assert_eq!(logged(&session), [expected]);
    }

    #[test]
    fn a_rule_posts_what_changed() {
        let session = session();
        let property = Record::from([
            ("name".to_owned(), "x.url".to_owned()),
            ("value".to_owned(), "http://127.0.0.1:1/in".to_owned()),
        ]);
        session.lock().tables.insert("sys_properties", &property, "system").unwrap();
        ran(
            &session,
            "(function executeRule(current, previous) {
               var r = new sn_ws.RESTMessageV2();
               r.setEndpoint(gs.getProperty('x.url'));
               r.setHttpMethod('POST');
               r.setRequestHeader('Content-Type', 'application/json');
               r.setRequestBody(JSON.stringify({ state: current.state.toString(), was: previous.state + '', odd: '${x}' }));
               r.executeAsync();
             })(current, previous);",
        );
        assert_eq!(logged(&session), [""; 0]);
        let outbound = session.outbound();
        assert_eq!(outbound.len(), 1);
        assert_eq!(outbound[0].url, "http://127.0.0.1:1/in");
        // Substitution is on unless it is switched off: `${x}` has vanished.
        assert_eq!(outbound[0].body, r#"{"state":"2","was":"1","odd":""}"#);
    }

    #[test]
    fn a_script_reads_and_writes_rows() {
        let session = session();
        ran(
            &session,
            "var inc = new GlideRecord('incident');
             inc.initialize();
             inc.short_description = 'one';
             inc.setValue('correlation_id', 'k1');
             var id = inc.insert();
             var again = new GlideRecord('incident');
             again.addQuery('correlation_id', 'k1');
             again.query();
             while (again.next()) {
               again.short_description = again.getValue('short_description') + ' and two';
               again.update();
             }
             var got = new GlideRecord('incident');
             gs.info(got.get(id) + ' ' + got.short_description + ' ' + got.getDisplayValue('state') + ' ' + got.getValue('sys_mod_count'));
             gs.info(String(new GlideRecord('incident').get('0')));
             gs.info(String(got.opened_by.email));
             got.deleteRecord();
             var none = new GlideRecord('incident');
             none.query();
             gs.info(none.getRowCount());",
        );
        assert_eq!(logged(&session), ["true one and two New 1", "false", "admin@example.com", "0"]);
    }

    #[test]
    fn the_primary_key_refuses_a_second_insert() {
        let session = session();
        let insert = "var r = new GlideRecord('incident'); r.initialize();
             r.setNewGuidValue('0123456789abcdef0123456789abcdef'); r.short_description = 'x';
             gs.info(String(r.insert()));";
        ran(&session, insert);
        ran(&session, insert);
        assert_eq!(logged(&session), ["0123456789abcdef0123456789abcdef", "null"]);
    }

    #[test]
    fn a_script_cannot_hang_or_break_the_instance() {
        let failed = |script: &str| {
            let session = session();
            ran(&session, script);
            logged(&session)
        };
        assert!(failed("throw new Error('boom')")[0].contains("boom"));
        assert_eq!(failed("this is no script").len(), 1);
        let endless = "var a = []; while (true) { a.push(new Array(100000).join('x')); }";
        assert_eq!(failed(endless).len(), 1);
    }
}
