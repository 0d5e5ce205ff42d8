//! The agent's end.

use crate::connection::Connection;
use crate::fault;
use crate::identity::DeviceIdentity;
use crate::limits::Limits;
use crate::tls;
use afferent_media::{Code, Error, Result};
use quinn::{ConnectError, Endpoint};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Connects to servers as one device.
#[derive(Debug, Clone)]
pub struct Client {
    config: quinn::ClientConfig,
    limits: Limits,
}

impl Client {
    /// A client with the identity of a device. Keep it between connections: it
    /// remembers the server's TLS session, which makes reconnects cheaper.
    ///
    /// # Errors
    /// [`Code::Config`] for an identity that TLS cannot use.
    pub fn new(identity: &DeviceIdentity, limits: Limits) -> Result<Self> {
        let mut config = quinn::ClientConfig::new(Arc::new(tls::client(identity)?));
        config.transport_config(limits.agent());
        Ok(Self { config, limits })
    }

    /// Connects to the server at `address`, whose certificate must name `server_name`.
    ///
    /// # Errors
    /// [`Code::Refused`] if the server's certificate is not of this device's
    /// authority or names another server, [`Code::Link`] if it does not answer,
    /// [`Code::Config`] for an impossible name or address, [`Code::Io`] if no
    /// socket can be had. That the *server* refuses the device shows at the
    /// first [`Connection::recv`].
    pub async fn connect(&self, address: SocketAddr, server_name: &str) -> Result<Connection> {
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        // A socket for each connection: it follows the board's changing interfaces.
        let endpoint = Endpoint::client(any).map_err(|cause| Error::io("opening a UDP socket", cause))?;
        let peer = format!("{server_name} ({address})");
        let connecting =
            endpoint.connect_with(self.config.clone(), address, server_name).map_err(|cause| match cause {
                ConnectError::InvalidServerName(_) | ConnectError::InvalidRemoteAddress(_) => Error::new(
                    Code::Config,
                    format!("{peer} cannot be connected to"),
                    "check the server's name, address and port",
                )
                .caused_by(cause),
                _ => Error::new(Code::Internal, "the transport refuses to start", "report this").caused_by(cause),
            })?;
        let connection = tokio::time::timeout(self.limits.handshake, connecting)
            .await
            .map_err(|_| fault::no_handshake(&peer))?
            .map_err(|error| fault::lost(&peer, &error))?;
        let (send, receive) = connection.open_bi().await.map_err(|error| fault::lost(&peer, &error))?;
        Ok(Connection::new(connection, Some(endpoint), peer, send, receive, &self.limits))
    }
}
