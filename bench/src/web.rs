//! The web server that runs on the hosts of a lab: `jlb lab-web`.
//!
//! | request            | answer                                                          |
//! |--------------------|-----------------------------------------------------------------|
//! | `GET /`            | a short text                                                    |
//! | `GET /bytes/N`     | N bytes of [`crate::content`]                                   |
//! | `GET /slow/MS`     | the short text after MS milliseconds, at most a minute          |
//! | `GET /close`       | the short text, after which the server closes                   |
//! | `GET /drip/N/MS`   | the same bytes without an end, N every MS milliseconds          |
//! | `POST /upload`     | `LENGTH SUM`: how much arrived, and its FNV-1a in hexadecimal   |
//! | `POST /receipts`   | such a line for each piece as it arrives                        |
//! | `GET /work/US`     | a short text when the station has done US microseconds of work  |
//! | `GET /station`     | a short text, or an error if the station fails                  |
//! | `POST /station/..` | `sharing` or `queue` `/CORES/PERCENT`: a new one; `failing`: it fails |
//!
//! A station is a server of a number of cores, in a time that is reckoned: it needs no processor.
//!
//! Every answer says in `x-host` which host gave it. Beside HTTP there is a UDP echo.

pub(crate) mod body;
mod echo;
#[cfg(test)]
pub(crate) mod for_tests;
mod station;
pub(crate) mod workers;

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jlb_packet_io::process;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use crate::content::Fnv;
use crate::error::{Doing, LabError, Result};
use body::Answer;
use workers::Workers;

/// Names the host in every answer.
pub const HOST_HEADER: &str = "x-host";

/// Connections served at once; the rest wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16_000;
/// Connections that the kernel keeps until they are taken.
const BACKLOG: i32 = 65_535;
/// The longest that `/slow` waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The most that `/bytes` sends.
const MOST_BYTES: u64 = 1 << 40;
/// The most that `/drip` sends at a tick.
const MOST_DRIPPED: u64 = 1 << 20;
/// The most work that `/work` does.
const MOST_WORK: Duration = Duration::from_secs(3_600);
/// A pause after the kernel refused to hand out a connection (out of files).
const BREATH: Duration = Duration::from_millis(10);

/// The options of `jlb lab-web`.
#[derive(Clone, Debug, clap::Args)]
pub struct LabWebArgs {
    /// Name of this host, sent with every answer
    #[arg(long, default_value = "host")]
    name: String,
    /// Address and port to serve HTTP on (repeatable)
    #[arg(long)]
    listen: Vec<SocketAddr>,
    /// Address and port to echo UDP datagrams on; need not be on an interface yet (repeatable)
    #[arg(long)]
    echo: Vec<SocketAddr>,
    /// End when the process with this id, which started this one, ends
    #[arg(long)]
    die_with_parent: Option<u32>,
    /// Keep a processor busy until it ends, and serve nothing
    #[arg(long)]
    spin: bool,
    /// Become this program instead of serving
    #[arg(last = true)]
    program: Vec<OsString>,
}

/// Runs `jlb lab-web` until it is told to stop.
pub fn run(args: LabWebArgs) -> ExitCode {
    match follow(&args).and_then(|()| serve(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jlb lab-web: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the kernel to end this process with the one that started it.
fn follow(args: &LabWebArgs) -> Result<()> {
    let Some(parent) = args.die_with_parent else {
        return Ok(());
    };
    process::die_with_parent(parent).doing("follow the parent process")?;
    if !args.program.is_empty() {
        // What it becomes may have children of its own: it is to end them. The wish outlives exec.
        let signal = Some(rustix::process::Signal::TERM);
        rustix::process::set_parent_process_death_signal(signal).doing("follow the parent")?;
    }
    Ok(())
}

fn serve(args: LabWebArgs) -> Result<()> {
    if let Some((program, arguments)) = args.program.split_first() {
        // Returns only if it fails.
        let error = Command::new(program).args(arguments).exec();
        return Err(error).doing(format_args!("run {}", program.display()));
    }
    if args.spin {
        loop {
            std::hint::spin_loop();
        }
    }
    if args.listen.is_empty() && args.echo.is_empty() {
        return Err(LabError::new("nothing to do").mend("give --listen or --echo"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("start tokio")?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async move {
        let name = HeaderValue::from_str(&args.name).doing("use that --name in a header")?;
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let workers = Rc::new(Workers::new());
        let working = Rc::clone(&workers);
        let mut working = tokio::task::spawn_local(async move { working.run().await });
        for address in args.listen {
            let listener = listen(address).doing(format_args!("listen on {address}"))?;
            tokio::task::spawn_local(accept(
                listener,
                name.clone(),
                Arc::clone(&room),
                Rc::clone(&workers),
            ));
        }
        for address in args.echo {
            let socket = echo::bind(address).doing(format_args!("echo on {address}"))?;
            tokio::task::spawn_local(echo::run(socket));
        }
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).doing("wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).doing("wait for SIGINT")?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            ended = &mut working => ended.doing("run the station")?,
        }
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(
    listener: TcpListener,
    name: HeaderValue,
    room: Arc<Semaphore>,
    workers: Rc<Workers>,
) {
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let name = name.clone();
        let workers = Rc::clone(&workers);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(request, name.clone(), Rc::clone(&workers)));
            // An error here is the client's business: it went away, or sent no HTTP.
            let _ = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    name: HeaderValue,
    workers: Rc<Workers>,
) -> std::result::Result<Response<Answer>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut words = path.trim_start_matches('/').splitn(2, '/');
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let number = second.and_then(|word| word.parse::<u64>().ok());
    let mut response = match (request.method(), first, number) {
        (&Method::GET | &Method::HEAD, "", _) => text(&name, "here\n"),
        (&Method::GET, "bytes", Some(count)) if count <= MOST_BYTES => {
            Response::new(Answer::pattern(count))
        }
        (&Method::GET, "slow", Some(wait)) => {
            tokio::time::sleep(Duration::from_millis(wait).min(LONGEST_WAIT)).await;
            text(&name, "at last\n")
        }
        (&Method::GET, "drip", _) => drip(second),
        (&Method::GET, "work", Some(work)) => {
            let work = Duration::from_micros(work).min(MOST_WORK);
            if workers.is_failing() {
                status(StatusCode::INTERNAL_SERVER_ERROR)
            } else if workers.work(work).await {
                text(&name, "done\n")
            } else {
                status(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
        (&Method::GET, "station", None) if workers.is_failing() => {
            status(StatusCode::INTERNAL_SERVER_ERROR)
        }
        (&Method::GET, "station", None) => text(&name, "at work\n"),
        (&Method::POST, "station", _) if workers.command(second.unwrap_or_default()) => {
            text(&name, "as you wish\n")
        }
        (&Method::GET, "close", _) => {
            let mut response = text(&name, "bye\n");
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        (&Method::POST | &Method::PUT, "upload" | "echo-length", _) => {
            match receive(request.into_body()).await {
                Ok((length, sum)) => Response::new(Answer::text(body::receipt(length, sum))),
                Err(_) => status(StatusCode::BAD_REQUEST),
            }
        }
        (&Method::POST, "receipts", _) => Response::new(Answer::receipts(request.into_body())),
        _ => status(StatusCode::NOT_FOUND),
    };
    response.headers_mut().insert(HOST_HEADER, name);
    Ok(response)
}

/// `words` is `N/MS`, both at least 1.
fn drip(words: Option<&str>) -> Response<Answer> {
    let numbers = words.and_then(|words| {
        let (count, pause) = words.split_once('/')?;
        Some((count.parse().ok()?, pause.parse().ok()?))
    });
    match numbers {
        Some((count @ 1..=MOST_DRIPPED, pause @ 1..)) => {
            let mut ticks = tokio::time::interval(Duration::from_millis(pause).min(LONGEST_WAIT));
            // What could not be sent is not made up for: the client counts the time between pieces.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Response::new(Answer::drip(count, ticks))
        }
        _ => status(StatusCode::NOT_FOUND),
    }
}

async fn receive(mut body: Incoming) -> std::result::Result<(u64, Fnv), hyper::Error> {
    let (mut length, mut sum) = (0, Fnv::default());
    while let Some(frame) = body.frame().await {
        if let Some(bytes) = frame?.data_ref() {
            length += bytes.len() as u64;
            sum.update(bytes);
        }
    }
    Ok((length, sum))
}

fn text(name: &HeaderValue, words: &str) -> Response<Answer> {
    let name = name.to_str().unwrap_or_default();
    let mut response = Response::new(Answer::text(format!("{name}: {words}")));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn status(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::text(format!("{status}\n")));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
