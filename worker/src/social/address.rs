//! Addresses that invite (S10), as they are compared.

use idna::AsciiDenyList;

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
    /// As [`folded_email`] writes it.
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

    /// As [`forms`].
    pub(crate) fn forms(&self) -> Vec<String> {
        forms(self.kind(), self.text())
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

    /// Reads an e-mail address. A name before the `@` beyond ASCII is taken: some mail servers do (SMTPUTF8).
    ///
    /// # Errors
    /// 400, naming the field; also for a domain that has no A-label.
    pub(crate) fn email(field: &str, text: &str) -> Result<Self, Error> {
        let folded = folded_email(text);
        match folded.rsplit_once('@') {
            // What can be no recipient of a mail is not kept to be sent one.
            Some((local, domain))
                if is_word(local)
                    && domain.is_ascii()
                    && is_word(&folded)
                    && folded.parse::<lettre::Address>().is_ok() =>
            {
                Ok(Self::Email(folded))
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

/// An e-mail address as it is compared, stored and mailed to: letters alike, and an internationalised domain as its A-label
/// (UTS 46). What is no address, or has a domain without an A-label, is only put into lower case.
pub(crate) fn folded_email(text: &str) -> String {
    let text = text.trim();
    let folded = text.rsplit_once('@').and_then(|(local, domain)| {
        // What a mail server is told must not gain an `@` from a fullwidth one, nor anything else that no domain has.
        let is_name = !domain.is_ascii();
        let domain = if is_name {
            idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::STD3).ok()?.into_owned()
        } else {
            domain.to_ascii_lowercase()
        };
        Some(format!("{}@{domain}", local.to_lowercase()))
    });
    folded.unwrap_or_else(|| text.to_lowercase())
}

/// How releases up to 0.1 have written an address that [`folded_email`] has written, where that differs: with the letters of an
/// internationalised domain. Rows that they have left, or still write beside us, are found by it.
pub(crate) fn older_email(folded: &str) -> Option<String> {
    let (local, domain) = folded.rsplit_once('@')?;
    if !domain.contains("xn--") {
        return None;
    }
    let (letters, outcome) = idna::domain_to_unicode(domain);
    outcome.ok().filter(|()| letters != domain).map(|()| format!("{local}@{letters}"))
}

/// All forms in which the database may have an address that it has in one of them, the one that is written now first.
pub(crate) fn forms(kind: i16, stored: &str) -> Vec<String> {
    if kind != EMAIL {
        return vec![stored.to_owned()];
    }
    let folded = folded_email(stored);
    let mut forms: Vec<String> = older_email(&folded).into_iter().collect();
    if stored != folded && forms.iter().all(|form| form != stored) {
        forms.push(stored.to_owned());
    }
    forms.insert(0, folded);
    forms
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
        for text in [
            "",
            "bob",
            "@example.org",
            "bob@",
            "b ob@example.org",
            "bob@exam ple.org",
            "bob\u{7}@example.org",
            // No A-label: it is too long, or nothing is left of a label, or it would be something else than a domain.
            &format!("bob@{}.example", "ü".repeat(63)),
            "bob@\u{ad}.example",
            "bob@mün chen.example",
            "bob@m\u{fc}nchen\u{ff20}b.example",
            "bob@münchen_.example",
        ] {
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

    #[test]
    fn an_internationalised_domain_is_its_a_label_however_it_is_written() {
        for text in [
            "x@münchen.example",
            "X@MÜNCHEN.example",
            " x@mu\u{308}nchen.Example ",
            "x@münchen\u{3002}example",
            "x@xn--mnchen-3ya.example",
            "x@XN--Mnchen-3ya.EXAMPLE",
        ] {
            let address = Address::email("", text).expect(text);
            assert_eq!(address.text(), "x@xn--mnchen-3ya.example", "{text}");
            assert_eq!(address.forms(), ["x@xn--mnchen-3ya.example", "x@münchen.example"]);
        }
        for (text, folded) in [
            ("x@straße.example", "x@xn--strae-oqa.example"),
            ("x@例え.テスト", "x@xn--r8jz45g.xn--zckzah"),
            ("x@مثال.إختبار", "x@xn--mgbh0fb.xn--kgbechtv"),
            ("Ö@ö.example", "ö@xn--nda.example"),
            // What is ASCII already is the name that is mailed to, whatever UTS 46 says of it.
            ("x@Some_Host.example", "x@some_host.example"),
            ("x@xn--a.example", "x@xn--a.example"),
            ("X@[127.0.0.1]", "x@[127.0.0.1]"),
        ] {
            assert_eq!(folded_email(text), folded);
            assert_eq!(folded_email(folded), folded, "it stays what it is");
        }
        assert_eq!(older_email("ö@xn--nda.example").as_deref(), Some("ö@ö.example"));
        for plain in ["x@example.org", "x@xn--a.example", "nobody"] {
            assert_eq!(older_email(plain), None);
        }
        assert_eq!(folded_email(" No Address "), "no address");
        for stored in ["x@münchen.example", "x@xn--mnchen-3ya.example"] {
            assert_eq!(forms(EMAIL, stored), ["x@xn--mnchen-3ya.example", "x@münchen.example"]);
        }
        let as_typed = "x@mu\u{308}nchen.example";
        assert_eq!(forms(EMAIL, as_typed), ["x@xn--mnchen-3ya.example", "x@münchen.example", as_typed]);
        assert_eq!(forms(EMAIL, "x@example.org"), ["x@example.org"]);
        assert_eq!(forms(FACEBOOK, "App:ü@ü.example"), ["App:ü@ü.example"]);
    }
}
