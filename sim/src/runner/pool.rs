//! Runs beside each other: the one file that starts threads.
//!
//! Every run gets a fresh thread, for hash seeds and the executor's state live in threads. Results come in the
//! order of the tasks, whichever ends first. A thread cannot be killed: a run over the wall limit is reported and
//! left behind, and the process's end ends it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::wall::Stopwatch;

/// Programs of nodes are deep futures, deeper without optimisation.
const STACK_BYTES: usize = 32 << 20;
/// Between two looks at the wall limit and the progress.
const TICK: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Tasks beside each other, at least 1.
    pub jobs: usize,
    /// For each task.
    pub wall_limit: Option<Duration>,
}

pub type Task<T> = Box<dyn FnOnce() -> T + Send>;

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended<T> {
    Returned(T),
    /// It panicked, outside of any node: message and place.
    Panicked(String),
    OverLimit(Duration),
}

/// A finished task.
#[derive(Clone, Debug)]
pub struct Finished<T> {
    pub ended: Ended<T>,
    pub wall: Duration,
}

/// How far the pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub running: usize,
    pub finished: usize,
}

/// What the pool tells its caller.
pub trait Audience<T> {
    /// In the order of the tasks. `Break` starts no more of them, and tells of no more.
    fn finished(&mut self, number: usize, finished: Finished<T>) -> ControlFlow<()>;

    /// Every now and then.
    fn standing(&mut self, _: Standing) {}
}

/// Fills every process-wide lazy value, so that no run differs for having come first.
pub fn warm_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        model::warm_up();
        jiff::tz::TimeZoneDatabase::bundled().get("America/New_York").expect("jiff bundles New York");
        catch_panics_of_runs();
    });
}

/// Runs the tasks, at most `jobs` at a time.
pub fn each<T: Send + 'static>(
    settings: &PoolSettings,
    tasks: impl IntoIterator<Item = Task<T>>,
    audience: &mut dyn Audience<T>,
) {
    warm_up();
    let (sender, receiver) = channel();
    let mut pool =
        Pool { settings, sender, receiver, running: BTreeMap::new(), done: BTreeMap::new(), told: 0 };
    let mut tasks = tasks.into_iter().enumerate();
    loop {
        while pool.running.len() < settings.jobs.max(1)
            && let Some((number, task)) = tasks.next()
        {
            pool.start(number, task);
        }
        if pool.running.is_empty() {
            return;
        }
        pool.wait();
        let standing = Standing { running: pool.running.len(), finished: pool.told + pool.done.len() };
        audience.standing(standing);
        while let Some(finished) = pool.done.remove(&pool.told) {
            pool.told += 1;
            if audience.finished(pool.told - 1, finished).is_break() {
                return;
            }
        }
    }
}

/// Runs one task on a fresh thread.
pub fn alone<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> Finished<T> {
    struct Only<T>(Option<Finished<T>>);
    impl<T> Audience<T> for Only<T> {
        fn finished(&mut self, _: usize, finished: Finished<T>) -> ControlFlow<()> {
            self.0 = Some(finished);
            ControlFlow::Continue(())
        }
    }
    let mut only = Only(None);
    each(&PoolSettings { jobs: 1, wall_limit: None }, [Box::new(task) as Task<T>], &mut only);
    only.0.expect("a pool tells of every task")
}

/// Starts a task whose results its caller takes otherwise, through a channel of its own.
pub fn detached<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> Receiver<Finished<T>> {
    warm_up();
    let (sender, receiver) = channel();
    spawn(move || {
        let stopwatch = Stopwatch::start();
        let ended = guarded(Box::new(task));
        // Nobody may be interested any more.
        let _ = sender.send(Finished { ended, wall: stopwatch.elapsed() });
    });
    receiver
}

struct Pool<'s, T> {
    settings: &'s PoolSettings,
    sender: Sender<(usize, Finished<T>)>,
    receiver: Receiver<(usize, Finished<T>)>,
    running: BTreeMap<usize, Stopwatch>,
    /// Finished, but not told yet.
    done: BTreeMap<usize, Finished<T>>,
    told: usize,
}

impl<T: Send + 'static> Pool<'_, T> {
    fn start(&mut self, number: usize, task: Task<T>) {
        let stopwatch = Stopwatch::start();
        self.running.insert(number, stopwatch);
        let sender = self.sender.clone();
        spawn(move || {
            let ended = guarded(task);
            // The pool may have given up on this task.
            let _ = sender.send((number, Finished { ended, wall: stopwatch.elapsed() }));
        });
    }

    fn wait(&mut self) {
        match self.receiver.recv_timeout(TICK) {
            Ok((number, finished)) => {
                // A task that was given up on has been answered for already.
                if self.running.remove(&number).is_some() {
                    self.done.insert(number, finished);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => unreachable!("the pool holds a sender itself"),
        }
        let Some(limit) = self.settings.wall_limit else { return };
        self.running.retain(|number, stopwatch| {
            let wall = stopwatch.elapsed();
            if wall > limit {
                self.done.insert(*number, Finished { ended: Ended::OverLimit(limit), wall });
            }
            wall <= limit
        });
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) {
    let builder = std::thread::Builder::new().name("run".to_owned()).stack_size(STACK_BYTES);
    builder.spawn(body).expect("the host has room for one more thread");
}

fn guarded<T>(task: Task<T>) -> Ended<T> {
    IN_RUN.set(true);
    match catch_unwind(AssertUnwindSafe(task)) {
        Ok(value) => Ended::Returned(value),
        Err(panic) => Ended::Panicked(LAST_PANIC.take().unwrap_or_else(|| text_of(&*panic))),
    }
}

thread_local! {
    static IN_RUN: Cell<bool> = const { Cell::new(false) };
    /// Message and place of the thread's last panic.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic in a run is a fact or a verdict, and a line of the log; it is not printed as it happens.
fn catch_panics_of_runs() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        if !IN_RUN.get() {
            return before(panic);
        }
        let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        let message = format!("{}{}", text_of(panic.payload()), place.unwrap_or_default());
        tracing::error!("panicked: {message}");
        LAST_PANIC.set(Some(message));
    }));
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[derive(Default)]
    struct Heard {
        numbers: Vec<usize>,
        values: Vec<Ended<usize>>,
        break_after: Option<usize>,
    }

    impl Audience<usize> for Heard {
        fn finished(&mut self, number: usize, finished: Finished<usize>) -> ControlFlow<()> {
            self.numbers.push(number);
            self.values.push(finished.ended);
            if Some(number) == self.break_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }

    fn hear(jobs: usize, break_after: Option<usize>, tasks: Vec<Task<usize>>) -> Heard {
        let mut heard = Heard { break_after, ..Heard::default() };
        each(&PoolSettings { jobs, wall_limit: None }, tasks, &mut heard);
        heard
    }

    #[test]
    fn results_come_in_the_order_of_the_tasks() {
        // The first task ends only after the second.
        let (sender, receiver) = mpsc::channel::<()>();
        let first: Task<usize> = Box::new(move || receiver.recv().map_or(99, |()| 10));
        let second: Task<usize> = Box::new(move || sender.send(()).map_or(99, |()| 11));
        let heard = hear(2, None, vec![first, second]);
        assert_eq!(heard.numbers, [0, 1]);
        assert_eq!(heard.values, [Ended::Returned(10), Ended::Returned(11)]);
    }

    #[test]
    fn no_more_than_jobs_run_beside_each_other() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let task = |_| {
            let (now, most) = (now.clone(), most.clone());
            Box::new(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst)
            }) as Task<usize>
        };
        hear(3, None, (0..40).map(task).collect());
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn a_panic_is_a_result_with_its_message_and_place() {
        let heard = hear(1, None, vec![Box::new(|| panic!("no such node: {}", 7)), Box::new(|| 1)]);
        let Ended::Panicked(message) = &heard.values[0] else { panic!("{:?}", heard.values) };
        assert!(message.starts_with("no such node: 7 at ") && message.contains("pool.rs:"), "{message}");
        assert_eq!(heard.values[1], Ended::Returned(1));
    }

    #[test]
    fn a_task_over_the_limit_is_given_up_on() {
        let (_held, never) = mpsc::channel::<()>();
        let stuck: Task<usize> = Box::new(move || never.recv().map_or(0, |()| 1));
        let limit = Duration::from_millis(1);
        let mut heard = Heard::default();
        each(&PoolSettings { jobs: 1, wall_limit: Some(limit) }, [stuck], &mut heard);
        assert_eq!(heard.values, [Ended::OverLimit(limit)]);
    }

    #[test]
    fn after_a_break_nothing_more_is_told() {
        let heard =
            hear(1, Some(1), (0..9).map(|number: usize| Box::new(move || number) as Task<usize>).collect());
        assert_eq!(heard.numbers, [0, 1]);
    }

    #[test]
    fn every_task_has_a_thread_of_its_own() {
        thread_local!(static USED: Cell<usize> = const { Cell::new(0) });
        let task = |_| Box::new(|| USED.replace(1)) as Task<usize>;
        let heard = hear(2, None, (0..6).map(task).collect());
        assert!(heard.values.iter().all(|value| *value == Ended::Returned(0)));
    }
}
