//! The load: questions over a few connections, each of which has several under way, all answers read.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use doorward::proto::v1::{
    CheckBatchResponse, CheckResponse, CheckStreamResponse, Decision, Outcome, check_result,
    check_stream_response,
};
use h2::{
    RecvStream, SendStream,
    client::{self, SendRequest},
};
use http::Request;
use prost::{
    Message as _,
    bytes::{Buf as _, Bytes, BytesMut},
};
use tokio::{net::TcpStream, task::LocalSet};

use super::{
    questions::{Kind, Questions},
    servers::Served,
};

/// Questions of one stream whose answers are awaited.
const OUTSTANDING: usize = 64;

/// What a load found.
pub(crate) struct Measured {
    elapsed: Duration,
    cpu_micros: f64,
    /// Of each call, in microseconds; of a stream, none.
    latencies: Vec<u32>,
    pub(crate) allows: u64,
    pub(crate) denies: u64,
    /// The first answer to a single question.
    pub(crate) answer: Bytes,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.decisions() / self.elapsed.as_secs_f64()
    }

    /// The server's processor time for each decision, in microseconds.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu_micros / self.decisions()
    }

    pub(crate) fn percentile(&self, percent: usize) -> u32 {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).copied().unwrap_or_default()
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    fn decisions(&self) -> f64 {
        (self.allows + self.denies) as f64
    }
}

/// One run, shared by its tasks.
pub(crate) struct Load {
    questions: Vec<Bytes>,
    next: Cell<usize>,
    until: Instant,
    kind: Kind,
    found: RefCell<Measured>,
}

impl Load {
    /// Asks for so many seconds; for none, one question.
    pub(crate) fn run(
        served: &Served,
        questions: &Questions,
        kind: Kind,
        connections: usize,
        streams: usize,
        seconds: usize,
    ) -> Measured {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (start, cpu) = (Instant::now(), served.cpu());
        let load = Rc::new(Self {
            questions: questions.of(kind).to_vec(),
            next: Cell::new(0),
            until: start + Duration::from_secs(u64::try_from(seconds).unwrap()),
            kind,
            found: RefCell::new(Measured {
                elapsed: Duration::ZERO,
                cpu_micros: 0.0,
                latencies: Vec::new(),
                allows: 0,
                denies: 0,
                answer: Bytes::new(),
            }),
        });
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let mut tasks = Vec::new();
            for _ in 0..connections {
                let stream = TcpStream::connect(served.address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut builder = client::Builder::new();
                builder.initial_window_size(1 << 20);
                builder.initial_connection_window_size(1 << 24);
                let (send, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
                tokio::task::spawn_local(async move { drop(connection.await) });
                for _ in 0..streams {
                    let (load, send) = (Rc::clone(&load), send.clone());
                    tasks.push(tokio::task::spawn_local(load.ask(send)));
                }
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
        drop(local);
        let Ok(load) = Rc::try_unwrap(load) else {
            unreachable!("its tasks have ended")
        };
        let mut found = load.found.into_inner();
        found.elapsed = start.elapsed();
        found.cpu_micros = served.cpu() - cpu;
        found.latencies.sort_unstable();
        found
    }

    async fn ask(self: Rc<Self>, send: SendRequest<Bytes>) {
        match self.kind {
            Kind::Stream => self.stream(send).await,
            Kind::Cached | Kind::Uncached | Kind::Batch => loop {
                self.call(send.clone()).await;
                if Instant::now() >= self.until {
                    break;
                }
            },
        }
    }

    fn question(&self) -> Bytes {
        let n = self.next.get();
        self.next.set(n + 1);
        self.questions[n % self.questions.len()].clone()
    }

    /// One call: a question, an answer, and a status that says so.
    async fn call(&self, send: SendRequest<Bytes>) {
        let start = Instant::now();
        let (response, mut body) = open(send, self.kind).await;
        send_all(&mut body, self.question(), true).await;
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let mut inbound = response.into_body();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = inbound.data().await {
            let chunk = chunk.unwrap();
            bytes.extend_from_slice(&chunk);
            inbound
                .flow_control()
                .release_capacity(chunk.len())
                .unwrap();
        }
        let trailers = inbound.trailers().await.unwrap().unwrap_or_default();
        let status = trailers.get("grpc-status").map(|it| it.as_bytes());
        assert_eq!(status, Some(&b"0"[..]), "{trailers:?}");
        self.count(bytes.freeze());
        let taken = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.found.borrow_mut().latencies.push(taken);
    }

    /// One stream: questions as long as there is time, at most so many ahead of their answers.
    async fn stream(&self, send: SendRequest<Bytes>) {
        let (response, mut body) = open(send, self.kind).await;
        for _ in 0..OUTSTANDING {
            send_all(&mut body, self.question(), false).await;
        }
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let mut inbound: RecvStream = response.into_body();
        let mut bytes = BytesMut::new();
        let mut closed = false;
        while let Some(chunk) = inbound.data().await {
            let chunk = chunk.unwrap();
            bytes.extend_from_slice(&chunk);
            inbound
                .flow_control()
                .release_capacity(chunk.len())
                .unwrap();
            while let Some(frame) = whole_frame(&mut bytes) {
                self.count(frame);
                if closed {
                    continue;
                }
                closed = Instant::now() >= self.until;
                let question = if closed {
                    Bytes::new()
                } else {
                    self.question()
                };
                send_all(&mut body, question, closed).await;
            }
        }
    }

    fn count(&self, mut frame: Bytes) {
        frame.advance(5);
        let found = &mut *self.found.borrow_mut();
        let mut decided = |decision: &Decision| match decision.outcome() {
            Outcome::Allow => found.allows += 1,
            Outcome::Deny => found.denies += 1,
            Outcome::Unspecified => panic!("an answer without an outcome"),
        };
        match self.kind {
            Kind::Cached | Kind::Uncached => {
                let answer = CheckResponse::decode(frame.clone()).unwrap();
                decided(answer.decision.as_ref().unwrap());
                if found.answer.is_empty() {
                    found.answer = frame;
                }
            }
            Kind::Batch => {
                for result in CheckBatchResponse::decode(frame).unwrap().results {
                    match result.result {
                        Some(check_result::Result::Decision(decision)) => decided(&decision),
                        other => panic!("{other:?}"),
                    }
                }
            }
            Kind::Stream => match CheckStreamResponse::decode(frame).unwrap().result {
                Some(check_stream_response::Result::Decision(decision)) => decided(&decision),
                other => panic!("{other:?}"),
            },
        }
    }
}

async fn open(send: SendRequest<Bytes>, kind: Kind) -> (client::ResponseFuture, SendStream<Bytes>) {
    let method = match kind {
        Kind::Cached | Kind::Uncached => "Check",
        Kind::Batch => "CheckBatch",
        Kind::Stream => "CheckStream",
    };
    let request = Request::post(format!(
        "http://127.0.0.1/doorward.v1.DecisionService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .body(())
    .unwrap();
    let mut send = send.ready().await.unwrap();
    send.send_request(request, false).unwrap()
}

/// Sends as the other side has room.
async fn send_all(body: &mut SendStream<Bytes>, mut bytes: Bytes, last: bool) {
    while !bytes.is_empty() {
        body.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
        let room = room.unwrap().unwrap().min(bytes.len());
        let part = bytes.split_to(room);
        let ends = last && bytes.is_empty();
        body.send_data(part, ends).unwrap();
        if ends {
            return;
        }
    }
    if last {
        body.send_data(Bytes::new(), true).unwrap();
    }
}

/// The next whole message, with the five bytes before it.
fn whole_frame(bytes: &mut BytesMut) -> Option<Bytes> {
    let size = bytes.get(1..5)?;
    let size = u32::from_be_bytes(size.try_into().unwrap());
    let whole = 5 + usize::try_from(size).unwrap();
    (bytes.len() >= whole).then(|| bytes.split_to(whole).freeze())
}
