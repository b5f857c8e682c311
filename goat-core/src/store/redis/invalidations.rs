//! Invalidation channel over Redis Pub/Sub.
//!
//! A node subscribes on a dedicated connection and publishes on the shared one. With several servers
//! both lead to the same one: the master, or in a cluster the node that owns the channel's slot, so a
//! heartbeat that returns took the path of every invalidation.
//!
//! Invariant: a successful publish went to a master. A demoted master still publishes, but only to the
//! clients that stayed with it; so each publish includes a write, which a replica rejects.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream as _;
use redis::aio::PubSubStream;

use crate::error::StoreError;
use crate::invalidation::{Broadcast, Invalidations, Subscription, Transport, operation};

use super::RedisDatabase;
use super::client::{Client, Retry, Script};
use super::failure::Failure;

impl RedisDatabase {
    /// Returns an invalidation channel between the nodes that use this Redis with the same prefix, by
    /// Pub/Sub. `staleness` is [`Settings::cache_staleness`](crate::Settings::cache_staleness).
    #[must_use]
    pub fn invalidations(&self, staleness: Duration) -> Arc<dyn Invalidations> {
        let channel = self.context.channel();
        let publish = Script::new(include_str!("publish.lua").to_owned());
        let client = self.context.client.clone();
        Broadcast::new(Arc::new(PubSub { client, channel, publish }), staleness)
    }
}

struct PubSub {
    client: Client,
    channel: String,
    publish: Script,
}

impl fmt::Debug for PubSub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PubSub").field("channel", &self.channel).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for PubSub {
    async fn send(&self, text: &str) -> Result<(), StoreError> {
        // Idempotent: an invalidation that is delivered twice has the effect of one.
        let channel = self.channel.as_bytes();
        let arguments = [text.as_bytes()];
        self.client
            .script(operation::PUBLISH, &self.publish, channel, &arguments, Retry::Yes)
            .await?;
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Subscription>, StoreError> {
        // The client may still be connected to a demoted master, which only a write reveals.
        let mut write = redis::cmd("DEL");
        write.arg(&self.channel);
        let channel = self.channel.as_bytes();
        self.client.command(operation::LISTEN, channel, &write, Retry::Yes).await?;
        let mut pubsub = self.client.pubsub(operation::LISTEN, self.channel.as_bytes()).await?;
        let subscribed = pubsub.subscribe(&self.channel).await;
        subscribed.map_err(|error| Failure::from(error).in_operation(operation::LISTEN))?;
        Ok(Box::new(Listening(pubsub.into_on_message())))
    }

    fn advice(&self) -> &'static str {
        "the Redis user needs permission for the channel, and the server must be the master"
    }
}

struct Listening(PubSubStream);

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Result<String, StoreError> {
        let message = poll_fn(|context| Pin::new(&mut self.0).poll_next(context)).await;
        let lost = || {
            StoreError::unavailable(operation::RECEIVE)
                .with_source("the listening connection was lost")
        };
        // A message that is not UTF-8 becomes one of an unknown form, which evicts everything.
        Ok(String::from_utf8_lossy(message.ok_or_else(lost)?.get_payload_bytes()).into_owned())
    }
}
