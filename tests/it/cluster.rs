//! Everything works when Redis is a cluster, also while one of its servers dies.

use harness::{RedisCluster, Servers, Stack, eventually};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_cluster_may_lose_a_server() {
    let mut cluster = RedisCluster::start(1).await;
    let mut servers = Servers::shared().await.isolated_with_schema().await;
    servers.redis_url = cluster.url();
    let stack = Stack::builder().gateways(2).on(servers).start().await;
    let mut people = Vec::new();
    for user in ["alice", "bob", "carol", "dave"] {
        people.push(stack.client(people.len() % 2, user).await);
    }
    let meeting = |subject: &str| {
        json!({"sourceType": "room", "sourceIds": ["lobby"], "invitedUserIds": ["bob", "carol", "dave"], "subject": subject,
            "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"})
    };
    for (n, subject) in ["before", "after"].into_iter().enumerate() {
        // Open sockets and what they are told need none of it.
        people[0].ask("meeting:createMeeting", meeting(subject)).await;
        for person in &mut people {
            let told = person.event("meeting:onMeetingCreated").await;
            assert_eq!(told["data"]["meeting"]["subject"], subject);
            person.event("meeting:meetingUpdated").await;
        }
        if n == 0 {
            cluster.kill(0).await;
        }
    }
    // Once a replica has taken over, everybody is let in anew, and replaces who he was.
    for (n, user) in ["alice", "bob", "carol", "dave"].into_iter().enumerate() {
        let gateway = (n + 1) % 2;
        let _newer = eventually!(stack.connect(gateway, user).open().await.ok(), Option::is_some);
        assert_eq!(people[n].closed().await, Some(4501), "{user}");
    }
    for gateway in &stack.gateways {
        eventually!(gateway.get("/readyz").await, |answer| answer.as_ref().is_some_and(|(status, _)| *status == 200));
    }
}
