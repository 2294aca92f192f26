//! How long it takes to start, and how much memory it takes to do nothing: with nothing compiled yet, warm, and on a
//! store with so many events that was left by a `kill -9`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use firn_model::{
    Change, Delivery, DeliveryState, Expect, InboundKind, Key, Millis, Put, TenantId,
};
use firn_storage::{MasterKey, Sqlite, Store};
use firn_tests::process::{Client, Firn, binary, free_port};

/// So long it does nothing before its memory is looked at.
const IDLE: Duration = Duration::from_secs(3);
/// How often it is started.
const TIMES: usize = 9;
/// So many events are stored at once.
const BATCH: u64 = 1_000;

pub(crate) async fn print(events: u64) -> Result<()> {
    let place = tempfile::tempdir()?;
    let data = place.path().join("data");
    println!(
        "to the first answer, and resident memory {} s later without an integration",
        IDLE.as_secs()
    );
    let (took, memory) = start(&data).await?;
    println!("{:>9.0} ms {memory:>7.0} MiB  with nothing compiled yet", took);
    warm(&data, "warm").await?;
    if events == 0 {
        return Ok(());
    }
    let began = Instant::now();
    let filled = Command::new(std::env::current_exe()?)
        .arg("--fill")
        .arg(&data)
        .args(["--events", &events.to_string()])
        .status()?;
    ensure!(!filled.success(), "it was to end as by kill -9");
    let size = std::fs::metadata(data.join("firn.db"))?.len() >> 20;
    let log = std::fs::metadata(data.join("firn.db-wal")).map_or(0, |log| log.len()) >> 20;
    println!(
        "{events} events were stored in {:.0} s: {size} MiB, and {log} MiB in its log when it was killed",
        began.elapsed().as_secs_f64()
    );
    let (took, memory) = start(&data).await?;
    println!("{took:>9.0} ms {memory:>7.0} MiB  after that");
    warm(&data, "and again").await
}

async fn warm(data: &Path, what: &str) -> Result<()> {
    let (mut took, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let (ms, mib) = start(data).await?;
        took.push(ms);
        memory.push(mib);
    }
    let (median, most) = (crate::percentile(&mut took, 0.5), crate::percentile(&mut took, 1.0));
    let memory = crate::percentile(&mut memory, 1.0);
    println!("{median:>9.0} ms {memory:>7.0} MiB  {what} ({TIMES} times, at most {most:.0} ms)");
    Ok(())
}

/// Starts it, and kills it in the end. Milliseconds, and MiB.
async fn start(data: &Path) -> Result<(f64, f64)> {
    let (program, listen) = (binary()?, free_port()?);
    let client = Client::new(listen)?;
    let began = Instant::now();
    let firn = Firn::start(&program, data, listen)?;
    let end = began + Duration::from_secs(60);
    loop {
        let answer = client.http.get(format!("{}/readyz", client.url)).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            break;
        }
        ensure!(Instant::now() < end, "it does not come up");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed().as_secs_f64() * 1e3;
    tokio::time::sleep(IDLE).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", firn.id()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no such process")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    firn.kill()?;
    Ok((took, kib / 1_024.0))
}

/// Stores events that were worked on, as they are kept for a week, and ends without a goodbye.
pub(crate) fn fill(data: &Path, events: u64) -> Result<()> {
    let key = std::fs::read_to_string(data.join("master.key"))?;
    let key = base64::engine::general_purpose::STANDARD.decode(key.trim())?;
    let key = <[u8; 32]>::try_from(key).ok().context("no master key")?;
    let store = Sqlite::open(&data.join("firn.db"), &MasterKey::new(key))?;
    let tenant = TenantId::new("acme")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let now = Millis(i64::try_from(now)?);
    let words =
        "Search is slow and the caller has restarted it twice; it helps for a minute. ".repeat(10);
    for batch in 0..events.div_ceil(BATCH) {
        let numbers = batch * BATCH..events.min((batch + 1) * BATCH);
        let changes: Result<Vec<Change>> = numbers
            .map(|n| {
                let identity = format!("{:020x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let delivery = Delivery {
                    identity: identity.clone(),
                    kind: InboundKind::Webhook,
                    body:
                        serde_json::json!({ "number": format!("INC{n:07}"), "description": words })
                            .to_string(),
                    received: now,
                    state: DeliveryState::Done("nothing".to_owned()),
                    links: Vec::new(),
                };
                let due = Some(now.plus(7 * 86_400_000));
                let put = Some(Put { value: serde_json::to_string(&delivery)?, due });
                Ok(Change {
                    key: Key::new(&tenant, &["delivery", "desk", &identity]),
                    expect: Expect::Absent,
                    put,
                })
            })
            .collect();
        store.commit(&changes?)?;
    }
    std::process::abort()
}
