//! Social sessions as busy time of the Meeting API: rule A7; and as what a prop is needed for: rule M10.

use harness::{Client, Stack};
use serde_json::{Value, json};

use super::{People, create, event_for, named, named_event, publish, update, users, with, yoga};

/// When a user is free in January 2030, as days and hours in UTC.
async fn free(client: &mut Client, user: &str) -> Vec<String> {
    let request = json!({"users": [{"roomful": user}], "localDate": "2030-01-15T00:00:00Z[UTC]"});
    let answer = client.ask("meeting:getMeetingTimeSlotsForMonth", request).await;
    let hour = |time: &Value| time.as_str().expect("a timestamp")[5..16].to_owned();
    let slots = answer["availableTimeSlots"].as_array().expect("a list");
    slots.iter().map(|slot| format!("{}/{}", hour(&slot["startDate"]), hour(&slot["endDate"]))).collect()
}

const ALL: [&str; 1] = ["01-01T00:00/02-01T00:00"];

#[tokio::test]
async fn a7_one_is_busy_with_sessions_one_owns_or_has_joined() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), users(&["carol"])).await;
    let busy = ["01-01T00:00/01-02T10:00", "01-02T11:00/02-01T00:00"];
    assert_eq!(free(&mut people.alice, "bob").await, busy, "the owner");
    assert_eq!(free(&mut people.alice, "carol").await, ALL, "an invitation is not a place");
    people.carol.ask("social:joinSession", named(&session)).await;
    assert_eq!(free(&mut people.alice, "carol").await, busy, "joined");
    update(&mut people.bob, &session, json!({"startDate": "2030-01-03T10:00:00Z"})).await;
    assert_eq!(free(&mut people.alice, "carol").await, ["01-01T00:00/01-03T10:00", "01-03T11:00/02-01T00:00"]);
    people.carol.ask("social:declineSessionJoin", named(&session)).await;
    assert_eq!(free(&mut people.alice, "carol").await, ALL, "declined");
    stack.import_all(&[json!({"kind": "room", "id": "lobby", "deleted": true})]).await;
    assert_ne!(free(&mut people.alice, "bob").await, ALL, "invalid is busy");
    people.bob.ask("social:deleteSession", named(&session)).await;
    assert_eq!(free(&mut people.alice, "bob").await, ALL, "deleted is free");
}

#[tokio::test]
async fn a7_each_occurrence_of_a_series_is_busy_until_its_event_ends() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    // Berlin's clocks go forward on 31 March 2030.
    let weekly = json!({"startDate": "2029-12-03T18:00:00+01:00", "duration": 5400, "isRecurring": true});
    create(&mut people.bob, with(yoga(None), weekly.clone()), json!([])).await;
    let mondays = [
        "01-01T00:00/01-07T17:00",
        "01-07T18:30/01-14T17:00",
        "01-14T18:30/01-21T17:00",
        "01-21T18:30/01-28T17:00",
        "01-28T18:30/02-01T00:00",
    ];
    assert_eq!(free(&mut people.alice, "bob").await, mondays);
    let april = json!({"users": [{"roomful": "bob"}], "localDate": "2030-04-01T00:00:00Z"});
    let slots = people.alice.ask("meeting:getTimeSlotsForMeeting", april).await;
    assert_eq!(slots["availableTimeSlots"][0]["endDate"], "2030-04-01T16:00:00Z", "the same hour by the clock");

    let ends = json!({"title": "Short", "startDate": "2029-12-01T00:00:00Z", "endDate": "2030-01-14T18:29:59Z"});
    let event = publish(&mut people.alice, "network:demo", ends).await;
    let session = with(with(yoga(Some(&event)), weekly), json!({"roomId": "lobby"}));
    create(&mut people.carol, session, json!([])).await;
    assert_eq!(free(&mut people.alice, "carol").await, ["01-01T00:00/01-07T17:00", "01-07T18:30/02-01T00:00"]);
    people.alice.ask("social:deleteEvent", named_event(&event)).await;
    assert_eq!(free(&mut people.alice, "carol").await, ALL);
}

#[tokio::test]
async fn m10_a_prop_is_needed_by_sessions_that_are_not_over() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let needs = async |client: &mut Client, prop: &str| {
        let request = json!({"roomId": "lobby", "propId": prop});
        let answer = client.ask("meeting:checkPropHasMeetingsOrSocialSessions", request).await;
        answer["hasMeetingsOrSocialSessions"].as_bool().expect("a bool")
    };
    assert!(!needs(&mut people.dave, "table").await);
    let at_table = with(yoga(None), json!({"propId": "table", "sessionType": 1}));
    let over = json!({"startDate": "2020-01-01T00:00:00Z"});
    create(&mut people.bob, with(at_table.clone(), over.clone()), json!([])).await;
    assert!(!needs(&mut people.dave, "table").await, "it is over");
    let weekly = with(with(at_table, over), json!({"isRecurring": true}));
    let series = create(&mut people.bob, weekly, json!([])).await;
    assert!(needs(&mut people.dave, "table").await, "whoever takes part");
    assert!(!needs(&mut people.dave, "").await, "another place");
    people.bob.ask("social:deleteSession", named(&series)).await;
    assert!(!needs(&mut people.dave, "table").await);
    let event = event_for(&mut people.alice, 0).await;
    create(&mut people.bob, with(yoga(Some(&event)), json!({"roomId": "lobby"})), json!([])).await;
    assert!(needs(&mut people.dave, "").await, "in the room itself");
}
