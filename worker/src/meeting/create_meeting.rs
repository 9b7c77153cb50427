//! `meeting:createMeeting`: rules M1, M2, M3, V4.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use shared::api::{
    Rgba,
    meeting::{CreateMeetingRequest, Meeting, MeetingData},
};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    meeting::{
        details::{Details, Reads},
        limits::MAX_INVITED,
        place, push,
        row::{Content, Row, Time},
        source::Source,
    },
};

pub(crate) async fn handle(change: &mut Change, request: CreateMeetingRequest) -> Result<MeetingData, Error> {
    let source = Source::of_request(&request.source_type, request.source_ids)?;
    let content = Content {
        subject: request.subject,
        description: request.description,
        color: request.color.into(),
        time: Time::of_request("data", request.start_date, request.end_date)?,
    }
    .checked("data")?;
    let named = named("data", &change.session().user, &source, request.invited_user_ids)?;
    let reads = Reads::of_events(change);
    let (meeting, _) = create(change, source, content, &named, reads).await?;
    Ok(MeetingData { meeting })
}

/// Creates a meeting with those that are `named`, and tells of it. With it come its details, when they are to be read and the
/// deprecated endpoints show it (M10).
///
/// # Errors
/// 802, 803, 404 of the place, 404 of whom is named, 400 when the group is too large.
pub(crate) async fn create(
    change: &mut Change,
    source: Source,
    content: Content,
    named: &[String],
    reads: Reads,
) -> Result<(Meeting, Option<Details>), Error> {
    let session = change.session().clone();
    let id = Uuid::now_v7();
    let [room, prop, group, direct_user] = source.columns();
    let Rgba { r, g, b, a } = content.color.into();
    let sql = concat!(include_str!("place.sql"), include_str!("create_meeting.sql"));
    let outcome: Outcome = sqlx::query_as(sql)
        .bind(&session.network)
        .bind(&session.user)
        .bind(source.source_type().as_str())
        .bind(room)
        .bind(prop)
        .bind(group)
        .bind(direct_user)
        .bind(id)
        .bind(named)
        .bind(MAX_INVITED as i64)
        .bind(content.time.starts_at)
        .bind(content.time.ends_at)
        .bind(&content.subject)
        .bind(&content.description)
        .bind(r)
        .bind(g)
        .bind(b)
        .bind(a)
        .fetch_one(change.connection())
        .await?;
    let (created_at, participant_ids) = outcome.created(&source)?;
    let details = match source.place() {
        Some(_) if reads == Reads::Deprecated => {
            Some(Details::of(change.connection(), &session.network, id, reads).await?)
        }
        _ => None,
    };
    let network_id = session.network;
    let organizer_id = session.user;
    let row = Row { network_id, id, organizer_id, source, created_at, is_valid: true, participant_ids, content };
    let meeting = row.into_meeting();
    push::created(change, meeting.clone(), details.as_ref())?;
    Ok((meeting, details))
}

/// Whom the request invites by name, each once, in order; the direct user first. `path` is where the request has them.
///
/// # Errors
/// 400 when they are too many, or the direct user is the caller.
pub(crate) fn named(path: &str, caller: &str, source: &Source, invited: Vec<String>) -> Result<Vec<String>, Error> {
    let direct = match source {
        Source::Direct { user } if user == caller => {
            return Err(Error::bad_request("data.sourceIds", "a direct meeting is with somebody else"));
        }
        Source::Direct { user } => Some(user.clone()),
        _ => None,
    };
    let mut seen = HashSet::from([caller.to_owned()]);
    let named: Vec<String> = direct.into_iter().chain(invited).filter(|user| seen.insert(user.clone())).collect();
    if named.len() > MAX_INVITED {
        let what = format!("expected at most {MAX_INVITED} users");
        return Err(Error::bad_request(format_args!("{path}.invitedUserIds"), what));
    }
    Ok(named)
}

/// What `create_meeting.sql` answers.
#[derive(Debug, FromRow)]
struct Outcome {
    /// 0, or the error code with which the place refuses.
    refusal: i32,
    /// Unless something refuses.
    created_at: Option<DateTime<Utc>>,
    /// How many others would take part.
    invited: i64,
    /// In order.
    participant_ids: Vec<String>,
    /// Some of those named who are not of the network.
    missing: Vec<String>,
}

impl Outcome {
    fn created(self, source: &Source) -> Result<(DateTime<Utc>, Vec<String>), Error> {
        place::allowed(self.refusal, source)?;
        if let Some(created_at) = self.created_at {
            return Ok((created_at, self.participant_ids));
        }
        if !self.missing.is_empty() {
            // What is no identifier may be of any length.
            let names: Vec<String> = self.missing.iter().map(|name| name.chars().take(128).collect()).collect();
            return Err(Error::not_found(format!("invited user {}", names.join(", "))));
        }
        if self.invited > MAX_INVITED as i64 {
            let what = format!("the group has more than {MAX_INVITED} other members, name those to invite");
            return Err(Error::bad_request("data.invitedUserIds", what));
        }
        // The caller alone is missing: he left while the statement waited.
        Err(place::gone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(users: &[&str]) -> Vec<String> {
        users.iter().map(|&user| user.to_owned()).collect()
    }

    #[test]
    fn invited_users_lose_duplicates_and_the_organizer() {
        let room = Source::Room { room: "lobby".to_owned() };
        let invited = named("data", "alice", &room, users(&["carol", "alice", "bob", "carol"])).expect("few");
        assert_eq!(invited, users(&["carol", "bob"]));
    }

    #[test]
    fn the_direct_user_is_invited_first_and_once() {
        let direct = Source::Direct { user: "bob".to_owned() };
        let invited = named("data", "alice", &direct, users(&["carol", "bob"])).expect("few");
        assert_eq!(invited, users(&["bob", "carol"]));
        assert!(named("data", "bob", &direct, Vec::new()).is_err(), "with oneself");
    }

    #[test]
    fn a_hundred_are_invited_and_no_more() {
        let room = Source::Room { room: "lobby".to_owned() };
        let mut many: Vec<String> = (0..100).map(|n| format!("u{n}")).chain(users(&["u1", "alice"])).collect();
        assert_eq!(named("data", "alice", &room, many.clone()).expect("a hundred different ones").len(), 100);
        many.push("one more".to_owned());
        assert!(named("data", "alice", &room, many).is_err());
    }
}
