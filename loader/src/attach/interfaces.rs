//! Attaching: everything is prepared first, attaching comes last, and a failure undoes it all.

use std::{fs::File, io::Read, path::Path};

use mseg_ebpf::abi::{
    config::HALF_OPEN_PER_SOURCE,
    interface::{
        FLAG_BRIDGE_PORT, FLAG_INGRESS_ONLY, FLAG_MADE_QDISC, HOOK_CLSACT, HOOK_TCX, Interface, ROLE_HOST,
        ROLE_WORKLOAD,
    },
};

use super::{
    Hook, Midstream, Mode, Role, adoption,
    create::{complete, create, enter, exists},
    detach::recorded,
    hook::{self, program_name, sides},
    hook_name, pins, preflight, role_name,
    signals::Blocked,
    target::{self, Target},
    undo::Undo,
};
use crate::{
    adopt::{Adoption, Report},
    clock::monotonic_ns,
    error::{Code, Error, Result},
    generation::{self, Locked},
    instance::{
        Access, Instance, Options, config::Store, instances, interface_name, interfaces::name_field, paths::Paths,
    },
    kernel::{clsact, object::Program, tcx::Side},
    lockout,
    policy::Policy,
};

/// The default length of the grace period.
pub const DEFAULT_GRACE_S: u32 = 60;

/// What [`attach`] is to do.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// Which instance; made if it is not there.
    pub instance: Options,
    /// Names of interfaces in this network namespace.
    pub interfaces: Vec<String>,
    /// The policy to make active; `None`: as it is, at first the empty one.
    pub policy: Option<Policy>,
    /// `None`: as it is, at first observe.
    pub mode: Option<Mode>,
    /// Which side of the interfaces is protected.
    pub role: Role,
    /// How to attach.
    pub hook: Hook,
    /// `None`: as it is, at first grace.
    pub midstream: Option<Midstream>,
    /// About how many half-open sessions one source may have, 0 for any number; `None`: as it is, at first
    /// [`HALF_OPEN_PER_SOURCE`].
    pub half_open_per_source: Option<u32>,
    /// Seconds of the grace period, which starts anew with every interface.
    pub grace_s: u32,
    /// Whether it is done even if it cuts off the caller, who is then only warned.
    pub force: bool,
    /// Whether sessions are made for the connections that are open; `None`: in enforce mode, as far as they can be read.
    pub adopt: Option<bool>,
}

/// What [`attach`] did.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Whether the instance was made.
    pub created: bool,
    /// The interfaces, in the order they were named.
    pub interfaces: Vec<AttachedInterface>,
    /// The mode.
    pub mode: Mode,
    /// The active policy generation.
    pub generation: u32,
    /// Whether that generation is new.
    pub policy_changed: bool,
    /// What became of the connections that were open, if they were to be adopted.
    pub adoption: Option<Report>,
}

/// One interface of [`Attached`].
#[derive(Clone, Debug)]
pub struct AttachedInterface {
    /// Its index.
    pub ifindex: u32,
    /// Its record.
    pub interface: Interface,
    /// It was attached before, and was left as it is.
    pub already: bool,
}

/// Attaches all the interfaces, or none.
///
/// # Errors
/// Whatever is missing or in the way, or [`Code::Lockout`] if it would cut off the caller, unless it is forced; everything
/// is then as it was before.
pub fn attach(options: &AttachOptions) -> Result<Attached> {
    let paths = Paths::new(&options.instance)?;
    preflight::rights()?;
    let tcx = preflight::tcx(options.hook)?;
    let targets = target::resolve(&options.interfaces)?;
    if targets.is_empty() {
        return Err(Error::new(Code::Usage, "no interface was named"));
    }
    let netns = target::netns()?;

    let signals = Blocked::new()?;
    let mut undo = Undo::default();
    let lock = enter(&paths, &signals, &mut undo)?;
    pins::refuse_strangers(&paths)?;
    let created = !exists(&paths, &options.instance)?;
    if created {
        create(&paths, &mut undo)?;
    }
    let instance = Instance::open_checked(&options.instance, Access::Write, true)?;
    let mut locked = Locked::new(&instance, lock)?;
    let named = targets.iter().map(|target| (target.ifindex, target.name.clone()));
    for warning in lockout::check_attach(&locked, options, named)? {
        tracing::warn!("{warning}");
    }
    if !created {
        complete(&paths, &mut undo)?;
    }

    let mut work = Work { options, paths: &paths, instance: &instance, netns, tcx, undo, plan: Vec::new() };
    for target in &targets {
        work.plan_one(target)?;
    }
    let policy_changed = work.apply_settings(&mut locked, created)?;
    work.forget_zones()?;
    // Before the first packet is judged, and again afterwards, for what was opened meanwhile.
    let mut adoption = adoption::prepare(&instance, netns, options.adopt, created, &mut work.undo)?;
    adoption::look(&mut adoption, &instance, &work.plan)?;
    for i in 0..work.plan.len() {
        signals.check()?;
        work.record_one(i)?;
    }
    // Where packets arrive first of all: else a connection that opens meanwhile through two of the interfaces might first be
    // seen as it leaves, and be taken for one that the protected side opens.
    for side in hook::SIDES {
        for planned in &work.plan {
            signals.check()?;
            work.attach_side(planned, side)?;
        }
    }
    // What passed while one after the other was attached may have been seen by some of them alone.
    work.note_attach()?;
    adoption::look(&mut adoption, &instance, &work.plan)?;
    signals.check()?;
    let Work { undo, plan, .. } = work;
    let config = instance.config()?;
    undo.keep();
    Ok(Attached {
        created,
        interfaces: plan,
        mode: Mode::from_value(config.mode),
        generation: config.generation,
        policy_changed,
        adoption: adoption.map(Adoption::finish),
    })
}

/// An attach under way.
struct Work<'a> {
    options: &'a AttachOptions,
    paths: &'a Paths,
    instance: &'a Instance,
    netns: u64,
    tcx: bool,
    undo: Undo,
    plan: Vec<AttachedInterface>,
}

impl Work<'_> {
    fn name(&self) -> &str {
        &self.options.instance.name
    }

    /// Decides what to do about one interface, and removes what is left of one that is gone.
    fn plan_one(&mut self, target: &Target) -> Result<()> {
        let known = self.instance.interfaces()?.into_iter().find(|(ifindex, _)| *ifindex == target.ifindex);
        if let Some((ifindex, interface)) = known {
            match hook::alive(self.paths, self.name(), ifindex, &interface, self.netns)? {
                Some(false) => {
                    hook::remove(self.paths, self.name(), ifindex, &interface)?;
                    self.instance.remove_interface(ifindex)?;
                }
                alive if interface.netns == self.netns => {
                    debug_assert_eq!(alive, Some(true));
                    if hook::has_moved(self.paths, ifindex, &interface)? {
                        let name = interface_name(&interface);
                        return Err(Error::failed(format!(
                            "{name}, which was attached here, is in another network namespace now, and {} has its index \
                             ({ifindex})",
                            target.name
                        ))
                        .hint(format!("detach it first: mseg-loader detach {name} {}", self.options.instance.arguments())
                            .trim_end()
                            .to_owned()));
                    }
                    return self.plan_known(target, ifindex, interface);
                }
                Some(true) => return Err(other_netns(target, &interface)),
                None if target::find_netns(interface.netns).is_some() => {
                    return Err(other_netns(target, &interface));
                }
                // Its network namespace is gone, and the interface with it.
                None => {
                    self.instance.remove_interface(ifindex)?;
                }
            }
        }
        for side in hook::SIDES {
            let pin = self.paths.link(target.ifindex, side);
            if pin.exists() {
                return Err(Error::failed(format!(
                    "{} is in the way: {} is not recorded as attached",
                    pin.display(),
                    target.name
                ))
                .hint("find out what it is, and remove it; or mseg-loader detach --all"));
            }
        }
        let zone = if self.options.role == Role::Workload { self.free_zone()? } else { 0 };
        let handle = if self.tcx { 0 } else { clsact::choose_handle(target.ifindex, &target.name)? };
        let interface = Interface {
            name: name_field(&target.name),
            netns: self.netns,
            attached_ns: monotonic_ns()?,
            handle,
            priority: if self.tcx { 0 } else { clsact::PRIORITY },
            zone,
            role: self.options.role.value(),
            hook: if self.tcx { HOOK_TCX } else { HOOK_CLSACT },
            flags: if target.loopback { FLAG_INGRESS_ONLY } else { 0 }
                | if target.bridge_port { FLAG_BRIDGE_PORT } else { 0 },
            reserved: [0; 5],
        };
        self.plan.push(AttachedInterface { ifindex: target.ifindex, interface, already: false });
        Ok(())
    }

    /// An interface that is attached already keeps how it is attached.
    fn plan_known(&mut self, target: &Target, ifindex: u32, mut interface: Interface) -> Result<()> {
        let differs = |what: &str, is: &str| {
            Error::failed(format!("{} is already attached with {what} {is}", target.name))
                .hint(format!("mseg-loader detach {} first", target.name))
        };
        if interface.role != self.options.role.value() {
            return Err(differs("role", role_name(interface.role)));
        }
        let wanted = match self.options.hook {
            Hook::Auto => interface.hook,
            Hook::Tcx => HOOK_TCX,
            Hook::Clsact => HOOK_CLSACT,
        };
        if interface.hook != wanted {
            return Err(differs("hook", hook_name(interface.hook)));
        }
        if interface_name(&interface) != target.name {
            interface.name = name_field(&target.name);
            self.instance.replace_interface(ifindex, &interface)?;
        }
        self.plan.push(AttachedInterface { ifindex, interface, already: true });
        Ok(())
    }

    /// The lowest zone that neither the instance nor this plan uses. Another interface may have had it before.
    fn free_zone(&self) -> Result<u16> {
        let used: Vec<u16> = self
            .instance
            .interfaces()?
            .iter()
            .map(|(_, interface)| interface)
            .chain(self.plan.iter().map(|planned| &planned.interface))
            .filter(|interface| interface.role == ROLE_WORKLOAD)
            .map(|interface| interface.zone)
            .collect();
        // The last is that of an interface without a record.
        (1..u16::MAX).find(|zone| !used.contains(zone)).ok_or_else(|| Error::failed("there is no free zone left"))
    }

    /// What another interface was allowed that had one of the zones before is not allowed to this one.
    fn forget_zones(&self) -> Result<()> {
        let mut planned = self.plan.iter().filter(|planned| !planned.already).map(|planned| &planned.interface);
        planned.try_for_each(|interface| match interface.role {
            ROLE_WORKLOAD => self.instance.forget_zone(interface.zone),
            _ => Ok(()),
        })
    }

    /// CONFIG and policy. Returns whether a new generation is active.
    fn apply_settings(&mut self, locked: &mut Locked<'_>, created: bool) -> Result<bool> {
        // Undoing this must not write into what lapsed.
        locked.settle()?;
        let before = *locked.config();
        // A new instance is removed as a whole.
        let restore = |undo: &mut Undo, step: fn(&Instance, u64) -> Result<()>, value: u64| {
            if !created {
                let options = self.options.instance.clone();
                undo.push(move || step(&Instance::open(&options, Access::Write)?, value));
            }
        };
        if self.plan.iter().any(|planned| !planned.already) || created {
            let until = monotonic_ns()?.saturating_add(u64::from(self.options.grace_s) * 1_000_000_000);
            restore(&mut self.undo, Instance::set_grace_until, before.grace_until_ns);
            self.instance.set_grace_until(until)?;
        }
        self.note_attach()?;
        if created {
            let mut salt = [0; 4];
            let urandom = Path::new("/dev/urandom");
            File::open(urandom)
                .and_then(|mut file| file.read_exact(&mut salt))
                .map_err(|e| Error::file("read", urandom, &e))?;
            self.instance.set_salt(u32::from_ne_bytes(salt))?;
            self.instance.set_half_open_per_source(HALF_OPEN_PER_SOURCE)?;
        }
        if let Some(sessions) = self.options.half_open_per_source {
            restore(&mut self.undo, |i, v| i.set_half_open_per_source(v as u32), before.half_open_per_source.into());
            self.instance.set_half_open_per_source(sessions)?;
        }
        if let Some(midstream) = self.options.midstream {
            restore(&mut self.undo, |i, v| i.set_midstream(v as u32), before.midstream.into());
            self.instance.set_midstream(midstream.value())?;
        }
        let empty = Policy::default();
        let policy = self.options.policy.as_ref().or((before.generation == 0).then_some(&empty));
        let mut changed = false;
        if let Some(policy) = policy {
            let previous = before.previous_generation.into();
            restore(&mut self.undo, |i, v| i.store(Store::PreviousGeneration(v as u32)), previous);
            restore(&mut self.undo, |i, v| i.store(Store::Generation(v as u32)), before.generation.into());
            changed = generation::apply(locked, policy, None)?.changed;
        }
        if let Some(mode) = self.options.mode {
            restore(&mut self.undo, |i, v| i.set_mode(v as u32), before.mode.into());
            generation::set_mode(locked, mode, None)?;
        }
        Ok(changed)
    }

    /// Until now packets may have gone unseen through what is attached by this plan. Not those of other workloads: each has
    /// a zone of its own.
    fn note_attach(&self) -> Result<()> {
        if self.plan.iter().any(|planned| !planned.already && planned.interface.role == ROLE_HOST) {
            self.instance.set_attached(monotonic_ns()?)?;
        }
        Ok(())
    }

    fn another_instance_made_qdisc(&self, ifindex: u32) -> Result<bool> {
        for instance in instances(&self.options.instance)? {
            let made = |(i, record): &(u32, Interface)| {
                *i == ifindex && record.netns == self.netns && record.flags & FLAG_MADE_QDISC != 0
            };
            if instance.name != self.options.instance.name && recorded(&Paths::new(&instance)?).iter().any(made) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records an interface that is to be attached: the programs look its zone up from the first packet on.
    fn record_one(&mut self, index: usize) -> Result<()> {
        let AttachedInterface { ifindex, mut interface, already } = self.plan[index].clone();
        if already {
            return Ok(());
        }
        if interface.hook == HOOK_CLSACT {
            if clsact::add_qdisc(ifindex)? {
                interface.flags |= FLAG_MADE_QDISC;
                self.undo.push(move || clsact::remove_empty_qdisc(ifindex).map(|_| ()));
            } else if self.another_instance_made_qdisc(ifindex)? {
                // The last of the instances to go removes it.
                interface.flags |= FLAG_MADE_QDISC;
            }
        }
        self.instance.add_interface(ifindex, &interface)?;
        let options = self.options.instance.clone();
        self.undo.push(move || Instance::open(&options, Access::Write)?.remove_interface(ifindex).map(|_| ()));
        let (paths, name) = (self.paths.clone(), self.name().to_owned());
        // The qdisc is removed by the step before.
        let bare = Interface { flags: interface.flags & !FLAG_MADE_QDISC, ..interface };
        self.undo.push(move || hook::remove(&paths, &name, ifindex, &bare));
        self.plan[index].interface = interface;
        Ok(())
    }

    /// Attaches one side of an interface, if it has it.
    fn attach_side(&self, planned: &AttachedInterface, side: Side) -> Result<()> {
        let AttachedInterface { ifindex, interface, already } = planned;
        if *already || !sides(interface).contains(&side) {
            return Ok(());
        }
        let path = self.paths.program(program_name(interface.role, side));
        let program = Program::open(&path).map_err(|e| Error::file("open", &path, &e))?;
        hook::attach(self.paths, self.name(), &program, *ifindex, interface, side)
    }
}

fn other_netns(target: &Target, interface: &Interface) -> Error {
    Error::failed(format!(
        "an interface of index {} ({}) in another network namespace is attached to this instance already",
        target.ifindex,
        interface_name(interface)
    ))
    .hint("use another instance: --instance NAME")
}
