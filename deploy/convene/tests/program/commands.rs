//! The client commands: what they print, where, and how they end.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::running::{Place, refusal, write};

#[test]
fn a_file_is_imported_and_bad_lines_are_told_one_by_one() {
    let place = Place::new();
    let (_convene, _) = place.serve();
    let lines = [
        r#"{"kind":"network","id":"other","fullName":"Other"}"#,
        r#"{"kind":"user","id":"erin","networkIds":["other"],"firstName":"Erin"}"#,
        "not JSON",
        "",
        r#"{"kind":"prop","id":"lamp","roomId":"nowhere"}"#,
        r#"{"kind":"user","id":"frank","networkIds":["other"],"firstName":"Frank"}"#,
    ];
    write(&place.path().join("lines.jsonl"), &lines.join("\n"));
    let output = place.run(&["import", "lines.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "applied 3 of 5 lines, 2 shown as bad\n");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let numbers: Vec<&str> = errors.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(numbers, ["line 3", "line 5"], "{errors}");

    // What was good is in force, and good files leave the code alone.
    let token = place.run(&["token", "--user", "frank", "--network", "other", "--sid", "s1", "--ttl", "5m"]);
    let token = String::from_utf8(token.stdout).expect("text");
    let output = place.run(&["call", "--token", token.trim(), "testVersionNotSupported"]);
    assert_eq!(output.status.code(), Some(1), "an error answer");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("the answer is printed all the same");
    assert_eq!(answer["error"]["code"], 426);
    write(&place.path().join("lines.jsonl"), lines[1]);
    let output = place.run(&["import", "lines.jsonl"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "applied 1 of 1 lines\n");

    let said = refusal(&place.run(&["import", "lines.jsonl", "--admin-token", "another"]));
    assert!(said.ends_with("/admin/directory: 401: this is not the administration token of that gateway"), "{said}");
    let said = refusal(&place.run(&["import", "absent.jsonl"]));
    assert!(said.starts_with("convene: absent.jsonl: "), "{said}");
}

#[test]
fn a_file_with_a_byte_order_mark_and_line_ends_of_windows_is_imported() {
    let place = Place::new();
    let (_convene, _) = place.serve();
    let lines = "\u{feff}{\"kind\":\"user\",\"id\":\"bob\",\"firstName\":\"Bob\"}\r\n\r\n{\"kind\":\"user\",\"id\":\"carol\"}\r\n";
    write(&place.path().join("lines.jsonl"), lines);
    let output = place.run(&["import", "lines.jsonl"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "applied 2 of 2 lines\n");
}

#[test]
fn the_same_event_id_does_a_change_once_per_session() {
    let place = Place::new();
    let (_convene, tokens) = place.serve();
    let meeting = json!({
        "sourceType": "group", "sourceIds": ["team"], "subject": "Once",
        "startDate": "2031-05-05T10:00:00Z", "endDate": "2031-05-05T10:30:00Z",
    })
    .to_string();
    let args = ["call", "--token", &tokens[0].1, "--event-id", "e1", "meeting:createMeeting", &meeting];
    let (first, second) = (place.run(&args), place.run(&args));
    assert!(first.status.success() && second.status.success(), "{first:?} {second:?}");
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn a_listener_that_was_replaced_stops_and_says_why() {
    let place = Place::new();
    let (_convene, tokens) = place.serve();
    let args = ["listen", "--token", tokens[2].1.as_str()];
    let mut first = place.start(&args);
    let who = first.frame("user_info");
    let expected = json!({
        "event": "user_info", "lastEventId": who["lastEventId"],
        "data": {
            "user": {"id": "carol", "firstName": "Carol", "email": "carol@example.org"},
            "network": {"id": "demo", "fullName": "Demo"},
        },
    });
    assert_eq!(who, expected, "in short");
    let mut second = place.start(&[args.as_slice(), &["--full"]].concat());
    let whole = second.frame("user_info");
    assert_eq!((&whole["data"]["isNew"], &whole["data"]["user"]["lastName"]), (&json!(false), &json!("")), "whole");
    assert_eq!(first.frame("invalidConnection")["error"]["code"], 4501);
    let output = first.output();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("convene: the gateway does not want this client back: closed with 4501"), "{said}");
}

#[test]
fn where_nobody_answers_each_command_says_so_in_one_line() {
    let place = Place::new()
        .with("CONVENE_JWT_SECRET", "a secret of at least thirty-two bytes")
        .with("CONVENE_ADMIN_TOKEN", "a token");
    write(&place.path().join("lines.jsonl"), "{}\n");
    for args in [
        ["call", "--user", "alice", "meeting:getMeeting"].as_slice(),
        &["listen", "--user", "alice"],
        &["import", "lines.jsonl"],
    ] {
        let said = refusal(&place.run(args));
        assert!(said.contains(&place_of(&place, args[0])), "{said}");
        assert!(said.ends_with(" can not be reached: nobody listens there; is convene running?"), "{said}");
    }
}

#[test]
fn tokens_are_signed_with_the_first_secret_for_the_first_audience_and_issuer() {
    let [old, new] = ["the old secret of at least thirty-two bytes", "the new secret of at least thirty-two bytes"];
    let place = Place::new()
        .with("CONVENE_JWT_SECRET", &format!("{old},{new}"))
        .with("CONVENE_ADMIN_TOKEN", "the old token of two,the new token of two")
        .with("CONVENE_JWT_AUDIENCE", "convene,calendar")
        .with("CONVENE_JWT_ISSUER", "https://accounts.example.org");
    let (_convene, tokens) = place.serve();
    let said = |args: &[&str]| -> Value {
        let output = place.run(args);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let get = "testVersionNotSupported";
    for args in [&["call", "--token", &tokens[0].1, get][..], &["call", "--user", "alice", get]] {
        assert_eq!(said(args)["error"]["code"], 426, "{args:?}");
    }
    for (other, value) in
        [("--audience", "rooms"), ("--issuer", "somebody"), ("--jwt-secret", &new.replace("new", "bad"))]
    {
        let refused = refusal(&place.run(&["call", "--user", "alice", other, value, get]));
        assert!(refused.contains("no valid session"), "{other}: {refused}");
    }
    assert_eq!(
        said(&["call", "--user", "alice", "--jwt-secret", new, "--audience", "calendar", get])["error"]["code"],
        426
    );
    write(&place.path().join("lines.jsonl"), r#"{"kind":"network","id":"other"}"#);
    assert!(place.run(&["import", "lines.jsonl"]).status.success());
}

fn place_of(place: &Place, command: &str) -> String {
    if command == "import" { place.management.to_string() } else { place.listen.to_string() }
}

#[test]
fn without_a_secret_or_with_nonsense_the_commands_say_what_to_do() {
    let place = Place::new();
    let said = refusal(&place.run(&["token", "--user", "alice"]));
    assert!(said.starts_with("convene: no secret to sign with: set CONVENE_JWT_SECRET, or start convene"), "{said}");
    let short = place.run(&["token", "--user", "alice", "--jwt-secret", "too short"]);
    let said = String::from_utf8_lossy(&short.stderr);
    assert_eq!(short.status.code(), Some(2), "as every malformed setting: {said}");
    let expected = "convene: malformed setting --jwt-secret (CONVENE_JWT_SECRET): has fewer than 32 bytes";
    assert!(said.starts_with(expected) && !said.contains("too short"), "{said}");
    let said = refusal(&place.run(&["import", "-"]));
    assert!(said.starts_with("convene: no administration token: set CONVENE_ADMIN_TOKEN, or start convene"), "{said}");
    for (args, named) in [
        (
            ["call", "meeting:getMeeting"].as_slice(),
            "missing setting --user or --token (CONVENE_TOKEN) (see convene call --help)",
        ),
        (
            &["--listen", "8080"],
            "malformed setting --listen (CONVENE_LISTEN): not an IP address and a port, such as 127.0.0.1:8080 or \
             [::1]:8080 (see convene serve --help)",
        ),
    ] {
        let output = place.run(args);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("convene: {named}\n"));
    }
    let said = refusal(&place.run(&["call", "--token", "t", "meeting:getMeeting", "{nonsense"]));
    assert!(said.starts_with("convene: the request's data is no JSON: "), "{said}");
    let said = refusal(&place.run(&["call", "--token", "t", "--url", "http://x", "meeting:getMeeting"]));
    assert_eq!(said, "convene: --url (CONVENE_URL) \"http://x\" does not begin with ws:// or wss://");
}

#[test]
fn standard_input_is_imported_like_a_file() {
    let place = Place::new();
    let (_convene, _) = place.serve();
    let secret = std::fs::read_to_string(place.data().join("admin-token")).expect("the token");
    let mut import = std::process::Command::new(env!("CARGO_BIN_EXE_convene"))
        .args(["import", "-", "--admin-url", &format!("http://{}", place.management), "--admin-token", secret.trim()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = import.stdin.take().expect("a pipe");
    for number in 0..2000 {
        writeln!(stdin, r#"{{"kind":"user","id":"user-{number}","networkIds":["demo"]}}"#).expect("it reads");
    }
    drop(stdin);
    let output = import.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "applied 2,000 of 2,000 lines\n");
    assert!(output.status.success());
}
