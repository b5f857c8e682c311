//! Invalidations by publish and subscribe.
//!
//! A node listens over a connection of its own, and tells over the one that all calls share. Where
//! there are several servers both lead to the same one: the master, or in a cluster the node that has
//! the channel's slot, so that a heartbeat which comes back has gone the way of every notice.
//!
//! Invariant: what was told was told by a master. A server that became a replica still publishes, to
//! nobody but those who stayed with it; so each telling writes too, which only a master does.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream as _;
use redis::aio::PubSubStream;

use crate::error::StoreError;
use crate::invalidation::{Broadcast, Invalidations, Subscription, Transport};

use super::RedisDatabase;
use super::client::{Client, Retry, Script};
use super::failure::Failure;

impl RedisDatabase {
    /// Invalidations to every node that uses this Redis under the same prefix, by publish and subscribe.
    /// `staleness` is that of the nodes' caches,
    /// [`Settings::cache_staleness`](crate::Settings::cache_staleness).
    #[must_use]
    pub fn invalidations(&self, staleness: Duration) -> Arc<dyn Invalidations> {
        let channel = format!("{}:invalidations", self.context.prefix);
        let tell = Script::new(include_str!("publish.lua").to_owned());
        let client = self.context.client.clone();
        Broadcast::new(Arc::new(PubSub { client, channel, tell }), staleness)
    }
}

struct PubSub {
    client: Client,
    channel: String,
    tell: Script,
}

impl fmt::Debug for PubSub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PubSub").field("channel", &self.channel).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for PubSub {
    async fn send(&self, text: &str) -> Result<(), StoreError> {
        // To hear of the same thing twice is to hear of it once.
        let channel = self.channel.as_bytes();
        let arguments = [text.as_bytes()];
        self.client
            .script("invalidations.publish", &self.tell, channel, &arguments, Retry::Yes)
            .await?;
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Subscription>, StoreError> {
        // The client may still lead to where the master was: only what is sent over it shows that.
        let mut write = redis::cmd("DEL");
        write.arg(&self.channel);
        let channel = self.channel.as_bytes();
        self.client.command("invalidations.listen", channel, &write, Retry::Yes).await?;
        let mut pubsub =
            self.client.pubsub("invalidations.listen", self.channel.as_bytes()).await?;
        let subscribed = pubsub.subscribe(&self.channel).await;
        subscribed.map_err(|error| Failure::from(error).in_operation("invalidations.listen"))?;
        Ok(Box::new(Listening(pubsub.into_on_message())))
    }

    fn advice(&self) -> &'static str {
        "the user of Redis needs the right to the channel, and a replica is no master"
    }
}

struct Listening(PubSubStream);

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Result<String, StoreError> {
        let message = poll_fn(|context| Pin::new(&mut self.0).poll_next(context)).await;
        let lost = || {
            StoreError::unavailable("invalidations.hear")
                .with_source("the connection that listens was lost")
        };
        // What is no text is nobody's notice, and understood by nobody.
        Ok(String::from_utf8_lossy(message.ok_or_else(lost)?.get_payload_bytes()).into_owned())
    }
}
