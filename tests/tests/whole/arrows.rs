//! The arrows of the house, and the borders of the components.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// For each crate, the crates of ours that it may know. Development dependencies do not count.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("firn-memory", &[]),
    ("firn-model", &[]),
    ("firn-signature", &[]),
    ("firn-core", &["firn-model", "firn-signature"]),
    ("firn-driver", &["firn-model", "firn-core"]),
    ("firn-core-component", &["firn-memory", "firn-model", "firn-core"]),
    ("firn-engine-component", &["firn-memory", "firn-model", "firn-core", "firn-driver"]),
    ("firn-gateway-proxy", &["firn-model", "firn-core"]),
    ("firn-gateway-middleware", &["firn-model", "firn-core"]),
    ("firn-envoy-filter", &["firn-model", "firn-core"]),
    ("firn-builder", &[]),
    ("firn-components", &[]),
    ("firn-runtime", &["firn-model", "firn-components"]),
    ("firn-storage", &["firn-model"]),
    ("firn-remote", &["firn-model", "firn-signature"]),
    ("firn-knowledge", &["firn-model"]),
    ("firn-simulator", &[]),
    // Mutation testing builds it once a mutant: no runtime, no components.
    ("firn-laws", &["firn-model", "firn-core", "firn-driver", "firn-storage"]),
    (
        "firn",
        &[
            "firn-model",
            "firn-knowledge",
            "firn-runtime",
            "firn-storage",
            "firn-remote",
            "firn-simulator",
        ],
    ),
];

#[test]
fn arrows_point_towards_what_is_known() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut knows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let known = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|d| d["kind"].is_null() && d["path"].is_string())
            .map(|d| d["name"].as_str().unwrap().to_owned())
            .collect();
        knows.insert(package["name"].as_str().unwrap().to_owned(), known);
    }
    for (name, may) in MAY_KNOW {
        let may: BTreeSet<String> = may.iter().map(|s| (*s).to_owned()).collect();
        let does = knows.get(*name).unwrap_or_else(|| panic!("there is no crate {name}"));
        assert!(does.is_subset(&may), "{name} knows {:?}", does.difference(&may));
    }
    let ruled: BTreeSet<&str> = MAY_KNOW
        .iter()
        .map(|(name, _)| *name)
        .chain(["firn-tests", "firn-test-postgres", "firn-echo", "firn-trap", "xtask"])
        .collect();
    for name in knows.keys() {
        assert!(ruled.contains(name.as_str()), "{name} has no rule here");
    }
}

fn imports(wasm: &[u8]) -> Vec<String> {
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::new(&engine, wasm).unwrap();
    let ty = component.component_type();
    ty.imports(&engine).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_core_imports_nothing_and_the_engine_exactly_its_doors() {
    assert_eq!(imports(firn_components::CORE), Vec::<String>::new());
    let mut engine = imports(firn_components::ENGINE);
    engine.sort();
    let doors = ["clock", "http", "log", "rules", "secrets", "storage", "types"];
    let expected: Vec<String> = doors.iter().map(|d| format!("firn:sync/{d}@0.1.0")).collect();
    assert_eq!(engine, expected);
}
