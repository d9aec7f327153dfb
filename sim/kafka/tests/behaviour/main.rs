//! What a Kafka must and must not promise, by the numbers of the list of behaviours (a1, b16, e45 …).
//!
//! `bench` asks brokers directly and compares what comes out; `world` runs clients against three brokers on a
//! virtual clock.

mod bench;
mod transactor;
mod world;

mod a_produce;
mod b_idempotence;
mod c_transactions;
mod client_consumer;
mod client_consumer_leader;
mod client_consumer_profiles;
mod client_consumer_troubles;
mod client_exactly_once;
mod client_producer;
mod client_producer_profiles;
mod client_producer_troubles;
mod client_transactions;
mod d_fencing;
mod e_administration;
mod e_coordinators;
mod e_groups;
mod e_markers;
mod e_offsets;
mod e_static_members;
mod e_transactions;
mod f_isolation;
mod g_partitioner;
mod h_compaction;
mod h_log;
mod h_retention;
mod i_eligible_leaders;
mod i_replication;
mod seams;
mod troubles;
mod troubles_requests;
