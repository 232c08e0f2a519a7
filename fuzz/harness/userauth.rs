//! Every message of a login, in both directions.

use poolgate::ssh::wire::userauth::{
    self, AuthReply, AuthRequest, InProgress, LONGEST_SECRET, LONGEST_USER, MOST_PROMPTS, Method,
    Secret,
};

const METHODS: [InProgress; 4] = [
    InProgress::None,
    InProgress::PublicKey,
    InProgress::Password,
    InProgress::KeyboardInteractive,
];

pub fn run(data: &[u8]) {
    if let Ok(request) = AuthRequest::parse(data) {
        check_request(data, &request);
    }
    if let Ok(answers) = userauth::parse_info_response(data) {
        assert!(answers.len() <= MOST_PROMPTS);
        assert_eq!(
            &userauth::info_response(&answers)[..],
            data,
            "relayed otherwise than it came"
        );
    }
    for method in METHODS {
        let Ok(reply) = AuthReply::parse(data, method) else {
            continue;
        };
        if let AuthReply::InfoRequest(round) = &reply {
            assert!(round.prompts.len() <= MOST_PROMPTS);
            let sent = userauth::info_request(&round.name, &round.instruction, &round.prompts);
            assert_eq!(AuthReply::parse(&sent, method).as_ref(), Ok(&reply));
        }
        if let AuthReply::PkOk {
            algorithm,
            key_blob,
        } = &reply
        {
            assert_eq!(userauth::pk_ok(algorithm, key_blob), data);
        }
    }
}

fn check_request(data: &[u8], request: &AuthRequest) {
    assert!(request.user.len() <= LONGEST_USER);
    match &request.method {
        Method::Password {
            password,
            new_password,
        } => {
            assert!(password.expose().len() <= LONGEST_SECRET);
            check_shown(request);
            let again = match new_password {
                Some(new) => userauth::password_change_request(&request.user, password, new),
                None => userauth::password_request(&request.user, password),
            };
            // Any other service than the one the builders ask for is refused before the password is looked at.
            if request.service == "ssh-connection" {
                let read = AuthRequest::parse(&again);
                assert_eq!(read.as_ref(), Ok(request), "relayed otherwise than it came");
            }
        }
        Method::PublicKey { .. } => {
            let offered = userauth::offered_key(request);
            // Without a private key at hand no input can sign: whatever is let through here is a forgery.
            let signed = userauth::signed_key(b"a session that nobody has had", request);
            assert!(signed.is_err(), "{offered:?} was proved by {data:?}");
        }
        Method::KeyboardInteractive { submethods } => {
            let again = userauth::keyboard_interactive_request(&request.user, submethods);
            if request.service == "ssh-connection" {
                // The language tag is dropped.
                let read = AuthRequest::parse(&again);
                assert_eq!(read.as_ref(), Ok(request));
            }
        }
        Method::None | Method::Other(_) => {}
    }
}

/// What is printed of a request is the same whatever the passwords are.
fn check_shown(request: &AuthRequest) {
    let mut other = request.clone();
    if let Method::Password {
        password,
        new_password,
    } = &mut other.method
    {
        *password = Secret::new(b"another");
        *new_password = new_password.as_ref().map(|_| Secret::new(b"a third"));
    }
    let (shown, with_others) = (format!("{request:?}"), format!("{other:?}"));
    assert_eq!(shown, with_others, "a password was printed");
}
