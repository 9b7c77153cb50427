//! Sessions that move, and invitations that are taken back: what those outside are told, and when.

use harness::{
    eventually,
    smtp::{Mail, MailServer, Trouble},
};
use serde_json::json;

use super::{phones::phoning, *};
use crate::social::{
    publish, update,
    zone_data::{NEWER, zones},
};

/// Nothing is to be sent, or being sent.
const DUE: &str = "SELECT count(*) FROM social_messages WHERE due_at IS NOT NULL";

/// What waits for the end of the pause.
const LATE: &str = "SELECT count(*) FROM social_messages
                    WHERE lease IS NULL AND due_at = coalesce(sent_at, last_request_at) + interval '10 minutes'";

/// Waits until nothing is to be sent any more, and returns what was.
async fn all_sent(stack: &Stack, server: &MailServer, mails: usize) -> Vec<Mail> {
    eventually!((server.mails().len(), count(stack, DUE).await), |now| *now == (mails, 0));
    server.mails()
}

fn at_once(server: &MailServer) -> Builder {
    mailing(server).worker_arg("--invitation-pause=0s")
}

#[track_caller]
fn assert_calendar(mail: &Mail, method: &str, lines: &[&str]) {
    let (said, text) = mail.calendar();
    assert_eq!(said, method);
    for line in [&[format!("METHOD:{method}").as_str()], lines].concat() {
        assert!(text.split("\r\n").any(|found| found == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn when_time_or_place_changes_outsiders_get_the_file_again() {
    let server = MailServer::start().await;
    let stack = at_once(&server).processes().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let session = with(yoga(Some(&event)), json!({"roomId": "lobby", "sessionType": 1}));
    let session = create(&mut people.bob, session, emails(&["ann@example.com"])).await;
    let uid = format!("UID:{}", session["id"].as_str().expect("an id"));
    let first = all_sent(&stack, &server, 1).await.remove(0);
    assert_calendar(&first, "REQUEST", &[&uid, "SEQUENCE:0", "DTSTART:20300102T100000Z"]);

    let steps: [(Value, &[&str]); 5] = [
        (json!({"startDate": "2030-01-03T10:00:00Z"}), &["SEQUENCE:1", "DTSTART:20300103T100000Z"]),
        (json!({"roomId": "stage"}), &["SEQUENCE:2", "LOCATION:Stage"]),
        (json!({"duration": 7200}), &["SEQUENCE:3", "DTEND:20300103T120000Z"]),
        (json!({"isRecurring": true}), &["SEQUENCE:4", "DTSTART;TZID=Europe/Berlin:20300103T110000"]),
        (
            json!({"isRecurring": false, "startDate": "2030-01-01T10:00:00Z", "roomId": "lobby"}),
            &["SEQUENCE:5", "DTSTART:20300101T100000Z", "LOCATION:Lobby"],
        ),
    ];
    for (n, (changes, lines)) in steps.into_iter().enumerate() {
        update(&mut people.bob, &session, changes).await;
        let mail = all_sent(&stack, &server, n + 2).await.remove(n + 1);
        assert_eq!(mail.parsed().subject(), Some("Changed: Yoga"));
        let text = mail.parsed().body_text(0).expect("a text").into_owned();
        assert!(text.starts_with("The time or the place has changed: Yoga"), "{text}");
        assert_calendar(&mail, "REQUEST", &[lines, &[uid.as_str()]].concat());
        assert!(mail.calendar().1.contains(":mailto:ann@example.com\r\n"), "{}", mail.raw);
        assert_ne!(mail.parsed().message_id(), first.parsed().message_id());
    }

    // What stands in no calendar, and the room of an event, from which the session has its own, moves nobody.
    for changes in [
        json!({"title": "Yin", "description": "x", "color": {"r": 1, "g": 1, "b": 1, "a": 1}, "propId": "table"}),
        json!({"sessionType": 0}),
    ] {
        update(&mut people.bob, &session, changes).await;
    }
    let request = with(super::super::named_event(&event), json!({"event": {"roomId": "lobby"}}));
    people.alice.ask("social:updateEvent", request).await;
    assert_eq!(count(&stack, DUE).await, 0);
    // Any of the links is good.
    let token = server.mails()[5].token();
    assert_ne!(token, first.token());
    people.carol.ask("social:joinSession", claiming(&session, &token)).await;
    assert_eq!(server.mails().len(), 6);
    let metrics = stack.workers[0].get("/metrics").await.expect("metrics").1;
    assert!(metrics.contains("convene_messages_sent_total{channel=\"mail\",what=\"change\"} 5"), "{metrics}");
}

#[tokio::test]
async fn whoever_moves_a_series_its_outsiders_get_the_file_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = MailServer::start().await;
    let stack = at_once(&server).start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let session = with(yoga(Some(&event)), json!({"isRecurring": true}));
    create(&mut people.bob, session, emails(&["ann@example.com"])).await;
    let first = all_sent(&stack, &server, 1).await.remove(0);
    assert_calendar(&first, "REQUEST", &["SEQUENCE:0", "RRULE:FREQ=WEEKLY;UNTIL=20300130T100000Z"]);

    // A change of its event ends it (S9).
    let request = with(super::super::named_event(&event), json!({"event": {"endDate": "2030-01-16T11:00:00Z"}}));
    people.alice.ask("social:updateEvent", request).await;
    let ended = all_sent(&stack, &server, 2).await.remove(1);
    assert_calendar(&ended, "REQUEST", &["SEQUENCE:1", "RRULE:FREQ=WEEKLY;UNTIL=20300116T100000Z"]);

    // Newer zone data moves it.
    stack.workers[0].bring_zones(zones(NEWER, folder.path()));
    stack.workers[0].restart().await;
    let moved = all_sent(&stack, &server, 3).await.remove(2);
    assert_calendar(&moved, "REQUEST", &["SEQUENCE:2", "RRULE:FREQ=WEEKLY;UNTIL=20300116T090000Z"]);
}

#[tokio::test]
async fn who_knows_of_a_time_to_come_is_told_also_when_it_has_become_a_past_one() {
    let server = MailServer::start().await;
    let stack = at_once(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    all_sent(&stack, &server, 1).await;
    update(&mut bob, &session, json!({"startDate": "2020-01-02T10:00:00Z"})).await;
    let mails = all_sent(&stack, &server, 2).await;
    assert_calendar(&mails[1], "REQUEST", &["SEQUENCE:1", "DTSTART:20200102T100000Z"]);
    bob.ask("social:deleteUserSessionInvitations", removing(&session, &["ann@example.com"])).await;
    assert_eq!(count(&stack, DUE).await, 0, "it is over");
}

#[tokio::test]
async fn within_the_pause_changes_go_late_and_merged_and_are_not_lost() {
    let server = MailServer::start().await;
    let stack = mailing(&server).processes().start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    let first = all_sent(&stack, &server, 1).await.remove(0);
    for day in 3..=6 {
        update(&mut bob, &session, json!({"startDate": format!("2030-01-0{day}T10:00:00Z")})).await;
        assert_eq!(count(&stack, LATE).await, 1);
    }
    // What waits for its time is no sign that nothing can be sent.
    let waiting = "convene_messages_waiting";
    assert!(stack.workers[0].metric(waiting, &["channel=\"mail\""]).await < 1.0);
    assert_eq!(server.mails().len(), 1);
    let_be_due(&stack).await;
    let mails = all_sent(&stack, &server, 2).await;
    assert_eq!(mails[1].parsed().subject(), Some("Changed: Yoga"));
    assert_calendar(&mails[1], "REQUEST", &["SEQUENCE:4", "DTSTART:20300106T100000Z"]);
    assert_ne!(mails[1].parsed().message_id(), first.parsed().message_id());

    // When the pause is over it goes at once.
    let_ten_minutes_pass(&stack).await;
    update(&mut bob, &session, json!({"startDate": "2030-01-07T10:00:00Z"})).await;
    let mails = all_sent(&stack, &server, 3).await;
    assert_calendar(&mails[2], "REQUEST", &["SEQUENCE:5", "DTSTART:20300107T100000Z"]);
}

#[tokio::test]
async fn an_invitation_that_waits_says_how_things_are_when_it_goes() {
    let server = MailServer::stopped();
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    let tried = "SELECT count(*) FROM social_messages WHERE lease IS NULL AND attempts > 0";
    eventually!(count(&stack, tried).await, |n| *n == 1);
    execute(&stack, "UPDATE social_messages SET due_at = now() + interval '1 hour'").await;
    execute(&stack, "UPDATE social_messages SET first_attempt_at = first_attempt_at - interval '23 hours'").await;
    update(&mut bob, &session, json!({"startDate": "2030-01-03T10:00:00Z"})).await;
    // A worker that dies then has nothing that the database has not.
    stack.workers[0].kill().await;
    assert_eq!(
        count(&stack, "SELECT count(*) FROM social_messages WHERE first_attempt_at IS NULL").await,
        1,
        "a day anew"
    );
    stack.workers[0].start().await;
    server.resume().await;
    let_be_due(&stack).await;
    let mails = all_sent(&stack, &server, 1).await;
    assert_eq!(mails[0].parsed().subject(), Some("Invitation: Yoga"));
    assert_calendar(&mails[0], "REQUEST", &["SEQUENCE:1", "DTSTART:20300103T100000Z"]);
}

#[tokio::test]
async fn a_removed_invitation_is_cancelled_at_once_and_what_waited_is_dropped() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let session = with(yoga(Some(&event)), json!({"sessionType": 1}));
    let session = create(&mut people.bob, session, emails(&["ann@example.com", "ben@example.com"])).await;
    let uid = format!("UID:{}", session["id"].as_str().expect("an id"));
    let first = all_sent(&stack, &server, 2).await;
    update(&mut people.bob, &session, json!({"startDate": "2030-01-03T10:00:00Z"})).await;
    assert_eq!(count(&stack, LATE).await, 2);

    // By a manager of the event, as by the owner.
    people.alice.ask("social:deleteUserSessionInvitations", removing(&session, &["Ann@Example.com"])).await;
    let mails = eventually!(server.mails_to("ann@example.com"), |mails: &Vec<_>| mails.len() == 2);
    assert_eq!(mails[1].parsed().subject(), Some("Invitation withdrawn: Yoga"));
    let text = mails[1].parsed().body_text(0).expect("a text").into_owned();
    assert!(text.starts_with("You are not invited any more to: Yoga") && !text.contains("http"), "{text}");
    assert_calendar(&mails[1], "CANCEL", &[&uid, "SEQUENCE:2", "STATUS:CANCELLED"]);
    assert!(mails[1].calendar().1.contains(":mailto:ann@example.com\r\n"));
    eventually!(count(&stack, DUE).await, |due| *due == 1);
    let link_of = |address: &str| first.iter().find(|mail| mail.to == [address]).expect("a mail").token();
    let dead = claiming(&session, &link_of("ann@example.com"));
    assert_eq!(code(&mut people.dave, "social:joinSession", dead).await, 404);
    people.carol.ask("social:joinSession", claiming(&session, &link_of("ben@example.com"))).await;

    // Invited again: newer than the cancellation, but not before the time.
    people.bob.ask("social:inviteUsersToSession", inviting(&session, &emails(&["ann@example.com"]))).await;
    assert_eq!(count(&stack, LATE).await, 2);
    let_be_due(&stack).await;
    let mails = eventually!(server.mails_to("ann@example.com"), |mails: &Vec<_>| mails.len() == 3);
    assert_eq!(mails[2].parsed().subject(), Some("Invitation: Yoga"));
    assert_calendar(&mails[2], "REQUEST", &[&uid, "SEQUENCE:3", "DTSTART:20300103T100000Z"]);
    assert_eq!(server.mails_to("ben@example.com").len(), 1, "who has claimed his is told otherwise");
    eventually!(count(&stack, DUE).await, |due| *due == 0);
    people.bob.ask("social:deleteSession", named(&session)).await;
    let mails = eventually!(server.mails_to("ann@example.com"), |mails: &Vec<_>| mails.len() == 4);
    assert_calendar(&mails[3], "CANCEL", &[&uid, "SEQUENCE:4"]);
}

#[tokio::test]
async fn who_was_told_that_he_is_not_invited_is_told_nothing_more() {
    let server = MailServer::start().await;
    let stack = at_once(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    all_sent(&stack, &server, 1).await;
    bob.ask("social:deleteUserSessionInvitations", removing(&session, &["ann@example.com"])).await;
    all_sent(&stack, &server, 2).await;
    bob.ask("social:deleteUserSessionInvitations", removing(&session, &["ann@example.com"])).await;
    update(&mut bob, &session, json!({"startDate": "2030-01-03T10:00:00Z"})).await;
    bob.ask("social:deleteSession", named(&session)).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_messages").await, 0);
    assert_eq!(server.mails().len(), 2);
}

#[tokio::test]
async fn who_has_claimed_or_proven_is_mailed_no_changes() {
    let server = MailServer::start().await;
    let stack = mailing(&server).processes().start().await;
    let mut people = People::of(&stack).await;
    let invite = emails(&["ann@example.com", "ben@example.com", "eve@example.com"]);
    let session = create(&mut people.bob, yoga(None), invite).await;
    all_sent(&stack, &server, 3).await;
    let token = server.mails_to("ann@example.com")[0].token();
    people.carol.ask("social:joinSession", claiming(&session, &token)).await;
    update(&mut people.bob, &session, json!({"startDate": "2030-01-03T10:00:00Z"})).await;
    assert_eq!(count(&stack, LATE).await, 2);
    // Proven while the change waits.
    let proof =
        json!({"kind": "user", "id": "eve", "networkIds": ["demo"], "email": "Eve@example.com", "emailVerified": true});
    stack.import_all(&[proof]).await;
    let_be_due(&stack).await;
    all_sent(&stack, &server, 4).await;
    assert_eq!(server.mails_to("ben@example.com").len(), 2);
    let withdrawn = stack.workers[0].metric("convene_messages_withdrawn_total", &["what=\"change\""]).await;
    assert!((0.5..1.5).contains(&withdrawn), "{withdrawn}");
}

#[tokio::test]
async fn what_changes_while_a_mail_is_on_its_way_follows_it() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut people = People::of(&stack).await;

    // A move, and one more.
    server.expect(Trouble::Hold);
    let session = create(&mut people.bob, secret(), emails(&["ann@example.com"])).await;
    eventually!(server.mails().len(), |sent| *sent == 1);
    for day in 3..=4 {
        update(&mut people.bob, &session, json!({"startDate": format!("2030-01-0{day}T10:00:00Z")})).await;
    }
    server.release();
    eventually!(count(&stack, LATE).await, |late| *late == 1);
    let_be_due(&stack).await;
    let mails = all_sent(&stack, &server, 2).await;
    assert_eq!(mails[1].parsed().subject(), Some("Changed: Yoga"));
    assert_calendar(&mails[1], "REQUEST", &["SEQUENCE:2", "DTSTART:20300104T100000Z"]);

    // A removal.
    server.expect(Trouble::Hold);
    let session = create(&mut people.bob, secret(), emails(&["ben@example.com"])).await;
    eventually!(server.mails().len(), |sent| *sent == 3);
    people.bob.ask("social:deleteUserSessionInvitations", removing(&session, &["ben@example.com"])).await;
    server.release();
    assert_calendar(&all_sent(&stack, &server, 4).await[3], "CANCEL", &["SEQUENCE:1"]);

    // A removal and another invitation: the link that is on its way is worth nothing.
    server.expect(Trouble::Hold);
    let session = create(&mut people.bob, secret(), emails(&["cem@example.com"])).await;
    eventually!(server.mails().len(), |sent| *sent == 5);
    people.bob.ask("social:deleteUserSessionInvitations", removing(&session, &["cem@example.com"])).await;
    people.bob.ask("social:inviteUsersToSession", inviting(&session, &emails(&["cem@example.com"]))).await;
    server.release();
    eventually!(count(&stack, LATE).await, |late| *late == 1);
    // Taken back again while the cancellation is on its way, and given again.
    server.expect(Trouble::Hold);
    people.bob.ask("social:deleteUserSessionInvitations", removing(&session, &["cem@example.com"])).await;
    let mails = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 6);
    assert_calendar(&mails[5], "CANCEL", &["SEQUENCE:3"]);
    people.bob.ask("social:inviteUsersToSession", inviting(&session, &emails(&["cem@example.com"]))).await;
    server.release();
    eventually!(count(&stack, LATE).await, |late| *late == 1);
    let_be_due(&stack).await;
    let mails = all_sent(&stack, &server, 7).await;
    assert_calendar(&mails[6], "REQUEST", &["SEQUENCE:4"]);
    assert_eq!(code(&mut people.carol, "social:joinSession", claiming(&session, &mails[4].token())).await, 404);
    people.carol.ask("social:joinSession", claiming(&session, &mails[6].token())).await;
}

#[tokio::test]
async fn an_invitation_given_again_before_its_cancellation_went_is_not_cancelled() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, secret(), emails(&["ann@example.com"])).await;
    all_sent(&stack, &server, 1).await;
    stack.workers[0].kill().await;
    server.expect(Trouble::Refuse("451 not now".to_owned()));
    stack.workers[0].start().await;
    stack.workers[0].ready().await;
    people.bob.ask("social:deleteUserSessionInvitations", removing(&session, &["ann@example.com"])).await;
    let failed = "SELECT count(*) FROM social_messages WHERE lease IS NULL AND attempts = 1 AND cancelled IS NOT NULL";
    eventually!(count(&stack, failed).await, |failed| *failed == 1);
    people.bob.ask("social:inviteUsersToSession", inviting(&session, &emails(&["ann@example.com"]))).await;
    assert_eq!(count(&stack, LATE).await, 1);
    let_be_due(&stack).await;
    let mails = all_sent(&stack, &server, 2).await;
    assert_calendar(&mails[1], "REQUEST", &["SEQUENCE:2"]);
    people.carol.ask("social:joinSession", claiming(&session, &mails[1].token())).await;
}

#[tokio::test]
async fn a_phone_is_told_when_a_session_moves_and_when_it_is_cancelled() {
    let webhook = harness::webhook::Webhook::start().await;
    let stack = phoning(&webhook).worker_arg("--invitation-pause=0s").start().await;
    let mut bob = stack.client(0, "bob").await;
    let invite = json!([{"phones": ["+4930123456", "+4930654321"]}]);
    let session = create(&mut bob, yoga(None), invite).await;
    let told = async |number: &str, count: usize| -> Value {
        let posted = eventually!(
            webhook
                .posted()
                .iter()
                .map(|posted| serde_json::from_str(&posted.body).expect("JSON"))
                .filter(|body: &Value| body["to"] == number)
                .collect::<Vec<Value>>(),
            |posted| posted.len() == count
        );
        posted[count - 1].clone()
    };
    for number in ["+4930123456", "+4930654321"] {
        told(number, 1).await;
    }
    eventually!(count(&stack, DUE).await, |due| *due == 0);
    update(&mut bob, &session, json!({"startDate": "2030-01-03T10:00:00Z", "roomId": "stage"})).await;
    let when = "Thursday, 3 January 2030, 11:00 to 12:00 (Europe/Berlin)";
    for number in ["+4930123456", "+4930654321"] {
        let body = told(number, 2).await;
        let link = body["link"].as_str().expect("a link");
        assert!(link.contains("?invitation="), "{body}");
        assert_eq!(body["text"], format!("Changed: Yoga, {when}, Stage\nCalendar file: {link}"));
    }
    eventually!(count(&stack, DUE).await, |due| *due == 0);
    bob.ask("social:deleteUserSessionInvitations", removing(&session, &["0049 30 123456"])).await;
    let withdrawn = json!({"to": "+4930123456", "text": format!("Invitation withdrawn: Yoga, {when}"), "link": ""});
    assert_eq!(told("+4930123456", 3).await, withdrawn);
    eventually!(count(&stack, DUE).await, |due| *due == 0);
    bob.ask("social:deleteSession", named(&session)).await;
    let cancelled = json!({"to": "+4930654321", "text": format!("Cancelled: Yoga, {when}"), "link": ""});
    assert_eq!(told("+4930654321", 3).await, cancelled);
    eventually!(count(&stack, "SELECT count(*) FROM social_messages").await, |left| *left == 0);
    told("+4930123456", 3).await;
}

#[tokio::test]
async fn of_two_workers_one_tells_each_outsider_and_no_invitation_is_counted() {
    let server = MailServer::start().await;
    let stack = at_once(&server).gateways(2).workers(2).start().await;
    let mut bob = stack.client(0, "bob").await;
    let many: Vec<String> = (0..100).map(|n| format!("u{n}@example.com")).collect();
    let session = create(&mut bob, yoga(None), json!([{"emails": many}])).await;
    all_sent(&stack, &server, 100).await;
    update(&mut bob, &session, json!({"startDate": "2030-01-03T10:00:00Z"})).await;
    all_sent(&stack, &server, 200).await;
    for address in &many {
        assert_eq!(server.mails_to(address).len(), 2, "{address}");
    }
    let counted = "SELECT sum(cardinality(invited_at))::bigint FROM social_inviters";
    assert_eq!(count(&stack, counted).await, 100, "S10: a hundred an hour are invited, however often they are told");
}

#[tokio::test]
async fn a_session_that_moves_over_and_over_writes_its_messages_once() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), json!([])).await;
    execute(
        &stack,
        "INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, expires_at)
         SELECT network_id, id, 0, n || '@example.com', gen_random_uuid(), 0, 'bob', now() + interval '1 day'
         FROM social_sessions, generate_series(1, 500) n;
         INSERT INTO social_messages (network_id, session_id, kind, address, message_id, sent_at)
         SELECT network_id, session_id, kind, address, gen_random_uuid(), now() FROM social_outsiders",
    )
    .await;
    for n in 1..=40 {
        update(&mut bob, &session, json!({"duration": 3600 + n})).await;
    }
    let written = "SELECT sum(version)::bigint FROM social_messages";
    assert_eq!((count(&stack, LATE).await, count(&stack, written).await), (500, 500));
    assert_eq!(count(&stack, "SELECT sequence::bigint FROM social_sessions").await, 40);
}

#[tokio::test]
async fn a_worker_of_the_release_before_may_have_written_what_is_cancelled() {
    let server = MailServer::start().await;
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = publish(&mut people.alice, "network:demo", crate::social::in_january()).await;
    create(&mut people.bob, yoga(Some(&event)), emails(&["ann@example.com"])).await;
    // Sent, and cancelled with the session; nothing is known of what this release has added.
    execute(
        &stack,
        r#"UPDATE social_messages SET sent_at = now(), due_at = now(), cancelled = format('{"session_id": "%s",
               "title": "Yoga", "description": "", "room_title": "Stage", "owner_name": "Bob", "is_private": false,
               "starts_at": "2030-01-02T10:00:00Z", "seconds": 3600, "is_recurring": false,
               "local_start": "2030-01-02T11:00:00", "time_zone": "Europe/Berlin", "until": null, "sequence": 7,
               "created_at": "2029-01-01T00:00:00Z", "updated_at": "2029-01-01T00:00:00Z", "is_over": false}', session_id);
           DELETE FROM social_sessions"#,
    )
    .await;
    let again = mailing(&server).on(stack.servers.clone()).unseeded().start().await;
    let mails = all_sent(&again, &server, 1).await;
    assert_eq!(mails[0].parsed().subject(), Some("Cancelled: Yoga"));
    assert_calendar(&mails[0], "CANCEL", &["SEQUENCE:7", "LOCATION:Stage"]);
}

#[tokio::test]
async fn a_move_waits_for_whoever_is_just_taking_a_message_and_is_not_lost() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    // As a worker that has read the session as it was, and has not committed yet.
    let mut taking = stack.database().await;
    let take = "BEGIN; UPDATE social_messages SET lease = gen_random_uuid(), due_at = now() + interval '2 minutes'";
    sqlx::raw_sql(take).execute(&mut taking).await.expect("taken");
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let moves = update(&mut bob, &session, json!({"startDate": "2030-01-03T10:00:00Z"}));
    let commits = async {
        eventually!(count(&stack, waits).await, |waiting| *waiting == 1);
        sqlx::raw_sql("COMMIT").execute(&mut taking).await.expect("committed");
    };
    tokio::join!(moves, commits);
    let outdated = "SELECT count(*) FROM social_messages WHERE lease IS NOT NULL AND version = 1";
    assert_eq!(count(&stack, outdated).await, 1);
}
