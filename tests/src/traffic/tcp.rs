//! TCP connections, with control over how they end.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    libc::linger,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt},
};

use crate::{
    namespace::Namespace,
    wait::{DENIED, SOON, eventually},
};

/// Both ends of an open connection.
#[derive(Debug)]
pub struct Connection {
    /// The end that connected.
    pub client: TcpStream,
    /// The end that accepted.
    pub server: TcpStream,
}

/// Listens inside a namespace.
///
/// # Errors
/// When the address is taken or not there.
pub fn listen(namespace: &Namespace, address: SocketAddr) -> Result<TcpListener> {
    namespace.run(|| TcpListener::bind(address)).with_context(|| format!("cannot listen on {address}"))
}

/// Connects, and accepts at the other end.
///
/// # Errors
/// When the connection does not come about soon.
pub fn connect(client: &Namespace, listener: &TcpListener) -> Result<Connection> {
    connect_to(client, listener, listener.local_addr()?)
}

/// Like [`connect`], to an address that is not the listener's own but leads there.
///
/// # Errors
/// When the connection does not come about soon.
pub fn connect_to(client: &Namespace, listener: &TcpListener, address: SocketAddr) -> Result<Connection> {
    let connected = client.run(|| TcpStream::connect_timeout(&address, SOON));
    accepted(connected.with_context(|| format!("cannot connect to {address}"))?, listener)
}

/// Like [`connect`], from this address and port.
///
/// # Errors
/// When it is taken or not there, or the connection does not come about.
pub fn connect_from(client: &Namespace, from: SocketAddr, listener: &TcpListener) -> Result<Connection> {
    let address = listener.local_addr()?;
    let connected = client.run(|| -> nix::Result<TcpStream> {
        let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
        nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
        Ok(socket.into())
    });
    accepted(connected.with_context(|| format!("cannot connect from {from} to {address}"))?, listener)
}

/// Both ends of a connection that waits to be accepted.
fn accepted(client: TcpStream, listener: &TcpListener) -> Result<Connection> {
    let server = accept(listener)?;
    for end in [&client, &server] {
        end.set_read_timeout(Some(SOON))?;
        end.set_write_timeout(Some(SOON))?;
        end.set_nodelay(true)?;
    }
    Ok(Connection { client, server })
}

/// Fails unless the connection is dropped without an answer: neither accepted nor refused.
///
/// # Errors
/// When there was an answer.
pub fn is_denied(client: &Namespace, address: SocketAddr) -> Result<()> {
    match client.run(|| TcpStream::connect_timeout(&address, DENIED)) {
        Ok(_) => bail!("{address} accepted a connection that must be denied"),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
        Err(error) => bail!("{address} answered a connection that must be denied: {error}"),
    }
}

impl Connection {
    /// Sends this many bytes each way at the same time, and waits until all of them have arrived.
    ///
    /// # Errors
    /// When some do not.
    pub fn exchange(&mut self, to_server: usize, to_client: usize) -> Result<()> {
        let Self { client, server } = self;
        thread::scope(|scope| {
            let (mut a, mut b) = (client.try_clone()?, server.try_clone()?);
            let sending = [
                scope.spawn(move || a.write_all(&vec![b'>'; to_server])),
                scope.spawn(move || b.write_all(&vec![b'<'; to_client])),
            ];
            server.read_exact(&mut vec![0; to_server]).context("bytes to the server are missing")?;
            client.read_exact(&mut vec![0; to_client]).context("bytes to the client are missing")?;
            for sender in sending {
                sender.join().expect("a sender does not panic").context("cannot send")?;
            }
            Ok(())
        })
    }

    /// Sends this many bytes to the client, and waits until all of them have arrived: the client may have finished.
    ///
    /// # Errors
    /// When some do not.
    pub fn exchange_to_client(&mut self, bytes: usize) -> Result<()> {
        self.server.write_all(&vec![b'<'; bytes]).context("cannot send")?;
        self.client.read_exact(&mut vec![0; bytes]).context("bytes to the client are missing")
    }

    /// Waits until each end knows that the other has all it sent: then nothing is on the way.
    ///
    /// # Errors
    /// When that does not come about soon.
    pub fn settle(&self) -> Result<()> {
        eventually(|| {
            for end in [&self.client, &self.server] {
                let mut left: libc::c_int = 0;
                // SAFETY: the socket is open, and the kernel writes one integer.
                let answer = unsafe { libc::ioctl(end.as_raw_fd(), libc::TIOCOUTQ, &raw mut left) };
                ensure!(answer == 0, "cannot ask a socket: {}", io::Error::last_os_error());
                ensure!(left == 0, "{left} bytes are not acknowledged");
            }
            Ok(())
        })
    }

    /// Fails unless the bytes that the client sends now do not arrive.
    ///
    /// # Errors
    /// When one arrives.
    pub fn is_cut(&mut self) -> Result<()> {
        self.client.write_all(b"x").context("cannot send")?;
        self.server.set_read_timeout(Some(DENIED))?;
        let read = self.server.read(&mut [0]);
        self.server.set_read_timeout(Some(SOON))?;
        match read {
            Ok(read) => bail!("{read} bytes arrived that must be denied"),
            Err(error) => ensure!(error.kind() == io::ErrorKind::WouldBlock, "not cut but ended: {error}"),
        }
        Ok(())
    }

    /// Like [`Self::exchange`], after this many bytes to the server were cut ([`Self::is_cut`]): they arrive, too.
    ///
    /// # Errors
    /// When some do not.
    pub fn exchange_late(&mut self, cut: usize, both: usize) -> Result<()> {
        self.server.read_exact(&mut vec![0; cut]).context("what was cut is not sent again")?;
        self.exchange(both, both)
    }

    /// The client says it has sent all; the server sees the end.
    ///
    /// # Errors
    /// When it does not.
    pub fn finish_client(&mut self) -> Result<()> {
        half_close(&self.client, &mut self.server)
    }

    /// The server says it has sent all; the client sees the end.
    ///
    /// # Errors
    /// When it does not.
    pub fn finish_server(&mut self) -> Result<()> {
        half_close(&self.server, &mut self.client)
    }

    /// The client ends it by a reset.
    ///
    /// # Errors
    /// When the server does not see it.
    pub fn reset(self) -> Result<()> {
        let Self { client, mut server } = self;
        setsockopt(&client, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
        drop(client);
        match server.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            other => bail!("expected a reset, got {other:?}"),
        }
    }
}

fn half_close(from: &TcpStream, to: &mut TcpStream) -> Result<()> {
    from.shutdown(Shutdown::Write)?;
    let read = to.read(&mut [0]).context("the end does not arrive")?;
    ensure!(read == 0, "data instead of the end");
    Ok(())
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + SOON;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error).context("nothing to accept"),
        }
    }
}
