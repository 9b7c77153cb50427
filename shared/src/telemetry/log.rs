//! What is logged, and how it is written.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::Targets,
    fmt::{self, MakeWriter},
    registry::LookupSpan,
    reload,
};

use super::{TRACE_ONLY, line::OneLine};
use crate::config::LogFormat;

/// What a pod logs unless `RUST_LOG` says otherwise. Of the connection to NATS the bus tells what matters, once; of a
/// collector that does not take traces, their exporter.
pub const DEFAULT_FILTER: &str = "info,async_nats=off";

/// Crates whose every level may be logged: they are ours, and keep tokens, texts and addresses of people out of the log.
const OURS: &[&str] = &["convene", "gateway", "shared", "worker"];

/// Other crates that help at `debug` and say nothing there of what passes through them.
const DEBUGGED: &[&str] = &["async_nats", "hyper", "hyper_util", "rustls", "sqlx"];

/// The filter of this process's one log.
static INSTALLED: Mutex<Option<Handle>> = Mutex::new(None);

/// A log's filter, and what it was made from.
pub(super) struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
    directives: String,
}

impl Handle {
    /// Makes it the one that [`set_log_filter`] changes.
    pub(super) fn install(self) {
        *INSTALLED.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }
}

/// What is logged now, in directives; `None` where nothing is.
pub fn log_filter() -> Option<String> {
    INSTALLED.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|handle| handle.directives.clone())
}

/// Changes what is logged from now on, until it is changed again or the process ends.
///
/// # Errors
/// The text is no filter, or there is no log.
pub fn set_log_filter(directives: &str) -> Result<()> {
    let directives = directives.trim();
    let filter = parse(directives)?;
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = installed.as_mut().context("nothing is logged here")?;
    // Said under the filter that hides less: whoever reads the log must know why it falls silent, or begins to talk.
    tracing::warn!(from = handle.directives, to = directives, "what is logged changes");
    handle.filter.reload(filter)?;
    directives.clone_into(&mut handle.directives);
    Ok(())
}

/// What `RUST_LOG` says, else this.
#[expect(clippy::disallowed_methods, reason = "RUST_LOG is no setting of ours")]
pub(super) fn filter(default: &str) -> Result<(reload::Layer<EnvFilter, Registry>, Handle)> {
    let directives = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let directives = directives.unwrap_or_else(|| default.to_owned());
    let (filter, handle) = reload::Layer::new(parse(&directives).context("RUST_LOG")?);
    Ok((filter, Handle { filter: handle, directives }))
}

fn parse(directives: &str) -> Result<EnvFilter> {
    let filter = EnvFilter::try_new(directives).with_context(|| format!("{directives:?} is no log filter"))?;
    let trace_only = format!("{TRACE_ONLY}=off").parse().expect("a directive");
    Ok(filter.add_directive(trace_only))
}

/// The most that may be logged, whatever the filter asks for. Below these levels libraries write what they carry: lettre the
/// mails with their links, tungstenite frames, async-nats its password and every message.
pub(super) fn caps() -> Targets {
    let levels = |targets: &'static [&str], level| targets.iter().map(move |target| (*target, level));
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets(levels(DEBUGGED, LevelFilter::DEBUG))
        .with_targets(levels(OURS, LevelFilter::TRACE))
}

/// Writes what is logged.
pub(super) fn layer<S, M>(format: LogFormat, writer: M, is_terminal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    M: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let is_coloured = is_terminal && format == LogFormat::Text;
    let layer = fmt::layer().with_writer(OneLine::new(writer, is_coloured));
    match format {
        LogFormat::Text => layer.with_ansi(is_coloured).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

/// Lets a panic be one line of a JSON log, within the spans that it happened in. Elsewhere it stays as Rust writes it, which
/// people read more easily.
pub(super) fn report_panics(format: LogFormat) {
    if format == LogFormat::Json {
        panic::set_hook(Box::new(|panicked| {
            let location = panicked.location().map(ToString::to_string);
            let thread = thread::current().name().map(str::to_owned);
            let payload = panicked.payload_as_str().unwrap_or("something that is no text");
            let backtrace = Backtrace::capture();
            let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
            tracing::error!(location, thread, backtrace, "panicked: {payload}");
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::{env, io, process::Command, sync::Arc};

    use tracing_subscriber::{filter::FilterExt as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

    use super::*;

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no test panicked here").clone()).expect("a log is text")
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panicked here").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged when the text of a stranger stands wherever one can stand.
    fn logged(format: LogFormat, is_terminal: bool, hostile: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let layer = layer(format, move || writer.clone(), is_terminal);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span =
                tracing::info_span!("request", event_id = hostile, shown = %hostile, recorded = tracing::field::Empty);
            span.record("recorded", tracing::field::display(hostile));
            let _entered = span.enter();
            let error = io::Error::other(hostile.to_owned());
            tracing::info!(text = hostile, %error, debug = ?error, "{hostile}");
            tracing::info!("the next");
        });
        written.text()
    }

    const FORGED: &str = "bob\n2030-01-01T00:00:00Z  INFO gateway: forged\r\u{1b}[2J\u{9b}31m\u{85}\u{2028}\0\t\u{7f}\u{1b}]0;title\u{7}";

    #[test]
    fn a_strangers_text_makes_no_line_and_does_nothing_to_a_terminal() {
        for (format, is_terminal) in
            [(LogFormat::Text, false), (LogFormat::Text, true), (LogFormat::Json, false), (LogFormat::Json, true)]
        {
            let log = logged(format, is_terminal, FORGED);
            let lines: Vec<&str> = log.split('\n').collect();
            assert_eq!((lines.len(), lines[2]), (3, ""), "{format:?}: {log}");
            assert!(lines[1].contains("the next"), "{format:?}: {log}");
            assert!(!lines[0].contains("\u{1b}[2J") && !lines[0].contains("\u{1b}]"), "{format:?}: {log:?}");
            let is_own = |c: char| c == '\u{1b}' && is_terminal && format == LogFormat::Text;
            let harmful = |c: char| c.is_control() && !is_own(c) || c == '\u{2028}';
            assert!(!lines[..2].concat().contains(harmful), "{format:?}: {log:?}");
            if format == LogFormat::Json {
                let event: serde_json::Value = serde_json::from_str(lines[0]).expect("JSON");
                assert_eq!(
                    (&event["text"], &event["message"], &event["error"]),
                    (&FORGED.into(), &FORGED.into(), &FORGED.into())
                );
            }
        }
    }

    #[test]
    fn what_is_for_traces_only_is_not_logged_whatever_the_filter_says() {
        for directives in ["info", "trace", "convene::trace=trace"] {
            let written = Written::default();
            let writer = written.clone();
            let layer = layer(LogFormat::Text, move || writer.clone(), false);
            let subscriber =
                tracing_subscriber::registry().with(layer.with_filter(parse(directives).expect("a filter")));
            tracing::subscriber::with_default(subscriber, || {
                tracing::info_span!(target: TRACE_ONLY, "hidden", secret = "hidden")
                    .in_scope(|| tracing::error!("logged"));
            });
            let log = written.text();
            assert!(!log.contains("hidden"), "{directives}: {log}");
            assert_eq!(log.contains("logged"), directives != "convene::trace=trace", "{directives}: {log}");
        }
    }

    #[test]
    fn no_filter_makes_libraries_say_what_passes_through_them() {
        for directives in ["trace", "lettre=trace,tungstenite=trace,async_nats=trace,sqlx=debug,worker=trace"] {
            let written = Written::default();
            let writer = written.clone();
            let layer = layer(LogFormat::Text, move || writer.clone(), false);
            let filter = parse(directives).expect("a filter").and(caps());
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.with_filter(filter)), || {
                tracing::debug!(target: "lettre::transport::smtp", "hidden: a mail");
                tracing::trace!(target: "tungstenite::protocol", "hidden: a frame");
                tracing::trace!(target: "async_nats::connection", "hidden: a message");
                tracing::debug!(target: "of_tomorrow", "hidden: who knows");
                tracing::debug!(target: "sqlx::query", "shown: a statement without its values");
                tracing::trace!(target: "worker::relay", "shown: our own");
            });
            let log = written.text();
            assert!(!log.contains("hidden"), "{directives}: {log}");
            assert_eq!(log.matches("shown").count(), 2, "{directives}: {log}");
        }
    }

    /// Set for the process that is to panic: the hook is of a whole process, so it is not this one.
    const PANICS: &str = "CONVENE_TEST_PANICS";

    #[test]
    #[expect(clippy::disallowed_methods, reason = "no setting of a program")]
    fn a_panic_is_one_line_of_a_json_log_with_what_was_being_done() {
        let name = "telemetry::log::tests::a_panic_is_one_line_of_a_json_log_with_what_was_being_done";
        if env::var(PANICS).is_ok() {
            report_panics(LogFormat::Json);
            let log = layer(LogFormat::Json, io::stderr, false);
            tracing_subscriber::registry().with(log).init();
            let _entered = tracing::info_span!("request", event_id = "e").entered();
            panic!("first\nsecond");
        }
        for backtrace in ["0", "1"] {
            let mut again = Command::new(env::current_exe().expect("this program"));
            again.args(["--exact", name, "--nocapture"]).env(PANICS, "1").env("RUST_BACKTRACE", backtrace);
            let output = again.output().expect("it runs");
            let log = String::from_utf8(output.stderr).expect("text");
            let [line] = log.lines().collect::<Vec<_>>()[..] else { panic!("one line: {log}") };
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!((&event["level"], &event["message"]), (&"ERROR".into(), &"panicked: first\nsecond".into()));
            assert_eq!(event["span"]["event_id"], "e");
            assert!(event["location"].as_str().is_some_and(|place| place.contains("log.rs:")), "{line}");
            assert_eq!(event["backtrace"].is_string(), backtrace == "1", "{line}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_what_it_was() {
        for nonsense in ["info,gateway=loud", "=", "[", "gateway=debug=info"] {
            let error = parse(nonsense).expect_err(nonsense);
            assert!(error.to_string().contains(&format!("{nonsense:?}")), "{error}");
        }
    }
}
