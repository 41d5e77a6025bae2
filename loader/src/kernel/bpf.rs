//! bpf(2), one safe function for each command we use. aya has no read-only open, no batches, no freeze and no way to
//! attach by interface index.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use aya_obj::generated::{BPF_F_RDONLY, bpf_cmd};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The largest attribute we pass; the kernel takes what is not passed as zero.
const MAX_ATTRIBUTE: usize = 72;

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct Element {
    map_fd: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct Pin {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct InfoRequest {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    map_ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct BtfLoad {
    btf: u64,
    btf_log_buf: u64,
    btf_size: u32,
    btf_log_size: u32,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    reserved: u32,
    expected_revision: u64,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct Query {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    count: u32,
    reserved: u32,
    program_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct OneFd {
    fd: u32,
}

/// The start of `struct bpf_map_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout)]
pub(crate) struct MapInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    pub(crate) name: [u8; 16],
}

/// The start of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout)]
pub(crate) struct ProgramInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) tag: [u8; 8],
}

/// The start of `struct bpf_link_info`, for a TCX link.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout)]
pub(crate) struct LinkInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) program_id: u32,
    pub(crate) reserved: u32,
    /// 0 when the interface is gone.
    pub(crate) ifindex: u32,
    pub(crate) attach_type: u32,
}

/// What a file descriptor from bpf(2) stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Map,
    Program,
    Link,
    Other,
}

/// Runs one command and returns its result.
///
/// # Safety
/// Every pointer in `attribute` must be null or valid for what `command` reads or writes through it.
unsafe fn bpf(command: bpf_cmd, attribute: &[u8]) -> io::Result<i64> {
    let mut buffer = [0u64; MAX_ATTRIBUTE / 8];
    buffer.as_mut_bytes()[..attribute.len()].copy_from_slice(attribute);
    // SAFETY: the attribute is valid for its length and aligned; the caller vouches for the pointers in it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, buffer.as_mut_ptr(), attribute.len()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    // A borrowed descriptor is never negative.
    fd.as_raw_fd().cast_unsigned()
}

fn owned(result: i64) -> OwnedFd {
    // SAFETY: the kernel returned a new descriptor (they fit an int) that nobody else knows.
    unsafe { OwnedFd::from_raw_fd(result as i32) }
}

fn address<T: ?Sized>(bytes: &T) -> u64 {
    std::ptr::from_ref(bytes).cast::<u8>().addr() as u64
}

fn path_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

/// Opens a pinned object.
pub(crate) fn object_get(path: &Path, read_only: bool) -> io::Result<OwnedFd> {
    let path = path_string(path)?;
    let attribute = Pin {
        pathname: address(path.as_bytes_with_nul()),
        bpf_fd: 0,
        file_flags: if read_only { BPF_F_RDONLY } else { 0 },
    };
    // SAFETY: the path is NUL-terminated and lives until the call returns.
    let fd = unsafe { bpf(bpf_cmd::BPF_OBJ_GET, attribute.as_bytes()) }?;
    Ok(owned(fd))
}

/// Pins an object; the file's mode is 0600 minus the umask.
pub(crate) fn object_pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = path_string(path)?;
    let attribute = Pin { pathname: address(path.as_bytes_with_nul()), bpf_fd: raw(fd), file_flags: 0 };
    // SAFETY: as in `object_get`.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, attribute.as_bytes()) }?;
    Ok(())
}

/// What the descriptor stands for, by the fields the kernel shows of it in /proc.
pub(crate) fn object_kind(fd: BorrowedFd<'_>) -> io::Result<ObjectKind> {
    let text = fd_info(fd)?;
    let has = |field: &str| text.lines().any(|line| line.starts_with(field));
    Ok(if has("map_type:") {
        ObjectKind::Map
    } else if has("link_type:") {
        // A link also has the program's tag and id.
        ObjectKind::Link
    } else if has("prog_type:") {
        ObjectKind::Program
    } else {
        ObjectKind::Other
    })
}

fn fd_info(fd: BorrowedFd<'_>) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))
}

fn info<T: FromBytes + IntoBytes>(fd: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::new_zeroed();
    let bytes = info.as_mut_bytes();
    let attribute = InfoRequest {
        bpf_fd: raw(fd),
        // Our structs are far below 4 GiB.
        info_len: bytes.len() as u32,
        info: bytes.as_mut_ptr().addr() as u64,
    };
    // SAFETY: `info` is valid for writes of `info_len` bytes, and any bytes are a valid `T`.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, attribute.as_bytes()) }?;
    Ok(info)
}

/// Type and sizes of a map.
pub(crate) fn map_info(fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
    info(fd)
}

/// Type, id and tag of a program.
pub(crate) fn program_info(fd: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    info(fd)
}

/// Type of a link and where it is attached.
pub(crate) fn link_info(fd: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    info(fd)
}

/// A map to create.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewMap<'a> {
    pub(crate) kind: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    /// The BTF that describes it, and the types of key and value in it.
    pub(crate) btf: Option<(BorrowedFd<'a>, u32, u32)>,
}

/// Creates a map; the kernel keeps 15 bytes of its name.
pub(crate) fn map_create(name: &str, map: &NewMap<'_>) -> io::Result<OwnedFd> {
    let mut map_name = [0; 16];
    for (to, from) in map_name.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    let (btf_fd, btf_key_type_id, btf_value_type_id) = map.btf.map_or((0, 0, 0), |(fd, k, v)| (raw(fd), k, v));
    let attribute = Create {
        map_type: map.kind,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        map_flags: map.flags,
        inner_map_fd: 0,
        numa_node: 0,
        map_name,
        map_ifindex: 0,
        btf_fd,
        btf_key_type_id,
        btf_value_type_id,
    };
    // SAFETY: the attribute holds no pointer.
    let fd = unsafe { bpf(bpf_cmd::BPF_MAP_CREATE, attribute.as_bytes()) }?;
    Ok(owned(fd))
}

/// Gives type information to the kernel.
pub(crate) fn btf_load(btf: &[u8]) -> io::Result<OwnedFd> {
    let size = u32::try_from(btf.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let attribute = BtfLoad { btf: address(btf), btf_log_buf: 0, btf_size: size, btf_log_size: 0 };
    // SAFETY: the kernel reads `btf_size` bytes from `btf`; there is no log.
    let fd = unsafe { bpf(bpf_cmd::BPF_BTF_LOAD, attribute.as_bytes()) }?;
    Ok(owned(fd))
}

/// Reads one entry. `key` and `value` must be as long as the map says, which [`super::map::Map`] checks.
pub(crate) fn map_lookup(fd: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    let attribute =
        Element { map_fd: raw(fd), reserved: 0, key: address(key), value: value.as_mut_ptr().addr() as u64, flags: 0 };
    // SAFETY: the kernel reads the map's key size from `key` and writes its value size to `value`; both are that long.
    unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, attribute.as_bytes()) }?;
    Ok(())
}

/// Writes one entry. `key` and `value` must be as long as the map says.
pub(crate) fn map_update(fd: BorrowedFd<'_>, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
    let attribute = Element { map_fd: raw(fd), reserved: 0, key: address(key), value: address(value), flags };
    // SAFETY: the kernel reads the map's key and value sizes; both slices are that long.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, attribute.as_bytes()) }?;
    Ok(())
}

/// Writes as many entries as `count` says. `keys` and `values` must be of so many of the map's sizes.
pub(crate) fn map_update_batch(fd: BorrowedFd<'_>, keys: &[u8], values: &[u8], count: u32) -> io::Result<()> {
    let attribute = Batch {
        in_batch: 0,
        out_batch: 0,
        keys: address(keys),
        values: address(values),
        count,
        map_fd: raw(fd),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `count` entries of the map's sizes, which both slices hold (Map sees to that). It writes
    // how many it took into the copy that `bpf` makes.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_BATCH, attribute.as_bytes()) }?;
    Ok(())
}

/// Removes one entry. `key` must be as long as the map says.
pub(crate) fn map_delete(fd: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    let attribute = Element { map_fd: raw(fd), reserved: 0, key: address(key), value: 0, flags: 0 };
    // SAFETY: the kernel reads the map's key size from `key`.
    unsafe { bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, attribute.as_bytes()) }?;
    Ok(())
}

/// Forbids every later write from user space, for good.
pub(crate) fn map_freeze(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the attribute holds no pointer.
    unsafe { bpf(bpf_cmd::BPF_MAP_FREEZE, OneFd { fd: raw(fd) }.as_bytes()) }?;
    Ok(())
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchEnd {
    /// There is more; go on from the position.
    More,
    /// That was the last batch.
    Last,
    /// The next bucket has more entries than fit: nothing was read.
    TooSmall,
}

/// Reads up to `capacity` entries from `position` on (none: from the start) into `keys` and `values`, and moves
/// `position`. Returns how many were read.
pub(crate) fn map_lookup_batch(
    fd: BorrowedFd<'_>,
    position: &mut Option<[u8; 64]>,
    keys: &mut [u8],
    values: &mut [u8],
    capacity: u32,
) -> io::Result<(u32, BatchEnd)> {
    let start = position.unwrap_or([0; 64]);
    let mut end = [0u8; 64];
    let attribute = Batch {
        in_batch: if position.is_some() { address(&start) } else { 0 },
        out_batch: end.as_mut_ptr().addr() as u64,
        keys: keys.as_mut_ptr().addr() as u64,
        values: values.as_mut_ptr().addr() as u64,
        count: capacity,
        map_fd: raw(fd),
        elem_flags: 0,
        flags: 0,
    };
    let mut buffer = attribute;
    // SAFETY: `keys` and `values` hold `capacity` entries of the map's sizes (the caller, Map, made them so); a
    // position is a u32 in hashes and the key in arrays, and both are shorter than 64 bytes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_MAP_LOOKUP_BATCH as libc::c_long,
            std::ptr::from_mut(&mut buffer),
            size_of::<Batch>(),
        )
    };
    let end_kind = if result == 0 {
        BatchEnd::More
    } else {
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT) => BatchEnd::Last,
            // A batch ends with ENOSPC only when it is empty.
            Some(libc::ENOSPC) => return Ok((0, BatchEnd::TooSmall)),
            _ => return Err(error),
        }
    };
    *position = Some(end);
    Ok((buffer.count.min(capacity), end_kind))
}

/// Attaches a program to an interface by a TCX link. The link lives as long as the descriptor or a pin of it.
pub(crate) fn link_create(program: BorrowedFd<'_>, ifindex: u32, attach_type: u32, flags: u32) -> io::Result<OwnedFd> {
    let attribute = LinkCreate {
        prog_fd: raw(program),
        target_ifindex: ifindex,
        attach_type,
        flags,
        relative_fd: 0,
        reserved: 0,
        expected_revision: 0,
    };
    // SAFETY: the attribute holds no pointer.
    let fd = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, attribute.as_bytes()) }?;
    Ok(owned(fd))
}

/// The most programs that a TCX hook takes (BPF_MPROG_MAX in include/linux/bpf_mprog.h).
const HOOK_PROGRAMS: usize = 64;

/// The links of a TCX hook of an interface in this network namespace, by id; 0 for what is attached without a link.
pub(crate) fn hook_links(ifindex: u32, attach_type: u32) -> io::Result<[u32; HOOK_PROGRAMS]> {
    let (mut programs, mut links) = ([0_u32; HOOK_PROGRAMS], [0_u32; HOOK_PROGRAMS]);
    let attribute = Query {
        target_ifindex: ifindex,
        attach_type,
        query_flags: 0,
        attach_flags: 0,
        // Without room for these the kernel tells no links either.
        program_ids: programs.as_mut_ptr().addr() as u64,
        count: HOOK_PROGRAMS as u32,
        reserved: 0,
        program_attach_flags: 0,
        link_ids: links.as_mut_ptr().addr() as u64,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: the kernel writes at most `count` numbers to each of the two arrays, which have as many and live until then.
    match unsafe { bpf(bpf_cmd::BPF_PROG_QUERY, attribute.as_bytes()) } {
        // Nothing was ever attached, or the interface is gone.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Ok([0; HOOK_PROGRAMS]),
        result => result.map(|_| links),
    }
}

/// Detaches a link at once, whoever else holds it.
pub(crate) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the attribute holds no pointer.
    unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, OneFd { fd: raw(link) }.as_bytes()) }?;
    Ok(())
}

/// Bytes of kernel memory behind a map, as /proc accounts them.
pub(crate) fn map_memory(fd: &impl AsFd) -> io::Result<u64> {
    Ok(fd_info(fd.as_fd())?
        .lines()
        .find_map(|line| line.strip_prefix("memlock:"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0))
}
