//! The Unix groups a person has on the gate's own host, as `id -Gn` would print them there.
//!
//! Blocking: a directory service may answer slowly or never. Instances may know other groups; the gate does not ask them.

use std::ffi::CString;
use std::io;

use nix::unistd::{Group, User, getgrouplist};

/// The names of all groups; none where the host knows no such account.
pub fn groups_of(user: &str) -> io::Result<Vec<String>> {
    let Some(account) = User::from_name(user)? else {
        return Ok(Vec::new());
    };
    let name = CString::new(user).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut names = Vec::new();
    for id in getgrouplist(&name, account.gid)? {
        // A number without a name is in no list of names.
        names.extend(Group::from_gid(id)?.map(|group| group.name));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_in_its_group_and_nobody_knows_a_stranger() {
        assert!(groups_of("root").unwrap().contains(&"root".to_owned()));
        assert!(groups_of("no-such-account-here").unwrap().is_empty());
    }
}
