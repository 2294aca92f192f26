//! One suite for every store: what the contract of the storage door says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use std::collections::BTreeSet;

use firn_model::{Change, CommitError, Expect, Key, Millis, Put, Row, TenantId};
use firn_storage::{
    AuditFault, Erased, Heard, Inspected, MasterKey, Memory, Postgres, Share, Sqlite, Store, opens,
    rotate, slot,
};
use firn_test_postgres::Server;

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

    // A row that is not there can be relied on not to be there.
    let none = |path: &str| Change { key: key(path), expect: Expect::Absent, put: None };
    store.commit(&[none("link/none"), put("link/1", Expect::Version(2), "b", Some(50))]).unwrap();
    let stale = store.commit(&[none("link/1"), put("link/2", Expect::Any, "x", None)]);
    assert_eq!(stale, Err(CommitError::Stale(key("link/1"))));
    assert_eq!(store.get(&[key("link/none"), key("link/2")]).unwrap(), [None, None]);

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
    let one_each = store.due_of_each(None, Millis(60), "", 1, 10).unwrap();
    assert_eq!(one_each, [due[0].clone()]);
    assert_eq!(store.due_of_each(None, Millis(60), "", 10, 10).unwrap(), due);
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

    assert_eq!(store.tenants().unwrap(), [tenant("acme"), tenant("other")]);

    // Any text is kept as it is.
    let odd = "\u{0}\"'\\ \u{1F600} %_";
    store.commit(&[put("odd/%_'\u{1F600}", Expect::Any, odd, None)]).unwrap();
    assert_eq!(store.get(&[key("odd/%_'\u{1F600}")]).unwrap()[0].as_ref().unwrap().value, odd);
}

/// Many at once on one row: every commit that is acknowledged is there.
/// Who has very much due does not hide what others have.
fn fair(store: &dyn Store) {
    let of = |name: &str, n: i64, due: i64| {
        let key = Key { tenant: tenant(name), path: format!("link/{n:03}") };
        let put = Some(Put { value: "x".to_owned(), due: Some(Millis(due)) });
        Change { key, expect: Expect::Any, put }
    };
    let mut puts: Vec<Change> = (0..300).map(|n| of("flood", n, 100 + n)).collect();
    puts.extend([of("quiet", 1, 900), of("quiet", 2, 2_000), of("zero", 1, 901)]);
    store.commit(&puts).unwrap();
    let due = store.due_of_each(None, Millis(1_000), "", 5, 100).unwrap();
    let of = |name: &str| -> Vec<i64> {
        let whose = due.iter().filter(|(key, _)| key.tenant.as_str() == name);
        whose.map(|(_, due)| due.0).collect()
    };
    assert_eq!(of("flood"), [100, 101, 102, 103, 104], "its earliest");
    assert_eq!((of("quiet"), of("zero")), (vec![900], vec![901]));
    assert_eq!(store.due_of_each(None, Millis(1_000), "", 5, 3).unwrap().len(), 3);
    // From where the last look ended.
    let rest = store.due_of_each(None, Millis(1_000), "flood", 5, 100).unwrap();
    let names: Vec<&str> = rest.iter().map(|(key, _)| key.tenant.as_str()).collect();
    assert_eq!(names, ["quiet", "zero"]);
    let gone = puts.into_iter().map(|change| Change { put: None, ..change });
    store.commit(&gone.collect::<Vec<_>>()).unwrap();
}

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
    fair(&Memory::new());
    race(&Memory::new());
    audit(&Memory::new(), &Erased::Wholly);
}

#[test]
fn sqlite_keeps_the_contract_and_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    {
        let store = Sqlite::open(&path, &MasterKey::new([7; 32])).unwrap();
        suite(&store);
        fair(&store);
        race(&store);
        audit(&store, &Erased::Wholly);
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
    let store = Sqlite::open(&path, &MasterKey::new([7; 32])).unwrap();
    store.commit(&[put("link/1", Expect::Any, "a", None)]).unwrap();
    let second = Sqlite::open(&path, &MasterKey::new([7; 32])).err().unwrap().to_string();
    assert!(second.contains("in use"), "{second}");
    drop(store);
    let wrong = Sqlite::open(&path, &MasterKey::new([8; 32])).err().unwrap().to_string();
    assert!(wrong.contains("sealed under another key"), "{wrong}");
    // What was there before is there after.
    let again = Sqlite::open(&path, &MasterKey::new([7; 32])).unwrap();
    assert_eq!(again.get(&[key("link/1")]).unwrap()[0].as_ref().unwrap().value, "a");
}

/// Lines of the audit are written once, and stay.
fn audit(store: &dyn Store, wanted: &Erased) {
    store.commit(&[put("audit/i/l/1", Expect::Any, "a", None)]).unwrap();
    store.commit(&[put("audit/i/l/1", Expect::Any, "b", None)]).unwrap();
    assert_eq!(store.get(&[key("audit/i/l/1")]).unwrap()[0].as_ref().unwrap().value, "a");
    let delete = Change { key: key("audit/i/l/1"), expect: Expect::Any, put: None };
    let refused = store.commit(&[put("other", Expect::Any, "x", None), delete]);
    assert!(matches!(refused, Err(CommitError::Failed(_))), "{refused:?}");
    let erased = store
        .erase(
            &[put("link/1", Expect::Any, "blank", None)],
            &[key("audit/i/l/1"), key("count")],
            &key("audit/_erased/1"),
        )
        .unwrap();
    match (&erased, wanted) {
        (Erased::FromRows { .. }, Erased::FromRows { .. }) => {}
        _ => assert_eq!(erased, *wanted),
    }
    assert_eq!(store.get(&[key("audit/i/l/1")]).unwrap(), [None]);
    assert!(store.get(&[key("audit/_erased/1")]).unwrap()[0].is_some());
}

/// Whoever works on a store while its audit is looked at changes nothing of what is found.
fn sound_while_written(store: &impl Store, verify: impl Fn() -> Vec<AuditFault>) {
    struct Ends<'a>(&'a std::sync::atomic::AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let ends = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if ends.load(relaxed) {
                    return;
                }
                let line = put(&format!("audit/i/l/{n:05}"), Expect::Any, "line", None);
                store.commit(&[line]).unwrap();
                if n % 40 == 39 {
                    let lines = [key(&format!("audit/i/l/{:05}", n / 2))];
                    let told = key(&format!("audit/_erased/{n:05}"));
                    let _erased = store.erase(&[], &lines, &told).unwrap();
                }
            }
        });
        let _ends = Ends(&ends);
        let found: Vec<_> = (0..60).flat_map(|_| verify()).collect();
        assert_eq!(found, []);
    });
    assert_eq!(verify(), []);
}

#[test]
fn an_audit_that_is_written_is_no_audit_that_was_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    let master = MasterKey::new([7; 32]);
    let store = Sqlite::open(&path, &master).unwrap();
    sound_while_written(&store, || {
        Inspected::open(&path, &master).unwrap().audit(None).unwrap().faults
    });
    let Some(server) = Server::there() else { return };
    let store = postgres(&server);
    sound_while_written(&store, || store.audit(None).unwrap().faults);
}

/// Rows that grew, moved and made pages split left copies behind, and so did the log.
#[test]
fn what_is_erased_lies_nowhere_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    let store = Sqlite::open(&path, &MasterKey::new([7; 32])).unwrap();
    let sealed = || -> BTreeSet<Vec<u8>> {
        let file = rusqlite::Connection::open(&path).unwrap();
        let mut rows =
            file.prepare("SELECT value FROM rows WHERE path LIKE 'link/person%'").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut random = fastrand::Rng::with_seed(8);
    let mut theirs = BTreeSet::new();
    for turn in 0..600 {
        let who = if turn % 3 == 0 { "person" } else { "other" };
        let row = format!("link/{who}{:02}", random.u8(..40));
        let value = "x".repeat(random.usize(10..4_000));
        store.commit(&[put(&row, Expect::Any, &value, None)]).unwrap();
        theirs.extend(sealed());
    }
    let of_theirs = store.scan(&tenant("acme"), "link/person", None, 100).unwrap();
    let gone = |row: Row| Change { key: row.key, expect: Expect::Any, put: None };
    let changes: Vec<Change> = of_theirs.into_iter().map(gone).collect();
    assert!(theirs.len() > 150 && changes.len() > 30);
    assert_eq!(store.erase(&changes, &[], &key("audit/_erased/1")).unwrap(), Erased::Wholly);
    let begin: BTreeSet<&[u8]> = theirs.iter().map(|value| &value[..32]).collect();
    for file in ["firn.db", "firn.db-wal"] {
        let bytes = std::fs::read(directory.path().join(file)).unwrap_or_default();
        let left = bytes.windows(32).filter(|window| begin.contains(window)).count();
        assert_eq!(left, 0, "of {} in {file}", theirs.len());
    }
    assert!(store.scan(&tenant("acme"), "link/other", None, 100).unwrap().len() > 30);
}

fn in_file(path: &std::path::Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn the_audits_chain_tells_of_every_change_to_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    let master = MasterKey::new([7; 32]);
    let store = Sqlite::open(&path, &master).unwrap();
    for n in 1..=5 {
        let line = put(&format!("audit/i/l/{n}"), Expect::Any, &format!("line {n}"), None);
        store.commit(&[line, put(&format!("link/{n}"), Expect::Any, "x", None)]).unwrap();
    }
    let erased = store.erase(&[], &[key("audit/i/l/2")], &key("audit/_erased/1")).unwrap();
    assert_eq!(erased, Erased::Wholly);
    drop(store);
    let verify = |path: &std::path::Path, noted: Option<&str>| {
        Inspected::open(path, &master).unwrap().audit(noted).unwrap()
    };
    let whole = verify(&path, None);
    assert_eq!((whole.lines, whole.erased, whole.faults.as_slice()), (6, 1, [].as_slice()));
    let gone = directory.path().join("gone.db");
    Inspected::open(&path, &master).unwrap().copy_to(&gone).unwrap();
    in_file(
        &gone,
        "DELETE FROM rows WHERE path LIKE 'audit/%'; DELETE FROM chain; DELETE FROM chain_head",
    );
    assert_eq!(verify(&gone, None).faults, [AuditFault::CutOff(0)], "all of it");

    for (sql, expected) in [
        (
            "UPDATE rows SET value = (SELECT value FROM rows WHERE path = 'audit/i/l/4') WHERE path = 'audit/i/l/3'",
            vec![AuditFault::Changed(3, "audit/i/l/3".into())],
        ),
        (
            "DELETE FROM rows WHERE path = 'audit/i/l/1'",
            vec![AuditFault::Removed(1, "audit/i/l/1".into())],
        ),
        (
            "INSERT INTO rows (tenant, path, version, value, due, key) SELECT tenant, 'audit/i/l/9', version, value, due, key FROM rows WHERE path = 'audit/i/l/4'",
            vec![AuditFault::Added("audit/i/l/9".into())],
        ),
        (
            "DELETE FROM rows WHERE path = 'audit/i/l/4'; DELETE FROM chain WHERE path = 'audit/i/l/4'",
            vec![AuditFault::Broken(5)],
        ),
        (
            "UPDATE chain SET seq = 9 WHERE seq = 3; UPDATE chain SET seq = 3 WHERE seq = 4; UPDATE chain SET seq = 4 WHERE seq = 9",
            vec![AuditFault::Broken(3), AuditFault::Broken(4), AuditFault::Broken(5)],
        ),
        // The end cut off is told by whoever noted the head.
        (
            "DELETE FROM rows WHERE path LIKE 'audit/_erased%'; DELETE FROM chain WHERE seq = 6",
            vec![
                AuditFault::Removed(2, "audit/i/l/2".into()),
                AuditFault::CutOff(5),
                AuditFault::NotContained(whole.head.clone()),
            ],
        ),
    ] {
        let copy = directory.path().join("copy.db");
        let _ = std::fs::remove_file(&copy);
        Inspected::open(&path, &master).unwrap().copy_to(&copy).unwrap();
        in_file(&copy, sql);
        let report = verify(&copy, Some(&whole.head));
        assert_eq!(report.faults, expected, "{sql}");
    }
}

#[test]
fn keys_are_changed_without_a_row_being_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    let (old, new) = (MasterKey::new([7; 32]), MasterKey::new([8; 32]));
    let store = Sqlite::open(&path, &old).unwrap();
    suite(&store);
    fair(&store);
    audit(&store, &Erased::Wholly);
    let all = || ["acme", "other"].map(|t| store.scan(&tenant(t), "", None, 1_000).unwrap());
    let before = all();
    assert!(rotate(&path, &old, &new).unwrap_err().to_string().contains("in use"));
    drop(store);
    let head = Inspected::open(&path, &old).unwrap().audit(None).unwrap().head;
    assert!(rotate(&path, &old, &new).unwrap() > 5);
    assert!(opens(&path, &new) && !opens(&path, &old));
    assert!(Sqlite::open(&path, &old).err().unwrap().to_string().contains("another key"));
    let inspected = Inspected::open(&path, &new).unwrap();
    assert!(inspected.sound().unwrap() > 5);
    let report = inspected.audit(Some(&head)).unwrap();
    assert!(report.faults.is_empty(), "{report:?}");
    let store = Sqlite::open(&path, &new).unwrap();
    let after = ["acme", "other"].map(|t| store.scan(&tenant(t), "", None, 1_000).unwrap());
    assert_eq!(before, after);
}

#[test]
fn a_copy_of_a_store_in_use_is_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    let master = MasterKey::new([7; 32]);
    let store = Sqlite::open(&path, &master).unwrap();
    store.commit(&[put("link/1", Expect::Any, "a", Some(5))]).unwrap();
    let copy = directory.path().join("copy.db");
    Inspected::open(&path, &master).unwrap().copy_to(&copy).unwrap();
    store.commit(&[put("link/1", Expect::Any, "b", None)]).unwrap();
    assert!(
        Inspected::open(&path, &master).unwrap().copy_to(&copy).is_err(),
        "nothing is overwritten"
    );
    let copy = Sqlite::open(&copy, &master).unwrap();
    assert_eq!(copy.get(&[key("link/1")]).unwrap()[0].as_ref().unwrap().value, "a");
    assert_eq!(copy.next_due().unwrap(), Some(Millis(5)));
}

#[test]
fn what_is_broken_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    let master = MasterKey::new([7; 32]);
    let store = Sqlite::open(&path, &master).unwrap();
    store.commit(&[put("link/1", Expect::Any, "a", None)]).unwrap();
    drop(store);
    in_file(&path, "UPDATE rows SET value = zeroblob(length(value))");
    let why = Inspected::open(&path, &master).unwrap().sound().unwrap_err().to_string();
    assert!(why.contains("link/1"), "{why}");
    in_file(&path, "PRAGMA user_version = 99");
    for why in [
        Sqlite::open(&path, &master).err().unwrap().to_string(),
        Inspected::open(&path, &master).err().unwrap().to_string(),
    ] {
        assert!(why.contains("newer version"), "{why}");
    }
}

#[test]
fn a_file_of_an_older_schema_becomes_one_of_today() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("firn.db");
    let master = MasterKey::new([7; 32]);
    let store = Sqlite::open(&path, &master).unwrap();
    let long = "x".repeat(9_000);
    store
        .commit(&[
            put("link/1", Expect::Any, "a", Some(5)),
            put("link/2", Expect::Any, &long, None),
            put("audit/1", Expect::Absent, "a line", None),
        ])
        .unwrap();
    store.commit(&[put("link/2", Expect::Version(1), &long, Some(3))]).unwrap();
    drop(store);
    // As the third schema had it.
    in_file(
        &path,
        "CREATE TABLE before (tenant TEXT NOT NULL, path TEXT NOT NULL, version INTEGER NOT NULL,
           value BLOB NOT NULL, due INTEGER, key INTEGER NOT NULL DEFAULT 0,
           PRIMARY KEY (tenant, path)) WITHOUT ROWID;
         INSERT INTO before SELECT tenant, path, version, value, due, key FROM rows;
         DROP TABLE rows;
         ALTER TABLE before RENAME TO rows;
         CREATE INDEX rows_due ON rows (due, tenant, path) WHERE due IS NOT NULL;
         CREATE INDEX rows_due_of ON rows (tenant, due, path) WHERE due IS NOT NULL;
         PRAGMA user_version = 3;",
    );
    assert!(
        Inspected::open(&path, &master).unwrap().sound().is_ok(),
        "it can be looked at as it is"
    );
    let store = Sqlite::open(&path, &master).unwrap();
    let rows = store.get(&[key("link/1"), key("link/2")]).unwrap();
    let rows: Vec<_> = rows.into_iter().flatten().map(|row| (row.version, row.value)).collect();
    assert_eq!(rows, [(1, "a".to_owned()), (2, long.clone())]);
    let due: Vec<_> =
        store.due(Millis(9), 9).unwrap().into_iter().map(|(key, _)| key.path).collect();
    assert_eq!(due, ["link/2", "link/1"]);
    store.commit(&[put("link/2", Expect::Version(2), "b", None)]).unwrap();
    assert!(store.commit(&[put("link/1", Expect::Absent, "b", None)]).is_err());
    drop(store);
    let report = Inspected::open(&path, &master).unwrap().audit(None).unwrap();
    assert!(report.faults.is_empty() && report.lines == 1, "{report:?}");
}

// ---- PostgreSQL --------------------------------------------------------------------------------

const MASTER: [u8; 32] = [7; 32];

fn postgres(server: &Server) -> Postgres {
    Postgres::open(&server.url("firn"), &MasterKey::new(MASTER)).unwrap()
}

#[test]
fn postgres_keeps_the_contract_and_its_rows() {
    let Some(mut server) = Server::there() else { return };
    let store = postgres(&server);
    suite(&store);
    fair(&store);
    race(&store);
    audit(&store, &Erased::FromRows { left: String::new() });
    let all = |store: &Postgres| store.scan(&tenant("acme"), "", None, 1_000).unwrap();
    let before = all(&store);
    // What was acknowledged outlives a power cut of the server, and the store finds it again by itself.
    server.crash().unwrap();
    assert!(matches!(
        store.commit(&[put("late", Expect::Any, "x", None)]),
        Err(CommitError::Failed(_))
    ));
    assert!(store.next_due().is_err());
    server.run().unwrap();
    assert_eq!(all(&store), before);
    store.commit(&[put("late", Expect::Any, "x", None)]).unwrap();
    let stored = server.sql_in("firn", "SELECT encode(value, 'escape') FROM rows").unwrap();
    assert!(stored.len() > 100 && !stored.contains("secret"), "values are sealed at rest");
    assert!(store.audit(None).unwrap().faults.is_empty());
}

/// A dump reads for long: nobody waits for it because somebody is forgotten.
#[test]
fn what_is_erased_while_the_database_is_dumped_keeps_nobody_waiting() {
    let Some(server) = Server::there() else { return };
    let (store, other) = (postgres(&server), postgres(&server));
    store.commit(&[put("link/1", Expect::Any, "a", None)]).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let dump = "BEGIN; LOCK TABLE rows IN ACCESS SHARE MODE; SELECT pg_sleep(8); COMMIT";
            server.sql_in("firn", dump).unwrap();
        });
        let locks = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                     WHERE c.relname = 'rows' AND l.mode = 'AccessShareLock'";
        while server.sql_in("firn", locks).unwrap().trim() == "0" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let began = std::time::Instant::now();
        let erases = scope.spawn(|| {
            store.erase(&[put("link/1", Expect::Any, "blank", None)], &[], &key("audit/_erased/1"))
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        other.commit(&[put("link/2", Expect::Any, "b", None)]).unwrap();
        assert!(other.get(&[key("link/2")]).unwrap()[0].is_some());
        let erased = erases.join().unwrap().unwrap();
        assert!(began.elapsed() < std::time::Duration::from_secs(6), "nobody waits for the dump");
        let Erased::FromRows { left } = erased else { panic!("{erased:?}") };
        assert!(left.contains("VACUUM FULL rows clears them"), "{left}");
        assert_eq!(store.get(&[key("link/1")]).unwrap()[0].as_ref().unwrap().value, "blank");
    });
    // Without one the table is written anew.
    let erased = store.erase(&[], &[key("audit/i/l/1")], &key("audit/_erased/2")).unwrap();
    let Erased::FromRows { left } = erased else { panic!("{erased:?}") };
    assert!(!left.contains("VACUUM"), "{left}");
}

#[test]
fn stores_on_one_database_are_one_store() {
    let Some(server) = Server::there() else { return };
    // They begin at the same moment, on an empty database.
    let stores: Vec<Postgres> = std::thread::scope(|scope| {
        let opened: Vec<_> = (0..3).map(|_| scope.spawn(|| postgres(&server))).collect();
        opened.into_iter().map(|store| store.join().unwrap()).collect()
    });
    stores[0].commit(&[put("count", Expect::Absent, "0", None)]).unwrap();
    std::thread::scope(|scope| {
        for (writer, store) in stores.iter().cycle().take(9).enumerate() {
            scope.spawn(move || {
                for turn in 0..20 {
                    loop {
                        let row = store.get(&[key("count")]).unwrap().remove(0).unwrap();
                        let next = (row.value.parse::<u64>().unwrap() + 1).to_string();
                        let line =
                            put(&format!("audit/i/l/{writer}-{turn}"), Expect::Any, &next, None);
                        let count = put("count", Expect::Version(row.version), &next, Some(5));
                        match store.commit(&[line, count]) {
                            Ok(()) => break,
                            Err(CommitError::Stale(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            });
        }
    });
    for store in &stores {
        assert_eq!(store.get(&[key("count")]).unwrap()[0].as_ref().unwrap().value, "180");
        let report = store.audit(None).unwrap();
        assert_eq!((report.lines, report.faults.as_slice()), (180, [].as_slice()));
    }
    // The same new row from all of them: one has made it.
    let made = std::thread::scope(|scope| {
        let makers: Vec<_> = stores
            .iter()
            .map(|store| {
                scope.spawn(|| store.commit(&[put("new", Expect::Absent, "x", None)]).is_ok())
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).filter(|made| *made).count()
    });
    assert_eq!(made, 1);
}

/// A server goes on with the plan that it made while a table was small, until it counts the rows anew.
#[test]
fn a_table_that_has_grown_is_not_read_whole() {
    let Some(server) = Server::there() else { return };
    let store = postgres(&server);
    let sql = |text: &str| server.sql_in("firn", text).unwrap();
    for table in ["rows", "chain"] {
        sql(&format!("ALTER TABLE {table} SET (autovacuum_enabled = false)"));
        sql(&format!("VACUUM ANALYZE {table}"));
    }
    let keys: Vec<Key> = (0..20).map(|n| key(&format!("link/{n}"))).collect();
    let gone = |path: &str| Change { key: key(path), expect: Expect::Any, put: None };
    // Often enough for a plan that is kept.
    for _ in 0..10 {
        assert!(store.get(&keys).unwrap().iter().all(Option::is_none));
        store.commit(&[put("link/0", Expect::Absent, "x", None)]).unwrap();
        store.commit(&[gone("link/0")]).unwrap();
    }
    for page in 0..20 {
        let rows = (0..100).flat_map(|n| {
            let n = 100 * page + n;
            let line = put(&format!("audit/i/l/{n}"), Expect::Any, "line", None);
            [put(&format!("link/{n}"), Expect::Any, "x", Some(n)), line]
        });
        store.commit(&rows.collect::<Vec<_>>()).unwrap();
    }
    // What was walked over in a table or an index. What a connection has done it tells a second later, when it does
    // the next.
    let walked = || -> u64 {
        let until = std::time::Instant::now() + std::time::Duration::from_millis(1_500);
        while std::time::Instant::now() < until {
            store.get(&keys[..1]).unwrap();
            store.commit(&[put("link/3", Expect::Any, "w", None)]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let of = |what: &str, of: &str| {
            sql(&format!("SELECT sum({what}) FROM {of} WHERE relname IN ('rows', 'chain')"))
        };
        [of("seq_tup_read", "pg_stat_user_tables"), of("idx_tup_read", "pg_stat_user_indexes")]
            .iter()
            .map(|sum| sum.trim().parse::<u64>().unwrap())
            .sum()
    };
    let before = walked();
    for _ in 0..10 {
        assert!(store.get(&keys).unwrap().iter().all(Option::is_some));
        store.commit(&[put("link/1", Expect::Any, "y", None)]).unwrap();
        store.commit(&[gone("link/2")]).unwrap();
        store.commit(&[put("link/2", Expect::Absent, "z", None)]).unwrap();
    }
    let rows = walked() - before;
    assert!((200..2_000).contains(&rows), "{rows} rows were walked over for some 250");
}

#[test]
fn no_statement_reaches_a_tenant_that_its_transaction_does_not_name() {
    let Some(server) = Server::there() else { return };
    let store = postgres(&server);
    for name in ["acme", "other"] {
        let key = Key { tenant: tenant(name), path: "link/1".to_owned() };
        let put = Some(Put { value: "x".to_owned(), due: None });
        store.commit(&[Change { key, expect: Expect::Any, put }]).unwrap();
    }
    let count = |named: &str| {
        let text = format!("SET ROLE firn; {named} SELECT count(*) FROM rows");
        server.sql_in("firn", &text).unwrap().trim().to_owned()
    };
    assert_eq!(count(""), "0", "not even its owner");
    assert_eq!(count("SET firn.tenants = 'acme';"), "1");
    assert_eq!(count("SET firn.tenants = 'acme,other';"), "2");
    let moved = "SET ROLE firn; SET firn.tenants = 'acme'; UPDATE rows SET tenant = 'other', path = 'link/2'";
    let refused = server.sql_in("firn", moved).unwrap_err().to_string();
    assert!(refused.contains("row-level security"), "{refused}");
}

#[test]
fn a_database_of_another_key_or_a_newer_firn_is_refused() {
    let Some(server) = Server::there() else { return };
    // Who only looks makes nothing.
    let look = || Postgres::inspect(&server.url("firn"), &MasterKey::new(MASTER));
    let empty = look().err().unwrap().to_string();
    assert!(empty.contains("start Firn on it once"), "{empty}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(server.sql_in("firn", tables).unwrap().trim(), "0");
    let line = put("audit/i/l/1", Expect::Any, "line", None);
    postgres(&server).commit(&[put("link/1", Expect::Any, "a", None), line]).unwrap();
    let report = look().unwrap().audit(None).unwrap();
    assert_eq!((report.lines, report.faults.as_slice()), (1, [].as_slice()));
    let open =
        |url: &str, key| Postgres::open(url, &MasterKey::new(key)).err().unwrap().to_string();
    let url = server.url("firn");
    let wrong = open(&url, [8; 32]);
    assert!(wrong.contains("sealed under another key"), "{wrong}");
    assert!(!wrong.contains("of-a-test"), "no password is told: {wrong}");
    let nobody = open(&server.url("nowhere"), MASTER);
    assert!(nobody.contains("nowhere") && nobody.contains("does not exist"), "{nobody}");
    let nothing = open("mysql://x", MASTER);
    assert!(nothing.contains("postgres://user@host/database"), "{nothing}");
    let silent = open("postgres://firn@127.0.0.1:1/firn", MASTER);
    assert!(silent.contains("refused"), "{silent}");
    // Also where nothing may be waited for.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let within = runtime.block_on(async { open(&server.url("nowhere"), MASTER) });
    assert!(within.contains("does not exist"), "{within}");
    let text = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (99, 'later', '2099-01-01T00:00:00Z', '1')";
    server.sql_in("firn", text).unwrap();
    let newer = open(&url, MASTER);
    assert!(newer.contains("newer version"), "{newer}");
}

#[test]
fn the_chain_in_a_database_tells_of_every_change_to_a_line() {
    let Some(server) = Server::there() else { return };
    let store = postgres(&server);
    for n in 1..=5 {
        let line = put(&format!("audit/i/l/{n}"), Expect::Any, &format!("line {n}"), None);
        store.commit(&[line, put(&format!("link/{n}"), Expect::Any, "x", None)]).unwrap();
    }
    let erased = store.erase(&[], &[key("audit/i/l/2")], &key("audit/_erased/1")).unwrap();
    assert!(matches!(erased, Erased::FromRows { .. }));
    let whole = store.audit(None).unwrap();
    assert_eq!((whole.lines, whole.erased, whole.faults.as_slice()), (6, 1, [].as_slice()));
    for (sql, expected) in [
        (
            "UPDATE rows SET value = (SELECT value FROM rows WHERE path = 'audit/i/l/4') WHERE path = 'audit/i/l/3'",
            AuditFault::Changed(3, "audit/i/l/3".into()),
        ),
        (
            "DELETE FROM rows WHERE path = 'audit/i/l/1'",
            AuditFault::Removed(1, "audit/i/l/1".into()),
        ),
        (
            "INSERT INTO rows SELECT tenant, 'audit/i/l/9', version, value, due, key FROM rows WHERE path = 'audit/i/l/4'",
            AuditFault::Added("audit/i/l/9".into()),
        ),
        (
            "DELETE FROM rows WHERE path = 'audit/i/l/4'; DELETE FROM chain WHERE path = 'audit/i/l/4'",
            AuditFault::Broken(5),
        ),
        ("UPDATE chain_head SET seq = 5", AuditFault::CutOff(6)),
    ] {
        let broken = server.sql_in("firn", &format!("CREATE TABLE kept_rows AS TABLE rows; CREATE TABLE kept_chain AS TABLE chain; CREATE TABLE kept_head AS TABLE chain_head; {sql}"));
        broken.unwrap();
        assert_eq!(store.audit(Some(&whole.head)).unwrap().faults, [expected], "{sql}");
        server.sql_in("firn", "DELETE FROM rows; DELETE FROM chain; DELETE FROM chain_head; INSERT INTO rows TABLE kept_rows; INSERT INTO chain TABLE kept_chain; INSERT INTO chain_head TABLE kept_head; DROP TABLE kept_rows, kept_chain, kept_head").unwrap();
    }
    assert!(store.audit(Some(&whole.head)).unwrap().faults.is_empty());
}

#[test]
fn what_is_due_falls_to_one_of_several_and_what_is_overdue_to_all() {
    let Some(server) = Server::there() else { return };
    let store = postgres(&server);
    let paths: Vec<String> = (0..200).map(|n| format!("link/int-1/l-{n}")).collect();
    let puts: Vec<Change> =
        paths.iter().map(|path| put(path, Expect::Any, "x", Some(50))).collect();
    store.commit(&puts).unwrap();
    let share = |first: u8, last: u8, overdue: i64| Share {
        slots: (first..=last).collect(),
        overdue: Millis(overdue),
    };
    let due = |share: &Share| -> BTreeSet<String> {
        let due = store.due_to(share, Millis(60), 1_000).unwrap();
        due.into_iter().map(|(key, _)| key.path).collect()
    };
    // As this side computes slots, so does the database.
    let (low, high) = (due(&share(0, 99, 0)), due(&share(100, 255, 0)));
    let expected: BTreeSet<String> =
        paths.iter().filter(|path| slot(path) < 100).cloned().collect();
    assert_eq!(low, expected);
    assert_eq!((low.len() + high.len(), low.intersection(&high).count()), (200, 0));
    let none = Share { slots: Vec::new(), overdue: Millis(0) };
    assert!(due(&none).is_empty() && store.next_due_to(&none).unwrap().is_none());
    assert_eq!(due(&Share { overdue: Millis(51), ..none.clone() }).len(), 200);
    assert_eq!(store.due_to(&share(0, 255, 0), Millis(60), 7).unwrap().len(), 7);
    assert!(store.due_to(&share(0, 255, 0), Millis(49), 7).unwrap().is_empty());
    store.commit(&[put(&paths[0], Expect::Any, "x", Some(40))]).unwrap();
    let own = slot(&paths[0]);
    assert_eq!(store.next_due_to(&share(own, own, 0)).unwrap(), Some(Millis(40)));
    assert_eq!(
        store.next_due_to(&Share { overdue: Millis(41), ..none }).unwrap(),
        Some(Millis(40))
    );
}

#[test]
fn what_others_commit_is_heard_also_after_the_server_was_gone() {
    let Some(mut server) = Server::there() else { return };
    let (one, other) = (postgres(&server), postgres(&server));
    let (ear, heard) = std::sync::mpsc::channel();
    one.listen(Box::new(move |what| drop(ear.send(what))));
    let next = || heard.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    assert_eq!(next(), Heard::Anything, "whatever was changed before");
    // One's own commits one does not hear of.
    one.commit(&[put("link/1", Expect::Any, "x", None)]).unwrap();
    other
        .commit(&[put("link/2", Expect::Any, "x", None), put("finding/1", Expect::Any, "x", None)])
        .unwrap();
    assert_eq!(next(), Heard::Changed(vec!["finding".to_owned(), "link".to_owned()]));
    let gone = Change { key: key("link/2"), expect: Expect::Any, put: None };
    other.commit(&[gone]).unwrap();
    assert_eq!(next(), Heard::Changed(vec!["link".to_owned()]));
    server.crash().unwrap();
    server.run().unwrap();
    assert_eq!(next(), Heard::Anything);
    while other.commit(&[put("link/3", Expect::Any, "x", None)]).is_err() {}
    assert_eq!(next(), Heard::Changed(vec!["link".to_owned()]));
}
