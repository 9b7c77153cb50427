//! The lines by which the rest of the platform makes its users and places known. Not for clients.
//!
//! | `kind` | line | names |
//! | --- | --- | --- |
//! | `network` | [`NetworkLine`] | |
//! | `user` | [`UserLine`] | networks |
//! | `room` | [`RoomLine`] | a network, its owner and viewers |
//! | `prop` | [`PropLine`] | a room |
//! | `group` | [`GroupLine`] | a network, members |
//! | `community` | [`CommunityLine`] | a network, members |
//!
//! A field that is `None` was left out and keeps its value; an object or list that is given replaces the whole. An unset
//! timestamp keeps the value as well. A time zone is one that the zone data of this build knows. `id` is always valid ([`is_identifier`]), and so is every other identifier of a
//! line; those that must name something are not empty.

mod lines;

use serde::Deserialize;

use super::{InputError, from_json, is_identifier, model::MAX_IDENTIFIER_CHARS, timestamp::zone_named};

pub use lines::{CommunityLine, GroupLine, Member, NetworkLine, PropLine, RoomLine, UserLine};

crate::words! {
    /// What a line is about.
    LineKind {
        /// A network.
        Network = "network",
        /// A user.
        User = "user",
        /// A room.
        Room = "room",
        /// A prop.
        Prop = "prop",
        /// A group.
        Group = "group",
        /// A community.
        Community = "community",
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A network to be there so.
    Network(Box<NetworkLine>),
    /// A user to be there so.
    User(Box<UserLine>),
    /// A room to be there so.
    Room(Box<RoomLine>),
    /// A prop to be there so.
    Prop(PropLine),
    /// A group to be there so.
    Group(GroupLine),
    /// A community to be there so.
    Community(CommunityLine),
    /// Something to be gone.
    Deleted {
        /// What.
        kind: LineKind,
        /// Which.
        id: String,
    },
}

/// What every line has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    kind: String,
    id: String,
    deleted: bool,
}

impl Line {
    /// Reads a line by the rules for input from clients. What it names need not exist.
    ///
    /// # Errors
    /// Names the field and says what is wrong with it.
    pub fn read(json: &str) -> Result<Self, InputError> {
        let Head { kind, id, deleted } = from_json(ROOT, json)?;
        let kind = LineKind::parse(&kind)
            .ok_or_else(|| wrong("kind", format_args!("expected one of {}", LineKind::listed())))?;
        check("id", &id)?;
        if deleted {
            return Ok(Self::Deleted { kind, id });
        }
        let line = match kind {
            LineKind::Network => Self::Network(from_json(ROOT, json)?),
            LineKind::User => Self::User(from_json(ROOT, json)?),
            LineKind::Room => Self::Room(from_json(ROOT, json)?),
            LineKind::Prop => Self::Prop(from_json(ROOT, json)?),
            LineKind::Group => Self::Group(from_json(ROOT, json)?),
            LineKind::Community => Self::Community(from_json(ROOT, json)?),
        };
        line.check()?;
        Ok(line)
    }
}

/// Paths in messages begin at the line's own fields.
const ROOT: &str = "";

fn wrong(path: impl Into<String>, what: impl std::fmt::Display) -> InputError {
    InputError::new(path, what)
}

fn check(path: &str, id: &str) -> Result<(), InputError> {
    if is_identifier(id) { Ok(()) } else { Err(wrong(path, BAD_IDENTIFIER)) }
}

const BAD_IDENTIFIER: &str =
    "expected an identifier: 1 to 128 characters, without colon, plus sign, white space and control characters";

/// As [`check`], for what may be left out; a reference that may be none may also be empty.
fn check_reference(path: &str, id: Option<&String>) -> Result<(), InputError> {
    id.filter(|id| !id.is_empty()).map_or(Ok(()), |id| check(path, id))
}

fn check_list<'a>(path: &str, ids: impl Iterator<Item = &'a String>, field: &str) -> Result<(), InputError> {
    for (index, id) in ids.enumerate() {
        if !is_identifier(id) {
            return Err(wrong(format!("{path}[{index}]{field}"), BAD_IDENTIFIER));
        }
    }
    Ok(())
}

/// Empty: none.
fn check_time_zone(name: Option<&str>) -> Result<(), InputError> {
    match name.filter(|name| !name.is_empty()) {
        Some(name) if zone_named(name).is_none() => {
            let name: String = name.chars().take(MAX_IDENTIFIER_CHARS).collect();
            Err(wrong("timeZone", format_args!("unknown time zone {name}: expected a name such as Europe/Berlin")))
        }
        _ => Ok(()),
    }
}

impl Line {
    fn check(&self) -> Result<(), InputError> {
        let required = |path, id: &Option<String>| id.as_ref().map_or(Ok(()), |id| check(path, id));
        let members = |members: &Option<Vec<Member>>| {
            check_list("members", members.iter().flatten().map(|member| &member.user_id), ".userId")
        };
        match self {
            Self::Network(line) => check_reference("parentNetworkId", line.parent_network_id.as_ref()),
            Self::User(line) => {
                check_list("networkIds", line.network_ids.iter().flatten(), "")?;
                check_time_zone(line.time_zone.as_deref())
            }
            Self::Room(line) => {
                required("networkId", &line.network_id)?;
                check_reference("ownerId", line.owner_id.as_ref())?;
                check_list("viewers", line.viewers.iter().flatten(), "")
            }
            Self::Prop(line) => required("roomId", &line.room_id),
            Self::Group(line) => required("networkId", &line.network_id).and_then(|()| members(&line.members)),
            Self::Community(line) => required("networkId", &line.network_id).and_then(|()| members(&line.members)),
            Self::Deleted { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Timestamp;

    fn refused(json: &str) -> String {
        Line::read(json).expect_err(json).to_string()
    }

    #[test]
    fn what_a_line_leaves_out_is_told_from_what_it_gives_empty() {
        let line = Line::read(r#"{"kind":"user","id":"alice","firstName":"","email":null,"networkIds":[]}"#);
        let Ok(Line::User(user)) = line else { panic!("{line:?}") };
        assert_eq!(user.id, "alice");
        assert_eq!(user.first_name.as_deref(), Some(""));
        assert_eq!(user.email, None);
        assert_eq!(user.last_name, None);
        assert_eq!(user.network_ids, Some(Vec::new()));
        assert_eq!(user.created, Timestamp::UNSET);
    }

    #[test]
    fn the_lines_of_the_contract_are_read() {
        for json in [
            r#"{"kind":"network","id":"demo","fullName":"Demo","type":"Public","thumbnail":"","parentNetworkId":"",
                "state":{"defaultSubNetworkId":"","data":{"receivedBlocks":true}},"defaults":{"roomId":"lobby"},
                "presentationDomain":"","studioDomain":"","shareDomain":"","loadBalancerUrl":""}"#,
            r#"{"kind":"user","id":"alice","networkIds":["demo"],"firstName":"Alice","email":"alice@example.org",
                "emailVerified":true,"phoneNumber":"+4930123456","timeZone":"Europe/Berlin",
                "facebook":["appId:userId"],"userRoles":[{"id":"r1","roleName":"Manager","targetType":"network",
                "targetId":"demo","permissions":["network.manage"]}],"userSettings":{"objectCollision":1}}"#,
            r#"{"kind":"room","id":"lobby","networkId":"demo","title":"Lobby","thumbnail":{"id":"pic"},
                "ownerId":"alice","isPublic":true,"viewers":[]}"#,
            r#"{"kind":"room","id":"lobby","ownerId":""}"#,
            r#"{"kind":"prop","id":"table","roomId":"lobby","title":"Round table"}"#,
            r#"{"kind":"group","id":"team","networkId":"demo","title":"Team",
                "members":[{"userId":"alice","role":"Admin"},{"userId":"bob","role":"Participant"}]}"#,
            r#"{"kind":"community","id":"garden","networkId":"demo","title":"Garden","joinPolicy":"OpenForAll",
                "members":[{"userId":"alice","role":"Admin"}]}"#,
        ] {
            Line::read(json).expect(json);
        }
    }

    #[test]
    fn a_deleting_line_needs_no_more_than_what_it_deletes() {
        let line = Line::read(r#"{"kind":"room","id":"lobby","deleted":true,"title":7}"#);
        assert_eq!(line, Ok(Line::Deleted { kind: LineKind::Room, id: "lobby".to_owned() }));
    }

    #[test]
    fn a_bad_line_is_refused_by_the_name_of_its_field() {
        for (json, field) in [
            (r#"{"id":"a"}"#, "kind: "),
            (r#"{"kind":"User","id":"a"}"#, "kind: "),
            (r#"{"kind":"user"}"#, "id: "),
            (r#"{"kind":"user","id":"a:b"}"#, "id: "),
            (r#"{"kind":"user","id":"a","deleted":"yes"}"#, "deleted: "),
            (r#"{"kind":"user","id":"a","networkIds":["demo",""]}"#, "networkIds[1]: "),
            (r#"{"kind":"user","id":"a","firstName":"\u0000"}"#, "firstName: "),
            (r#"{"kind":"room","id":"a","networkId":""}"#, "networkId: "),
            (r#"{"kind":"room","id":"a","ownerId":"b c"}"#, "ownerId: "),
            (r#"{"kind":"prop","id":"a","roomId":"b+c"}"#, "roomId: "),
            (r#"{"kind":"group","id":"a","members":[{"role":"Admin"}]}"#, "members[0].userId: "),
            (r#"{"kind":"network","id":"a","parentNetworkId":" "}"#, "parentNetworkId: "),
            (r#"{"kind":"user","id":"a","timeZone":"Mars/Olympus"}"#, "timeZone: unknown time zone Mars/Olympus: "),
            (r#"{"kind":"network","id":"a","defaults":[]}"#, "defaults: "),
            (r#"["kind"]"#, "expected an object"),
            ("kind=user", "not JSON"),
        ] {
            let message = refused(json);
            assert!(message.starts_with(field), "{json}: {message}");
        }
    }

    /// The identifiers of a line that names something, or is named.
    fn identifiers(line: &Line) -> Vec<&String> {
        fn members(members: &Option<Vec<Member>>) -> Vec<&String> {
            members.iter().flatten().map(|member| &member.user_id).collect()
        }
        let (id, mut named): (&String, Vec<&String>) = match line {
            Line::Network(line) => (&line.id, Vec::new()),
            Line::User(line) => (&line.id, line.network_ids.iter().flatten().collect()),
            Line::Room(line) => (&line.id, line.viewers.iter().flatten().chain(&line.network_id).collect()),
            Line::Prop(line) => (&line.id, line.room_id.iter().collect()),
            Line::Group(line) => (&line.id, members(&line.members)),
            Line::Community(line) => (&line.id, members(&line.members)),
            Line::Deleted { id, .. } => (id, Vec::new()),
        };
        named.push(id);
        named
    }

    /// A good line of every kind.
    const GOOD: [&str; 7] = [
        r#"{"kind":"network","id":"demo","fullName":"Demo","state":{"data":{"receivedBlocks":true}},"defaults":{"roomId":"lobby"}}"#,
        r#"{"kind":"user","id":"alice","networkIds":["demo"],"email":"a@example.org","emailVerified":true,"facebook":["a:b"],"privacyMode":1,"created":"2030-01-01T00:00:00Z","userRoles":[{"id":"r","targetType":"network","permissions":["x"]}],"params":{"a":[1]}}"#,
        r#"{"kind":"room","id":"lobby","networkId":"demo","thumbnail":{"id":"p"},"ownerId":"alice","isPublic":true,"viewers":["bob"]}"#,
        r#"{"kind":"prop","id":"table","roomId":"lobby","title":"Round table"}"#,
        r#"{"kind":"group","id":"team","networkId":"demo","members":[{"userId":"alice","role":"Admin"}]}"#,
        r#"{"kind":"community","id":"garden","networkId":"demo","joinPolicy":"OpenForAll","members":[{"userId":"alice"}]}"#,
        r#"{"kind":"room","id":"lobby","deleted":true}"#,
    ];

    proptest::proptest! {
        #[test]
        fn a_line_keeps_the_doubles_that_were_sent(bits: u64, more: u64) {
            let [x, y] = [bits, more].map(f64::from_bits);
            proptest::prop_assume!(x.is_finite() && y.is_finite());
            let user = format!(
                r#"{{"kind":"user","id":"a","userSettings":{{"navigation":{{"verticalSensitivity":{x:e},"horizontalSensitivity":{y:e}}}}}}}"#
            );
            let room = format!(
                r#"{{"kind":"room","id":"a","thumbnail":{{"metadata":{{"geolocation":{{"latitude":{x:e},"longitude":{y:e}}}}}}}}}"#
            );
            let (user, room) = (Line::read(&user).expect("a line"), Line::read(&room).expect("a line"));
            let Line::User(user) = user else { panic!("{user:?}") };
            let Line::Room(room) = room else { panic!("{room:?}") };
            let navigation = user.user_settings.expect("settings").navigation;
            let place = room.thumbnail.expect("a picture").metadata.geolocation;
            for (one, other) in [
                (navigation.vertical_sensitivity, navigation.horizontal_sensitivity),
                (place.latitude, place.longitude),
            ] {
                proptest::prop_assert_eq!((one.to_bits(), other.to_bits()), (x.to_bits(), y.to_bits()));
            }
        }

        #[test]
        fn a_line_that_is_read_names_only_what_can_be_named(
            which in 0..GOOD.len(),
            changes in proptest::collection::vec(
                (proptest::prelude::any::<proptest::sample::Index>(), "\\PC{0,3}|[\\[\\]{}\",:\\\\ ue0-9+]{0,4}|\\\\u00[0-9a-f]{2}|a:b|null", 0..6_usize), 0..5),
        ) {
            let mut text = GOOD[which].to_owned();
            for (place, instead, removed) in &changes {
                let mut characters: Vec<char> = text.chars().collect();
                let place = place.index(characters.len().max(1));
                characters.splice(place..(place + removed).min(characters.len()), instead.chars());
                text = characters.into_iter().collect();
            }
            let read = Line::read(&text);
            proptest::prop_assert!(read.is_ok() || !changes.is_empty());
            for id in read.iter().flat_map(identifiers) {
                proptest::prop_assert!(is_identifier(id), "{:?} in {}", id, text);
            }
        }

        #[test]
        fn a_line_of_any_values_is_read_or_refused(
            kind in 0..GOOD.len(), field in proptest::prelude::any::<proptest::sample::Index>(), text in "\\PC{0,30}",
            which in 0..9_usize, number in proptest::prelude::any::<f64>(),
        ) {
            use serde_json::json;
            let mut line: serde_json::Value = serde_json::from_str(GOOD[kind]).expect("JSON");
            let fields = line.as_object_mut().expect("an object");
            let name = fields.keys().nth(field.index(fields.len())).expect("a field").clone();
            fields[&name] = [json!(text), json!([text]), json!({text.as_str(): [text]}), json!(null), json!(number), json!(true),
                json!([[]]), json!([{"userId": text}]), json!(u64::MAX)][which].clone();
            for id in Line::read(&line.to_string()).iter().flat_map(identifiers) {
                proptest::prop_assert!(is_identifier(id), "{:?} in {}", id, line);
            }
        }
    }
}
