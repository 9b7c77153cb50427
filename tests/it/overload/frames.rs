//! Frames that are larger or deeper than anything that makes sense.

use futures::future::join_all;
use harness::{Client, Stack, process::resident};
use serde_json::json;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use super::{BUS_BYTES, SLACK, bystander::Bystander, code, crowd, mib};

/// `max-frame-bytes` by default.
const MOST: usize = 262_144;

/// A request of exactly so many bytes.
fn request(bytes: usize) -> String {
    let request = r#"{"id":1,"endpoint":"testVersionNotSupported"}"#;
    format!("{request}{}", " ".repeat(bytes - request.len()))
}

fn fragment(text: &str, is_first: bool, is_last: bool) -> Message {
    let data = if is_first { Data::Text } else { Data::Continue };
    Message::Frame(Frame::message(text.as_bytes().to_vec(), OpCode::Data(data), is_last))
}

/// Sends a text in fragments, as far as the socket takes them.
async fn send_fragments(client: &mut Client, text: &str, bytes: usize) {
    let mut rest = text;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(bytes.min(rest.len()));
        if !client.try_send_message(fragment(part, rest.len() == text.len(), after.is_empty())).await {
            return;
        }
        rest = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_too_large_is_1009_however_it_comes_and_costs_bounded_memory() {
    let stack = Stack::builder().processes().start().await;
    let process = stack.gateways[0].process_id().await;
    let bystander = Bystander::watch(stack.client(0, "carol").await);
    let mut crowd = crowd(&stack, "bob", 60, None).await;
    let before = resident(process);
    let mut at_the_limit = crowd.split_off(58);
    at_the_limit[0].send_text(&request(MOST)).await;
    assert_eq!(code(&at_the_limit[0].next_answer().await), 426);
    // The limit counts the message, not its frames.
    send_fragments(&mut at_the_limit[1], &request(MOST), 10_000).await;
    assert_eq!(code(&at_the_limit[1].next_answer().await), 426);

    let closing = crowd.into_iter().enumerate().map(|(n, mut client)| {
        tokio::spawn(async move {
            match n % 6 {
                0 => drop(client.try_send_message(Message::text(request(MOST + 1))).await),
                1 => drop(client.try_send_message(Message::text(request(3 * MOST))).await),
                2 => drop(client.try_send_message(Message::text(request(40 * MOST))).await),
                3 => send_fragments(&mut client, &request(2 * MOST), 100_000).await,
                4 => send_fragments(&mut client, &request(MOST + 1), 64).await,
                // A text frame that says it has 2^62 bytes, and the first of them.
                _ => {
                    let mut frame = vec![0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                    frame.extend([b'x'; 1000]);
                    client.send_bytes(&frame).await.expect("sent");
                }
            }
            (n, client.closed().await)
        })
    });
    for closed in join_all(closing).await {
        let (n, closed) = closed.expect("no panic");
        assert_eq!(closed, Some(1009), "{n}");
    }
    let grown = resident(process).saturating_sub(before);
    let bound = 60 * 2 * MOST as u64 + BUS_BYTES + SLACK;
    assert!(grown < bound, "{:.1} MiB; bound {:.1}", mib(grown), mib(bound));
    bystander.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_any_depth_is_answered_400_beyond_64_levels_and_ends_nobody() {
    let stack = Stack::builder().processes().gateway_arg("--max-frame-bytes=1000000").start().await;
    let mut client = stack.client(0, "alice").await;
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"id":1,"endpoint":"meeting:createMeeting","data":{{"subject":{open}{close}}}}}"#)
    };
    let open = format!(r#"{{"id":1,"endpoint":"meeting:getMeeting","data":{}"#, "[".repeat(900_000));
    let objects = r#"{"a":"#.repeat(150_000);
    for (what, text) in [
        ("only brackets", "[".repeat(1_000_000)),
        ("brackets that are never closed", open),
        ("objects that are never closed", objects),
        ("a value of 65 levels", nested(65)),
        ("a value of 400,000 levels", nested(400_000)),
    ] {
        client.send_text(&text).await;
        let answer = client.next_answer().await;
        assert_eq!(code(&answer), 400, "{what}: {answer}");
    }
    let answer = client.call("meeting:getMeeting", json!({"meetingId": uuid::Uuid::nil()})).await;
    assert_eq!(code(&answer), 404, "the worker lives");
    assert!(!stack.logged().contains("panicked"));
    assert!(!stack.logged().contains("overflow"));
}
