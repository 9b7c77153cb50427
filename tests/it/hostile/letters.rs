//! What becomes a mail or a calendar file: it has the headers and the properties that it has, whatever it says.

use harness::{Stack, eventually, smtp::MailServer, stack::http, token::token};
use mail_parser::MimeHeaders as _;
use serde_json::{Value, json};

use super::TEXTS;
use crate::social::{create, outsiders::mailing, with, yoga};

/// The properties of a calendar file in order, and its text unfolded.
fn read(ics: &str) -> (Vec<String>, String) {
    assert!(ics.ends_with("\r\n"), "{ics:?}");
    for line in ics.split("\r\n") {
        assert!(line.len() <= 75 && !line.contains(char::is_control), "{line:?}");
    }
    let text = ics.replace("\r\n ", "");
    let name = |line: &str| {
        let name = line.split([':', ';']).next().unwrap_or_default().to_owned();
        // Which component begins or ends, too.
        if name == "BEGIN" || name == "END" { line.to_owned() } else { name }
    };
    (text.trim_end().split("\r\n").map(name).collect(), text)
}

/// The value of a TEXT property, as RFC 5545, 3.3.11 has it read.
fn value(text: &str, name: &str) -> String {
    let line = text.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect(name);
    let (mut value, mut characters) = (String::new(), line.chars());
    while let Some(character) = characters.next() {
        value.push(match character {
            '\\' => match characters.next().expect("what is escaped") {
                'n' | 'N' => '\n',
                other => other,
            },
            ',' | ';' => panic!("bare {character}: {line}"),
            _ => character,
        });
    }
    value
}

fn kept(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !character.is_control()).collect()
}

/// Gives the room, the owner and a reader a text as their names.
async fn rename(stack: &Stack, text: &str) {
    stack
        .import_all(&[
            json!({"kind": "room", "id": "lobby", "title": text}),
            json!({"kind": "user", "id": "bob", "firstName": text, "lastName": text}),
            json!({"kind": "user", "id": "carol", "firstName": text}),
        ])
        .await;
}

async fn download(stack: &Stack, session: &Value, user: &str) -> String {
    let id = session["id"].as_str().expect("an id");
    let url = format!("http://{}/api/v0/resource/sessionInvitation/{id}", stack.gateways[0].public);
    let answer = http().get(url).bearer_auth(token(user, "demo", "download")).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-disposition"], r#"attachment; filename="invite.ics""#);
    answer.text().await.expect("a text")
}

#[tokio::test]
async fn a_calendar_file_has_its_own_properties_whatever_its_texts() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut of = async |text: &str| {
        rename(&stack, text).await;
        let session = with(yoga(None), json!({"title": text, "description": text}));
        let session = create(&mut bob, session, json!([{"userId": "carol"}])).await;
        [read(&download(&stack, &session, "carol").await), read(&download(&stack, &session, "bob").await)]
    };
    let plain = of("plain").await;
    for text in TEXTS {
        for ((properties, unfolded), (expected, _)) in of(text).await.into_iter().zip(&plain) {
            assert_eq!(properties, *expected, "{text:?}");
            for name in ["SUMMARY", "DESCRIPTION", "LOCATION"] {
                assert_eq!(value(&unfolded, name), kept(text), "{name} {text:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_mail_has_its_own_headers_whatever_its_texts() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut of = async |number: usize, text: &str| {
        rename(&stack, text).await;
        let to = format!("ann+{number}@example.com");
        let session = with(yoga(None), json!({"title": text, "description": text}));
        create(&mut bob, session, json!([{"emails": [to]}])).await;
        let mail = eventually!(server.mails_to(&to), |mails: &Vec<_>| !mails.is_empty()).remove(0);
        let (headers, _) = mail.raw.split_once("\r\n\r\n").expect("headers and a body");
        let headers = headers.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        let names: Vec<String> = headers.map(|line| line.split(':').next().expect("a name").to_owned()).collect();
        assert_eq!(mail.parsed().to().and_then(|to| to.first()).and_then(|to| to.address()), Some(to.as_str()));
        let parsed = mail.parsed();
        let calendar =
            parsed.parts.iter().find(|part| part.content_type().is_some_and(|it| it.subtype() == Some("calendar")));
        let ics = read(calendar.and_then(|part| part.text_contents()).expect("a calendar"));
        assert!(mail.raw.is_ascii() && mail.link().contains("?invitation="), "{}", mail.raw);
        (names, parsed.parts.len(), ics)
    };
    let (names, parts, (properties, _)) = of(0, "plain").await;
    for (index, text) in TEXTS.into_iter().enumerate() {
        let (its_names, its_parts, (its_properties, unfolded)) = of(index + 1, text).await;
        assert_eq!((its_names, its_parts, its_properties), (names.clone(), parts, properties.clone()), "{text:?}");
        assert_eq!(value(&unfolded, "SUMMARY"), kept(text), "{text:?}");
    }
    let before = server.attempts();
    for address in [
        "ann@example.com\r\nBcc: all@example.org",
        "ann@example.com\nRCPT TO:<all@example.org>",
        "ann@example.com, all@example.org",
        "\"ann\r\n\"@example.com",
        "Ann <ann@example.com>",
        "ann@example.com\u{0}",
        "@example.com",
        "ann@",
    ] {
        let request = json!({"session": yoga(None), "usersToInvite": [{"emails": [address]}]});
        let answer = bob.call("social:createSession", request).await;
        assert_eq!(answer["error"]["code"], 400, "{address:?}: {answer}");
    }
    assert_eq!(server.attempts(), before, "nothing was handed in");
}
