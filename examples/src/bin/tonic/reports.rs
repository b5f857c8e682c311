//! The reports: listed, published, and followed as they come.

use std::pin::Pin;

use goat_core::{ErrorKind, Goat, Principal};
use goat_tower::Problem;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::api::reports_server::Reports as ReportsApi;
use crate::api::{Nothing, Report, Reports};
use crate::{REPORTS, caller, refusal};

/// How many reports a follower may be behind before it is told to come back.
const BACKLOG: usize = 16;

pub(crate) struct ReportsDesk {
    goat: Goat,
    published: broadcast::Sender<Report>,
}

impl ReportsDesk {
    pub(crate) fn new(goat: Goat) -> Self {
        Self { goat, published: broadcast::Sender::new(BACKLOG) }
    }
}

/// Asks anew whether somebody may still read. A layer decides once, when a call begins; a stream may
/// go on for hours after that. This reads the stores for every report and follower; where that is too
/// much, ask every minute, or with [`Goat::authenticate_token`], whose answer may come from the cache.
async fn still_reads(goat: &Goat, me: &Principal) -> Result<(), Problem> {
    let fresh = goat.reauthenticate(me).await?;
    match fresh.principal().may(&REPORTS) {
        true => Ok(()),
        false => Err(ErrorKind::Forbidden.into()),
    }
}

#[tonic::async_trait]
impl ReportsApi for ReportsDesk {
    async fn list(&self, request: Request<Nothing>) -> Result<Response<Reports>, Status> {
        let title = format!("january, for {}", caller(&request)?.user());
        Ok(Response::new(Reports { reports: vec![Report { title }] }))
    }

    async fn audit(&self, request: Request<Nothing>) -> Result<Response<Reports>, Status> {
        self.list(request).await
    }

    async fn publish(&self, request: Request<Report>) -> Result<Response<Nothing>, Status> {
        // An error says that nobody follows, which is no failure.
        let _ = self.published.send(request.into_inner());
        Ok(Response::new(Nothing {}))
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<Report, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<Nothing>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let me = caller(&request)?.into_inner();
        let goat = self.goat.clone();
        let reports = BroadcastStream::new(self.published.subscribe()).then(move |report| {
            let (goat, me) = (goat.clone(), me.clone());
            async move {
                let report =
                    report.map_err(|_| Status::data_loss("you fell behind; follow anew"))?;
                still_reads(&goat, &me).await.map_err(refusal)?;
                Ok(report)
            }
        });
        // The first error is the last that a caller hears.
        Ok(Response::new(Box::pin(reports)))
    }
}
