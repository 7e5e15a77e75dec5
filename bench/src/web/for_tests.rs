//! The server of the lab, inside a test.

use tokio::sync::oneshot;

use super::*;

/// A server on free ports of the loopback.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) echo: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Server {
    /// Ends it with all its connections.
    pub(crate) fn end(self) {
        drop(self.stop);
        self.thread.join().unwrap();
    }
}

/// A server for so many connections at once.
pub(crate) fn start_for(room: usize) -> Server {
    let (tell, told) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
            let socket = echo::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send((listener.local_addr().unwrap(), socket.local_addr().unwrap()))
                .unwrap();
            tokio::task::spawn_local(echo::run(socket));
            let name = HeaderValue::from_static("h1");
            let workers = Rc::new(Workers::new());
            let room = Arc::new(Semaphore::new(room));
            tokio::task::spawn_local(accept(listener, name, room, Rc::clone(&workers)));
            tokio::task::spawn_local(async move { workers.run().await });
            let _ = stopped.await;
        });
    });
    let (http, echo) = told.recv().unwrap();
    Server {
        http,
        echo,
        stop,
        thread,
    }
}

/// A small server for as long as the test's process lives.
pub(crate) fn start() -> (SocketAddr, SocketAddr) {
    let server = start_for(8);
    let addresses = (server.http, server.echo);
    std::mem::forget(server);
    addresses
}
