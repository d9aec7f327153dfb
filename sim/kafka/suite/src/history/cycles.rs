//! A circle in a directed graph.

use std::collections::{BTreeMap, BTreeSet};

/// The nodes of one circle, the smallest first; `None` if there is none. Iterative, for graphs of any depth.
pub(super) fn cycle(edges: &BTreeMap<usize, BTreeSet<usize>>) -> Option<Vec<usize>> {
    let mut finished = BTreeSet::new();
    for start in edges.keys() {
        let mut path: Vec<usize> = vec![*start];
        let mut rest: Vec<Vec<usize>> = vec![successors(edges, *start)];
        while let Some(next) = rest.last_mut().map(Vec::pop) {
            match next {
                None => {
                    rest.pop();
                    finished.extend(path.pop());
                }
                Some(node) if finished.contains(&node) => {}
                Some(node) => {
                    if let Some(begin) = path.iter().position(|on_path| *on_path == node) {
                        return Some(rotated(&path[begin..]));
                    }
                    path.push(node);
                    rest.push(successors(edges, node));
                }
            }
        }
    }
    None
}

fn successors(edges: &BTreeMap<usize, BTreeSet<usize>>, node: usize) -> Vec<usize> {
    edges.get(&node).into_iter().flatten().copied().collect()
}

fn rotated(circle: &[usize]) -> Vec<usize> {
    let smallest = (0..circle.len()).min_by_key(|index| circle[*index]).unwrap_or(0);
    let mut circle = circle.to_vec();
    circle.rotate_left(smallest);
    circle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(usize, usize)]) -> BTreeMap<usize, BTreeSet<usize>> {
        let mut all: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (from, to) in edges {
            all.entry(*from).or_default().insert(*to);
        }
        all
    }

    #[test]
    fn a_circle_is_found_behind_other_paths() {
        assert_eq!(cycle(&graph(&[(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)])), None);
        assert_eq!(cycle(&graph(&[(0, 1), (1, 5), (5, 4), (4, 3), (3, 5)])), Some(vec![3, 5, 4]));
    }
}
