//! The namespace `social`: events, their sessions, and who is invited to them and joins them. Rules S1 to S11.
//!
//! | module | holds |
//! | --- | --- |
//! | `event`, `source` | an event, and where it comes from |
//! | `session`, `series` | a session, and when it occurs |
//! | `standing` | what the caller is to a session, and its locks |
//! | `people`, `crowd`, `reading` | who belongs to a session, as each reader sees it |
//! | `invite`, `address` | whom a request invites |
//! | `outsiders` | invitations of people whom the network does not know |
//! | `news`, `moved` | what is pushed, and to whom; what follows when a session has moved |
//! | `zone_data` | series worked out again with newer zone data |
//! | `leave` | users who leave the network |
//! | `place`, `limits` | rooms and props; how long and how many |

mod crowd;
mod event;
mod invite;
mod limits;
mod moved;
mod people;
mod place;
mod reading;
mod series;
mod source;
mod standing;

pub(crate) mod address;
pub(crate) mod leave;
pub(crate) mod news;
pub(crate) mod outsiders;
pub(crate) mod session;
pub(crate) mod zone_data;

use shared::{
    api::social::{
        CreateEvent, CreateSession, DeclineSessionJoin, DeleteEvent, DeleteSession, DeleteUserSessionInvitations,
        GetEvent, GetEvents, GetPropSessions, GetSession, GetSessions, InviteUsersToSession, JoinSession, PublishEvent,
        UpdateEvent, UpdateSession,
    },
    internal::ReadCalendar,
};

use crate::router::handlers;

handlers! { "social":
    change CreateEvent => create_event;
    change UpdateEvent => update_event;
    change PublishEvent => publish_event;
    change DeleteEvent => delete_event;
    read GetEvent => get_event;
    read GetEvents => get_events;
    change CreateSession => create_session;
    change UpdateSession => update_session;
    change DeleteSession => delete_session;
    read GetSession => get_session;
    read GetSessions => get_sessions;
    read GetPropSessions => get_prop_sessions;
    change InviteUsersToSession => invite_users_to_session;
    change DeleteUserSessionInvitations => delete_user_session_invitations;
    change JoinSession => join_session;
    change DeclineSessionJoin => decline_session_join;
    internal read ReadCalendar => read_calendar;
}
