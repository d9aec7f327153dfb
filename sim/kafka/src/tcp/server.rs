//! A server: brokers with their listeners on a thread of their own, and the handle that commands them.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use super::clock::Clock;
use super::config::ServerConfig;
use super::data::{self, Data, DataError};
use super::host::Host;
use super::listener::{self, KeptPort, listen};
use crate::broker::{Broker, Output};
use crate::cluster::{BrokerConfig, TimestampMs};

type Command = Box<dyn FnOnce(&Rc<Host>) + Send>;

/// A running cluster. Its methods wait until they are carried out, and may be called from any thread; after a
/// [`Server::failure`] they panic. Dropping it ends the cluster.
pub struct Server {
    addresses: BTreeMap<i32, SocketAddr>,
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
    ended: Arc<Mutex<Option<DataError>>>,
    /// The ports of brokers that are stopped stay theirs.
    _kept: Vec<Option<KeptPort>>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Data(#[from] DataError),
}

const UNPOISONED: &str = "nobody panics with it in hand";

impl Server {
    /// Listens, and starts the brokers. An address that is taken is an error; a port 0 is chosen by the system.
    pub fn start(config: ServerConfig) -> Result<Server, StartError> {
        let opened: Vec<_> =
            config.listen.iter().map(|address| listener::open(*address)).collect::<io::Result<_>>()?;
        let (listeners, kept): (Vec<TcpListener>, Vec<_>) = opened.into_iter().unzip();
        let bound: Vec<SocketAddr> =
            listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let unspecified = bound.iter().any(|address| address.ip().is_unspecified());
        if unspecified && config.advertised.is_empty() {
            let message =
                "clients cannot be sent to an address that stands for all: advertised.listeners is needed";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
        }
        let brokers = config.brokers(&bound);
        let addresses: BTreeMap<i32, SocketAddr> =
            brokers.iter().map(|broker| broker.id).zip(bound).collect();
        let (commands, receiver) = unbounded_channel();
        let (ready, is_ready) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let doors = addresses.clone();
        let ended = Arc::new(Mutex::new(None));
        let ended_over_there = Arc::clone(&ended);
        let run = move || {
            LocalSet::new().block_on(&runtime, async {
                let begun = begin(config, brokers, &doors, listeners);
                // Whoever started this waits for it.
                match begun {
                    Err(error) => drop(ready.send(Err(error))),
                    Ok(host) => {
                        let _ = ready.send(Ok(()));
                        *ended_over_there.lock().expect(UNPOISONED) = run(host, receiver).await;
                    }
                }
            });
        };
        let thread = spawn(run)?;
        is_ready.recv().map_err(|_| io::Error::other("the server's thread ended"))??;
        Ok(Server { addresses, commands: Some(commands), thread: Some(thread), ended, _kept: kept })
    }

    /// Whether the server goes on. It ends by itself only where it cannot save any more: then this says why.
    pub fn failure(&self) -> Option<String> {
        self.ended.lock().expect(UNPOISONED).as_ref().map(ToString::to_string)
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
        self.end(broker, None);
    }

    /// The broker's machine loses its power: as [`Server::stop`], and what was written within `writeback_ms` and not
    /// flushed is lost.
    pub fn power_off(&self, broker: i32, writeback_ms: i64) {
        self.end(broker, Some(writeback_ms));
    }

    fn end(&self, broker: i32, lost_power: Option<i64>) {
        let (ended, has_ended) = mpsc::channel();
        self.ask(move |host| {
            let listener = host.stop(broker, lost_power);
            // It is gone when its task is, some time after that was told to end.
            tokio::task::spawn_local(async move {
                if let Some(listener) = listener {
                    let _ = listener.await;
                }
                let _ = ended.send(());
            });
        });
        // A server that has ended meanwhile listens no more either.
        let _ = has_ended.recv();
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
        let answer = commands.send(command).ok().and_then(|()| answered.recv().ok());
        answer.unwrap_or_else(|| panic!("the server has ended: {:?}", self.failure()))
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

/// A cluster, of a data directory or a new one, that listens.
fn begin(
    config: ServerConfig,
    brokers: Vec<BrokerConfig>,
    doors: &BTreeMap<i32, SocketAddr>,
    listeners: Vec<TcpListener>,
) -> Result<Rc<Host>, StartError> {
    let clock = Clock::start();
    let (data, cluster) = match &config.data {
        None => (None, data::new_cluster(brokers, clock.now())),
        Some(directory) => {
            let (data, cluster) = Data::open(directory, clock.now(), brokers)?;
            (Some(data), cluster)
        }
    };
    let host = Rc::new(Host::new(config.limits, clock, cluster, data, doors));
    let ids = 1..;
    ids.zip(listeners).try_for_each(|(id, listener)| listen(&host, id, listener))?;
    Ok(host)
}

/// Carries out commands, until there is nobody to give any or nothing can be saved any more.
async fn run(host: Rc<Host>, mut commands: UnboundedReceiver<Command>) -> Option<DataError> {
    let ticking = Rc::clone(&host);
    tokio::task::spawn_local(async move { ticking.tick().await });
    loop {
        tokio::select! {
            biased;
            error = host.until_failed() => return Some(error),
            command = commands.recv() => match command {
                Some(command) => command(&host),
                None => return None,
            },
        }
    }
}

/// Real sockets are served beside whoever asked for them.
fn spawn(run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("kafka".to_owned()).spawn(run)
}

/// Waits for Ctrl-C, a request to terminate, or until the server cannot save any more.
pub fn until_interrupted(server: &Server) -> io::Result<()> {
    const LOOK_AGAIN: Duration = Duration::from_millis(200);
    let failed = async {
        while server.failure().is_none() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
            () = failed => Ok(()),
        }
    })
}
