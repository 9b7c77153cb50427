//! A mail server on loopback: it keeps what it is given, and refuses or keeps silent when it is told to.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use mail_parser::{MessageParser, MimeHeaders as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

use crate::servers::free_port;

/// What the server does with a mail instead of taking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Answers RCPT with this line, such as `550 5.1.1 no such user`.
    Refuse(String),
    /// Takes the mail and keeps it, but never says so.
    Silence,
    /// Takes the mail and keeps it, and says so only when it is told to: see [`MailServer::release`].
    Hold,
    /// Breaks the connection after the mail was sent, without keeping it.
    Break,
}

/// A mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Of the envelope.
    pub from: String,
    /// Of the envelope.
    pub to: Vec<String>,
    /// As it was sent.
    pub raw: String,
}

/// The server.
#[derive(Debug)]
pub struct MailServer {
    /// Where it listens, whenever it does.
    pub address: SocketAddr,
    state: Arc<State>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct State {
    mails: Mutex<Vec<Mail>>,
    troubles: Mutex<VecDeque<Trouble>>,
    attempts: AtomicUsize,
    /// Mails of [`Trouble::Hold`] that may be answered.
    released: Semaphore,
    is_ascii_only: AtomicBool,
}

impl MailServer {
    /// A server that is not there yet.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn stopped() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a free port")));
        let state = State {
            mails: Mutex::default(),
            troubles: Mutex::default(),
            attempts: AtomicUsize::new(0),
            released: Semaphore::new(0),
            is_ascii_only: AtomicBool::new(false),
        };
        Self { address, state: Arc::new(state), task: Mutex::default() }
    }

    /// A server that listens.
    ///
    /// # Panics
    /// As [`MailServer::stopped`].
    pub async fn start() -> Self {
        let server = Self::stopped();
        server.resume().await;
        server
    }

    /// Listens from now on.
    ///
    /// # Panics
    /// When somebody else has its port.
    pub async fn resume(&self) {
        let listener = TcpListener::bind(self.address).await.expect("its port");
        let state = self.state.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Whoever goes away in the middle has sent nothing.
                tokio::spawn(converse(socket, state.clone()));
            }
        });
        *self.task.lock().expect("no panic") = Some(task);
    }

    /// How workers reach it.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// What the next mail meets; several are met in order.
    ///
    /// # Panics
    /// Never.
    pub fn expect(&self, trouble: Trouble) {
        self.state.troubles.lock().expect("no panic").push_back(trouble);
    }

    /// Answers one mail that is held, or the next one that will be.
    pub fn release(&self) {
        self.state.released.add_permits(1);
    }

    /// Knows no SMTPUTF8 from now on, and refuses what needs it.
    pub fn take_ascii_only(&self) {
        self.state.is_ascii_only.store(true, Ordering::Relaxed);
    }

    /// How many mails were begun.
    pub fn attempts(&self) -> usize {
        self.state.attempts.load(Ordering::Relaxed)
    }

    /// What was taken so far.
    ///
    /// # Panics
    /// Never.
    pub fn mails(&self) -> Vec<Mail> {
        self.state.mails.lock().expect("no panic").clone()
    }

    /// Of that, what is for an address.
    pub fn mails_to(&self, address: &str) -> Vec<Mail> {
        self.mails().into_iter().filter(|mail| mail.to == [address]).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        if let Ok(Some(task)) = self.task.get_mut().map(Option::take) {
            task.abort();
        }
    }
}

impl Mail {
    /// As a mail library reads it.
    ///
    /// # Panics
    /// When it is no mail.
    pub fn parsed(&self) -> mail_parser::Message<'_> {
        MessageParser::default().parse(&self.raw).expect("a mail")
    }

    /// The METHOD that its part `text/calendar` is said to have, and that part without folds.
    ///
    /// # Panics
    /// When there is no such part.
    pub fn calendar(&self) -> (String, String) {
        let parsed = self.parsed();
        let of = |part: &&mail_parser::MessagePart<'_>| {
            part.content_type().is_some_and(|kind| kind.ctype() == "text" && kind.subtype() == Some("calendar"))
        };
        let part = parsed.parts.iter().find(of).expect("a calendar");
        let method = part.content_type().and_then(|kind| kind.attribute("method")).expect("a method").to_owned();
        (method, part.text_contents().expect("a text").replace("\r\n ", ""))
    }

    /// The link in its text.
    ///
    /// # Panics
    /// When there is none.
    pub fn link(&self) -> String {
        let parsed = self.parsed();
        let text = parsed.body_text(0).expect("a text");
        text.lines().find(|line| line.starts_with("http")).expect("a link").trim().to_owned()
    }

    /// The token in that.
    ///
    /// # Panics
    /// When there is none.
    pub fn token(&self) -> String {
        self.link().split_once("?invitation=").expect("a token").1.to_owned()
    }
}

/// One connection, as RFC 5321 has it.
async fn converse(socket: TcpStream, state: Arc<State>) -> Option<()> {
    let (reading, mut writing) = socket.into_split();
    let mut lines = BufReader::new(reading).lines();
    writing.write_all(b"220-mail.test\r\n220 ready\r\n").await.ok()?;
    let (mut from, mut to, mut trouble) = (String::new(), Vec::new(), None);
    while let Some(line) = lines.next_line().await.ok()? {
        let command = line.to_ascii_uppercase();
        let answer = if command.starts_with("EHLO") {
            let known = if state.is_ascii_only.load(Ordering::Relaxed) { "" } else { "250-SMTPUTF8\r\n" };
            format!("250-mail.test\r\n{known}250 8BITMIME")
        } else if !line.is_ascii() && state.is_ascii_only.load(Ordering::Relaxed) {
            "553 5.6.7 no SMTPUTF8".to_owned()
        } else if command.starts_with("MAIL FROM:") {
            from = address(&line);
            to.clear();
            state.attempts.fetch_add(1, Ordering::Relaxed);
            trouble = state.troubles.lock().expect("no panic").pop_front();
            "250 ok".to_owned()
        } else if command.starts_with("RCPT TO:") {
            match &trouble {
                Some(Trouble::Refuse(answer)) => answer.clone(),
                _ => {
                    to.push(address(&line));
                    "250-ok\r\n250 go on".to_owned()
                }
            }
        } else if command == "DATA" {
            writing.write_all(b"354 go on\r\n").await.ok()?;
            let mut raw = String::new();
            loop {
                let line = lines.next_line().await.ok()??;
                if line == "." {
                    break;
                }
                raw.push_str(line.strip_prefix('.').unwrap_or(&line));
                raw.push_str("\r\n");
            }
            if trouble == Some(Trouble::Break) {
                return None;
            }
            state.mails.lock().expect("no panic").push(Mail { from: from.clone(), to: to.clone(), raw });
            if trouble == Some(Trouble::Hold) {
                state.released.acquire().await.ok()?.forget();
            }
            if trouble == Some(Trouble::Silence) {
                // Until the other side goes.
                while lines.next_line().await.ok()?.is_some() {}
                return None;
            }
            "250-taken\r\n250 thank you".to_owned()
        } else if command == "QUIT" {
            writing.write_all(b"221 bye\r\n").await.ok()?;
            return Some(());
        } else {
            "250 ok".to_owned()
        };
        writing.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
    Some(())
}

fn address(line: &str) -> String {
    let start = line.find('<').map_or(0, |place| place + 1);
    let end = line.find('>').unwrap_or(line.len());
    line[start..end].to_owned()
}
