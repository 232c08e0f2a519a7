//! A session's recordings from the relay's calls to the files, on real folders.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;
use crate::pool::Snapshot;
use crate::ssh::channels::Side;
use crate::ssh::wire::message::Writer;
use crate::ssh::wire::message::channel::{TerminalRequest, TerminalSize};

struct Scene {
    dir: tempfile::TempDir,
    config: RecordingConfig,
    metrics: Metrics,
}

impl Scene {
    fn new(on_failure: OnFailure) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = RecordingConfig {
            users: Vec::new(),
            unix_groups: Vec::new(),
            folder: dir.path().join("recordings"),
            file_max: 1 << 20,
            folder_max: 1 << 30,
            free_min: 0,
            on_failure,
            input: false,
        };
        Self {
            dir,
            config,
            metrics: Metrics::new(),
        }
    }

    async fn session(&self) -> SessionRecorder {
        let recorder = PoolRecorder::start("main", &self.config, &self.metrics).unwrap();
        let pools = BTreeMap::from([("main".to_owned(), Arc::new(recorder))]);
        let recorders = Recorders { pools };
        assert!(
            recorders
                .session("other", "alice", "00", "vm1")
                .await
                .is_none()
        );
        recorders
            .session("main", "alice", "00000000000000ff", "vm1")
            .await
            .unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.config.folder).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.encode(&Snapshot::default()).contains(line)
    }
}

fn open(observer: &mut Box<dyn Observer>, channel: u32) {
    let data = Writer::bare()
        .string("xterm")
        .u32(80)
        .u32(24)
        .u32(0)
        .u32(0)
        .string("")
        .finish();
    let terminal = TerminalRequest::parse(&data).unwrap();
    observer.terminal(channel, &terminal, Instant::now());
}

fn show(observer: &mut Box<dyn Observer>, channel: u32, bytes: &[u8]) {
    observer.data(channel, Side::Instance, None, bytes, Instant::now());
}

fn read(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn each_terminal_becomes_a_file_of_its_own() {
    let scene = Scene::new(OnFailure::Refuse);
    let session = scene.session().await;
    let mut observer = session.observer();
    open(&mut observer, 0);
    open(&mut observer, 7);
    show(&mut observer, 0, b"one");
    show(&mut observer, 7, b"two");
    let size = TerminalSize {
        columns: 132,
        rows: 50,
    };
    observer.resized(7, size, Instant::now());
    observer.data(0, Side::Client, None, b"typed", Instant::now());
    show(&mut observer, 3, b"no terminal");
    observer.closed(0, Instant::now());
    assert!(observer.wants_data());
    show(&mut observer, 0, b"closed");
    drop(observer);
    let notes = session.finish().await;
    assert_eq!(notes.len(), 2);
    assert!(
        notes
            .iter()
            .all(|note| !note.truncated && note.cause.is_none())
    );

    let files = scene.files();
    let casts: Vec<_> = files.iter().map(|file| read(file)).collect();
    assert_eq!(casts[0][0]["title"], "alice on vm1");
    assert_eq!((casts[0].len(), &casts[0][1][2]), (2, &"one".into()));
    assert_eq!((casts[1].len(), &casts[1][1][2]), (3, &"two".into()));
    assert_eq!(casts[1][2][1], "r");
    assert_eq!(casts[1][2][2], "132x50");
    for (note, file) in notes.iter().zip(&files) {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(note.file.as_deref(), Some(name));
        assert!(name.ends_with("Z-alice-00000000000000ff-1.cast") || name.ends_with("-2.cast"));
        let metadata = fs::metadata(file).unwrap();
        assert_eq!(metadata.len(), note.bytes);
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
    assert!(scene.metric("poolgate_recordings_total{outcome=\"complete\"} 2"));
}

#[tokio::test]
async fn nothing_passes_until_the_file_is_open() {
    let scene = Scene::new(OnFailure::Refuse);
    let session = scene.session().await;
    assert!(!session.is_opening());
    let mut observer = session.observer();
    open(&mut observer, 0);
    // Open, or on its way there; in either case the relay is told.
    session.opening_changed(true).await;
    assert!(!session.is_opening() && scene.files().len() == 1);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_ends_the_session_or_not() {
    for (on_failure, ends) in [(OnFailure::Refuse, true), (OnFailure::GoOn, false)] {
        let scene = Scene::new(on_failure);
        fs::write(&scene.config.folder, "a file is in the way").unwrap();
        let session = scene.session().await;
        let mut observer = session.observer();
        open(&mut observer, 0);
        if ends {
            session.failed().await;
        } else {
            assert!(!session.is_opening(), "nobody waits");
        }
        show(&mut observer, 0, b"unseen");
        drop(observer);
        let notes = session.finish().await;
        assert!(notes[0].truncated && notes[0].file.is_none());
        let cause = notes[0].cause.clone().unwrap();
        assert!(
            cause.contains(&format!("{}", scene.dir.path().display())),
            "{cause}"
        );
        assert!(scene.metric("poolgate_recordings_total{outcome=\"failed\"} 1"));
    }
}

#[tokio::test]
async fn a_file_at_its_limit_says_so_and_is_kept() {
    let mut scene = Scene::new(OnFailure::Refuse);
    scene.config.file_max = 4096;
    let session = scene.session().await;
    let mut observer = session.observer();
    open(&mut observer, 0);
    for _ in 0..100 {
        show(&mut observer, 0, &[b'x'; 100]);
    }
    session.failed().await;
    assert!(!observer.wants_data(), "the relay need not look any more");
    drop(observer);
    let notes = session.finish().await;
    assert!(notes[0].truncated && notes[0].bytes <= 4096 && notes[0].bytes > 3000);
    let cast = read(&scene.files()[0]);
    let last = cast.last().unwrap();
    assert_eq!(last[1], "m");
    assert_eq!(last[2], "the recording ends here: pools.recording.file_max");
    assert!(scene.metric("limit=\"pools.recording.file_max\"} 1"));
    assert!(scene.metric("outcome=\"truncated\"} 1"));
}

#[tokio::test]
async fn a_slow_disk_costs_the_recording_and_never_the_relay() {
    let scene = Scene::new(OnFailure::Refuse);
    // Faster than any disk takes it.
    let session = scene.session().await;
    let mut observer = session.observer();
    open(&mut observer, 0);
    let megabyte = vec![0u8; 1 << 20];
    for _ in 0..64 {
        show(&mut observer, 0, &megabyte);
    }
    session.failed().await;
    drop(observer);
    let notes = session.finish().await;
    assert!(notes[0].truncated);
}

#[tokio::test]
async fn one_session_has_no_endless_terminals() {
    let scene = Scene::new(OnFailure::Refuse);
    let session = scene.session().await;
    let mut observer = session.observer();
    for channel in 0..=TERMINALS_MAX {
        open(&mut observer, channel as u32);
        observer.closed(channel as u32, Instant::now());
    }
    session.failed().await;
    drop(observer);
    assert_eq!(session.finish().await.len(), TERMINALS_MAX);
    assert_eq!(scene.files().len(), TERMINALS_MAX);
}

#[tokio::test]
async fn echoed_input_is_recorded_where_it_is_wanted() {
    let mut scene = Scene::new(OnFailure::GoOn);
    scene.config.input = true;
    let session = scene.session().await;
    let mut observer = session.observer();
    open(&mut observer, 0);
    let now = Instant::now();
    for (typed, shown) in [
        ("ls", "ls"),
        ("\r", "\r\nPassword: "),
        ("hunter2", ""),
        ("\r", "\r\n"),
    ] {
        observer.data(0, Side::Client, None, typed.as_bytes(), now);
        show(&mut observer, 0, shown.as_bytes());
    }
    drop(observer);
    session.finish().await;
    let text = fs::read_to_string(&scene.files()[0]).unwrap();
    assert!(
        text.contains(r#""i", "ls\r"]"#) && !text.contains("hunter2"),
        "{text}"
    );
}
