//! The server's half of the simulator's protocol, in front of swtpm: commands go to its data
//! channel, signals and localities to its control channel. It keeps every octet that a client sends.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use touchstone_peers::Swtpm;
use touchstone_tpm2::transport::{Control, Stream};
use touchstone_tpm2::{Locality, MAX_MESSAGE, Transport};

type Unix = std::os::unix::net::UnixStream;

/// What clients sent: to the port of the commands, and to the platform's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) commands: Vec<u8>,
    pub(crate) platform: Vec<u8>,
    /// Connections that ended.
    pub(crate) ended: u32,
}

/// A simulator as far as its clients can tell.
pub(crate) struct Bridge {
    pub(crate) port: u16,
    sent: Arc<Mutex<Sent>>,
    /// Ends with the bridge; the threads that serve end with the test's process.
    _swtpm: Swtpm,
}

struct Board {
    /// Opened with the first power: swtpm serves one data connection at a time.
    data: Option<Stream<Unix>>,
    control: Control<Unix>,
    powered: bool,
    socket: PathBuf,
}

impl Bridge {
    pub(crate) fn start() -> Self {
        let swtpm = Swtpm::bare();
        let control = Control::unix(swtpm.control_socket()).unwrap();
        let socket = swtpm.socket().to_owned();
        let board = Arc::new(Mutex::new(Board { data: None, control, powered: false, socket }));
        let sent = Arc::<Mutex<Sent>>::default();
        let (commands, platform) = ports();
        let port = commands.local_addr().unwrap().port();
        serve(commands, &board, &sent, |sent| &mut sent.commands, Board::command);
        serve(platform, &board, &sent, |sent| &mut sent.platform, Board::signal);
        Self { port, sent, _swtpm: swtpm }
    }

    /// What was sent since this was last asked, once that many connections have ended.
    pub(crate) fn sent(&self, ended: u32) -> Sent {
        for _ in 0..3000 {
            let mut sent = self.sent.lock().unwrap();
            if sent.ended >= ended {
                return std::mem::take(&mut sent);
            }
            drop(sent);
            thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("no client ended its session: {:?}", self.sent.lock().unwrap());
    }
}

fn ports() -> (TcpListener, TcpListener) {
    loop {
        let commands = TcpListener::bind("127.0.0.1:0").unwrap();
        let next = commands.local_addr().unwrap().port().wrapping_add(1);
        if let Ok(platform) = TcpListener::bind(("127.0.0.1", next)) {
            return (commands, platform);
        }
    }
}

/// A client's stream, whose octets are kept.
struct Kept<'a> {
    stream: TcpStream,
    sent: &'a Mutex<Sent>,
    keep: fn(&mut Sent) -> &mut Vec<u8>,
}

impl Kept<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut octets = [0; N];
        self.stream.read_exact(&mut octets)?;
        (self.keep)(&mut self.sent.lock().unwrap()).extend(octets);
        Ok(octets)
    }

    fn word(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    fn answer(&mut self, word: u32) -> Result<()> {
        self.stream.write_all(&word.to_be_bytes())
    }
}

/// Serves one message; false ends the session.
type Serve = fn(&mut Board, u32, &mut Kept<'_>) -> Result<bool>;

fn serve(
    listener: TcpListener,
    board: &Arc<Mutex<Board>>,
    sent: &Arc<Mutex<Sent>>,
    keep: fn(&mut Sent) -> &mut Vec<u8>,
    one: Serve,
) {
    let (board, sent) = (Arc::clone(board), Arc::clone(sent));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut kept = Kept { stream: stream.unwrap(), sent: &sent, keep };
            // The other client just goes away; the end of a session is told by ours.
            while let Ok(number) = kept.word() {
                if !one(&mut board.lock().unwrap(), number, &mut kept).unwrap_or(false) {
                    break;
                }
            }
            sent.lock().unwrap().ended += 1;
        }
    });
}

impl Board {
    fn command(&mut self, number: u32, client: &mut Kept<'_>) -> Result<bool> {
        match number {
            8 => {}
            20 => return Ok(false),
            other => panic!("command port: {other}"),
        }
        let [locality] = client.take()?;
        let len = client.word()? as usize;
        assert!(len <= MAX_MESSAGE, "a command of {len} octets");
        let mut command = Vec::new();
        for _ in 0..len {
            command.extend(client.take::<1>()?);
        }
        self.control.set_locality(Locality::from_number(locality).unwrap()).unwrap();
        let data = self.data.as_mut().expect("a command before power");
        let mut response = vec![0; MAX_MESSAGE];
        let len = data.transact(&command, &mut response).unwrap();
        client.answer(u32::try_from(len).unwrap())?;
        client.stream.write_all(&response[..len])?;
        client.answer(0)?;
        Ok(true)
    }

    fn signal(&mut self, number: u32, client: &mut Kept<'_>) -> Result<bool> {
        match number {
            1 if !self.powered => {
                self.control.init().unwrap();
                self.powered = true;
                let socket = &self.socket;
                self.data.get_or_insert_with(|| Stream::unix(socket).unwrap());
            }
            2 if self.powered => {
                self.control.stop().unwrap();
                self.powered = false;
            }
            9 => self.control.cancel().unwrap(),
            20 => return Ok(false),
            // Already so, or nothing that swtpm has.
            1 | 2 | 10 | 11 => {}
            // What swtpm cannot do is refused, as the simulator refuses what it does not know.
            _ => {
                client.answer(1)?;
                return Ok(true);
            }
        }
        client.answer(0)?;
        Ok(true)
    }
}
