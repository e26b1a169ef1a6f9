//! Rules compiled for many rows at once: a node is a chain of AND or OR over columns of row bits.

use rayon::prelude::*;

use crate::kernels::{self, BitRows, LANES, Lanes};
use crate::matrix::Matrix;
use crate::network::{Network, sources};
use crate::rows::{Rows, low_bits, transpose, words_of};

/// Words of rows a chunk holds: its columns stay in the nearest cache.
const CHUNK_WORDS: usize = 8;
/// Rows of a chunk.
pub(crate) const CHUNK: usize = CHUNK_WORDS * 64;

/// An input of a node: a literal or an earlier node, or its negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Input {
    /// Literals first, then nodes.
    pub(crate) at: usize,
    pub(crate) negated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) conjunction: bool,
    pub(crate) inputs: Vec<Input>,
}

/// Nodes over literals, in an order in which inputs come first, and what each adds to the scores.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    n_literals: usize,
    nodes: Vec<Node>,
    bias: Vec<f64>,
    /// Groups of 32 nodes, `[n_outputs]` each.
    weights: Vec<Vec<Lanes<f64>>>,
}

/// Bits of a chunk of rows: literals, then nodes, `CHUNK_WORDS` words each.
pub(crate) struct Columns {
    pub(crate) words: Vec<u64>,
}

impl Program {
    /// - `weights`: `[n_nodes, n_outputs]`.
    pub(crate) fn new(n_literals: usize, nodes: Vec<Node>, weights: &Matrix, bias: Vec<f64>) -> Self {
        let groups = (0..nodes.len()).step_by(LANES).map(|first| {
            let mut group = vec![Lanes::default(); bias.len()];
            for (output, lanes) in group.iter_mut().enumerate() {
                for node in first..nodes.len().min(first + LANES) {
                    lanes.0[node - first] = weights.at(node, output);
                }
            }
            group
        });
        let weights = groups.collect();
        Self { n_literals, nodes, bias, weights }
    }

    /// The discrete network, scores before the temperature, without the linear inputs.
    pub(crate) fn of_network(network: &Network) -> Self {
        let mut nodes = Vec::new();
        let mut first_node = Vec::new();
        for (at, layer) in network.layers.iter().enumerate() {
            first_node.push(network.n_literals + nodes.len());
            let read: Vec<usize> = sources(at, network.skip)
                .into_iter()
                .flat_map(|source| {
                    source.map_or(0..network.n_literals, |source| {
                        first_node[source]..first_node[source] + network.layers[source].n_outputs()
                    })
                })
                .collect();
            for (conjunction, weights) in [(true, &layer.conjunctions), (false, &layer.disjunctions)] {
                for node in 0..weights.n_columns() {
                    let inputs = (0..weights.n_rows())
                        .filter(|&input| weights.at(input, node) > 0.5)
                        .map(|input| Input { at: read[input % read.len()], negated: input >= read.len() })
                        .collect();
                    nodes.push(Node { conjunction, inputs });
                }
            }
        }
        let mut weights = Matrix::zeros(nodes.len(), network.n_outputs());
        let mut dim = 0;
        for source in sources(network.layers.len(), network.skip).into_iter().flatten() {
            for node in 0..network.layers[source].n_outputs() {
                let to = weights.row_mut(first_node[source] - network.n_literals + node);
                to.iter_mut().enumerate().for_each(|(output, to)| *to = network.head.at(output, dim));
                dim += 1;
            }
        }
        Self::new(network.n_literals, nodes, &weights, network.bias.clone())
    }

    pub(crate) fn columns(&self) -> Columns {
        Columns { words: vec![0; (self.n_literals + self.nodes.len()) * CHUNK_WORDS] }
    }

    /// Truth of all nodes for a chunk whose literals are filled in.
    fn run(&self, columns: &mut Columns) {
        for (at, node) in self.nodes.iter().enumerate() {
            let mut truth = [if node.conjunction { u64::MAX } else { 0 }; CHUNK_WORDS];
            for input in &node.inputs {
                let flip = if input.negated { u64::MAX } else { 0 };
                let words = &columns.words[input.at * CHUNK_WORDS..(input.at + 1) * CHUNK_WORDS];
                for (truth, word) in truth.iter_mut().zip(words) {
                    if node.conjunction {
                        *truth &= word ^ flip;
                    } else {
                        *truth |= word ^ flip;
                    }
                }
            }
            let to = (self.n_literals + at) * CHUNK_WORDS;
            columns.words[to..to + CHUNK_WORDS].copy_from_slice(&truth);
        }
    }

    /// Scores of a chunk whose nodes are known, row by row into `scores` `[n_rows, n_outputs]`.
    fn score(&self, columns: &Columns, scores: &mut [f64]) {
        let n_outputs = self.bias.len();
        let mut sums = vec![[0.0_f64; 64]; n_outputs * CHUNK_WORDS];
        let nodes = &columns.words[self.n_literals * CHUNK_WORDS..];
        for (words, weights) in nodes.chunks(LANES * CHUNK_WORDS).zip(&self.weights) {
            kernels::add_logits(
                BitRows { words, words_per_row: CHUNK_WORDS, n_bits: CHUNK },
                weights,
                &mut sums,
            );
        }
        for (row, scores) in scores.chunks_exact_mut(n_outputs).enumerate() {
            for (output, score) in scores.iter_mut().enumerate() {
                *score = self.bias[output] + sums[output * CHUNK_WORDS + row / 64][row % 64];
            }
        }
    }

    /// Scores of many rows; large inputs are spread over threads.
    ///
    /// - `fill`: writes the literal columns of the chunk of rows that starts at a row, of a length.
    pub(crate) fn scores(&self, n_rows: usize, fill: impl Fn(usize, usize, &mut Columns) + Sync) -> Matrix {
        let n_outputs = self.bias.len();
        let mut scores = Matrix::zeros(n_rows, n_outputs);
        let chunk_work = |columns: &mut Columns, (chunk, scores): (usize, &mut [f64])| {
            fill(chunk * CHUNK, scores.len() / n_outputs, columns);
            self.run(columns);
            self.score(columns, scores);
        };
        if n_outputs == 0 {
            return scores;
        }
        if n_rows >= 16 * CHUNK {
            scores
                .values_mut()
                .par_chunks_mut(CHUNK * n_outputs)
                .enumerate()
                .for_each_init(|| self.columns(), chunk_work);
        } else {
            let mut columns = self.columns();
            for chunk in scores.values_mut().chunks_mut(CHUNK * n_outputs).enumerate() {
                chunk_work(&mut columns, chunk);
            }
        }
        scores
    }

    /// Calls `see` with the node bits of each chunk, in order: `[n_nodes, CHUNK_WORDS]`, rows past the last
    /// are 0.
    pub(crate) fn each_chunk(&self, rows: &Rows, mut see: impl FnMut(usize, &[u64])) {
        let mut columns = self.columns();
        for start in (0..rows.n_rows()).step_by(CHUNK) {
            let n_rows = (rows.n_rows() - start).min(CHUNK);
            fill_from_rows(rows, start, n_rows, &mut columns);
            self.run(&mut columns);
            let nodes = &mut columns.words[self.n_literals * CHUNK_WORDS..];
            for (at, word) in nodes.iter_mut().enumerate() {
                *word &= low_bits(n_rows.saturating_sub(at % CHUNK_WORDS * 64));
            }
            see(start, nodes);
        }
    }

    /// For how many rows each node holds.
    pub(crate) fn counts(&self, rows: &Rows) -> Vec<usize> {
        let mut counts = vec![0; self.nodes.len()];
        self.each_chunk(rows, |_, nodes| {
            for (count, words) in counts.iter_mut().zip(nodes.chunks_exact(CHUNK_WORDS)) {
                *count += words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
            }
        });
        counts
    }

    /// Truth of all nodes for one row of literal words.
    pub(crate) fn holds(&self, literals: &[bool]) -> Vec<bool> {
        let mut truths = literals.to_vec();
        for node in &self.nodes {
            let mut inputs = node.inputs.iter().map(|input| truths[input.at] != input.negated);
            let truth = if node.conjunction { inputs.all(|input| input) } else { inputs.any(|input| input) };
            truths.push(truth);
        }
        truths.split_off(literals.len())
    }
}

/// Fills the literal columns of a chunk from rows.
pub(crate) fn fill_from_rows(rows: &Rows, start: usize, n_rows: usize, columns: &mut Columns) {
    let (n_literals, n_words) = (rows.n_literals(), words_of(rows.n_literals()));
    let mut words = vec![0; CHUNK * n_words];
    if n_words == 0 {
        return;
    }
    for (at, to) in words.chunks_exact_mut(n_words).take(n_rows).enumerate() {
        rows.write_words(start + at, to);
    }
    transpose(&words, CHUNK, n_literals, &mut columns.words[..n_literals * CHUNK_WORDS]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_and_one_row_agree() {
        let and = Node {
            conjunction: true,
            inputs: vec![Input { at: 0, negated: false }, Input { at: 1, negated: true }],
        };
        let or = Node {
            conjunction: false,
            inputs: vec![Input { at: 3, negated: false }, Input { at: 2, negated: true }],
        };
        let empty = Node { conjunction: true, inputs: Vec::new() };
        let weights = Matrix::from_rows(&[[1.0, -1.0], [10.0, 0.5], [100.0, 0.0]]).unwrap();
        let program = Program::new(3, vec![and, or, empty], &weights, vec![0.25, 0.0]);
        let bools: Vec<[bool; 3]> =
            (0..1000_usize).map(|row| [row % 2 == 0, row % 3 == 0, row % 5 == 0]).collect();
        let rows = Rows::from_bools(3, &bools).unwrap();
        let scores = program.scores(1000, |start, n, columns| fill_from_rows(&rows, start, n, columns));
        let mut counts = vec![0; 3];
        for (row, bools) in bools.iter().enumerate() {
            let holds = program.holds(bools);
            let first = bools[0] && !bools[1];
            assert_eq!(holds, [first, first || !bools[2], true]);
            let score = 100.25 + f64::from(u8::from(holds[0])) + 10.0 * f64::from(u8::from(holds[1]));
            assert_eq!(scores.at(row, 0), score);
            holds.iter().zip(&mut counts).for_each(|(&holds, count)| *count += usize::from(holds));
        }
        assert_eq!(program.counts(&rows), counts);
        assert_eq!(counts[2], 1000);
    }
}
