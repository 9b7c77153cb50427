//! What can be asked with the identifiers of another network: one row for each endpoint.

use serde_json::{Value, json};

use crate::meeting::with;

/// One of everything that has an identifier, or an address.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    pub(super) network: String,
    pub(super) user: String,
    pub(super) room: String,
    pub(super) prop: String,
    pub(super) group: String,
    pub(super) community: String,
    pub(super) meeting: String,
    pub(super) event: String,
    pub(super) session: String,
    pub(super) email: String,
    pub(super) phone: String,
    pub(super) facebook: String,
    /// Of the link of an invitation to the session.
    pub(super) token: String,
}

impl Ids {
    /// All of them, with what they are.
    pub(super) fn all(&self) -> [(&str, &'static str); 13] {
        [
            (&self.network, "network"),
            (&self.user, "user"),
            (&self.room, "room"),
            (&self.prop, "prop"),
            (&self.group, "group"),
            (&self.community, "community"),
            (&self.meeting, "meeting"),
            (&self.event, "event"),
            (&self.session, "session"),
            (&self.email, "email"),
            (&self.phone, "phone"),
            (&self.facebook, "facebook"),
            (&self.token, "token"),
        ]
    }
}

/// How an endpoint is called.
pub(super) enum Row {
    /// With identifiers of elsewhere, mixed with those of the caller's own network.
    Naming(fn(elsewhere: &Ids, own: &Ids) -> Vec<Value>),
    /// It names nothing: what it answers is about the caller.
    Nameless(fn() -> Vec<Value>),
}

use Row::{Nameless, Naming};

/// Every endpoint.
pub(super) const ROWS: &[(&str, Row)] = &[
    ("meeting:createMeeting", Naming(create_meeting)),
    ("meeting:updateMeeting", Naming(|it, _| vec![with(meeting(it), json!({"subject": "Theirs"}))])),
    ("meeting:deleteMeeting", Naming(|it, _| vec![meeting(it)])),
    ("meeting:getMeeting", Naming(|it, _| vec![meeting(it)])),
    ("meeting:acceptMeetingRequest", Naming(|it, _| vec![meeting(it)])),
    ("meeting:declineMeetingRequest", Naming(|it, _| vec![meeting(it)])),
    ("meeting:listUserMeetings", Naming(list_user_meetings)),
    ("meeting:listUserMeetingCounts", Nameless(|| vec![json!({"localDateNow": DAY, "size": 40})])),
    ("meeting:getTimeSlotsForMeeting", Naming(time_slots)),
    ("meeting:getMeetingTimeSlotsForMonth", Naming(time_slots)),
    ("meeting:getUserAvailabilityPattern", Nameless(on_the_day)),
    ("meeting:getUserAvailabilityForDay", Nameless(on_the_day)),
    ("meeting:getUserAvailabilityForWeek", Nameless(on_the_day)),
    ("meeting:getUserAvailabilityForMonth", Nameless(on_the_day)),
    ("meeting:setUserAvailability", Nameless(set_user_availability)),
    ("meeting:create", Naming(create)),
    ("meeting:update", Naming(update)),
    ("meeting:delete", Naming(|it, _| vec![meeting(it)])),
    ("meeting:get", Naming(|it, _| vec![meeting(it)])),
    ("meeting:checkPropHasMeetingsOrSocialSessions", Naming(places)),
    ("meeting:listUserMeetingsInDateRange", Nameless(|| vec![january()])),
    ("social:createEvent", Naming(create_event)),
    ("social:updateEvent", Naming(update_event)),
    ("social:publishEvent", Naming(|it, _| vec![event(it)])),
    ("social:deleteEvent", Naming(|it, _| vec![event(it)])),
    ("social:getEvent", Naming(|it, _| vec![event(it)])),
    ("social:getEvents", Naming(|it, own| sources(it, own).map(|source| json!({"source": source})).into())),
    ("social:createSession", Naming(create_session)),
    ("social:updateSession", Naming(update_session)),
    ("social:deleteSession", Naming(|it, _| vec![session(it)])),
    ("social:getSession", Naming(|it, _| vec![session(it)])),
    ("social:getSessions", Naming(|it, _| vec![event(it)])),
    ("social:getPropSessions", Naming(places)),
    ("social:inviteUsersToSession", Naming(invite)),
    ("social:deleteUserSessionInvitations", Naming(delete_invitations)),
    ("social:joinSession", Naming(join)),
    ("social:declineSessionJoin", Naming(|it, _| vec![session(it)])),
];

const DAY: &str = "2030-01-01T12:00:00+01:00[Europe/Berlin]";

fn january() -> Value {
    json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-02-01T00:00:00Z"})
}

fn on_the_day() -> Vec<Value> {
    vec![json!({"localDate": DAY})]
}

fn meeting(it: &Ids) -> Value {
    json!({"meetingId": it.meeting})
}

fn event(it: &Ids) -> Value {
    json!({"eventId": it.event})
}

fn session(it: &Ids) -> Value {
    json!({"sessionId": it.session})
}

fn hours() -> Value {
    json!({"startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z"})
}

fn create_meeting(it: &Ids, own: &Ids) -> Vec<Value> {
    let at = |source_type: &str, ids: Value, invited: Value| {
        with(
            hours(),
            json!({"sourceType": source_type, "sourceIds": ids, "subject": "Ours", "invitedUserIds": invited}),
        )
    };
    vec![
        at("room", json!([it.room]), json!([])),
        at("room", json!([it.room]), json!([it.user])),
        at("prop", json!([it.room, it.prop]), json!([])),
        at("prop", json!([format!("{}+{}", it.room, it.prop)]), json!([])),
        at("prop", json!([own.room, it.prop]), json!([])),
        at("prop", json!([it.room, own.prop]), json!([])),
        at("group", json!([it.group]), json!([])),
        at("direct", json!([it.user]), json!([])),
        at("room", json!([own.room]), json!([it.user])),
        at("room", json!([own.room]), json!([own.user, it.user])),
        at("group", json!([own.group]), json!([it.user])),
        at("direct", json!([own.user]), json!([it.user])),
    ]
}

fn list_user_meetings(it: &Ids, own: &Ids) -> Vec<Value> {
    let of = |source_type: &str, ids: Value| with(january(), json!({"sourceType": source_type, "sourceIds": ids}));
    vec![
        of("network", json!([it.network])),
        of("network", json!([own.network, it.network])),
        of("room", json!([it.room])),
        of("room", json!([own.room, it.room])),
        of("prop", json!([it.room, it.prop])),
        of("prop", json!([format!("{}+{}", own.room, own.prop), format!("{}+{}", it.room, it.prop)])),
        of("group", json!([it.group])),
        of("group", json!([it.group, own.group])),
        of("direct", json!([it.user])),
        of("direct", json!([it.user, own.user])),
    ]
}

fn time_slots(it: &Ids, own: &Ids) -> Vec<Value> {
    [
        json!([{"roomful": it.user}]),
        json!([{"email": it.email}]),
        json!([{"roomful": own.user}, {"roomful": it.user}]),
        json!([{"email": it.email}, {"email": own.email}]),
        json!([{"roomful": it.user, "email": own.email}]),
        json!([{"roomful": own.user, "email": it.email}]),
    ]
    .map(|users| json!({"users": users, "localDate": DAY}))
    .into()
}

fn set_user_availability() -> Vec<Value> {
    vec![
        json!({"localDate": DAY, "availability": {"status": "NotAvailable", "dates": [hours()]}}),
        json!({"localDate": DAY, "availability": {"status": "Available", "dates": [hours()], "repetition": 127}}),
        json!({"localDate": DAY, "availability": {"status": "Default"}}),
        json!({"localDate": DAY, "availability": {"status": "Default", "repetition": 127}}),
    ]
}

fn create(it: &Ids, own: &Ids) -> Vec<Value> {
    [
        json!({"roomId": it.room}),
        json!({"roomId": it.room, "propId": it.prop}),
        json!({"roomId": own.room, "propId": it.prop}),
        json!({"roomId": it.room, "propId": own.prop}),
        json!({"roomId": own.room, "invitedUserIds": [it.user]}),
        json!({"roomId": own.room, "invitedUserIds": [own.user, it.user]}),
    ]
    .map(|place| json!({"meeting": with(with(hours(), json!({"subject": "Ours"})), place)}))
    .into()
}

fn update(it: &Ids, own: &Ids) -> Vec<Value> {
    vec![
        with(meeting(it), json!({"meeting": {"subject": "Theirs"}})),
        with(meeting(it), json!({"meeting": {"roomId": own.room}})),
        with(meeting(own), json!({"meeting": {"roomId": it.room}})),
        with(meeting(own), json!({"meeting": {"propId": it.prop}})),
        with(meeting(own), json!({"meeting": {"roomId": it.room, "propId": it.prop}})),
    ]
}

fn places(it: &Ids, own: &Ids) -> Vec<Value> {
    vec![
        json!({"roomId": it.room, "propId": it.prop}),
        json!({"roomId": it.room}),
        json!({"roomId": own.room, "propId": it.prop}),
        json!({"roomId": it.room, "propId": own.prop}),
    ]
}

fn sources(it: &Ids, own: &Ids) -> [String; 4] {
    [
        format!("network:{}", it.network),
        format!("community:{}:{}", it.network, it.community),
        format!("community:{}:{}", own.network, it.community),
        format!("community:{}:{}", it.network, own.community),
    ]
}

fn create_event(it: &Ids, own: &Ids) -> Vec<Value> {
    let event = with(january(), json!({"title": "Ours"}));
    let mut requests: Vec<Value> =
        sources(it, own).map(|source| json!({"source": source, "event": event.clone()})).into();
    let elsewhere = with(event, json!({"roomId": it.room, "previewResourceId": it.prop}));
    requests.push(json!({"source": format!("network:{}", own.network), "event": elsewhere}));
    requests
}

fn update_event(it: &Ids, own: &Ids) -> Vec<Value> {
    vec![
        with(event(it), json!({"event": {"title": "Theirs"}})),
        with(event(own), json!({"event": {"roomId": it.room}})),
    ]
}

fn create_session(it: &Ids, own: &Ids) -> Vec<Value> {
    let yoga = json!({"title": "Ours", "startDate": "2030-01-02T10:00:00Z", "duration": 3600});
    let at = |place: Value, invited: Value| json!({"session": with(yoga.clone(), place), "usersToInvite": invited});
    let own_event = json!({"eventId": own.event});
    vec![
        at(json!({"eventId": it.event}), json!([])),
        at(json!({"roomId": it.room}), json!([])),
        at(json!({"eventId": it.event, "roomId": own.room}), json!([])),
        at(json!({"eventId": own.event, "roomId": it.room}), json!([])),
        at(json!({"roomId": own.room, "propId": it.prop}), json!([])),
        at(json!({"eventId": own.event, "ownerId": it.user, "id": it.session}), json!([])),
        at(own_event.clone(), json!([{"userId": it.user}])),
        at(own_event.clone(), json!([{"userId": own.user}, {"userId": it.user}])),
        at(own_event, addresses(it)),
    ]
}

fn addresses(it: &Ids) -> Value {
    json!([{"emails": [it.email], "phones": [it.phone]}, {"facebook": it.facebook, "role": 1}])
}

fn update_session(it: &Ids, own: &Ids) -> Vec<Value> {
    [
        json!({"id": it.session, "title": "Theirs"}),
        json!({"id": it.session, "eventId": own.event}),
        json!({"id": own.session, "eventId": it.event}),
        json!({"id": own.session, "roomId": it.room}),
        json!({"id": own.session, "propId": it.prop}),
        json!({"id": own.session, "ownerId": it.user}),
    ]
    .map(|session| json!({"session": session}))
    .into()
}

fn invite(it: &Ids, own: &Ids) -> Vec<Value> {
    vec![
        with(session(it), json!({"usersToInvite": [{"userId": own.user}]})),
        with(session(it), json!({"usersToInvite": [{"userId": it.user}]})),
        with(session(own), json!({"usersToInvite": [{"userId": it.user}]})),
        with(session(own), json!({"usersToInvite": [{"userId": own.user}, {"userId": it.user}]})),
        with(session(own), json!({"usersToInvite": addresses(it)})),
    ]
}

fn delete_invitations(it: &Ids, own: &Ids) -> Vec<Value> {
    vec![
        with(session(it), json!({"usersToInvite": [own.user]})),
        with(session(it), json!({"usersToInvite": [it.user, it.email]})),
        with(session(own), json!({"usersToInvite": [own.user, it.user]})),
        with(session(own), json!({"usersToInvite": [it.email, it.phone]})),
    ]
}

fn join(it: &Ids, own: &Ids) -> Vec<Value> {
    vec![
        session(it),
        with(session(it), json!({"invitation": it.token})),
        with(session(own), json!({"invitation": it.token})),
    ]
}
