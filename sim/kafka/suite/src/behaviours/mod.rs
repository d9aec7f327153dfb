//! The behaviours, a file or a folder for each letter of the list.

use crate::list::Behaviour;

mod a_client;
mod a_produce;
mod b_client;
mod b_idempotence;
mod c_transactions;
mod d_fencing;
mod e_groups;
mod f_isolation;
mod g_partitioner;
mod h_log;
mod i_failure;

/// In the order of the list.
pub fn files() -> Vec<&'static [Behaviour]> {
    let mut files = vec![a_produce::BEHAVIOURS, a_client::BEHAVIOURS];
    files.extend([b_idempotence::BEHAVIOURS, b_client::BEHAVIOURS]);
    files.extend(c_transactions::FILES);
    files.push(d_fencing::BEHAVIOURS);
    files.extend(e_groups::FILES);
    files.extend([f_isolation::BEHAVIOURS, g_partitioner::BEHAVIOURS]);
    files.extend(h_log::FILES);
    files.extend(i_failure::FILES);
    files
}
