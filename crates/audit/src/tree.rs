//! The Merkle tree over a log's lines (RFC 6962 §2.1), grown a leaf at a time. It keeps one digest
//! for each bit of its size, so a log of any length costs a few hundred octets.

use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// What keeps a leaf from being taken for a node (RFC 6962 §2.1).
const LEAF: [u8; 1] = [0];
const NODE: [u8; 1] = [1];

/// A tree of which only the size and the roots of its complete subtrees are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// Roots of complete subtrees, the largest first.
    peaks: Vec<Digest>,
}

impl Tree {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree of `size` leaves whose complete subtrees have those roots, the largest first; `None`
    /// if a tree of that size has another number of them.
    pub fn from_peaks(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        (u32::try_from(peaks.len()) == Ok(size.count_ones())).then_some(Self { size, peaks })
    }

    /// The roots of its complete subtrees, the largest first.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf at the end.
    pub fn push(&mut self, crypto: &dyn Crypto, leaf: &[u8]) {
        let mut root = crypto.hash(HashAlgorithm::Sha256, &[&LEAF, leaf]);
        // Two subtrees of one size become one of twice the size, as digits carry over.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                root = node(crypto, &left, &root);
            }
        }
        self.peaks.push(root);
        self.size += 1;
    }

    /// The root: what stands for all leaves and their order.
    pub fn root(&self, crypto: &dyn Crypto) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            Some(last) => peaks.fold(*last, |root, left| node(crypto, left, &root)),
            None => crypto.hash(HashAlgorithm::Sha256, &[]),
        }
    }
}

fn node(crypto: &dyn Crypto, left: &Digest, right: &Digest) -> Digest {
    crypto.hash(HashAlgorithm::Sha256, &[&NODE, left.as_bytes(), right.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto_awslc::AwsLc;

    /// The definition of RFC 6962 §2.1, word by word.
    fn by_definition(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [] => AwsLc.hash(HashAlgorithm::Sha256, &[]),
            [leaf] => AwsLc.hash(HashAlgorithm::Sha256, &[&[0], leaf]),
            _ => {
                let half = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(half);
                node(&AwsLc, &by_definition(left), &by_definition(right))
            }
        }
    }

    #[test]
    fn a_tree_that_grew_is_the_tree_of_the_definition() {
        let leaves: Vec<Vec<u8>> = (0_u8..70).map(|n| vec![n; usize::from(n % 5)]).collect();
        let mut tree = Tree::new();
        for size in 0..leaves.len() {
            assert_eq!(tree.root(&AwsLc), by_definition(&leaves[..size]), "{size} leaves");
            assert_eq!(tree.peaks.len(), size.count_ones() as usize);
            tree.push(&AwsLc, &leaves[size]);
        }
    }

    #[test]
    fn the_roots_are_those_that_certificate_transparency_publishes() {
        // The leaves and roots that implementations of RFC 6962 are tested with.
        let leaves: [&[u8]; 4] = [b"", &[0], &[0x10], &[0x20, 0x21]];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        let mut tree = Tree::new();
        for (size, root) in roots.iter().enumerate() {
            assert_eq!(tree.root(&AwsLc).to_hex(), *root, "{size} leaves");
            if let Some(leaf) = leaves.get(size) {
                tree.push(&AwsLc, leaf);
            }
        }
    }
}
