//! Rules that mean harm, or are broken: by hand, one fault each, and a thousand that chance made. Whatever
//! they do there is an answer, with a reason that a person understands, and good rules on the same engine
//! answer as before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use firn_model::rule::{Admission, Answer, Question, Said, Subject, Verdict};
use firn_model::{FieldName, Inquiry, Side, TableName};
use firn_runtime::rules::{Asked, Prepared, RuleLimits, RulesEngine};
use wasm_smith::Config;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

static ENGINE: LazyLock<RulesEngine> = LazyLock::new(|| RulesEngine::new().unwrap());

const WIT: &str = include_str!("../../../wit/rules/rules.wit");

// ---- making components -----------------------------------------------------------------------

/// A component of a core module, for a world in a package that may use `firn:rules`.
fn component_of(module: &[u8], rules: &str, world: &str) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    resolve.push_str("rules.wit", rules).map_err(|e| format!("{e:#}"))?;
    let package = resolve
        .push_str("world.wit", &format!("package my:rules; world rules {{ {world} }}"))
        .map_err(|e| format!("{e:#}"))?;
    let world = resolve.select_world(&[package], Some("rules")).map_err(|e| format!("{e:#}"))?;
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|e| format!("{e:#}"))?;
    ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .map_err(|e| format!("{e:#}"))
}

const EXPORTS: &str = "import firn:rules/log@0.1.0; export firn:rules/admit@0.1.0; export firn:rules/draft@0.1.0; export firn:rules/value@0.1.0;";

/// A module with three hooks. `value` does what is told; so may what else the module has.
struct Module<'a> {
    /// Memories, tables, data, further functions.
    more: &'a str,
    memory: &'a str,
    realloc: &'a str,
    /// Gives the address of its answer.
    value: &'a str,
    draft: &'a str,
    admit: &'a str,
}

/// The answer "keep" lies at 1024: `result` 0, `verdict` 0; "yes" likewise.
const PLAIN: Module<'static> = Module {
    more: "",
    memory: "(memory (export \"memory\") 2)",
    realloc: BUMP,
    value: "i32.const 1024",
    draft: "i32.const 1024",
    admit: "i32.const 1024",
};

const BUMP: &str = "
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
  (global.set $next (i32.add (local.get $at) (local.get 3)))
  (local.get $at)";

impl Module<'_> {
    fn text(&self) -> String {
        let Module { more, memory, realloc, value, draft, admit } = self;
        format!(
            r#"(module
  (import "firn:rules/log@0.1.0" "line" (func $line (param i32 i32)))
  {memory}
  (global $next (mut i32) (i32.const 8192))
  (global $calls (mut i32) (i32.const 0))
  (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
  (func $value (export "firn:rules/value@0.1.0#decide") (param i32) (result i32) {value})
  (func $draft (export "firn:rules/draft@0.1.0#decide") (param i32) (result i32) {draft})
  (func $admit (export "firn:rules/admit@0.1.0#decide") (param i32) (result i32) {admit})
  {more}
)"#
        )
    }

    fn component(&self) -> Vec<u8> {
        let text = self.text();
        let module = wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        component_of(&module, WIT, EXPORTS).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }
}

// ---- asking ----------------------------------------------------------------------------------

fn subject() -> Subject {
    Subject {
        integration: "prod".to_owned(),
        record: "42".to_owned(),
        table: TableName::new("incident").unwrap(),
        number: None,
        began: Side::Platform,
        platform: BTreeMap::from([("severity".to_owned(), "low".to_owned())]),
        ticket: BTreeMap::new(),
        payload: None,
    }
}

fn value_question() -> Question {
    Question::Value {
        field: FieldName::new("severity").unwrap(),
        from: Side::Platform,
        value: "low".to_owned(),
        present: None,
    }
}

fn draft() -> Question {
    Question::Draft { columns: BTreeMap::new() }
}

fn ask(rules: &Prepared, questions: Vec<Question>) -> Asked {
    let inquiry = Inquiry { about: subject(), questions };
    let asked = rules.ask(&inquiry, &RuleLimits::default());
    assert_eq!(asked.answers.len(), inquiry.questions.len());
    asked
}

fn keep() -> Answer {
    Answer::Said(Said::Value(Verdict::Keep))
}

/// Good rules, which are asked again after every fault.
static GOOD: LazyLock<Prepared> =
    LazyLock::new(|| ENGINE.compiled(&PLAIN.component()).expect("the plain one is good"));

fn the_neighbour_is_well() {
    let asked = ask(&GOOD, vec![Question::Admit, value_question()]);
    assert_eq!(asked.answers, [Answer::Said(Said::Admit(Admission::Yes)), keep()]);
}

/// What must come of a fault.
enum Then {
    /// It fails at once, with a reason that has this in it.
    Fails(&'static str),
    /// It is answered, and nothing worse comes of it: what is answered is for the core to check.
    Answers,
}
use Then::{Answers, Fails};

fn fails(name: &str, component: &[u8], question: Question, then: &Then) {
    let began = Instant::now();
    let rules = match (ENGINE.compiled(component), then) {
        (Ok(rules), _) => rules,
        (Err(why), Fails(part)) if why.contains(part) && why.contains("before it is asked") => {
            return the_neighbour_is_well();
        }
        (Err(why), _) => panic!("{name}: {why}"),
    };
    // The neighbours' question is asked in the same breath; it has its own fate.
    let asked = ask(&rules, vec![question.clone(), Question::Admit, question]);
    let (first, last) = (&asked.answers[0], &asked.answers[2]);
    match (then, first) {
        (Fails(part), Answer::Failed(why)) => {
            assert!(why.contains(part), "{name}: {why:?} does not say {part:?}");
            assert!(why.chars().count() < 1_200, "{name}: {} characters", why.len());
        }
        (Answers, Answer::Said(_)) => {}
        (_, other) => panic!("{name}: {other:?}"),
    }
    // On a machine that is busy the time may be used up before the instructions are.
    if !format!("{first:?}{last:?}").contains("longer than") {
        assert_eq!(first, last, "{name}: one question, one answer");
    }
    // Far beyond what it may take: whatever it is, it ends.
    assert!(began.elapsed() < Duration::from_secs(20), "{name} took {:?}", began.elapsed());
    the_neighbour_is_well();
}

// ---- faults by hand --------------------------------------------------------------------------

#[test]
fn traps() {
    for (name, value) in [
        ("unreachable", "unreachable"),
        ("division by zero", "(i32.div_u (i32.const 1) (i32.const 0))"),
        ("overflow", "(i32.div_s (i32.const 0x80000000) (i32.const -1))"),
        ("no number", "(i32.trunc_f32_s (f32.const nan))"),
        ("load beyond", "(i32.load (i32.const 0x7fffffff))"),
        ("load at the end", "(i32.load (i32.const -1))"),
        ("store beyond", "(i32.store (i32.const -8) (i32.const 1)) i32.const 1024"),
        ("fill beyond", "(memory.fill (i32.const 0) (i32.const 1) (i32.const -1)) i32.const 1024"),
        ("copy beyond", "(memory.copy (i32.const 0) (i32.const -9) (i32.const 99)) i32.const 1024"),
        ("no function", "(call_indirect (result i32) (i32.const 0))"),
        ("another function", "(call_indirect (result i32) (i32.const 1))"),
        ("beyond the table", "(call_indirect (result i32) (i32.const 999))"),
    ] {
        let more = "(table 4 funcref) (elem (i32.const 1) $realloc)";
        let component = Module { value, more, ..PLAIN }.component();
        let reason = match name {
            "unreachable" => "came to a fault",
            // What it would write is counted before it is looked where.
            "fill beyond" => "instructions",
            _ => "trapped",
        };
        fails(name, &component, value_question(), &Fails(reason));
    }
}

#[test]
fn no_end() {
    const LOOP: &str = "(loop $l (br $l)) i32.const 1024";
    for (name, module, reason) in [
        ("a loop", Module { value: LOOP, ..PLAIN }, "it took"),
        (
            "a loop in a loop",
            Module { value: "(loop $a (loop $b (br $b)) (br $a)) i32.const 1024", ..PLAIN },
            "it took",
        ),
        (
            "a loop that writes",
            Module {
                value: "(loop $l (memory.fill (i32.const 8192) (i32.const 7) (i32.const 65536)) (br $l)) i32.const 1024",
                ..PLAIN
            },
            "it took",
        ),
        (
            "a loop that takes memory",
            Module {
                value: "(loop $l (drop (memory.grow (i32.const 0))) (br $l)) i32.const 1024",
                ..PLAIN
            },
            "it took",
        ),
        (
            "a loop that logs",
            Module {
                value: "(loop $l (call $line (i32.const 0) (i32.const 900)) (br $l)) i32.const 1024",
                ..PLAIN
            },
            "it took",
        ),
        (
            "a loop where memory is asked for",
            Module { realloc: "(loop $l (br $l)) i32.const 0", ..PLAIN },
            "it took",
        ),
        (
            "a loop before anything is asked",
            Module { more: "(func $s (loop $l (br $l))) (start $s)", ..PLAIN },
            "it took",
        ),
        (
            "a loop that jumps through a table",
            Module { value: "(loop $l (br_table $l $l (i32.const 1))) i32.const 1024", ..PLAIN },
            "it took",
        ),
        (
            "a loop of floats",
            Module {
                value: "(local $f f64) (loop $l (local.set $f (f64.sqrt (f64.add (local.get $f) (f64.const 1)))) (br $l)) i32.const 1024",
                ..PLAIN
            },
            "it took",
        ),
        (
            "a loop after the answer",
            Module {
                more: "(func (export \"cabi_post_firn:rules/value@0.1.0#decide\") (param i32) (loop $l (br $l)))",
                ..PLAIN
            },
            "it took",
        ),
        ("itself again", Module { value: "(call $value (local.get 0))", ..PLAIN }, "too deep"),
        (
            "each other again",
            Module {
                value: "(call $draft (local.get 0))",
                draft: "(call $value (local.get 0))",
                ..PLAIN
            },
            "too deep",
        ),
        (
            "deep where memory is asked for",
            Module {
                realloc: "(call $realloc (local.get 0) (local.get 1) (local.get 2) (local.get 3))",
                ..PLAIN
            },
            "too deep",
        ),
        (
            "deep with many locals",
            Module {
                value: "(local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (i32.add (call $value (local.get 0)) (i32.const 1))",
                ..PLAIN
            },
            "too deep",
        ),
    ] {
        fails(name, &module.component(), value_question(), &Fails(reason));
    }
}

#[test]
fn too_much_memory() {
    let grow = |pages: &str| {
        format!(
            "(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable)) i32.const 1024"
        )
    };
    let (all, much) = (grow("65000"), grow("1100"));
    for (name, module) in [
        ("everything at once", Module { value: &all, ..PLAIN }),
        ("more than there is", Module { value: &much, ..PLAIN }),
        (
            "a little for ever",
            Module {
                value: "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
                ..PLAIN
            },
        ),
        ("from the beginning", Module { memory: "(memory (export \"memory\") 1100)", ..PLAIN }),
        (
            "all from the beginning",
            Module { memory: "(memory (export \"memory\") 65536)", ..PLAIN },
        ),
        (
            "two memories",
            Module { memory: "(memory (export \"memory\") 600) (memory $second 600)", ..PLAIN },
        ),
        ("a large table", Module { more: "(table 10000000 funcref)", ..PLAIN }),
        (
            "a table that grows",
            Module {
                more: "(table $t 1 funcref)",
                value: "(if (i32.eq (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1)) (then unreachable)) i32.const 1024",
                ..PLAIN
            },
        ),
        ("many tables", Module { more: "(table 15000 funcref) (table 15000 funcref)", ..PLAIN }),
    ] {
        fails(name, &module.component(), value_question(), &Fails("it wanted"));
    }
    // Whoever takes a refusal well goes on.
    let polite = "(drop (memory.grow (i32.const 65000))) i32.const 1024";
    fails(
        "asked in vain",
        &Module { value: polite, ..PLAIN }.component(),
        value_question(),
        &Answers,
    );
    let data = Module { more: "(data (i32.const 131070) \"beyond\")", ..PLAIN };
    fails("data beyond the memory", &data.component(), value_question(), &Fails("trapped"));
}

/// Code that writes an answer at 2048 and gives its address.
fn answer(words: &[(u32, i64)]) -> String {
    let stores: String = words
        .iter()
        .map(|(at, word)| format!("(i32.store (i32.const {}) (i32.const {word}))", 2048 + at))
        .collect();
    format!("{stores} i32.const 2048")
}

#[test]
fn junk_and_giants() {
    let big = "(memory (export \"memory\") 512)";
    let text = |at: i64, length: i64| answer(&[(0, 0), (4, 1), (8, at), (12, length)]);
    for (name, code, memory, then) in [
        ("an answer beyond", "i32.const -16".to_owned(), PLAIN.memory, Fails("cannot be read")),
        (
            "an answer at the end",
            "i32.const 131068".to_owned(),
            PLAIN.memory,
            Fails("cannot be read"),
        ),
        ("an odd answer", "i32.const 1025".to_owned(), PLAIN.memory, Fails("cannot be read")),
        ("a text beyond", text(0x7fff_0000, 10), PLAIN.memory, Fails("cannot be read")),
        ("a text as long as it gets", text(0, -1), PLAIN.memory, Fails("handed over")),
        ("a text of 16 MiB", text(0, 16 << 20), big, Fails("handed over")),
        ("a text just too long", text(0, (1 << 20) + 1), big, Fails("handed over")),
        (
            "a text that is none",
            format!("(i32.store (i32.const 4096) (i32.const -2)) {}", text(4096, 4)),
            PLAIN.memory,
            Fails("cannot be read"),
        ),
        ("no such result", answer(&[(0, 255)]), PLAIN.memory, Fails("cannot be read")),
        ("no such verdict", answer(&[(0, 0), (4, 3)]), PLAIN.memory, Fails("cannot be read")),
        (
            "no such verdict at all",
            answer(&[(0, 0), (4, 255)]),
            PLAIN.memory,
            Fails("cannot be read"),
        ),
        (
            "an error beyond",
            answer(&[(0, 1), (4, 0x7fff_0000), (8, 9)]),
            PLAIN.memory,
            Fails("cannot be read"),
        ),
        ("an error of 16 MiB", answer(&[(0, 1), (4, 0), (8, 16 << 20)]), big, Fails("handed over")),
        (
            "an error of 100 KiB",
            answer(&[(0, 1), (4, 65536), (8, 100 << 10)]),
            big,
            Fails("it says"),
        ),
        ("zeros as a text", text(65_536, 100), PLAIN.memory, Answers),
    ] {
        let component = Module { value: &code, memory, ..PLAIN }.component();
        fails(name, &component, value_question(), &then);
    }
    let list = |at: i64, length: i64| answer(&[(0, 0), (4, at), (8, length)]);
    for (name, code, then) in [
        ("a list as long as it gets", list(0, -1), Fails("")),
        ("a list of two billion", list(0, 0x7fff_ffff), Fails("")),
        ("a list of a million", list(65_536, 1_000_000), Fails("handed over")),
        ("a list beyond", list(0x7fff_0000, 1), Fails("cannot be read")),
        ("an odd list", list(65_537, 1), Fails("cannot be read")),
        // Each of its 100,000 entries is the same text of 1 KiB: a hundred megabytes from a few.
        (
            "one text a hundred thousand times",
            format!(
                "(local $i i32) (loop $l
                   (i32.store (i32.add (i32.const 65536) (local.get $i)) (i32.const 0))
                   (i32.store (i32.add (i32.const 65540) (local.get $i)) (i32.const 1024))
                   (local.set $i (i32.add (local.get $i) (i32.const 8)))
                   (br_if $l (i32.lt_u (local.get $i) (i32.const 1600000)))) {}",
                list(65_536, 100_000)
            ),
            Fails("handed over"),
        ),
    ] {
        let component = Module { draft: &code, memory: big, ..PLAIN }.component();
        fails(name, &component, draft(), &then);
    }
}

#[test]
fn memory_that_is_given_badly() {
    for (name, realloc) in [
        ("memory beyond", "i32.const -64"),
        ("odd memory", "i32.const 8193"),
        ("memory past the end", "i32.const 131072"),
    ] {
        let component = Module { realloc, ..PLAIN }.component();
        fails(name, &component, value_question(), &Fails(""));
    }
    // It only harms itself.
    for (name, realloc) in [("nothing", "i32.const 0"), ("always the same", "i32.const 8192")] {
        fails(name, &Module { realloc, ..PLAIN }.component(), value_question(), &Answers);
    }
}

#[test]
fn logs() {
    for (name, value, then) in [
        (
            "a line beyond",
            "(call $line (i32.const 0x7fff0000) (i32.const 9)) i32.const 1024",
            Fails("cannot be read"),
        ),
        (
            "a line as long as it gets",
            "(call $line (i32.const 0) (i32.const -1)) i32.const 1024",
            Fails("handed over"),
        ),
        (
            "a line that is no text",
            "(i32.store (i32.const 4096) (i32.const -2)) (call $line (i32.const 4096) (i32.const 4)) i32.const 1024",
            Fails("cannot be read"),
        ),
    ] {
        fails(name, &Module { value, ..PLAIN }.component(), value_question(), &then);
    }
    let much = "(local $i i32) (loop $l (call $line (i32.const 65536) (i32.const 60000))
        (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 500)))) i32.const 1024";
    let rules = ENGINE.compiled(&Module { value: much, ..PLAIN }.component()).unwrap();
    let asked = ask(&rules, vec![value_question()]);
    assert_eq!(asked.answers, [keep()]);
    assert_eq!(asked.lines.len(), 100, "no more are kept");
    assert!(asked.lines.iter().all(|line| line.chars().count() <= 1_000));
}

#[test]
fn what_remembers_is_forgotten() {
    // Says something else each time that it is called: keep, then an error.
    let value = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 2048) (i32.sub (global.get $calls) (i32.const 1))) i32.const 2048";
    let rules = ENGINE.compiled(&Module { value, ..PLAIN }.component()).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&rules, vec![value_question()]).answers, [keep()]);
    }
}

// ---- what is no component, or not ours -------------------------------------------------------

fn refused(name: &str, bytes: &[u8], part: &str) {
    let why = ENGINE.compile(bytes).err().unwrap_or_else(|| panic!("{name} was taken"));
    assert!(why.contains(part), "{name}: {why:?} does not say {part:?}");
    assert!(!why.contains('\n'), "{name}: {why}");
    the_neighbour_is_well();
}

#[test]
fn broken_files() {
    let whole = PLAIN.component();
    refused("nothing", b"", "no WebAssembly");
    refused("a text", b"export const value = {}", "no WebAssembly");
    refused("a header alone", b"\0asm\x0d\0\x01\0", "no hook");
    refused("a module", &wat::parse_str("(module)").unwrap(), "not a component");
    for cut in [9, 50, whole.len() / 4, whole.len() / 2, whole.len() - 40, whole.len() - 1] {
        refused(&format!("cut at {cut}"), &whole[..cut], "");
    }
    let mut flipped = 0;
    for at in (8..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        // Some still mean something: then they are asked.
        match ENGINE.compiled(&bytes) {
            Err(_) => flipped += 1,
            Ok(rules) => {
                let _ = ask(&rules, vec![Question::Admit]);
            }
        }
    }
    assert!(flipped > 50, "{flipped}");
    the_neighbour_is_well();
}

#[test]
fn components_of_another_kind() {
    let module = |text: &str| wat::parse_str(text).unwrap();
    let empty = module("(module)");
    refused("no hook", &component_of(&empty, WIT, "").unwrap(), "no hook");
    let file = "package wasi:files; interface all { read: func(name: string) -> list<u8>; }";
    let mut resolve = Resolve::default();
    resolve.push_str("files.wit", file).unwrap();
    let package =
        resolve.push_str("w.wit", "package my:w; world w { import wasi:files/all; }").unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut reads = module(
        r#"(module (import "wasi:files/all" "read" (func (param i32 i32 i32))) (memory (export "memory") 1)
           (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0))"#,
    );
    embed_component_metadata(&mut reads, &resolve, world, StringEncoding::UTF8).unwrap();
    let reads = ComponentEncoder::default().module(&reads).unwrap().encode().unwrap();
    refused("files", &reads, "it imports wasi:files/all");
    let hook = |name: &str| {
        format!(
            r#"(module (memory (export "memory") 1)
               (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
               (func (export "{name}#decide") (param i32) (result i32) i32.const 0))"#
        )
    };
    let later = WIT.replace("firn:rules@0.1.0", "firn:rules@0.2.0");
    let code = module(&hook("firn:rules/value@0.2.0"));
    let later = component_of(&code, &later, "export firn:rules/value@0.2.0;").unwrap();
    refused("a later version", &later, "@0.2.0; this Firn has firn:rules/types@0.1.0");
    let wrong = WIT.replace(
        "decide: func(about: subject) -> result<admission, string>",
        "decide: func(about: subject) -> result<string, string>",
    );
    let code = module(&hook("firn:rules/admit@0.1.0"));
    let wrong = component_of(&code, &wrong, "export firn:rules/admit@0.1.0;").unwrap();
    refused("another type", &wrong, "its hook admit is not as");
    let strange = WIT.replace("interface admit", "interface approve");
    let strange = strange.replace("export admit", "export approve");
    let code = module(&hook("firn:rules/approve@0.1.0"));
    let strange = component_of(&code, &strange, "export firn:rules/approve@0.1.0;").unwrap();
    refused("no such hook", &strange, "there is no such hook");
}

#[test]
fn bombs() {
    // What compiling takes is limited by the process that compiles; here, that it ends and harms nobody.
    let deep = format!("{}{} i32.const 1024", "(block ".repeat(20_000), ")".repeat(20_000));
    let many: String = (0..20_000).map(|i| format!("(func (result i32) i32.const {i})")).collect();
    let locals = "(local i64) ".repeat(60_000);
    let wide: String =
        (0..30_000).map(|i| format!("(i32.add (i32.const {i}) (i32.const 1)) drop ")).collect();
    for (name, module, part) in [
        ("deep blocks", Module { value: &deep, ..PLAIN }, None),
        ("many functions", Module { more: &many, ..PLAIN }, None),
        ("many instructions", Module { value: &format!("{wide} i32.const 1024"), ..PLAIN }, None),
        ("many locals", Module { value: &format!("{locals} i32.const 1024"), ..PLAIN }, Some("")),
    ] {
        let text = module.text();
        let Ok(bytes) = wat::parse_str(&text) else { continue };
        let component = component_of(&bytes, WIT, EXPORTS);
        match (component, part) {
            (Ok(component), None) => fails(name, &component, value_question(), &Answers),
            (Ok(component), Some(part)) => refused(name, &component, part),
            (Err(_), _) => {} // It cannot even be made.
        }
    }
}

// ---- a thousand that chance made -------------------------------------------------------------

#[test]
fn a_thousand_that_chance_made() {
    let shape = wat::parse_str(
        r#"(module (memory (export "memory") 1)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
          (func (export "firn:rules/value@0.1.0#decide") (param i32) (result i32) unreachable)
          (func (export "firn:rules/draft@0.1.0#decide") (param i32) (result i32) unreachable)
          (func (export "firn:rules/admit@0.1.0#decide") (param i32) (result i32) unreachable))"#,
    )
    .unwrap();
    let exports = EXPORTS.replace("import firn:rules/log@0.1.0;", "");
    let limits =
        RuleLimits { time: Duration::from_millis(25), fuel: 20_000_000, ..RuleLimits::default() };
    let mut random = Random(0x5eed);
    let (mut made, mut refused, mut failed, mut answered) = (0, 0, 0, 0);
    while made < 1_000 {
        let length = 400 + (random.next() % 3_000) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let config = Config {
            exports: Some(shape.clone()),
            max_imports: 0,
            gc_enabled: false,
            reference_types_enabled: false,
            threads_enabled: false,
            memory64_enabled: false,
            relaxed_simd_enabled: false,
            exceptions_enabled: false,
            wide_arithmetic_enabled: false,
            custom_page_sizes_enabled: false,
            shared_everything_threads_enabled: false,
            tail_call_enabled: made % 2 == 0,
            ..Config::default()
        };
        let mut unstructured = arbitrary(&bytes);
        let Ok(module) = wasm_smith::Module::new(config, &mut unstructured) else { continue };
        let Ok(component) = component_of(&module.to_bytes(), WIT, &exports) else { continue };
        made += 1;
        let rules = match ENGINE.compiled(&component) {
            Ok(rules) => rules,
            Err(why) => {
                assert!(why.contains("before it is asked"), "{made}: {why}");
                refused += 1;
                continue;
            }
        };
        let questions = vec![value_question(), draft(), Question::Admit];
        let inquiry = Inquiry { about: subject(), questions };
        for answer in rules.ask(&inquiry, &limits).answers {
            match answer {
                Answer::Failed(why) => {
                    assert!(!why.trim().is_empty());
                    failed += 1;
                }
                Answer::Said(_) => answered += 1,
                other => panic!("{other:?}"),
            }
        }
        if made % 50 == 0 {
            the_neighbour_is_well();
        }
    }
    assert_eq!(failed + answered, 3 * (1_000 - refused));
    println!(
        "{refused} could not be made; of the others' answers {failed} were failures, {answered} were answers"
    );
    assert!(refused < 500 && failed > 1_000 && answered > 0);
}

/// The same numbers every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
}

fn arbitrary(bytes: &[u8]) -> arbitrary::Unstructured<'_> {
    arbitrary::Unstructured::new(bytes)
}
