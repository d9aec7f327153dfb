//! A broker's listener: takes connections in, up to a bound.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

use super::connection;
use super::host::Host;

/// Pause after an accept that failed, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Keeps a port for a broker that is stopped. Otherwise the system may give it to a connection that goes out: a client that
/// calls in vain gets it for its own end sooner or later, and is connected to itself.
pub(super) struct KeptPort(#[expect(dead_code, reason = "it is enough that it is bound")] TcpSocket);

/// Listens on an address, on a port of the system's choice where it says 0, and keeps the port where the system allows two
/// sockets on one of which only one listens.
pub(super) fn open(address: SocketAddr) -> io::Result<(StdListener, Option<KeptPort>)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let address = socket.local_addr()?;
    match StdListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            drop(socket);
            Ok((StdListener::bind(address)?, None))
        }
        listener => Ok((listener?, Some(KeptPort(socket)))),
    }
}

/// Starts to take connections in. Must be called inside of the server's runtime.
pub(super) fn listen(host: &Rc<Host>, broker: i32, listener: StdListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let task = tokio::task::spawn_local(accept(Rc::clone(host), broker, listener));
    host.listens(broker, task);
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
