//! What outsiders are mailed.

use harness::{eventually, smtp::MailServer};
use mail_parser::MimeHeaders as _;
use serde_json::json;

use super::*;

#[tokio::test]
async fn an_outsider_is_mailed_once_with_text_link_and_calendar() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), json!([{"emails": ["Ann@Example.com"], "role": 1}])).await;
    assert_eq!(invited(&session), [""; 0], "outsiders are nobody's to see");
    let mails = eventually!(server.mails(), |mails: &Vec<_>| !mails.is_empty());
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("noreply@convene.test", ["ann@example.com".to_owned()].as_slice())
    );

    let parsed = mail.parsed();
    assert_eq!(parsed.subject(), Some("Invitation: Yoga"));
    let from = parsed.from().and_then(|from| from.first()).expect("From");
    assert_eq!((from.name(), from.address()), (Some("Convene"), Some("noreply@convene.test")));
    let to = parsed.to().and_then(|to| to.first()).expect("To");
    assert_eq!((to.name(), to.address()), (None, Some("ann@example.com")));
    assert_eq!(parsed.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));

    let text = parsed.body_text(0).expect("a text");
    for part in
        ["You are invited to: Yoga", "When: Wednesday, 2 January 2030, 11:00 to 12:00 (Europe/Berlin)", "Where: Lobby"]
    {
        assert!(text.contains(part), "{text}");
    }
    let id = session["id"].as_str().expect("an id");
    let link = format!("{PUBLIC_URL}/api/v0/resource/sessionInvitation/{id}?invitation={}", mail.token());
    assert_eq!(mail.link(), link);
    assert_eq!(mail.token().len(), 43);

    let root = parsed.root_part().content_type().expect("a type");
    assert_eq!((root.ctype(), root.subtype()), ("multipart", Some("mixed")));
    let calendar: Vec<_> = parsed
        .parts
        .iter()
        .filter(|part| part.content_type().is_some_and(|t| t.ctype() == "text" && t.subtype() == Some("calendar")))
        .collect();
    let [calendar] = calendar.as_slice() else { panic!("{}", mail.raw) };
    let kind = calendar.content_type().expect("a type");
    assert_eq!((kind.attribute("method"), kind.attribute("charset")), (Some("REQUEST"), Some("utf-8")));
    let ics = calendar.text_contents().expect("a text").replace("\r\n ", "");
    for line in [
        "METHOD:REQUEST".to_owned(),
        "DTSTART:20300102T100000Z".to_owned(),
        "DTEND:20300102T110000Z".to_owned(),
        format!("UID:{id}"),
        "SUMMARY:Yoga".to_owned(),
    ] {
        assert!(ics.split("\r\n").any(|found| found == line), "{line} in {ics}");
    }
    let of = |name: &str| ics.split("\r\n").filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    let (organizer, attendees) = (of("ORGANIZER"), of("ATTENDEE"));
    assert!(organizer.len() == 1 && organizer[0].ends_with(":mailto:noreply@convene.test"), "{ics}");
    assert!(attendees.len() == 1 && attendees[0].ends_with(":mailto:ann@example.com"), "{ics}");
    assert!(attendees[0].contains("PARTSTAT=NEEDS-ACTION"), "{ics}");

    let file = parsed.attachments().find(|part| part.attachment_name() == Some("invite.ics")).expect("a file");
    assert_eq!(
        file.text_contents()
            .map(str::to_owned)
            .unwrap_or_else(|| { String::from_utf8(file.contents().to_vec()).expect("a text") })
            .replace("\r\n ", ""),
        ics
    );
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, |n| *n == 1);
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn subjects_arrive_as_titles_were_written_and_carry_nothing_else() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    let long = "Ж".repeat(200);
    for (to, title, subject) in [
        ("emoji@example.com", "Yoga 🧘‍♀️ für alle", "Invitation: Yoga 🧘‍♀️ für alle"),
        ("lines@example.com", "Yoga\r\nBcc: all@example.com\n\nHello", "Invitation: Yoga Bcc: all@example.com Hello"),
        ("long@example.com", long.as_str(), &format!("Invitation: {long}")),
        ("spaces@example.com", &format!("a {} b", "x".repeat(200)), &format!("Invitation: a {} b", "x".repeat(200))),
    ] {
        create(&mut bob, with(yoga(None), json!({"title": title})), emails(&[to])).await;
        let mails = eventually!(server.mails_to(to), |mails: &Vec<_>| !mails.is_empty());
        let parsed = mails[0].parsed();
        assert_eq!(parsed.subject(), Some(subject));
        assert!(parsed.bcc().is_none() && parsed.cc().is_none(), "{}", mails[0].raw);
    }
}

#[tokio::test]
async fn users_who_have_proven_their_address_are_mailed_nothing() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), emails(&["carol@example.org", "ann@example.com"])).await;
    assert_eq!(invited(&session), ["carol"]);
    eventually!(server.mails(), |mails: &Vec<_>| !mails.is_empty());
    assert_eq!(server.mails().len(), 1);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_messages").await, 1);
}

#[tokio::test]
async fn what_cannot_be_sent_yet_waits_and_is_sent_when_the_settings_are_there_unless_it_is_over() {
    let server = MailServer::start().await;
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(2);
    let short = with(yoga(None), json!({"startDate": soon.to_rfc3339(), "duration": 1}));
    create(&mut bob, short, emails(&["late@example.com"])).await;
    create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at <= now()").await, 2);
    eventually!(count(&stack, "SELECT count(*) FROM social_sessions WHERE ends_at <= now()").await, |over| *over == 1);

    let again = mailing(&server).on(stack.servers.clone()).unseeded().start().await;
    eventually!(server.mails_to("ann@example.com").len(), |sent| *sent == 1);
    eventually!(count(&again, "SELECT count(*) FROM social_messages WHERE due_at IS NOT NULL").await, |due| *due == 0);
    assert_eq!(server.mails().len(), 1);
    let metrics = again.workers[0].get("/metrics").await.expect("metrics").1;
    assert!(metrics.contains("convene_messages_sent_total{channel=\"mail\",what=\"invitation\"}"), "{metrics}");
}

#[tokio::test]
async fn i2_those_who_were_mailed_are_mailed_that_the_session_is_deleted() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let session = create(&mut people.bob, yoga(Some(&event)), emails(&["ann@example.com", "ben@example.com"])).await;
    eventually!(server.mails().len(), |sent| *sent == 2);
    let token = server.mails_to("ben@example.com")[0].token();
    people.dave.ask("social:joinSession", claiming(&session, &token)).await;
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, |done| *done == 2);

    people.alice.ask("social:deleteEvent", super::super::named_event(&event)).await;
    for to in ["ann@example.com", "ben@example.com"] {
        let mails = eventually!(server.mails_to(to), |mails: &Vec<_>| mails.len() == 2);
        let parsed = mails[1].parsed();
        assert_eq!(parsed.subject(), Some("Cancelled: Yoga"));
        assert_ne!(parsed.message_id(), mails[0].parsed().message_id());
        let calendar = parsed
            .parts
            .iter()
            .find(|part| part.content_type().is_some_and(|kind| kind.subtype() == Some("calendar")))
            .expect("a calendar");
        assert_eq!(calendar.content_type().expect("a type").attribute("method"), Some("CANCEL"));
        let ics = calendar.text_contents().expect("a text").replace("\r\n ", "");
        for line in ["METHOD:CANCEL", "SEQUENCE:1", "STATUS:CANCELLED"] {
            assert!(ics.contains(&format!("\r\n{line}\r\n")), "{ics}");
        }
        assert!(ics.contains(&format!("\r\nUID:{}\r\n", session["id"].as_str().expect("an id"))), "{ics}");
        assert!(ics.contains(&format!(":mailto:{to}\r\n")), "{ics}");
    }
    eventually!(count(&stack, "SELECT count(*) FROM social_messages").await, |left| *left == 0);
}

#[tokio::test]
async fn who_was_mailed_nothing_is_not_mailed_that_it_is_cancelled() {
    let server = MailServer::start().await;
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let session =
        create(&mut bob, yoga(None), json!([{"emails": ["ann@example.com"], "phones": ["+4930123456"]}])).await;
    bob.ask("social:deleteSession", named(&session)).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_messages").await, 0);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);
    let again = mailing(&server).on(stack.servers.clone()).unseeded().start().await;
    let mut bob = again.client(0, "bob").await;
    create(&mut bob, yoga(None), emails(&["ben@example.com"])).await;
    eventually!(server.mails().len(), |sent| *sent > 0);
    assert_eq!(server.mails_to("ann@example.com"), []);
}
