//! The token of an invitation's link (S10): 32 random bytes, of which only the hash is stored.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};

const BYTES: usize = 32;

/// A token. Never shown but in a link: whoever has it may claim the invitation.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token([u8; BYTES]);

impl Token {
    /// Another one at each call.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Reads what stands in a link; `None`: no token looks like this.
    pub(crate) fn read(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0).to_vec()
    }

    /// As it stands in a link.
    pub(crate) fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_from_its_link_and_nothing_else_is() {
        let token = Token::random();
        let text = token.reveal();
        assert_eq!(text.len(), 43);
        assert!(Token::read(&text).as_ref() == Some(&token));
        assert_ne!(token.hash(), Token::random().hash());
        for other in ["", "x", &text[1..], &format!("{text}="), &format!("{text}AA"), &format!(" {}", &text[1..])] {
            assert!(Token::read(other).is_none(), "{other}");
        }
        assert!(!format!("{token:?}").contains(&text));
    }
}
