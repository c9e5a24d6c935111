//! An account between peers of its own, in the same bridge: what happens to others must not touch it.

use std::cell::Cell;

use mailferry::daemon::Polled;
use tokio::task::JoinSet;

use super::clock::Clock;
use crate::receiver::Receiver;
use crate::servers::pop3::Pop3;
use crate::world::{PASSWORD, World};

pub struct Neighbour {
    pop3: Pop3,
    receiver: Receiver,
    put: Cell<usize>,
}

impl Neighbour {
    /// Moves in before the world is started.
    pub async fn of(world: &mut World) -> Neighbour {
        let (pop3, receiver) = (Pop3::start().await, Receiver::start().await);
        world.more += &format!(
            "[destination.its-app]\nkind = \"webhook\"\nurl = \"{}\"\nformat = \"raw\"\n\
             secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n\
             [account.neighbour]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nuser = \"it\"\n\
             password = \"{PASSWORD}\"\nevery = \"5m\"\ndeliver = [{{ to = \"its-app\" }}]\n",
            receiver.url, pop3.port
        );
        Neighbour { pop3, receiver, put: Cell::new(0) }
    }

    /// New mail for it arrives at once.
    pub async fn gets_mail(&self, world: &World, clock: &Clock) -> Result<(), String> {
        let polled = clock.ended(world, &mut self.is_polled(world)).await;
        let summary =
            polled.ok_or("the neighbour's poll does not end")?.outcome.map_err(|e| e.to_string())?;
        if self.received() != self.put.get() {
            return Err(format!("the neighbour's mail {} did not arrive: {summary:?}", self.put.get()));
        }
        Ok(())
    }

    /// Begins a poll that finds new mail.
    pub fn is_polled(&self, world: &World) -> JoinSet<Polled> {
        let n = self.put.get() + 1;
        self.put.set(n);
        let message = format!("Message-ID: <{n}@neighbour.example>\r\n\r\nNumber {n}.\r\n");
        self.pop3.mailbox().put(format!("n{n}").as_bytes(), message.as_bytes());
        world.begin_poll("neighbour", false)
    }

    /// How much mail has arrived.
    pub fn received(&self) -> usize {
        self.receiver.arrivals().len()
    }
}
