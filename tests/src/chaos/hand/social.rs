//! Social events with few places, sessions in them, and many who join and decline.

use rand::{Rng as _, seq::IndexedRandom as _};
use serde_json::json;

use super::Hand;
use crate::chaos::ledger::{Life, SocialEvent, SocialSession};

/// How many one session owns at once.
const MOST: usize = 4;

impl Hand {
    pub(super) async fn create_event(&mut self, limit: usize) {
        let mark = self.mark();
        let data = json!({"source": format!("network:{}", self.who.network), "event": {
            "title": "Event", "description": mark, "participantLimit": limit,
            "startDate": "2099-01-01T00:00:00Z", "endDate": "2099-02-01T00:00:00Z"}});
        let Some(answer) = self.create(&mark, "social:createEvent", data).await else { return };
        let id = answer.data["event"]["id"].as_str().unwrap_or_default().to_owned();
        self.change("social:publishEvent", json!({"eventId": id}), &[]).await;
        let network = self.who.network.to_owned();
        self.ledger.book().events.push(SocialEvent { network, id, mark, limit });
    }

    pub(super) async fn create_session(&mut self) {
        let event = {
            let book = self.ledger.book();
            let here: Vec<&SocialEvent> =
                book.events.iter().filter(|event| event.network == self.who.network).collect();
            here.choose(&mut self.rng).map(|event| event.id.clone())
        };
        let Some(event) = event else { return };
        if self.own_sessions().len() >= MOST {
            return;
        }
        let mark = self.mark();
        let invited: Vec<_> = if self.rng.random_bool(0.3) {
            self.others().choose(&mut self.rng).map(|user| json!({"userId": user})).into_iter().collect()
        } else {
            Vec::new()
        };
        let data = json!({"usersToInvite": invited, "session": {"eventId": event, "title": "v0", "description": mark,
            "startDate": "2099-01-02T10:00:00Z", "duration": 3600}});
        let Some(answer) = self.create(&mark, "social:createSession", data).await else { return };
        let Some(id) = answer.data["session"]["id"].as_str() else {
            return self.blame(&format!("a created session has no id: {answer:?}"));
        };
        self.ledger.book().sessions.push(SocialSession {
            network: self.who.network.to_owned(),
            id: id.to_owned(),
            mark,
            event,
            owner: self.who.user.clone(),
            writer: self.who.sid.clone(),
            version: 0,
            joins: Default::default(),
            life: Life::There,
        });
    }

    fn own_sessions(&self) -> Vec<usize> {
        let book = self.ledger.book();
        let own = book.sessions.iter().enumerate().filter(|(_, session)| {
            session.writer == self.who.sid && session.network == self.who.network && session.life == Life::There
        });
        own.map(|(place, _)| place).collect()
    }

    fn own_session(&mut self) -> Option<(usize, SocialSession)> {
        let place = *self.own_sessions().choose(&mut self.rng)?;
        Some((place, self.ledger.book().sessions[place].clone()))
    }

    pub(super) async fn update_session(&mut self) {
        let Some((place, session)) = self.own_session() else { return };
        let title = format!("v{}", session.version + 1);
        let data = json!({"session": {"id": session.id, "title": title}});
        let answer = self.change("social:updateSession", data, &[]).await;
        if answer.code == 0 {
            self.ledger.book().sessions[place].version += 1;
            if answer.data["session"]["title"] != title {
                self.blame(&format!("the only writer of a session has set {title} and is shown {}", answer.data));
            }
        }
    }

    pub(super) async fn delete_session(&mut self) {
        let Some((place, session)) = self.own_session() else { return };
        self.ledger.book().sessions[place].life = Life::Ending;
        let answer = self.change("social:deleteSession", json!({"sessionId": session.id}), &[]).await;
        if answer.code == 0 {
            self.ledger.book().sessions[place].life = Life::Gone;
        }
    }

    pub(super) async fn join_or_decline(&mut self) {
        let drawn = {
            let book = self.ledger.book();
            let here: Vec<(usize, &SocialSession)> = book
                .sessions
                .iter()
                .enumerate()
                .filter(|(_, session)| {
                    session.life == Life::There && session.network == self.who.network && session.owner != self.who.user
                })
                .collect();
            here.choose(&mut self.rng).map(|(place, session)| {
                let joins = session.joins.get(&self.who.user).and_then(|joins| joins.last());
                (*place, session.id.clone(), joins == Some(&true))
            })
        };
        let Some((place, id, has_joined)) = drawn else { return };
        // Mostly what changes something.
        let joins = has_joined == self.rng.random_bool(0.1);
        let endpoint = if joins { "social:joinSession" } else { "social:declineSessionJoin" };
        let allowed: &[u64] = if joins && !has_joined { &[404, 409] } else { &[404] };
        let answer = self.change(endpoint, json!({"sessionId": id}), allowed).await;
        let mut book = self.ledger.book();
        let session = &mut book.sessions[place];
        if answer.code == 0 && joins != has_joined {
            session.joins.entry(self.who.user.clone()).or_default().push(joins);
        } else if answer.code == 404 && session.life == Life::There {
            drop(book);
            self.blame(&format!("{endpoint} of {id} was answered {answer:?} although nobody deletes it"));
        }
    }
}
