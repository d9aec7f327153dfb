//! A broker's listener: takes connections in, up to a bound.

use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::connection;
use super::host::Host;

/// Pause after an accept that failed, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Starts to take connections in. Must be called inside of the server's runtime.
pub(super) fn listen(host: &Rc<Host>, broker: i32, listener: StdListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let task = tokio::task::spawn_local(accept(Rc::clone(host), broker, listener));
    host.listens(broker, task.abort_handle());
    Ok(())
}

async fn accept(host: Rc<Host>, broker: i32, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if let Some(conn) = host.connect(broker) {
            let task = tokio::task::spawn_local(connection::serve(Rc::clone(&host), broker, conn, stream));
            host.connected(broker, conn, task.abort_handle());
        }
    }
}
