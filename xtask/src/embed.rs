//! `cargo embed`: what others embed, into `target/embed`. Gateways and the filter need Rust alone; the package
//! for Node needs npm, that for Python pip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use firn_builder::{Place, Target, componentize, modules, put, turn};

use crate::python;

/// What makes JavaScript and types of a component.
const JCO: (&str, &str) = ("@bytecodealliance/jco", "1.35.0");

/// What can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Gateways,
    Envoy,
    Node,
    Python,
}

const PARTS: &[(&str, Part)] = &[
    ("gateways", Part::Gateways),
    ("envoy", Part::Envoy),
    ("node", Part::Node),
    ("python", Part::Python),
];

/// Makes the parts that are named, or all.
pub(crate) fn run(wanted: &[String]) -> Result<()> {
    let known = |name: &String| {
        let found = PARTS.iter().find(|(known, _)| known == name).map(|(_, part)| *part);
        found.with_context(|| {
            format!("there is no {name}; there are: gateways, envoy, node, python")
        })
    };
    let wanted: Vec<Part> = if wanted.is_empty() {
        PARTS.iter().map(|(_, part)| *part).collect()
    } else {
        wanted.iter().map(known).collect::<Result<_>>()?
    };
    let root = std::env::current_dir()?;
    let root = root.ancestors().find(|at| at.join("wit/core.wit").exists());
    let root = root.context("this is not within Firn's repository")?.to_owned();
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let out = target.join("embed");
    let _turn = turn(&out).map_err(anyhow::Error::msg)?;
    let place = Place { root, target: target.join("guest") };
    for part in wanted {
        match part {
            Part::Gateways => gateways(&place, &out)?,
            Part::Envoy => envoy(&place, &out)?,
            Part::Node => node(&place, &target.join(format!("tools/jco-{}", JCO.1)), &out)?,
            Part::Python => packed_python(&place, &out)?,
        }
    }
    Ok(())
}

fn say(path: &Path) {
    println!("{}", path.display());
}

fn gateways(place: &Place, out: &Path) -> Result<()> {
    let packages = ["firn-gateway-proxy", "firn-gateway-middleware"];
    let built = modules(place, Target::Unknown, &packages).map_err(anyhow::Error::msg)?;
    for (module, name) in built.iter().zip(["gateway-proxy", "gateway-middleware"]) {
        let component = out.join(format!("{name}.wasm"));
        componentize(module, &component).map_err(anyhow::Error::msg)?;
        say(&component);
    }
    Ok(())
}

fn envoy(place: &Place, out: &Path) -> Result<()> {
    let built =
        modules(place, Target::Wasip1, &["firn-envoy-filter"]).map_err(anyhow::Error::msg)?;
    let filter = out.join("envoy-filter.wasm");
    for module in built {
        put(&filter, &fs::read(&module)?).map_err(anyhow::Error::msg)?;
    }
    say(&filter);
    Ok(())
}

fn core(place: &Place, component: &Path) -> Result<()> {
    // As Firn's own build selects them: what both are made of is compiled once.
    let packages = ["firn-core-component", "firn-engine-component"];
    let built = modules(place, Target::Unknown, &packages).map_err(anyhow::Error::msg)?;
    let module = built.first().context("nothing was built")?;
    componentize(module, component).map_err(anyhow::Error::msg)
}

/// The package for Node: `core.js` and its types as jco makes them of the component, packed as npm publishes it.
fn node(place: &Place, tools: &Path, out: &Path) -> Result<()> {
    let made = out.join("node");
    copied(&place.root.join("packages/node"), &made)?;
    let component = out.join("core.wasm");
    core(place, &component)?;
    let jco = tools.join("node_modules/.bin/jco");
    if !jco.exists() {
        fs::create_dir_all(tools)?;
        fs::write(tools.join("package.json"), "{\"private\":true,\"type\":\"module\"}")?;
        let mut npm = Command::new("npm");
        npm.current_dir(tools).args(["install", "--silent", "--no-audit", "--no-fund"]);
        npm.arg(format!("{}@{}", JCO.0, JCO.1));
        done("npm", &mut npm)?;
    }
    let mut transpile = Command::new(&jco);
    transpile.arg("transpile").arg(&component);
    transpile.args(["--name", "core", "--quiet", "--out-dir"]).arg(made.join("dist"));
    done("jco", &mut transpile)?;
    let mut pack = Command::new("npm");
    pack.current_dir(&made).args(["pack", "--silent"]).arg("--pack-destination").arg(out);
    done("npm pack", &mut pack)?;
    say(&made);
    Ok(())
}

/// The package for Python: the component, and modules that are written from its WIT, packed as a wheel.
fn packed_python(place: &Place, out: &Path) -> Result<()> {
    let made = out.join("python");
    copied(&place.root.join("packages/python"), &made)?;
    let package = made.join("src/firn_core");
    core(place, &package.join("core.wasm"))?;
    for (name, text) in python::modules(&place.root.join("wit"))? {
        fs::write(package.join(name), text)?;
    }
    let mut wheel = Command::new("python3");
    wheel.args(["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]).arg(out).arg(&made);
    done("pip wheel", &mut wheel)?;
    say(&made);
    Ok(())
}

/// Runs a program whose output is nobody's business unless it fails.
fn done(name: &str, command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{name} cannot be started; is it installed?"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{name} failed: {}", String::from_utf8_lossy(&said));
    }
    Ok(())
}

/// A folder's files, in the place of whatever is there.
fn copied(from: &Path, to: &Path) -> Result<()> {
    if to.is_dir() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            copied(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}
