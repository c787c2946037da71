//! Percentiles: how many values lie in each of logarithmic buckets, per key, as a tree that can
//! take values back.
//!
//! A bucket is the sign, the exponent and the first seven bits of the fraction of a double: the
//! linearly interpolated mapping of DDSketch [Masson, Rim & Lee, "DDSketch", VLDB 2019, section 2],
//! whose buckets are 1/128 of their value wide. The tree is a treap, its priorities a hash of the
//! bucket, so it has the same shape whatever the order of updates.
//!
//! Invariant: a node is in the tree of one key or free; a tree has as many nodes as different
//! buckets, at most 2^19 for all doubles and a few hundred for values of like size.

use zerocopy::FromZeros;

use super::keys::mix;
use super::spec::SpecError;
use crate::memory::Memory;
use crate::rules::types::Type;

/// Bits of a double that are not part of its bucket.
const CUT: u32 = 45;

#[derive(Copy, Clone, FromZeros)]
struct Node {
    bucket: u32,
    left: u32,
    right: u32,
    _pad: u32,
    count: u64,
    /// Of the whole subtree.
    total: u64,
}

pub(in crate::rules) struct Sketch {
    /// Node 0 is none.
    nodes: Vec<Node>,
    /// Free nodes, linked by `left`.
    free: u32,
    /// Nodes from here on were never used.
    fresh: u32,
    used: usize,
}

/// A double's bits such that unsigned order is the order of numbers.
#[inline]
pub(in crate::rules) const fn order_f64(bits: u64) -> u64 {
    if bits >> 63 != 0 { !bits } else { bits | 1 << 63 }
}

/// What [`order_f64`] was given.
#[inline]
pub(in crate::rules) const fn unorder_f64(order: u64) -> u64 {
    if order >> 63 != 0 { order & !(1 << 63) } else { !order }
}

/// The bucket of a value.
#[inline]
pub(in crate::rules) fn bucket(ty: Type, bits: u64) -> u32 {
    let value = match ty {
        Type::Double => f64::from_bits(bits),
        _ => bits.cast_signed() as f64,
    };
    // A negative zero is a zero.
    (order_f64((value + 0.0).to_bits()) >> CUT) as u32
}

/// The value that stands for a bucket: its middle, rounded for whole numbers.
pub(in crate::rules) fn representative(ty: Type, bucket: u32) -> u64 {
    let bound = |order: u64| f64::from_bits(unorder_f64(order));
    let (low, high) = (u64::from(bucket) << CUT, (u64::from(bucket) << CUT) | ((1 << CUT) - 1));
    // Values below the least normal double share the bucket of zero.
    let middle = if bound(low) == 0.0 { 0.0 } else { bound(low) / 2.0 + bound(high) / 2.0 };
    match ty {
        Type::Double => middle.to_bits(),
        _ => (middle.round() as i64).cast_unsigned(),
    }
}

impl Sketch {
    pub(in crate::rules) fn new(nodes: usize) -> Result<Self, SpecError> {
        let nodes = Node::new_vec_zeroed(nodes + 1).map_err(|_| SpecError::Memory)?;
        Ok(Self { nodes, free: 0, fresh: 1, used: 0 })
    }

    /// Whether a bucket more could need a node that is not there.
    pub(in crate::rules) fn is_full(&self) -> bool {
        self.free == 0 && self.fresh as usize == self.nodes.len()
    }

    /// Nodes in use.
    pub(in crate::rules) fn used(&self) -> usize {
        self.used
    }

    /// Puts all values of another tree into one. The new root.
    pub(in crate::rules) fn merge(&mut self, root: u32, other: u32) -> u32 {
        if other == 0 {
            return root;
        }
        let Node { bucket, left, right, count, .. } = *self.at(other);
        let root = self.add(root, bucket, count);
        let root = self.merge(root, left);
        self.merge(root, right)
    }

    fn take(&mut self, bucket: u32, count: u64) -> u32 {
        let node = if self.free != 0 { self.free } else { self.fresh };
        if node as usize >= self.nodes.len() {
            return 0;
        }
        if self.free != 0 {
            self.free = self.nodes[node as usize].left;
        } else {
            self.fresh += 1;
        }
        self.used += 1;
        self.nodes[node as usize] =
            Node { bucket, left: 0, right: 0, _pad: 0, count, total: count };
        node
    }

    fn give(&mut self, node: u32) {
        self.used -= 1;
        self.nodes[node as usize].left = self.free;
        self.free = node;
    }

    #[inline]
    fn at(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    #[inline]
    fn at_mut(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    fn priority(&self, node: u32) -> u64 {
        mix(self.at(node).bucket.into())
    }

    fn recount(&mut self, node: u32) {
        let Node { left, right, count, .. } = *self.at(node);
        self.at_mut(node).total = count + self.at(left).total + self.at(right).total;
    }

    /// Puts `count` more values into a bucket. The new root.
    pub(in crate::rules) fn add(&mut self, root: u32, bucket: u32, count: u64) -> u32 {
        if root == 0 {
            return self.take(bucket, count);
        }
        let Node { bucket: here, left, right, .. } = *self.at(root);
        if bucket == here {
            self.at_mut(root).count += count;
            self.at_mut(root).total += count;
            return root;
        }
        let child = self.add(if bucket < here { left } else { right }, bucket, count);
        if bucket < here {
            self.at_mut(root).left = child;
        } else {
            self.at_mut(root).right = child;
        }
        if child == 0 || self.priority(child) < self.priority(root) {
            self.recount(root);
            return root;
        }
        if bucket < here {
            self.at_mut(root).left = self.at(child).right;
            self.at_mut(child).right = root;
        } else {
            self.at_mut(root).right = self.at(child).left;
            self.at_mut(child).left = root;
        }
        self.recount(root);
        self.recount(child);
        child
    }

    /// Takes one value out of a bucket. The new root.
    pub(in crate::rules) fn retract(&mut self, root: u32, bucket: u32) -> u32 {
        if root == 0 {
            return 0;
        }
        let Node { bucket: here, left, right, count, .. } = *self.at(root);
        if bucket == here {
            if count <= 1 {
                self.give(root);
                return self.join(left, right);
            }
            self.at_mut(root).count -= 1;
        } else if bucket < here {
            self.at_mut(root).left = self.retract(left, bucket);
        } else {
            self.at_mut(root).right = self.retract(right, bucket);
        }
        self.recount(root);
        root
    }

    fn join(&mut self, left: u32, right: u32) -> u32 {
        if left == 0 || right == 0 {
            return left | right;
        }
        if self.priority(left) > self.priority(right) {
            self.at_mut(left).right = self.join(self.at(left).right, right);
            self.recount(left);
            left
        } else {
            self.at_mut(right).left = self.join(left, self.at(right).left);
            self.recount(right);
            right
        }
    }

    /// The bucket of the value at `floor(p * (n - 1))`; `None` of no values.
    pub(in crate::rules) fn quantile(&self, root: u32, p: f64) -> Option<u32> {
        let total = self.at(root).total;
        if root == 0 || total == 0 {
            return None;
        }
        let mut rank = ((p * (total - 1) as f64) as u64).min(total - 1);
        let mut node = root;
        while node != 0 {
            let Node { bucket, left, right, count, .. } = *self.at(node);
            let before = self.at(left).total;
            if rank < before {
                node = left;
            } else if rank < before + count {
                return Some(bucket);
            } else {
                rank -= before + count;
                node = right;
            }
        }
        None
    }

    /// Every bucket of a tree and its count, in order.
    pub(in crate::rules) fn each(&self, root: u32, visit: &mut dyn FnMut(u32, u64)) {
        if root != 0 {
            let Node { bucket, left, right, count, .. } = *self.at(root);
            self.each(left, visit);
            visit(bucket, count);
            self.each(right, visit);
        }
    }

    /// Gives up a whole tree.
    pub(in crate::rules) fn clear(&mut self, root: u32) {
        if root != 0 {
            let Node { left, right, .. } = *self.at(root);
            self.clear(left);
            self.clear(right);
            self.give(root);
        }
    }

    pub(in crate::rules) fn reserve(&self, memory: Memory) {
        memory.reserve(&self.nodes);
    }

    pub(in crate::rules) fn bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>()
    }
}
