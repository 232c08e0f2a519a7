//! The 40 test accounts, which exist only where `tests/it/enter` made them.

use std::path::PathBuf;

use nix::unistd::User;

/// The password of every test account; `tests/it/enter` sets it.
pub const PASSWORD: &str = "correct horse";
pub const COUNT: usize = 40;

/// One test account and the key it logs in with.
#[derive(Clone, Debug)]
pub struct Person {
    pub name: String,
    pub home: PathBuf,
    /// Private key; its public half is beside it and in the person's authorized_keys.
    pub key: PathBuf,
    /// A certificate for that key by the pool's authority: what a direct login to an instance needs.
    pub certificate: PathBuf,
}

/// `person01` ... `person40`.
pub fn account_name(number: usize) -> String {
    assert!((1..=COUNT).contains(&number), "there are {COUNT} people");
    format!("person{number:02}")
}

/// The account as the system has it.
pub fn account(number: usize) -> User {
    User::from_name(&account_name(number))
        .unwrap()
        .expect("the test accounts are missing: run the tests through tests/run, which makes them")
}

/// The folder in memory that holds the accounts' homes and the tests' worlds.
pub fn base() -> PathBuf {
    let home = account(1).dir;
    home.parent().unwrap().parent().unwrap().to_owned()
}

/// What tests/run has installed, where the test accounts can read it.
pub fn staged() -> PathBuf {
    base().join("staged")
}
