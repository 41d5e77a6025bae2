//! The classifier: which rule of a generation decides a packet.

use mseg_ebpf::{
    abi::{
        interface,
        policy::{
            ACTION_ALLOW, ADDRESS_SPACES, Bucket4, Bucket6, ClassPage, DIRECTION_IN, POLICY_SLOTS, Page, PolicyHeader,
            Profile, VerdictBucket, thing,
        },
        reason::Reason,
        rule,
        session::SessionKey,
    },
    packet::Packet,
    policy::{
        self, Maps, Question, Steps, Tuple, find_interface, find_network, find_service, find_source_port,
        likely_length, look_up, note_address, try_shapes,
    },
};

use super::{account, audit, env::Env, maps, memory};

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

/// The tables of a generation.
struct Slot(u32);

impl Maps for Slot {
    #[inline(always)]
    fn page(&self, number: u32) -> Option<&Page> {
        maps::SERVICES.get_value(self.0 % POLICY_SLOTS, &number)
    }

    #[inline(always)]
    fn classes(&self, number: u32) -> Option<&ClassPage> {
        maps::CLASSES.get_value(self.0 % POLICY_SLOTS, &number)
    }

    #[inline(always)]
    fn profile(&self, number: u32) -> Option<&Profile> {
        maps::PROFILES.get_value(self.0 % POLICY_SLOTS, &number)
    }

    #[inline(always)]
    fn networks4(&self, number: u32) -> Option<&Bucket4> {
        maps::NETWORKS4.get_value(self.0 % POLICY_SLOTS, &number)
    }

    #[inline(always)]
    fn networks6(&self, number: u32) -> Option<&Bucket6> {
        maps::NETWORKS6.get_value(self.0 % POLICY_SLOTS, &number)
    }

    #[inline(always)]
    fn filter(&self, number: u32) -> Option<&u64> {
        maps::FILTER.get_value(self.0 % POLICY_SLOTS, &number)
    }

    #[inline(always)]
    fn fetch(&self, key: &u64) {
        // SAFETY: a reference is a valid pointer.
        unsafe { memory::load(key) };
    }

    #[inline(always)]
    fn verdicts(&self, number: u32) -> Option<&VerdictBucket> {
        maps::VERDICTS.get_value(self.0 % POLICY_SLOTS, &number)
    }
}

impl Steps for Slot {
    #[inline(always)]
    fn question(&mut self) -> Option<&mut Question> {
        question()
    }

    #[inline(always)]
    fn find_service(&mut self) -> bool {
        classify_service(self.0) != 0
    }

    #[inline(always)]
    fn likely_length(&mut self, _: &PolicyHeader, space: usize, [upper, lower]: [u64; 2]) -> u8 {
        classify_length(self.0, space as u32, upper, lower) as u8
    }

    #[inline(always)]
    fn find_network(&mut self, _: &PolicyHeader, space: usize, length: u8) -> Option<bool> {
        match classify_network(self.0, space as u32, length.into()) {
            DAMAGED => None,
            found => Some(found == FOUND),
        }
    }

    #[inline(always)]
    fn note_address(&mut self, space: usize) -> bool {
        classify_address(self.0, space as u32) != 0
    }

    #[inline(always)]
    fn find_source_port(&mut self) -> bool {
        classify_source_port(self.0) != 0
    }

    #[inline(always)]
    fn find_interface(&mut self, _: &PolicyHeader) -> bool {
        classify_interface(self.0) != 0
    }

    #[inline(always)]
    fn try_shapes(&mut self, _: &PolicyHeader) -> bool {
        classify_shapes(self.0) != 0
    }
}

/// This CPU's question. A program is not interrupted by another on its CPU.
#[inline(always)]
pub(crate) fn question() -> Option<&'static mut Question> {
    // SAFETY: this CPU's own value of a live map entry, which only these programs use, one function at a time.
    maps::QUESTION.get_ptr_mut(0).map(|question| unsafe { &mut *question })
}

/// Sets what [`classify`] is to look up. `ifindex` is the interface of the session, or of the packet that would open
/// one; `flags` say who opens it.
#[inline(always)]
pub(crate) fn ask(ifindex: u32, flags: u8, write: impl FnOnce(&mut Tuple)) {
    // An array of one always has its entry.
    if let Some(question) = question() {
        question.ifindex = ifindex;
        question.flags = flags as u64;
        question.decision = 0;
        write(&mut question.tuple);
    }
}

/// The latest answer: a packed [`Decision`], 0 if the generation's maps are damaged.
#[inline(always)]
pub(crate) fn decision() -> u64 {
    question().map_or(0, |question| question.decision)
}

/// Has what [`classify`] will look at first fetched, for a packet that probably opens a session.
#[unsafe(no_mangle)]
pub extern "C" fn prepare(env: *const Env, packet: *const Packet) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(packet)) = (unsafe { (env.as_ref(), packet.as_ref()) }) else {
        return 0;
    };
    let Some(header) = header(env.generation) else {
        return 0;
    };
    policy::prepare(&mut Slot(env.generation), header, packet, env.is_out());
    1
}

/// [`find_service`] for the question; 0 if the generation's maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn classify_service(generation: u32) -> u32 {
    question().is_some_and(|question| find_service(&Slot(generation), question)) as u32
}

/// [`likely_length`] for an address, both halves as on the wire; 0 also if the generation's maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn classify_length(generation: u32, space: u32, upper: u64, lower: u64) -> u32 {
    let (Some(header), Some(question)) = (header(generation), question()) else {
        return 0;
    };
    likely_length(&Slot(generation), header, question, space as usize & (ADDRESS_SPACES - 1), [upper, lower]) as u32
}

/// [`classify_network`]: the generation's maps are damaged.
const DAMAGED: u32 = 0;
/// [`classify_network`]: there is one.
const FOUND: u32 = 1;
/// [`classify_network`]: there is none.
const NOTHING: u32 = 2;

/// [`find_network`] for the question.
#[unsafe(no_mangle)]
pub extern "C" fn classify_network(generation: u32, space: u32, length: u32) -> u32 {
    let (Some(header), Some(question)) = (header(generation), question()) else {
        return DAMAGED;
    };
    match find_network(&Slot(generation), header, question, space as usize & (ADDRESS_SPACES - 1), length as u8) {
        None => DAMAGED,
        Some(true) => FOUND,
        Some(false) => NOTHING,
    }
}

/// [`note_address`] for the question; 0 if the generation's maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn classify_address(generation: u32, space: u32) -> u32 {
    question().is_some_and(|question| note_address(&Slot(generation), question, space as usize)) as u32
}

/// [`find_source_port`] for the question; likewise.
#[unsafe(no_mangle)]
pub extern "C" fn classify_source_port(generation: u32) -> u32 {
    question().is_some_and(|question| find_source_port(&Slot(generation), question)) as u32
}

/// [`find_interface`] for the question; likewise.
#[unsafe(no_mangle)]
pub extern "C" fn classify_interface(generation: u32) -> u32 {
    let (Some(header), Some(question)) = (header(generation), question()) else {
        return 0;
    };
    find_interface(&Slot(generation), header, question) as u32
}

/// [`try_shapes`] for the question; likewise.
#[unsafe(no_mangle)]
pub extern "C" fn classify_shapes(generation: u32) -> u32 {
    let (Some(header), Some(question)) = (header(generation), question()) else {
        return 0;
    };
    try_shapes(&Slot(generation), header, question) as u32
}

/// Decides what [`ask`] was told by the rules of the packet's generation, else by the default of the direction, and
/// reports the rules that are only tried. A packed [`Decision`], 0 if the generation's maps are damaged.
#[unsafe(no_mangle)]
pub extern "C" fn classify(env: *const Env, key: *const SessionKey) -> u64 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key)) = (unsafe { (env.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    let Some(header) = header(env.generation) else {
        return 0;
    };
    // A look-up that few policies need.
    if header.looks[thing::INTERFACE] | header.audits_by_interface != 0 {
        name_interface();
    }
    if look_up(&mut Slot(env.generation), header).is_none() {
        return 0;
    }
    if header.audit_count != 0 {
        audit::report(env, key);
    }
    let Some(question) = question() else {
        return 0;
    };
    let verdict = question.verdict;
    let decision = if verdict.is_some() {
        Decision { rule: verdict.rule(), allow: verdict.allows(), log: verdict.logs() }
    } else if question.tuple.direction == DIRECTION_IN {
        Decision { rule: rule::DEFAULT_IN, allow: header.default_in == ACTION_ALLOW, log: false }
    } else {
        Decision { rule: rule::DEFAULT_OUT, allow: header.default_out == ACTION_ALLOW, log: false }
    };
    question.decision = decision.pack();
    account::prepare(decision.rule);
    question.decision
}

/// Sets the name that rules compare with; zeros for an unknown interface.
#[unsafe(no_mangle)]
pub extern "C" fn name_interface() -> u32 {
    let Some(question) = question() else {
        return 0;
    };
    // SAFETY: entries of INTERFACES are replaced only by the loader, and the name is copied at once.
    question.tuple.interface = match unsafe { maps::INTERFACES.get(question.ifindex) } {
        Some(interface) => interface.name,
        None => [0; interface::NAME_LEN],
    };
    1
}
