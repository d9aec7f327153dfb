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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use host::ports::store::Isolation;

    use super::*;

    /// Answers each statement with its place.
    #[derive(Default)]
    struct Counts {
        sent: Vec<String>,
    }

    #[async_trait(?Send)]
    impl Session for Counts {
        async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
            let places = 0..statements.len() as u64;
            self.sent.extend(statements.iter().map(|statement| format!("{statement:?}")));
            Ok(places.map(Reply::Changed).collect())
        }

        async fn notified(&mut self) -> Result<&'static str, StoreError> {
            Err(StoreError::Lost)
        }
    }

    #[test]
    fn replies_are_those_that_were_asked_for() {
        let mut session = Counts::default();
        let begin = || Statement::Begin(Isolation::ReadCommitted);
        let edits = vec![
            Edit::Send(begin()),
            Edit::KeepBack(Reply::Count(7)),
            Edit::Behind(vec![Statement::Commit, begin()], Statement::Rollback),
            Edit::Gloss(Statement::Commit, Reply::Committed),
        ];
        let replies = run_edited(&mut session, edits).now_or_never().expect("nothing waits");
        let expected = vec![Reply::Changed(0), Reply::Count(7), Reply::Changed(3), Reply::Committed];
        assert_eq!(replies, Ok(expected));
        assert_eq!(
            session.sent.join(" "),
            "Begin(ReadCommitted) Commit Begin(ReadCommitted) Rollback Commit"
        );
        let kept = run_edited(&mut session, vec![Edit::KeepBack(Reply::Committed)]).now_or_never();
        assert_eq!((kept, session.sent.len()), (Some(Ok(vec![Reply::Committed])), 5));
    }
}
