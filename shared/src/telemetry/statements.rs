//! Each SQL statement of a traced request as a span of its trace.
//!
//! sqlx tells of every statement when it is over, in an event of `tracing`. That event, in a request of which a trace is kept,
//! becomes a span that ended just now. So no statement has to be wrapped, and none can be forgotten. Its text names
//! parameters, never their values.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{Layer, filter::dynamic_filter_fn, layer};

/// The target of sqlx's events.
const TARGET: &str = "sqlx::query";

/// So many words of a statement stand for it.
const WORDS: usize = 4;

/// Makes spans from sqlx's events.
pub(super) fn layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    // Only where a trace is kept: to tell of a statement, sqlx copies its text.
    let filter = dynamic_filter_fn(|metadata, _| {
        metadata.target() == TARGET && Context::map_current(|context| context.span().span_context().is_sampled())
    });
    Statements(tracer).with_filter(filter.with_max_level_hint(LevelFilter::DEBUG))
}

struct Statements(SdkTracer);

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        let now = SystemTime::now();
        let text = without_comments(&statement.text);
        let summary = text.split_whitespace().take(WORDS).collect::<Vec<_>>().join(" ");
        let builder = self
            .0
            .span_builder(summary.clone())
            .with_kind(SpanKind::Client)
            .with_start_time(now.checked_sub(statement.elapsed).unwrap_or(now))
            .with_attributes([
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.query.summary", summary),
                KeyValue::new("db.query.text", text),
                KeyValue::new("db.response.returned_rows", statement.rows),
            ]);
        let mut span = Context::map_current(|request| self.0.build_with_context(builder, request));
        span.end_with_timestamp(now);
    }
}

/// What sqlx tells of a statement.
#[derive(Default)]
struct Statement {
    text: String,
    elapsed: Duration,
    rows: i64,
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            // Empty when the summary is all there is.
            "db.statement" if !value.trim().is_empty() => value.clone_into(&mut self.text),
            "summary" if self.text.is_empty() => value.clone_into(&mut self.text),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = i64::try_from(value).unwrap_or(i64::MAX);
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The statement without the lines that explain it, and without their indentation.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_its_first_words_not_by_what_explains_it() {
        let text = "\n\n-- Moves what waits.\n--   $1  partitions\n  SELECT a,\n    b -- both\n  FROM t\n";
        assert_eq!(without_comments(text), "SELECT a,\nb -- both\nFROM t");
    }
}
