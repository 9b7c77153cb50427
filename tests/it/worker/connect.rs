//! Who is let in, and what a gateway is told of him.

use futures::future::join_all;
use serde_json::{Value, json};
use shared::{
    api::Code,
    internal::{CheckSessions, NoSession, ProfileClaims, RevokeSession, Session},
};

use super::world::{World, session};

fn claims() -> ProfileClaims {
    ProfileClaims {
        given_name: "Zoë".to_owned(),
        family_name: "Ångström".to_owned(),
        email: "Zoe@example.org".to_owned(),
        email_verified: true,
        phone_number: "+4930123456".to_owned(),
        picture: "https://example.org/zoe.png".to_owned(),
        zoneinfo: "Europe/Berlin".to_owned(),
    }
}

/// The `data` of `user_info` for a session that is let in.
async fn user_info(world: &World, session: &Session, claims: ProfileClaims) -> Value {
    let connected = world.connect(session, claims).await.expect("let in");
    serde_json::from_str(connected.user_info.get()).expect("JSON")
}

async fn refusal(world: &World, session: &Session) -> Code {
    world.connect(session, claims()).await.expect_err("not let in").code
}

#[tokio::test]
async fn a_gateway_is_told_everything_of_a_session_in_one_answer() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    world
        .execute(
            r#"UPDATE networks SET type = 'Public', state = '{"defaultSubNetworkId":"sub","data":{"b":1.0,"a":2}}',
                      defaults = '{"roomId":"lobby","socialCircleLimit":7}', share_domain = 'share.example.org';
               UPDATE users SET params = '{"z":1,"a":{"n":1e2}}', avatar_3d = '{"assetId":"hat"}', privacy_mode = 1,
                      contact_count = 3, email = 'alice@example.org', email_verified = true, is_developer = true,
                      user_roles = '[{"id":"r1","roleName":"Manager","permissions":["network.manage"]}]',
                      settings = '{"email":{"ignoreNewTextchatMessage":true}}',
                      created_at = '2030-01-02T03:04:05.5Z' WHERE id = 'alice';
               INSERT INTO event_log (network_id, position, name, recipients, payload, size)
               SELECT 'demo', p, 'meeting:onMeetingUpdated', '{bob}', '{}', 100 FROM generate_series(40, 42) p;
               INSERT INTO rooms (network_id, id, owner_id, is_public, deleted_at)
               VALUES ('demo', 'r1', 'alice', true, NULL), ('demo', 'r2', 'alice', true, NULL),
                      ('demo', 'hidden', 'alice', false, NULL), ('demo', 'gone', 'alice', true, now()),
                      ('demo', 'bobs', 'bob', true, NULL);
               INSERT INTO meetings (network_id, id, organizer_id, source_type, direct_user_id, starts_at, ends_at,
                                     subject, description, color_r, color_g, color_b, color_a)
               SELECT 'demo', gen_random_uuid(), 'bob', 'direct', 'alice', now() + shift, now() + shift + '1 hour', s, '',
                      0, 0, 0, 0
               FROM (VALUES ('accepted', '1 day'::interval), ('received', '1 day'), ('received', '-30 minutes'),
                            ('received', '-1 day')) AS v (s, shift);
               INSERT INTO meeting_participants (network_id, meeting_id, user_id, status, position, starts_at, ends_at)
               SELECT network_id, id, 'alice', subject, 1, starts_at, ends_at FROM meetings;"#,
        )
        .await;

    let connected = world.connect(&session("alice"), ProfileClaims::default()).await.expect("let in");
    assert_eq!((connected.partition, connected.epoch.as_str(), connected.head), (7, "e1", 42));
    let text = connected.user_info.get();
    let info: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(info["isNew"], false);
    assert_eq!(info["network"]["id"], "demo");
    assert_eq!(info["network"]["fullName"], "Demo");
    assert_eq!(info["networkDefaults"]["roomId"], "lobby");
    assert_eq!(info["networkDefaults"]["expoStartDate"], "0001-01-01T00:00:00Z");
    assert_eq!(info["shareDomain"], "share.example.org");
    assert_eq!(info["userSettings"]["email"], json!({"ignoreNewTextchatMessage": true}));
    let user = &info["user"];
    assert_eq!(user["id"], "alice");
    assert_eq!(user["created"], "2030-01-02T03:04:05.5Z");
    assert_eq!(user["privacyMode"], 1);
    assert_eq!(user["avatar3D"]["assetId"], "hat");
    assert_eq!(user["permissions"], json!({"admin": false, "developer": true}));
    assert_eq!(user["userRoles"][0]["permissions"], json!(["network.manage"]));
    assert_eq!(user["contactCount"], 3);
    assert_eq!(user["publicRoomCount"], 2, "U1");
    assert_eq!(user["pendingRequestCount"], 2, "U1: received, and not over");
    assert_eq!(user["newInvitationsCount"], 0);
    assert!(text.contains(r#""params":{"z":1,"a":{"n":1e2}}"#), "as it came: {text}");
    assert!(text.contains(r#""data":{"b":1.0,"a":2}"#), "as it came: {text}");

    assert_eq!(world.connect(&session("bob"), claims()).await.expect("let in").head, 42);
    worker.drain().await;
}

#[tokio::test]
async fn who_is_not_of_the_network_is_401_and_only_the_gateway_learns_why() {
    let world = World::new().await;
    let worker = world.worker(&["--auto-provision"]).await;
    world
        .execute(
            "INSERT INTO networks (id, partition, epoch) VALUES ('other', 1, 'e1'), ('closed', 1, 'e1');
             UPDATE networks SET deleted_at = now() WHERE id = 'closed';
             INSERT INTO users (id, deleted_at) VALUES ('gone', now());",
        )
        .await;
    world.user("carol", "other").await;
    world.user("dave", "closed").await;
    let of = |user: &str, network: &str| Session { network: network.to_owned(), ..session(user) };
    for stranger in [
        of("alice", "unknown"),
        of("alice", "other"),
        of("carol", "demo"),
        of("dave", "closed"),
        of("new", "closed"),
        of("new", "unknown"),
        of("gone", "demo"),
        of("a:b", "demo"),
        of("alice\0", "demo"),
        of("alice", "demo\0"),
        Session { sid: "\0".to_owned(), ..session("alice") },
    ] {
        assert_eq!(refusal(&world, &stranger).await, Code::Unauthorized, "{stranger:?}");
    }
    world.ask(&RevokeSession { sid: "revoked".to_owned() }).await.expect("revoked");
    let with = |sid: &str, session: Session| Session { sid: sid.to_owned(), ..session };
    for (stranger, why) in [
        (of("alice", "unknown"), NoSession::UnknownNetwork),
        (of("dave", "closed"), NoSession::UnknownNetwork),
        (of("alice", "other"), NoSession::NotOfNetwork),
        (of("gone", "demo"), NoSession::NotOfNetwork),
        (with("revoked", of("alice", "demo")), NoSession::Revoked),
        (with("revoked", of("alice", "other")), NoSession::Revoked),
    ] {
        let refused = world.connect(&stranger, claims()).await.expect_err("not let in");
        assert_eq!(NoSession::from_message(&refused.message), Some(why), "{stranger:?}");
    }
    assert_eq!(world.count("SELECT count(*) FROM members").await, 4, "nobody was added to a network");
    assert_eq!(world.count("SELECT count(*) FROM users").await, 5);
    worker.drain().await;
}

#[tokio::test]
async fn a_user_who_is_seen_for_the_first_time_is_new_once_however_many_ask_at_once() {
    let world = World::new().await;
    let workers = [world.worker(&["--auto-provision"]).await, world.worker(&["--auto-provision"]).await];
    for round in 0..10 {
        let sessions: Vec<Session> =
            (0..6).map(|socket| Session { sid: format!("s{socket}"), ..session(&format!("new-{round}")) }).collect();
        let infos = join_all(sessions.iter().map(|session| user_info(&world, session, ProfileClaims::default()))).await;
        let new = infos.iter().filter(|info| info["isNew"] == true).count();
        assert_eq!(new, 1, "round {round}");
        assert_eq!(user_info(&world, &sessions[0], ProfileClaims::default()).await["isNew"], false);
    }
    for worker in workers {
        worker.drain().await;
    }
}

#[tokio::test]
async fn claims_fill_the_profile_of_a_new_user_and_of_no_other() {
    let world = World::new().await;
    let worker = world.worker(&["--auto-provision=true"]).await;
    let user = user_info(&world, &session("zoe"), claims()).await["user"].clone();
    assert_eq!(user["firstName"], "Zoë");
    assert_eq!(user["lastName"], "Ångström");
    assert_eq!(user["email"], "Zoe@example.org");
    assert_eq!(user["emailVerified"], true);
    assert_eq!(user["phoneNumber"], "+4930123456");
    assert_eq!(user["avatar"], "https://example.org/zoe.png");
    assert_eq!(world.count("SELECT count(*) FROM users WHERE time_zone = 'Europe/Berlin'").await, 1);

    let same_address = ProfileClaims { email: "zoe@EXAMPLE.org".to_owned(), ..claims() };
    let second = user_info(&world, &session("impostor"), same_address).await;
    assert_eq!(second["isNew"], true);
    assert_eq!(second["user"]["email"], "zoe@EXAMPLE.org");
    assert_eq!(second["user"]["emailVerified"], false, "another user of the network has proven it");

    let nonsense = ProfileClaims {
        email: "not an address".to_owned(),
        zoneinfo: "Mars/Olympus".to_owned(),
        given_name: "\0".to_owned(),
        ..claims()
    };
    let third = user_info(&world, &session("third"), nonsense).await;
    assert_eq!((&third["user"]["email"], &third["user"]["emailVerified"]), (&json!(""), &json!(false)));
    assert_eq!(third["user"]["firstName"], "");

    assert_eq!(user_info(&world, &session("alice"), claims()).await["user"]["firstName"], "alice");
    worker.drain().await;
}

#[tokio::test]
async fn unknown_users_stay_unknown_unless_the_setting_is_on() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    assert_eq!(refusal(&world, &session("new")).await, Code::Unauthorized);
    assert_eq!(world.count("SELECT count(*) FROM users").await, 2);
    worker.drain().await;
}

#[tokio::test]
async fn a_revoked_sid_is_401_for_30_days_and_its_open_sessions_have_ended() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    let mine = session("alice");
    world.connect(&mine, claims()).await.expect("let in");
    world.ask(&RevokeSession { sid: mine.sid.clone() }).await.expect("revoked");
    world.ask(&RevokeSession { sid: mine.sid.clone() }).await.expect("revoked again");
    assert_eq!(refusal(&world, &mine).await, Code::Unauthorized);
    world.connect(&Session { sid: "another".to_owned(), ..mine.clone() }, claims()).await.expect("another session");

    world.execute("DELETE FROM members WHERE user_id = 'bob'").await;
    let sessions = vec![
        session("nobody"),
        mine.clone(),
        Session { sid: "another".to_owned(), ..mine.clone() },
        session("bob"),
        Session { network: "unknown".to_owned(), sid: "x".to_owned(), ..mine.clone() },
    ];
    let ended = world.ask(&CheckSessions { sessions }).await.expect("checked").ended;
    assert_eq!(ended, [0, 1, 3, 4]);

    world.execute("UPDATE revoked_sessions SET revoked_at = now() - interval '31 days'").await;
    world.connect(&mine, claims()).await.expect("let in after 30 days");
    for sid in ["", "\0"] {
        let error = world.ask(&RevokeSession { sid: sid.to_owned() }).await.expect_err("no such sid");
        assert_eq!(error.code, Code::BadRequest);
    }
    worker.drain().await;
}

#[tokio::test]
async fn every_connect_has_a_higher_fence_than_those_before_it_on_any_worker() {
    let world = World::new().await;
    let workers = [world.worker(&[]).await, world.worker(&[]).await];
    let mut last = 0;
    for _ in 0..20 {
        let fence = world.connect(&session("alice"), claims()).await.expect("let in").fence;
        assert!(fence > last, "{fence} after {last}");
        last = fence;
    }
    worker::database::new_epoch(&world.url()).await.expect("a new epoch");
    let connected = world.connect(&session("alice"), claims()).await.expect("let in");
    assert!(connected.fence > last + 1_000_000_000, "beyond what was handed out after the backup");
    assert_ne!(connected.epoch, "e1");

    // The same backup once more: what was handed out between must not come again.
    world.execute("SELECT setval('fence', 20)").await;
    worker::database::new_epoch(&world.url()).await.expect("a new epoch");
    let again = world.connect(&session("alice"), ProfileClaims::default()).await.expect("let in");
    assert!(again.fence > connected.fence, "{} after {}", again.fence, connected.fence);
    assert_ne!(again.epoch, connected.epoch);
    for worker in workers {
        worker.drain().await;
    }
}
