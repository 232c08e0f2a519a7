use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

struct Home {
    _folder: tempfile::TempDir,
    home: PathBuf,
    file: PathBuf,
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// `homes/alice/.ssh/authorized_keys`, all as it should be.
fn home() -> Home {
    let folder = tempfile::tempdir().unwrap();
    let homes = folder.path().canonicalize().unwrap().join("homes");
    let home = homes.join("alice");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    let file = home.join(".ssh/authorized_keys");
    fs::write(&file, "keys").unwrap();
    for folder in [&homes, &home, &home.join(".ssh")] {
        mode(folder, 0o755);
    }
    mode(&file, 0o644);
    Home {
        _folder: folder,
        home,
        file,
    }
}

fn person(home: &Home) -> Owner {
    Owner::Person {
        home: home.home.clone(),
        uid: None,
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn chown(path: &Path, uid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), None).unwrap();
}

#[test]
fn a_proper_file_is_read() {
    let home = home();
    assert_eq!(
        read(&home.file, &person(&home)).unwrap().as_deref(),
        Some(&b"keys"[..])
    );
}

#[test]
fn an_absent_file_is_no_fault() {
    let home = home();
    assert!(
        read(&home.home.join("nothing/here"), &person(&home))
            .unwrap()
            .is_none()
    );
    assert!(
        read(&home.file.join("below-a-file"), &person(&home))
            .unwrap()
            .is_none()
    );
}

#[test]
fn every_part_up_to_the_home_must_be_the_persons_to_write() {
    let home = home();
    for part in [home.file.clone(), home.home.join(".ssh"), home.home.clone()] {
        let proper = part.metadata().unwrap().mode() & 0o777;
        for bit in [GROUP_WRITE, OTHER_WRITE] {
            mode(&part, proper | bit);
            let refusal = read(&home.file, &person(&home)).unwrap_err();
            assert!(
                matches!(&refusal, Refusal::Writable(path) if *path == part),
                "{refusal}"
            );
            assert!(
                refusal
                    .to_string()
                    .ends_with(&format!("chmod go-w {}", part.display()))
            );
        }
        mode(&part, proper);
    }
    assert!(read(&home.file, &person(&home)).is_ok());
}

#[test]
fn a_folder_where_anybody_makes_homes_vouches_for_nobody() {
    let home = home();
    mode(home.home.parent().unwrap(), 0o1777);
    assert!(matches!(
        read(&home.file, &person(&home)),
        Err(Refusal::HomesWritable(_))
    ));
    let uid = Some(home.home.metadata().unwrap().uid());
    let known = Owner::Person {
        home: home.home.clone(),
        uid,
    };
    assert!(
        read(&home.file, &known).is_ok(),
        "a known account vouches for itself"
    );
}

#[test]
fn a_strangers_file_or_folder_grants_nothing() {
    if !is_root() {
        return;
    }
    let home = home();
    for part in [&home.file, &home.home.join(".ssh")] {
        chown(part, 4001);
        assert!(matches!(
            read(&home.file, &person(&home)),
            Err(Refusal::Owner {
                uid: 4001,
                owner: 0,
                ..
            })
        ));
        chown(part, 0);
    }
    for part in [&home.file, &home.home.join(".ssh"), &home.home] {
        chown(part, 4001);
    }
    assert!(read(&home.file, &person(&home)).is_ok());
    let other = Owner::Person {
        home: home.home.clone(),
        uid: Some(4002),
    };
    assert!(matches!(
        read(&home.file, &other),
        Err(Refusal::Owner {
            uid: 4001,
            owner: 4002,
            ..
        })
    ));
}

#[test]
fn a_link_is_judged_by_where_it_leads() {
    let home = home();
    let elsewhere = home.home.parent().unwrap().join("elsewhere");
    fs::write(&elsewhere, "other keys").unwrap();
    mode(&elsewhere, 0o644);
    fs::remove_file(&home.file).unwrap();
    symlink(&elsewhere, &home.file).unwrap();
    assert!(
        read(&home.file, &person(&home)).is_ok(),
        "all above belongs to the person or root"
    );
    mode(elsewhere.parent().unwrap(), 0o775);
    assert!(matches!(
        read(&home.file, &person(&home)),
        Err(Refusal::Writable(_))
    ));
    mode(elsewhere.parent().unwrap(), 0o755);
    if is_root() {
        chown(&elsewhere, 4001);
        assert!(matches!(
            read(&home.file, &person(&home)),
            Err(Refusal::Owner { uid: 4001, .. })
        ));
    }
}

#[test]
fn only_regular_files_are_opened() {
    let home = home();
    fs::remove_file(&home.file).unwrap();
    nix::unistd::mkfifo(&home.file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert!(matches!(
        read(&home.file, &person(&home)),
        Err(Refusal::NotRegular(_))
    ));
    fs::remove_file(&home.file).unwrap();
    symlink("/dev/zero", &home.file).unwrap();
    assert!(matches!(
        read(&home.file, &person(&home)),
        Err(Refusal::NotRegular(_))
    ));
    fs::remove_file(&home.file).unwrap();
    fs::create_dir(&home.file).unwrap();
    assert!(matches!(
        read(&home.file, &person(&home)),
        Err(Refusal::NotRegular(_))
    ));
}

#[test]
fn too_large_a_file_grants_nothing() {
    let home = home();
    let limit = usize::try_from(FILE_BYTES_MAX).unwrap();
    fs::write(&home.file, vec![b'#'; limit]).unwrap();
    assert!(read(&home.file, &person(&home)).is_ok());
    fs::write(&home.file, vec![b'#'; limit + 1]).unwrap();
    assert!(matches!(
        read(&home.file, &person(&home)),
        Err(Refusal::TooLarge { .. })
    ));
}

#[test]
fn the_operators_list_is_checked_up_to_the_root() {
    let home = home();
    assert!(
        read(&home.file, &Owner::Operator).is_ok(),
        "a sticky /tmp above is harmless"
    );
    mode(home.home.parent().unwrap(), 0o775);
    assert!(matches!(
        read(&home.file, &Owner::Operator),
        Err(Refusal::Writable(_))
    ));
}
