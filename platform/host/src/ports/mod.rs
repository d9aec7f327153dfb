//! What a host needs of the world, as small traits. Everything runs on one thread: no port is `Send`.

pub mod clock;
pub mod http;
pub mod log;
pub mod store;
pub mod transactional_log;

use std::rc::Rc;

pub use self::clock::{Clock, Entropy, Tasks};
pub use self::http::{Http, HttpError, Incoming};
pub use self::log::{Log, LogConsumer, LogEvent, LogProducer, LogRecord, OutRecord, SendError};
pub use self::store::{Session, Store, StoreError};
pub use self::transactional_log::{GroupMember, LogReader, TransactionalLog, TransactionalProducer};

/// The ports of one process.
#[derive(Clone)]
pub struct Ports {
    pub clock: Rc<dyn Clock>,
    pub tasks: Rc<dyn Tasks>,
    pub entropy: Rc<dyn Entropy>,
    pub store: Rc<dyn Store>,
    pub log: Rc<dyn Log>,
    pub http: Rc<dyn Http>,
}
