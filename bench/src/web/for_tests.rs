//! The server of the lab, inside a test.

use super::*;

/// A server on free ports of the loopback, for as long as the test's process lives.
pub(crate) fn start() -> (SocketAddr, SocketAddr) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
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
            accept(
                listener,
                HeaderValue::from_static("h1"),
                Arc::new(Semaphore::new(8)),
            )
            .await;
        });
    });
    told.recv().unwrap()
}
