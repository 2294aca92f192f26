//! Compiling rules in a process of its own. What compiling a component takes is up to whoever made it: so
//! it has limits on memory and on the processor's time, and what goes wrong there goes wrong nowhere else.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use firn_runtime::rules::RulesEngine;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::keep::NotTaken;

/// The command by which the program compiles. No user types it.
pub(crate) const COMMAND: &str = "compile-rules";
/// The most memory that compiling may take. In bytes.
const MEMORY: u64 = 3 << 30;
/// The most of a processor's time. In seconds.
const SECONDS: u64 = 30;
/// The most time by the clock on the wall.
const PATIENCE: Duration = Duration::from_secs(90);
/// The most machine code. In bytes.
const MACHINE_CODE: u64 = 256 << 20;

/// The child: a component from stdin, machine code to stdout. Exit 1 with a sentence on stderr if it is no
/// good.
pub(crate) fn child() -> Result<()> {
    let limit =
        |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    // What is written to, not what is reserved: an instance reserves far more than it ever has.
    limit(Resource::Data, MEMORY)?;
    limit(Resource::Cpu, SECONDS)?;
    limit(Resource::Core, 0)?;
    // Whoever is served comes first.
    let _ = rustix::process::setpriority_process(None, 10);
    let mut wasm = Vec::new();
    std::io::stdin().lock().read_to_end(&mut wasm)?;
    let (machine_code, _) = match RulesEngine::modest()?.compile(&wasm) {
        Ok(compiled) => compiled,
        Err(why) => bail!("{why}"),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&machine_code)?;
    out.flush()?;
    Ok(())
}

/// Compiles a component in a child and keeps what comes of it in a file.
///
/// # Errors
/// What is wrong with it, in a sentence for whoever made it.
pub(crate) fn in_a_child(program: &Path, wasm: &[u8], file: &Path) -> Result<(), NotTaken> {
    let cannot = |why: std::io::Error| {
        NotTaken::Failed(anyhow::Error::new(why).context("it cannot be compiled now"))
    };
    let no_child = || NotTaken::Failed(anyhow::anyhow!("it cannot be compiled now"));
    let unsound = |why: String| Err(NotTaken::Unsound(why));
    let mut child = Command::new(program)
        .arg(COMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(no_child());
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that has seen enough closes its end.
            let _ = stdin.write_all(wasm);
        });
        let code = scope.spawn(move || {
            let mut code = Vec::new();
            let read = stdout.take(MACHINE_CODE + 1).read_to_end(&mut code);
            read.map(|_| code)
        });
        let said = scope.spawn(move || {
            let mut said = String::new();
            let _ = stderr.take(4_096).read_to_string(&mut said);
            said
        });
        let ended = wait(&mut child).map_err(cannot)?;
        let code = code.join().map_err(|_| no_child())?;
        let said = said.join().unwrap_or_default();
        let code = code.map_err(cannot)?;
        // It was not let finish.
        let ended = if code.len() as u64 > MACHINE_CODE { Ended::Well } else { ended };
        match ended {
            Ended::Well if code.len() as u64 > MACHINE_CODE => {
                unsound(format!("its machine code is larger than {} MiB", MACHINE_CODE >> 20))
            }
            Ended::Well => firn_runtime::put_whole(file, &code).map_err(cannot),
            Ended::Badly => {
                let said = said.trim();
                let said = said.strip_prefix("firn: ").unwrap_or(said);
                let last = said.lines().last().unwrap_or_default();
                unsound(if last.is_empty() {
                    "it cannot be compiled".to_owned()
                } else {
                    last.to_owned()
                })
            }
            Ended::Killed(signal)
                if signal == rustix::process::Signal::XCPU.as_raw() || signal == 9 =>
            {
                unsound(format!("compiling it took more than {SECONDS} s of a processor"))
            }
            Ended::Killed(_) => unsound(format!(
                "compiling it took more than {} GiB of memory, or the compiler failed on it",
                MEMORY >> 30
            )),
            Ended::Late => {
                unsound(format!("compiling it took longer than {} s", PATIENCE.as_secs()))
            }
        }
    })
}

enum Ended {
    Well,
    Badly,
    Killed(i32),
    Late,
}

fn wait(child: &mut Child) -> std::io::Result<Ended> {
    use std::os::unix::process::ExitStatusExt;
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(match status.signal() {
                Some(signal) => Ended::Killed(signal),
                None if status.success() => Ended::Well,
                None => Ended::Badly,
            });
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(Ended::Late);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        // A name that is taken by something that no file can take the place of.
        let taken = folder.path().join("taken.cwasm");
        std::fs::create_dir(&taken).unwrap();
        std::fs::write(taken.join("in it"), "").unwrap();
        assert!(firn_runtime::put_whole(&taken, b"code").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let good = folder.path().join("good.cwasm");
        firn_runtime::put_whole(&good, b"code").unwrap();
        assert_eq!(std::fs::read(good).unwrap(), b"code");
    }
}
