//! Nothing is lost over rotation, and no more is kept than should be.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::telemetry::lines::{Kind, LineLog};

const KIND: Kind = Kind {
    key: "test.file",
    thread: "test",
    complaint: "lines are lost",
};
const WAIT: Duration = Duration::from_secs(20);

fn by_size(size: u64, keep: usize) -> Option<Rotation> {
    let size = Some(size);
    Some(Rotation {
        size,
        age: None,
        keep,
        keep_age: None,
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn nothing_is_lost_while_many_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let log = LineLog::open_rotated(Some(&path), by_size(2000, 900), &KIND).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let log = log.clone();
            scope.spawn(move || {
                for line in 0..500 {
                    log.write(Ok(format!("{writer} {line}\n")));
                }
            });
        }
    });
    assert!(log.flush(WAIT) && log.lost() == 0);
    // Batches are as large as they come, so a second round makes sure that more than one file is there.
    log.write(Ok("last\n".to_owned()));
    assert!(log.flush(WAIT));
    let files = files(dir.path());
    assert!(files.len() >= 2, "{files:?}");
    let mut lines = Vec::new();
    for file in &files {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
        let text = fs::read_to_string(file).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    assert_eq!(lines.len(), 2001);
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), 2001);
}

#[test]
fn no_more_is_kept_than_should_be_and_others_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let others = dir.path().join("audit.jsonl-mine");
    fs::write(&others, "x").unwrap();
    let log = LineLog::open_rotated(Some(&path), by_size(10, 2), &KIND).unwrap();
    for line in 0..8 {
        log.write(Ok(format!("line {line}\n")));
        assert!(log.flush(WAIT));
    }
    let files = files(dir.path());
    assert_eq!(files.len(), 4, "{files:?}");
    assert!(others.exists());
    assert_eq!(fs::read_to_string(&path).unwrap(), "line 7\n");
}

#[test]
fn whoever_else_rotates_the_file_is_left_in_peace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let log = LineLog::open_rotated(Some(&path), by_size(10, 5), &KIND).unwrap();
    log.write(Ok("line 1\n".to_owned()));
    assert!(log.flush(WAIT));
    let moved = dir.path().join("audit.jsonl.1");
    fs::rename(&path, &moved).unwrap();
    log.write(Ok("line 2\n".to_owned()));
    assert!(log.flush(WAIT));
    assert_eq!(files(dir.path()), [path.clone(), moved.clone()]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "line 2\n");
    assert_eq!(fs::read_to_string(&moved).unwrap(), "line 1\n");
}

#[test]
fn two_that_write_to_one_file_go_on_in_the_same_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let open = |size| LineLog::open_rotated(Some(&path), by_size(size, 5), &KIND).unwrap();
    let (small, large) = (open(20), open(1000));
    let write = |log: &LineLog, line: &str| {
        log.write(Ok(format!("{line}\n")));
        assert!(log.flush(WAIT));
    };
    write(&large, "large 1");
    write(&small, "small 1 is long");
    write(&small, "small 2 is long");
    write(&large, "large 2");
    let files = files(dir.path());
    assert_eq!(files.len(), 2, "{files:?}");
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    assert_eq!(text(&path), "small 2 is long\nlarge 2\n");
    assert_eq!(text(&files[1]), "large 1\nsmall 1 is long\n");
}

#[test]
fn a_file_that_is_old_enough_goes_and_an_empty_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let age = Some(Duration::ZERO);
    let rotation = Rotation {
        size: None,
        age,
        keep: 5,
        keep_age: None,
    };
    let log = LineLog::open_rotated(Some(&path), Some(rotation), &KIND).unwrap();
    log.write(Ok("line 1\n".to_owned()));
    assert!(log.flush(WAIT));
    assert_eq!(files(dir.path()).len(), 1);
    log.write(Ok("line 2\n".to_owned()));
    assert!(log.flush(WAIT));
    assert_eq!(files(dir.path()).len(), 2);
}

#[test]
fn what_is_older_than_it_is_kept_goes_even_where_there_are_few() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let day = Duration::from_secs(24 * 3600);
    let rotation = Rotation {
        size: Some(1000),
        age: None,
        keep: 30,
        keep_age: Some(day * 90),
    };
    let aside = |moment: &str, age: Duration| {
        let path = dir.path().join(format!("audit.jsonl-{moment}"));
        let file = File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        path
    };
    let old = aside("20260101T000000Z", day * 91);
    let young = aside("20260103T000000Z", day * 89);
    let file = File::create(&path).unwrap();
    Rotating::new(&path, rotation, &file).forget_old().unwrap();
    assert!(!old.exists() && young.exists() && path.exists());
}
