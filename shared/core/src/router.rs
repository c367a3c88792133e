//! Which patterns match a key, without trying each of them.
//!
//! The patterns of a bucket form a trie by segment, in which patterns that begin alike share their
//! nodes whatever their captures are called. A key walks down all branches that fit at once. At a
//! node, literals are looked up and the other shapes are found by their literal beginnings, so
//! the work grows with the number of patterns that *nearly* match, not with the number of routes.

use std::collections::BTreeMap;

use crate::pattern::{Part, Pattern, Segment, matches};

/// Finds the routes (by index) whose bucket and key pattern match.
#[derive(Debug, Clone, Default)]
pub struct Router {
    buckets: BTreeMap<String, Trie>,
}

#[derive(Debug, Clone, Default)]
struct Trie {
    /// The first is the root.
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    literals: BTreeMap<String, usize>,
    /// Segments with wildcards by the literal that they begin with.
    shapes: BTreeMap<String, Vec<(Vec<Part>, usize)>>,
    /// The lengths of the keys of `shapes`.
    prefix_lengths: Vec<usize>,
    /// The node behind a `**`; it stays where it is for any segment.
    any: Option<usize>,
    stays: bool,
    /// The routes whose pattern ends here.
    routes: Vec<usize>,
}

impl Router {
    /// An index of `patterns`: (bucket, key pattern); a route's index is its position.
    pub fn new<'a>(patterns: impl IntoIterator<Item = (&'a str, &'a Pattern)>) -> Self {
        let mut router = Self::default();
        for (route, (bucket, pattern)) in patterns.into_iter().enumerate() {
            let trie = router.buckets.entry(bucket.to_owned()).or_default();
            let mut at = trie.root();
            for segment in pattern.segments() {
                at = trie.below(at, segment);
            }
            trie.nodes[at].routes.push(route);
        }
        router
    }

    /// The indices of all matching routes, ascending.
    pub fn find(&self, bucket: &str, key: &str) -> Vec<usize> {
        let mut found = self.buckets.get(bucket).map_or_else(Vec::new, |trie| trie.find(key));
        found.sort_unstable();
        found
    }
}

impl Trie {
    fn root(&mut self) -> usize {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        0
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The node that `segment` leads to from `at`, made if there is none yet.
    fn below(&mut self, at: usize, segment: &Segment) -> usize {
        let fresh = self.nodes.len();
        let node = &mut self.nodes[at];
        let next = match segment {
            Segment::Any => *node.any.get_or_insert(fresh),
            Segment::Parts(parts) => match parts.as_slice() {
                [] => *node.literals.entry(String::new()).or_insert(fresh),
                [Part::Literal(text)] => *node.literals.entry(text.clone()).or_insert(fresh),
                _ => node.shape(parts, fresh),
            },
        };
        if next == fresh {
            self.add(Node { stays: *segment == Segment::Any, ..Node::default() });
        }
        next
    }

    fn find(&self, key: &str) -> Vec<usize> {
        let mut active = Vec::new();
        self.enter(0, &mut active);
        for segment in key.split('/') {
            let mut next = Vec::new();
            for &at in &active {
                let node = &self.nodes[at];
                if node.stays {
                    self.enter(at, &mut next);
                }
                if let Some(&below) = node.literals.get(segment) {
                    self.enter(below, &mut next);
                }
                for below in node.matching_shapes(segment) {
                    self.enter(below, &mut next);
                }
            }
            active = next;
        }
        active.iter().flat_map(|&at| self.nodes[at].routes.iter().copied()).collect()
    }

    /// A `**` matches no segment too, so entering a node enters the one behind its `**`.
    fn enter(&self, at: usize, active: &mut Vec<usize>) {
        if active.contains(&at) {
            return;
        }
        active.push(at);
        if let Some(any) = self.nodes[at].any {
            self.enter(any, active);
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
        let prefix = match nameless.first() {
            Some(Part::Literal(text)) => text.clone(),
            _ => String::new(),
        };
        if !self.prefix_lengths.contains(&prefix.len()) {
            self.prefix_lengths.push(prefix.len());
        }
        let shapes = self.shapes.entry(prefix).or_default();
        match shapes.iter().find(|(shape, _)| *shape == nameless) {
            Some((_, below)) => *below,
            None => {
                shapes.push((nameless, fresh));
                fresh
            }
        }
    }

    fn matching_shapes(&self, segment: &str) -> impl Iterator<Item = usize> {
        self.prefix_lengths
            .iter()
            .filter_map(|length| self.shapes.get(segment.get(..*length)?))
            .flatten()
            .filter(move |(shape, _)| matches(shape, segment))
            .map(|(_, below)| *below)
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
        assert_eq!(router.find("landing", "orders/1/a.csv"), [0, 1, 2, 4]);
        assert_eq!(router.find("landing", "items/x/y"), [1, 3]);
        assert_eq!(router.find("elsewhere", "items/x/y"), [0usize; 0]);
    }

    #[test]
    fn routes_that_begin_alike_share_their_nodes() {
        let patterns: Vec<String> =
            (0..500).map(|n| format!("{{tenant}}/in/table_{n}_{{f}}.csv")).collect();
        let router = router(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
        let trie = &router.buckets["landing"];
        assert_eq!(trie.nodes.len(), 3 + 500);
        let folder = &trie.nodes[2];
        assert_eq!(folder.prefix_lengths.len(), 3, "table_7_, table_42_ and table_123_");
        assert_eq!(router.find("landing", "acme/in/table_42_x.csv"), [42]);
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
            prop_assert_eq!(router.find("b", &key), expected, "{:?} on {}", texts, key);
        }
    }
}
