//! The conversation of `shared/README.md`, played: what it shows is what is sent.

use std::collections::{BTreeMap, HashMap};

use harness::{Client, Stack};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../shared/README.md");

/// The network of the conversation, as `convene` makes it known.
const NETWORK: &str = include_str!("../../deploy/convene/src/demo.jsonl");

/// Stands for fields that the document leaves out.
const MORE: &str = "…";

/// A line of the conversation, unfolded: who, and what.
#[derive(Debug)]
enum Line {
    /// Connects, going on after an event.
    Connects(Option<String>),
    Sends(String),
    Receives(Value),
    Closed(u16),
}

fn conversation() -> Vec<(String, Line)> {
    let (_, section) = DOCUMENT.split_once("\n## A conversation\n").expect("the section");
    let section = section.split("\n## ").next().expect("the section");
    let mut lines: Vec<String> = Vec::new();
    for line in section.lines().filter_map(|line| line.strip_prefix("    ")) {
        match (line.strip_prefix(' '), lines.last_mut()) {
            (Some(more), Some(last)) => *last = format!("{last} {}", more.trim_start()),
            _ => lines.push(line.to_owned()),
        }
    }
    lines.iter().map(|line| read(line)).collect()
}

fn read(line: &str) -> (String, Line) {
    let (who, what) = if let Some((who, path)) = line.split_once(": GET /ws?sessionId=eyJhbGciOi…") {
        let query = path.strip_suffix(" HTTP/1.1").expect("a request");
        (who, Line::Connects(query.strip_prefix("&lastEventId=").map(str::to_owned)))
    } else if let Some((who, frame)) = line.split_once(" → ") {
        (who, Line::Sends(frame.to_owned()))
    } else if let Some((who, code)) = line.split_once(" ← close ") {
        (who, Line::Closed(code.parse().expect("a code")))
    } else {
        let (who, frame) = line.split_once(" ← ").unwrap_or_else(|| panic!("what is this? {line}"));
        let frame = frame.replace(MORE, r#""…": true"#);
        (who, Line::Receives(serde_json::from_str(&frame).unwrap_or_else(|error| panic!("{error}: {frame}"))))
    };
    (who.to_owned(), what)
}

/// What the document's ids are in this run.
#[derive(Debug, Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn is_same(&mut self, document: &str, sent: &str) -> bool {
        self.0.entry(document.to_owned()).or_insert_with(|| sent.to_owned()) == sent
    }

    /// The text with the ids of this run, so far as they are known.
    fn translate(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (document, sent)| text.replace(document, sent))
    }

    /// Holds what was sent against the document. Positions of events must be as far from each other as there.
    fn check(&mut self, path: &str, document: &Value, sent: &Value) {
        match (document, sent) {
            (Value::Object(shown), Value::Object(fields)) => {
                for (name, value) in shown.iter().filter(|(name, _)| *name != MORE) {
                    let field = fields.get(name).unwrap_or_else(|| panic!("{path}.{name} is not sent: {sent}"));
                    self.check(&format!("{path}.{name}"), value, field);
                }
                let is_whole = !shown.contains_key(MORE);
                assert!(
                    !is_whole || shown.len() == fields.len(),
                    "{path}: the document leaves something out of {sent}"
                );
            }
            (Value::Array(shown), Value::Array(elements)) if shown.len() == elements.len() => {
                shown.iter().zip(elements).for_each(|(shown, element)| self.check(path, shown, element));
            }
            (Value::String(shown), Value::String(text)) => {
                let is_same = match path.rsplit('.').next() {
                    Some("eventId" | "lastEventId") => {
                        let ((epoch, place), (our_epoch, our_place)) = (event_id(shown), event_id(text));
                        let distance = (our_place - place).to_string();
                        let is_same = self.is_same(epoch, our_epoch) && self.is_same("the distance", &distance);
                        self.0.insert(shown.clone(), text.clone());
                        is_same
                    }
                    Some("created" | "updated") => text.ends_with('Z') && !text.starts_with("0001"),
                    _ if is_uuid(shown) => is_uuid(text) && self.is_same(shown, text),
                    _ => shown == text,
                };
                assert!(is_same, "{path}: the document says {shown}, sent is {text}; {self:?}");
            }
            _ => assert_eq!(sent, document, "{path}"),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

fn event_id(text: &str) -> (&str, i64) {
    let (epoch, place) = text.split_once('.').expect("an epoch and a position");
    (epoch, place.parse().expect("a position"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_conversation_is_what_is_sent() {
    let stack = Stack::builder().gateways(2).unseeded().start().await;
    let network: Vec<Value> = NETWORK.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    stack.import(&network).await;
    let mut names = Names::default();
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    let mut received = 0;
    for (who, line) in conversation() {
        match line {
            Line::Connects(last_event_id) => {
                let user = if who == "Bob" { "bob" } else { "alice" };
                let gateway = usize::from(who == "Window");
                let mut connect = stack.connect(gateway, user);
                if let Some(id) = last_event_id {
                    // What broke off says nothing.
                    clients.remove(&who).expect("it was connected").reset();
                    connect = connect.last_event_id(names.0.get(&id).expect("an event that was told"));
                }
                clients.insert(who, connect.let_in().await);
            }
            Line::Sends(frame) => client(&mut clients, &who).send_text(&names.translate(&frame)).await,
            Line::Receives(frame) => {
                let client = client(&mut clients, &who);
                // Answers and events come in any order among each other.
                let sent =
                    if frame.get("event").is_some() { client.next_event().await } else { client.next_answer().await };
                names.check(&who, &frame, &sent);
                received += 1;
            }
            Line::Closed(code) => assert_eq!(client(&mut clients, &who).closed().await, Some(code), "{who}"),
        }
    }
    assert!(received > 12, "the conversation was found");
    client(&mut clients, "Bob").no_event().await;
}

fn client<'a>(clients: &'a mut BTreeMap<String, Client>, who: &str) -> &'a mut Client {
    clients.get_mut(who).unwrap_or_else(|| panic!("{who} has not connected"))
}
