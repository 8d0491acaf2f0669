//! HTTP for Prometheus: `GET /metrics`, one request a connection. Who is slow, says nothing or says too much holds nobody up.

use super::cache::{Cache, Format};
use super::source::Source;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::{set_ip_freebind, set_ipv6_freebind, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Connections at once: one more costs the oldest its place.
pub(super) const CONNECTIONS: usize = 32;
/// Connections that wait to be taken.
const BACKLOG: i32 = 128;
/// Headers of a request, at most.
const HEADERS: usize = 64;
/// Bytes of a request's line and headers together, at most: the least that hyper takes.
const LONGEST_REQUEST: usize = 8192;
/// How long a client may take over its request.
const REQUEST: Duration = Duration::from_secs(2);
/// How long a connection may last in all.
const CONNECTION: Duration = Duration::from_secs(10);
/// After what may fail again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// The thread that answers. It ends when this is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    /// Listens at `address` and answers from `source`, from a thread that runs on `core`. `per_peer_max` peers get series of their own.
    ///
    /// # Errors
    /// The address cannot be listened at, or there is no thread to be had.
    pub fn start(
        address: SocketAddr,
        core: usize,
        source: Arc<dyn Source>,
        per_peer_max: usize,
    ) -> std::io::Result<Self> {
        let listener = listen(address)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let cache = Arc::new(Mutex::new(Cache::new(source, per_peer_max)));
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(move || {
            if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
                tracing::warn!("core {core}: the metrics thread could not be pinned to it");
            }
            runtime.block_on(async {
                tokio::spawn(accept(listener, cache));
                // Nothing is ever sent: the other end goes.
                let _gone = stopped.await;
            });
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens: the port that the kernel chose, if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A listener that does not block, if need be at an address that an interface gets later: a service may start before addresses are set.
///
/// # Errors
/// The port is taken, or a low one that only root may take.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address).or_else(|error| {
        if error.kind() != ErrorKind::AddrNotAvailable {
            return Err(error);
        }
        tracing::warn!("metrics: no interface of this machine has the address {} yet", address.ip());
        listen_ahead(address)
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A listener at an address that no interface has.
fn listen_ahead(address: SocketAddr) -> std::io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // As TcpListener::bind has it: connections of before that linger are no obstacle.
    set_socket_reuseaddr(&socket, true)?;
    match address {
        SocketAddr::V4(_) => set_ip_freebind(&socket, true)?,
        SocketAddr::V6(_) => set_ipv6_freebind(&socket, true)?,
    }
    bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Takes whoever comes.
async fn accept(listener: TcpListener, cache: Arc<Mutex<Cache>>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("metrics are not served: {error}"),
    };
    let mut connections = VecDeque::with_capacity(CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.retain(|connection: &tokio::task::JoinHandle<()>| !connection.is_finished());
                if connections.len() == CONNECTIONS
                    && let Some(oldest) = connections.pop_front()
                {
                    oldest.abort();
                }
                connections.push_back(tokio::spawn(serve(stream, Arc::clone(&cache))));
            }
            Err(error) => {
                tracing::warn!("metrics: {error}");
                // It may be the same at once: no file descriptor left, for one.
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, cache: Arc<Mutex<Cache>>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .max_headers(HEADERS)
        .max_buf_size(LONGEST_REQUEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(|request| std::future::ready(answer(&request, &cache))));
    match tokio::time::timeout(CONNECTION, connection).await {
        Ok(Err(error)) => tracing::debug!("metrics: {error}"),
        Err(_) => tracing::debug!("metrics: a client took more than {CONNECTION:?}"),
        Ok(Ok(())) => {}
    }
}

fn answer(request: &Request<Incoming>, cache: &Mutex<Cache>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "the metrics are at /metrics\n"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "metrics can only be read: GET /metrics\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refused);
    }
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::asked(&accept.collect::<Vec<_>>().join(","));
    let answer = cache.lock().unwrap_or_else(PoisonError::into_inner).answer(format, Instant::now);
    Ok(match answer {
        Ok(body) => {
            let mut response = Response::new(Full::new(body));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
            response
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("the metrics could not be written: {error}\n")),
    })
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
