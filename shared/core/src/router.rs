//! Finds the patterns that match a key without trying each of them.
//!
//! The patterns of a bucket form a trie by segment. Patterns that begin alike share their nodes, whatever their captures are
//! called. A key walks down all branches that fit at once. At a node, literals are looked up, and the other shapes are found
//! by their literal beginnings and ends. So the work grows only with the number of patterns that begin and end as the key
//! does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::packed::{List, Packed};
use crate::pattern::{Part, Pattern, Segment, matches};

/// Finds the routes, by index, whose bucket and key pattern match.
#[derive(Debug, Clone, Default)]
pub struct Router {
    buckets: BTreeMap<String, Trie>,
}

#[derive(Debug, Clone, Default)]
struct Trie {
    /// The first one is the root.
    nodes: List<Node>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Node {
    literals: BTreeMap<String, usize>,
    /// Segments with wildcards, by the literal that they begin with and the one that they end with.
    shapes: BTreeMap<String, BTreeMap<String, Vec<Shape>>>,
    /// The lengths of the keys of `shapes`.
    lengths: Vec<(usize, usize)>,
    /// The node behind a `**`, which stays active for any segment.
    any: Option<usize>,
    stays: bool,
    /// The routes whose pattern ends here.
    routes: Vec<usize>,
}

/// A segment with wildcards, and the node that it leads to.
type Shape = (Vec<Part>, usize);

/// The lengths of packed nodes, by bucket.
pub(crate) type Lengths = BTreeMap<String, Vec<usize>>;

impl Router {
    /// Builds an index of `patterns`, which are pairs of a bucket and a key pattern. A route's index is its position.
    pub fn new<'a>(patterns: impl IntoIterator<Item = (&'a str, &'a Pattern)>) -> Self {
        let mut buckets: BTreeMap<String, Vec<Node>> = BTreeMap::new();
        for (route, (bucket, pattern)) in patterns.into_iter().enumerate() {
            let root = || vec![Node::default()];
            let nodes = buckets.entry(bucket.to_owned()).or_insert_with(root);
            let mut at = 0;
            for segment in pattern.segments() {
                at = below(nodes, at, segment);
            }
            nodes[at].routes.push(route);
        }
        let trie = |(bucket, nodes): (_, Vec<_>)| (bucket, Trie { nodes: nodes.into() });
        Self { buckets: buckets.into_iter().map(trie).collect() }
    }

    /// Appends its nodes to `bytes`, and returns their lengths by bucket.
    pub(crate) fn pack(&self, bytes: &mut Vec<u8>) -> serde_json::Result<Lengths> {
        let pack = |(bucket, trie): (&String, &Trie)| Ok((bucket.clone(), trie.nodes.pack(bytes)?));
        self.buckets.iter().map(pack).collect()
    }

    /// Returns the router whose nodes are next in `packed`; `None` if it is shorter.
    pub(crate) fn unpack(packed: &mut Packed, lengths: Lengths) -> Option<Self> {
        let trie = |(bucket, lengths): (_, Vec<_>)| {
            Some((bucket, Trie { nodes: List::unpack(packed, &lengths)? }))
        };
        Some(Self { buckets: lengths.into_iter().map(trie).collect::<Option<_>>()? })
    }

    /// Returns what looks up keys.
    pub fn finder(&self) -> Finder<'_> {
        Finder { router: self, active: Active::default(), next: Active::default() }
    }
}

/// Looks up one key after another, and reuses its memory.
#[derive(Debug)]
pub struct Finder<'r> {
    router: &'r Router,
    active: Active,
    next: Active,
}

impl Finder<'_> {
    /// Returns the indices of all matching routes in ascending order.
    pub fn find(&mut self, bucket: &str, key: &str) -> Vec<usize> {
        let Some(trie) = self.router.buckets.get(bucket) else { return Vec::new() };
        let mut found = trie.find(key, &mut self.active, &mut self.next);
        found.sort_unstable();
        found
    }
}

/// Returns the node that `segment` leads to from `at`, and makes it if there is none yet.
fn below(nodes: &mut Vec<Node>, at: usize, segment: &Segment) -> usize {
    let fresh = nodes.len();
    let node = &mut nodes[at];
    let next = match segment {
        Segment::Any => *node.any.get_or_insert(fresh),
        Segment::Parts(parts) => match parts.as_slice() {
            [] => *node.literals.entry(String::new()).or_insert(fresh),
            [Part::Literal(text)] => *node.literals.entry(text.clone()).or_insert(fresh),
            _ => node.shape(parts, fresh),
        },
    };
    if next == fresh {
        nodes.push(Node { stays: *segment == Segment::Any, ..Node::default() });
    }
    next
}

impl Trie {
    /// Finds the routes of a key. `active` and `next` are empty before and after.
    fn find(&self, key: &str, active: &mut Active, next: &mut Active) -> Vec<usize> {
        active.make_room(self.nodes.len());
        next.make_room(self.nodes.len());
        self.enter(0, active);
        for segment in key.split('/') {
            for &at in &active.nodes {
                let node = &self.nodes[at];
                if node.stays {
                    self.enter(at, next);
                }
                if let Some(&below) = node.literals.get(segment) {
                    self.enter(below, next);
                }
                for below in node.matching_shapes(segment) {
                    self.enter(below, next);
                }
            }
            active.clear();
            std::mem::swap(active, next);
        }
        let found = active.nodes.iter().flat_map(|&at| self.nodes[at].routes.iter().copied());
        let found = found.collect();
        active.clear();
        found
    }

    /// Enters a node. A `**` also matches no segment, so this enters the node behind its `**` too.
    fn enter(&self, at: usize, active: &mut Active) {
        let mut entered = Some(at);
        while let Some(at) = entered.filter(|at| !active.is_in[*at]) {
            active.nodes.push(at);
            active.is_in[at] = true;
            entered = self.nodes[at].any;
        }
    }
}

/// A set of nodes.
#[derive(Debug, Default)]
struct Active {
    nodes: Vec<usize>,
    is_in: Vec<bool>,
}

impl Active {
    fn make_room(&mut self, nodes: usize) {
        if self.is_in.len() < nodes {
            self.is_in.resize(nodes, false);
        }
    }

    fn clear(&mut self) {
        for at in self.nodes.drain(..) {
            self.is_in[at] = false;
        }
    }
}

impl Node {
    fn shape(&mut self, parts: &[Part], fresh: usize) -> usize {
        let nameless: Vec<Part> = parts
            .iter()
            .map(|part| match part {
                Part::Capture(_) => Part::Capture(String::new()),
                other => other.clone(),
            })
            .collect();
        let literal = |part: Option<&Part>| match part {
            Some(Part::Literal(text)) => text.clone(),
            _ => String::new(),
        };
        let (prefix, suffix) = (literal(nameless.first()), literal(nameless.last()));
        let lengths = (prefix.len(), suffix.len());
        if !self.lengths.contains(&lengths) {
            self.lengths.push(lengths);
        }
        let shapes = self.shapes.entry(prefix).or_default().entry(suffix).or_default();
        match shapes.iter().find(|(shape, _)| *shape == nameless) {
            Some((_, below)) => *below,
            None => {
                shapes.push((nameless, fresh));
                fresh
            }
        }
    }

    fn matching_shapes(&self, segment: &str) -> impl Iterator<Item = usize> {
        let candidates = self.lengths.iter().filter_map(move |(prefix, suffix)| {
            let suffix_start = segment.len().checked_sub(*suffix)?;
            self.shapes.get(segment.get(..*prefix)?)?.get(segment.get(suffix_start..)?)
        });
        candidates.flatten().filter(move |(shape, _)| matches(shape, segment)).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn router(patterns: &[&str]) -> Router {
        let parsed: Vec<Pattern> = patterns.iter().map(|p| Pattern::parse(p).unwrap()).collect();
        Router::new(parsed.iter().map(|p| ("landing", p)))
    }

    #[test]
    fn a_key_finds_every_route_that_matches_it() {
        let router =
            router(&["orders/{dt}/*.csv", "**", "orders/{day}/a.csv", "items/**", "orders/*/*"]);
        assert_eq!(router.finder().find("landing", "orders/1/a.csv"), [0, 1, 2, 4]);
        assert_eq!(router.finder().find("landing", "items/x/y"), [1, 3]);
        assert_eq!(router.finder().find("elsewhere", "items/x/y"), [0usize; 0]);
    }

    #[test]
    fn routes_that_begin_alike_share_their_nodes() {
        let patterns: Vec<String> =
            (0..500).map(|n| format!("{{tenant}}/in/table_{n}_{{f}}.csv")).collect();
        let router = router(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
        let trie = &router.buckets["landing"];
        assert_eq!(trie.nodes.len(), 3 + 500);
        let folder = &trie.nodes[2];
        assert_eq!(folder.lengths.len(), 3, "table_7_, table_42_ and table_123_");
        assert_eq!(router.finder().find("landing", "acme/in/table_42_x.csv"), [42]);
    }

    #[test]
    fn routes_that_differ_at_the_end_only_are_looked_up_too() {
        let patterns: Vec<String> = (0..500).map(|n| format!("in/{{date}}_table{n}.csv")).collect();
        let router = router(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
        let folder = &router.buckets["landing"].nodes[1];
        assert_eq!((folder.shapes[""].len(), folder.lengths.len()), (500, 3));
        assert_eq!(router.finder().find("landing", "in/2026-01-31_table42.csv"), [42]);
    }

    #[test]
    fn a_key_built_to_be_slow_is_not() {
        let patterns: Vec<String> = (0..50)
            .map(|n| format!("{}z{n}", "**/a/*/".repeat(crate::pattern::MAX_DOUBLE_STARS)))
            .collect();
        let router = router(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(router.finder().find("landing", &"a/".repeat(512)), [0usize; 0]);
    }

    fn any_pattern() -> impl Strategy<Value = String> {
        let segment = prop_oneof![
            "[ab]{1,2}",
            "[ab]?\\*[ab]?",
            Just("**".to_owned()),
            Just("{x}".to_owned())
        ];
        prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("/"))
    }

    proptest! {
        #[test]
        fn the_router_finds_exactly_what_each_pattern_matches(
            texts in prop::collection::vec(any_pattern(), 1..8),
            key in "[ab/]{0,8}",
        ) {
            let patterns: Vec<Pattern> = texts.iter().filter_map(|t| Pattern::parse(t).ok()).collect();
            let router = Router::new(patterns.iter().map(|p| ("b", p)));
            let expected: Vec<usize> = (0..patterns.len())
                .filter(|i| patterns[*i].captures(&key).is_some())
                .collect();
            prop_assert_eq!(router.finder().find("b", &key), expected, "{:?} on {}", texts, key);
        }
    }
}
