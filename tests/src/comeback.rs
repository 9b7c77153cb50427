//! Clients that lose their sockets as gateways are killed, and come back when these have been started again under their names.

use std::{fmt, time::Duration};

use futures::{StreamExt as _, future::join_all, stream};
use rand::{Rng as _, seq::SliceRandom as _};
use serde_json::json;
use tokio::time::Instant;

use crate::{Client, Stack};

/// So many sockets are opened at once, as many handshakes as a gateway takes.
const AT_ONCE: usize = 64;

/// What became of them.
#[derive(Debug)]
pub struct Outcome {
    /// How many came back.
    pub returned: usize,
    /// Those whose socket was closed although it was the only one of its session: the client, and the code.
    pub stopped: Vec<(usize, Option<u16>)>,
    /// How many sockets the gateways say they have closed with 4501, but for those that were to be closed.
    pub replaced: usize,
    /// From the start of the gateways until the last client was let in.
    pub took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { returned, stopped, replaced, took } = self;
        write!(
            f,
            "{returned} came back within {:.1} s; stopped without reason: {}, sockets closed with 4501 without reason: {replaced}",
            took.as_secs_f64(),
            stopped.len()
        )
    }
}

/// Opens so many sockets, each of a user and session of its own, kills these gateways at once and starts them again. Whoever has lost
/// his socket connects again, to any gateway, in any order. Then each socket is asked for a sign of life, after every gateway has done
/// what any other has told it until then.
///
/// # Panics
/// When somebody cannot connect, or a socket that was to be closed is not.
pub async fn kill_and_come_back(stack: &Stack, sockets: usize, killed: &[usize]) -> Outcome {
    let gateways = stack.gateways.len();
    let user = |n: usize| format!("guest-{n}");
    let lines: Vec<_> = (0..sockets).map(|n| json!({"kind": "user", "id": user(n), "networkIds": ["demo"]})).collect();
    stack.import_all(&lines).await;
    let open = async |places: Vec<(usize, usize)>| -> Vec<(usize, Client)> {
        let opening = places.into_iter().map(async |(n, gateway)| (n, stack.connect(gateway, &user(n)).let_in().await));
        stream::iter(opening).buffer_unordered(AT_ONCE).collect().await
    };
    let clients = open((0..sockets).map(|n| (n, n % gateways)).collect()).await;
    join_all(killed.iter().map(|gateway| stack.gateways[*gateway].kill())).await;
    let (lost, mut open_still): (Vec<_>, Vec<_>) =
        clients.into_iter().partition(|(n, _)| killed.contains(&(n % gateways)));
    let mut places = Vec::new();
    for (n, mut client) in lost {
        assert_eq!(client.closed().await, None, "its gateway died without a word");
        places.push((n, rand::rng().random_range(0..gateways)));
    }
    places.shuffle(&mut rand::rng());
    let begun = Instant::now();
    for gateway in killed {
        stack.gateways[*gateway].start().await;
    }
    for gateway in killed {
        stack.gateways[*gateway].ready().await;
    }
    let returned = open(places).await;
    let (count, took) = (returned.len(), begun.elapsed());
    let markers = end_of_what_was_told(stack).await;
    let mut stopped = Vec::new();
    open_still.extend(returned);
    for (n, client) in &mut open_still {
        if let Err(code) = client.poke().await {
            stopped.push((*n, code));
        }
    }
    let closed = join_all(stack.gateways.iter().map(|pod| pod.metric(CLOSED, &[r#"code="4501""#]))).await;
    let replaced = closed.iter().sum::<f64>() as usize - markers;
    Outcome { returned: count, stopped, replaced, took }
}

const CLOSED: &str = "convene_sockets_closed_total";

/// Returns when each gateway has done what any other has told it before, and says how many sockets that has closed. A gateway hears
/// what one other tells it in order, so a socket that it closes last is the end of that.
async fn end_of_what_was_told(stack: &Stack) -> usize {
    let gateways = 0..stack.gateways.len();
    let mut markers = 0;
    for to in gateways.clone() {
        for from in gateways.clone().filter(|from| *from != to) {
            let sid = format!("marker-{from}-{to}");
            let mut older = stack.connect_as(to, "alice", "demo", &sid).let_in().await;
            let mut newer = stack.connect_as(from, "alice", "demo", &sid).let_in().await;
            assert_eq!(older.closed().await, Some(4501), "its session is at another gateway");
            newer.event("user_info").await;
            newer.close().await;
            markers += 1;
        }
    }
    markers
}
