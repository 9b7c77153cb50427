//! What both engines of the bus promise. Each test has two connections to one bus.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, stream, stream::StreamExt as _};
use harness::{Server, Servers, eventually};
use shared::{
    bus::{
        Bus, BusError, HeaderName, Headers, MAX_PAYLOAD_BYTES, MOST_WAITING, Message, SUBSCRIPTION_CAPACITY, Subject,
        Subscription, local::Local, nats::Nats,
    },
    pod::PodId,
};
use tokio::sync::mpsc;

/// Longer than anything takes here: what must come at once would fail with another error than it should.
const LONG: Duration = Duration::from_secs(60);

/// For what must not come. Its length decides only how surely a fault is seen.
const SHORT: Duration = Duration::from_millis(50);

macro_rules! on_both_engines {
    ($($name:ident)+) => {
        mod on_nats {
            $(#[tokio::test]
            async fn $name() {
                let url = &super::Servers::shared().await.nats.new_url();
                let [one, other] = ["one", "other"].map(|name| super::Nats::connect(url, name).expect("a good URL"));
                harness::eventually!(one.is_connected() && other.is_connected());
                super::$name(one, other).await;
            })+
        }
        mod on_local {
            $(#[tokio::test]
            async fn $name() {
                let local = super::Local::new();
                super::$name(super::Bus::new(local.clone()), super::Bus::new(local)).await;
            })+
        }
    };
}

on_both_engines! {
    a_request_brings_back_the_answer_with_its_headers
    nobody_serving_is_known_at_once
    no_answer_in_time_is_a_timeout
    a_late_answer_reaches_no_other_request
    requests_that_are_given_up_leave_their_place
    each_message_goes_to_one_member_of_a_queue_group_and_to_everybody_else
    a_star_takes_all_subjects_of_a_kind_and_no_others
    messages_of_one_sender_stay_in_order
    what_had_arrived_comes_out_after_a_stop
    leaving_a_queue_group_loses_no_request
    a_dropped_subscription_serves_no_more
    the_largest_message_passes_and_a_larger_one_is_refused
    a_subscription_that_is_full_loses_messages_and_says_so
    after_a_flush_a_subscription_is_known_to_others
    answers_are_gathered_until_there_are_enough
    values_of_headers_come_as_they_were_sent
}

fn ping() -> Subject {
    Subject::rpc("meeting", "ping").expect("a method")
}

async fn serve(bus: &Bus, subject: Subject) -> Subscription {
    let subscription = bus.serve(subject, "group").await.expect("a subscription");
    bus.flush().await.expect("the bus knows of it");
    subscription
}

/// Answers every message with what it holds.
async fn echo(bus: Bus, mut subscription: Subscription) {
    while let Some(message) = subscription.next().await {
        let reply = message.reply.expect("a request");
        // The one who asks may have given up.
        let _ = bus.reply(reply, message.headers, message.payload).await;
    }
}

async fn request(bus: &Bus, payload: impl Into<Bytes>, patience: Duration) -> Result<Bytes, BusError> {
    bus.request(ping(), Headers::new(), payload, patience).await.map(|message| message.payload)
}

async fn next(subscription: &mut Subscription) -> Message {
    tokio::time::timeout(LONG, subscription.next()).await.expect("a message comes").expect("the subscription lives")
}

async fn assert_nothing_comes(subscription: &mut Subscription) {
    let nothing = tokio::time::timeout(SHORT, subscription.next()).await;
    nothing.map(|message| message.map(|message| message.subject)).expect_err("nothing comes");
}

async fn a_request_brings_back_the_answer_with_its_headers(one: Bus, other: Bus) {
    let mut served = serve(&one, Subject::rpc_all("meeting")).await;
    tokio::spawn(async move {
        let message = next(&mut served).await;
        assert_eq!(message.subject, "rpc.meeting.ping");
        assert_eq!(message.headers.get(HeaderName::Call), Some("{}"));
        let headers = Headers::new().with(HeaderName::Code, "404").expect("a header");
        one.reply(message.reply.expect("a request"), headers, [b"re: ", &message.payload[..]].concat()).await
    });
    let headers = Headers::new().with(HeaderName::Call, "{}").expect("a header");
    let answer = other.request(ping(), headers, "hello", LONG).await.expect("an answer");
    assert_eq!(answer.payload, "re: hello");
    assert_eq!(answer.headers.get(HeaderName::Code), Some("404"));
    assert_eq!(answer.headers.get(HeaderName::Call), None);
}

async fn nobody_serving_is_known_at_once(one: Bus, _other: Bus) {
    assert_eq!(request(&one, "", LONG).await, Err(BusError::NoResponders));
}

async fn no_answer_in_time_is_a_timeout(one: Bus, other: Bus) {
    let _silent = serve(&one, ping()).await;
    assert_eq!(request(&other, "", SHORT).await, Err(BusError::Timeout));
}

async fn a_late_answer_reaches_no_other_request(one: Bus, other: Bus) {
    const REQUESTS: u32 = 6000;
    let mut served = serve(&one, ping()).await;
    let (gave_up, mut given_up) = mpsc::channel::<u32>(64);
    // Every third is answered only when the one who asked has given up, so that its slot is somebody else's.
    let answering = tokio::spawn(async move {
        let mut late = std::collections::HashMap::new();
        loop {
            tokio::select! {
                message = served.next() => {
                    let Some(message) = message else { return };
                    let number = u32::from_be_bytes(message.payload[..].try_into().expect("a number"));
                    let reply = message.reply.expect("a request");
                    if number.is_multiple_of(3) {
                        late.insert(number, (reply, message.payload));
                    } else {
                        one.reply(reply, Headers::new(), message.payload).await.expect("an answer goes out");
                    }
                }
                Some(number) = given_up.recv() => {
                    // It may not have come here yet; then it is never answered.
                    if let Some((reply, payload)) = late.remove(&number) {
                        one.reply(reply, Headers::new(), payload).await.expect("an answer goes out");
                    }
                }
            }
        }
    });
    let outcomes = stream::iter(0..REQUESTS)
        .map(async |number| {
            let payload = Bytes::copy_from_slice(&number.to_be_bytes());
            let patience = if number.is_multiple_of(3) { Duration::from_millis(2) } else { LONG };
            let answer = request(&other, payload.clone(), patience).await;
            if number.is_multiple_of(3) {
                gave_up.send(number).await.expect("somebody answers");
                assert_eq!(answer, Err(BusError::Timeout));
            } else {
                assert_eq!(answer, Ok(payload));
            }
        })
        .buffer_unordered(32);
    assert_eq!(outcomes.count().await, REQUESTS as usize);
    answering.abort();
}

async fn requests_that_are_given_up_leave_their_place(one: Bus, other: Bus) {
    let served = serve(&one, ping()).await;
    for _ in 0..MOST_WAITING + 1 {
        // The silent subscription is soon full, which is no matter here.
        let _ = request(&other, "", LONG).now_or_never();
    }
    drop(served);
    one.flush().await.expect("the bus knows of it");
    assert_eq!(request(&other, "", LONG).await, Err(BusError::NoResponders));
}

async fn each_message_goes_to_one_member_of_a_queue_group_and_to_everybody_else(one: Bus, other: Bus) {
    const MESSAGES: usize = 200;
    let mut members = [serve(&one, ping()).await, serve(&other, ping()).await];
    let mut another_group = other.serve(ping(), "another-group").await.expect("a subscription");
    let mut of_no_group = other.subscribe(Subject::rpc_all("meeting")).await.expect("a subscription");
    other.flush().await.expect("the bus knows of them");
    for number in 0..MESSAGES {
        one.publish(ping(), Headers::new(), number.to_string()).await.expect("it goes out");
    }
    for alone in [&mut another_group, &mut of_no_group] {
        for number in 0..MESSAGES {
            assert_eq!(next(alone).await.payload, number.to_string());
        }
    }
    one.flush().await.expect("all is out");
    other.flush().await.expect("all is in");
    let mut shared = BTreeSet::new();
    for member in &mut members {
        let mut own = 0;
        while let Ok(Some(message)) = tokio::time::timeout(SHORT, member.next()).await {
            assert!(shared.insert(message.payload), "a message came twice");
            own += 1;
        }
        assert!(own > 0, "a member got nothing");
    }
    assert_eq!(shared.len(), MESSAGES);
}

async fn a_star_takes_all_subjects_of_a_kind_and_no_others(one: Bus, other: Bus) {
    let mut wakes = one.subscribe(Subject::wake_all()).await.expect("a subscription");
    one.flush().await.expect("the bus knows of it");
    for subject in [Subject::heads(1), Subject::wake(1), Subject::control_all(), Subject::wake(63)] {
        other.publish(subject, Headers::new(), "").await.expect("it goes out");
    }
    assert_eq!(next(&mut wakes).await.subject, "wake.1");
    assert_eq!(next(&mut wakes).await.subject, "wake.63");
    assert_nothing_comes(&mut wakes).await;
}

async fn messages_of_one_sender_stay_in_order(one: Bus, other: Bus) {
    let mut subscription = one.subscribe(Subject::events("demo")).await.expect("a subscription");
    one.flush().await.expect("the bus knows of it");
    for number in 0..5000_u32 {
        other.publish(Subject::events("demo"), Headers::new(), number.to_string()).await.expect("it goes out");
    }
    for number in 0..5000_u32 {
        assert_eq!(next(&mut subscription).await.payload, number.to_string());
    }
}

async fn what_had_arrived_comes_out_after_a_stop(one: Bus, other: Bus) {
    const MESSAGES: usize = 300;
    let mut subscription = serve(&one, ping()).await;
    for number in 0..MESSAGES {
        other.publish(ping(), Headers::new(), number.to_string()).await.expect("it goes out");
    }
    other.flush().await.expect("the bus has all of them");
    subscription.stop();
    for number in 0..MESSAGES {
        assert_eq!(next(&mut subscription).await.payload, number.to_string());
    }
    let end = tokio::time::timeout(LONG, subscription.next()).await.expect("it ends");
    assert!(end.is_none());
    assert_eq!(request(&other, "", LONG).await, Err(BusError::NoResponders));
    subscription.stop();
    assert!(subscription.next().await.is_none());
}

async fn leaving_a_queue_group_loses_no_request(one: Bus, other: Bus) {
    let staying = tokio::spawn(echo(one.clone(), serve(&one, ping()).await));
    let asking = tokio::spawn(async move {
        let answers = stream::iter(0..20_000_u32).map(async |number| {
            let payload = Bytes::copy_from_slice(&number.to_be_bytes());
            assert_eq!(request(&other, payload.clone(), LONG / 4).await, Ok(payload));
        });
        answers.buffer_unordered(64).count().await
    });
    let mut served = 0;
    while !asking.is_finished() {
        let mut leaving = serve(&one, ping()).await;
        // With or without one, then all that come until it has left.
        let mut message = tokio::time::timeout(SHORT, leaving.next()).await.ok().flatten();
        leaving.stop();
        loop {
            if let Some(request) = message {
                one.reply(request.reply.expect("a request"), Headers::new(), request.payload)
                    .await
                    .expect("it goes out");
                served += 1;
            }
            message = tokio::time::timeout(LONG, leaving.next()).await.expect("it ends");
            if message.is_none() {
                break;
            }
        }
    }
    asking.await.expect("every request was answered");
    assert!(served > 10, "those who left were asked only {served} times");
    staying.abort();
}

async fn a_dropped_subscription_serves_no_more(one: Bus, other: Bus) {
    let dropped = serve(&one, ping()).await;
    let _silent = request(&other, "", SHORT).await.expect_err("nobody answers");
    drop(dropped);
    eventually!(request(&other, "", SHORT).await.err(), |error| *error == Some(BusError::NoResponders));
}

async fn the_largest_message_passes_and_a_larger_one_is_refused(one: Bus, other: Bus) {
    tokio::spawn(echo(one.clone(), serve(&one, ping()).await));
    let largest = Bytes::from(vec![b'x'; MAX_PAYLOAD_BYTES]);
    let answer = request(&other, largest.clone(), LONG).await.expect("it passes");
    assert!(answer == largest, "it came back otherwise");
    let larger = Bytes::from(vec![b'x'; MAX_PAYLOAD_BYTES + 1]);
    assert_eq!(request(&other, larger.clone(), LONG).await, Err(BusError::TooLarge));
    assert_eq!(other.publish(ping(), Headers::new(), larger).await, Err(BusError::TooLarge));
    // Headers count.
    let headers = Headers::new().with(HeaderName::Call, "x").expect("a header");
    assert_eq!(other.publish(ping(), headers, largest).await, Err(BusError::TooLarge));
    request(&other, "", LONG).await.expect("the connection lives");
}

async fn a_subscription_that_is_full_loses_messages_and_says_so(one: Bus, other: Bus) {
    let mut slow = one.subscribe(ping()).await.expect("a subscription");
    one.flush().await.expect("the bus knows of it");
    let mut disturbances = one.disturbances();
    let before = *disturbances.borrow_and_update();
    for number in 0..SUBSCRIPTION_CAPACITY + 100 {
        other.publish(ping(), Headers::new(), number.to_string()).await.expect("it goes out");
    }
    tokio::time::timeout(LONG, disturbances.wait_for(|count| *count > before))
        .await
        .expect("it says so")
        .expect("it lives");
    other.flush().await.expect("all is out");
    one.flush().await.expect("all is in");
    for number in 0..SUBSCRIPTION_CAPACITY {
        assert_eq!(next(&mut slow).await.payload, number.to_string());
    }
    other.publish(ping(), Headers::new(), "after").await.expect("it goes out");
    assert_eq!(next(&mut slow).await.payload, "after");
}

async fn after_a_flush_a_subscription_is_known_to_others(one: Bus, other: Bus) {
    for number in 0..100 {
        let pod = PodId::read(format!("pod-{number}"));
        let mut subscription = one.subscribe(Subject::control(&pod)).await.expect("a subscription");
        one.flush().await.expect("the bus knows of it");
        other.publish(Subject::control(&pod), Headers::new(), pod.to_string()).await.expect("it goes out");
        assert_eq!(next(&mut subscription).await.payload, pod.as_str());
    }
}

async fn answers_are_gathered_until_there_are_enough(one: Bus, other: Bus) {
    let all = Subject::control_all;
    assert_eq!(other.gather(all(), "", 3, LONG).await.expect("none is no error").len(), 0);
    for _ in 0..3 {
        let subscription = one.subscribe(all()).await.expect("a subscription");
        one.flush().await.expect("the bus knows of it");
        tokio::spawn(echo(one.clone(), subscription));
    }
    for want in [1, 2, 3] {
        let answers = other.gather(all(), "who", want, LONG).await.expect("answers");
        assert_eq!(answers.len(), want);
        assert!(answers.iter().all(|answer| answer.payload == "who"));
    }
    let answers = other.gather(all(), "who", 5, SHORT * 10).await.expect("fewer are no error");
    assert_eq!(answers.len(), 3);
}

async fn values_of_headers_come_as_they_were_sent(one: Bus, other: Bus) {
    tokio::spawn(echo(one.clone(), serve(&one, ping()).await));
    for value in [r#"{"sid":"a: b","user":"Ѫ 👋 \"}","network":"\\"}"#, "NATS/1.0 503", &"x".repeat(100_000), ":"] {
        let headers = Headers::new().with(HeaderName::Call, value).expect("no control character");
        let answer = other.request(ping(), headers, "", LONG).await.expect("an answer");
        assert_eq!(answer.headers.get(HeaderName::Call), Some(value));
    }
}

mod with_a_server_that_fails {
    use super::*;

    #[tokio::test]
    async fn a_restart_disturbs_and_subscriptions_outlive_it() {
        let nats = Server::nats().await;
        let url = nats.new_url();
        let [one, other] = ["one", "other"].map(|name| Nats::connect(&url, name).expect("a good URL"));
        eventually!(one.is_connected() && other.is_connected());
        let silent = serve(&one, Subject::wake_all()).await;
        tokio::spawn(echo(one.clone(), serve(&one, ping()).await));
        let waiting = tokio::spawn({
            let other = other.clone();
            async move { other.request(Subject::wake(1), Headers::new(), "", LONG).await }
        });
        one.flush().await.expect("a connection");
        let before = *other.disturbances().borrow();

        nats.stop().await;
        eventually!(!one.is_connected() && !other.is_connected());
        assert_eq!(waiting.await.expect("no panic").expect_err("the answer cannot come"), BusError::Away);
        assert_eq!(request(&other, "", LONG).await, Err(BusError::Away));
        assert_eq!(other.publish(ping(), Headers::new(), "").await, Err(BusError::Away));
        assert_eq!(other.flush().await, Err(BusError::Away));
        // Made when the server is back.
        let mut late = other.subscribe(Subject::wake(2)).await.expect("a subscription");

        nats.start().await;
        eventually!(one.is_connected() && other.is_connected());
        eventually!(*other.disturbances().borrow(), |count| *count >= before + 2);
        other.flush().await.expect("a connection");
        eventually!(request(&other, "again", LONG).await.ok(), |answer| answer.as_deref() == Some(b"again"));
        one.publish(Subject::wake(2), Headers::new(), "late").await.expect("it goes out");
        assert_eq!(next(&mut late).await.payload, "late");
        drop(silent);
    }

    #[tokio::test]
    async fn a_server_that_is_away_at_first_is_waited_for() {
        let nats = Server::nats().await;
        let url = nats.new_url();
        nats.stop().await;
        let bus = Nats::connect(&url, "early").expect("a good URL");
        assert!(!bus.is_connected());
        assert_eq!(request(&bus, "", LONG).await, Err(BusError::Away));
        let subscription = bus.serve(ping(), "group").await.expect("a subscription");
        tokio::spawn(echo(bus.clone(), subscription));
        nats.start().await;
        eventually!(bus.is_connected());
        assert_eq!(request(&bus, "hello", LONG).await, Ok("hello".into()));
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_given_up_without_keeping_what_is_sent() {
        let nats = Server::nats().await;
        let url = nats.new_url();
        let bus = Nats::connect(&url, "bus").expect("a good URL");
        eventually!(bus.is_connected());
        // No queue group: the server may still hold the lost connection for one of its members.
        let mut subscription = bus.subscribe(Subject::wake(1)).await.expect("a subscription");
        bus.flush().await.expect("the bus knows of it");
        nats.pause().await;
        assert_eq!(request(&bus, "", SHORT).await, Err(BusError::Timeout));
        let large = Bytes::from(vec![0; MAX_PAYLOAD_BYTES]);
        let mut taken = 0;
        while bus.publish(ping(), Headers::new(), large.clone()).await.is_ok() {
            taken += 1;
            assert!(taken < 100, "{taken} MiB are kept for a server that takes nothing");
        }
        eventually!(!bus.is_connected());
        nats.resume().await;
        eventually!(bus.is_connected());
        bus.publish(Subject::wake(1), Headers::new(), "back").await.expect("it goes out");
        assert_eq!(next(&mut subscription).await.payload, "back");
    }

    #[test]
    fn a_bad_address_is_told_without_its_password() {
        for url in ["nats://user:hunter2@", "http://user:hunter2@host", "nats://user:hunter2@host:port", ""] {
            let error = Nats::connect(url, "bus").expect_err("no address");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            assert!(error.to_string().contains("nats-url"), "{error}");
        }
    }
}
