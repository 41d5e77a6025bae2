//! SOURCES: no source may fill HALF_OPEN alone. See [`mseg_ebpf::abi::source`] for how it is counted.

use aya_ebpf::bindings::BPF_NOEXIST;
use mseg_ebpf::{
    abi::{
        session::{FLAG_CLIENT_IS_LOWER, FLAG_OUT, FLAG_SAMPLED, SessionKey},
        source::{INTERVAL_SHIFT, SAMPLE, Source, SourceKey},
    },
    session::key,
};

use super::{env::Env, maps, memory};

/// [`admit`]: the source has too many half-open sessions.
pub(crate) const REFUSED: u32 = 1 << 31;
/// [`admit`]: the session counts, and has [`FLAG_SAMPLED`].
pub(crate) const SAMPLED: u32 = FLAG_SAMPLED as u32;

/// Whether the packet's sender may open a session: [`REFUSED`], 0, or [`SAMPLED`].
#[unsafe(no_mangle)]
pub extern "C" fn admit(env: *const Env, key: *const SessionKey, sender_is_lower: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key)) = (unsafe { (env.as_ref(), key.as_ref()) }) else {
        return REFUSED;
    };
    let Some(config) = maps::CONFIG.get_ptr(0) else {
        return REFUSED;
    };
    // SAFETY: a pointer the kernel returned for this map.
    let (limit, salt) =
        unsafe { (memory::load(&raw const (*config).half_open_per_source), memory::load(&raw const (*config).salt)) };
    if limit == 0 {
        return 0;
    }
    let sampled = (key::hash(key, salt) >> 40) as u32 % SAMPLE == 0;
    let source = source_of(key, sender_is_lower != 0, env.ifindex, env.is_out());
    let interval = env.tick() >> INTERVAL_SHIFT;
    match maps::SOURCES.get_ptr_mut(&source) {
        Some(entry) => {
            // SAFETY: a live entry; should it be evicted meanwhile, its memory stays the map's.
            let now = unsafe { memory::on_stack(&*entry) }.at(interval);
            if now.sessions() >= limit {
                return REFUSED;
            }
            if sampled {
                // SAFETY: as above.
                unsafe { *entry = now.opened() };
            }
        }
        None if sampled => {
            let first = Source { interval, ..Source::default() }.opened();
            // Another CPU may have been first, and one count is lost.
            let _ = maps::SOURCES.insert(&source, &first, BPF_NOEXIST as u64);
        }
        None => {}
    }
    if sampled { SAMPLED } else { 0 }
}

/// A session that counted, of these flags and this interface, is not half-open any more.
#[unsafe(no_mangle)]
pub extern "C" fn release(env: *const Env, key: *const SessionKey, flags: u32, ifindex: u32) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key)) = (unsafe { (env.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    let source = source_of(key, flags & FLAG_CLIENT_IS_LOWER as u32 != 0, ifindex, flags & FLAG_OUT as u32 != 0);
    let Some(entry) = maps::SOURCES.get_ptr_mut(&source) else {
        return 0;
    };
    // SAFETY: as in `admit`.
    unsafe { *entry = memory::on_stack(&*entry).at(env.tick() >> INTERVAL_SHIFT).answered() };
    1
}

#[inline(always)]
fn source_of(key: &SessionKey, client_is_lower: bool, ifindex: u32, out: bool) -> SourceKey {
    SourceKey::new(if client_is_lower { &key.lower_address } else { &key.higher_address }, ifindex, out)
}
