//! Feeding the directory in: cuts a body of any length into chunks of lines and has workers apply them in order.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::{Buf as _, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use shared::{
    api::{Code, Error},
    internal::{ApplyLines, LineError},
};

use crate::workers::Workers;

/// So many bad lines are told; more are only not applied.
const MAX_TOLD_ERRORS: usize = 1000;

/// A chunk that nobody could take is tried again for about so long. Applying lines twice does no harm.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of an import.
#[derive(Debug, Default, Serialize)]
pub struct Import {
    applied: u64,
    errors: Vec<LineError>,
    /// Why it ended before the body did.
    #[serde(skip)]
    broken: Option<Error>,
}

/// Applies the lines of a body. Holds one chunk at a time.
pub async fn import(workers: &Workers, body: Body) -> Import {
    let mut import = Import::default();
    let mut lines = Lines::default();
    let mut body = body.into_data_stream().map_err(|error| error.to_string());
    loop {
        let is_end = match body.next().await {
            Some(Ok(bytes)) => {
                lines.unread.extend_from_slice(&bytes);
                false
            }
            Some(Err(error)) => {
                import.broken = Some(Error::new(Code::BadRequest, format!("the body broke off: {error}")));
                return import;
            }
            None => true,
        };
        while let Some(chunk) = lines.next_chunk(is_end) {
            if let Err(error) = import.apply(workers, chunk).await {
                import.broken = Some(error);
                return import;
            }
        }
        if is_end {
            return import;
        }
    }
}

impl Import {
    async fn apply(&mut self, workers: &Workers, chunk: Chunk) -> Result<(), Error> {
        for line in chunk.unreadable {
            self.tell(line);
        }
        if chunk.lines.is_empty() {
            return Ok(());
        }
        let (numbers, lines) = chunk.lines.into_iter().unzip::<u64, String, Vec<_>, Vec<_>>();
        let request = ApplyLines { lines };
        let begun = tokio::time::Instant::now();
        let applied = loop {
            match workers.ask(&request).await {
                Ok(applied) => break applied,
                Err(error)
                    if matches!(error.code, Code::Unavailable | Code::DeadlineExceeded)
                        && begun.elapsed() < PATIENCE =>
                {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => return Err(error),
            }
        };
        self.applied += applied.applied;
        for error in applied.errors {
            let number = (error.line as usize).checked_sub(1).and_then(|index| numbers.get(index));
            self.tell(LineError { line: number.copied().unwrap_or_default(), message: error.message });
        }
        Ok(())
    }

    fn tell(&mut self, error: LineError) {
        if self.errors.len() < MAX_TOLD_ERRORS {
            self.errors.push(error);
        }
    }
}

impl IntoResponse for Import {
    fn into_response(self) -> Response {
        match &self.broken {
            None => Json(self).into_response(),
            Some(error) => {
                let status = StatusCode::from_u16(error.code.number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let error = serde_json::json!({"status": true, "code": error.code.number(), "message": error.message});
                let body = serde_json::json!({"applied": self.applied, "errors": self.errors, "error": error});
                (status, Json(body)).into_response()
            }
        }
    }
}

/// Lines with their numbers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chunk {
    lines: Vec<(u64, String)>,
    unreadable: Vec<LineError>,
}

/// What of the body was not applied yet: less than a chunk, and what the last read brought.
#[derive(Debug, Default)]
struct Lines {
    unread: BytesMut,
    /// The number of the line that `unread` begins with, from 0.
    number: u64,
    /// The line that `unread` begins with is too long, was told so, and its rest is passed over.
    is_skipping: bool,
}

impl Lines {
    /// The next chunk: a full one, or at the end what is left. `None` when more must be read first.
    fn next_chunk(&mut self, is_end: bool) -> Option<Chunk> {
        // Lines that arrive one by one are still applied many at a time.
        if !is_end && self.unread.len() < ApplyLines::MOST_BYTES {
            return None;
        }
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        loop {
            let end = self.unread.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(self.unread.len());
            if self.is_skipping || length > ApplyLines::MOST_BYTES {
                if !self.is_skipping {
                    let message = format!("is longer than {} bytes", ApplyLines::MOST_BYTES);
                    chunk.unreadable.push(LineError { line: self.number + 1, message });
                }
                self.is_skipping = end.is_none();
                self.consume(length, end.is_some());
            } else if end.is_none() && !(is_end && length > 0) {
                break;
            } else if bytes + length > ApplyLines::MOST_BYTES || chunk.lines.len() == ApplyLines::MOST_LINES {
                return Some(chunk);
            } else {
                let number = self.number + 1;
                match read(&self.unread[..length]) {
                    Ok(line) if line.trim().is_empty() => (),
                    Ok(line) => chunk.lines.push((number, line.to_owned())),
                    Err(message) => chunk.unreadable.push(LineError { line: number, message: message.to_owned() }),
                }
                bytes += length;
                self.consume(length, end.is_some());
            }
            if self.unread.is_empty() {
                break;
            }
        }
        let is_empty = chunk.lines.is_empty() && chunk.unreadable.is_empty();
        (!is_empty).then_some(chunk)
    }

    fn consume(&mut self, length: usize, has_newline: bool) {
        self.unread.advance(length + usize::from(has_newline));
        self.number += u64::from(has_newline);
    }
}

/// A line's text. Editors put a byte order mark before the first; of files that were put together others begin with one.
fn read(line: &[u8]) -> Result<&str, &'static str> {
    const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
    match std::str::from_utf8(line) {
        Ok(line) => Ok(line.strip_prefix('\u{feff}').unwrap_or(line)),
        Err(_) if UTF_16.iter().any(|mark| line.starts_with(mark)) => Err("is UTF-16: write the file as UTF-8"),
        Err(_) => Err("is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a body in pieces of `size` bytes and gathers lines and unreadable line numbers.
    fn cut(body: &[u8], size: usize) -> (Vec<(u64, String)>, Vec<u64>) {
        let (mut all, mut bad) = (Vec::new(), Vec::new());
        let mut lines = Lines::default();
        let mut take = |lines: &mut Lines, is_end| {
            while let Some(chunk) = lines.next_chunk(is_end) {
                assert!(chunk.lines.len() <= ApplyLines::MOST_LINES);
                assert!(chunk.lines.iter().map(|(_, line)| line.len()).sum::<usize>() <= ApplyLines::MOST_BYTES);
                all.extend(chunk.lines);
                bad.extend(chunk.unreadable.into_iter().map(|error| error.line));
            }
        };
        for piece in body.chunks(size) {
            lines.unread.extend_from_slice(piece);
            take(&mut lines, false);
            assert!(lines.unread.len() <= ApplyLines::MOST_BYTES + size, "memory is bounded");
        }
        take(&mut lines, true);
        (all, bad)
    }

    #[test]
    fn lines_keep_their_numbers_however_the_body_arrives() {
        let body = b"a\n\nb\r\n\xff\nc";
        let marked = [b"\xef\xbb\xbf".as_slice(), body].concat();
        for body in [body.as_slice(), &marked] {
            for size in [1, 2, 3, 100] {
                let (lines, bad) = cut(body, size);
                assert_eq!(lines, [(1, "a".into()), (3, "b\r".into()), (5, "c".into())], "{size}");
                assert_eq!(bad, [4], "{size}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_passed_over_in_bounded_memory() {
        let mut body = b"a\n".to_vec();
        body.extend(std::iter::repeat_n(b'x', 3 * ApplyLines::MOST_BYTES));
        body.extend(b"\nb\n");
        let (lines, bad) = cut(&body, 10_000);
        assert_eq!(lines, [(1, "a".into()), (3, "b".into())]);
        assert_eq!(bad, [2]);
    }

    #[test]
    fn chunks_are_bounded_in_lines_and_in_bytes() {
        let many = "x\n".repeat(3 * ApplyLines::MOST_LINES + 1);
        assert_eq!(cut(many.as_bytes(), usize::MAX >> 1).0.len(), 3 * ApplyLines::MOST_LINES + 1);
        let long = format!("{}\n", "x".repeat(ApplyLines::MOST_BYTES / 2 + 1)).repeat(5);
        assert_eq!(cut(long.as_bytes(), 1 << 20).0.len(), 5);
    }

    proptest::proptest! {
        #[test]
        fn a_body_is_the_same_lines_in_whatever_pieces_it_comes(
            body in proptest::collection::vec(proptest::prop_oneof![4 => b' '..=b'~', 2 => proptest::strategy::Just(b'\n'), 1 => 0..=255_u8], 0..400),
            size in 1..50_usize,
        ) {
            let mut expected = (Vec::new(), Vec::new());
            for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
                match std::str::from_utf8(line).map(|line| line.strip_prefix('\u{feff}').unwrap_or(line)) {
                    Ok(line) if line.trim().is_empty() => {}
                    Ok(line) => expected.0.push((number, line.to_owned())),
                    Err(_) => expected.1.push(number),
                }
            }
            proptest::prop_assert_eq!(cut(&body, size), expected);
        }
    }
}
