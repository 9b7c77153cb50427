//! Where a meeting is (M1), as clients name it and as the database keeps it.

use shared::api::meeting::SourceType;
use sqlx::{FromRow, Row as _, postgres::PgRow};

use crate::error::Error;

/// Where a meeting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In a room.
    Room { room: String },
    /// At a prop that stands in a room.
    Prop { room: String, prop: String },
    /// With the members of a group.
    Group { group: String },
    /// With one other user.
    Direct { user: String },
}

impl Source {
    /// Reads `sourceType` and `sourceIds` of a request that names one place.
    ///
    /// # Errors
    /// 400 when the type is unknown, or the ids are not as many as it needs.
    pub(crate) fn of_request(source_type: &str, mut ids: Vec<String>) -> Result<Self, Error> {
        let source_type = parse_type(source_type)?;
        if source_type == SourceType::Prop {
            let [(room, prop)] = <[_; 1]>::try_from(prop_pairs(ids)?)
                .map_err(|_| Error::bad_request("data.sourceIds", "expected one room and one prop"))?;
            return Ok(Self::Prop { room, prop });
        }
        let (Some(id), None) = (ids.pop(), ids.pop()) else {
            return Err(Error::bad_request("data.sourceIds", format!("expected one id of a {source_type} source")));
        };
        Ok(match source_type {
            SourceType::Room | SourceType::Prop => Self::Room { room: id },
            SourceType::Group => Self::Group { group: id },
            SourceType::Direct => Self::Direct { user: id },
        })
    }

    /// Reads `roomId` and `propId` of a meeting as deprecated clients write it; no prop: the room itself (M10).
    ///
    /// # Errors
    /// 400 when there is no room.
    pub(crate) fn in_room(room: String, prop: String) -> Result<Self, Error> {
        match (room.is_empty(), prop.is_empty()) {
            (true, _) => Err(Error::bad_request("data.meeting.roomId", "expected a room")),
            (false, true) => Ok(Self::Room { room }),
            (false, false) => Ok(Self::Prop { room, prop }),
        }
    }

    /// The type, as clients write it.
    pub(crate) fn source_type(&self) -> SourceType {
        match self {
            Self::Room { .. } => SourceType::Room,
            Self::Prop { .. } => SourceType::Prop,
            Self::Group { .. } => SourceType::Group,
            Self::Direct { .. } => SourceType::Direct,
        }
    }

    /// `sourcePk`.
    pub(crate) fn pk(&self) -> String {
        match self {
            Self::Room { room } => room.clone(),
            Self::Prop { room, prop } => format!("{room}:{prop}"),
            Self::Group { group } => group.clone(),
            Self::Direct { user } => user.clone(),
        }
    }

    /// The room, and the prop in it when there is one: the places that deprecated clients know (M10).
    pub(crate) fn place(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Self::Room { room } => Some((room, None)),
            Self::Prop { room, prop } => Some((room, Some(prop))),
            Self::Group { .. } | Self::Direct { .. } => None,
        }
    }

    /// The values of the columns `room_id`, `prop_id`, `group_id` and `direct_user_id`.
    pub(crate) fn columns(&self) -> [Option<&str>; 4] {
        match self {
            Self::Room { room } => [Some(room), None, None, None],
            Self::Prop { room, prop } => [Some(room), Some(prop), None, None],
            Self::Group { group } => [None, None, Some(group), None],
            Self::Direct { user } => [None, None, None, Some(user)],
        }
    }
}

impl FromRow<'_, PgRow> for Source {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let source_type: &str = row.try_get("source_type")?;
        Ok(match SourceType::parse(source_type) {
            Some(SourceType::Room) => Self::Room { room: row.try_get("room_id")? },
            Some(SourceType::Prop) => Self::Prop { room: row.try_get("room_id")?, prop: row.try_get("prop_id")? },
            Some(SourceType::Group) => Self::Group { group: row.try_get("group_id")? },
            Some(SourceType::Direct) => Self::Direct { user: row.try_get("direct_user_id")? },
            None => {
                let source = format!("no source is {source_type}").into();
                return Err(sqlx::Error::ColumnDecode { index: "source_type".to_owned(), source });
            }
        })
    }
}

/// Which of a user's meetings are asked for (M8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// `None`: of all types.
    pub(crate) source_type: Option<SourceType>,
    /// Any of these, none of them: all of the type. For props the rooms.
    pub(crate) ids: Vec<String>,
    /// For props, the prop that stands in the room at the same place in `ids`; else empty.
    pub(crate) props: Vec<String>,
}

impl Filter {
    /// Reads `sourceType` and `sourceIds` of a request for some of `network`'s meetings; `None` when nothing can match.
    /// No type asks for the whole network.
    ///
    /// # Errors
    /// 400 when the type is unknown, ids stand without a type, or a prop without its room.
    pub(crate) fn of_request(source_type: &str, ids: Vec<String>, network: &str) -> Result<Option<Self>, Error> {
        match source_type {
            "" if ids.is_empty() => Ok(Some(Self::default())),
            "network" if ids.is_empty() || ids.iter().any(|id| id == network) => Ok(Some(Self::default())),
            "network" => Ok(None),
            other => {
                let source_type = parse_type(other)?;
                let (ids, props) = match source_type {
                    SourceType::Prop => prop_pairs(ids)?.into_iter().unzip(),
                    SourceType::Room | SourceType::Group | SourceType::Direct => (ids, Vec::new()),
                };
                Ok(Some(Self { source_type: Some(source_type), ids, props }))
            }
        }
    }
}

fn parse_type(source_type: &str) -> Result<SourceType, Error> {
    SourceType::parse(source_type).ok_or_else(|| {
        let words: Vec<&str> = SourceType::ALL.iter().map(|word| word.as_str()).collect();
        Error::bad_request("data.sourceType", format!("expected one of {}", words.join(", ")))
    })
}

/// Rooms and props: each id is `roomId+propId`, or two ids without `+` are one pair (M1, M8).
fn prop_pairs(mut ids: Vec<String>) -> Result<Vec<(String, String)>, Error> {
    if ids.len() == 2 && !ids.iter().any(|id| id.contains('+')) {
        return Ok(ids.pop().into_iter().filter_map(|prop| Some((ids.pop()?, prop))).collect());
    }
    ids.iter()
        .enumerate()
        .map(|(index, id)| match id.split_once('+') {
            Some((room, prop)) if !room.is_empty() && !prop.is_empty() => Ok((room.to_owned(), prop.to_owned())),
            _ => Err(Error::bad_request(format!("data.sourceIds[{index}]"), "expected roomId+propId")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    fn source(source_type: &str, given: &[&str]) -> Result<Source, String> {
        Source::of_request(source_type, ids(given)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_source_names_its_place_as_m1_says() {
        let place = |room: Option<&'static str>, prop, group, user| [room, prop, group, user];
        for (source_type, ids, pk, columns) in [
            ("room", &["lobby"] as &[&str], "lobby", place(Some("lobby"), None, None, None)),
            ("prop", &["lobby", "table"], "lobby:table", place(Some("lobby"), Some("table"), None, None)),
            ("prop", &["lobby+table"], "lobby:table", place(Some("lobby"), Some("table"), None, None)),
            ("group", &["team"], "team", place(None, None, Some("team"), None)),
            ("direct", &["bob"], "bob", place(None, None, None, Some("bob"))),
        ] {
            let source = source(source_type, ids).expect("a source");
            let found = (source.source_type().as_str(), source.pk(), source.columns());
            assert_eq!(found, (source_type, pk.to_owned(), columns));
        }
    }

    #[test]
    fn a_malformed_source_is_400_and_names_the_field() {
        let table: &[(&str, &[&str], &str)] = &[
            ("", &["lobby"], "data.sourceType"),
            ("Room", &["lobby"], "data.sourceType"),
            ("network", &["demo"], "data.sourceType"),
            ("room", &[], "data.sourceIds"),
            ("room", &["a", "b"], "data.sourceIds"),
            ("group", &["a", "b"], "data.sourceIds"),
            ("direct", &["a", "b", "c"], "data.sourceIds"),
            ("prop", &[], "data.sourceIds"),
            ("prop", &["table"], "data.sourceIds[0]"),
            ("prop", &["a", "b", "c"], "data.sourceIds[0]"),
            ("prop", &["a+b", "c"], "data.sourceIds[1]"),
            ("prop", &["a+"], "data.sourceIds[0]"),
            ("prop", &["+b"], "data.sourceIds[0]"),
            ("prop", &["+"], "data.sourceIds[0]"),
            ("prop", &["a+b", "c+d"], "data.sourceIds"),
        ];
        for (source_type, ids, field) in table {
            let error = source(source_type, ids).expect_err("malformed");
            assert!(error.starts_with(&format!("400 {field}: ")), "{source_type} {ids:?}: {error}");
        }
    }

    #[test]
    fn a_filter_takes_several_ids_of_one_type() {
        let filter = |source_type, given| Filter::of_request(source_type, ids(given), "demo").expect("a filter");
        assert_eq!(filter("", &[]), Some(Filter::default()));
        assert_eq!(filter("network", &[]), Some(Filter::default()));
        assert_eq!(filter("network", &["other", "demo"]), Some(Filter::default()));
        assert_eq!(filter("network", &["other"]), None, "nobody sees another network");
        let pairs = filter("prop", &["lobby+table", "stage+screen"]).expect("can match");
        assert_eq!((pairs.ids, pairs.props), (ids(&["lobby", "stage"]), ids(&["table", "screen"])));
        let pair = filter("prop", &["lobby", "table"]).expect("can match");
        assert_eq!((pair.ids, pair.props), (ids(&["lobby"]), ids(&["table"])));
        assert_eq!(filter("prop", &[]).expect("can match").ids, ids(&[]));
        assert!(Filter::of_request("", ids(&["lobby"]), "demo").is_err(), "ids of what?");
        assert!(Filter::of_request("rooms", Vec::new(), "demo").is_err());
    }
}
