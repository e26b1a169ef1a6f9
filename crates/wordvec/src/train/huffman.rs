//! The binary tree of hierarchical softmax: frequent words near the root.
//!
//! Source: Huffman (1952); Morin and Bengio (2005) for its use; Mikolov et al. (2013).

/// Way from the root to every word.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Inner nodes on the way, of all words one after the other.
    nodes: Vec<u32>,
    /// 1 where the way turns to the second child.
    turns: Vec<u8>,
    /// Where the way of each word starts; one more at the end.
    starts: Vec<u32>,
}

impl Tree {
    /// - `counts`: by falling frequency, at least two.
    pub(crate) fn new(counts: &[u64]) -> Self {
        let n = counts.len();
        // Leaves come in rising order from the end of `counts`, inner nodes in the order they are made, which
        // is rising too: the two smallest are always at the two heads.
        let mut weight: Vec<u64> = counts.to_vec();
        let mut parent = vec![0_usize; 2 * n - 1];
        let mut turn = vec![0_u8; 2 * n - 1];
        let (mut leaf, mut inner) = (n, n);
        for new in n..2 * n - 1 {
            for side in 0..2 {
                let smallest = if leaf > 0 && (inner >= new || weight[leaf - 1] <= weight[inner]) {
                    leaf -= 1;
                    leaf
                } else {
                    inner += 1;
                    inner - 1
                };
                parent[smallest] = new;
                turn[smallest] = side;
                if side == 0 {
                    weight.push(weight[smallest]);
                } else {
                    weight[new] += weight[smallest];
                }
            }
        }
        let root = 2 * n - 2;
        let mut tree = Self { nodes: Vec::new(), turns: Vec::new(), starts: vec![0] };
        let mut way = Vec::new();
        for word in 0..n {
            way.clear();
            let mut at = word;
            while at != root {
                way.push(((parent[at] - n) as u32, turn[at]));
                at = parent[at];
            }
            tree.nodes.extend(way.iter().rev().map(|(node, _)| node));
            tree.turns.extend(way.iter().rev().map(|(_, turn)| turn));
            tree.starts.push(tree.nodes.len() as u32);
        }
        tree
    }

    /// Inner nodes on the way to a word, root first, and the turns taken there.
    pub(crate) fn way(&self, word: u32) -> (&[u32], &[u8]) {
        let range = self.starts[word as usize] as usize..self.starts[word as usize + 1] as usize;
        (&self.nodes[range.clone()], &self.turns[range])
    }

    /// Longest way.
    pub(crate) fn depth(&self) -> usize {
        self.starts.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ways_have_the_lengths_of_the_textbook_code() {
        // 45, 16, 13, 12, 9, 5: code lengths 1, 3, 3, 3, 4, 4 (Cormen et al., figure 16.5).
        let tree = Tree::new(&[45, 16, 13, 12, 9, 5]);
        let lengths: Vec<usize> = (0..6).map(|word| tree.way(word).0.len()).collect();
        assert_eq!(lengths, [1, 3, 3, 3, 4, 4]);
        assert_eq!(tree.depth(), 4);
    }

    #[test]
    fn every_word_has_its_own_way_from_the_root() {
        let counts: Vec<u64> = (0..500_u64).map(|rank| 10_000 / (rank + 1)).collect();
        let tree = Tree::new(&counts);
        let root = tree.way(0).0[0];
        let mut ways = HashSet::new();
        let mut shares = 0.0;
        for word in 0..500 {
            let (nodes, turns) = tree.way(word);
            assert_eq!(nodes[0], root);
            assert!(nodes.iter().all(|&node| node < 499));
            assert!(ways.insert(turns.to_vec()));
            shares += 0.5_f64.powi(turns.len() as i32);
        }
        // Kraft: the tree has no dead end.
        assert!((shares - 1.0).abs() < 1e-9);
    }
}
