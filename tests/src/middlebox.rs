//! A forwarder in the middle of the cable that loses, doubles, delays and so reorders frames: what netem does, where
//! the kernel has none. What it does to which frame follows from its seed.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, recv, send},
};

use crate::{
    capture::packet_socket,
    lab::Lab,
    namespace::Namespace,
    topology::{TO_CLIENT, TO_SERVER},
};

/// How rough the way is: of every 1,000 frames.
#[derive(Clone, Copy, Debug)]
pub struct Roughness {
    /// This many are lost.
    pub lost: u64,
    /// This many arrive twice, the second one late.
    pub doubled: u64,
    /// This many come late.
    pub late: u64,
    /// How late at most.
    pub delay: Duration,
}

/// What was done to how many frames.
#[derive(Debug, Default)]
pub struct Done {
    forwarded: AtomicU64,
    lost: AtomicU64,
    doubled: AtomicU64,
    late: AtomicU64,
    waiting: AtomicU64,
}

/// Forwards until it is dropped.
#[derive(Debug)]
pub struct Middlebox {
    stop: Arc<AtomicBool>,
    done: Arc<Done>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Middlebox {
    /// Begins to forward in a lab of [`crate::topology::Topology::Middlebox`].
    ///
    /// # Errors
    /// When the lab is another one.
    pub fn start(lab: &Lab, roughness: Roughness, seed: u64) -> Result<Self> {
        let middle = lab.between.first().context("there is nothing in the middle")?;
        let sockets = [tap(middle, TO_CLIENT)?, tap(middle, TO_SERVER)?];
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(Done::default()));
        let (told, counts) = (Arc::clone(&stop), Arc::clone(&done));
        let thread = thread::spawn(move || {
            Forwarder { sockets, roughness, random: Random(seed | 1), waiting: BinaryHeap::new(), number: 0 }
                .run(&told, &counts)
        });
        Ok(Self { stop, done, thread: Some(thread) })
    }

    /// Fails while a frame is still to be sent late: to be tried until nothing is.
    ///
    /// # Errors
    /// When one is.
    pub fn has_sent_all(&self) -> Result<()> {
        let waiting = self.done.waiting.load(Ordering::Relaxed);
        ensure!(waiting == 0, "{waiting} frames are on their way");
        Ok(())
    }

    /// Ends it, and fails unless it did something to frames in every way it was to.
    ///
    /// # Errors
    /// When it did not, or could not forward.
    pub fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it is stopped once")?;
        thread.join().map_err(|_| anyhow::anyhow!("the middlebox panicked"))??;
        let counts = [&self.done.forwarded, &self.done.lost, &self.done.doubled, &self.done.late];
        ensure!(counts.iter().all(|count| count.load(Ordering::Relaxed) > 0), "the way was not rough: {:?}", self.done);
        Ok(())
    }
}

impl Drop for Middlebox {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A frame to be sent later: when, its number (so that equal times keep their order), to which side, and itself.
type Waiting = Reverse<(Instant, u64, usize, Vec<u8>)>;

struct Forwarder {
    sockets: [OwnedFd; 2],
    roughness: Roughness,
    random: Random,
    waiting: BinaryHeap<Waiting>,
    number: u64,
}

impl Forwarder {
    fn run(mut self, stop: &AtomicBool, done: &Done) -> Result<()> {
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            self.send_what_is_due()?;
            done.waiting.store(self.waiting.len() as u64, Ordering::Relaxed);
            let timeout = if self.waiting.is_empty() { PollTimeout::from(20_u8) } else { PollTimeout::from(1_u8) };
            let mut polled = self.sockets.each_ref().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            match poll(&mut polled, timeout) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error).context("cannot wait for frames"),
            }
            for side in 0..2 {
                // A bounded number, so that neither side starves the other or what is due.
                for _ in 0..16 {
                    match recv(self.sockets[side].as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                        Ok(length) => self.meet(1 - side, &buffer[..length], done)?,
                        Err(_) => break,
                    }
                }
            }
        }
        Ok(())
    }

    fn meet(&mut self, to: usize, frame: &[u8], done: &Done) -> Result<()> {
        let Roughness { lost, doubled, late, delay } = self.roughness;
        let fate = self.random.next() % 1000;
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        // Only IP suffers: neighbours that are not found would make the test slow, not rough.
        if !matches!(frame.get(12..14), Some([0x08, 0x00])) && !is_tcp6(frame) {
            return transmit(&self.sockets[to], frame);
        }
        count(&done.forwarded);
        if fate < lost {
            count(&done.lost);
            return Ok(());
        }
        if fate < lost + doubled + late {
            let nanoseconds = u64::try_from(delay.as_nanos())?.max(1);
            let due = Instant::now() + Duration::from_nanos(self.random.next() % nanoseconds);
            self.number += 1;
            self.waiting.push(Reverse((due, self.number, to, frame.to_vec())));
            if fate >= lost + doubled {
                count(&done.late);
                return Ok(());
            }
            count(&done.doubled);
        }
        transmit(&self.sockets[to], frame)
    }

    fn send_what_is_due(&mut self) -> Result<()> {
        while self.waiting.peek().is_some_and(|Reverse((due, ..))| *due <= Instant::now()) {
            if let Some(Reverse((_, _, to, frame))) = self.waiting.pop() {
                transmit(&self.sockets[to], &frame)?;
            }
        }
        Ok(())
    }
}

fn is_tcp6(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&6)
}

fn transmit(socket: &OwnedFd, frame: &[u8]) -> Result<()> {
    match send(socket.as_raw_fd(), frame, MsgFlags::empty()) {
        // What a full queue drops is lost, as on any cable.
        Ok(_) | Err(nix::Error::ENOBUFS) => Ok(()),
        Err(error) => Err(error).context("cannot forward a frame"),
    }
}

/// A packet socket that hears what arrives, and not what it sends itself.
///
/// # Errors
/// When the interface is missing.
pub fn tap(namespace: &Namespace, interface: &str) -> Result<OwnedFd> {
    let every = u16::try_from(libc::ETH_P_ALL)?;
    let socket = namespace.run(|| packet_socket(interface, every))?;
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on))?;
    // SAFETY: the value is live and as long as `length` says.
    let answer = unsafe {
        let value = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, value, length)
    };
    ensure!(answer == 0, "cannot ignore what is sent: {}", io::Error::last_os_error());
    Ok(socket)
}

/// xorshift64*: the same numbers from the same seed, everywhere.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(usize::MAX) % limit.max(1)
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
