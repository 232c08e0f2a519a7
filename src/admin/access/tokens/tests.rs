use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A file of these lines, for its owner alone.
fn file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("admin.tokens");
    write(&path, text).unwrap();
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// It counts once it stands still.
fn look_again(tokens: &Tokens) {
    tokens.look();
    tokens.look();
}

fn fault(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    match Tokens::open(&file(&folder, text), &FileFaults::default()) {
        Ok(_) => panic!("taken: {text}"),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn a_token_is_taken_from_its_hash_until_its_line_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let made = new_token("ada", Role::Operator).unwrap();
    assert!(made.token.starts_with("pgt_") && made.token.len() == 47);
    assert!(!made.line.contains(&*made.token));
    let other = new_token("bob@pool.example", Role::Viewer).unwrap();
    let path = file(
        &folder,
        &format!("# who\n\n{}\n{}\n", made.line, other.line),
    );
    let faults = FileFaults::default();
    let tokens = Tokens::open(&path, &faults).unwrap();
    let holder = tokens.find(&made.token).unwrap();
    assert_eq!((&*holder.name, holder.role), ("ada", Role::Operator));
    assert_eq!(tokens.find_hash(&holder.hash), Some(holder.clone()));
    for wrong in [
        "",
        "pgt_",
        &made.line,
        &"x".repeat(100_000),
        &format!("{} ", *made.token),
    ] {
        assert_eq!(tokens.find(wrong), None);
    }
    look_again(&tokens);
    assert!(tokens.find(&made.token).is_some());
    file(&folder, &format!("{}\n", other.line));
    look_again(&tokens);
    assert_eq!(tokens.find(&made.token), None);
    assert!(tokens.find(&other.token).is_some());
}

#[test]
fn a_file_that_becomes_faulty_changes_nothing_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let made = new_token("ada", Role::Admin).unwrap();
    let path = file(&folder, &made.line);
    let faults = FileFaults::default();
    let tokens = Tokens::open(&path, &faults).unwrap();
    let other = new_token("eve", Role::Admin).unwrap();
    for mode in [0o604, 0o620, 0o602] {
        write(&path, &other.line).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        look_again(&tokens);
        assert!(tokens.find(&made.token).is_some(), "{mode:o}");
        assert_eq!(tokens.find(&other.token), None, "{mode:o}");
        assert!(faults.now()[0].why.contains("run: chmod 600"));
    }
    set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    look_again(&tokens);
    assert!(tokens.find(&other.token).is_some() && faults.now().is_empty());
    std::fs::remove_file(&path).unwrap();
    look_again(&tokens);
    assert!(tokens.find(&other.token).is_some() && faults.now().len() == 1);
}

#[test]
fn faults_say_the_line_and_what_to_write_and_show_no_token() {
    let digits = "0".repeat(64);
    let expect = |text: &str, words: &str| {
        let fault = fault(text);
        assert!(fault.contains(words), "{fault}");
        assert!(fault.contains("admin.tokens:"), "{fault}");
        assert!(!fault.contains("pgt_"), "{fault}");
    };
    expect("ada admin", ":1: is not NAME ROLE SHA256-HEX");
    expect(
        &format!("# x\nada root {digits}"),
        ":2: the role of ada is none; write viewer",
    );
    expect("ada admin pgt_geheim", "never the token itself");
    expect(
        &format!("ada admin {}g", &digits[1..]),
        "64 hexadecimal digits",
    );
    expect(
        &format!("ada admin +{}", &digits[1..]),
        "64 hexadecimal digits",
    );
    expect(&format!("a/b admin {digits}"), "no name of a token");
    let twice = format!("ada admin {digits}\nada viewer {digits}");
    expect(&twice, ":2: ada has a token already");
    let many: Vec<_> = (0..=TOKENS_MAX)
        .map(|at| format!("t{at} viewer {digits}\n"))
        .collect();
    assert!(fault(&many.concat()).contains("more than 1000 tokens"));
    assert!(fault(&"#".repeat(300_000)).contains("is larger than"));
}

#[test]
fn no_file_a_folder_and_a_readable_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        Tokens::open(path, &FileFaults::default())
            .err()
            .unwrap()
            .to_string()
    };
    let none = open(&folder.path().join("none"));
    assert!(
        none.contains("`poolgate token NAME --role viewer` makes"),
        "{none}"
    );
    assert!(open(folder.path()).contains("not a regular file"));
    let path = file(&folder, "");
    set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let readable = open(&path);
    assert!(readable.contains("run: chmod 600"), "{readable}");
    assert!(new_token("a b", Role::Viewer).is_err());
}
