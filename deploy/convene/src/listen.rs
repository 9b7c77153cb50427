//! `convene listen`: every pushed event, one a line, in short unless it is asked for whole, over as many connections as it
//! takes.
//!
//! It connects again as the wire contract tells clients to: after a random pause that doubles and falls back only after a
//! `user_info`, with the id of the last event that was seen, and not at all where the close code says so.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use rand::Rng as _;
use tokio::time::sleep;

use crate::{
    brief,
    client::{Client, Connection, Ended, Frame, Refusal},
    json, note, say,
    settings::Listen,
};

/// The longest first pause, and the longest of all.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The shortest pause after a pod said that it is full.
const PAUSE_WHEN_FULL: Duration = Duration::from_secs(30);

/// Prints events until it may not connect again.
///
/// # Errors
/// Why it may not, or can not.
pub async fn run(settings: &Listen) -> Result<ExitCode> {
    let client = Client::new(&settings.target)?;
    let mut last_event_id = settings.last_event_id.clone();
    let mut pauses = Pauses::default();
    let mut has_connected = false;
    loop {
        let at_least = match client.connect(last_event_id.as_deref()).await {
            Ok(mut connection) => {
                has_connected = true;
                let shown = if settings.full { json::compact } else { brief::frame };
                let ended = print_events(&mut connection, shown, &mut last_event_id, &mut pauses).await?;
                let next = Next::after(ended.code, client.can_renew_its_token());
                note(&format!("{}: {ended}", client.url()));
                match next {
                    Next::Stop => bail!("the gateway does not want this client back: {ended}"),
                    Next::Again { after, keeps_its_place } => {
                        if !keeps_its_place {
                            last_event_id = None;
                        }
                        after
                    }
                }
            }
            Err(Refusal::Answered { status: 503, message, retry_after }) => {
                note(&format!("{}: answered 503 {message}", client.url()));
                retry_after.unwrap_or_default()
            }
            Err(refusal @ Refusal::Away(_)) if has_connected => {
                note(&format!("{}: {refusal}", client.url()));
                Duration::ZERO
            }
            // Also where nobody answers the very first attempt: most likely the address is wrong.
            Err(refusal) => return Err(client.refused(&refusal)),
        };
        let pause = pauses.next().max(at_least);
        note(&format!("connecting again in {:.1} s", pause.as_secs_f64()));
        sleep(pause).await;
    }
}

async fn print_events(
    connection: &mut Connection,
    shown: fn(&str) -> String,
    last_event_id: &mut Option<String>,
    pauses: &mut Pauses,
) -> Result<Ended> {
    loop {
        let text = match connection.next().await {
            Ok(text) => text,
            Err(ended) => return Ok(ended),
        };
        let frame = Frame::read(&text)?;
        let Some(event) = frame.event else { continue };
        if event == "user_info" {
            *pauses = Pauses::default();
        }
        say(&shown(&text));
        // After the line, so that what was not printed is sent again.
        if let Some(id) = frame.event_id.or(frame.last_event_id) {
            *last_event_id = Some(id);
        }
    }
}

/// What the wire contract says to do after a close.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Stop,
    Again { after: Duration, keeps_its_place: bool },
}

impl Next {
    fn after(code: Option<u16>, can_renew_its_token: bool) -> Self {
        let again = Self::Again { after: Duration::ZERO, keeps_its_place: true };
        match code {
            Some(4001) => Self::Again { after: Duration::ZERO, keeps_its_place: false },
            Some(4013) => Self::Again { after: PAUSE_WHEN_FULL, keeps_its_place: true },
            Some(4503) if can_renew_its_token => again,
            Some(4500..=4999 | 1002 | 1003 | 1007 | 1009) => Self::Stop,
            _ => again,
        }
    }
}

/// Random pauses of at most 5 s, then 10, 20, 40, 60.
#[derive(Debug)]
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(PAUSE)
    }
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = self.0.mul_f64(rand::rng().random());
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_decide_whether_and_where_it_goes_on() {
        let again = |after, keeps_its_place| Next::Again { after, keeps_its_place };
        for (code, next) in [
            (None, again(Duration::ZERO, true)),
            (Some(1012), again(Duration::ZERO, true)),
            (Some(4008), again(Duration::ZERO, true)),
            (Some(4001), again(Duration::ZERO, false)),
            (Some(4013), again(PAUSE_WHEN_FULL, true)),
            (Some(4500), Next::Stop),
            (Some(4501), Next::Stop),
            (Some(4502), Next::Stop),
            (Some(4503), Next::Stop),
            (Some(1002), Next::Stop),
            (Some(1003), Next::Stop),
            (Some(1007), Next::Stop),
            (Some(1009), Next::Stop),
        ] {
            assert_eq!(Next::after(code, false), next, "{code:?}");
        }
        assert_eq!(Next::after(Some(4503), true), again(Duration::ZERO, true));
        assert_eq!(Next::after(Some(4501), true), Next::Stop);
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let mut pauses = Pauses::default();
        for longest in [5, 10, 20, 40, 60, 60] {
            assert_eq!(pauses.0, Duration::from_secs(longest));
            assert!(pauses.next() <= Duration::from_secs(longest));
        }
    }
}
