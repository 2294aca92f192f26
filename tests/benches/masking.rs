//! `cargo bench -p firn-tests --bench masking`: masking of tickets, natively and in the component,
//! beside a plain scan (Aho-Corasick over words, and runs of digits) of the same texts in the same
//! run; and of texts that were made to be slow.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastrand::Rng;
use firn_core::masking;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

mod bindings {
    #![allow(missing_docs, unreachable_pub)]
    wasmtime::component::bindgen!({ world: "core", path: "../wit" });
}

/// What tickets say when they say nothing personal: with numbers, dates, versions and ids, as they
/// do.
const PLAIN: &[&str] = &[
    "User reports that the VPN client drops every 20 minutes since the update on 2025-03-11.",
    "Restarted the print spooler on the server and cleared 14 jobs; printing works again.",
    "Please raise the quota of the shared mailbox from 50 GB to 100 GB before Friday.",
    "Outlook shows error 0x800CCC0E when sending attachments larger than 20 MB.",
    "The order 4500123987 was booked twice; see INC0012345 and CHG0040021 for what was done.",
    "Laptop does not wake from sleep. Asset tag LT-20391, BIOS 1.27.0, Windows 11 23H2.",
    "We rolled back to version 8.4.2.1 and the error rate went from 12.5 % to 0.3 % within 5 minutes.",
    "Caller could not say when it began; she thinks that it was after the change last week.",
    "Job batch-20250311-0042 failed with exit code 137 after 3 retries.",
    "sys_id a1b2c3d4e5f60718293a4b5c6d7e8f90, update set 3f2504e0-4f89-11d3-9a0c-0305e82c3301.",
    "The badge reader at gate B does not open; facilities were told, work order 88213.",
    "Escalated to the network team, they see packet loss of 4 % on the uplink since 14:05.",
    "New starter on Monday needs a laptop, a monitor, a badge and access to SAP and Workday.",
    "The report takes 340 s instead of 25 s; the database shows a full scan of 2,300,000 rows.",
    "Workaround: close the browser, clear the cache, log in again. Fix planned for release 24.2.",
    "Monitor flickers at 60 Hz, fine at 59.94 Hz; cable replaced, same effect.",
    "Customer waited 12 minutes in the queue and asks for a credit of $35.00 on the next bill.",
    "Certificate of the portal expires on 30.04.2025 at 23:59 UTC; renewal is in CHG0040388.",
    "Screen shows \"Access denied\" after the second step, see the screenshot in the attachments.",
    "Ticket was reopened by the requester: the shared drive is slow again in the afternoon.",
];

/// What they say when they do.
const PERSONAL: &[&str] = &[
    "Caller is best reached on her mobile 415-555-0132 after 3 pm.",
    "Callback to +49 30 901820 requested, extension unknown.",
    "Please answer to ann.lee@example.com, the old address is not read any more.",
    "She read out her card 4111 1111 1111 1111 to the bot, expiry 04/27.",
    "Refund to IBAN DE89 3704 0044 0532 0130 00 agreed.",
    "Identity checked: date of birth 29.02.1980, last order known.",
    "SSN 219-09-9999 was given in the chat.",
    "Login from 203.0.113.77 was blocked by the gateway.",
    "The config has password: Winter2025! in clear.",
    "Deploy key AKIAIOSFODNN7EXAMPLE was found in the log.",
];

fn tickets(share: f64) -> Vec<String> {
    let mut rng = Rng::with_seed(7);
    (0..1_000)
        .map(|_| {
            let personal = rng.f64() < share;
            let mut sentences = Vec::new();
            let mut length = 0;
            while length < 540 {
                let sentence = PLAIN[rng.usize(..PLAIN.len())];
                length += sentence.len() + 1;
                sentences.push(sentence);
            }
            if personal {
                for _ in 0..rng.usize(1..4) {
                    let place = rng.usize(..sentences.len());
                    sentences.insert(place, PERSONAL[rng.usize(..PERSONAL.len())]);
                }
            }
            sentences.join(if rng.bool() { "\n" } else { " " })
        })
        .collect()
}

/// What any masker has to do at least: search the words, and sum up digits.
struct PlainScan(AhoCorasick);

impl PlainScan {
    fn new() -> PlainScan {
        let mut builder = AhoCorasick::builder();
        builder.ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA));
        PlainScan(builder.build(masking::words()).unwrap())
    }

    fn scan(&self, text: &str) -> usize {
        let words = self.0.find_iter(text).count();
        let (mut runs, mut sum, mut within) = (0, 0usize, false);
        for byte in text.bytes() {
            let digit = byte.is_ascii_digit();
            runs += usize::from(digit && !within);
            if digit {
                sum += usize::from(byte - b'0');
            }
            within = digit;
        }
        words + runs + sum
    }
}

/// The core component, compiled for speed, as a host that serves runs it.
struct InComponent {
    store: Store<()>,
    instance: bindings::Core,
}

impl InComponent {
    fn new() -> InComponent {
        let mut config = Config::new();
        config.concurrency_support(false);
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, firn_components::CORE).unwrap();
        let mut store = Store::new(&engine, ());
        let linker: Linker<()> = Linker::new(&engine);
        let instance = bindings::Core::instantiate(&mut store, &component, &linker).unwrap();
        InComponent { store, instance }
    }

    fn mask(&mut self, text: &str) -> usize {
        self.instance.firn_sync_masking().call_mask(&mut self.store, text).unwrap().text.len()
    }
}

fn speed(criterion: &mut Criterion) {
    let mut component = InComponent::new();
    let plain = PlainScan::new();
    for (name, share) in [("clean", 0.0), ("mixed", 1.0 / 3.0), ("dense", 1.0)] {
        let tickets = tickets(share);
        let bytes: usize = tickets.iter().map(String::len).sum();
        let mut group = criterion.benchmark_group(format!("masking 1,000 {name} tickets"));
        group.throughput(Throughput::BytesDecimal(bytes as u64));
        group.bench_function("plain scan", |b| {
            b.iter(|| tickets.iter().map(|t| plain.scan(t)).sum::<usize>())
        });
        group.bench_function("native", |b| {
            b.iter(|| tickets.iter().map(|t| masking::mask(t).text.len()).sum::<usize>())
        });
        group.bench_function("component", |b| {
            b.iter(|| tickets.iter().map(|t| component.mask(t)).sum::<usize>())
        });
        group.finish();
    }
}

/// Units that make a masker look again and again when they are repeated.
const UNITS: &[&str] = &[
    "1 ",
    "4 ",
    "4 1 ",
    "phone 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 ",
    "secret token ",
    "1.",
    "1-",
    ":",
    "ab:",
    "a.",
    "x@a.a.",
    "@",
    "eyJ",
    "a://",
    "(415) ",
    "4111 ",
    "dob ",
    "dob 1 ",
    "password ",
    "password: ",
    "-----BEGIN PRIVATE KEY-----",
    "+1",
    "AB12 ",
    "phone ",
    "passport ",
    "\u{FF11}",
    "{\"a\":[",
    "bc1q",
    "0x1",
    "GB82 ",
    "%40",
    "a,b\n",
    "[PHONE] ",
];

/// As they are, after something that is replaced.
const LED: &[(&str, &str)] = &[("pwd=x1-", "date of birth_")];

/// What a call costs whatever the text.
fn call(criterion: &mut Criterion) {
    let mut component = InComponent::new();
    criterion.bench_function("masking nothing in the component", |b| b.iter(|| component.mask("")));
}

fn adversarial(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("masking what was made to be slow");
    group.sample_size(10);
    for (head, unit) in UNITS.iter().map(|unit| ("", *unit)).chain(LED.iter().copied()) {
        for size in [100_000, 200_000] {
            let text = format!("{head}{}", unit.repeat((size - head.len()) / unit.len()));
            group.throughput(Throughput::BytesDecimal(text.len() as u64));
            group.bench_with_input(
                BenchmarkId::new(format!("{head:?} {unit:?}"), size),
                &text,
                |b, text| b.iter(|| masking::mask(text)),
            );
        }
    }
    group.finish();
}

criterion_group!(benches, speed, call, adversarial);
criterion_main!(benches);
