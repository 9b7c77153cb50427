//! Addresses that invite (S10), as they are compared.

use crate::error::Error;

/// How the database names the kinds of addresses.
pub(crate) const EMAIL: i16 = 0;
/// As [`EMAIL`].
pub(crate) const PHONE: i16 = 1;
/// As [`EMAIL`].
pub(crate) const FACEBOOK: i16 = 2;

/// An address has at most so many characters.
const MAX_CHARS: usize = 254;

/// An address, normalised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Address {
    /// `appId:userId`.
    Facebook(String),
    /// In lower case.
    Email(String),
    /// In E.164: `+` and 7 to 15 digits.
    Phone(String),
}

impl Address {
    /// [`EMAIL`], [`PHONE`] or [`FACEBOOK`].
    pub(crate) fn kind(&self) -> i16 {
        match self {
            Self::Facebook(_) => FACEBOOK,
            Self::Email(_) => EMAIL,
            Self::Phone(_) => PHONE,
        }
    }

    /// As it is compared.
    pub(crate) fn text(&self) -> &str {
        let (Self::Facebook(text) | Self::Email(text) | Self::Phone(text)) = self;
        text
    }

    /// What a text can be that names an address of any kind.
    pub(crate) fn of_any_kind(text: &str) -> Option<Self> {
        Self::email("", text).or_else(|_| Self::phone("", text)).or_else(|_| Self::facebook("", text)).ok()
    }

    /// Reads `appId:userId`.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn facebook(field: &str, text: &str) -> Result<Self, Error> {
        let text = text.trim();
        match text.split_once(':') {
            Some((app, user)) if is_word(app) && is_word(user) && !user.contains(':') => {
                Ok(Self::Facebook(text.to_owned()))
            }
            _ => Err(Error::bad_request(field, "expected fbAppId:fbUserId")),
        }
    }

    /// Reads an e-mail address.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn email(field: &str, text: &str) -> Result<Self, Error> {
        let text = text.trim();
        match text.rsplit_once('@') {
            // What can be no recipient of a mail is not kept to be sent one.
            Some((local, domain))
                if is_word(local) && is_word(domain) && is_word(text) && text.parse::<lettre::Address>().is_ok() =>
            {
                Ok(Self::Email(text.to_lowercase()))
            }
            _ => Err(Error::bad_request(field, "expected an e-mail address")),
        }
    }

    /// Reads a phone number with its country's code. The database's function `e164` reads the directory's in the same way.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn phone(field: &str, text: &str) -> Result<Self, Error> {
        e164(text).map(Self::Phone).ok_or_else(|| {
            Error::bad_request(field, "expected a phone number with its country's code, such as +4930123456")
        })
    }
}

fn is_word(text: &str) -> bool {
    let is_fitting = |c: char| !c.is_whitespace() && !c.is_control();
    !text.is_empty() && text.chars().count() <= MAX_CHARS && text.chars().all(is_fitting)
}

fn e164(text: &str) -> Option<String> {
    // The trunk prefix that is written for callers at home.
    let written: String = text
        .replace("(0)", "")
        .chars()
        .filter(|c| !matches!(c, ' ' | '\t' | '\u{a0}' | '(' | ')' | '.' | '/' | '-'))
        .collect();
    let digits = written.strip_prefix('+').or_else(|| written.strip_prefix("00"))?;
    let is_number =
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    is_number.then(|| format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_phone_numbers_are_compared_in_e164() {
        for text in ["+4930123456", "+49 30 123456", "+49 (0)30 / 12 34-56", "0049.30.123456", "\u{a0}+49\t30123456 "] {
            assert_eq!(e164(text).as_deref(), Some("+4930123456"), "{text}");
        }
        for text in [
            "",
            "030 123456",
            "+0 30123456",
            "+49 30 12345x",
            "+123456",
            "+1234567890123456",
            "+٤٩30123456",
            "tel:+4930123456",
        ] {
            assert_eq!(e164(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_400_and_names_the_field() {
        let field = "data.usersToInvite[1].emails[0]";
        for text in ["", "bob", "@example.org", "bob@", "b ob@example.org", "bob@exam ple.org", "bob\u{7}@example.org"]
        {
            let error = Address::email(field, text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("400 {field}: ")), "{text}: {error}");
        }
        assert!(Address::email(field, &format!("{}@example.org", "a".repeat(243))).is_err());
        for text in ["", "bob", "app:", ":user", "app:us er", "a:b:c"] {
            assert!(Address::facebook(field, text).is_err(), "{text}");
        }
    }

    #[test]
    fn s10_letters_of_an_e_mail_address_are_alike() {
        assert_eq!(
            Address::email("", " Élise@Example.ORG ").expect("one"),
            Address::Email("élise@example.org".to_owned())
        );
        assert_eq!(Address::facebook("", "app:user").expect("one"), Address::Facebook("app:user".to_owned()));
    }
}
