//! The server's end.

use crate::connection::Connection;
use crate::fault::{self, REMEDY, close};
use crate::identity::{Roster, ServerIdentity, device_id_of};
use crate::limits::Limits;
use crate::tls;
use afferent_media::{Code, Error, Result};
use quinn::{Endpoint, Incoming, VarInt};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::Arc;

/// Listens for devices of one authority.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    roster: Roster,
    limits: Limits,
}

impl Listener {
    /// Listens on `address`, as `identity`, within a tokio runtime.
    ///
    /// # Errors
    /// [`Code::Io`] if the address cannot be had, [`Code::Config`] for an
    /// identity that TLS cannot use.
    pub fn bind(address: SocketAddr, identity: &ServerIdentity, limits: Limits) -> Result<Self> {
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls::server(identity)?));
        config.transport_config(limits.server()).max_incoming(limits.connections);
        let endpoint = Endpoint::server(config, address)
            .map_err(|cause| Error::io(format!("listening on {address} (UDP)"), cause))?;
        Ok(Self { endpoint, roster: identity.roster().clone(), limits })
    }

    /// The address that it listens on, with the port that was given where 0 was asked.
    ///
    /// # Errors
    /// [`Code::Io`] if the system does not tell.
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.endpoint.local_addr().map_err(|cause| Error::io("reading the listener's address", cause))
    }

    /// The next device that knocks; `None` once the listener is closed. The
    /// handshake is left to the caller, so that a slow one delays no other.
    ///
    /// This is cancel-safe.
    pub async fn accept(&self) -> Option<Handshake> {
        loop {
            let incoming = self.endpoint.accept().await?;
            if self.endpoint.open_connections() < self.limits.connections {
                return Some(Handshake { incoming, roster: self.roster.clone(), limits: self.limits });
            }
            log::warn!("{} is turned away: {} connections", incoming.remote_address(), self.limits.connections);
            incoming.refuse();
        }
    }

    /// Closes all connections with `reason`, and waits until the peers know.
    pub async fn close(&self, reason: &str) {
        self.endpoint.close(VarInt::from_u32(close::DONE), reason.as_bytes());
        _ = tokio::time::timeout(self.limits.handshake, self.endpoint.wait_idle()).await;
    }
}

/// A device that knocks.
#[derive(Debug)]
pub struct Handshake {
    incoming: Incoming,
    roster: Roster,
    limits: Limits,
}

impl Handshake {
    /// Where it comes from.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Completes the handshake, checks the device against the roster, and waits
    /// for its first frame. A device that is refused is told why.
    ///
    /// # Errors
    /// [`Code::Refused`] for a device of another authority, unknown or revoked;
    /// [`Code::Link`] if it does not complete.
    pub async fn complete(self) -> Result<Connection> {
        let Self { incoming, roster, limits } = self;
        let address = incoming.remote_address();
        let handshake = async {
            let unnamed = address.to_string();
            let connection = incoming
                .accept()
                .map_err(|error| fault::lost(&unnamed, &error))?
                .await
                .map_err(|error| fault::lost(&unnamed, &error))?;
            let device = authorise(&connection, &roster).map_err(|error| error.at(address)).inspect_err(|error| {
                let reason = format!("{}{REMEDY}{}", error.what(), error.remedy());
                connection.close(VarInt::from_u32(close::REFUSED), reason.as_bytes());
            })?;
            let (send, receive) = connection.accept_bi().await.map_err(|error| fault::lost(&device, &error))?;
            Ok(Connection::new(connection, None, device, send, receive, &limits))
        };
        tokio::time::timeout(limits.handshake, handshake)
            .await
            .unwrap_or_else(|_| Err(fault::no_handshake(&address.to_string())))
    }
}

fn authorise(connection: &quinn::Connection, roster: &Roster) -> Result<String> {
    let identity = connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate = identity.as_deref().and_then(|chain| chain.first()).ok_or_else(|| {
        Error::new(Code::Refused, "the device shows no certificate", "enroll the device (`afferent enroll`)")
    })?;
    let device = device_id_of(certificate)?;
    roster.check(&device, certificate)?;
    Ok(device)
}
