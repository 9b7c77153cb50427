//! Sockets that do not read what they are told, and what those leave behind that do.

use harness::{Stack, eventually, process::resident};
use tokio_tungstenite::tungstenite::Message;

use super::{
    BUS_BYTES, OUTBOX_BYTES, SLACK, SOCKET_BYTES, STREAM_BYTES, bystander::Bystander, crowd, mib, numbers, tell,
};

const READERS: usize = 150;

/// Close to the largest that an event may be.
const EVENT_BYTES: usize = 480 * 1024;

/// More than any socket's kernel buffers and outbox take together.
const MOST_EVENTS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_that_do_not_read_are_closed_with_4008_share_what_waits_for_them_and_harm_nobody() {
    let stack = Stack::builder().processes().start().await;
    let gateway = &stack.gateways[0];
    let process = gateway.process_id().await;
    let mut peaks = Vec::new();
    let mut told = 0;
    let carol = stack.client(0, "carol").await;
    let before = resident(process);
    let bystander = Bystander::watch(carol);
    for round in 1..=2 {
        let mut readers = crowd(&stack, "bob", READERS, Some(4096)).await;
        let slow = (round * READERS) as f64;
        let mut peak = 0;
        while gateway.metric("convene_sockets_closed_total", &[r#"code="4008""#]).await < slow {
            assert!(told < round * MOST_EVENTS, "they are never slow");
            tell(&stack, &["bob", "carol"], told, EVENT_BYTES).await;
            told += 1;
            let delivered = (told * (READERS + 1)) as f64;
            // Until this event is where it belongs; events for sockets that are closed already count no more.
            eventually!(
                {
                    peak = peak.max(resident(process));
                    let closed = gateway.metric("convene_sockets_closed_total", &[r#"code="4008""#]).await;
                    let count = gateway.metric("convene_events_delivered_total", &[]).await;
                    (closed, count)
                },
                |(closed, count)| *closed > 0.0 || *count >= delivered
            );
        }
        peaks.push(peak.saturating_sub(before));
        // They read at last: what was on its way, and why they are closed.
        for mut reader in readers.drain(..3) {
            assert_eq!(reader.closed().await, Some(4008));
        }
        drop(readers);
        eventually!(gateway.metric("convene_sockets", &[]).await, |sockets| *sockets <= 1.0);
        eventually!(gateway.metric("convene_outbox_bytes", &[]).await, |bytes| *bytes < EVENT_BYTES as f64);
    }
    let mut carol = bystander.leave().await;
    let mut events = carol.untaken_events();
    while events.len() < told {
        events.push(carol.next_event().await);
    }
    assert_eq!(numbers(&events), (0..told as u64).collect::<Vec<_>>(), "the bystander was told everything, in order");

    let bound = READERS as u64 * SOCKET_BYTES + 2 * OUTBOX_BYTES + STREAM_BYTES + BUS_BYTES + SLACK;
    let [first, second] = peaks[..] else { panic!("two rounds") };
    assert!(first < bound, "{:.1} MiB beyond an idle pod; bound {:.1}", mib(first), mib(bound));
    assert!(second < bound, "again: {:.1} MiB beyond an idle pod; bound {:.1}", mib(second), mib(bound));
    assert!(second < first + SLACK, "it grows: {:.1} MiB, then {:.1}", mib(first), mib(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_socket_keeps_nothing_of_the_largest_that_it_was_sent_and_has_sent() {
    let stack = Stack::builder().processes().start().await;
    let gateway = &stack.gateways[0];
    let process = gateway.process_id().await;
    let mut clients = crowd(&stack, "bob", READERS, None).await;
    let before = resident(process);
    tell(&stack, &["bob"], 0, EVENT_BYTES).await;
    let large = Message::text("x".repeat(250 * 1024));
    for client in &mut clients {
        client.event("meeting:onMeetingUpdated").await;
        client.send_message(large.clone()).await;
        assert_eq!(client.next_answer().await["error"]["code"], 400);
    }
    let kept = resident(process).saturating_sub(before);
    let bound = STREAM_BYTES + SLACK;
    assert!(kept < bound, "{:.1} MiB beyond before; bound {:.1}", mib(kept), mib(bound));
}

#[tokio::test]
async fn who_reads_all_the_time_catches_up_through_an_outbox_that_is_smaller_than_a_page() {
    let stack = Stack::builder().gateway_arg("--max-outbox-bytes=20000").start().await;
    let mut bob = stack.client(0, "bob").await;
    tell(&stack, &["bob"], 0, 10).await;
    let last = bob.event("meeting:onMeetingUpdated").await["eventId"].as_str().expect("an id").to_owned();
    bob.close().await;
    // Far more than the pod remembers.
    let mut carol = stack.client(0, "carol").await;
    for number in 1..=60 {
        tell(&stack, &["bob"], number, if number == 30 { 50_000 } else { 12_000 }).await;
    }
    tell(&stack, &["carol"], 61, 10).await;
    carol.event("meeting:onMeetingUpdated").await;
    let mut bob = stack.connect(0, "bob").last_event_id(&last).open().await.expect("let in");
    bob.event("user_info").await;
    let mut events = Vec::new();
    for _ in 1..=60 {
        events.push(bob.event("meeting:onMeetingUpdated").await);
    }
    assert_eq!(numbers(&events), (1..=60).collect::<Vec<_>>());
}
