//! Only titles of a list: beam search over a path-compressed trie of their tokens (generative retrieval;
//! De Cao and others, 2021).
//!
//! Most nodes of a trie of titles have one child: what follows is forced, and is scored in one pass instead
//! of a step a token. Scores are sums of the log-probabilities over the whole vocabulary, so they are those
//! that scoring every title by itself would give.

use std::rc::Rc;

use nn::simd::log_sum;

use super::{Cache, Decoder};
use crate::LmError;

/// An edge of the trie: at least one token.
#[derive(Debug, Clone)]
struct Edge {
    /// Its tokens in `TitleTrie::tokens`.
    first: u32,
    n_tokens: u32,
    end: End,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Node(u32),
    Title(u32),
}

/// Titles as token sequences, none the beginning of another (each ends with an end token).
#[derive(Debug, Clone)]
pub struct TitleTrie {
    tokens: Vec<u32>,
    edges: Vec<Edge>,
    /// Edges of every node; node 0 is the root.
    nodes: Vec<(u32, u32)>,
    longest: usize,
    n_titles: usize,
}

impl TitleTrie {
    /// Builds a trie of sequences; position `i` in `titles` is the number that [`FoundTitle`] gives back. Of
    /// equal sequences the first one is kept.
    ///
    /// # Errors
    /// [`LmError::Setting`] if there is no title, one is empty, or one begins another.
    pub fn new(titles: &[Vec<u32>]) -> Result<Self, LmError> {
        let wrong = |found: String| {
            Err(LmError::Setting {
                name: "titles",
                found,
                expected: "titles that each end with an end token",
            })
        };
        let mut order: Vec<u32> = (0..titles.len() as u32).collect();
        order.sort_by(|&a, &b| titles[a as usize].cmp(&titles[b as usize]).then(a.cmp(&b)));
        order.dedup_by(|later, earlier| titles[*later as usize] == titles[*earlier as usize]);
        if order.is_empty() {
            return wrong("an empty list".to_owned());
        }
        for pair in order.windows(2) {
            if titles[pair[1] as usize].starts_with(&titles[pair[0] as usize]) {
                return wrong(format!("number {}, which begins number {}", pair[0], pair[1]));
            }
        }
        if titles[order[0] as usize].is_empty() {
            return wrong(format!("number {}, which has no token", order[0]));
        }
        let mut trie = Self {
            tokens: Vec::new(),
            edges: Vec::new(),
            nodes: vec![(0, 0)],
            longest: titles.iter().map(Vec::len).max().unwrap_or(0),
            n_titles: order.len(),
        };
        // Nodes still to be made: their number, the titles below, and how many tokens these have in common.
        let mut open = vec![(0_usize, 0..order.len(), 0_usize)];
        while let Some((node, range, depth)) = open.pop() {
            let mut groups = Vec::new();
            let mut start = range.start;
            while start < range.end {
                let token = titles[order[start] as usize][depth];
                let same =
                    order[start..range.end].partition_point(|&title| titles[title as usize][depth] == token);
                groups.push(start..start + same);
                start += same;
            }
            let first_edge = trie.edges.len() as u32;
            for group in groups {
                let first = &titles[order[group.start] as usize];
                let last = &titles[order[group.end - 1] as usize];
                let end = if group.len() == 1 {
                    first.len()
                } else {
                    // Sorted: what the first and the last have in common, all have.
                    depth + first[depth..].iter().zip(&last[depth..]).take_while(|(a, b)| a == b).count()
                };
                let place = trie.tokens.len() as u32;
                trie.tokens.extend(&first[depth..end]);
                let target = if group.len() == 1 {
                    End::Title(order[group.start])
                } else {
                    trie.nodes.push((0, 0));
                    let child = trie.nodes.len() - 1;
                    open.push((child, group, end));
                    End::Node(child as u32)
                };
                trie.edges.push(Edge { first: place, n_tokens: (end - depth) as u32, end: target });
            }
            trie.nodes[node] = (first_edge, trie.edges.len() as u32);
        }
        Ok(trie)
    }

    /// Different titles.
    pub fn n_titles(&self) -> usize {
        self.n_titles
    }

    /// Nodes at which there is something to decide.
    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Tokens of the longest title.
    pub fn longest(&self) -> usize {
        self.longest
    }

    fn edges(&self, node: u32) -> std::ops::Range<u32> {
        let (first, end) = self.nodes[node as usize];
        first..end
    }

    fn tokens(&self, edge: &Edge) -> &[u32] {
        &self.tokens[edge.first as usize..][..edge.n_tokens as usize]
    }
}

/// A title found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundTitle {
    /// Its number in the list the trie was made of.
    pub title: u32,
    /// Sum of the log-probabilities of its tokens.
    pub log_probability: f64,
}

/// Settings of a search for titles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TitleSearch {
    /// Beginnings of titles followed at a time; at least as many as titles are wanted.
    pub n_beams: usize,
    /// Titles wanted.
    pub n_titles: usize,
    /// Follow the best beginning of any length until no title can be better than those found: the answer is
    /// then exactly the best titles of all, however long it takes.
    pub exact: bool,
}

/// A way from the root to a node or title, with the edge that leads there read.
struct Branch {
    /// Everything up to the end of the edge; none at a title.
    cache: Option<Cache>,
    /// Log-probability after each token of the edge.
    scores: Vec<f64>,
    end: End,
    /// Edges that lead on, with the log-probability after their first token, best first.
    next: Vec<(u32, f64)>,
}

/// An edge to follow from a branch.
struct Step {
    from: Rc<Branch>,
    edge: u32,
    /// Log-probability after the edge's first token.
    score: f64,
}

/// A beginning of a title in a beam.
struct Beam {
    branch: Rc<Branch>,
    /// Tokens of the branch's last edge that count already.
    n_read: usize,
}

/// What a beam may become by one more token.
enum Move {
    /// The next token of the edge, which is forced.
    Forced(Rc<Branch>, usize),
    /// The first token of another edge.
    Enter(Rc<Branch>, u32),
}

impl Decoder {
    /// The titles of `trie` with the highest log-probability after `prompt`, best first.
    ///
    /// Beam search compares beginnings of equal length, as transformers' does with a list of allowed tokens;
    /// only the order of work differs.
    ///
    /// # Errors
    /// [`LmError::EmptyPrompt`], [`LmError::TooLong`] or [`LmError::Setting`].
    pub fn find_titles(
        &self,
        prompt: &[u32],
        trie: &TitleTrie,
        search: TitleSearch,
    ) -> Result<Vec<FoundTitle>, LmError> {
        self.check_length(prompt.len(), trie.longest())?;
        if search.n_beams == 0 || search.n_titles == 0 {
            return Err(LmError::Setting { name: "beams", found: "0".to_owned(), expected: "1 or more" });
        }
        let width = self.config().hidden_size;
        let mut cache = self.new_cache();
        let hidden = self.forward(&mut [&mut cache], &[prompt]);
        let logits = self.logits(&hidden[hidden.len() - width..]);
        let root = Rc::new(Branch {
            cache: Some(self.cache_after(&cache.into_prefix())),
            scores: Vec::new(),
            end: End::Node(0),
            next: next_edges(trie, 0, 0.0, &logits),
        });
        Ok(if search.exact { self.best_first(trie, &root, search) } else { self.beams(trie, root, search) })
    }

    /// Beginnings of equal length compete.
    fn beams(&self, trie: &TitleTrie, root: Rc<Branch>, search: TitleSearch) -> Vec<FoundTitle> {
        let n_beams = search.n_beams.max(search.n_titles);
        let mut found: Vec<FoundTitle> = Vec::new();
        let mut beams = vec![Beam { branch: root, n_read: 0 }];
        while !beams.is_empty() {
            let mut moves: Vec<(f64, Move)> = Vec::new();
            for Beam { branch, n_read } in &beams {
                if let Some(score) = branch.scores.get(*n_read) {
                    moves.push((*score, Move::Forced(Rc::clone(branch), *n_read + 1)));
                } else {
                    // More than these cannot be among the best of all.
                    for &(edge, score) in branch.next.iter().take(2 * n_beams) {
                        moves.push((score, Move::Enter(Rc::clone(branch), edge)));
                    }
                }
            }
            moves.sort_by(|a, b| b.0.total_cmp(&a.0));
            // A score can only fall: what is below the worst title wanted is done with.
            let least = found.get(n_beams - 1).map_or(f64::NEG_INFINITY, |title| title.log_probability);
            moves.retain(|(score, _)| *score > least);
            // Twice as many as beams, so that titles that end leave enough to go on with.
            moves.truncate(2 * n_beams);
            let mut steps = Vec::new();
            beams = Vec::new();
            for (rank, (score, next)) in moves.into_iter().enumerate() {
                let (is_title, title) = match &next {
                    Move::Forced(branch, n_read) => (*n_read == branch.scores.len(), branch.end),
                    Move::Enter(_, edge) => {
                        let edge = &trie.edges[*edge as usize];
                        (edge.n_tokens == 1, edge.end)
                    }
                };
                if let (true, End::Title(title)) = (is_title, title) {
                    if rank < n_beams {
                        found.push(FoundTitle { title, log_probability: score });
                    }
                } else if beams.len() + steps.len() < n_beams {
                    match next {
                        Move::Forced(branch, n_read) => beams.push(Beam { branch, n_read }),
                        Move::Enter(from, edge) => steps.push(Step { from, edge, score }),
                    }
                }
            }
            beams.extend(self.follow(trie, &steps).into_iter().map(|branch| Beam { branch, n_read: 1 }));
            keep_best(&mut found, n_beams);
        }
        found.truncate(search.n_titles);
        found
    }

    /// Beginnings of any length compete, until no open one is better than the worst title wanted.
    fn best_first(&self, trie: &TitleTrie, root: &Rc<Branch>, search: TitleSearch) -> Vec<FoundTitle> {
        let mut found: Vec<FoundTitle> = Vec::new();
        let mut open: Vec<Step> = steps_from(root);
        loop {
            let least =
                found.get(search.n_titles - 1).map_or(f64::NEG_INFINITY, |title| title.log_probability);
            open.retain(|step| step.score > least);
            if open.is_empty() {
                return found;
            }
            if open.len() > search.n_beams {
                open.select_nth_unstable_by(search.n_beams, |a, b| {
                    b.score.total_cmp(&a.score).then(a.edge.cmp(&b.edge))
                });
            }
            let rest = open.split_off(search.n_beams.min(open.len()));
            let round = std::mem::replace(&mut open, rest);
            for branch in self.follow(trie, &round) {
                match (branch.end, branch.scores.last()) {
                    (End::Title(title), Some(&log_probability)) => {
                        found.push(FoundTitle { title, log_probability });
                    }
                    _ => open.extend(steps_from(&branch)),
                }
            }
            keep_best(&mut found, search.n_titles);
        }
    }

    /// Follows edges to their ends, all in one pass.
    fn follow(&self, trie: &TitleTrie, steps: &[Step]) -> Vec<Rc<Branch>> {
        let vocabulary = self.config().vocab_size;
        let mut caches: Vec<Cache> = Vec::new();
        let mut inputs: Vec<&[u32]> = Vec::new();
        for step in steps {
            let edge = &trie.edges[step.edge as usize];
            let tokens = trie.tokens(edge);
            // After the last token of a title nothing is asked.
            let n_needed = if matches!(edge.end, End::Title(_)) { tokens.len() - 1 } else { tokens.len() };
            if let (1.., Some(cache)) = (n_needed, &step.from.cache) {
                caches.push(cache.clone());
                inputs.push(&tokens[..n_needed]);
            }
        }
        let logits = if inputs.is_empty() {
            Vec::new()
        } else {
            let hidden = self.forward(&mut caches.iter_mut().collect::<Vec<_>>(), &inputs);
            self.logits(&hidden)
        };
        let mut rows = logits.chunks_exact(vocabulary);
        let mut caches = caches.into_iter();
        let of_step = |step: &Step| {
            let edge = &trie.edges[step.edge as usize];
            let tokens = trie.tokens(edge);
            let mut scores = Vec::with_capacity(tokens.len());
            let mut score = step.score;
            scores.push(score);
            for &token in &tokens[1..] {
                let row = rows.next().expect("a row for every token read");
                score += f64::from(row[token as usize] - log_sum(row));
                scores.push(score);
            }
            let (cache, next) = match edge.end {
                End::Title(_) => {
                    if tokens.len() > 1 {
                        // Read for the scores alone.
                        drop(caches.next());
                    }
                    (None, Vec::new())
                }
                End::Node(node) => {
                    let row = rows.next().expect("a row after the last token");
                    (caches.next(), next_edges(trie, node, score, row))
                }
            };
            Rc::new(Branch { cache, scores, end: edge.end, next })
        };
        steps.iter().map(of_step).collect()
    }

    /// Log-probabilities of every token of `sequences`, each after `prompt`.
    ///
    /// # Errors
    /// [`LmError::EmptyPrompt`] or [`LmError::TooLong`].
    pub fn score(&self, prompt: &[u32], sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>, LmError> {
        let longest = sequences.iter().map(|sequence| sequence.len()).max().unwrap_or(0);
        self.check_length(prompt.len(), longest)?;
        let (width, vocabulary) = (self.config().hidden_size, self.config().vocab_size);
        let mut cache = self.new_cache();
        let hidden = self.forward(&mut [&mut cache], &[prompt]);
        let first = self.log_shares(&hidden[hidden.len() - width..]);
        let prefix = cache.into_prefix();
        let mut scores = Vec::with_capacity(sequences.len());
        // In parts, so that the logits of a part stay small.
        for part in sequences.chunks(SCORED_TOGETHER) {
            let mut caches: Vec<Cache> = part.iter().map(|_| self.cache_after(&prefix)).collect();
            let inputs: Vec<&[u32]> =
                part.iter().map(|sequence| &sequence[..sequence.len().saturating_sub(1)]).collect();
            let hidden = self.forward(&mut caches.iter_mut().collect::<Vec<_>>(), &inputs);
            let logits = self.logits(&hidden);
            let mut rows = logits.chunks_exact(vocabulary);
            for sequence in part {
                let mut of_tokens = Vec::with_capacity(sequence.len());
                of_tokens.extend(sequence.first().map(|&token| first[token as usize]));
                // One row for every token read; the tokens come first, so that none is taken too many.
                for (&token, row) in sequence.iter().skip(1).zip(rows.by_ref()) {
                    of_tokens.push(row[token as usize] - log_sum(row));
                }
                scores.push(of_tokens);
            }
        }
        Ok(scores)
    }
}

/// Sequences in one pass of [`Decoder::score`].
const SCORED_TOGETHER: usize = 16;

/// Edges of a node with their scores, best first; `logits` are those at the node.
fn next_edges(trie: &TitleTrie, node: u32, score: f64, logits: &[f32]) -> Vec<(u32, f64)> {
    let total = log_sum(logits);
    let of_edge = |edge: u32| {
        let token = trie.tokens[trie.edges[edge as usize].first as usize];
        (edge, score + f64::from(logits[token as usize] - total))
    };
    let mut next: Vec<(u32, f64)> = trie.edges(node).map(of_edge).collect();
    next.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    next
}

fn steps_from(branch: &Rc<Branch>) -> Vec<Step> {
    branch.next.iter().map(|&(edge, score)| Step { from: Rc::clone(branch), edge, score }).collect()
}

/// Keeps the best titles, best first.
fn keep_best(found: &mut Vec<FoundTitle>, n: usize) {
    found.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability).then(a.title.cmp(&b.title)));
    found.truncate(n);
}
