use super::*;
use crate::files::Look;
use std::fs;

fn text(bytes: &[u8]) -> Result<String, String> {
    match bytes {
        b"broken" => Err("it is broken".into()),
        _ => Ok(String::from_utf8_lossy(bytes).into_owned()),
    }
}

fn look_again<T: Send + Sync + 'static>(file: &Followed<T>) -> Arc<T> {
    file.look();
    file.look();
    file.current()
}

#[test]
fn a_file_that_never_was_there_is_none_until_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let faults = FileFaults::default();
    let refused = open("k", &path, text, &faults).err().unwrap();
    assert!(matches!(refused, FileError::Missing(_)));
    let file = open_if_sound("k", &path, text, "nobody gets in", &faults);
    assert_eq!(*file.current(), None);
    fs::write(&path, "one").unwrap();
    assert_eq!(look_again(&file).as_deref(), Some("one"));
    fs::write(&path, "broken").unwrap();
    assert_eq!(look_again(&file).as_deref(), Some("one"), "it stays");
    let why = faults.now()[0].why.clone();
    assert!(why.contains("list: it is broken"), "{why}");
}

#[test]
fn a_file_others_can_write_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, "one").unwrap();
    let faults = FileFaults::default();
    let file = open("k", &path, text, &faults).unwrap();
    fs::write(&path, "two").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(*look_again(&file), "one");
    assert_eq!(faults.now().len(), 1);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(*look_again(&file), "two");
}
