//! What faults do to links, processes and clocks, seen by an echo server and its client.

use std::cell::RefCell;
use std::rc::Rc;

use futures::FutureExt;
use madsim::runtime::Runtime;
use sim::adapters::{CallError, Peers, within};
use sim::world::clock::NodeClock;
use sim::world::life::End;
use sim::world::network::rules::{LinkEffect, Pairs};
use sim::world::network::{Inbound, Links};
use sim::world::node::{Node, Program};
use sim::world::{World, WorldSettings};

const SERVER: usize = 0;
const CLIENT: usize = 1;
const SECOND: u64 = 1_000_000_000;
const FAULT: u32 = 7;

/// Runs a test in a world of its own, on a thread of its own.
fn in_world<F: Future<Output = ()>>(test: impl FnOnce(Bench) -> F + Send + 'static) {
    let run = move || {
        Runtime::with_seed_and_config(1, madsim::Config::default()).block_on(async move {
            let links = Links { base_ns: 100_000, jitter_ns: 0 };
            let world = World::new(&WorldSettings { seed: 1, epoch_ns: 1_000_000_000_000, links });
            let heard = Rc::new(RefCell::new(Vec::new()));
            let client: Rc<RefCell<Option<Node>>> = Rc::default();
            world.add_node("server", NodeClock::default(), echo(heard.clone()));
            world.add_node("client", NodeClock::default(), idle(client.clone()));
            within_ms(&world, 1).await;
            let node = client.borrow().clone().expect("the client's process has started");
            test(Bench { world: world.clone(), peers: Peers::new(node.clone()), node, heard }).await;
            world.shut_down().await;
        });
    };
    #[expect(clippy::disallowed_methods, reason = "a second run on one thread is not the same")]
    std::thread::spawn(run).join().expect("the test holds");
}

async fn within_ms(world: &Rc<World>, ms: i64) {
    world.until(world.now_ns() + ms * 1_000_000).await;
}

/// Answers every number with itself, and notes it.
fn echo(heard: Rc<RefCell<Vec<u64>>>) -> Program {
    Rc::new(move |node| {
        let heard = heard.clone();
        async move {
            loop {
                futures::select_biased! {
                    inbound = node.receive().fuse() => {
                        if let Inbound::Call { connection, call, payload } = inbound {
                            let number = *payload.downcast::<u64>().expect("numbers are sent");
                            heard.borrow_mut().push(number);
                            node.world.network.reply(connection, call, Box::new(number));
                        }
                    }
                    () = node.asked_to_stop().fuse() => return,
                }
            }
        }
        .boxed_local()
    })
}

fn idle(slot: Rc<RefCell<Option<Node>>>) -> Program {
    Rc::new(move |node| {
        *slot.borrow_mut() = Some(node);
        std::future::pending().boxed_local()
    })
}

struct Bench {
    world: Rc<World>,
    node: Node,
    peers: Peers,
    heard: Rc<RefCell<Vec<u64>>>,
}

impl Bench {
    async fn ask(&self, number: u64, seconds: u64) -> Result<u64, CallError> {
        let answer = self.peers.call(SERVER, Box::new(number), seconds * SECOND).await?;
        Ok(*answer.downcast().expect("numbers are answered"))
    }

    fn both_ways() -> Pairs {
        Pairs::from([(SERVER, CLIENT), (CLIENT, SERVER)])
    }

    async fn pass(&self, seconds: i64) {
        within_ms(&self.world, 1_000 * seconds).await;
    }

    /// Milliseconds that something takes.
    async fn takes(&self, future: impl Future) -> i64 {
        let begun = self.world.now_ns();
        future.await;
        (self.world.now_ns() - begun) / 1_000_000
    }
}

#[test]
fn a_silent_partition_delays_and_loses_nothing() {
    in_world(async |bench| {
        assert_eq!(bench.ask(1, 1).await, Ok(1));
        bench.world.network.begin(FAULT, Bench::both_ways(), LinkEffect::Silence);
        assert_eq!(bench.ask(2, 5).await, Err(CallError::TimedOut));
        assert_eq!(*bench.heard.borrow(), [1]);
        bench.world.network.end(FAULT);
        bench.pass(10).await;
        assert_eq!(*bench.heard.borrow(), [1, 2], "TCP sends again, though nobody waits any more");
        assert_eq!(bench.ask(3, 1).await, Ok(3));
    });
}

#[test]
fn a_partition_one_way_lets_requests_through_and_no_answers() {
    in_world(async |bench| {
        assert_eq!(bench.ask(1, 1).await, Ok(1));
        bench.world.network.begin(FAULT, Pairs::from([(SERVER, CLIENT)]), LinkEffect::Silence);
        assert_eq!(bench.ask(2, 5).await, Err(CallError::TimedOut));
        assert_eq!(*bench.heard.borrow(), [1, 2]);
    });
}

#[test]
fn a_silence_of_a_quarter_of_an_hour_breaks_connections() {
    in_world(async |bench| {
        assert_eq!(bench.ask(1, 1).await, Ok(1));
        bench.world.network.begin(FAULT, Bench::both_ways(), LinkEffect::Silence);
        let call = bench.ask(2, 5_000);
        let heal = async {
            bench.pass(1_000).await;
            bench.world.network.end(FAULT);
        };
        let (answer, ()) = futures::join!(call, heal);
        assert_eq!(answer, Err(CallError::Reset));
        assert_eq!(bench.ask(3, 1).await, Ok(3));
        assert_eq!(*bench.heard.borrow(), [1, 3]);
    });
}

#[test]
fn a_firewall_that_rejects_resets_and_refuses() {
    in_world(async |bench| {
        assert_eq!(bench.ask(1, 1).await, Ok(1));
        bench.world.network.begin(FAULT, Bench::both_ways(), LinkEffect::Reject);
        assert!(bench.takes(bench.ask(2, 5)).await < 10);
        assert_eq!(bench.ask(3, 5).await, Err(CallError::Reset));
        bench.world.network.end(FAULT);
        assert_eq!(bench.ask(4, 1).await, Ok(4));
        assert_eq!(*bench.heard.borrow(), [1, 4]);
    });
}

#[test]
fn a_link_is_free_when_the_last_fault_on_it_lets_go() {
    in_world(async |bench| {
        bench.world.network.begin(1, Bench::both_ways(), LinkEffect::Silence);
        bench.world.network.begin(2, Bench::both_ways(), LinkEffect::Reject);
        bench.world.network.end(1);
        assert!(bench.ask(1, 5).await.is_err());
        bench.world.network.begin(3, Bench::both_ways(), LinkEffect::Silence);
        bench.world.network.end(2);
        assert_eq!(bench.ask(2, 5).await, Err(CallError::TimedOut));
        bench.world.network.end(3);
        bench.pass(10).await;
        assert_eq!(bench.ask(3, 1).await, Ok(3));
    });
}

#[test]
fn after_a_clog_everything_arrives_at_once_and_in_order() {
    in_world(async |bench| {
        assert_eq!(bench.ask(1, 1).await, Ok(1));
        bench.world.network.begin(FAULT, Bench::both_ways(), LinkEffect::Clog);
        let calls = futures::future::join3(bench.ask(2, 60), bench.ask(3, 60), bench.ask(4, 60));
        let unclog = async {
            bench.pass(30).await;
            bench.world.network.end(FAULT);
        };
        let took = bench.takes(futures::future::join(calls, unclog)).await;
        assert_eq!((took, &*bench.heard.borrow()), (30_000, &vec![1, 2, 3, 4]));
    });
}

#[test]
fn a_request_that_may_be_repeated_arrives_twice_and_is_answered_once() {
    in_world(async |bench| {
        bench.world.network.begin(FAULT, Bench::both_ways(), LinkEffect::Duplicate { ppm: 1_000_000 });
        let again = |payload: &Box<dyn std::any::Any>| -> Box<dyn std::any::Any> {
            Box::new(*payload.downcast_ref::<u64>().expect("numbers are sent"))
        };
        let answer = bench.peers.call_repeatable(SERVER, Box::new(1_u64), again, SECOND).await;
        assert!(answer.is_ok());
        assert_eq!(bench.ask(2, 1).await, Ok(2));
        assert_eq!(*bench.heard.borrow(), [1, 1, 2]);
    });
}

#[test]
fn a_dead_process_refuses_and_a_dead_machine_is_silent() {
    in_world(async |bench| {
        assert_eq!(bench.ask(1, 1).await, Ok(1));
        bench.world.kill(SERVER, FAULT, End::Process);
        assert_eq!(bench.ask(2, 5).await, Err(CallError::Reset));
        assert_eq!(bench.ask(3, 5).await, Err(CallError::Refused));
        bench.world.start(SERVER, FAULT);
        bench.pass(1).await;
        assert_eq!(bench.ask(4, 1).await, Ok(4));
        bench.world.kill(SERVER, FAULT, End::Machine);
        assert_eq!(bench.ask(5, 5).await, Err(CallError::TimedOut));
        let call = bench.ask(6, 60);
        let back = async {
            bench.pass(2).await;
            bench.world.start(SERVER, FAULT);
        };
        assert_eq!(
            futures::join!(call, back).0,
            Err(CallError::Reset),
            "the new kernel knows no such connection"
        );
        assert_eq!(bench.ask(7, 1).await, Ok(7));
    });
}

#[test]
fn a_paused_process_answers_when_it_goes_on() {
    in_world(async |bench| {
        bench.world.pause(SERVER, FAULT);
        bench.world.pause(SERVER, FAULT + 1);
        let call = bench.ask(1, 60);
        let resume = async {
            bench.pass(3).await;
            bench.world.resume(SERVER, FAULT);
            bench.pass(3).await;
            bench.world.resume(SERVER, FAULT + 1);
        };
        let took = bench.takes(futures::future::join(call, resume)).await;
        assert!((6_000..6_010).contains(&took), "{took} ms: the last pause counts");
    });
}

#[test]
fn faults_that_overlap_keep_a_process_down_until_the_last_lets_go() {
    in_world(async |bench| {
        bench.world.kill(SERVER, 1, End::Process);
        bench.world.kill(SERVER, 2, End::Process);
        bench.world.start(SERVER, 1);
        bench.pass(1).await;
        assert!(!bench.world.is_running(SERVER));
        bench.world.start(SERVER, 2);
        bench.pass(1).await;
        assert!(bench.world.is_running(SERVER));
        bench.world.ask_to_stop(SERVER, 3);
        bench.pass(5).await;
        assert!(!bench.world.is_running(SERVER), "it was asked, ended, and is kept down");
    });
}

#[test]
fn what_several_faults_do_to_a_clock_adds_up_and_is_undone_one_by_one() {
    in_world(async |bench| {
        let ahead = || bench.node.clock_ns() - bench.world.now_ns();
        bench.world.bump_clock(CLIENT, 5_000_000_000);
        bench.world.bump_clock(CLIENT, -2_000_000_000);
        bench.world.drift_clock(CLIENT, 1_000_000);
        bench.world.drift_clock(CLIENT, 2_000_000);
        bench.pass(10).await;
        assert_eq!(ahead(), 3_030_000_000, "three thousandths of ten seconds");
        bench.world.bump_clock(CLIENT, -5_000_000_000);
        bench.world.drift_clock(CLIENT, -1_000_000);
        bench.pass(10).await;
        assert_eq!(ahead(), -1_950_000_000);
        bench.world.bump_clock(CLIENT, 2_000_000_000);
        bench.world.drift_clock(CLIENT, -2_000_000);
        bench.pass(10).await;
        assert_eq!(ahead(), 50_000_000, "what was gained stays");
    });
}

#[test]
fn a_clock_that_is_set_wakes_nobody_and_shows_another_time() {
    in_world(async |bench| {
        let (true_ns, shown) = (bench.world.now_ns(), bench.node.clock_ns());
        assert_eq!(true_ns, shown);
        bench.world.bump_clock(CLIENT, -3_600_000_000_000);
        assert_eq!(bench.world.now_ns() - bench.node.clock_ns(), 3_600_000_000_000);
        let slept = within(&bench.node, SECOND, bench.node.sleep_until_ns(shown + 1)).await;
        assert!(slept.is_none(), "the time is an hour away again");
    });
}
