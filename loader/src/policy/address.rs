//! Addresses of a policy: networks, sets, and the sets' resolution.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use ipnet::IpNet;
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::model::Define;

/// One element of a list of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A network without host bits, or a host (/32, /128). Never an IPv4-mapped IPv6 one.
    Network(IpNet),
    /// The members of a set, by its name.
    Set(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", network.addr())
            }
            Self::Network(network) => write!(f, "{network}"),
            Self::Set(name) => f.write_str(name),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The addresses of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// Every address of both families.
    #[default]
    Any,
    /// These; never empty.
    List(Vec<Address>),
}

impl Addresses {
    /// The list, empty for [`Addresses::Any`].
    pub fn list(&self) -> &[Address] {
        match self {
            Self::Any => &[],
            Self::List(list) => list,
        }
    }
}

/// A list of strings; `["any"]` for [`Addresses::Any`].
impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        match self {
            Self::Any => list.serialize_element("any")?,
            Self::List(addresses) => addresses.iter().try_for_each(|address| list.serialize_element(address))?,
        }
        list.end()
    }
}

/// The sets of a policy by name.
pub(crate) struct Sets<'a> {
    defines: &'a [Define],
    by_name: HashMap<&'a str, usize>,
}

/// A set that contains itself: the member `member` of `define` leads back to `define`, or to one that led to it.
pub(crate) struct Cycle {
    pub(crate) define: usize,
    pub(crate) member: usize,
}

impl<'a> Sets<'a> {
    /// Of two sets of one name, the first counts.
    pub(crate) fn new(defines: &'a [Define]) -> Self {
        let mut by_name = HashMap::with_capacity(defines.len());
        for (index, define) in defines.iter().enumerate() {
            by_name.entry(define.name.as_str()).or_insert(index);
        }
        Self { defines, by_name }
    }

    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// What a set is defined as; nothing if it is unknown.
    pub(crate) fn members(&self, name: &str) -> &'a [Address] {
        self.index(name).map_or(&[], |index| &self.defines[index].members)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.defines.iter().map(|define| define.name.as_str())
    }

    /// Visits every network of the list, those of nested sets included, each set once; stops at the first `true` and
    /// returns it. Unknown sets are empty. No recursion: sets may be nested as deep as they like.
    pub(crate) fn any_network(&self, list: &'a [Address], mut found: impl FnMut(IpNet) -> bool) -> bool {
        let mut pending = vec![list];
        let mut seen = HashSet::new();
        while let Some(members) = pending.pop() {
            for member in members {
                match member {
                    Address::Network(network) if found(*network) => return true,
                    Address::Network(_) => {}
                    Address::Set(name) => {
                        if let Some(index) = self.index(name)
                            && seen.insert(index)
                        {
                            pending.push(&self.defines[index].members);
                        }
                    }
                }
            }
        }
        false
    }

    /// The sets in an order in which members come before the sets that contain them, and every cycle.
    pub(crate) fn order(&self) -> (Vec<usize>, Vec<Cycle>) {
        #[derive(Clone, Copy, PartialEq)]
        enum Visit {
            New,
            Open,
            Done,
        }
        let mut visits = vec![Visit::New; self.defines.len()];
        let (mut order, mut cycles) = (Vec::with_capacity(self.defines.len()), Vec::new());
        for root in 0..self.defines.len() {
            if visits[root] != Visit::New {
                continue;
            }
            visits[root] = Visit::Open;
            let mut path = vec![(root, 0)];
            while let Some((define, next)) = path.last_mut() {
                let (define, member) = (*define, *next);
                *next += 1;
                let Some(address) = self.defines[define].members.get(member) else {
                    visits[define] = Visit::Done;
                    order.push(define);
                    path.pop();
                    continue;
                };
                let Address::Set(name) = address else { continue };
                let Some(inner) = self.index(name) else { continue };
                match visits[inner] {
                    Visit::New => {
                        visits[inner] = Visit::Open;
                        path.push((inner, 0));
                    }
                    Visit::Open => cycles.push(Cycle { define, member }),
                    Visit::Done => {}
                }
            }
        }
        (order, cycles)
    }
}
