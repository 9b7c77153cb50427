//! Meetings: the organizer's changes, and the answers of the invited.

use rand::{Rng as _, seq::IndexedRandom as _};
use serde_json::{Value, json};

use super::Hand;
use crate::chaos::{
    ledger::{Life, Meeting},
    world,
};

/// How many one session organizes at once.
const MOST: usize = 6;

impl Hand {
    pub(super) async fn create_meeting(&mut self, invited: Vec<String>) {
        if self.own_meetings().len() >= MOST {
            return;
        }
        let mark = self.mark();
        let (source, ids) = if self.rng.random_bool(0.3) && invited.len() < 4 {
            ("direct", json!([invited[0]]))
        } else {
            ("room", json!([world::room(self.who.network)]))
        };
        let data = json!({"sourceType": source, "sourceIds": ids, "subject": "v0", "description": mark,
            "invitedUserIds": invited, "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"});
        let Some(answer) = self.create(&mark, "meeting:createMeeting", data).await else { return };
        let Some(id) = answer.data["meeting"]["meetingId"].as_str() else {
            return self.blame(&format!("a created meeting has no id: {answer:?}"));
        };
        self.ledger.book().meetings.push(Meeting {
            network: self.who.network.to_owned(),
            id: id.to_owned(),
            mark,
            writer: self.who.sid.clone(),
            invited,
            version: 0,
            is_moved: false,
            answers: Default::default(),
            life: Life::There,
        });
    }

    /// Places in the ledger of the meetings that this session changes.
    fn own_meetings(&self) -> Vec<usize> {
        let book = self.ledger.book();
        let own = book.meetings.iter().enumerate().filter(|(_, meeting)| {
            meeting.writer == self.who.sid && meeting.network == self.who.network && meeting.life == Life::There
        });
        own.map(|(place, _)| place).collect()
    }

    fn own_meeting(&mut self) -> Option<(usize, Meeting)> {
        let place = *self.own_meetings().choose(&mut self.rng)?;
        Some((place, self.ledger.book().meetings[place].clone()))
    }

    pub(super) async fn update_meeting(&mut self) {
        let Some((place, meeting)) = self.own_meeting() else { return };
        let version = meeting.version + 1;
        let mut data = json!({"meetingId": meeting.id, "subject": format!("v{version}")});
        if meeting.invited.len() < 4 && self.rng.random_bool(0.1) {
            self.ledger.book().meetings[place].is_moved = true;
            data["endDate"] = json!(format!("2099-01-02T10:00:{:02}Z", version % 60));
        }
        let answer = self.change("meeting:updateMeeting", data, &[]).await;
        if answer.code == 0 {
            self.ledger.book().meetings[place].version = version;
            self.shows(&answer.data, version);
        }
    }

    fn shows(&self, data: &Value, version: u64) {
        if data["meeting"]["subject"] != format!("v{version}") {
            self.blame(&format!("the only writer of a meeting is at version {version} and is shown {data}"));
        }
    }

    pub(super) async fn read_meeting(&mut self) {
        let Some((_, meeting)) = self.own_meeting() else { return };
        let answer = self.session.request("meeting:getMeeting", &json!({"meetingId": meeting.id}), None).await;
        self.shows(&answer.data, meeting.version);
    }

    pub(super) async fn delete_meeting(&mut self) {
        let Some((place, meeting)) = self.own_meeting() else { return };
        // The one that everybody is invited to stays.
        if meeting.invited.len() > 3 {
            return;
        }
        self.ledger.book().meetings[place].life = Life::Ending;
        let answer = self.change("meeting:deleteMeeting", json!({"meetingId": meeting.id}), &[]).await;
        if answer.code == 0 {
            self.ledger.book().meetings[place].life = Life::Gone;
        }
    }

    pub(super) async fn answer_meeting(&mut self) {
        let candidates: Vec<usize> = {
            let book = self.ledger.book();
            let invited = book.meetings.iter().enumerate().filter(|(_, meeting)| {
                meeting.life == Life::There
                    && meeting.network == self.who.network
                    && meeting.invited.contains(&self.who.user)
            });
            invited.map(|(place, _)| place).collect()
        };
        // The first one is the one that everybody answers.
        let first = candidates.first().filter(|_| self.rng.random_bool(0.3)).copied();
        let Some(place) = first.or_else(|| candidates.choose(&mut self.rng).copied()) else { return };
        let (status, endpoint) = if self.rng.random_bool(0.5) {
            ("accepted", "meeting:acceptMeetingRequest")
        } else {
            ("declined", "meeting:declineMeetingRequest")
        };
        let id = self.ledger.book().meetings[place].id.clone();
        let answer = self.change(endpoint, json!({"meetingId": id}), &[404]).await;
        let mut book = self.ledger.book();
        let meeting = &mut book.meetings[place];
        if answer.code == 0 {
            meeting.answers.entry(self.who.user.clone()).or_default().push(status);
        } else if answer.code == 404 && meeting.life == Life::There {
            drop(book);
            self.blame(&format!("{endpoint} of {id} was answered {answer:?} although nobody deletes it"));
        }
    }
}
