//! The few bpf(2) commands that tests need to make trouble and to look behind the programs' backs.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const OBJ_PIN: i32 = 6;
const OBJ_GET: i32 = 7;
const PROG_TEST_RUN: i32 = 10;
const MAP_GET_NEXT_ID: i32 = 12;
const PROG_GET_FD_BY_ID: i32 = 13;
const MAP_GET_FD_BY_ID: i32 = 14;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const PROG_QUERY: i32 = 16;
const LINK_CREATE: i32 = 28;

/// `BPF_MAP_TYPE_HASH`.
pub const HASH: u32 = 1;
/// `BPF_MAP_TYPE_ARRAY`.
pub const ARRAY: u32 = 2;
/// `BPF_TCX_INGRESS`.
pub const TCX_INGRESS: u32 = 46;
/// `BPF_TCX_EGRESS`.
pub const TCX_EGRESS: u32 = 47;

/// Makes a map.
///
/// # Errors
/// The kernel's refusal.
pub fn make_map(kind: u32, key_size: u32, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    call_for_fd(MAP_CREATE, &mut [kind, key_size, value_size, max_entries, 0])
}

/// Pins a map or program.
///
/// # Errors
/// The kernel's refusal.
pub fn pin(object: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = [0; 4];
    put_address(&mut attributes, 0, path.as_ptr().cast());
    attributes[2] = object.as_raw_fd().cast_unsigned();
    call(OBJ_PIN, &mut attributes).map(drop)
}

/// Opens a pinned map or program.
///
/// # Errors
/// The kernel's refusal.
pub fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = [0; 4];
    put_address(&mut attributes, 0, path.as_ptr().cast());
    call_for_fd(OBJ_GET, &mut attributes)
}

/// Reads one value of a map whose keys are `u32`; `size` is that of the whole value (times the CPUs, if it is per CPU).
///
/// # Errors
/// The kernel's refusal.
pub fn look_up(map: &OwnedFd, key: u32, size: usize) -> io::Result<Vec<u8>> {
    let mut value = vec![0_u8; size];
    let mut attributes = [0; 8];
    attributes[0] = map.as_raw_fd().cast_unsigned();
    put_address(&mut attributes, 2, (&raw const key).cast());
    put_address(&mut attributes, 4, value.as_mut_ptr().cast_const());
    call(MAP_LOOKUP_ELEM, &mut attributes)?;
    Ok(value)
}

/// Writes one value of a map whose keys are `u32`.
///
/// # Errors
/// The kernel's refusal.
pub fn update(map: &OwnedFd, key: u32, value: &[u8]) -> io::Result<()> {
    put(map, &key.to_ne_bytes(), value)
}

/// Writes one value of a map.
///
/// # Errors
/// The kernel's refusal.
pub fn put(map: &OwnedFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    let mut attributes = [0; 8];
    attributes[0] = map.as_raw_fd().cast_unsigned();
    put_address(&mut attributes, 2, key.as_ptr());
    put_address(&mut attributes, 4, value.as_ptr());
    call(MAP_UPDATE_ELEM, &mut attributes).map(drop)
}

/// Reads one value of a map by its key; `None` if there is none.
///
/// # Errors
/// The kernel's refusal.
pub fn find(map: &OwnedFd, key: &[u8], size: usize) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0_u8; size];
    let mut attributes = [0; 8];
    attributes[0] = map.as_raw_fd().cast_unsigned();
    put_address(&mut attributes, 2, key.as_ptr());
    put_address(&mut attributes, 4, value.as_mut_ptr().cast_const());
    match call(MAP_LOOKUP_ELEM, &mut attributes) {
        Ok(_) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes one entry of a map by its key; `false` if there is none.
///
/// # Errors
/// The kernel's refusal.
pub fn delete(map: &OwnedFd, key: &[u8]) -> io::Result<bool> {
    let mut attributes = [0; 8];
    attributes[0] = map.as_raw_fd().cast_unsigned();
    put_address(&mut attributes, 2, key.as_ptr());
    match call(MAP_DELETE_ELEM, &mut attributes) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many values a per-CPU map has for each key.
///
/// # Errors
/// When /sys does not say.
pub fn possible_cpus() -> io::Result<usize> {
    let range = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = range.trim().rsplit(['-', ',']).next().and_then(|last| last.parse::<usize>().ok());
    last.map(|last| last + 1).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What a test run of a TC program is given besides the frame: the fields of `struct __sk_buff` that the kernel takes
/// from its caller (`convert___skb_to_skb` in net/bpf/test_run.c).
#[derive(Clone, Copy, Debug, Default)]
pub struct TestContext {
    /// The interface the frame is at, in this thread's network namespace; 0 is loopback.
    pub ifindex: u32,
    /// The interface at which a packet that leaves had arrived; 0 for what the host sends itself.
    pub ingress_ifindex: u32,
    /// Packets on the wire that the frame stands for; 0 without segmentation offload.
    pub gso_segs: u32,
    /// Bytes of payload in each of them.
    pub gso_size: u32,
    /// `skb->mark`.
    pub mark: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct TestOutcome {
    /// What the program returned.
    pub returned: i32,
    /// Mean duration of one run: nanoseconds.
    pub nanoseconds: u32,
}

/// Runs a TC program on one frame, `repeat` times, in this thread's network namespace (`BPF_PROG_TEST_RUN`).
///
/// # Errors
/// The kernel's refusal: a frame shorter than an Ethernet header or longer than a page takes.
pub fn test_run(program: &OwnedFd, frame: &[u8], context: TestContext, repeat: u32) -> io::Result<TestOutcome> {
    // `struct __sk_buff` is 192 bytes; a shorter one stands for zeros behind it.
    let mut skb = [0_u32; 46];
    (skb[2], skb[9], skb[10]) = (context.mark, context.ingress_ifindex, context.ifindex);
    (skb[41], skb[44]) = (context.gso_segs, context.gso_size);
    let size = |bytes: usize| u32::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let mut attributes = [0; 14];
    attributes[0] = program.as_raw_fd().cast_unsigned();
    attributes[2] = size(frame.len())?;
    put_address(&mut attributes, 4, frame.as_ptr());
    attributes[8] = repeat;
    attributes[10] = size(size_of_val(&skb))?;
    put_address(&mut attributes, 12, skb.as_ptr().cast());
    call(PROG_TEST_RUN, &mut attributes)?;
    Ok(TestOutcome { returned: attributes[1].cast_signed(), nanoseconds: attributes[9] })
}

/// Ids of the programs at a TCX hook of an interface in this thread's network namespace, in their order. None on a
/// kernel without TCX.
///
/// # Errors
/// The kernel's refusal.
pub fn tcx_programs(interface: u32, hook: u32) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; 64];
    let mut attributes = [0; 16];
    attributes[0] = interface;
    attributes[1] = hook;
    put_address(&mut attributes, 4, ids.as_mut_ptr().cast_const().cast());
    attributes[6] = 64;
    match call(PROG_QUERY, &mut attributes) {
        Ok(_) => Ok(ids[..ids.len().min(attributes[6] as usize)].to_vec()),
        // EINVAL: no such hook in this kernel. ENOENT: nothing was ever attached.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Attaches a program to a TCX hook of an interface in this thread's network namespace, for as long as the link lives.
///
/// # Errors
/// The kernel's refusal.
pub fn attach_tcx(program: &OwnedFd, interface: u32, hook: u32) -> io::Result<OwnedFd> {
    call_for_fd(LINK_CREATE, &mut [program.as_raw_fd().cast_unsigned(), interface, hook, 0, 0, 0, 0, 0])
}

/// Whether a program is still loaded.
pub fn program_lives(id: u32) -> bool {
    call_for_fd(PROG_GET_FD_BY_ID, &mut [id, 0, 0]).is_ok()
}

/// How many maps of this name and number of entries there are on the whole machine, pinned or not.
///
/// # Errors
/// The kernel's refusal.
pub fn count_maps(name: &str, max_entries: u32) -> io::Result<usize> {
    let (mut id, mut found) = (0, 0);
    loop {
        let mut attributes = [id, 0, 0];
        match call(MAP_GET_NEXT_ID, &mut attributes) {
            Ok(_) => id = attributes[1],
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error),
        }
        // It may be gone by now.
        let Ok(map) = call_for_fd(MAP_GET_FD_BY_ID, &mut [id, 0, 0]) else { continue };
        // The beginning of `struct bpf_map_info`: type, id, sizes of key and value, entries, flags, name.
        let mut info = [0_u32; 10];
        let mut attributes = [0; 4];
        (attributes[0], attributes[1]) = (map.as_raw_fd().cast_unsigned(), 40);
        put_address(&mut attributes, 2, info.as_mut_ptr().cast_const().cast());
        call(OBJ_GET_INFO_BY_FD, &mut attributes)?;
        let its_name: Vec<u8> = info[6..].iter().flat_map(|word| word.to_ne_bytes()).take_while(|b| *b != 0).collect();
        found += usize::from(its_name == name.as_bytes() && info[4] == max_entries);
    }
}

/// Whether a map still exists.
pub fn map_lives(id: u32) -> bool {
    call_for_fd(MAP_GET_FD_BY_ID, &mut [id, 0, 0]).is_ok()
}

/// What /proc says of a map: `memlock`, its bytes, or `map_id`.
///
/// # Errors
/// When it says nothing of that.
pub fn map_field(map: &OwnedFd, name: &str) -> io::Result<u64> {
    let fields = std::fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", map.as_raw_fd()))?;
    let mut values = fields.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok());
    values.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

pub(crate) fn put_address(attributes: &mut [u32], at: usize, pointer: *const u8) {
    let bytes = (pointer as u64).to_ne_bytes();
    for (word, half) in attributes[at..].iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_ne_bytes([half[0], half[1], half[2], half[3]]);
    }
}

pub(crate) fn call_for_fd(command: i32, attributes: &mut [u32]) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    // SAFETY: the command answers with a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `attributes` is `union bpf_attr`, as far as the command reads it.
pub(crate) fn call(command: i32, attributes: &mut [u32]) -> io::Result<i32> {
    // The union holds 8-byte numbers, so it must be aligned for them.
    #[repr(C, align(8))]
    struct Aligned([u32; 16]);
    let mut aligned = Aligned([0; 16]);
    let words = aligned.0.get_mut(..attributes.len()).ok_or(io::ErrorKind::InvalidInput)?;
    words.copy_from_slice(attributes);
    let size = size_of_val(attributes);
    // SAFETY: `aligned` is live and at least `size` long; the addresses in it are of buffers that the callers hold.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, aligned.0.as_mut_ptr(), size) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    attributes.copy_from_slice(&aligned.0[..attributes.len()]);
    i32::try_from(answer).map_err(|_| io::ErrorKind::InvalidData.into())
}
