//! People whom the network does not know: rules S10, I2. What these tests share is here.

mod claiming;
mod domains;
mod ends;
mod limits;
mod links;
mod moving;
mod phones;
mod proving;
mod sending;
mod trouble;

use harness::{Stack, smtp::MailServer, stack::Builder};
use serde_json::{Value, json};

pub(crate) use super::{
    People, code, count, create, event_for, get, invited, joined, named, refused, users, with, yoga,
};

/// Where links point to.
pub(crate) const PUBLIC_URL: &str = "https://convene.test/here";

/// A stack whose workers hand their mails to a server.
pub(crate) fn mailing(server: &MailServer) -> Builder {
    Stack::builder()
        .worker_arg(&format!("--smtp-url={}", server.url()))
        .worker_arg("--smtp-from=Convene <noreply@convene.test>")
        .worker_arg(&format!("--public-url={PUBLIC_URL}/"))
}

/// The request that invites.
pub(crate) fn inviting(session: &Value, invitations: &Value) -> Value {
    with(named(session), json!({"usersToInvite": invitations}))
}

/// Addresses to invite, as attendees.
pub(crate) fn emails(addresses: &[&str]) -> Value {
    json!([{"emails": addresses}])
}

/// The request that takes invitations back.
pub(crate) fn removing(session: &Value, whom: &[&str]) -> Value {
    with(named(session), json!({"usersToInvite": whom}))
}

/// The request that joins with the token of a link.
pub(crate) fn claiming(session: &Value, token: &str) -> Value {
    with(named(session), json!({"invitation": token}))
}

/// A private session, which nobody else knows of.
pub(crate) fn secret() -> Value {
    with(yoga(None), json!({"sessionType": 1}))
}

/// Changes the database as time would.
pub(crate) async fn execute(stack: &Stack, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut stack.database().await).await.expect(sql);
}

/// Lets everything that waits for its time be due.
pub(crate) async fn let_be_due(stack: &Stack) {
    execute(stack, "UPDATE social_messages SET due_at = now() WHERE due_at IS NOT NULL").await;
}

/// Lets ten minutes pass since the last message to anybody.
pub(crate) async fn let_ten_minutes_pass(stack: &Stack) {
    execute(
        stack,
        "UPDATE social_messages SET sent_at = sent_at - interval '10 minutes',
                                    last_request_at = last_request_at - interval '10 minutes'",
    )
    .await;
}

/// The user's role in the session, as he is invited.
pub(crate) fn role_of(session: &Value, user: &str) -> Option<i64> {
    let invited = session["invitedUsers"].as_array().expect("a list");
    invited.iter().find(|invited| invited["user"]["id"] == user)?["role"].as_i64()
}
