//! The hand on the device: a root shell and a way for files, over two virtio ports. The rig uses it
//! as the engineer's console, and as the attacker's.
//! What this is not: part of the product; nothing that is tested depends on it.

use crate::tools;
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a command on the device came to.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its exit status; 143 or 137 when it was stopped at its time limit.
    pub status: i32,
    /// What it wrote to standard output and standard error.
    pub output: Vec<u8>,
}

impl Said {
    /// The output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// The connection to the device's shell.
pub(crate) struct Hand {
    shell: UnixStream,
    data: UnixStream,
    next: u32,
    unread: Vec<u8>,
}

/// How long the device may take beyond a command's own limit: emulation is slow, machines are busy.
const GRACE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const LIMIT: usize = 64 << 20;

impl Hand {
    /// Connects to QEMU's ends of the two ports.
    pub(crate) fn connect(shell: &Path, data: &Path) -> Result<Self> {
        let (shell, data) = (UnixStream::connect(shell)?, UnixStream::connect(data)?);
        data.set_write_timeout(Some(GRACE))?;
        data.set_read_timeout(Some(GRACE))?;
        shell.set_write_timeout(Some(GRACE))?;
        Ok(Self { shell, data, next: 0, unread: Vec::new() })
    }

    /// Runs a script of the device's shell to its end.
    pub(crate) fn run(&mut self, script: &str, limit: Duration) -> Result<Said> {
        let number = self.send(script, limit)?;
        self.answer(number, Instant::now() + limit + GRACE)
            .with_context(|| format!("the device's shell, asked for `{}`", shortened(script)))
    }

    /// Writes a file on the device, completely or not at all.
    pub(crate) fn push(&mut self, content: &[u8], path: &str, executable: bool) -> Result<()> {
        let (path, len) = (quoted(path), content.len());
        // What comes is taken in any case: else the next file would start with it.
        let mode = if executable { "755" } else { "644" };
        let script = format!(
            "t={path}.part; if mkdir -p \"$(dirname {path})\" && : >\"$t\"; then \
             head -c {len} </run/rig.data >\"$t\" && [ \"$(wc -c <\"$t\")\" = {len} ] && \
             chmod {mode} \"$t\" && sync && mv \"$t\" {path}; \
             else head -c {len} </run/rig.data >/dev/null; false; fi"
        );
        let limit = Duration::from_secs(30);
        let number = self.send(&script, limit)?;
        self.data.write_all(content).context("the device does not take the file")?;
        let said = self.answer(number, Instant::now() + limit + GRACE)?;
        ensure!(said.status == 0, "{path} was not written on the device: {}", said.text());
        Ok(())
    }

    /// Reads a file of the device, also one of a pseudo file system that has no size.
    pub(crate) fn pull(&mut self, path: &str) -> Result<Vec<u8>> {
        let script = format!("cat {} >/run/rig.pull && wc -c </run/rig.pull", quoted(path));
        let said = self.run(&script, GRACE)?;
        ensure!(said.status == 0, "{path} cannot be read on the device: {}", said.text());
        let len: usize = said.text().trim().parse().context("an odd file size")?;
        ensure!(len <= LIMIT, "{path} is too long: {len} bytes");
        let number = self.send("cat /run/rig.pull >/run/rig.data; rm /run/rig.pull", GRACE)?;
        let mut content = vec![0; len];
        self.data.read_exact(&mut content).with_context(|| format!("{path} was cut short"))?;
        self.answer(number, Instant::now() + GRACE)?;
        Ok(content)
    }

    /// The script travels as a file, so that nothing in it can upset the shell that reads it; the
    /// answer says how long it is.
    fn send(&mut self, script: &str, limit: Duration) -> Result<u32> {
        self.next += 1;
        let mut octal = String::with_capacity(script.len() * 5);
        for byte in script.bytes() {
            write!(octal, "\\0{byte:03o}")?;
        }
        let (number, seconds) = (self.next, limit.as_secs().max(1));
        let request = format!(
            "printf %b '{octal}' >/run/rig.sh; \
             timeout -s KILL {seconds} sh /run/rig.sh >/run/rig.out 2>&1 </dev/null; \
             printf 'RIG %d %d %d\\n' {number} $? $(wc -c </run/rig.out); cat /run/rig.out\n"
        );
        self.shell.write_all(request.as_bytes()).context("the device's shell does not listen")?;
        Ok(number)
    }

    /// Reads answers up to the one with this number; older ones belong to commands given up.
    fn answer(&mut self, number: u32, deadline: Instant) -> Result<Said> {
        loop {
            let header = self.line(deadline)?;
            let mut words = header.split(' ');
            let (tag, mut rest) = (words.next(), words.map(str::parse::<i64>));
            let (Some("RIG"), Some(Ok(seen)), Some(Ok(status)), Some(Ok(len))) =
                (tag, rest.next(), rest.next(), rest.next())
            else {
                bail!("the device's shell said `{}`", shortened(&header));
            };
            let len = usize::try_from(len).ok().filter(|len| *len <= LIMIT);
            let output = self.bytes(len.context("an answer without end")?, deadline)?;
            if seen == i64::from(number) {
                return Ok(Said { status: i32::try_from(status)?, output });
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.read_more(deadline)?;
        }
    }

    fn bytes(&mut self, len: usize, deadline: Instant) -> Result<Vec<u8>> {
        while self.unread.len() < len {
            self.read_more(deadline)?;
        }
        Ok(self.unread.drain(..len).collect())
    }

    fn read_more(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no answer in time");
        self.shell.set_read_timeout(Some(left))?;
        let mut buf = [0; 16_384];
        let read = match self.shell.read(&mut buf) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("no answer in time")
            }
            other => other?,
        };
        ensure!(read > 0, "the device is off");
        self.unread.extend(buf.iter().take(read));
        Ok(())
    }
}

/// A word for the shell, whatever is in it.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn shortened(text: &str) -> String {
    let start = tools::tail(text.as_bytes(), 200);
    if text.len() > 200 { format!("...{start}") } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word() {
        let word = "it's $(a) \"trap\"";
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted(word))])
            .output()
            .unwrap();
        assert_eq!(output.stdout, word.as_bytes());
    }

    /// The device's side of the conversation, played by the host's busybox.
    #[test]
    fn an_answer_given_up_is_not_taken_for_the_next() {
        let (shell, mut device) = UnixStream::pair().unwrap();
        let (data, _other) = UnixStream::pair().unwrap();
        let mut hand = Hand { shell, data, next: 0, unread: Vec::new() };
        let first = hand.send("slow", Duration::from_secs(1)).unwrap();
        assert!(hand.answer(first, Instant::now() + Duration::from_millis(20)).is_err());
        let second = hand.send("quick", Duration::from_secs(1)).unwrap();
        device.write_all(b"RIG 1 0 9\nRIG 2 0 0RIG 2 3 2\nno").unwrap();
        let said = hand.answer(second, Instant::now() + Duration::from_secs(5)).unwrap();
        assert_eq!((said.status, said.text().as_str()), (3, "no"));
    }
}
