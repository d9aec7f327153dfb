//! A server: brokers with their listeners on a thread of their own, and the handle that commands them.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use super::cluster::Cluster;
use super::config::ServerConfig;
use super::host::Host;
use super::listener::listen;
use crate::broker::{Broker, Output};
use crate::cluster::TimestampMs;
use crate::controller::Controller;

type Command = Box<dyn FnOnce(&Rc<Host>) + Send>;

/// A running cluster. Its methods wait until they are carried out, and may be called from any thread. Dropping it ends
/// the cluster.
pub struct Server {
    addresses: BTreeMap<i32, SocketAddr>,
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and starts the brokers. An address that is taken is an error; a port 0 is chosen by the system.
    pub fn start(config: ServerConfig) -> io::Result<Server> {
        let listeners: Vec<TcpListener> =
            config.listen.iter().map(TcpListener::bind).collect::<io::Result<_>>()?;
        let bound: Vec<SocketAddr> =
            listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let unspecified = bound.iter().any(|address| address.ip().is_unspecified());
        if unspecified && config.advertised.is_empty() {
            let message =
                "clients cannot be sent to an address that stands for all: advertised.listeners is needed";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let brokers = config.brokers(&bound);
        let addresses: BTreeMap<i32, SocketAddr> =
            brokers.iter().map(|broker| broker.id).zip(bound).collect();
        let (commands, receiver) = unbounded_channel();
        let (ready, is_ready) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let doors = addresses.clone();
        let run = move || {
            LocalSet::new().block_on(&runtime, async {
                let controller = Controller::new(brokers[0].cluster.clone(), 0);
                let cluster = Cluster::new(brokers.into_iter().map(Broker::new), controller);
                let host = Rc::new(Host::start(config.limits, cluster, &doors));
                let ids = 1..;
                let listening = ids.zip(listeners).try_for_each(|(id, listener)| listen(&host, id, listener));
                let failed = listening.is_err();
                // Whoever started this waits for it.
                let _ = ready.send(listening);
                if !failed {
                    run(host, receiver).await;
                }
            });
        };
        let thread = spawn(run)?;
        is_ready.recv().map_err(|_| io::Error::other("the server's thread ended"))??;
        Ok(Server { addresses, commands: Some(commands), thread: Some(thread) })
    }

    /// Where each broker listens.
    pub fn addresses(&self) -> &BTreeMap<i32, SocketAddr> {
        &self.addresses
    }

    /// `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.addresses.values().map(SocketAddr::to_string).collect();
        addresses.join(",")
    }

    /// The broker's process is killed: connections end, the port refuses, what was in memory only is gone.
    pub fn stop(&self, broker: i32) {
        self.ask(move |host| host.stop(broker, None));
    }

    /// The broker's machine loses its power: as [`Server::stop`], and what was written within `writeback_ms` and not
    /// flushed is lost.
    pub fn power_off(&self, broker: i32, writeback_ms: i64) {
        self.ask(move |host| host.stop(broker, Some(writeback_ms)));
    }

    /// Controlled shutdown: the broker gives its leadership to others, and its process ends. True if it could within
    /// `patience`; then and otherwise it is stopped.
    pub fn shut_down(&self, broker: i32, patience: Duration) -> bool {
        const LOOK_AGAIN: Duration = Duration::from_millis(10);
        self.act_on(broker, Broker::prepare_to_stop);
        let mut waited = Duration::ZERO;
        let may_stop = loop {
            let may_stop = self.with_broker(broker, |broker, _| broker.may_stop());
            if may_stop || waited >= patience {
                break may_stop;
            }
            std::thread::park_timeout(LOOK_AGAIN);
            waited += LOOK_AGAIN;
        };
        self.stop(broker);
        may_stop
    }

    /// The process is back, on the same port.
    pub fn start_again(&self, broker: i32) -> io::Result<()> {
        self.ask(move |host| {
            if host.is_stopped(broker) {
                let listener = TcpListener::bind(host.address(broker))?;
                host.start_again(broker);
                listen(host, broker, listener)?;
            }
            Ok(())
        })
    }

    /// As SIGSTOP: connections are accepted, nothing is read, no time passes for the broker.
    pub fn pause(&self, broker: i32) {
        self.ask(move |host| host.pause(broker));
    }

    /// As SIGCONT.
    pub fn resume(&self, broker: i32) {
        self.ask(move |host| host.resume(broker));
    }

    /// Looks at a broker. Outputs of what is done to it there go nowhere: see [`Server::act_on`].
    pub fn with_broker<R: Send + 'static>(
        &self,
        broker: i32,
        look: impl FnOnce(&mut Broker, TimestampMs) -> R + Send + 'static,
    ) -> R {
        self.ask(move |host| host.with(broker, look))
    }

    /// Does something to a broker, and takes its outputs where they belong.
    pub fn act_on(
        &self,
        broker: i32,
        act: impl FnOnce(&mut Broker, TimestampMs) -> Vec<Output> + Send + 'static,
    ) {
        self.ask(move |host| host.act(broker, act));
    }

    fn ask<R: Send + 'static>(&self, command: impl FnOnce(&Rc<Host>) -> R + Send + 'static) -> R {
        let (answer, answered) = mpsc::channel();
        let command: Command = Box::new(move |host| {
            let _ = answer.send(command(host));
        });
        let commands = self.commands.as_ref().expect("it is taken only by drop");
        commands.send(command).ok().expect("the server's thread lives as long as its handle");
        answered.recv().expect("the server's thread lives as long as its handle")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there was printed there.
            let _ = thread.join();
        }
    }
}

async fn run(host: Rc<Host>, mut commands: UnboundedReceiver<Command>) {
    let ticking = Rc::clone(&host);
    tokio::task::spawn_local(async move { ticking.tick().await });
    while let Some(command) = commands.recv().await {
        command(&host);
    }
}

#[expect(clippy::disallowed_methods, reason = "real sockets are served beside whoever asked for them")]
fn spawn(run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("kafka".to_owned()).spawn(run)
}

/// Waits for Ctrl-C, or a request to terminate.
pub fn until_interrupted() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    })
}
