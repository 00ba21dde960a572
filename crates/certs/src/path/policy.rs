//! Certificate policies (RFC 5280 §6.1), as the graph of RFC 9618: a policy is one node for each
//! certificate however many ways lead to it, so that mappings cannot multiply.

use crate::extensions::Extensions;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;

/// `anyPolicy` (RFC 5280 §4.2.1.4).
pub(crate) const ANY: ObjectIdentifier = const_oid::db::rfc5280::ANY_POLICY;

/// What is asked of the policies of a path (RFC 5280 §6.1.1 (c) to (g)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `user-initial-policy-set`; empty for `anyPolicy`.
    pub(crate) acceptable: BTreeSet<ObjectIdentifier>,
    pub(crate) explicit: bool,
    pub(crate) inhibit_mapping: bool,
    pub(crate) inhibit_any: bool,
}

/// The state variables of §6.1.2 that are about policies.
pub(super) struct Policies {
    graph: Graph,
    acceptable: Option<BTreeSet<ObjectIdentifier>>,
    explicit: u32,
    mapping: u32,
    any: u32,
}

/// Why the policies of a path are not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No acceptable policy holds for the whole path, and one is required.
    NoneHolds,
    /// A mapping from or to `anyPolicy` (§6.1.4 (a)).
    MapsAny,
}

impl Policies {
    /// §6.1.2 for a path of `count` certificates below `anchor`, whose own constraints begin it
    /// (RFC 5937 §3.2).
    pub(super) fn new(wanted: &Wanted, anchor: &Extensions, count: usize) -> Self {
        let unlimited = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
        let start = |now: bool| if now { 0 } else { unlimited };
        let mut acceptable = (!wanted.acceptable.is_empty() && !wanted.acceptable.contains(&ANY))
            .then(|| wanted.acceptable.clone());
        if let Some(policies) = anchor.policies.as_ref().filter(|all| !all.contains(&ANY)) {
            let anchored: BTreeSet<_> = policies.iter().copied().collect();
            acceptable = Some(match acceptable {
                Some(wanted) => wanted.intersection(&anchored).copied().collect(),
                None => anchored,
            });
        }
        let mut policies = Self {
            graph: Graph::new(),
            acceptable,
            explicit: start(wanted.explicit),
            mapping: start(wanted.inhibit_mapping),
            any: start(wanted.inhibit_any),
        };
        policies.constrain(anchor);
        policies
    }

    /// §6.1.3 (d), (e), (f).
    pub(super) fn certificate(
        &mut self,
        extensions: &Extensions,
        self_issued: bool,
        last: bool,
    ) -> Result<(), Fault> {
        let any_allowed = self.any > 0 || (!last && self_issued);
        self.graph.certificate(extensions.policies.as_deref(), any_allowed);
        if self.explicit == 0 && self.graph.is_null() { Err(Fault::NoneHolds) } else { Ok(()) }
    }

    /// §6.1.4 (a), (b), (h), (i), (j).
    pub(super) fn next(&mut self, extensions: &Extensions, self_issued: bool) -> Result<(), Fault> {
        let mappings = &extensions.policy_mappings;
        if mappings.iter().any(|(issuer, subject)| *issuer == ANY || *subject == ANY) {
            return Err(Fault::MapsAny);
        }
        self.graph.map(mappings, self.mapping > 0);
        if !self_issued {
            for counter in [&mut self.explicit, &mut self.mapping, &mut self.any] {
                *counter = counter.saturating_sub(1);
            }
        }
        self.constrain(extensions);
        Ok(())
    }

    fn constrain(&mut self, extensions: &Extensions) {
        let least = |counter: &mut u32, skip: Option<u32>| {
            *counter = skip.map_or(*counter, |skip| skip.min(*counter));
        };
        least(&mut self.explicit, extensions.require_explicit_policy);
        least(&mut self.mapping, extensions.inhibit_policy_mapping);
        least(&mut self.any, extensions.inhibit_any_policy);
    }

    /// §6.1.5 (a), (b), (g): the policies that hold for the path and are acceptable.
    pub(super) fn finish(mut self, leaf: &Extensions) -> Result<Vec<ObjectIdentifier>, Fault> {
        self.explicit = self.explicit.saturating_sub(1);
        if leaf.require_explicit_policy == Some(0) {
            self.explicit = 0;
        }
        let held = self.graph.held();
        let policies: BTreeSet<_> = match self.acceptable {
            None => held,
            Some(wanted) if held.contains(&ANY) => wanted,
            Some(wanted) => wanted.intersection(&held).copied().collect(),
        };
        if self.explicit == 0 && policies.is_empty() {
            return Err(Fault::NoneHolds);
        }
        Ok(policies.into_iter().collect())
    }
}

/// `valid_policy_graph`: one level for each certificate, the last one still open.
struct Graph {
    closed: Vec<Level>,
    open: Level,
}

#[derive(Default)]
struct Level {
    /// A node with `anyPolicy`.
    any: bool,
    nodes: BTreeMap<ObjectIdentifier, Node>,
}

#[derive(Default)]
struct Node {
    /// Policies of the level above that stand for this one; none if it hangs below `anyPolicy`.
    parents: BTreeSet<ObjectIdentifier>,
    /// Its certificate maps it to others.
    mapped: bool,
}

impl Graph {
    fn new() -> Self {
        Self { closed: Vec::new(), open: Level { any: true, nodes: BTreeMap::new() } }
    }

    fn is_null(&self) -> bool {
        !self.open.any && self.open.nodes.is_empty()
    }

    /// §6.1.3 (d), (e): of what the level above expects, what this certificate has.
    fn certificate(&mut self, policies: Option<&[ObjectIdentifier]>, any_allowed: bool) {
        let Some(policies) = policies else {
            self.open = Level::default();
            return;
        };
        let was_any = self.open.any;
        if !any_allowed || !policies.contains(&ANY) {
            self.open.nodes.retain(|policy, _| policies.contains(policy));
            self.open.any = false;
        }
        if was_any {
            for policy in policies.iter().filter(|policy| **policy != ANY) {
                self.open.nodes.entry(*policy).or_default();
            }
        }
    }

    /// §6.1.4 (b): closes the level, and opens one with what is expected next.
    fn map(&mut self, mappings: &[(ObjectIdentifier, ObjectIdentifier)], allowed: bool) {
        let mut level = core::mem::take(&mut self.open);
        let mut next = Level { any: level.any, nodes: BTreeMap::new() };
        for (issuer, subject) in mappings {
            if !allowed {
                level.nodes.remove(issuer);
                continue;
            }
            if level.any {
                level.nodes.entry(*issuer).or_default();
            }
            if let Some(node) = level.nodes.get_mut(issuer) {
                node.mapped = true;
                next.nodes.entry(*subject).or_default().parents.insert(*issuer);
            }
        }
        for (policy, _) in level.nodes.iter().filter(|(_, node)| !node.mapped) {
            next.nodes.entry(*policy).or_default().parents.insert(*policy);
        }
        self.closed.push(level);
        self.open = next;
    }

    /// RFC 9618 §5.5 (g): the policies, in the words of the anchor's domain, from which a way leads
    /// down to the last certificate.
    fn held(&self) -> BTreeSet<ObjectIdentifier> {
        let mut held = BTreeSet::new();
        if self.open.any {
            held.insert(ANY);
        }
        let mut reached: BTreeSet<_> = self.open.nodes.keys().copied().collect();
        for level in core::iter::once(&self.open).chain(self.closed.iter().rev()) {
            let mut above = BTreeSet::new();
            for policy in &reached {
                match level.nodes.get(policy) {
                    Some(node) if node.parents.is_empty() => {
                        held.insert(*policy);
                    }
                    Some(node) => above.extend(&node.parents),
                    None => {}
                }
            }
            reached = above;
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn oid(last: u32) -> ObjectIdentifier {
        ObjectIdentifier::new(&format!("1.2.3.{last}")).unwrap()
    }

    fn with(policies: &[u32], mappings: &[(u32, u32)]) -> Extensions {
        Extensions {
            policies: Some(policies.iter().map(|last| oid(*last)).collect()),
            policy_mappings: mappings.iter().map(|(a, b)| (oid(*a), oid(*b))).collect(),
            ..Extensions::default()
        }
    }

    /// Every policy mapped to every other, again and again: a tree would have 100 to the power of
    /// the depth.
    #[test]
    fn mappings_do_not_multiply() {
        let all: Vec<u32> = (0..100).collect();
        let pairs: Vec<_> = all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))).collect();
        let ca = with(&all, &pairs);
        let wanted = Wanted { explicit: true, ..Wanted::default() };
        let mut policies = Policies::new(&wanted, &Extensions::default(), 9);
        for _ in 0..8 {
            policies.certificate(&ca, false, false).unwrap();
            policies.next(&ca, false).unwrap();
        }
        let leaf = with(&[7], &[]);
        policies.certificate(&leaf, false, true).unwrap();
        let edges: usize = policies
            .graph
            .closed
            .iter()
            .flat_map(|level| level.nodes.values())
            .map(|node| node.parents.len())
            .sum();
        assert!(edges <= 8 * pairs.len());
        assert_eq!(policies.finish(&leaf).unwrap().len(), 100);
    }

    #[test]
    fn a_mapped_policy_is_reported_by_its_first_name() {
        let wanted = Wanted { acceptable: [oid(1)].into(), explicit: true, ..Wanted::default() };
        let mut policies = Policies::new(&wanted, &Extensions::default(), 2);
        let ca = with(&[1], &[(1, 2)]);
        policies.certificate(&ca, false, false).unwrap();
        policies.next(&ca, false).unwrap();
        let leaf = with(&[2], &[]);
        policies.certificate(&leaf, false, true).unwrap();
        assert_eq!(policies.finish(&leaf), Ok(alloc::vec![oid(1)]));
    }
}
