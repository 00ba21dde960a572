//! The socket where a person lists responses, approves of them and takes them back: in the state
//! folder, for the agent's own user alone. One question and one answer for each connection, as JSON.

use super::journal::Response;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as Stream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// The socket, in the state folder.
pub const SOCKET: &str = "respond.sock";

/// The longest question, in octets.
const LONGEST: usize = 128 << 10;

/// The longest answer.
const LONGEST_ANSWER: u64 = 4 << 20;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// Every response.
    List,
    /// What somebody who approves of a response has to sign.
    Statement {
        /// The response's number.
        id: String,
    },
    /// An approval.
    Approve {
        /// The response's number.
        id: String,
        /// The signed statement, CMS, in Base64.
        approval: String,
    },
    /// Takes a response back.
    Undo {
        /// The response's number, or its token.
        id: String,
    },
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// `touchstone.agent.respond/1`
    pub schema: String,
    /// The device's id, once it is onboarded.
    pub device: Option<String>,
    /// The responses that the question is about.
    pub responses: Vec<Response>,
    /// What has to be signed, as the octets that are signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The stable code.
    pub code: String,
    /// In words.
    pub words: String,
}

/// Who answers.
pub trait Answer: Send + Sync + 'static {
    /// The answer; may take its time.
    fn told(&self, question: Question) -> Told;
}

/// Reads a question.
pub fn question(octets: &[u8]) -> Result<Question, serde_json::Error> {
    serde_json::from_slice(octets)
}

/// Opens the socket where questions about responses are asked.
pub fn bind(folder: &Path) -> io::Result<UnixListener> {
    crate::status::listen(&folder.join(SOCKET))
}

/// Answers whoever connects, one after the other, for as long as the agent runs.
pub async fn serve<A: Answer>(listener: UnixListener, answer: Arc<A>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // One who neither asks nor reads is not waited for.
        drop(tokio::time::timeout(Duration::from_mins(1), one(stream, &answer)).await);
    }
}

async fn one<A: Answer>(mut stream: UnixStream, answer: &Arc<A>) -> io::Result<()> {
    let mut octets = Vec::new();
    (&mut stream).take(LONGEST as u64 + 1).read_to_end(&mut octets).await?;
    let refused = |words: String| Told {
        schema: SCHEMA.to_owned(),
        device: None,
        responses: Vec::new(),
        statement: None,
        refused: Some(Refused { code: "agent.respond.question".to_owned(), words }),
    };
    let told = if octets.len() > LONGEST {
        refused(format!("the question is longer than {LONGEST} octets"))
    } else {
        match question(&octets) {
            Ok(question) => {
                let answer = Arc::clone(answer);
                crate::offloop::off_loop(move || answer.told(question)).await
            }
            Err(error) => refused(format!("the question is not understood: {error}")),
        }
    };
    stream.write_all(&serde_json::to_vec(&told)?).await?;
    stream.shutdown().await
}

/// The schema of answers.
pub const SCHEMA: &str = "touchstone.agent.respond/1";

/// Asks the agent that keeps its state in `folder`.
pub fn ask(folder: &Path, question: &Question) -> Result<Told, crate::status::Error> {
    let path: PathBuf = folder.join(SOCKET);
    let asked = Stream::connect(&path).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        stream.write_all(&serde_json::to_vec(question)?)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut json = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut json)?;
        Ok(json)
    });
    let json =
        asked.map_err(|source| crate::status::Error::NotRunning { path: path.clone(), source })?;
    serde_json::from_slice(&json)
        .map_err(|error| crate::status::Error::NotUnderstood { path, reason: error.to_string() })
}
