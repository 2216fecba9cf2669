//! Whether the client of a request is still there.

use std::any::Any;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// The connection of a request, to look whether its other end has hung up.
#[derive(Clone)]
pub struct Peer(Arc<OwnedFd>);

impl Peer {
    /// Keeps a second handle to a connection that has come in, which ends with its requests.
    pub fn remember(connection: &dyn Any, extensions: &mut Extensions) {
        let stream = connection.downcast_ref::<actix_web::rt::net::TcpStream>();
        if let Some(handle) = stream.and_then(|stream| stream.as_fd().try_clone_to_owned().ok()) {
            extensions.insert(Self(Arc::new(handle)));
        }
    }

    /// The connection of this request; nothing where it is not TCP.
    pub fn of(request: &HttpRequest) -> Option<Self> {
        request.conn_data::<Self>().cloned()
    }

    /// Whether the client has closed its side or is lost. One that is silent is there.
    pub fn has_gone(&self) -> bool {
        let mut byte = [0_u8; 1];
        match recv(&*self.0, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((length, _)) => length == 0,
            Err(error) => !matches!(error, Errno::AGAIN | Errno::INTR),
        }
    }
}
