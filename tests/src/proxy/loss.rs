//! Loses single messages from what a NATS server writes, and nothing else of it.

use rand::{Rng as _, rngs::StdRng};
use tokio::sync::watch;

use super::Loss;

/// What one connection has passed.
#[derive(Debug)]
pub(super) struct Sieve {
    random: StdRng,
    lost: watch::Sender<u64>,
    /// The beginning of something that has not come whole.
    begun: Vec<u8>,
}

impl Sieve {
    pub(super) fn new(random: StdRng, lost: watch::Sender<u64>) -> Self {
        Self { random, lost, begun: Vec::new() }
    }

    /// What the client is to see of these bytes and those that were held back: everything that has come whole and is not
    /// lost.
    pub(super) fn pass(&mut self, bytes: &[u8], loss: Loss) -> Vec<u8> {
        self.begun.extend_from_slice(bytes);
        let (mut passed, mut at) = (Vec::new(), 0);
        while let Some(frame) = Frame::first_of(&self.begun[at..]) {
            let is_lost = frame.subject.is_some_and(|subject| {
                subject.starts_with(loss.subjects) && self.random.random_ratio(loss.per_mille, 1000)
            });
            if is_lost {
                self.lost.send_modify(|lost| *lost += 1);
            } else {
                passed.extend_from_slice(&self.begun[at..at + frame.bytes]);
            }
            at += frame.bytes;
        }
        self.begun.drain(..at);
        passed
    }
}

/// One thing that the server says.
struct Frame<'a> {
    bytes: usize,
    /// Of a message.
    subject: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// `None` when it has not come whole.
    ///
    /// `MSG <subject> <sid> [reply-to] <bytes>`, `HMSG <subject> <sid> [reply-to] <header bytes> <bytes>`, each with its
    /// body on a line of its own; all else is one line.
    fn first_of(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[..end]).expect("NATS writes text");
        let line_bytes = end + 2;
        let mut words = line.split_ascii_whitespace();
        if !matches!(words.next(), Some("MSG" | "HMSG")) {
            return Some(Self { bytes: line_bytes, subject: None });
        }
        let subject = words.next();
        let body: usize = words.last().and_then(|size| size.parse().ok()).expect("a message has a size");
        let whole = line_bytes + body + 2;
        (bytes.len() >= whole).then_some(Self { bytes: whole, subject })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const SAID: &[u8] =
        b"INFO {}\r\nPING\r\nMSG a.b 1 5\r\nMSG \r\r\nHMSG c 2 _INBOX.1 12 17\r\nNATS/1.0\r\n\r\nhello\r\nPONG\r\n";

    fn passed(loss: Loss, piece: usize) -> (Vec<u8>, u64) {
        let mut sieve = Sieve::new(StdRng::seed_from_u64(1), watch::Sender::default());
        let passed = SAID.chunks(piece).flat_map(|piece| sieve.pass(piece, loss)).collect();
        (passed, *sieve.lost.borrow())
    }

    #[test]
    fn only_messages_are_lost_however_the_bytes_are_cut() {
        for piece in 1..=SAID.len() {
            assert_eq!(passed(Loss::default(), piece), (SAID.to_vec(), 0));
            let all = Loss { per_mille: 1000, subjects: "" };
            assert_eq!(passed(all, piece), (b"INFO {}\r\nPING\r\nPONG\r\n".to_vec(), 2));
            let some = Loss { per_mille: 1000, subjects: "a." };
            let (left, lost) = passed(some, piece);
            assert_eq!((left.len(), lost), (SAID.len() - b"MSG a.b 1 5\r\nMSG \r\r\n".len(), 1));
        }
    }
}
