//! What pages of other origins may read.

use harness::{Stack, stack::http, token::token};
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

const CALENDAR: &str = "/api/v0/resource/sessionInvitation/none";

/// Status, headers and body.
async fn ask(stack: &Stack, gateway: usize, method: Method, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    let url = format!("http://{}{CALENDAR}", stack.gateways[gateway].public);
    let request =
        headers.iter().fold(http().request(method, url), |request, (name, value)| request.header(*name, *value));
    let response = request.send().await.expect("the gateway answers");
    (response.status().as_u16(), response.headers().clone(), response.text().await.expect("a body"))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("ASCII"))
}

fn code(body: &str) -> Value {
    let mut body: Value = serde_json::from_str(body).expect("JSON");
    body["error"]["code"].take()
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_reads_the_calendar_file_and_its_errors() {
    const APP: &str = "https://app.example";
    let stack = Stack::builder().gateways(2).arg_of_gateway(1, &format!("--allowed-origins={APP},null")).start().await;
    let bearer = format!("Bearer {}", token("alice", "demo", "s"));
    let preflight = ("access-control-request-method", "GET");
    let host = stack.gateways[1].public.to_string();
    let own = format!("https://{host}");
    let (any, listed) = (0, 1);
    for (gateway, origin, readable_by) in [
        (any, Some(APP), Some("*")),
        (any, Some("null"), Some("*")),
        (any, None, Some("*")),
        (listed, Some(APP), Some(APP)),
        (listed, Some("null"), Some("null")),
        (listed, Some(own.as_str()), Some(own.as_str())),
        (listed, Some("https://evil.example"), None),
        (listed, None, None),
    ] {
        let mut headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        let what = format!("{gateway} {origin:?}");
        let vary = (gateway == listed).then_some("Origin");

        headers.push(preflight);
        let (status, answer, body) = ask(&stack, gateway, Method::OPTIONS, &headers).await;
        assert_eq!((status, body.as_str()), (204, ""), "{what}");
        assert_eq!(header(&answer, "access-control-allow-origin"), readable_by, "{what}");
        assert_eq!(header(&answer, "access-control-allow-methods"), readable_by.map(|_| "GET"), "{what}");
        let allowed = readable_by.map(|_| "Authorization, X-Session-Id");
        assert_eq!(header(&answer, "access-control-allow-headers"), allowed, "{what}");
        assert_eq!(header(&answer, "access-control-allow-credentials"), None, "no cookie is ever used");
        assert_eq!(header(&answer, "vary"), vary, "{what}");
        headers.pop();

        // Its errors too: no session, no such file. Pages of other origins are answered, and their browsers keep it from them.
        for (authorization, expected) in [(None, 401), (Some(("authorization", bearer.as_str())), 404)] {
            let headers: Vec<_> = headers.iter().copied().chain(authorization).collect();
            let (status, answer, body) = ask(&stack, gateway, Method::GET, &headers).await;
            assert_eq!((status, code(&body)), (expected, expected.into()), "{what}");
            assert_eq!(header(&answer, "access-control-allow-origin"), readable_by, "{what}");
            assert_eq!(header(&answer, "vary"), vary, "{what}");
            assert_eq!(header(&answer, "access-control-allow-methods"), None, "{what}");
        }
    }
    let (status, answer, _) = ask(&stack, any, Method::POST, &[("origin", APP)]).await;
    assert_eq!((status, header(&answer, "access-control-allow-origin")), (405, Some("*")));
}
