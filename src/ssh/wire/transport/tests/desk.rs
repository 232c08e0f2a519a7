//! A server of just enough user authentication for real clients.

use super::*;
use crate::ssh::wire::message::{parse_service, service_accept};
use crate::ssh::wire::userauth::{self, AuthRequest, Method, SignedKey};

/// A server that lets every key in and keeps what it was asked.
pub(super) struct Desk {
    pub peer: Peer,
    pub requests: Vec<AuthRequest>,
    pub proven: Option<SignedKey>,
    pub after_login: Vec<Vec<u8>>,
    answered: usize,
}

impl Desk {
    pub fn new(settings: ServerSettings) -> Self {
        let peer = Peer::server(settings);
        Self {
            peer,
            requests: vec![],
            proven: None,
            after_login: vec![],
            answered: 0,
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.peer.inbox.extend_from_slice(bytes);
        while self.peer.step()? {
            while let Some(payload) = self.peer.messages().get(self.answered) {
                self.answered += 1;
                if let Some(answer) = self.answer(payload) {
                    self.peer.send(&answer)?;
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if self.proven.is_some() {
            self.after_login.push(payload.to_vec());
            return None;
        }
        if payload[0] == number::SERVICE_REQUEST {
            return Some(service_accept(parse_service(payload).unwrap()));
        }
        let request = AuthRequest::parse(payload).unwrap();
        self.requests.push(request.clone());
        match &request.method {
            Method::PublicKey {
                signature: None,
                algorithm,
                key_blob,
            } => Some(userauth::pk_ok(algorithm, key_blob)),
            Method::PublicKey { .. } => {
                let session = self.peer.transport.session_id().unwrap();
                self.proven = Some(userauth::signed_key(session, &request).unwrap());
                self.peer.transport.authenticated();
                Some(userauth::success())
            }
            _ => Some(userauth::failure(&["publickey"], false)),
        }
    }
}
