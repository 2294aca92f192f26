//! The sandbox's stories as a test: the real component in real wasmtime, SQLite on disk, the
//! simulator with its business rules run as JavaScript, the sample platform, all over HTTP.

#[test]
fn every_expectation_of_the_sandbox_holds() {
    let data = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(firn::play(data.path())).unwrap();
    let failed: Vec<_> = report.steps.iter().filter(|step| !step.ok).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(report.steps.len() >= 40, "{}", report.steps.len());
    // Nothing of a person lies in the clear anywhere in the data directory.
    for entry in std::fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            for secret in ["5550199888", "4111 1111", "IT_Support_Hotline", "My VPN drops"] {
                let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
                assert!(!found, "{secret} lies in {}", path.display());
            }
        }
    }
}
