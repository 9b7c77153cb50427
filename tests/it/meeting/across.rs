//! Every endpoint, called by a client on one pod, with its events arriving on another.

use std::collections::BTreeSet;

use harness::{Client, Stack};
use serde_json::{Value, json};
use shared::api::meeting::ENDPOINTS;

use super::{in_the_lobby, named, with};

/// A client that notes which endpoints it has called.
struct Caller {
    client: Client,
    called: BTreeSet<String>,
}

impl Caller {
    async fn ask(&mut self, method: &str, data: Value) -> Value {
        let endpoint = format!("meeting:{method}");
        let answer = self.client.ask(&endpoint, data).await;
        self.called.insert(endpoint);
        answer
    }
}

/// Takes the watcher's next events, which must be these, of that meeting.
async fn told(watcher: &mut Client, names: &[&str], id: &Value) {
    for name in names {
        let event = watcher.next_event().await;
        assert_eq!(event["event"], format!("meeting:{name}"), "{event}");
        let data = &event["data"];
        let about = [&data["meetingId"], &data["meeting"]["meetingId"], &data["meeting"]["id"]];
        assert!(about.contains(&id), "{event}");
    }
}

#[tokio::test]
async fn every_endpoint_is_called_on_one_pod_and_told_on_another() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut watcher = stack.client(1, "bob").await;
    let mut alice = Caller { client: stack.client(0, "alice").await, called: BTreeSet::new() };
    let mut carol = Caller { client: stack.client(0, "carol").await, called: BTreeSet::new() };
    let january = json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-02-01T00:00:00Z"});
    let date = json!({"localDate": "2030-01-01T12:00:00+01:00"});

    let created = alice.ask("createMeeting", in_the_lobby(&["bob", "carol"])).await["meeting"].take();
    let (id, name) = (created["meetingId"].clone(), named(&created));
    told(&mut watcher, &["onMeetingCreated", "meetingUpdated"], &id).await;
    alice.ask("updateMeeting", with(name.clone(), json!({"subject": "Other plans"}))).await;
    told(&mut watcher, &["onMeetingUpdated", "meetingUpdated"], &id).await;
    carol.ask("acceptMeetingRequest", name.clone()).await;
    told(&mut watcher, &["onMeetingUpdated", "meetingUpdated"], &id).await;
    carol.ask("declineMeetingRequest", name.clone()).await;
    told(&mut watcher, &["onMeetingUpdated", "meetingUpdated"], &id).await;
    alice.ask("update", with(name.clone(), json!({"meeting": {"propId": "table"}}))).await;
    told(&mut watcher, &["onMeetingUpdated", "meetingUpdated"], &id).await;

    assert_eq!(alice.ask("getMeeting", name.clone()).await["meeting"]["sourcePk"], "lobby:table");
    assert_eq!(alice.ask("get", name.clone()).await["meeting"]["subject"], "Other plans");
    assert_eq!(alice.ask("listUserMeetings", january.clone()).await["meetings"].as_array().map(Vec::len), Some(1));
    let listed = alice.ask("listUserMeetingsInDateRange", january).await;
    assert_eq!(listed["meetings"].as_array().map(Vec::len), Some(1));
    let counted = json!({"localDateNow": "2030-01-01T12:00:00+01:00", "size": 1});
    assert_eq!(alice.ask("listUserMeetingCounts", counted).await["meetingCounts"][0]["count"], 1);
    let table = json!({"roomId": "lobby", "propId": "table"});
    let needed = alice.ask("checkPropHasMeetingsOrSocialSessions", table).await;
    assert_eq!(needed["hasMeetingsOrSocialSessions"], true);

    // What is set by one session is seen by another user on the other pod.
    let nine_to_five = json!([{"startDate": "2030-01-01T09:00:00+01:00", "endDate": "2030-01-01T17:00:00+01:00"}]);
    let set = json!({"availability": {"status": "Available", "dates": nine_to_five}});
    alice.ask("setUserAvailability", with(set, date.clone())).await;
    for what in ["ForDay", "ForWeek", "ForMonth"] {
        let own = alice.ask(&format!("getUserAvailability{what}"), date.clone()).await;
        assert_eq!(own["availability"]["status"], "Available", "{what}");
    }
    let pattern = alice.ask("getUserAvailabilityPattern", date.clone()).await;
    assert_eq!(pattern["pattern"]["availabilities"].as_array().map(Vec::len), Some(7));
    let people = with(date, json!({"users": [{"roomful": "alice"}]}));
    let free = json!([
        {"startDate": "2030-01-01T08:00:00Z", "endDate": "2030-01-01T10:00:00Z"},
        {"startDate": "2030-01-01T11:00:00Z", "endDate": "2030-01-01T16:00:00Z"},
    ]);
    let slots = watcher.ask("meeting:getTimeSlotsForMeeting", people.clone()).await;
    assert_eq!(slots["availableTimeSlots"], free);
    assert_eq!(alice.ask("getTimeSlotsForMeeting", people.clone()).await, slots);
    let month = alice.ask("getMeetingTimeSlotsForMonth", people).await;
    assert_eq!(month["availableTimeSlots"].as_array().map(Vec::len), Some(3), "{month}");

    alice.ask("deleteMeeting", name).await;
    told(&mut watcher, &["onMeetingDeleted", "meetingDeleted"], &id).await;
    let new = json!({"meeting": {"subject": "Plans", "roomId": "stage", "invitedUserIds": ["bob"],
        "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z"}});
    let created = alice.ask("create", new).await["meeting"].take();
    told(&mut watcher, &["onMeetingCreated", "meetingUpdated"], &created["id"]).await;
    alice.ask("delete", json!({"meetingId": created["id"]})).await;
    told(&mut watcher, &["onMeetingDeleted", "meetingDeleted"], &created["id"]).await;
    watcher.no_event().await;

    let called: BTreeSet<&str> = alice.called.iter().chain(&carol.called).map(String::as_str).collect();
    assert_eq!(called, ENDPOINTS.iter().map(|row| row.name).collect(), "all of them");
}
