//! The orderly end of a gateway: what it has in hand is answered, and the end comes within its time-out.

use super::*;

const MOMENT: Duration = Duration::from_millis(1);

/// A host with so many requests in hand, each passed on to an upstream that has not answered.
fn busy(requests: usize) -> (Rc<World>, Rc<EdgeHost<Door>>, LocalBoxFuture<'static, ()>) {
    let (world, host) = made(Door::default());
    let mut process = host.clone().run().boxed_local();
    for _ in 0..requests {
        world.ask(Method::GET, "/slow");
    }
    run(&mut process);
    assert_eq!(world.calls.borrow().len(), requests);
    (world, host, process)
}

fn has_ended(process: &mut LocalBoxFuture<'static, ()>) -> bool {
    process.now_or_never().is_some()
}

fn acknowledged() -> Option<(u16, String)> {
    Some((200, "from behind".to_owned()))
}

#[test]
fn what_is_in_hand_is_answered_before_the_end() {
    let (world, host, mut process) = busy(3);
    host.shut_down();
    run(&mut process);
    world.ask(Method::GET, "/slow");
    run(&mut process);
    let (status, body) = world.answer(3).expect("who comes too late is told at once");
    assert_eq!((status, body.contains("problems/shutting-down")), (503, true));
    assert_eq!(world.answers.borrow()[3].borrow().as_ref().expect("an answer").headers()["retry-after"], "1");
    assert_eq!(world.calls.borrow().len(), 3, "and nothing is begun for it");
    for number in 0..2 {
        world.upstream_answers();
        run(&mut process);
        assert_eq!(world.answer(number), acknowledged());
    }
    world.upstream_answers();
    assert!(has_ended(&mut process), "with the last answer");
    assert_eq!(world.answer(2), acknowledged());
}

/// The longest that a request can take is shorter than the time to end: with the last upstream silent, its caller is
/// told so, and the process still ends by itself.
#[test]
fn an_upstream_that_stays_silent_is_told_of_before_the_time_is_over() {
    let (world, host, mut process) = busy(2);
    host.shut_down();
    world.pass(UPSTREAM_TIMEOUT - MOMENT);
    world.upstream_answers();
    run(&mut process);
    assert_eq!((world.answer(0), world.answer(1)), (acknowledged(), None));
    world.pass(MOMENT);
    assert!(has_ended(&mut process));
    let (status, body) = world.answer(1).expect("an answer");
    assert_eq!((status, body.contains("timed out")), (503, true), "no acknowledgement, and no silence");
    assert!(world.now.get() < later(Timestamp::UNIX_EPOCH, DRAIN_TIMEOUT.as_millis() as u64));
}

#[test]
fn who_waits_for_a_document_is_answered_with_it() {
    KEYS.set(false);
    let (world, host) = made(Door { keys: Rc::new(Cell::new(true)) });
    let mut process = host.clone().run().boxed_local();
    world.ask(Method::GET, "/keyed");
    world.ask(Method::GET, "/keyed");
    run(&mut process);
    host.shut_down();
    world.pass(UPSTREAM_TIMEOUT - MOMENT);
    run(&mut process);
    world.upstream_answers();
    assert!((0..2).any(|_| has_ended(&mut process)), "with the document");
    assert!((0..2).all(|number| world.answer(number) == Some((200, "let in".to_owned()))));
}

#[test]
fn the_end_comes_with_its_time_out_whatever_is_in_hand() {
    let (world, host, mut process) = busy(3);
    host.shut_down();
    run(&mut process);
    world.upstream_answers();
    run(&mut process);
    // Its upstream's time-out passes unseen: as if the port did not keep to it.
    let lost = world.sleepers.take();
    world.now.set(later(Timestamp::UNIX_EPOCH, DRAIN_TIMEOUT.as_millis() as u64 - 1));
    run(&mut process);
    world.now.set(later(Timestamp::UNIX_EPOCH, DRAIN_TIMEOUT.as_millis() as u64));
    world.upstream_answers();
    assert!(has_ended(&mut process), "no later");
    drop((process, lost));
    for number in 0..2 {
        assert_eq!(world.answer(number), acknowledged(), "also what came in the last moment");
    }
    assert_eq!(world.answer(2), None, "its caller sees its own time-out, and was told nothing");
}

#[test]
fn one_with_nothing_in_hand_ends_at_once() {
    let (_, host, mut process) = busy(0);
    host.shut_down();
    assert!(has_ended(&mut process));
}
