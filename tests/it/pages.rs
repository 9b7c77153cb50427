//! What web pages see, in Chromium, and what Node's own WebSocket sees, which is as little. The client is the example of
//! `shared/README.md`; `deploy/test` makes what drives them.

use std::{path::Path, time::Duration};

use axum::{Router, http::header, response::Html, routing::get};
use futures::future::join_all;
use harness::{Browser, Client, Fault, Proxy, Stack, browser, eventually, token::token};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Sockets that the small gateway takes.
const ROOM: usize = 10;

/// What loads the scripts and gives a page's expressions their names.
const PAGE: &str = r#"<!doctype html><title>A page</title><script type="module">
import * as client from "/client.mjs";
import * as tries from "/tries.mjs";
Object.assign(globalThis, client, tries);
</script>"#;

/// The client that shared/README.md shows.
fn client() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let (_, from) = readme.split_once("```js\n").expect("an example");
    from.split_once("```").expect("its end").0.to_owned()
}

fn tries() -> String {
    std::fs::read_to_string(browser::folder().join("tries.mjs")).expect("the script")
}

/// Serves the pages on a port of its own, which makes them another origin's.
async fn serve_pages() -> u16 {
    let script = |text: String| get(move || std::future::ready(([(header::CONTENT_TYPE, "text/javascript")], text)));
    let router = Router::new()
        .route("/", get(|| std::future::ready(Html(PAGE))))
        .route("/client.mjs", script(client()))
        .route("/tries.mjs", script(tries()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// Gateways: 0 takes everybody, and beats once a second; 1 takes pages of one origin; 2 is small, and drains for long.
struct World {
    stack: Stack,
    held: Vec<Client>,
}

impl World {
    async fn start(origin: &str) -> Self {
        let stack = Stack::builder()
            .gateways(3)
            .arg_of_gateway(0, "--ping-interval=1s")
            .arg_of_gateway(1, &format!("--allowed-origins={origin}"))
            .arg_of_gateway(2, &format!("--max-connections={ROOM}"))
            .drain(Duration::ZERO, Duration::from_secs(600))
            .start()
            .await;
        let opening = (0..ROOM).map(|n| stack.connect_as(2, "bob", "demo", &n.to_string()).let_in());
        Self { held: join_all(opening).await, stack }
    }

    fn url(&self, gateway: usize) -> String {
        format!("ws://{}/ws", self.stack.gateways[gateway].public)
    }

    /// What becomes of an upgrade that offers these subprotocols.
    async fn upgrade(&self, browser: &mut Browser, page: &str, gateway: usize, offered: &[&str]) -> Value {
        browser.value(page, &format!("upgrade({}, {})", json!(self.url(gateway)), json!(offered))).await
    }
}

/// The subprotocols with which a session signs in.
fn offer(token: &str) -> [String; 2] {
    ["convene".to_owned(), format!("token.{token}")]
}

/// Signs in, and is refused in each way that needs no page.
async fn is_let_in_and_refused(world: &mut World, browser: &mut Browser, page: &str) {
    let stack = &world.stack;
    let mut elsewhere = stack.client(1, "carol").await;
    let good = offer(&token("alice", "demo", "page"));
    let call = format!("call({}, {}, 'testVersionNotSupported')", json!(world.url(0)), json!(good));
    let called = browser.value(page, &call).await;
    assert_eq!(called["protocol"], "convene", "{called}");
    assert_eq!(
        (&called["frames"][0]["event"], &called["frames"][1]["error"]["code"]),
        (&json!("user_info"), &json!(426))
    );

    let bad = world.upgrade(browser, page, 0, &["convene", "token.bad"]).await;
    assert_eq!(
        (&bad["opened"], &bad["protocol"], &bad["code"]),
        (&json!(true), &json!("convene"), &json!(4503)),
        "{bad}"
    );
    let told = &bad["frames"][0];
    assert_eq!((&told["event"], &told["error"]["code"]), (&json!("invalidConnection"), &json!(4503)), "{bad}");

    let carol = offer(&token("carol", "demo", "session-of-carol"));
    for offered in [&["soap"][..], &[&carol[1]]] {
        let refused = world.upgrade(browser, page, 1, offered).await;
        assert_eq!((&refused["opened"], &refused["code"]), (&json!(false), &json!(1006)), "{refused}");
    }
    let full = world.upgrade(browser, page, 2, &carol.each_ref().map(String::as_str)).await;
    assert_eq!((&full["opened"], &full["frames"], &full["code"]), (&json!(true), &json!([]), &json!(4013)), "{full}");

    stack.gateways[2].begin_stop().await;
    let is_away = |refused: &harness::Refused| refused.body["error"]["message"] == "the pod is going away";
    eventually!(stack.connect(2, "carol").open().await.is_err_and(|refused| is_away(&refused)));
    let draining = world.upgrade(browser, page, 2, &carol.each_ref().map(String::as_str)).await;
    assert_eq!((&draining["opened"], &draining["frames"]), (&json!(true), &json!([])), "{draining}");
    assert_eq!(draining["code"], 1012, "{draining}");
    // None of it took her session.
    elsewhere.no_event().await;
    world.held.clear();
}

/// The numbers of the events that the client of the README was told, and how many sockets it has opened.
const TOLD: &str = "({ numbers: told.filter((f) => f.eventId).map((f) => f.data.number), sockets, stopped, \
     infos: told.filter((f) => f.event === 'user_info').map((f) => f.lastEventId), \
     last: told.findLast((f) => f.eventId)?.eventId })";

/// Loses its socket without a word, notices, and comes back having missed nothing; stops when a newer socket takes its session.
async fn notices_a_silent_loss_and_misses_nothing(world: &World, browser: &mut Browser, page: &str) {
    let stack = &world.stack;
    let tell = async |number: usize| stack.tell(&["dave"], &json!({"number": number})).await;
    let proxy = Proxy::before(&world.url(0)).await;
    let begin = format!(
        "(() => {{
            globalThis.told = [];
            globalThis.sockets = 0;
            globalThis.stopped = null;
            const Own = WebSocket;
            globalThis.WebSocket = class extends Own {{ constructor(...all) {{ super(...all); sockets += 1; }} }};
            globalThis.send = connect({{
                url: {}, token: async () => {}, onFrame: (frame) => told.push(frame), onStop: (code) => {{ stopped = code; }},
            }});
        }})()",
        json!(proxy.url(&world.url(0))),
        json!(token("dave", "demo", "page")),
    );
    browser.value(page, &begin).await;
    eventually!(browser.value(page, TOLD).await, |told| told["infos"].as_array().is_some_and(|infos| infos.len() == 1));
    tell(1).await;
    let before = eventually!(browser.value(page, TOLD).await, |told| told["numbers"] == json!([1]));
    browser.value(page, "send({ id: 'mine', endpoint: 'testVersionNotSupported' })").await;
    let answered = "told.some((f) => f.id === 'mine' && f.error.code === 426)";
    eventually!(browser.value(page, answered).await, |answered| *answered == true);

    proxy.set(Fault { is_frozen: true, ..Fault::default() });
    tell(2).await;
    tell(3).await;
    // Nobody has closed anything: that nothing comes is all that there is to be noticed.
    let noticed = eventually!(browser.value(page, TOLD).await, |told| told["sockets"] == 2);
    assert_eq!(noticed["numbers"], json!([1]), "{noticed}");
    proxy.heal();
    eventually!(browser.value(page, TOLD).await, |told| told["numbers"]
        .as_array()
        .is_some_and(|numbers| numbers.len() >= 3));
    tell(4).await;
    let back = eventually!(browser.value(page, TOLD).await, |told| told["numbers"]
        .as_array()
        .unwrap_or(&vec![])
        .contains(&json!(4)));
    assert_eq!(back["numbers"], json!([1, 2, 3, 4]), "each once, in order: {back}");
    assert_eq!(back["infos"].as_array().and_then(|infos| infos.last()), Some(&before["last"]), "{back}");
    assert_eq!(back["stopped"], Value::Null, "{back}");

    let newer = stack.connect_as(0, "dave", "demo", "page").let_in().await;
    eventually!(browser.value(page, TOLD).await, |told| told["stopped"] == 4501);
    newer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_chromium_is_let_in_refused_and_comes_back() {
    let port = serve_pages().await;
    let (page, other) = (format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}"));
    let mut world = World::start(&page).await;
    let playwright = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("browser");
    let mut browser = Browser::chromium(&playwright.join("node_modules/playwright-core/index.mjs"));

    is_let_in_and_refused(&mut world, &mut browser, &page).await;
    // A page without any token, and without a subprotocol, is a page all the same.
    let none = world.upgrade(&mut browser, &page, 0, &[]).await;
    assert_eq!((&none["opened"], &none["protocol"], &none["code"]), (&json!(true), &json!(""), &json!(4503)), "{none}");

    // Only the one is listed; the same machine by another name is another origin.
    let alice = offer(&token("alice", "demo", "page"));
    let alice = alice.each_ref().map(String::as_str);
    let refused = world.upgrade(&mut browser, &other, 1, &alice).await;
    assert_eq!((&refused["opened"], &refused["code"]), (&json!(false), &json!(1006)), "{refused}");
    let call = format!("call({}, {}, 'testVersionNotSupported')", json!(world.url(1)), json!(alice));
    assert_eq!(browser.value(&page, &call).await["frames"][0]["event"], "user_info");

    let mut owner = world.stack.client(0, "bob").await;
    let session = crate::social::create(&mut owner, crate::social::yoga(None), json!([])).await;
    let id = session["id"].as_str().expect("an id");
    let bearer = json!({"Authorization": format!("Bearer {}", token("bob", "demo", "fetch"))});
    for (gateway, from, is_allowed) in [(0, &page, true), (0, &other, true), (1, &page, true), (1, &other, false)] {
        let address = world.stack.gateways[gateway].public;
        let url = json!(format!("http://{address}/api/v0/resource/sessionInvitation/{id}"));
        let with = browser.value(from, &format!("read({url}, {bearer})")).await;
        let without = browser.value(from, &format!("read({url}, {{}})")).await;
        if is_allowed {
            assert_eq!(with["status"], 200, "{gateway} {from}: {with}");
            assert!(with["text"].as_str().is_some_and(|text| text.contains("SUMMARY:Yoga")), "{with}");
            assert_eq!(without["status"], 401, "{gateway} {from}: {without}");
            assert!(without["text"].as_str().is_some_and(|text| text.contains(r#""code":401"#)), "{without}");
        } else {
            assert_eq!((&with["refused"], &without["refused"]), (&json!("TypeError"), &json!("TypeError")), "{with}");
        }
    }

    notices_a_silent_loss_and_misses_nothing(&world, &mut browser, &page).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_own_websocket_is_let_in_refused_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, text) in [
        ("client.mjs", client()),
        ("tries.mjs", tries()),
        ("page.mjs", "export * from './client.mjs';\nexport * from './tries.mjs';\n".to_owned()),
    ] {
        std::fs::write(folder.path().join(file), text).expect("written");
    }
    let page = folder.path().join("page.mjs").display().to_string();
    let mut world = World::start("https://app.example").await;
    let mut browser = Browser::node();

    is_let_in_and_refused(&mut world, &mut browser, &page).await;
    // It sends no Origin: without a subprotocol it is answered by the status, which it does not tell.
    let none = world.upgrade(&mut browser, &page, 0, &[]).await;
    assert_eq!((&none["opened"], &none["code"]), (&json!(false), &json!(1006)), "{none}");

    notices_a_silent_loss_and_misses_nothing(&world, &mut browser, &page).await;
}
