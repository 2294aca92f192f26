//! The published JSON Schema of settings is what the code reads. To write it anew:
//! `FIRN_ACCEPT=1 cargo test --release --test whole schema::`.

use serde_json::{Value as Json, json};

fn generated() -> Json {
    let mut schema = serde_json::to_value(schemars::schema_for!(firn_model::Settings)).unwrap();
    schema["$id"] = json!("https://firn.dev/schemas/settings.json");
    schema["title"] = json!("Firn settings");
    schema["description"] =
        json!("One integration. Everything has a value from its preset; a file says what differs.");
    // What a file says besides the settings.
    let texts = [
        ("slug", "A short name for the command line; it says which integration the file is for."),
        ("name", "Its name for people."),
        ("organization_id", "Whose it is; needed when it is new."),
        ("base_url", "The instance: https://your-instance.service-now.com"),
        (
            "callback_secret",
            "Signs what is posted to the platform. env:NAME and file:PATH are looked up.",
        ),
        ("webhook_secret", "Signs ServiceNow's webhooks. env:NAME and file:PATH are looked up."),
        (
            "model_key",
            "Lets Firn ask the language models at platform.model_url. env:NAME and file:PATH are looked up.",
        ),
    ];
    for (name, description) in texts {
        schema["properties"][name] = json!({ "type": "string", "description": description });
    }
    schema["properties"]["enabled"] =
        json!({ "type": "boolean", "description": "Off: deliveries are kept, nothing is sent." });
    schema["properties"]["platform"] =
        serde_json::to_value(schemars::schema_for!(firn_model::PlatformContract)).unwrap();
    schema["properties"]["credentials"] = json!({ "type": "object", "additionalProperties": false,
        "description": "How Firn signs in. Secrets may be given as env:NAME, file:PATH or exec:COMMAND.",
        "properties": {
            "grant": { "enum": ["basic", "password", "client-credentials", "jwt-bearer", "authorization-code"],
                "description": "How; told by the rest, but for authorization-code." },
            "username": { "type": "string" }, "password": { "type": "string" },
            "client_id": { "type": "string" }, "client_secret": { "type": "string" },
            "subject": { "type": "string", "description": "jwt-bearer: whom the assertion stands for." },
            "private_key": { "type": "string", "description": "jwt-bearer: the private key, RSA or EC in PEM." },
            "key_id": { "type": "string", "description": "jwt-bearer: the name that the instance knows the key by." },
            "refresh_token_ends": { "type": "string", "format": "date",
                "description": "authorization-code: when consent is needed again; in 100 days if not given." },
            "admin_username": { "type": "string" }, "admin_password": { "type": "string" } } });
    schema.as_object_mut().unwrap().remove("required");
    for part in ["journal", "correlation", "webhook", "filters", "lifecycle"] {
        // A part may be said in part.
        schema["properties"][part].as_object_mut().unwrap().remove("required");
    }
    schema
}

/// Shows the first line that differs, not thousands.
fn is_published(path: &str, text: &str) {
    let published = std::fs::read_to_string(path).unwrap_or_default();
    let mut lines = (1..).zip(published.lines().zip(text.lines()));
    let differs = lines.find(|(_, (published, now))| published != now);
    assert!(published == text, "{path}: {differs:?}; see the head of this file");
}

#[test]
fn the_published_schema_is_what_the_code_reads() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schemas/settings.json");
    let text = serde_json::to_string_pretty(&generated()).unwrap() + "\n";
    if std::env::var_os("FIRN_ACCEPT").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    is_published(path, &text);
}

/// The document that clients are made from.
#[test]
fn the_published_api_is_what_the_code_answers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schemas/openapi.json");
    let text = serde_json::to_string_pretty(&firn::api::openapi()).unwrap() + "\n";
    if std::env::var_os("FIRN_ACCEPT").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    is_published(path, &text);
}

/// Examples that users copy must be sound, by the core and by the schema.
#[test]
fn every_example_is_sound() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");
    let validator = jsonschema::validator_for(&generated()).unwrap();
    let mut core = firn_runtime::Core::new(None).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Folders are of gateways.
        if path.is_dir() {
            continue;
        }
        let table: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let document = serde_json::to_value(table).unwrap();
        let faults: Vec<String> =
            validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path)).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
        let mut ours = document.clone();
        for key in
            ["organization_id", "credentials", "callback_secret", "webhook_secret", "model_key"]
        {
            ours.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(core.check(&ours.to_string()).unwrap(), [], "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 5, "an example for every preset");
}

/// The documents of gateways that stand in the examples, wherever.
#[test]
fn every_example_of_a_gateway_is_sound() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let between = |text: &str, from: &str, to: &str| {
        text.split(from).nth(1).unwrap().split(to).next().unwrap().to_owned()
    };
    let spin: toml::Table = toml::from_str(&read("gateway/spin.toml")).unwrap();
    let spin =
        spin["component"]["gateway"]["environment"]["FIRN_GATEWAY"].as_str().unwrap().to_owned();
    let documents = [
        read("gateway/gateway.json"),
        read("gateway/mapped.json"),
        spin,
        between(&read("envoy/envoy.yaml"), "value: |", "# end of the document"),
    ];
    for document in documents {
        let faults = firn_core::gateway::Gateway::faults(&document);
        assert!(faults.is_empty(), "{document}: {faults:#?}");
    }
}

#[test]
fn the_schema_refuses_what_the_core_refuses() {
    let validator = jsonschema::validator_for(&generated()).unwrap();
    for bad in [
        json!({ "stratgy": "x" }),
        json!({ "strategy": "coin-toss" }),
        json!({ "conflict_window": "5s" }),
        json!({ "fields": { "title": { "colum": "x" } } }),
        json!({ "journal": { "coments": false } }),
    ] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}
