//! Sessions with a wrong habit: statements are changed, left out or added, and the replies made to look as the
//! host expects them.

use std::rc::Rc;

use async_trait::async_trait;
use host::Ports;
use host::ports::store::{Reply, Role, Session, Statement, Store, StoreError};

/// The ports, with every session of the store changed.
pub fn sessions(ports: Ports, change: impl Fn(Box<dyn Session>) -> Box<dyn Session> + 'static) -> Ports {
    let store = Rc::new(ChangedStore { inner: ports.store, change });
    Ports { store, ..ports }
}

struct ChangedStore<F> {
    inner: Rc<dyn Store>,
    change: F,
}

#[async_trait(?Send)]
impl<F: Fn(Box<dyn Session>) -> Box<dyn Session>> Store for ChangedStore<F> {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        Ok((self.change)(self.inner.connect(role).await?))
    }
}

/// What becomes of a statement.
pub enum Edit {
    Send(Statement),
    /// Those before it are sent too, and nobody is told of their replies.
    Behind(Vec<Statement>, Statement),
    /// It is not sent: this is its reply.
    KeepBack(Reply),
    /// It is sent: this is told of it.
    Gloss(Statement, Reply),
}

/// Runs a pipeline of edited statements; the replies are those that were asked for.
pub async fn run_edited(
    session: &mut dyn Session,
    edits: impl IntoIterator<Item = Edit>,
) -> Result<Vec<Reply>, StoreError> {
    enum Told {
        Nothing,
        Itself,
        This(Reply),
    }
    let (mut statements, mut tell) = (Vec::new(), Vec::new());
    for edit in edits {
        match edit {
            Edit::Send(statement) => {
                statements.push(statement);
                tell.push((true, Told::Itself));
            }
            Edit::Behind(before, statement) => {
                tell.extend(before.iter().map(|_| (true, Told::Nothing)));
                statements.extend(before);
                statements.push(statement);
                tell.push((true, Told::Itself));
            }
            Edit::KeepBack(reply) => tell.push((false, Told::This(reply))),
            Edit::Gloss(statement, reply) => {
                statements.push(statement);
                tell.push((true, Told::This(reply)));
            }
        }
    }
    let mut replies = match statements.is_empty() {
        true => Vec::new().into_iter(),
        false => session.run(statements).await?.into_iter(),
    };
    let mut told = Vec::with_capacity(tell.len());
    for (was_sent, tell) in tell {
        let reply = was_sent.then(|| replies.next().expect("every statement has its reply"));
        match (tell, reply) {
            (Told::Nothing, _) => {}
            (Told::This(reply), _) => told.push(reply),
            (Told::Itself, reply) => told.extend(reply),
        }
    }
    Ok(told)
}
