//! Invitations that are claimed because somebody is said to have proven their address.

use std::time::{SystemTime, UNIX_EPOCH};

use harness::{Connect, eventually, token::sign};
use serde_json::json;

use super::*;

/// A line of a user of `demo`.
fn line(user: &str, changes: Value) -> Value {
    with(json!({"kind": "user", "id": user, "networkIds": ["demo"]}), changes)
}

#[tokio::test]
async fn who_proves_an_address_has_its_invitations_at_once_and_everyone_concerned_is_told() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    for (address, proof) in [
        (json!({"emails": ["Eve@Example.com"]}), json!({"email": "eVe@example.COM", "emailVerified": true})),
        (json!({"phones": ["+49 (0)30 123456"]}), json!({"phoneNumber": "0049 30/123456"})),
        (json!({"facebook": "app:eve"}), json!({"facebook": ["other:eve", "app:eve"]})),
    ] {
        let invite = json!([{"userId": "carol"}, with(address, json!({"role": 2}))]);
        let session = create(&mut people.bob, secret(), invite).await;
        assert_eq!(invited(&session), ["carol"]);
        for client in [&mut people.bob, &mut people.carol] {
            client.event("social:sessionUpdated").await;
        }
        stack.import_all(&[line("eve", json!({})), line("eve", proof)]).await;
        let now = get(&mut people.bob, &session).await;
        assert_eq!((invited(&now), role_of(&now, "eve")), (vec!["carol".to_owned(), "eve".to_owned()], Some(2)));
        for client in [&mut people.bob, &mut people.carol] {
            assert_eq!(client.event("social:sessionUpdated").await["data"]["session"], now);
        }
        let mut eve = stack.client(0, "eve").await;
        assert_eq!(code(&mut eve, "social:joinSession", named(&session)).await, 0);
        assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);
        stack.import_all(&[json!({"kind": "user", "id": "eve", "deleted": true})]).await;
        for client in [&mut people.bob, &mut people.carol] {
            // Joined, and gone.
            client.event("social:sessionUpdated").await;
            client.event("social:sessionUpdated").await;
        }
    }
}

#[tokio::test]
async fn an_unproven_address_another_network_or_an_expired_invitation_claims_nothing() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let invite = json!([{"emails": ["eve@example.com"], "phones": ["+4930123456"], "facebook": "app:eve"}]);
    let session = create(&mut bob, secret(), invite).await;
    let proof = json!({"email": "eve@example.com", "emailVerified": true, "phoneNumber": "+4930123456",
        "facebook": ["app:eve"]});
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            line("eve", json!({"email": "eve@example.com", "phoneNumber": "030 123456", "facebook": ["app:ev"]})),
            line("mallory", with(proof.clone(), json!({"networkIds": ["other"]}))),
        ])
        .await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 3);
    execute(&stack, "UPDATE social_outsiders SET expires_at = now()").await;
    stack.import_all(&[line("eve", proof.clone())]).await;
    assert_eq!(invited(&get(&mut bob, &session).await), [""; 0]);
    execute(&stack, "UPDATE social_outsiders SET expires_at = now() + interval '1 day'").await;
    stack.import_all(&[line("eve", json!({}))]).await;
    assert_eq!(invited(&get(&mut bob, &session).await), ["eve"]);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0, "all three are hers");
}

#[tokio::test]
async fn a_changed_e_mail_claims_nothing_until_a_line_says_that_it_is_proven() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut carol = stack.client(0, "carol").await;
    let session = create(&mut bob, secret(), emails(&["ann@example.com"])).await;
    let waiting = async || count(&stack, "SELECT count(*) FROM social_outsiders").await;
    // Carol has proven another address. No line of the batch says that this one is proven, nor does what comes after it.
    let moved = [line("carol", json!({"email": "Ann@example.com"})), line("carol", json!({"firstName": "C"}))];
    stack.import_all(&moved).await;
    stack.import_all(&moved).await;
    assert_eq!((waiting().await, code(&mut carol, "social:joinSession", named(&session)).await), (1, 404));
    // Nor is she found by it from now on.
    let other = create(&mut bob, secret(), emails(&["ann@example.com"])).await;
    assert_eq!((invited(&other), waiting().await), (vec![], 2));
    // What was noted while she had proven it is looked at again before it is given.
    execute(&stack, "INSERT INTO social_provers (network_id, user_id) VALUES ('demo', 'carol')").await;
    eventually!(count(&stack, "SELECT count(*) FROM social_provers").await, |left| *left == 0);
    assert_eq!(waiting().await, 2);

    // Another one in between, in one batch, proves nothing of this one.
    let between = line("carol", json!({"email": "x@example.com", "emailVerified": true}));
    stack.import_all(&[between, moved[0].clone()]).await;
    assert_eq!(waiting().await, 2);
    stack.import_all(&[moved[0].clone(), line("carol", json!({"emailVerified": true}))]).await;
    assert_eq!(waiting().await, 0);
    for session in [session, other] {
        assert_eq!(invited(&get(&mut bob, &session).await), ["carol"]);
    }
}

/// A session of somebody whom only his token makes known.
fn stranger(stack: &Stack, user: &str, claims: Value) -> Connect {
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 3600;
    let claims = with(json!({"sub": user, "net": "demo", "sid": format!("of-{user}"), "exp": exp}), claims);
    Connect::to(stack.gateways[0].public).token(&sign(&claims))
}

#[tokio::test]
async fn who_is_made_known_by_his_token_has_what_his_proven_address_is_invited_to() {
    let stack = Stack::builder().worker_arg("--auto-provision").start().await;
    let mut bob = stack.client(0, "bob").await;
    let invite = json!([{"emails": ["eve@example.com"], "phones": ["+4930123456"]}]);
    let session = create(&mut bob, secret(), invite).await;
    let address = json!({"email": "Eve@example.com", "phone_number": "+4930123456"});
    let unproven = with(address.clone(), json!({"email_verified": false}));
    let mut mallory = stranger(&stack, "mallory", unproven).open().await.expect("let in");
    mallory.event("user_info").await;
    let mut eve = stranger(&stack, "eve", with(address, json!({"email_verified": true}))).open().await.expect("let in");
    eve.event("user_info").await;
    let told = eve.event("social:sessionUpdated").await;
    assert_eq!(invited(&told["data"]["session"]), ["eve"]);
    assert_eq!(code(&mut mallory, "social:joinSession", named(&session)).await, 404);
    // What a token says of a phone is no proof; what the directory says is.
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 1);
    let mut invite = async || {
        let session = create(&mut bob, yoga(None), json!([{"phones": ["+4930123456"]}])).await;
        invited(&session)
    };
    assert_eq!(invite().await, [""; 0]);
    stack.import_all(&[json!({"kind": "user", "id": "eve", "firstName": "Eve"})]).await;
    assert_eq!(invite().await, [""; 0]);
    stack.import_all(&[json!({"kind": "user", "id": "eve", "phoneNumber": "+4930123456"})]).await;
    assert_eq!(invite().await, ["eve"]);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);
}

#[tokio::test]
async fn who_proves_what_a_thousand_sessions_invite_has_them_all_bit_by_bit() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    create(&mut bob, secret(), emails(&["eve@example.com"])).await;
    execute(
        &stack,
        "CREATE TEMP TABLE more AS SELECT s.*, gen_random_uuid() AS other FROM social_sessions s, generate_series(1, 999);
         UPDATE more SET id = other;
         ALTER TABLE more DROP COLUMN other;
         INSERT INTO social_sessions SELECT * FROM more;
         INSERT INTO social_participants (network_id, session_id, user_id, is_owner, starts_at, ends_at)
         SELECT network_id, id, 'bob', true, starts_at, ends_at FROM more;
         INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, expires_at)
         SELECT network_id, id, 0, 'eve@example.com', gen_random_uuid(), 0, 'bob', now() + interval '1 day' FROM more",
    )
    .await;
    stack.import_all(&[line("eve", json!({"email": "eve@example.com", "emailVerified": true}))]).await;
    let at_once = count(&stack, "SELECT count(*) FROM social_participants WHERE user_id = 'eve'").await;
    assert!(at_once >= 400, "{at_once}");
    eventually!(
        count(&stack, "SELECT count(*) FROM social_participants WHERE user_id = 'eve' AND role = 0").await,
        |invited| *invited == 1000
    );
    eventually!(count(&stack, "SELECT count(*) FROM social_provers").await, |left| *left == 0);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);
}

#[tokio::test]
async fn an_address_that_is_proven_while_it_is_invited_is_found_afterwards() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let invite = json!([{"emails": ["eve@example.com"], "facebook": "app:finn", "phones": ["+4930123456"]}]);
    let session = create(&mut bob, secret(), invite).await;
    // As if these had been written in transactions that did not see the invitation.
    execute(
        &stack,
        "INSERT INTO users (id, network_ids, phone_number, facebook) VALUES
             ('eve', '{demo}', '', '{}'), ('finn', '{demo}', '', '{app:finn}'), ('gil', '{demo}', '+49 30 123456', '{}');
         INSERT INTO members (network_id, user_id, verified_email) VALUES
             ('demo', 'eve', 'eve@example.com'), ('demo', 'finn', NULL), ('demo', 'gil', NULL);
         UPDATE social_outsiders SET recheck_at = now()",
    )
    .await;
    let mut now = eventually!(invited(&get(&mut bob, &session).await), |invited: &Vec<String>| invited.len() == 3);
    now.sort_unstable();
    assert_eq!(now, ["eve", "finn", "gil"]);
}

#[tokio::test]
async fn claims_and_a_proof_at_once_use_each_invitation_once() {
    let server = MailServer::start().await;
    let stack = mailing(&server).gateways(2).workers(2).start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut carol = stack.client(1, "carol").await;
    for round in 0..10 {
        let before = server.mails().len();
        let address = format!("ann{round}@example.com");
        let session = create(&mut bob, secret(), emails(&[&address])).await;
        let token = eventually!(server.mails(), |mails: &Vec<_>| mails.len() > before)[before].token();
        let proof = [line("eve", json!({"email": address, "emailVerified": true}))];
        let (claim, ()) =
            tokio::join!(code(&mut carol, "social:joinSession", claiming(&session, &token)), stack.import_all(&proof));
        let guests = invited(&get(&mut bob, &session).await);
        assert_eq!(guests, [if claim == 0 { "carol" } else { "eve" }]);
        assert!([0, 404].contains(&claim), "{claim}");
    }
}

#[tokio::test]
async fn an_import_looks_up_the_invitations_of_those_whom_it_names_and_no_others() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    execute(
        &stack,
        "INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, expires_at)
         SELECT network_id, id, k, n || '@example.com', gen_random_uuid(), 0, 'bob', now() + interval '1 day'
         FROM social_sessions, generate_series(1, 20000) n, generate_series(0, 2) k",
    )
    .await;
    // Reading all 60,000 for each user would take longer than a statement may.
    let lines: Vec<Value> = (0..3000)
        .map(|n| {
            line(
                &format!("a{n}"),
                json!({"email": format!("a{n}@example.org"), "emailVerified": true,
            "phoneNumber": format!("+49301{n:06}"), "facebook": [format!("app:a{n}")]}),
            )
        })
        .collect();
    stack.import_all(&lines).await;

    let mut database = stack.database().await;
    let statement = include_str!("../../../../worker/src/social/outsiders/proven.sql");
    let prepare = format!(
        "SET plan_cache_mode = force_generic_plan; PREPARE proven (text[], text[], smallint[], text[], bigint) AS {statement}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut database).await.expect("prepared");
    let plan: Vec<String> =
        sqlx::query_scalar("EXPLAIN EXECUTE proven ('{demo}', '{a1}', '{0}', '{a1@example.org}', 500)")
            .fetch_all(&mut database)
            .await
            .expect("a plan");
    let plan = plan.join("\n");
    assert!(plan.contains("social_outsiders_by_address"), "{plan}");
    assert!(!plan.contains("Seq Scan on social_outsiders o"), "{plan}");
}
