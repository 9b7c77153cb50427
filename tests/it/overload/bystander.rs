//! Somebody who behaves while others do not.

use std::time::Duration;

use harness::Client;
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle, time::MissedTickBehavior};

use super::code;

/// Well within the rate that a socket may have.
const PACE: Duration = Duration::from_millis(40);

/// A client that asks one thing after another. Each must be answered as if nothing else went on.
#[derive(Debug)]
pub struct Bystander {
    leave: oneshot::Sender<()>,
    task: JoinHandle<(Client, usize)>,
}

impl Bystander {
    /// Begins to ask.
    pub fn watch(mut client: Client) -> Self {
        let (leave, mut left) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            // After a pause it asks no faster than before.
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut answered = 0;
            while left.try_recv().is_err() {
                pace.tick().await;
                let answer = client.call("meeting:getMeeting", json!({"meetingId": uuid::Uuid::nil()})).await;
                assert_eq!(code(&answer), 404, "the bystander is harmed: {answer}");
                answered += 1;
            }
            (client, answered)
        });
        Self { leave, task }
    }

    /// Stops asking, and hands the client back with everything that it was told meanwhile.
    pub async fn leave(self) -> Client {
        // It may have panicked already; then the join says so.
        let _ = self.leave.send(());
        let (client, answered) = self.task.await.expect("the bystander was served all the time");
        assert!(answered > 0, "it has asked nothing");
        client
    }
}
