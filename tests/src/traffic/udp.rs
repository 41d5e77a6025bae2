//! UDP questions and answers.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    namespace::Namespace,
    wait::{DENIED, SOON},
};

/// A client's and a server's socket.
#[derive(Debug)]
pub struct Pair {
    /// Connected to the server.
    pub client: UdpSocket,
    /// Bound to the asked port.
    pub server: UdpSocket,
}

impl Pair {
    /// Opens both.
    ///
    /// # Errors
    /// When an address is taken or not there.
    pub fn open(client: &Namespace, server: &Namespace, address: SocketAddr) -> Result<Self> {
        let server = server.run(|| UdpSocket::bind(address)).with_context(|| format!("cannot bind {address}"))?;
        Ok(Self { client: connect(client, address)?, server })
    }

    /// Another client of the same server takes the place of this one, whose socket is returned.
    ///
    /// # Errors
    /// When there is no port left.
    pub fn next_client(&mut self, client: &Namespace) -> Result<UdpSocket> {
        let next = connect(client, self.server.local_addr()?)?;
        Ok(std::mem::replace(&mut self.client, next))
    }

    /// Asks with this many bytes, and answers with that many.
    ///
    /// # Errors
    /// When question or answer does not arrive.
    pub fn ask(&self, question: usize, answer: usize) -> Result<()> {
        self.client.send(&vec![b'?'; question]).context("cannot ask")?;
        let from = receive(&self.server, question).context("the question does not arrive")?;
        self.server.send_to(&vec![b'!'; answer], from).context("cannot answer")?;
        receive(&self.client, answer).context("the answer does not arrive")?;
        Ok(())
    }

    /// Fails unless a question is dropped without an answer.
    ///
    /// # Errors
    /// When it arrives.
    pub fn is_denied(&self) -> Result<()> {
        self.client.send(b"?").context("cannot ask")?;
        self.server.set_read_timeout(Some(DENIED))?;
        match self.server.recv(&mut [0; 16]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => bail!("a question arrived that must be denied: {other:?}"),
        }
    }
}

fn connect(client: &Namespace, address: SocketAddr) -> io::Result<UdpSocket> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    client.run(|| {
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        Ok(socket)
    })
}

fn receive(socket: &UdpSocket, expected: usize) -> Result<SocketAddr> {
    socket.set_read_timeout(Some(SOON))?;
    let mut buffer = vec![0; 65_536];
    let (received, from) = socket.recv_from(&mut buffer)?;
    ensure!(received == expected, "{received} bytes instead of {expected}");
    Ok(from)
}
