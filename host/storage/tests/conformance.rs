//! One suite for every store: what the contract of the storage door says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_model::{Change, CommitError, Expect, Key, Millis, Put, TenantId};
use firn_storage::{Memory, Sealer, Sqlite, Store};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn key(path: &str) -> Key {
    Key { tenant: tenant("acme"), path: path.to_owned() }
}

fn put(path: &str, expect: Expect, value: &str, due: Option<i64>) -> Change {
    Change {
        key: key(path),
        expect,
        put: Some(Put { value: value.to_owned(), due: due.map(Millis) }),
    }
}

fn suite(store: &dyn Store) {
    // Versions: 1 when new, one more with every change.
    store.commit(&[put("link/1", Expect::Absent, "a", None)]).unwrap();
    assert_eq!(store.get(&[key("link/1")]).unwrap()[0].as_ref().unwrap().version, 1);
    store.commit(&[put("link/1", Expect::Version(1), "b", Some(50))]).unwrap();
    let row = store.get(&[key("link/1"), key("link/none")]).unwrap();
    assert_eq!(row[0].as_ref().unwrap().version, 2);
    assert_eq!(row[0].as_ref().unwrap().value, "b");
    assert_eq!(row[1], None);

    // Stale: nothing of the commit is there.
    for expect in [Expect::Absent, Expect::Version(1), Expect::Version(3)] {
        let stale = store
            .commit(&[put("link/2", Expect::Any, "x", None), put("link/1", expect, "c", None)]);
        assert_eq!(stale, Err(CommitError::Stale(key("link/1"))));
        assert_eq!(store.get(&[key("link/2")]).unwrap(), [None]);
    }

    // Due times move with the row, and go with it.
    store
        .commit(&[
            put("link/3", Expect::Any, "x", Some(20)),
            put("link/4", Expect::Any, "x", Some(90)),
        ])
        .unwrap();
    assert_eq!(store.next_due().unwrap(), Some(Millis(20)));
    let due = store.due(Millis(60), 10).unwrap();
    assert_eq!(due, [(key("link/3"), Millis(20)), (key("link/1"), Millis(50))]);
    assert_eq!(store.due(Millis(60), 1).unwrap().len(), 1);
    store
        .commit(&[
            put("link/3", Expect::Any, "y", None),
            Change { key: key("link/4"), expect: Expect::Version(1), put: None },
        ])
        .unwrap();
    assert_eq!(store.due(Millis(1_000), 10).unwrap(), [(key("link/1"), Millis(50))]);

    // A row that is deleted and made again is new.
    store.commit(&[put("link/4", Expect::Absent, "z", None)]).unwrap();
    assert_eq!(store.get(&[key("link/4")]).unwrap()[0].as_ref().unwrap().version, 1);

    // Scans: one tenant, one prefix, in order, page by page. Nothing crosses tenants.
    let other = Change {
        key: Key { tenant: tenant("other"), path: "link/1".to_owned() },
        expect: Expect::Any,
        put: Some(Put { value: "secret".to_owned(), due: None }),
    };
    store
        .commit(&[
            other,
            put("links/9", Expect::Any, "no", None),
            put("lin", Expect::Any, "no", None),
        ])
        .unwrap();
    let paths = |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        store
            .scan(&tenant("acme"), prefix, after, limit)
            .unwrap()
            .into_iter()
            .map(|r| r.key.path)
            .collect()
    };
    assert_eq!(paths("link/", None, 10), ["link/1", "link/3", "link/4"]);
    assert_eq!(paths("link/", Some("link/1"), 1), ["link/3"]);
    assert_eq!(paths("link/", Some("link/4"), 10), Vec::<String>::new());
    assert_eq!(paths("nothing/", None, 10), Vec::<String>::new());
    assert_eq!(paths("", None, 100).len(), 5);

    // Any text is kept as it is.
    let odd = "\u{0}\"'\\ \u{1F600} %_";
    store.commit(&[put("odd/%_'\u{1F600}", Expect::Any, odd, None)]).unwrap();
    assert_eq!(store.get(&[key("odd/%_'\u{1F600}")]).unwrap()[0].as_ref().unwrap().value, odd);
}

/// Many at once on one row: every commit that is acknowledged is there.
fn race(store: &dyn Store) {
    store.commit(&[put("count", Expect::Any, "0", None)]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    loop {
                        let row = store.get(&[key("count")]).unwrap().remove(0).unwrap();
                        let next = (row.value.parse::<u64>().unwrap() + 1).to_string();
                        match store.commit(&[put(
                            "count",
                            Expect::Version(row.version),
                            &next,
                            None,
                        )]) {
                            Ok(()) => break,
                            Err(CommitError::Stale(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.get(&[key("count")]).unwrap()[0].as_ref().unwrap().value, "200");
}

#[test]
fn memory_keeps_the_contract() {
    suite(&Memory::new());
    race(&Memory::new());
}

#[test]
fn sqlite_keeps_the_contract_and_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    {
        let store = Sqlite::open(&path, Sealer::new([7; 32])).unwrap();
        suite(&store);
        race(&store);
    }
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"secret"), "values are sealed at rest");
    }
}

#[test]
fn a_second_process_or_a_wrong_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    let store = Sqlite::open(&path, Sealer::new([7; 32])).unwrap();
    store.commit(&[put("link/1", Expect::Any, "a", None)]).unwrap();
    let second = Sqlite::open(&path, Sealer::new([7; 32])).err().unwrap().to_string();
    assert!(second.contains("in use"), "{second}");
    drop(store);
    let wrong = Sqlite::open(&path, Sealer::new([8; 32])).unwrap();
    let error = wrong.get(&[key("link/1")]).unwrap_err().to_string();
    assert!(error.contains("key"), "{error}");
    drop(wrong);
    // What was there before is there after.
    let again = Sqlite::open(&path, Sealer::new([7; 32])).unwrap();
    assert_eq!(again.get(&[key("link/1")]).unwrap()[0].as_ref().unwrap().value, "a");
}
