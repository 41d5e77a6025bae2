//! The classifier: which rule of a generation decides a tuple.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_loop;
use mseg_ebpf::{
    abi::{
        interface,
        policy::{
            ACTION_ALLOW, ATTRIBUTE_LOG, DIRECTION_IN, MATCH_INTERFACE, MAX_RULE_ENTRIES, POLICY_SLOTS, PolicyHeader,
        },
        reason::Reason,
        rule,
    },
    policy::{Tuple, matches},
};

use super::maps::{self, Rules};

/// What a rule or a default says.
#[derive(Clone, Copy)]
pub(crate) struct Decision {
    pub(crate) rule: u32,
    pub(crate) allow: bool,
    pub(crate) log: bool,
}

impl Decision {
    /// A BPF function returns one register: the decision in a number, never 0, since no rule has the id 0.
    #[inline(always)]
    pub(crate) const fn pack(self) -> u64 {
        self.rule as u64 | (self.allow as u64) << 32 | (self.log as u64) << 33
    }

    #[inline(always)]
    pub(crate) const fn unpack(packed: u64) -> Option<Self> {
        let rule = packed as u32;
        if rule == rule::NONE {
            return None;
        }
        Some(Self { rule, allow: packed & 1 << 32 != 0, log: packed & 1 << 33 != 0 })
    }

    /// Whether a packed decision allows.
    #[inline(always)]
    pub(crate) const fn allows(packed: u64) -> bool {
        packed & 1 << 32 != 0
    }

    /// The reason for a packet that this decision allows or denies.
    #[inline(always)]
    pub(crate) const fn reason(self) -> Reason {
        match (self.allow, self.rule) {
            (true, rule::DEFAULT_IN | rule::DEFAULT_OUT) => Reason::DefaultAllow,
            (true, rule::DHCP | rule::FAILSAFE) => Reason::Builtin,
            (true, _) => Reason::RuleAllow,
            (false, rule::DEFAULT_IN | rule::DEFAULT_OUT) => Reason::DefaultDeny,
            (false, _) => Reason::RuleDeny,
        }
    }
}

/// The header of a generation; `None` if its slot holds another, so that a damaged or reused slot decides nothing.
#[inline(always)]
pub(crate) fn header(generation: u32) -> Option<&'static PolicyHeader> {
    let header = maps::POLICY.get_value(generation % POLICY_SLOTS, &0)?;
    if header.generation == generation { Some(header) } else { None }
}

/// The name that rules compare with; zeros for an unknown interface.
#[inline(always)]
fn interface_name(ifindex: u32) -> [u8; interface::NAME_LEN] {
    // SAFETY: entries of INTERFACES are replaced only by the loader, and the name is copied at once.
    match unsafe { maps::INTERFACES.get(ifindex) } {
        Some(interface) => interface.name,
        None => [0; interface::NAME_LEN],
    }
}

/// Decides by the rules of `generation`, the first match in their order, else by the default of the direction. A packed
/// [`Decision`], 0 if the generation's maps are damaged.
#[inline(always)]
pub(crate) fn classify(generation: u32, ifindex: u32, mut tuple: Tuple) -> u64 {
    let (Some(header), Some(rules)) = (header(generation), maps::RULES.get(generation % POLICY_SLOTS)) else {
        return 0;
    };
    // A look-up that few policies need.
    if header.matches & MATCH_INTERFACE != 0 {
        tuple.interface = interface_name(ifindex);
    }
    let mut walk = Walk { rules, tuple: (&raw const tuple).cast(), found: 0 };
    // The kernel bounds the loop; one of our own would be verified turn by turn.
    // SAFETY: `turn` has the signature the helper calls and its context outlives the call.
    unsafe { bpf_loop(header.entries.min(MAX_RULE_ENTRIES), turn as *mut c_void, (&raw mut walk).cast(), 0) };
    if walk.found != 0 {
        return walk.found;
    }
    let (rule, action) = if tuple.direction == DIRECTION_IN {
        (rule::DEFAULT_IN, header.default_in)
    } else {
        (rule::DEFAULT_OUT, header.default_out)
    };
    Decision { rule, allow: action == ACTION_ALLOW, log: false }.pack()
}

/// The context of [`turn`].
struct Walk<'a> {
    rules: &'a Rules,
    /// A [`Tuple`]; by its name it would be a forward declaration in the BTF ([`super::skb`]).
    tuple: *const u8,
    /// A packed [`Decision`], 0 for none yet.
    found: u64,
}

/// One turn of the walk over the entries; 1 ends it.
unsafe extern "C" fn turn(position: u32, walk: *mut Walk<'_>) -> i64 {
    // SAFETY: the pointer that `walk` gave.
    let walk = unsafe { &mut *walk };
    let Some(entry) = walk.rules.get(position) else {
        return 1;
    };
    // SAFETY: the tuple that `classify` was given, which outlives the walk.
    if !matches(entry, unsafe { &*walk.tuple.cast::<Tuple>() }) {
        return 0;
    }
    walk.found =
        Decision { rule: entry.rule, allow: entry.action == ACTION_ALLOW, log: entry.attributes & ATTRIBUTE_LOG != 0 }
            .pack();
    1
}
