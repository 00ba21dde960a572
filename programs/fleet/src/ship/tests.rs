use super::*;
use crate::config::{Collector, Place, Protocol};
use crate::store::Db;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use touchstone_audit::{Event, Format, Log, Reporter};

const SETTLES: Duration = Duration::from_millis(200);

struct Scene {
    store: Store,
    log: Log,
    path: PathBuf,
    head: watch::Sender<Head>,
    listener: TcpListener,
    dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let (log, _) = Log::open(&path, Arc::new(AwsLc), 1).unwrap();
        let store = Store::start(Db::in_memory("default").unwrap()).unwrap();
        let (head, _) = watch::channel(log.head());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { store, log, path, head, listener, dir }
    }

    fn happen(&mut self, n: u32) {
        let event = Event::new(Code::FlowCut, "default", &format!("device:{n}"));
        self.log.append(u64::from(n), &event).unwrap();
        self.head.send_replace(self.log.head());
    }

    fn start(&self, protocol: Protocol, format: Format) -> watch::Sender<bool> {
        let (end, stop) = watch::channel(false);
        let address = self.listener.local_addr().unwrap().to_string();
        let place = match protocol {
            Protocol::File => Place::File(self.dir.path().join("events")),
            _ => Place::Network { address, path: "/x".into(), tls: None },
        };
        let collector = Collector { name: "syslog".into(), protocol, format, place, token: None };
        let reporter = Reporter::new("lab", "touchstone-fleet", "1", 1);
        let shipper = Shipper {
            store: self.store.clone(),
            log: self.path.clone(),
            name: collector.name.clone(),
            pace: Pace {
                first_pause: Duration::from_millis(5),
                settles: SETTLES,
                ..Pace::default()
            },
            route: Route::new(&collector, reporter, None).unwrap(),
        };
        tokio::spawn(shipper.run(self.head.subscribe(), stop));
        end
    }

    async fn noted(&self, seq: u64) {
        for _ in 0..1000 {
            if self.store.call(|db| db.cursor("syslog")).await.unwrap() >= seq {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("entry {seq} was never noted as taken");
    }

    async fn server(&self) -> TcpStream {
        timeout(Duration::from_secs(10), self.listener.accept()).await.unwrap().unwrap().0
    }

    /// What the log will say of the collector, as from, to and whether it comes again.
    async fn told(&self) -> Vec<(u64, u64, bool)> {
        let events = self.store.call(|db| db.events_after(0, 100)).await.unwrap();
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        events
            .iter()
            .filter(|event| event.code == "audit.export.lost")
            .map(|event| {
                let detail = &event.detail;
                (number(&detail["from"]), number(&detail["to"]), detail["sent_again"] == true)
            })
            .collect()
    }
}

/// The next message, by its length in front.
async fn message(server: &mut TcpStream) -> String {
    let mut len = 0;
    loop {
        match server.read_u8().await.unwrap() {
            b' ' => break,
            digit => len = len * 10 + usize::from(digit - b'0'),
        }
    }
    let mut message = vec![0; len];
    server.read_exact(&mut message).await.unwrap();
    String::from_utf8(message).unwrap()
}

#[tokio::test]
async fn entries_that_a_broken_connection_may_have_lost_are_sent_again_and_told_of() {
    let mut scene = Scene::new().await;
    scene.happen(1);
    let _end = scene.start(Protocol::Syslog, Format::Rfc5424);
    let mut server = scene.server().await;
    assert!(message(&mut server).await.contains("subject=\"device:1\""));
    scene.noted(1).await;
    scene.happen(2);
    assert!(message(&mut server).await.contains("device:2"));
    drop(server);
    scene.happen(3);
    let mut server = scene.server().await;
    assert!(message(&mut server).await.contains("device:2"), "1 is settled, 2 is not");
    assert!(message(&mut server).await.contains("device:3"));
    scene.noted(3).await;
    let told = scene.told().await;
    assert!(matches!(told[..], [(2, 2 | 3, true)]), "{told:?}");
}

#[tokio::test]
async fn after_a_restart_it_goes_on_where_it_was() {
    let mut scene = Scene::new().await;
    scene.happen(1);
    scene.happen(2);
    let end = scene.start(Protocol::Syslog, Format::Cef);
    let mut server = scene.server().await;
    assert!(message(&mut server).await.contains("CEF:0|Touchstone|touchstone-fleet|1|flow.cut|"));
    message(&mut server).await;
    scene.noted(2).await;
    end.send_replace(true);
    drop(server);
    scene.happen(3);
    let _end = scene.start(Protocol::Syslog, Format::Rfc5424);
    let mut server = scene.server().await;
    assert!(message(&mut server).await.contains("device:3"));
    assert_eq!(scene.told().await, []);
}

#[tokio::test]
async fn entries_that_are_not_kept_any_more_are_told_of() {
    let mut scene = Scene::new().await;
    for n in 1..=3 {
        scene.happen(n);
    }
    scene.log.begin_part(4).unwrap();
    scene.happen(5);
    assert_eq!(scene.log.prune(6).unwrap(), Some((1, 3)));
    scene.happen(7);
    let _end = scene.start(Protocol::File, Format::Ocsf);
    scene.noted(7).await;
    assert_eq!(scene.told().await, [(1, 3, false)]);
    let text = std::fs::read_to_string(scene.dir.path().join("events")).unwrap();
    assert_eq!(text.lines().count(), 4);
    assert!(text.lines().all(|line| line.contains("\"class_uid\":")), "{text}");
}

/// Answers a request with a status and a body; the request's own body.
async fn answer(server: &mut TcpStream, status: &str, body: &str) -> String {
    let mut heard = Vec::new();
    let (at, len) = loop {
        heard.push(server.read_u8().await.unwrap());
        if heard.ends_with(b"\r\n\r\n") {
            let fields = String::from_utf8_lossy(&heard).to_lowercase();
            let len = fields.split("content-length: ").nth(1).unwrap();
            break (heard.len(), len.split('\r').next().unwrap().parse::<usize>().unwrap());
        }
    };
    heard.resize(at + len, 0);
    server.read_exact(&mut heard[at..]).await.unwrap();
    let len = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {len}\r\n\r\n{body}");
    tokio::io::AsyncWriteExt::write_all(server, answer.as_bytes()).await.unwrap();
    String::from_utf8(heard[at..].to_vec()).unwrap()
}

#[tokio::test]
async fn an_entry_that_is_refused_for_good_is_found_told_of_and_passed_over() {
    let mut scene = Scene::new().await;
    for n in 1..=4 {
        scene.happen(n);
    }
    let _end = scene.start(Protocol::Otlp, Format::Otlp);
    let mut server = scene.server().await;
    // All four, then 1 and 2, then 3 and 4, then 3, then 4.
    assert!(answer(&mut server, "400 Bad", "{}").await.contains("device:4"));
    assert!(answer(&mut server, "200 OK", "{}").await.contains("device:2"));
    answer(&mut server, "400 Bad", "{}").await;
    assert!(answer(&mut server, "400 Bad", r#"{"message":"no"}"#).await.contains("device:3"));
    answer(&mut server, "200 OK", r#"{"partialSuccess":{}}"#).await;
    scene.noted(4).await;
    assert_eq!(scene.told().await, [(3, 3, false)]);
    // Not now is not never: the same comes again.
    scene.happen(5);
    assert!(answer(&mut server, "401 Who", "").await.contains("device:5"));
    let mut server = scene.server().await;
    // Nor does a collector that takes nothing at all refuse this one entry.
    assert!(answer(&mut server, "400 Bad", "").await.contains("device:5"));
    let mut server = scene.server().await;
    assert!(answer(&mut server, "200 OK", "").await.contains("device:5"));
    scene.noted(5).await;
    assert_eq!(scene.told().await.len(), 1);
}

#[tokio::test]
async fn an_indexer_is_asked_until_it_has_what_it_acknowledged() {
    let mut scene = Scene::new().await;
    scene.happen(1);
    let _end = scene.start(Protocol::Hec, Format::Hec);
    let mut server = scene.server().await;
    let body = answer(&mut server, "200 OK", r#"{"text":"Success","code":0,"ackId":3}"#).await;
    assert!(body.contains("\"sourcetype\":\"touchstone:audit\""), "{body}");
    assert_eq!(answer(&mut server, "200 OK", r#"{"acks":{"3":false}}"#).await, r#"{"acks":[3]}"#);
    assert_eq!(scene.store.call(|db| db.cursor("syslog")).await.unwrap(), 0);
    answer(&mut server, "200 OK", r#"{"acks":{"3":true}}"#).await;
    scene.noted(1).await;
}

/// A receiver that resets (RST) has not taken anything; what was sent comes again, and is told of.
#[tokio::test]
async fn a_receiver_that_resets_gets_everything_again() {
    let mut scene = Scene::new().await;
    scene.happen(1);
    let _end = scene.start(Protocol::Syslog, Format::Rfc5424);
    for _ in 0..5 {
        let mut server = scene.server().await;
        assert!(message(&mut server).await.contains("device:1"));
        // With nothing to linger for, closing is a reset.
        rustix::net::sockopt::set_socket_linger(&server, Some(Duration::ZERO)).unwrap();
        drop(server);
    }
    let mut server = scene.server().await;
    assert!(message(&mut server).await.contains("device:1"));
    scene.noted(1).await;
    assert!(scene.told().await.iter().all(|told| *told == (1, 1, true)));
}

/// RELP: an answer to a message that was never sent, with a receiver that is otherwise in order.
#[tokio::test]
async fn a_receiver_that_acknowledges_what_was_not_sent_is_left_and_nothing_is_skipped() {
    let mut scene = Scene::new().await;
    scene.happen(1);
    scene.happen(2);
    let _end = scene.start(Protocol::Relp, Format::Rfc5424);
    let mut server = scene.server().await;
    relp(&mut server, "open").await;
    tokio::io::AsyncWriteExt::write_all(
        &mut server,
        b"1 rsp 56 200 OK\nrelp_version=0\nrelp_software=liar\ncommands=syslog\n",
    )
    .await
    .unwrap();
    relp(&mut server, "device:1").await;
    tokio::io::AsyncWriteExt::write_all(&mut server, b"99 rsp 6 200 OK\n").await.unwrap();
    // It hangs up, and comes again with the first one.
    let mut server = scene.server().await;
    relp(&mut server, "open").await;
    assert_eq!(scene.store.call(|db| db.cursor("syslog")).await.unwrap(), 0, "nothing is taken");
}

/// Reads until `what` was heard.
async fn relp(server: &mut TcpStream, what: &str) {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(what) {
        heard.push(server.read_u8().await.unwrap());
    }
}

/// An HTTP receiver that says yes to an indexer's number that it never gave.
#[tokio::test]
async fn an_indexer_that_acknowledges_another_number_is_not_believed() {
    let mut scene = Scene::new().await;
    scene.happen(1);
    let _end = scene.start(Protocol::Hec, Format::Hec);
    let mut server = scene.server().await;
    answer(&mut server, "200 OK", r#"{"text":"Success","code":0,"ackId":3}"#).await;
    answer(&mut server, "200 OK", r#"{"acks":{"4":true,"5":true}}"#).await;
    answer(&mut server, "200 OK", r#"{"acks":{"3":false}}"#).await;
    assert_eq!(scene.store.call(|db| db.cursor("syslog")).await.unwrap(), 0);
}

/// A receiver that reads nothing any more: it is left in time, and memory holds one page of entries.
#[tokio::test]
async fn a_receiver_that_stalls_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let io = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (_server, _) = listener.accept().await.unwrap();
    let mut stream = stream::Stream::new(route::Connection::Plain(io));
    let stalled = async {
        loop {
            stream.send(std::iter::repeat_n("x".repeat(8_000), 500)).await?;
        }
        #[expect(unreachable_code, reason = "names the type")]
        io::Result::Ok(())
    };
    assert_eq!(stalled.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}
