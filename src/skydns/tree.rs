//! An ordered map that is a value: a copy costs nothing, and a change of one copies a few nodes and shares the rest.
//!
//! ```text
//!            [ a | k | t ]                inner node: the least key of each child, or one below it, and the sum of its values
//!            /     |     \
//!      [a b f]  [k m]  [t x z]            leaf: keys with their values, in order
//! ```
//!
//! A B+ tree: each node has at most [`WIDTH`] places, all leaves are equally deep. A node that nobody else shares is
//! changed where it is, so that filling a map from nothing copies nothing.
//!
//! Beside each child stands what all values below it come to ([`Summed`]), so that a walk goes round what it has no use
//! for. It is always that of the values that are there, whatever was put in or taken out.

use std::{borrow::Borrow, fmt, slice, sync::Arc};

/// Places in a node. A change copies so many of them on each level; fewer make the tree deeper.
const WIDTH: usize = 32;
/// Neighbours are joined where one has less than this.
const THIN: usize = WIDTH / 4;

/// A value that says what a walk may look for.
pub(crate) trait Summed {
    /// What one value or several have; that of none is the default.
    type Sum: Copy + Default + PartialEq;

    /// What this one has.
    fn sum(&self) -> Self::Sum;

    /// What both have together, in either order.
    fn join(one: Self::Sum, other: Self::Sum) -> Self::Sum;
}

/// A map from `K` to `V`, ordered.
#[derive(Clone)]
pub(crate) struct Tree<K, V: Summed> {
    root: Arc<Node<K, V>>,
    length: usize,
}

/// A place in the order of keys, and the way from there on.
#[derive(Clone)]
pub(crate) struct Cursor<'a, K, V: Summed> {
    /// What is still to be entered, the deepest last.
    inner: Vec<slice::Iter<'a, Child<K, V>>>,
    leaf: slice::Iter<'a, (K, V)>,
}

#[derive(Clone)]
enum Node<K, V: Summed> {
    Leaf(Vec<(K, V)>),
    Inner(Vec<Child<K, V>>),
}

#[derive(Clone)]
struct Child<K, V: Summed> {
    least: K,
    sum: V::Sum,
    node: Arc<Node<K, V>>,
}

impl<K: Ord + Clone, V: Clone + Summed> Tree<K, V> {
    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// True without any key.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The value of a key.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(pairs) => {
                    let at = pairs.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
                    return Some(&pairs[at].1);
                }
                Node::Inner(children) => node = &children.get(child_of(children, key))?.node,
            }
        }
    }

    /// Puts a value in, and returns the one before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let least = key.clone();
        let (before, split) = Node::insert(&mut self.root, key, value);
        if let Some(right) = split {
            let left = Arc::clone(&self.root);
            let least = left.least().cloned().unwrap_or(least);
            self.root = Arc::new(Node::Inner(vec![Child { least, sum: left.sum(), node: left }, right]));
        }
        self.length += usize::from(before.is_none());
        before
    }

    /// Takes a key out, and returns its value.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // Looked for first, so that nothing is copied where there is nothing.
        self.get(key)?;
        let before = Node::remove(&mut self.root, key);
        self.length -= usize::from(before.is_some());
        while let Node::Inner(children) = &*self.root {
            match &children[..] {
                [] => self.root = Arc::new(Node::Leaf(Vec::new())),
                [only] => self.root = Arc::clone(&only.node),
                _ => break,
            }
        }
        before
    }

    /// All keys and values, in order.
    pub(crate) fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a K, &'a V)) {
        let mut cursor = Cursor { inner: Vec::new(), leaf: [].iter() };
        cursor.enter(&self.root);
        while let Some((key, value)) = cursor.next(|_| true) {
            visit(key, value);
        }
    }

    /// The way through all keys from `start` on.
    pub(crate) fn from<Q: Ord + ?Sized>(&self, start: &Q) -> Cursor<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let mut cursor = Cursor { inner: Vec::new(), leaf: [].iter() };
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(pairs) => {
                    let from = pairs.partition_point(|(key, _)| key.borrow() < start);
                    cursor.leaf = pairs[from..].iter();
                    return cursor;
                }
                Node::Inner(children) => {
                    let mut rest = children[child_of(children, start)..].iter();
                    // There is no inner node without children.
                    let Some(child) = rest.next() else { return cursor };
                    cursor.inner.push(rest);
                    node = &child.node;
                }
            }
        }
    }
}

impl<'a, K, V: Summed> Cursor<'a, K, V> {
    /// The next key and its value, in order. Keys may be left out of whose sum `enters` says no; where it says yes, they
    /// are all shown, be they what is looked for or not.
    pub(crate) fn next(&mut self, enters: impl Fn(&V::Sum) -> bool) -> Option<(&'a K, &'a V)> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            match self.inner.last_mut()?.next() {
                Some(child) if enters(&child.sum) => self.enter(&child.node),
                Some(_) => {}
                None => {
                    self.inner.pop();
                }
            }
        }
    }

    fn enter(&mut self, node: &'a Node<K, V>) {
        match node {
            Node::Leaf(pairs) => self.leaf = pairs.iter(),
            Node::Inner(children) => self.inner.push(children.iter()),
        }
    }
}

impl<K: Ord + Clone, V: Clone + Summed> Node<K, V> {
    fn least(&self) -> Option<&K> {
        match self {
            Self::Leaf(pairs) => pairs.first().map(|(key, _)| key),
            Self::Inner(children) => children.first().map(|child| &child.least),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(pairs) => pairs.len(),
            Self::Inner(children) => children.len(),
        }
    }

    fn sum(&self) -> V::Sum {
        match self {
            Self::Leaf(pairs) => pairs.iter().map(|(_, value)| value.sum()).fold(V::Sum::default(), V::join),
            Self::Inner(children) => children.iter().map(|child| child.sum).fold(V::Sum::default(), V::join),
        }
    }

    /// The value before, and the right half of the node where it had to be split.
    fn insert(node: &mut Arc<Self>, key: K, value: V) -> (Option<V>, Option<Child<K, V>>) {
        match Arc::make_mut(node) {
            Self::Leaf(pairs) => match pairs.binary_search_by(|(other, _)| other.cmp(&key)) {
                Ok(at) => (Some(std::mem::replace(&mut pairs[at].1, value)), None),
                Err(at) => {
                    pairs.insert(at, (key, value));
                    (None, halve(pairs).map(|right| Child::new(right[0].0.clone(), Self::Leaf(right))))
                }
            },
            Self::Inner(children) => {
                let at = child_of(children, &key);
                let added = value.sum();
                let child = &mut children[at];
                let (before, split) = Self::insert(&mut child.node, key, value);
                match (&before, &split) {
                    // The most frequent case, in which nobody else is asked.
                    (None, None) => child.sum = V::join(child.sum, added),
                    (Some(before), _) if before.sum() == added => {}
                    _ => child.sum = child.node.sum(),
                }
                if let Some(right) = split {
                    children.insert(at + 1, right);
                }
                (before, halve(children).map(|right| Child::new(right[0].least.clone(), Self::Inner(right))))
            }
        }
    }

    fn remove<Q: Ord + ?Sized>(node: &mut Arc<Self>, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match Arc::make_mut(node) {
            Self::Leaf(pairs) => {
                let at = pairs.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
                Some(pairs.remove(at).1)
            }
            Self::Inner(children) => {
                let at = child_of(children, key);
                let child = &mut children[at];
                let before = Self::remove(&mut child.node, key);
                child.sum = child.node.sum();
                if child.node.len() == 0 {
                    children.remove(at);
                } else if child.node.len() < THIN {
                    let left = if at + 1 < children.len() { at } else { at.saturating_sub(1) };
                    join(children, left);
                }
                before
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone + Summed> Child<K, V> {
    fn new(least: K, node: Node<K, V>) -> Self {
        Self { least, sum: node.sum(), node: Arc::new(node) }
    }
}

/// The child that has the key if any has.
fn child_of<K: Borrow<Q>, V: Summed, Q: Ord + ?Sized>(children: &[Child<K, V>], key: &Q) -> usize {
    children.partition_point(|child| child.least.borrow() <= key).saturating_sub(1)
}

/// Takes the right half off where there is too much.
fn halve<T>(places: &mut Vec<T>) -> Option<Vec<T>> {
    (places.len() > WIDTH).then(|| places.split_off(WIDTH / 2))
}

/// Joins a child with the one to its right, where both fit into one.
fn join<K: Ord + Clone, V: Clone + Summed>(children: &mut Vec<Child<K, V>>, left: usize) {
    let Some(right) = children.get(left + 1) else { return };
    if children[left].node.len() + right.node.len() > WIDTH {
        return;
    }
    let right = children.remove(left + 1);
    let left = &mut children[left];
    match (Arc::make_mut(&mut left.node), Arc::unwrap_or_clone(right.node)) {
        (Node::Leaf(pairs), Node::Leaf(more)) => pairs.extend(more),
        (Node::Inner(pairs), Node::Inner(more)) => pairs.extend(more),
        // All leaves are equally deep.
        _ => {}
    }
    left.sum = V::join(left.sum, right.sum);
}

impl<K, V: Summed> Default for Tree<K, V> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), length: 0 }
    }
}

impl<K, V: Summed> fmt::Debug for Tree<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Numbers that look random and are always the same (Knuth's multiplier).
    fn numbers() -> impl Iterator<Item = u64> {
        (1_u64..).map(|index| index.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17))
    }

    /// Which of 64 kinds there are.
    impl Summed for u64 {
        type Sum = Self;

        fn sum(&self) -> Self {
            1 << (self % 64)
        }

        fn join(one: Self, other: Self) -> Self {
            one | other
        }
    }

    /// True if each sum is that of what is below it.
    fn sums_are_right(node: &Node<u64, u64>) -> bool {
        match node {
            Node::Leaf(_) => true,
            Node::Inner(children) => {
                children.iter().all(|child| child.sum == child.node.sum() && sums_are_right(&child.node))
            }
        }
    }

    fn contents(tree: &Tree<u64, u64>) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        tree.visit(&mut |key, value| all.push((*key, *value)));
        all
    }

    #[test]
    fn a_tree_holds_what_a_sorted_map_holds() {
        let mut tree = Tree::default();
        let mut map = BTreeMap::new();
        for (index, number) in numbers().take(20_000).enumerate() {
            // Grows to some 2,000 keys and shrinks to nothing again.
            let key = number % 3_000;
            let grows = index < 8_000;
            if (number >> 20).is_multiple_of(4) || !grows {
                assert_eq!(tree.remove(&key), map.remove(&key));
            } else {
                assert_eq!(tree.insert(key, number), map.insert(key, number));
            }
            assert_eq!(tree.len(), map.len());
            if index % 500 == 0 {
                assert_eq!(contents(&tree), map.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>());
                assert!(sums_are_right(&tree.root));
                // All, and all of one kind.
                for kinds in [u64::MAX, 1 << 7] {
                    let mut from = Vec::new();
                    let mut cursor = tree.from(&key);
                    while let Some((key, value)) = cursor.next(|sum| sum & kinds != 0) {
                        from.extend((value.sum() & kinds != 0).then_some(*key));
                    }
                    let wanted = map.range(key..).filter(|(_, value)| value.sum() & kinds != 0);
                    assert_eq!(from, wanted.map(|(key, _)| *key).collect::<Vec<_>>());
                }
            }
        }
        for key in 0..3_000 {
            assert_eq!(tree.get(&key), map.get(&key));
            assert_eq!(tree.remove(&key), map.remove(&key));
        }
        assert!(tree.is_empty() && contents(&tree).is_empty());
    }

    #[test]
    fn a_walk_goes_round_what_it_has_no_use_for() {
        let mut tree = Tree::default();
        for number in 0..100_000_u64 {
            tree.insert(number, 64 * number);
        }
        tree.insert(70_000, 7);
        let shown = |tree: &Tree<u64, u64>| {
            let mut cursor = tree.from(&1_000);
            std::iter::from_fn(move || cursor.next(|sum| sum & (1 << 7) != 0)).count()
        };
        // The leaf that it starts in, and the one that has it.
        assert!(shown(&tree) <= 2 * WIDTH);
        tree.remove(&70_000);
        assert!(shown(&tree) <= WIDTH);
    }

    #[test]
    fn a_copy_keeps_what_it_had() {
        let mut tree = Tree::default();
        for number in 0..1_000_u64 {
            tree.insert(number, number);
        }
        let copy = tree.clone();
        for number in 0..1_000 {
            if number % 2 == 0 {
                tree.remove(&number);
            } else {
                tree.insert(number, 0);
            }
        }
        assert_eq!(contents(&copy), (0..1_000).map(|number| (number, number)).collect::<Vec<_>>());
        assert_eq!(tree.len(), 500);
    }
}
