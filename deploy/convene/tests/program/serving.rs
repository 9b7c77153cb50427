//! `convene serve`: it starts, keeps its data, says what is in its way, and leaves nothing running.

use std::{collections::BTreeSet, fs, net::TcpListener};

use rustix::process::{Signal, test_kill_process};
use serde_json::json;

use crate::running::{Place, gone, refusal, signal, write};

/// A process and all that it has started.
fn family(process: i32) -> Vec<i32> {
    let mut family = vec![process];
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().filter_map(Result::ok);
    for task in tasks {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        family.extend(children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(self::family));
    }
    family
}

/// Local address and port, as the kernel writes them, of every TCP socket on which these processes listen.
fn listens(processes: &[i32]) -> BTreeSet<String> {
    let sockets: BTreeSet<String> = processes
        .iter()
        .flat_map(|process| fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten())
        .filter_map(|file| Some(fs::read_link(file.ok()?.path()).ok()?.to_string_lossy().into_owned()))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    let listening = rows.filter_map(|row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
        (state == "0A" && sockets.contains(inode)).then(|| local.to_owned())
    });
    listening.collect()
}

#[test]
fn nobody_reaches_it_from_elsewhere_unless_asked_to() {
    let place = Place::new();
    let (convene, _) = place.serve();
    let clients = format!("  clients         ws://{}/ws (from this machine only; ", place.listen);
    assert!(convene.seen.iter().any(|line| line.starts_with(&clients)), "{:#?}", convene.seen);
    let family = family(place.process().as_raw_nonzero().get());
    assert!(family.contains(&place.postmaster().as_raw_nonzero().get()), "its PostgreSQL is among {family:?}");
    // 127.0.0.1 in the kernel's order, and the ports that were given.
    let ports = [place.listen, place.management, place.worker_management].map(|address| address.port());
    let expected = ports.map(|port| format!("0100007F:{port:04X}"));
    assert_eq!(listens(&family), BTreeSet::from(expected));
}

#[test]
fn who_is_let_in_from_elsewhere_reads_so_in_the_first_lines() {
    let place = Place::new();
    let everywhere = format!("0.0.0.0:{}", place.listen.port());
    let mut convene = place.start(&["--listen", &everywhere]);
    let line = convene.line("  clients ");
    assert_eq!(line, format!("  clients         ws://{}/ws (and at every address of this machine)", place.listen));
    let listens = listens(&family(place.process().as_raw_nonzero().get()));
    let elsewhere: Vec<&String> = listens.iter().filter(|local| !local.starts_with("0100007F:")).collect();
    assert_eq!(elsewhere, [&format!("00000000:{:04X}", place.listen.port())], "and nothing else");
}

#[test]
fn a_first_start_warns_of_nothing() {
    // What many systems let a process open at all.
    let place = Place::new().files(4096);
    let (mut convene, _) = place.serve();
    signal(place.process(), Signal::INT);
    convene.line("Stopping.");
    let output = convene.output();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn two_people_meet_and_find_their_meeting_after_a_restart() {
    let place = Place::new();
    let (mut convene, tokens) = place.serve();
    let users: Vec<&str> = tokens.iter().map(|(user, _)| user.as_str()).collect();
    assert_eq!(users, ["alice", "bob", "carol", "dave"]);

    // Bob listens with the token that was printed; it goes on over the restart below.
    let bobs_token = &tokens[1].1;
    let mut bob = place.start(&["listen", "--token", bobs_token]);
    assert_eq!(bob.frame("user_info")["data"]["user"]["email"], "bob@example.org");

    let meeting = json!({
        "sourceType": "room", "sourceIds": ["lobby"], "subject": "Coffee", "invitedUserIds": ["bob"],
        "startDate": "2031-05-05T10:00:00Z", "endDate": "2031-05-05T10:30:00Z",
    });
    let created = place.call("alice", "meeting:createMeeting", &meeting);
    let meeting_id = created["data"]["meeting"]["meetingId"].as_str().expect("an id").to_owned();
    assert_eq!(bob.frame("meeting:onMeetingCreated")["data"]["meeting"]["meetingId"], meeting_id.as_str());

    // What was changed in the demo network stays so.
    write(&place.path().join("gone.jsonl"), r#"{"kind":"user","id":"dave","deleted":true}"#);
    assert!(place.run(&["import", "gone.jsonl"]).status.success());

    let postmaster = place.postmaster();
    signal(place.process(), Signal::INT);
    convene.line("Stopping.");
    assert_eq!(convene.end().code(), Some(0));
    assert!(test_kill_process(postmaster).is_err(), "PostgreSQL runs on");
    TcpListener::bind(place.listen).expect("the port is free");

    let (_convene, _) = place.serve();
    let range = json!({"startDate": "2031-05-01T00:00:00Z", "endDate": "2031-06-01T00:00:00Z"});
    let listed = place.call("bob", "meeting:listUserMeetings", &range);
    assert_eq!(listed["data"]["meetings"][0]["meetingId"], meeting_id.as_str());
    let answer = json!({"meetingId": meeting_id});
    place.call("bob", "meeting:acceptMeetingRequest", &answer);
    assert_eq!(bob.frame("meeting:onMeetingUpdated")["data"]["meeting"]["meetingId"], meeting_id.as_str());

    let dave = refusal(&place.run(&["call", "--user", "dave", "meeting:listUserMeetings", &range.to_string()]));
    let expected =
        "/ws answered 401: no valid session (is dave a user of the network demo, and the secret that of this gateway?)";
    assert!(dave.ends_with(expected), "{dave}");
}

#[test]
fn however_convene_dies_its_postgresql_dies_too_and_the_next_start_goes_on() {
    let place = Place::new();
    let (mut convene, _) = place.serve();
    let postmaster = place.postmaster();
    signal(place.process(), Signal::KILL);
    assert_eq!(convene.end().code(), Some(128 + 9));
    gone(postmaster);
    let (_convene, tokens) = place.serve();
    assert_eq!(tokens.len(), 4);
}

#[test]
fn a_second_convene_on_the_same_folder_says_who_has_it() {
    let place = Place::new();
    let (_convene, _) = place.serve();
    let said = refusal(&place.run(&[]));
    let named = format!(
        "convene: another convene (process {}) runs with the data folder {}; stop it, or set --data-dir",
        place.process().as_raw_nonzero(),
        place.data().display()
    );
    assert_eq!(said, named);
}

#[test]
fn a_taken_port_is_named_with_its_setting() {
    for (setting, variable) in [
        ("--listen", "CONVENE_LISTEN"),
        ("--management-listen", "CONVENE_MANAGEMENT_LISTEN"),
        ("--worker-management-listen", "CONVENE_WORKER_MANAGEMENT_LISTEN"),
    ] {
        let place = Place::new();
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = other.local_addr().expect("its address").to_string();
        let said = refusal(&place.run(&[setting, &taken]));
        assert_eq!(
            said,
            format!(
                "convene: another program listens on {taken} already; stop it, or set {setting} ({variable}) to another port"
            )
        );
        assert!(!place.data().join("postgres").exists(), "nothing was started for it");
    }
}

#[test]
fn a_damaged_data_folder_is_said_with_what_to_do() {
    let place = Place::new();
    fs::create_dir_all(place.data().join("postgres")).expect("a folder");
    let said = refusal(&place.run(&[]));
    let data = place.data().join("postgres").display().to_string();
    assert!(said.starts_with(&format!("convene: the data in {data} can not be used: PG_VERSION: ")), "{said}");
    assert!(said.ends_with("; put back a copy of that folder, or move it away to begin anew"), "{said}");

    fs::remove_dir(place.data().join("postgres")).expect("the empty folder");
    write(&place.data().join("jwt-secret"), "");
    let said = refusal(&place.run(&[]));
    assert!(said.ends_with("jwt-secret is empty; remove it to have a new one made"), "{said}");
}

#[test]
fn a_bad_setting_stops_it_before_anything_is_started() {
    let place = Place::new().with("CONVENE_RATE_LIMIT", "hunter2");
    let output = place.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("convene: malformed setting --rate-limit (CONVENE_RATE_LIMIT): "), "{said}");
    assert!(said.lines().count() == 1 && !said.contains("hunter2"), "{said}");
    assert!(!place.data().exists());
}

#[test]
fn interrupted_while_it_starts_it_ends_quietly_with_nothing_running() {
    let place = Place::new();
    let mut convene = place.start(&[]);
    convene.line("starting PostgreSQL");
    signal(place.process(), Signal::TERM);
    let output = convene.output();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(!place.data().join("postgres/postmaster.pid").exists());
}
