use super::*;
use std::fs;

fn text(bytes: &[u8]) -> Result<String, String> {
    match bytes {
        b"broken" => Err("it is broken".into()),
        _ => Ok(String::from_utf8_lossy(bytes).into_owned()),
    }
}

async fn look_again(file: &OperatorFile<String>) -> Option<Arc<String>> {
    if let Some(known) = file.known.lock().await.as_mut() {
        known.looked_at -= FRESH;
    }
    file.read().await
}

#[tokio::test]
async fn a_change_is_seen_and_a_broken_file_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let file = OperatorFile::new(path.clone(), text);
    assert!(matches!(file.check(), Err(FileError::Missing(_))));
    assert_eq!(file.read().await, None);
    fs::write(&path, "one").unwrap();
    assert_eq!(**look_again(&file).await.unwrap(), *"one");
    fs::write(&path, "two!").unwrap();
    assert_eq!(**file.read().await.unwrap(), *"one", "for a moment");
    assert_eq!(**look_again(&file).await.unwrap(), *"two!");
    fs::write(&path, "broken").unwrap();
    assert_eq!(look_again(&file).await, None);
    assert!(
        file.check()
            .unwrap_err()
            .to_string()
            .ends_with("list: it is broken")
    );
}

#[tokio::test]
async fn what_is_unchanged_is_not_parsed_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, "one").unwrap();
    let file = OperatorFile::new(path, text);
    let first = file.read().await.unwrap();
    assert!(Arc::ptr_eq(&first, &look_again(&file).await.unwrap()));
}

#[tokio::test]
async fn a_file_others_can_write_is_not_believed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, "one").unwrap();
    let file = OperatorFile::new(path.clone(), text);
    assert!(file.read().await.is_some());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(look_again(&file).await, None);
}
