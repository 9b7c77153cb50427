//! What pods tell each other about sockets, on a connection of its own so that no flood of events delays it.

use std::{sync::Arc, time::Duration};

use shared::{
    api::Close,
    bus::{BusError, Headers, Message, Subject, Subscription},
    internal::{Closed, Control, Fence, Session},
    pod::PodId,
};
use tokio::sync::Mutex;

use crate::Gateway;

/// How long the other pods may take to say how many sockets they close.
const GATHERING: Duration = Duration::from_secs(2);

impl Gateway {
    /// Tells one start of a pod.
    ///
    /// # Errors
    /// See [`shared::bus::Bus::publish`].
    pub async fn tell(&self, pod: &PodId, control: &Control) -> Result<(), BusError> {
        self.control.publish(Subject::control(pod), Headers::new(), encode(control)).await
    }

    /// Tells every pod, this one included, and adds up how many sockets they close. Pods that do not answer in time count
    /// nothing, but close theirs all the same.
    ///
    /// # Errors
    /// See [`shared::bus::Bus::gather`].
    pub async fn tell_all(&self, control: &Control) -> Result<u64, BusError> {
        // Without presence nobody knows how many pods there are: wait for whoever answers in time.
        let pods = self.presence.pods().await.map_or(usize::MAX, |pods| pods.len().max(1));
        let answers = self.control.gather(Subject::control_all(), encode(control), pods, GATHERING).await?;
        Ok(answers
            .iter()
            .filter_map(|answer| serde_json::from_slice::<Closed>(&answer.payload).ok())
            .map(|closed| closed.closed)
            .sum())
    }

    /// Closes a socket whose session a newer one has, if it is of that session and the older one. Of no session that is said:
    /// a gateway of the release before asks for it.
    pub fn close_replaced(&self, socket: u64, session: Option<&Session>, fence: Fence) {
        let Some(socket) = self.hub.get(socket).filter(|socket| socket.fence < fence) else { return };
        if session.is_none_or(|session| *session == socket.session) {
            socket.end(Close::Replaced);
        } else {
            // Nothing that is addressed to this start names another's socket. Whoever has it would stop for good.
            tracing::error!(socket = socket.id, "a socket was to be closed for a session that is not its own");
        }
    }

    /// Does as it was told and says how many sockets that closes.
    fn heed(&self, control: &Control) -> u64 {
        match control {
            Control::Replaced { socket, session, fence } => {
                self.close_replaced(*socket, session.as_ref(), *fence);
                0
            }
            Control::Revoked { sid } => self.hub.end_where(Close::Revoked, |socket| socket.session.sid == *sid),
            Control::UserLeft { user, networks } => self.hub.end_where(Close::Revoked, |socket| {
                socket.session.user == *user && networks.contains(&socket.session.network)
            }),
            Control::NetworkReset { network, epoch } => {
                self.streams.suspect(network);
                self.hub.end_where(Close::NetworkReset, |socket| {
                    socket.session.network == *network && *socket.epoch != **epoch
                })
            }
        }
    }

    async fn hear(&self, message: Message) {
        let control = match serde_json::from_slice(&message.payload) {
            Ok(control) => control,
            Err(error) => return tracing::error!(%error, "a control message could not be read"),
        };
        let closed = Closed { closed: self.heed(&control) };
        if let Some(reply) = message.reply {
            // Nobody waits for it any more when this fails.
            let _ = self.control.reply(reply, Headers::new(), encode(&closed)).await;
        }
    }

    /// Subscribes to what this pod is told. Must be done before the first socket is claimed.
    ///
    /// # Errors
    /// See [`shared::bus::Bus::subscribe`].
    pub async fn listen_to_control(&self) -> Result<[Subscription; 2], BusError> {
        let own = self.control.subscribe(Subject::control(&self.pod)).await?;
        let all = self.control.subscribe(Subject::control_all()).await?;
        Ok([own, all])
    }

    /// Heeds what this pod is told until the process stops.
    pub async fn heed_control(self: Arc<Self>, subscriptions: Arc<Mutex<[Subscription; 2]>>) {
        let mut subscriptions = subscriptions.lock().await;
        let [own, all] = &mut *subscriptions;
        loop {
            let message = tokio::select! {
                () = self.stop.cancelled() => return,
                message = own.next() => message,
                message = all.next() => message,
            };
            match message {
                Some(message) => self.hear(message).await,
                None => return,
            }
        }
    }
}

fn encode(message: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("a control message is JSON")
}
