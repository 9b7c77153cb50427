//! Keeps an event of the log on one line, whatever texts of strangers it holds.

use std::{borrow::Cow, io};

use tracing_subscriber::fmt::MakeWriter;

/// What the log's layer itself writes to colour a terminal. It escapes the texts of messages, but not all those of fields.
const STYLES: &[&str] = &["[0m", "[1m", "[2m", "[3m", "[31m", "[32m", "[33m", "[34m", "[35m"];

/// Escapes what could end a line, or make a terminal do something, in what it passes on to another writer.
#[derive(Clone, Copy, Debug)]
pub(super) struct OneLine<M> {
    writer: M,
    is_coloured: bool,
}

impl<M> OneLine<M> {
    pub(super) fn new(writer: M, is_coloured: bool) -> Self {
        Self { writer, is_coloured }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = OneLine<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine::new(self.writer.make_writer(), self.is_coloured)
    }
}

impl<W: io::Write> io::Write for OneLine<W> {
    /// The layer writes an event whole, with the end of its line.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        let line = escaped(text, self.is_coloured);
        self.writer.write_all(format!("{line}{end}").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn is_harmful(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// As JSON would write it, so that a line of JSON stays one.
fn escaped(text: &str, is_coloured: bool) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 16);
    for (place, character) in text.char_indices() {
        let rest = &text[place + character.len_utf8()..];
        match character {
            '\u{1b}' if is_coloured && STYLES.iter().any(|style| rest.starts_with(style)) => line.push(character),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            _ if is_harmful(character) => line.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => line.push(character),
        }
    }
    line.into()
}
